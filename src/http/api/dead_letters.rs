//! `/v1/endpoints/{id}/dead-letters`: deliveries that were given up.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{self, Faults, Field, request};
use super::endpoints::find;
use super::page::{self, DeadLetterCursor, Page};
use super::problem::Problem;
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::Caller;
use crate::audit::Action;
use crate::deliver::{Count, Deliveries};
use crate::directory::Directory;
use crate::ids::{EndpointId, EventId};
use crate::store::dead_letters::{DeadLetterFilter, DeadLetterRow, REASONS};

/// Event ids in one request.
pub(super) const MOST_EVENTS: usize = 1000;

/// A delivery that was given up.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// The event; `webhook-id` of the delivery.
    event_id: EventId,
    /// `exhausted`: every attempt failed. `retention`: its content goes before it could have been tried again. `payload_gone`: its content, or the
    /// key to it, went with age. `unreadable`: it does not open.
    reason: String,
    /// Attempts that were made.
    attempts: i16,
    /// When it was given up.
    #[serde(with = "time::serde::rfc3339")]
    died_at: OffsetDateTime,
}

impl From<DeadLetterRow> for DeadLetter {
    fn from(row: DeadLetterRow) -> Self {
        Self {
            event_id: EventId::from_uuid(row.event_id),
            reason: row.reason,
            attempts: row.attempts,
            died_at: row.died_at,
        }
    }
}

request! {
    /// Which dead letters: `all`, or those to which everything else applies. One of the fields is required.
    Redrive {
        /// True: every one of this endpoint.
        all: Option<bool>,
        /// Of these events, at most 1,000.
        event_ids: Option<Vec<EventId>>,
        /// Given up for this reason.
        reason: Option<ReasonText>,
        /// Given up at this time or later.
        since: Option<OffsetDateTime>,
        /// Given up before this time.
        until: Option<OffsetDateTime>,
    }
}

/// Why a delivery was given up.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, pattern = "^(exhausted|payload_gone|retention|unreadable)$")]
pub(super) struct ReasonText(String);

impl Field for ReasonText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: Option<String> = serde_json::from_str(json.get()).ok();
        let known = text.filter(|text| REASONS.contains(&text.as_str()));
        known.map(Self).or_else(|| faults.note(at, "choice", REASONS.join(", ")))
    }
}

/// What was redriven.
#[derive(Serialize, ToSchema)]
pub(super) struct Redriven {
    /// Dead letters that are owed again.
    redriven: u64,
    /// False: there are more of them; ask again.
    complete: bool,
}

/// What was purged.
#[derive(Serialize, ToSchema)]
pub(super) struct Purged {
    /// Dead letters that are forgotten.
    purged: u64,
    /// False: there are more of them; ask again.
    complete: bool,
}

/// Dead letters of an endpoint, newest first.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/dead-letters", tag = "Deliveries", operation_id = "list_dead_letters",
    params(
        ("id" = EndpointId, Path, description = "The endpoint."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
        ("reason" = Option<String>, Query, description = "`exhausted`, `payload_gone`, `retention` or `unreadable`."),
        ("since" = Option<OffsetDateTime>, Query, description = "Given up at this time or later."),
        ("until" = Option<OffsetDateTime>, Query, description = "Given up before this time."),
    ),
    responses((status = 200, description = "A page of dead letters.", body = Page<DeadLetter>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(id): Target<EndpointId>,
    mut params: Params,
) -> Result<Json<Page<DeadLetter>>, Problem> {
    let (behind, limit) = (params.cursor::<DeadLetterCursor>(), params.limit());
    let filter = filter(&mut params);
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    let rows = deliveries.dead_letters(&endpoint, &filter, behind.map(|at| at.0), page::one_more(limit)).await?;
    Ok(Json(page::of_rows(rows, limit, |row| DeadLetterCursor((row.died_at, row.event_id)))))
}

fn filter(params: &mut Params) -> DeadLetterFilter {
    DeadLetterFilter {
        events: None,
        reason: params.choice("reason", &REASONS),
        since: params.time("since"),
        until: params.time("until"),
    }
}

/// Has dead letters delivered after all, under the same `webhook-id`, with all attempts anew.
///
/// What is not done within the time of a request is left dead: ask again while `complete` is false. To repeat a request does
/// no harm.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/dead-letters/redrive", tag = "Deliveries", operation_id = "redrive_dead_letters",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body = Redrive,
    responses((status = 200, description = "How many are owed again.", body = Redriven)),
)]
pub(super) async fn redrive(
    (who, trail): (Caller, Trail),
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(id): Target<EndpointId>,
    params: Params,
    body::Json(wanted): body::Json<Redrive>,
) -> Result<Json<Redriven>, Problem> {
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    let mut faults = Faults::default();
    let filter = DeadLetterFilter {
        events: wanted.event_ids.map(|ids| checked(&ids, &mut faults)),
        reason: wanted.reason.map(|reason| reason.0),
        since: wanted.since,
        until: wanted.until,
    };
    if wanted.all != Some(true) && filter.is_empty() {
        faults.note("/all", "required", "true, or another field that says which").unwrap_or(());
    }
    faults.refuse()?;
    trail.leave(&who, Action::DeadLettersRedriven, "endpoint", id.uuid()).await?;
    let Count { counted, complete } = deliveries.redrive(&endpoint, filter).await?;
    Ok(Json(Redriven { redriven: counted, complete }))
}

/// Notes a fault when there are too many.
pub(super) fn checked(ids: &[EventId], faults: &mut Faults) -> Vec<Uuid> {
    if ids.len() > MOST_EVENTS {
        faults.note("/event_ids", "length", format!("at most {MOST_EVENTS} ids")).unwrap_or(());
    }
    ids.iter().copied().map(EventId::uuid).collect()
}

/// Forgets dead letters for good: `all=true`, or those to which everything else applies.
///
/// What is not done within the time of a request is left: ask again while `complete` is false.
#[utoipa::path(
    delete, path = "/v1/endpoints/{id}/dead-letters", tag = "Deliveries", operation_id = "purge_dead_letters",
    params(
        ("id" = EndpointId, Path, description = "The endpoint."),
        ("all" = Option<bool>, Query, description = "`true`: every one of this endpoint."),
        ("event_ids" = Option<String>, Query, description = "Of these events, separated by commas."),
        ("reason" = Option<String>, Query, description = "`exhausted`, `payload_gone`, `retention` or `unreadable`."),
        ("since" = Option<OffsetDateTime>, Query, description = "Given up at this time or later."),
        ("until" = Option<OffsetDateTime>, Query, description = "Given up before this time."),
    ),
    responses((status = 200, description = "How many are forgotten.", body = Purged)),
)]
pub(super) async fn purge(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(id): Target<EndpointId>,
    mut params: Params,
) -> Result<Json<Purged>, Problem> {
    let all = params.choice("all", &["true"]).is_some();
    let filter = DeadLetterFilter { events: params.ids("event_ids", MOST_EVENTS), ..filter(&mut params) };
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    if !all && filter.is_empty() {
        let mut params = Params::default();
        params.fault("all", "required", "true, or another parameter that says which");
        params.finish()?;
    }
    trail.leave(&who, Action::DeadLettersPurged, "endpoint", id.uuid()).await?;
    let Count { counted, complete } = deliveries.purge(&endpoint, &filter).await?;
    Ok(Json(Purged { purged: counted, complete }))
}
