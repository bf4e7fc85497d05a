//! `/v1/keys`: API keys. Nobody makes a key that may do or see more than their own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ipnet::IpNet;
use time::OffsetDateTime;

use super::body::{self, Faults};
use super::key_json::{CreatedKey, KeyJson, NewKey};
use super::page::{self, Page};
use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::api_key::{self, Grant, Powers};
use crate::access::{Caller, Denied, Sight};
use crate::audit::Action;
use crate::clock::SharedClock;
use crate::directory::{ApiKey, Directory};
use crate::http::state::AppState;
use crate::ids::ApiKeyId;

/// The keys, oldest first, those that were revoked included.
#[utoipa::path(
    get, path = "/v1/keys", tag = "Keys", operation_id = "list_keys",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of keys.", body = Page<KeyJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(state): State<AppState>,
    mut params: Params,
) -> Result<Json<Page<KeyJson>>, Problem> {
    let (after, limit) = (params.cursor(), params.limit());
    params.finish()?;
    let uses = state.store.uses_of_api_keys(who.tenant).await?.into_iter().collect();
    let snapshot = state.directory.snapshot();
    let keys = snapshot.api_keys_of(who.tenant).into_iter().filter(|key| who.covers(&key.channels));
    Ok(Json(page::of_settings(keys.map(|key| KeyJson::new(key, &uses)), |key| key.id.uuid(), after, limit)))
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

/// What a key is given, as far as its maker has it. What is not said is what the maker has, but for the mask.
fn grant(who: &Caller, directory: &Directory, new: NewKey, now: OffsetDateTime) -> Result<Grant, Problem> {
    let mut faults = Faults::default();
    let powers = powers(&new, &mut faults);
    let most = powers.sight();
    let sight = Sight {
        class: new.field_class.map_or(most.class.min(who.sight.class), |class| class.0),
        unmasked: new.unmasked.unwrap_or(false),
    };
    if !most.covers(sight) {
        faults.note("/role", "sight", "a role that may see this much").unwrap_or(());
    }
    let channels = match new.channel_ids.unwrap_or_default() {
        none if none.is_empty() => who.channels.clone(),
        some => some,
    };
    super::channels::check_all(who, directory, &channels, &mut faults);
    let cidrs = new.cidrs.unwrap_or_default().iter().map(|network| network.0).collect();
    let cidrs = networks(who, cidrs, &mut faults);
    if new.expires_at.is_some_and(|end| end <= now || end > now + api_key::LONGEST_LIFE) {
        faults.note("/expires_at", "range", "a time to come, within a year").unwrap_or(());
    }
    faults.refuse()?;
    who.may_give(powers, sight)?;
    // A key ends with the one that made it, or before.
    let expires_at = [new.expires_at, who.expires_at].into_iter().flatten().min();
    let budget = new.contacts_per_hour.map(|contacts| contacts.0);
    Ok(Grant { sight, channels, cidrs, budget, expires_at, ..Grant::new(who.tenant, new.name.0, powers) })
}

fn powers(new: &NewKey, faults: &mut Faults) -> Powers {
    let permissions = new.permissions.as_deref().unwrap_or_default();
    match new.role {
        Some(role) => {
            if !permissions.is_empty() {
                faults.note("/permissions", "role", "absent beside a role").unwrap_or(());
            }
            Powers::Role(role.0)
        }
        None => {
            if permissions.is_empty() {
                faults.note("/permissions", "length", "at least one permission, or a role").unwrap_or(());
            }
            Powers::Scopes(permissions.iter().flat_map(|text| text.0.iter()).collect())
        }
    }
}

/// The networks of a key, none of which is beyond its maker's.
fn networks(who: &Caller, wanted: Vec<IpNet>, faults: &mut Faults) -> Vec<IpNet> {
    if wanted.is_empty() || who.cidrs.is_empty() {
        return if wanted.is_empty() { who.cidrs.clone() } else { wanted };
    }
    for (index, network) in wanted.iter().enumerate() {
        if !who.cidrs.iter().any(|own| own.contains(network)) {
            faults.note(&format!("/cidrs/{index}"), "network", "within the networks of your own key").unwrap_or(());
        }
    }
    wanted
}

/// A key that is there, and for which the caller could have made one as good: nobody takes back or changes more than they could
/// have given.
pub(super) fn find(directory: &Directory, who: &Caller, id: ApiKeyId) -> Result<Arc<ApiKey>, Problem> {
    let snapshot = directory.snapshot();
    let key = snapshot.api_key_by_id(who.tenant, id).filter(|key| who.covers(&key.channels));
    let key = key.cloned().ok_or(Problem::new(Code::NotFound))?;
    match who.permissions.lacks(Powers::of(&key).permissions()) {
        Some(missing) => Err(Denied::Missing(missing).into()),
        None => Ok(key),
    }
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
    find(&directory, &who, id)?;
    trail.leave(&who, Action::KeyRevoked, "key", id.uuid()).await?;
    // Revoking twice is revoking once.
    settled(directory.revoke_api_key(who.tenant, id).await, true)?;
    Ok(StatusCode::NO_CONTENT)
}
