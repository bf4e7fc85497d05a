//! `/v1/keys`: API keys. Nobody makes a key that may do more than their own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Faults, request};
use super::fields::{Name, PermissionText};
use super::page::{self, Page};
use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::api_key::{self, Grant};
use crate::access::{Caller, Denied, Permissions};
use crate::audit::Action;
use crate::clock::SharedClock;
use crate::directory::{ApiKey, Directory};
use crate::ids::{ApiKeyId, ChannelId};

request! {
    /// A new API key.
    NewKey {
        /// Which application it is for.
        name: Name,
        /// What it may do, within the maker's own permissions.
        permissions: Vec<PermissionText>,
        /// Channels it is confined to; absent or empty: all that the maker may use.
        channel_ids: Option<Vec<ChannelId>>,
        /// Until when it is valid; absent: until it is revoked.
        expires_at: Option<OffsetDateTime>,
    }
}

/// An API key. Its secret part is never shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct KeyJson {
    id: ApiKeyId,
    name: String,
    /// How the key begins, to tell which one it is.
    prefix: String,
    permissions: Vec<String>,
    /// Channels it is confined to; empty: all.
    channel_ids: Vec<ChannelId>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// Set when it was taken back.
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub(super) struct CreatedKey {
    id: ApiKeyId,
    /// The key itself. Shown this once.
    key: String,
}

impl From<&ApiKey> for KeyJson {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id,
            name: key.name.clone(),
            prefix: api_key::prefix(&key.lookup),
            permissions: key.scopes.clone(),
            channel_ids: key.channels.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
        }
    }
}

/// The keys, oldest first, those that were revoked included.
#[utoipa::path(
    get, path = "/v1/keys", tag = "Keys", operation_id = "list_keys",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of keys.", body = Page<KeyJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    mut params: Params,
) -> Result<Json<Page<KeyJson>>, Problem> {
    let (after, limit) = (params.cursor(), params.limit());
    params.finish()?;
    let snapshot = directory.snapshot();
    let keys = snapshot.api_keys_of(who.tenant).into_iter().filter(|key| who.covers(&key.channels));
    Ok(Json(page::of_settings(keys.map(|key| KeyJson::from(key.as_ref())), |key| key.id.uuid(), after, limit)))
}

/// Makes a key. The answer is the only place where it is shown.
#[utoipa::path(
    post, path = "/v1/keys", tag = "Keys", operation_id = "create_key",
    request_body = NewKey,
    responses((status = 201, description = "The key.", body = CreatedKey)),
)]
pub(super) async fn create(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    State(clock): State<SharedClock>,
    params: Params,
    body::Json(new): body::Json<NewKey>,
) -> Result<(StatusCode, Json<CreatedKey>), Problem> {
    params.finish()?;
    let now = clock.now();
    let grant = grant(&who, &directory, new, now)?;
    let made = api_key::generate(grant, now);
    let created = CreatedKey { id: made.record.id, key: made.shown.expose().to_owned() };
    trail.leave(&who, Action::KeyCreated, "key", created.id.uuid()).await?;
    settled(directory.save_api_key(made.record).await, ())?;
    Ok((StatusCode::CREATED, Json(created)))
}

fn grant(who: &Caller, directory: &Directory, new: NewKey, now: OffsetDateTime) -> Result<Grant, Problem> {
    let permissions: Permissions = new.permissions.iter().flat_map(|text| text.0.iter()).collect();
    let channels = match new.channel_ids.unwrap_or_default() {
        none if none.is_empty() => who.channels.clone(),
        some => some,
    };
    let mut faults = Faults::default();
    if new.permissions.is_empty() {
        faults.note("/permissions", "length", "at least one permission").unwrap_or(());
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        faults.note("/expires_at", "range", "a time to come").unwrap_or(());
    }
    super::channels::check_all(who, directory, &channels, &mut faults);
    faults.refuse()?;
    if let Some(missing) = who.permissions.lacks(permissions) {
        return Err(Denied::Missing(missing).into());
    }
    // A key ends with the one that made it, or before.
    let expires_at = [new.expires_at, who.expires_at].into_iter().flatten().min();
    Ok(Grant { tenant: who.tenant, name: new.name.0, permissions, channels, expires_at })
}

/// Takes a key back. It is refused from now on, by every process within a second.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "Keys", operation_id = "revoke_key",
    params(("id" = ApiKeyId, Path, description = "The key.")),
    responses((status = 204, description = "The key is no longer valid.")),
)]
pub(super) async fn revoke(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    Target(id): Target<ApiKeyId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    let snapshot = directory.snapshot();
    let keys = snapshot.api_keys_of(who.tenant);
    let Some(key) = keys.into_iter().find(|key| key.id == id && who.covers(&key.channels)) else {
        return Err(Problem::new(Code::NotFound));
    };
    // Nobody takes back more than they could have given.
    if let Some(missing) = who.permissions.lacks(Permissions::of_scopes(key.scopes.iter().map(String::as_str))) {
        return Err(Denied::Missing(missing).into());
    }
    trail.leave(&who, Action::KeyRevoked, "key", id.uuid()).await?;
    // Revoking twice is revoking once.
    settled(directory.revoke_api_key(who.tenant, id).await, true)?;
    Ok(StatusCode::NO_CONTENT)
}
