//! `/v1/channels/{id}/status`: what Meta says of a number.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::Caller;
use crate::directory::Directory;
use crate::ids::ChannelId;

/// What Meta said last of a number and of the token that it is asked with.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelStatus)]
pub(super) struct ChannelStateJson {
    channel_id: ChannelId,
    /// In Meta's words, as far as Meta says so: `verified_name`, `quality_rating`, `status`, `name_status`, `code_verification_status`,
    /// `is_official_business_account`, `account_mode`, `throughput`, `messaging_limit`, `health`, `token_valid`, `token_expires_at`,
    /// `token_missing_scopes`.
    #[schema(value_type = Object)]
    facts: Value,
    /// When Meta was last asked; null: not yet.
    #[serde(with = "time::serde::rfc3339::option")]
    asked_at: Option<OffsetDateTime>,
    /// When it last said something new.
    #[serde(with = "time::serde::rfc3339::option")]
    changed_at: Option<OffsetDateTime>,
}

/// What Meta says of the number of a channel: it is asked every quarter of an hour, and soon after it says that something changed.
#[utoipa::path(
    get, path = "/v1/channels/{id}/status", tag = "Channels", operation_id = "show_status_of_channel",
    params(("id" = ChannelId, Path, description = "The channel.")),
    responses((status = 200, description = "What is known.", body = ChannelStateJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(directory): State<Directory>,
    Target(id): Target<ChannelId>,
    params: Params,
) -> Result<Json<ChannelStateJson>, Problem> {
    params.finish()?;
    let is_known = who.may_use(id) && directory.snapshot().channel(who.tenant, id).is_some();
    if !is_known {
        return Err(Problem::new(Code::NotFound));
    }
    let state = directory.channel_state(who.tenant, id).await?;
    let (asked_at, changed_at) =
        (state.as_ref().map(|state| state.asked_at), state.as_ref().map(|state| state.changed_at));
    let facts = state.map_or_else(|| Value::Object(serde_json::Map::new()), |state| state.facts);
    Ok(Json(ChannelStateJson { channel_id: id, facts, asked_at, changed_at }))
}
