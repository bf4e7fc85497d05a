//! `/v1/endpoints/{id}/replays`: events of the past, once more.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::{self, Faults, request};
use super::dead_letters::checked;
use super::endpoints::find;
use super::fields::EventTypeText;
use super::page::{self, Page, ReplayCursor};
use super::problem::{Code, Problem};
use super::query::Params;
use super::target::{Target, Targets};
use super::trail::Trail;
use crate::access::Caller;
use crate::audit::Action;
use crate::deliver::{Deliveries, ReplayRefused, Wanted, WantedEvents};
use crate::directory::Directory;
use crate::ids::{ChannelId, ContactId, EndpointId, EventId, ReplayId};
use crate::store::replays::ReplayRow;

request! {
    /// Which events: `event_ids`, or everything since a time. What the endpoint's own filter leaves out is left out here too.
    NewReplay {
        /// These, at most 1,000. Those that are unknown are passed over.
        event_ids: Option<Vec<EventId>>,
        /// Received at this time or later.
        since: Option<OffsetDateTime>,
        /// Received before this time; now when absent.
        until: Option<OffsetDateTime>,
        /// Beside `since`: of these types; absent or empty: all.
        event_types: Option<Vec<EventTypeText>>,
        /// Beside `since`: of these channels; absent or empty: all.
        channel_ids: Option<Vec<ChannelId>>,
        /// Beside `since`: about this person.
        contact_id: Option<ContactId>,
        /// True: counts, and does nothing.
        dry_run: Option<bool>,
    }
}

/// A replay.
#[derive(Serialize, ToSchema)]
#[schema(as = Replay)]
pub(super) struct ReplayJson {
    id: ReplayId,
    endpoint_id: EndpointId,
    /// `running`, `done`, `cancelled` or `failed`. What was inserted before it ended stays owed.
    state: String,
    /// Of a replay of single events.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_ids: Option<Vec<EventId>>,
    #[serde(with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    until: Option<OffsetDateTime>,
    /// Empty: all.
    event_types: Vec<String>,
    /// Empty: all.
    channel_ids: Vec<ChannelId>,
    contact_id: Option<ContactId>,
    /// Events found so far.
    counted: i64,
    /// Of these, those that did not wait for the endpoint already.
    inserted: i64,
    /// How far it has come: when the last event that it looked at was received.
    #[serde(with = "time::serde::rfc3339::option")]
    position: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
}

impl From<ReplayRow> for ReplayJson {
    fn from(row: ReplayRow) -> Self {
        Self {
            id: ReplayId::from_uuid(row.replay_id),
            endpoint_id: EndpointId::from_uuid(row.endpoint_id),
            state: row.state,
            event_ids: row.event_ids.map(|ids| ids.into_iter().map(EventId::from_uuid).collect()),
            since: row.since,
            until: row.until,
            event_types: row.event_types,
            channel_ids: row.channel_ids.into_iter().map(ChannelId::from_uuid).collect(),
            contact_id: row.contact_id.map(ContactId::from_uuid),
            counted: row.counted,
            inserted: row.inserted,
            position: row.at_event.filter(|id| !id.is_nil()).map(|id| EventId::from_uuid(id).made_at()),
            created_at: row.created_at,
            ended_at: row.ended_at,
        }
    }
}

/// What a replay would find.
#[derive(Serialize, ToSchema)]
pub(super) struct DryRun {
    /// Events.
    counted: u64,
    /// False: these are as many as could be counted within the time of a request; there are more.
    complete: bool,
}

impl From<ReplayRefused> for Problem {
    fn from(refused: ReplayRefused) -> Self {
        match refused {
            ReplayRefused::Disabled => {
                Self::new(Code::Conflict).with_detail("the endpoint is disabled; activate it first")
            }
            ReplayRefused::Store(error) => error.into(),
        }
    }
}

