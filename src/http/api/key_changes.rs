//! `/v1/keys/{id}/rotate`, `/v1/keys/{id}/unlock` and `/v1/keys/report`: what may happen to a key in its life.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::value::RawValue;
use time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{self, Faults, Field, request};
use super::fields::value;
use super::key_json::{CreatedKey, Rotation};
use super::keys::find;
use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::Caller;
use crate::access::api_key::{self, Grant, Powers, Presented};
use crate::audit::{Act, Action, Actor, Object};
use crate::directory::Directory;
use crate::http::state::AppState;
use crate::ids::{ApiKeyId, TenantId};
use crate::telemetry;

/// How long the old key stays valid, unless the caller says otherwise.
const GRACE_HOURS: u32 = 24;
/// Longer than any key.
const LONGEST_TEXT: usize = 1024;

/// Makes a key in the place of another.
///
/// It is the same in everything and valid at once; the old one stays valid until the grace is over. Two keys of one line are valid
/// at a time, never three.
#[utoipa::path(
    post, path = "/v1/keys/{id}/rotate", tag = "Keys", operation_id = "rotate_key",
    params(("id" = ApiKeyId, Path, description = "The key.")),
    request_body = Rotation,
    responses(
        (status = 201, description = "The new key.", body = CreatedKey),
        (status = 409, description = "`conflict`: it is no longer valid, or it was rotated already and the other is valid."),
    ),
)]
pub(super) async fn rotate(
    who: Caller,
    trail: Trail,
    State(state): State<AppState>,
    Target(id): Target<ApiKeyId>,
    params: Params,
    body::Json(how): body::Json<Rotation>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    params.finish()?;
    let (now, old) = (state.clock.now(), find(&state.directory, &who, id)?);
    who.may_give(Powers::of(&old), api_key::sight(&old))?;
    let mut grant = Grant::instead_of(&old, now);
    grant.expires_at = [grant.expires_at, who.expires_at].into_iter().flatten().min();
    let made = api_key::generate(grant, now);
    let created = CreatedKey { id: made.record.id, key: made.shown.expose().to_owned() };
    let grace = Duration::hours(how.grace_hours.map_or(GRACE_HOURS, |hours| hours.0).into());
    trail.leave(&who, Action::KeyRotated, "key", id.uuid()).await?;
    settled(state.directory.rotate_api_key(made.record, now + grace).await, ())?;
    Ok((StatusCode::CREATED, Json(created)))
}

/// Unlocks a key that was locked because its budget was exceeded. It may be shown as many contacts again.
#[utoipa::path(
    post, path = "/v1/keys/{id}/unlock", tag = "Keys", operation_id = "unlock_key",
    params(("id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 204, description = "The key is not locked.")),
)]
pub(super) async fn unlock(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    Target(id): Target<ApiKeyId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let key = find(&directory, &who, id)?;
    who.may_give(Powers::of(&key), api_key::sight(&key))?;
    trail.leave(&who, Action::KeyUnlocked, "key", id.uuid()).await?;
    settled(directory.unlock_api_key(who.tenant, id).await, true)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A key that somebody found.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 1024)]
pub(super) struct FoundKey(String);

impl Field for FoundKey {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        if text.len() <= LONGEST_TEXT { Some(Self(text)) } else { faults.note(at, "length", "at most 1024 characters") }
    }
}

request! {
    /// A report of a leaked key.
    Report {
        /// The whole key.
        key: FoundKey,
    }
}

/// Takes back a key that leaked. Whoever found one may report it; nothing else is needed.
///
/// The answer is the same whether the key is one of ours or not, and so is the work that is done for it.
#[utoipa::path(
    post, path = "/v1/keys/report", tag = "Keys", operation_id = "report_key",
    request_body = Report,
    responses(
        (status = 202, description = "If it was a valid key, it is valid no longer."),
        (status = 429, description = "`rate_limited`"),
    ),
)]
pub(super) async fn report(
    State(state): State<AppState>,
    params: Params,
    body::Json(found): body::Json<Report>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    if !state.reports.admit(state.clock.now()) {
        return Err(Problem::new(Code::RateLimited));
    }
    let snapshot = state.directory.snapshot();
    let presented = Presented::parse(found.key.0.trim());
    let record = presented.as_ref().and_then(|key| snapshot.api_key(key.lookup()).filter(|record| key.is_of(record)));
    // For what is no key of ours, the same is done to a key that nobody has.
    let (tenant, key) = record.map_or_else(nobody, |record| (record.tenant, record.id));
    let act = Act::new(tenant, Actor::GATEWAY, Action::KeyReported, Object::one("key", key.uuid()));
    let entry = state.audit.prepare(act, Vec::new()).await?;
    if settled(state.directory.report_api_key(entry, key).await, false)? {
        tracing::warn!(%key, "a key was reported as leaked and is revoked");
        metrics::counter!(telemetry::KEYS_REPORTED).increment(1);
    }
    Ok(StatusCode::ACCEPTED)
}

fn nobody() -> (TenantId, ApiKeyId) {
    (TenantId::from_uuid(Uuid::nil()), ApiKeyId::from_uuid(Uuid::nil()))
}
