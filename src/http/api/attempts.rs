//! What became of deliveries: the attempts at an endpoint, the fate of an event, and a test of an endpoint.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::endpoints::find;
use super::page::{self, AttemptCursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use crate::access::Caller;
use crate::audit::Action;
use crate::deliver::{Deliveries, TestRefused};
use crate::directory::Directory;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::EventType;
use crate::egress::attempt::AttemptClass;
use crate::ids::{EndpointId, EventId};
use crate::store::attempts::{AttemptFilter, EventFacts, LoggedAttempt, OwedRow};

/// An attempt that failed. Neither body is kept.
#[derive(Serialize, ToSchema)]
pub(super) struct FailedAttempt {
    /// The event; `webhook-id` of the delivery.
    event_id: EventId,
    /// First is 1; counted anew after a replay.
    number: i16,
    /// How it ended: `gone`, `throttled`, `client_error`, `server_error`, `redirect`, `timeout`, `connect`, `tls`, `refused` or
    /// `protocol`.
    class: String,
    /// HTTP status, when there was an answer.
    status: Option<i16>,
    /// How long it took, in milliseconds.
    ms: i32,
    /// Length of the body that was sent.
    request_bytes: i32,
    /// Length of the body that was answered, as far as it was read: 64 KiB at most.
    response_bytes: i32,
    #[serde(with = "time::serde::rfc3339")]
    at: OffsetDateTime,
}

impl From<LoggedAttempt> for FailedAttempt {
    fn from(row: LoggedAttempt) -> Self {
        Self {
            event_id: EventId::from_uuid(row.event_id),
            number: row.number,
            class: row.class,
            status: row.http_status,
            ms: row.millis,
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            at: row.at,
        }
    }
}

/// What became of an event at one endpoint.
#[derive(Serialize, ToSchema)]
pub(super) struct EventDelivery {
    endpoint_id: EndpointId,
    /// `waiting`: not tried yet. `retrying`: tried, and due again at `next_at`. `dead`: given up. `settled`: owed no longer, which
    /// is to say delivered, left out by the endpoint's predicate or format, or purged.
    state: &'static str,
    /// Attempts that were made, where it is not settled.
    attempts: Option<i16>,
    #[serde(with = "time::serde::rfc3339::option")]
    next_at: Option<OffsetDateTime>,
    /// Why it was given up.
    reason: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    died_at: Option<OffsetDateTime>,
    /// The last of them that failed, oldest first.
    failed: Vec<FailedAttempt>,
}

/// How a test went.
#[derive(Serialize, ToSchema)]
pub(super) struct TestResult {
    /// `success`, or as in the list of attempts.
    class: &'static str,
    /// HTTP status, when there was an answer.
    status: Option<u16>,
    /// How long it took, in milliseconds.
    ms: u64,
    /// Length of the body that was sent.
    request_bytes: usize,
    /// Length of the body that was answered, as far as it was read.
    response_bytes: usize,
}

/// Failed attempts at an endpoint, newest first. Those that succeed are counted and not kept.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/attempts", tag = "Deliveries", operation_id = "list_attempts",
    params(
        ("id" = EndpointId, Path, description = "The endpoint."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
        ("event_id" = Option<EventId>, Query, description = "Of one event."),
        ("class" = Option<String>, Query, description = "That ended so."),
        ("since" = Option<OffsetDateTime>, Query, description = "Made at this time or later."),
        ("until" = Option<OffsetDateTime>, Query, description = "Made before this time."),
    ),
    responses((status = 200, description = "A page of attempts.", body = Page<FailedAttempt>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(id): Target<EndpointId>,
    mut params: Params,
) -> Result<Json<Page<FailedAttempt>>, Problem> {
    let (behind, limit) = (params.cursor::<AttemptCursor>(), params.limit());
    let filter = AttemptFilter {
        event: params.ids("event_id", 1).and_then(|ids| ids.first().copied()),
        class: params.choice("class", &AttemptClass::ALL.map(AttemptClass::as_str)),
        since: params.time("since"),
        until: params.time("until"),
    };
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    let rows = deliveries.attempts(&endpoint, &filter, behind.map(|at| at.0), page::one_more(limit)).await?;
    Ok(Json(page::of_rows(rows, limit, |row| AttemptCursor((row.at, row.event_id)))))
}

/// What became of an event at each endpoint.
///
/// Shown are the endpoints that were owed it, as far as that is still known: those that are owed it, those with failed attempts,
/// and those whose filter matches it and that were there before it. The list is paged by endpoint.
#[utoipa::path(
    get, path = "/v1/events/{id}/deliveries", tag = "Deliveries", operation_id = "list_event_deliveries",
    params(
        ("id" = EventId, Path, description = "The event."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of endpoints.", body = Page<EventDelivery>)),
)]
pub(super) async fn of_event(
    who: Caller,
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(event): Target<EventId>,
    mut params: Params,
) -> Result<Json<Page<EventDelivery>>, Problem> {
    let (after, limit) = (params.cursor(), params.limit());
    params.finish()?;
    let facts = deliveries.facts_of(who.tenant, event).await?;
    // What belongs to no channel is not for those that are confined to some.
    let covered = |facts: &EventFacts| facts.channel.map_or(who.channels.is_empty(), |channel| who.may_use(channel));
    let facts = facts.filter(covered).ok_or(Problem::new(Code::NotFound))?;
    let snapshot = directory.snapshot();
    let endpoints = snapshot.endpoints_of(who.tenant).into_iter().filter(|one| who.covers(&one.filter.channels));
    let page = page::of_settings(endpoints, |endpoint| endpoint.id.uuid(), after, limit);
    let ids: Vec<Uuid> = page.data.iter().map(|endpoint| endpoint.id.uuid()).collect();
    let fate = deliveries.fate(who.tenant, event, &ids).await?;
    let mut owed: HashMap<Uuid, OwedRow> = fate.owed.into_iter().map(|row| (row.endpoint_id, row)).collect();
    let mut failed: HashMap<Uuid, Vec<LoggedAttempt>> = HashMap::new();
    for attempt in fate.attempts {
        failed.entry(attempt.endpoint_id).or_default().push(attempt);
    }
    let shown = page.data.iter().filter_map(|endpoint| {
        let id = endpoint.id.uuid();
        delivery(endpoint, event, &facts, owed.remove(&id), failed.remove(&id).unwrap_or_default())
    });
    Ok(Json(Page { data: shown.collect(), next_cursor: page.next_cursor, has_more: page.has_more }))
}

fn delivery(
    endpoint: &Endpoint,
    event: EventId,
    facts: &EventFacts,
    owed: Option<OwedRow>,
    failed: Vec<LoggedAttempt>,
) -> Option<EventDelivery> {
    let asks = EventType::parse(&facts.event_type)
        .is_some_and(|event_type| endpoint.filter.matches(event_type, facts.channel));
    let was_there = endpoint.id.uuid() < event.uuid();
    if owed.is_none() && failed.is_empty() && !(asks && was_there) {
        return None;
    }
    let state = match &owed {
        None => "settled",
        Some(row) if row.reason.is_some() => "dead",
        Some(row) if row.attempts > 0 => "retrying",
        Some(_) => "waiting",
    };
    Some(EventDelivery {
        endpoint_id: endpoint.id,
        state,
        attempts: owed.as_ref().map(|row| row.attempts),
        next_at: owed.as_ref().and_then(|row| row.next_at),
        died_at: owed.as_ref().and_then(|row| row.died_at),
        reason: owed.and_then(|row| row.reason),
        failed: failed.into_iter().map(FailedAttempt::from).collect(),
    })
}

impl From<TestRefused> for Problem {
    fn from(refused: TestRefused) -> Self {
        match refused {
            TestRefused::TooMany { wait } => Self::new(Code::RateLimited)
                .with_detail(format!("the next test in {} s", wait.whole_seconds().saturating_add(1))),
            TestRefused::Unsigned => {
                Self::new(Code::Conflict).with_detail("the endpoint's secret cannot sign; make another")
            }
        }
    }
}

/// Sends a made-up event of the type `endpoint.test` to an endpoint at once, and says how that went.
///
/// It is signed and formatted like any other, has `"test": true` in `data`, and is neither stored nor repeated. Filters and
/// pauses do not hold it back. In format `meta` it is a text message of invented values. Ten a minute.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/test", tag = "Deliveries", operation_id = "test_endpoint",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses(
        (status = 200, description = "How it went, also when it failed.", body = TestResult),
        (status = 409, description = "`conflict`: the endpoint's secret cannot sign."),
        (status = 429, description = "`rate_limited`: it was tested ten times within a minute."),
    ),
)]
pub(super) async fn test(
    (who, trail): (Caller, Trail),
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(id): Target<EndpointId>,
    params: Params,
) -> Result<Json<TestResult>, Problem> {
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    trail.leave(&who, Action::EndpointTested, "endpoint", id.uuid()).await?;
    let attempt = deliveries.test(&endpoint).await?;
    Ok(Json(TestResult {
        class: attempt.class.as_str(),
        status: attempt.http_status,
        ms: attempt.elapsed.as_millis() as u64,
        request_bytes: attempt.request_bytes,
        response_bytes: attempt.response_bytes,
    }))
}
