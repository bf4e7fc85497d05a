//! `/v1/privacy/requests`: what people ask about their data, and by when the law wants it answered.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{self, Faults, Field, request};
use super::fields::{ReferenceText, WhyText, value};
use super::named::{PhoneText, UserIdText, UsernameText, only};
use super::page::{self, Page, PrivacyRequestCursor};
use super::problem::Problem;
use super::query::Params;
use super::target::Target;
use crate::access::{Caller, Errand};
use crate::audit::{Action, Object};
use crate::ids::{ApiKeyId, ContactId, ErasureId, PrivacyRequestId};
use crate::privacy::{Law, NewRequest, Outcome, Privacy, RequestKind, RequestView};
use crate::store::privacy_deeds::DeedRow;

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident: $of:ident, $pattern:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[schema(value_type = String, pattern = $pattern)]
        pub(super) struct $name(pub(super) $of);

        impl Field for $name {
            fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
                let text: String = value(json, at, faults, "a text")?;
                $of::parse(&text).map(Self).or_else(|| faults.note(at, "choice", $of::NAMES.join(", ")))
            }
        }
    )+};
}

choices! {
    /// What somebody asks for.
    KindText: RequestKind, "^(access|portability|erasure|rectification|restriction|objection|opt_out|information)$",
    /// By which law: `gdpr` (one month, two more), `ccpa` (45 days, 45 more) or `lgpd` (15 days).
    LawText: Law, "^(gdpr|ccpa|lgpd)$",
    /// How it ended: `done` or `refused`.
    OutcomeText: Outcome, "^(done|refused)$",
}

request! {
    /// What somebody asks about their data. Whom it is about by one of `contact_id`, `phone`, `user_id` and `username`, or by none where
    /// they are not known here.
    NewPrivacyRequest {
        /// What is asked for.
        kind: KindText,
        /// By which law.
        law: LawText,
        /// When it came; now when absent. Not ahead, and within a year.
        received_at: Option<OffsetDateTime>,
        /// By our own id.
        contact_id: Option<ContactId>,
        /// By a number.
        phone: Option<PhoneText>,
        /// By Meta's id.
        user_id: Option<UserIdText>,
        /// By the handle.
        username: Option<UsernameText>,
        /// Of the case.
        reference: Option<ReferenceText>,
    }
}

request! {
    /// Why it takes longer: what the person is told.
    PrivacyRequestExtension {
        /// Why.
        reason: WhyText,
    }
}

request! {
    /// How it ended.
    PrivacyRequestEnd {
        /// How.
        outcome: OutcomeText,
        /// Why, where it was refused.
        reason: Option<WhyText>,
    }
}

/// Something that was done for a request.
#[derive(Serialize, ToSchema)]
#[schema(as = PrivacyRequestDeed)]
struct DeedJson {
    /// `export`, `hold`, `restriction` or `rectification`.
    what: String,
    /// Of the export or the hold; else of the entry in the audit log.
    id: Uuid,
    /// Of the export or the hold, as it is now; null: it is neither, or is gone.
    state: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    done_at: OffsetDateTime,
}

impl From<DeedRow> for DeedJson {
    fn from(row: DeedRow) -> Self {
        Self { what: row.deed, id: row.deed_id, state: row.state, done_at: row.done_at }
    }
}

/// A request of a person.
#[derive(Serialize, ToSchema)]
#[schema(as = PrivacyRequest)]
pub(super) struct RequestJson {
    id: PrivacyRequestId,
    kind: String,
    law: String,
    /// `open`, `done` or `refused`.
    state: String,
    /// Whom it is about; null: somebody who is not known here, or was erased since.
    contact_id: Option<ContactId>,
    /// Of the case.
    reference: Option<String>,
    /// Why it takes longer, or was refused.
    reason: Option<String>,
    /// The key that entered it; null: an operator.
    entered_by: Option<ApiKeyId>,
    /// The erasure that was begun for it, with which it ends.
    erasure_id: Option<ErasureId>,
    /// What else was done for it, the oldest first.
    deeds: Vec<DeedJson>,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    /// By when it is to be answered.
    #[serde(with = "time::serde::rfc3339")]
    due_at: OffsetDateTime,
    /// Whether it is open and should have been answered.
    overdue: bool,
    #[serde(with = "time::serde::rfc3339::option")]
    extended_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    closed_at: Option<OffsetDateTime>,
}

impl From<RequestView> for RequestJson {
    fn from(RequestView { row, reference, reason, overdue, deeds }: RequestView) -> Self {
        Self {
            id: PrivacyRequestId::from_uuid(row.request_id),
            kind: row.kind,
            law: row.law,
            state: row.state,
            contact_id: row.contact_id.map(ContactId::from_uuid),
            reference,
            reason,
            entered_by: (!row.actor_id.is_nil()).then(|| ApiKeyId::from_uuid(row.actor_id)),
            erasure_id: row.erasure_id.map(ErasureId::from_uuid),
            deeds: deeds.into_iter().map(DeedJson::from).collect(),
            received_at: row.received_at,
            due_at: row.due_at,
            overdue,
            extended_at: row.extended_at,
            closed_at: row.closed_at,
        }
    }
}

/// What was entered.
#[derive(Serialize, ToSchema)]
#[schema(as = PrivacyRequestEntered)]
pub(super) struct EnteredJson {
    id: PrivacyRequestId,
    /// By when it is to be answered.
    #[serde(with = "time::serde::rfc3339")]
    due_at: OffsetDateTime,
}

