//! `/v1/privacy/holds`: data that must stay, and are not read in the ordinary way.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{self, Faults, request};
use super::fields::WhyText;
use super::named::{PhoneText, UserIdText, UsernameText, Whom};
use super::page::{self, HoldCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use crate::access::{Caller, Errand};
use crate::audit::{Action, Object};
use crate::ids::{ApiKeyId, ContactId, HoldId, PrivacyRequestId};
use crate::privacy::{HoldChange, HoldView, LONGEST_HOLD, NewHold, Privacy};

request! {
    /// Whose data must stay: by one of `contact_id`, `phone`, `user_id` and `username`.
    HoldRequest {
        /// By our own id.
        contact_id: Option<ContactId>,
        /// By a number.
        phone: Option<PhoneText>,
        /// By Meta's id.
        user_id: Option<UserIdText>,
        /// By the handle.
        username: Option<UsernameText>,
        /// Why.
        reason: WhyText,
        /// Until when; within a year.
        expires_at: OffsetDateTime,
        /// The request that it is made for (`/v1/privacy/requests`). Of whoever asked, where nobody else is named.
        request_id: Option<PrivacyRequestId>,
    }
}

/// A hold.
#[derive(Serialize, ToSchema)]
#[schema(as = Hold)]
pub(super) struct HoldJson {
    id: HoldId,
    contact_id: ContactId,
    /// `requested`, `active` or `released`.
    state: String,
    /// Whether it counts now: active, and not past its end.
    in_force: bool,
    /// Why.
    reason: Option<String>,
    /// The key that asked for it; null: an operator.
    requested_by: Option<ApiKeyId>,
    /// The key that put it in force; null: none, or an operator.
    approved_by: Option<ApiKeyId>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    active_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
}

fn key(id: Uuid) -> Option<ApiKeyId> {
    (!id.is_nil()).then(|| ApiKeyId::from_uuid(id))
}

impl From<HoldView> for HoldJson {
    fn from(HoldView { row, reason, in_force }: HoldView) -> Self {
        Self {
            id: HoldId::from_uuid(row.hold_id),
            contact_id: ContactId::from_uuid(row.contact_id),
            state: row.state,
            in_force,
            reason,
            requested_by: key(row.owner_id),
            approved_by: row.approver_id.and_then(key),
            created_at: row.created_at,
            active_at: row.active_at,
            expires_at: row.expires_at,
            ended_at: row.ended_at,
        }
    }
}

/// What was asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = HoldRequested)]
pub(super) struct RequestedJson {
    id: HoldId,
}

/// Asks for a person's data to be held: nothing of them is erased or removed with age, and they are read with `held:read` alone. It is in
/// force when another key has approved it.
#[utoipa::path(
    post, path = "/v1/privacy/holds", tag = "Privacy", operation_id = "request_hold",
    request_body = HoldRequest,
    responses(
        (status = 201, description = "It waits for its approval.", body = RequestedJson),
        (status = 404, description = "`not_found`: nobody is known by that name."),
        (status = 409, description = "`request_not_changed`: that request is not open, asks for something else, or is about somebody else."),
    ),
)]
pub(super) async fn create(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    params: Params,
    body::Json(new): body::Json<HoldRequest>,
) -> Result<(StatusCode, Json<RequestedJson>), Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let mut faults = Faults::default();
    let names = (new.contact_id, new.phone, new.user_id, new.username);
    let whom = Whom::of(names, new.request_id, &mut faults);
    let ahead = new.expires_at - privacy.clock.now();
    if !ahead.is_positive() || ahead > LONGEST_HOLD {
        faults.note("/expires_at", "range", "a time within a year from now").unwrap_or(());
    }
    faults.refuse()?;
    let named = whom.ok_or(Problem::new(Code::Internal))?.named(&privacy, who.tenant).await?;
    let id = privacy.new_hold_id();
    let act = errand.act(&who, Action::HoldRequested, Object::one("hold", id.uuid()));
    let (reason, expires_at, request) = (new.reason.0.as_str(), new.expires_at, new.request_id);
    let new = NewHold { named: &named, reason, expires_at, request };
    errand.keep(privacy.request_hold(id, &new, act).await?);
    Ok((StatusCode::CREATED, Json(RequestedJson { id })))
}

async fn change(
    who: &Caller,
    errand: &Errand,
    privacy: &Privacy,
    id: HoldId,
    change: HoldChange,
) -> Result<StatusCode, Problem> {
    who.require_unconfined()?;
    let act = errand.act(who, change.action(), Object::one("hold", id.uuid()));
    errand.keep(privacy.change_hold(id, change, act).await?);
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a hold in force. Whoever asked for it cannot.
#[utoipa::path(
    post, path = "/v1/privacy/holds/{id}/approve", tag = "Privacy", operation_id = "approve_hold",
    params(("id" = HoldId, Path, description = "The hold.")),
    responses(
        (status = 204, description = "It is in force."),
        (status = 409, description = "`hold_not_changed`"),
    ),
)]
pub(super) async fn approve(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    Target(id): Target<HoldId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    change(&who, &errand, &privacy, id, HoldChange::Approve).await
}

/// Takes a hold back. What was to be erased or is too old goes then.
#[utoipa::path(
    delete, path = "/v1/privacy/holds/{id}", tag = "Privacy", operation_id = "release_hold",
    params(("id" = HoldId, Path, description = "The hold.")),
    responses(
        (status = 204, description = "It holds nothing any more."),
        (status = 409, description = "`hold_not_changed`"),
    ),
)]
pub(super) async fn release(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    Target(id): Target<HoldId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    change(&who, &errand, &privacy, id, HoldChange::Release).await
}

/// Holds, newest first, with their reasons.
#[utoipa::path(
    get, path = "/v1/privacy/holds", tag = "Privacy", operation_id = "list_holds",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of holds.", body = Page<HoldJson>)),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    mut params: Params,
) -> Result<Json<Page<HoldJson>>, Problem> {
    let (before, limit) = (params.cursor::<HoldCursor>(), params.limit());
    params.finish()?;
    who.require_unconfined()?;
    let act = errand.act(&who, Action::HoldsRead, Object::several("hold"));
    let shown = privacy.holds(act, before.map(|at| at.0), limit).await?;
    if let Some(receipt) = shown.receipt {
        errand.keep(receipt);
    }
    Ok(Json(page::of_shown(shown.views, shown.has_more, |view| HoldCursor(view.row.hold_id))))
}