/// Has an endpoint get events of the past once more, in the order of their commits, under their first `webhook-id`.
///
/// What is waiting for the endpoint already is not doubled. A replay of a span goes on by itself, and pauses while 20,000
/// deliveries wait for the endpoint. An event whose content was dropped becomes a dead letter.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/replays", tag = "Deliveries", operation_id = "create_replay",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body = NewReplay,
    responses(
        (status = 200, description = "With `dry_run`: how many events there are.", body = DryRun),
        (status = 202, description = "The replay. One of `event_ids` is done.", body = ReplayJson),
        (status = 409, description = "`conflict`: the endpoint is disabled."),
    ),
)]
pub(super) async fn create(
    (who, trail): (Caller, Trail),
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(id): Target<EndpointId>,
    params: Params,
    body::Json(new): body::Json<NewReplay>,
) -> Result<Response, Problem> {
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    let (dry_run, mut faults) = (new.dry_run == Some(true), Faults::default());
    super::channels::check_all(&who, &directory, new.channel_ids.as_deref().unwrap_or_default(), &mut faults);
    let wanted = wanted(new, deliveries.now(), &mut faults);
    faults.refuse()?;
    // What has faults is not there, and was refused.
    let wanted = wanted.ok_or(Problem::new(Code::Internal))?;
    if dry_run {
        let count = deliveries.count(&endpoint, &wanted).await?;
        return Ok(Json(DryRun { counted: count.counted, complete: count.complete }).into_response());
    }
    trail.leave(&who, Action::ReplayCreated, "endpoint", id.uuid()).await?;
    let replay = deliveries.replay(&endpoint, &wanted).await?;
    Ok((StatusCode::ACCEPTED, Json(ReplayJson::from(replay))).into_response())
}

fn wanted(new: NewReplay, now: OffsetDateTime, faults: &mut Faults) -> Option<Wanted> {
    let event_types: Vec<String> = new.event_types.unwrap_or_default().into_iter().map(|text| text.0).collect();
    let channels = new.channel_ids.unwrap_or_default();
    let events = match (new.event_ids, new.since) {
        (None, None) => faults.note("/since", "required", "since, or event_ids"),
        (Some(_), Some(_)) => faults.note("/event_ids", "exclusive", "either event_ids or since"),
        (Some(ids), None) => {
            let _uuids = checked(&ids, faults);
            if new.until.is_some() || !event_types.is_empty() || !channels.is_empty() || new.contact_id.is_some() {
                faults.note::<()>("/event_ids", "exclusive", "event_ids and nothing else");
            }
            Some(WantedEvents::Ids(ids))
        }
        (None, Some(since)) => match new.until.unwrap_or(now) {
            until if since < until => Some(WantedEvents::Span(since, until)),
            _ => faults.note("/until", "range", "a time after since"),
        },
    };
    events.map(|events| Wanted { events, event_types, channels, contact: new.contact_id })
}

/// Replays of an endpoint, newest first. They are kept for 90 days after their end.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/replays", tag = "Deliveries", operation_id = "list_replays",
    params(
        ("id" = EndpointId, Path, description = "The endpoint."),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of replays.", body = Page<ReplayJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Target(id): Target<EndpointId>,
    mut params: Params,
) -> Result<Json<Page<ReplayJson>>, Problem> {
    let (before, limit) = (params.cursor::<ReplayCursor>(), params.limit());
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    let rows = deliveries.replays(&endpoint, before.map(|at| at.0), page::one_more(limit)).await?;
    Ok(Json(page::of_rows(rows, limit, |row| ReplayCursor(row.replay_id))))
}

/// One replay, and how far it has come.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}/replays/{replay_id}", tag = "Deliveries", operation_id = "show_replay",
    params(
        ("id" = EndpointId, Path, description = "The endpoint."),
        ("replay_id" = ReplayId, Path, description = "The replay."),
    ),
    responses((status = 200, description = "The replay.", body = ReplayJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Targets(id, replay): Targets<EndpointId, ReplayId>,
    params: Params,
) -> Result<Json<ReplayJson>, Problem> {
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    let row = deliveries.find_replay(&endpoint, replay).await?;
    row.map(|row| Json(row.into())).ok_or(Problem::new(Code::NotFound))
}

/// Ends a replay that runs. What it has put among what is owed stays there. One that has ended stays as it is.
#[utoipa::path(
    delete, path = "/v1/endpoints/{id}/replays/{replay_id}", tag = "Deliveries", operation_id = "cancel_replay",
    params(
        ("id" = EndpointId, Path, description = "The endpoint."),
        ("replay_id" = ReplayId, Path, description = "The replay."),
    ),
    responses((status = 200, description = "The replay, which runs no longer.", body = ReplayJson)),
)]
pub(super) async fn cancel(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    State(deliveries): State<Deliveries>,
    Targets(id, replay): Targets<EndpointId, ReplayId>,
    params: Params,
) -> Result<Json<ReplayJson>, Problem> {
    params.finish()?;
    let endpoint = find(&directory, &who, id)?;
    let missing = || Problem::new(Code::NotFound);
    deliveries.find_replay(&endpoint, replay).await?.ok_or_else(missing)?;
    trail.leave(&who, Action::ReplayCancelled, "replay", replay.uuid()).await?;
    deliveries.cancel(who.tenant, replay).await?;
    let row = deliveries.find_replay(&endpoint, replay).await?.ok_or_else(missing)?;
    Ok(Json(row.into()))
}