/// Enters what somebody asks about their data, and starts the clock of the law.
#[utoipa::path(
    post, path = "/v1/privacy/requests", tag = "Privacy", operation_id = "enter_privacy_request",
    request_body = NewPrivacyRequest,
    responses(
        (status = 201, description = "It is entered.", body = EnteredJson),
        (status = 404, description = "`not_found`: nobody is known by that name."),
    ),
)]
pub(super) async fn create(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    params: Params,
    body::Json(new): body::Json<NewPrivacyRequest>,
) -> Result<(StatusCode, Json<EnteredJson>), Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let mut faults = Faults::default();
    let is_named = new.contact_id.is_some() || new.phone.is_some() || new.user_id.is_some() || new.username.is_some();
    let named = if is_named { only(new.contact_id, new.phone, new.user_id, new.username, &mut faults) } else { None };
    let now = privacy.clock.now();
    let received_at = new.received_at.unwrap_or(now);
    if received_at > now || now - received_at > time::Duration::days(366) {
        faults.note("/received_at", "range", "a time within the last year").unwrap_or(());
    }
    faults.refuse()?;
    let id = privacy.new_request_id();
    let act = errand.act(&who, Action::PrivacyRequestEntered, Object::one("privacy_request", id.uuid()));
    let act = act.with(&[new.kind.0.as_str(), new.law.0.as_str()]);
    let reference = new.reference.as_ref().map(|reference| reference.0.as_str());
    let new = NewRequest { kind: new.kind.0, law: new.law.0, named: named.as_ref(), reference, received_at };
    let (due_at, receipt) = privacy.enter_request(id, &new, act).await?;
    errand.keep(receipt);
    Ok((StatusCode::CREATED, Json(EnteredJson { id, due_at })))
}

/// Requests, newest first.
#[utoipa::path(
    get, path = "/v1/privacy/requests", tag = "Privacy", operation_id = "list_privacy_requests",
    params(
        ("state" = Option<String>, Query, description = "`open`, `done` or `refused`."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of requests.", body = Page<RequestJson>)),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    mut params: Params,
) -> Result<Json<Page<RequestJson>>, Problem> {
    let state = params.choice("state", &["open", "done", "refused"]);
    let (before, limit) = (params.cursor::<PrivacyRequestCursor>(), params.limit());
    params.finish()?;
    who.require_unconfined()?;
    let before = before.map(|at| at.0);
    let act = errand.act(&who, Action::PrivacyRequestsRead, Object::several("privacy_request"));
    let shown = privacy.requests(act, before, state.as_deref(), limit).await?;
    if let Some(receipt) = shown.receipt {
        errand.keep(receipt);
    }
    Ok(Json(page::of_shown(shown.views, shown.has_more, |view| PrivacyRequestCursor(view.row.request_id))))
}

/// One request.
#[utoipa::path(
    get, path = "/v1/privacy/requests/{id}", tag = "Privacy", operation_id = "show_privacy_request",
    params(("id" = PrivacyRequestId, Path, description = "The request.")),
    responses((status = 200, description = "The request.", body = RequestJson)),
)]
pub(super) async fn show(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    Target(id): Target<PrivacyRequestId>,
    params: Params,
) -> Result<Json<RequestJson>, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let act = errand.act(&who, Action::PrivacyRequestsRead, Object::one("privacy_request", id.uuid()));
    let (view, receipt) = privacy.request(id, act).await?;
    errand.keep(receipt);
    Ok(Json(view.into()))
}

/// Gives a request the time that its law allows at last, once, before it is due. The person must be told why.
#[utoipa::path(
    post, path = "/v1/privacy/requests/{id}/extend", tag = "Privacy", operation_id = "extend_privacy_request",
    params(("id" = PrivacyRequestId, Path, description = "The request.")),
    request_body = PrivacyRequestExtension,
    responses(
        (status = 204, description = "It has more time."),
        (status = 409, description = "`request_not_changed`"),
    ),
)]
pub(super) async fn extend(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    Target(id): Target<PrivacyRequestId>,
    params: Params,
    body::Json(extension): body::Json<PrivacyRequestExtension>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let act = errand.act(&who, Action::PrivacyRequestExtended, Object::one("privacy_request", id.uuid()));
    errand.keep(privacy.extend_request(id, &extension.reason.0, act).await?);
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a request.
///
/// Some end by themselves: with the certificate of the erasure, with the restriction or the correction that was made for it, and one for a copy when the
/// archive was fetched by a link to its end.
#[utoipa::path(
    post, path = "/v1/privacy/requests/{id}/close", tag = "Privacy", operation_id = "close_privacy_request",
    params(("id" = PrivacyRequestId, Path, description = "The request.")),
    request_body = PrivacyRequestEnd,
    responses(
        (status = 204, description = "It is over."),
        (status = 409, description = "`request_not_changed`"),
    ),
)]
pub(super) async fn close(
    who: Caller,
    errand: Errand,
    State(privacy): State<Privacy>,
    Target(id): Target<PrivacyRequestId>,
    params: Params,
    body::Json(end): body::Json<PrivacyRequestEnd>,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    who.require_unconfined()?;
    let act = errand.act(&who, Action::PrivacyRequestClosed, Object::one("privacy_request", id.uuid()));
    let reason = end.reason.as_ref().map(|reason| reason.0.as_str());
    errand.keep(privacy.close_request(id, end.outcome.0, reason, act.with(&[end.outcome.0.as_str()])).await?);
    Ok(StatusCode::NO_CONTENT)
}
