//! `/v1/contacts/{id}/restriction`: data that are kept and not used.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, request};
use super::fields::WhyText;
use super::page::{self, Page, RestrictionCursor};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::{Caller, Door, Errand};
use crate::audit::{Action, Object};
use crate::ids::{ApiKeyId, ContactId, PrivacyRequestId};
use crate::privacy::{Privacy, RestrictionView};

request! {
    /// Why a contact's data are not to be used.
    NewRestriction {
        /// Why.
        reason: WhyText,
        /// The request that it is made for (`/v1/privacy/requests`): one for a restriction ends with it.
        request_id: Option<PrivacyRequestId>,
    }
}

/// A restriction that is in force.
#[derive(Serialize, ToSchema)]
#[schema(as = Restriction)]
pub(super) struct RestrictionJson {
    contact_id: ContactId,
    /// Why.
    reason: Option<String>,
    /// The key that asked for it; null: an operator.
    requested_by: Option<ApiKeyId>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

impl From<RestrictionView> for RestrictionJson {
    fn from(RestrictionView { row, reason }: RestrictionView) -> Self {
        Self {
            contact_id: ContactId::from_uuid(row.contact_id),
            reason,
            requested_by: (!row.actor_id.is_nil()).then(|| ApiKeyId::from_uuid(row.actor_id)),
            created_at: row.created_at,
        }
    }
}

/// Whoever is confined to channels restricts nobody, and learns of nobody whom they never met.
async fn known(who: &Caller, door: &Door, id: ContactId) -> Result<(), Problem> {
    door.find_contact(who, id).await?.ok_or(Problem::new(Code::NotFound))?;
    Ok(who.require_unconfined()?)
}

/// Has a contact's data kept and not used (GDPR Art. 18), until somebody lifts it.
///
/// What comes in is stored and delivered to no endpoint; messages to the contact are refused with `contact_restricted`, and those that
/// wait are taken back; what is stored is read by keys with `held:read` alone. Asked again, it gets another reason.
#[utoipa::path(
    put, path = "/v1/contacts/{id}/restriction", tag = "Privacy", operation_id = "restrict_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    request_body = NewRestriction,
    responses(
        (status = 204, description = "It is in force."),
        (status = 409, description = "`request_not_changed`: that request is not open, asks for something else, or is about somebody else."),
    ),
)]
pub(super) async fn put(
    who: Caller,
    errand: Errand,
    (State(privacy), State(door)): (State<Privacy>, State<Door>),
    Target(id): Target<ContactId>,
    params: Params,
    body::Json(new): body::Json<NewRestriction>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    known(&who, &door, id).await?;
    let act = errand.act(&who, Action::ContactRestricted, Object::one("contact", id.uuid()));
    errand.keep(privacy.restrict(id, (&new.reason.0, new.request_id), act).await?);
    Ok(StatusCode::NO_CONTENT)
}

/// Lifts the restriction of a contact. What came in meanwhile was delivered to nobody: a replay delivers it.
#[utoipa::path(
    delete, path = "/v1/contacts/{id}/restriction", tag = "Privacy", operation_id = "lift_restriction_of_contact",
    params(("id" = ContactId, Path, description = "The contact.")),
    responses((status = 204, description = "It is lifted.")),
)]
pub(super) async fn lift(
    who: Caller,
    errand: Errand,
    (State(privacy), State(door)): (State<Privacy>, State<Door>),
    Target(id): Target<ContactId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    known(&who, &door, id).await?;
    let act = errand.act(&who, Action::RestrictionLifted, Object::one("contact", id.uuid()));
    errand.keep(privacy.lift_restriction(id, act).await?);
    Ok(StatusCode::NO_CONTENT)
}

/// Restrictions that are in force, with their reasons.
#[utoipa::path(
    get, path = "/v1/privacy/restrictions", tag = "Privacy", operation_id = "list_restrictions",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of restrictions.", body = Page<RestrictionJson>)),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    mut params: Params,
) -> Result<Json<Page<RestrictionJson>>, Problem> {
    let (after, limit) = (params.cursor::<RestrictionCursor>(), params.limit());
    params.finish()?;
    who.require_unconfined()?;
    let act = errand.act(&who, Action::RestrictionsRead, Object::several("contact"));
    let shown = privacy.restrictions(act, after.map(|at| at.0), limit).await?;
    if let Some(receipt) = shown.receipt {
        errand.keep(receipt);
    }
    Ok(Json(page::of_shown(shown.views, shown.has_more, |view: &RestrictionView| {
        RestrictionCursor(view.row.contact_id)
    })))
}
