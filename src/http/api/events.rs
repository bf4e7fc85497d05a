//! `GET /v1/events`.

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use tokio::time::{Duration, Instant};
use utoipa::ToSchema;

use super::event_query::Wanted;
use super::follower::Follower;
use super::page::{Cursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use crate::access::views::{Content, EventView};
use crate::access::{Caller, Errand, Sight};
use crate::domain::endpoint::Fields;
use crate::egress::event_json::{self, EventMeta, Payload};
use crate::egress::view::View;
use crate::http::frame::Leave;
use crate::http::state::AppState;
use crate::ids::{ChannelId, ContactId, EventId, MessageId};

/// Longest wait for something that may come, in seconds.
const LONGEST_WAIT: u64 = 60;

/// An event, as `GET /v1/events` shows it and endpoints of format `standard` receive it.
#[derive(ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "describes what egress::event_json writes")]
pub(super) struct EventDoc {
    /// The same in every delivery of this event, as `webhook-id`.
    id: EventId,
    /// Stable name of the type.
    #[schema(example = "message.received")]
    r#type: String,
    /// Meta's time, or ours where Meta gave none.
    timestamp: OffsetDateTime,
    data: EventDataDoc,
}

/// What an event says.
#[derive(ToSchema)]
#[schema(as = EventData)]
#[expect(dead_code, reason = "describes what egress::event_json writes")]
struct EventDataDoc {
    /// The channel, when it is one of yours.
    channel_id: Option<ChannelId>,
    /// Meta's id of the channel's number.
    phone_number_id: Option<String>,
    /// The person, when it is about one.
    contact_id: Option<ContactId>,
    /// Your message, when it is about one that was sent through the gateway.
    message_id: Option<MessageId>,
    /// When it came in.
    received_at: OffsetDateTime,
    /// Meta's webhook field.
    #[schema(example = "messages")]
    field: Option<String>,
    /// Meta's own JSON of the one thing that happened, byte for byte. Null once erased.
    #[schema(value_type = Option<Object>)]
    item: (),
    /// Of an old message: the thread that it stood in.
    #[schema(value_type = Option<String>)]
    thread_id: (),
    /// Meta's `contacts` beside it, byte for byte.
    #[schema(value_type = Option<Vec<Object>>)]
    contacts: (),
    /// Meta's `metadata` beside it, byte for byte.
    #[schema(value_type = Option<Object>)]
    metadata: (),
    /// In place of `field` and `item`, when the form is unknown: Meta's whole envelope.
    #[schema(value_type = Option<Object>)]
    meta: (),
    /// In place of `meta`, when it is no JSON that common readers take.
    raw_base64: Option<String>,
    /// True: there is content of a form that cannot be masked, and it is not shown. Otherwise absent.
    withheld: Option<bool>,
    /// True: the content was erased. Otherwise absent.
    erased: Option<bool>,
    /// True: the content is there, but does not open. Otherwise absent.
    damaged: Option<bool>,
}

/// The next events, in the order in which they were committed.
///
/// Keep `next_cursor` and ask again with it: each event comes once, and none is skipped, however late it commits. The
/// cursor is given also when there is nothing more yet, and moves on also when a filter lets nothing pass: a page may be empty
/// although `has_more` is true. With `wait`, the answer comes as soon as there is something, or when the time is over.
#[utoipa::path(
    get, path = "/v1/events", tag = "Events", operation_id = "list_events",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; absent: from the beginning."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
        ("wait" = Option<u8>, Query, description = "Seconds to wait for something, 0 to 60; 0 when absent."),
        ("type" = Option<String>, Query, description = "Event types or prefixes such as `message.*`, separated by commas."),
        ("channel_id" = Option<ChannelId>, Query, description = "One channel."),
        ("contact_id" = Option<ContactId>, Query, description = "One person."),
        ("direction" = Option<String>, Query, description = "`in` or `out`: events about messages that went this way."),
        ("where" = Option<String>, Query, description = "What the event JSON must look like: a predicate as JSON, as endpoints have it."),
        ("fields" = Option<String>, Query, description = "How much is shown: `ids`, `metadata`, `masked` or `full`; as much as the key may see when absent, and never more."),
    ),
    responses(
        (status = 200, description = "A page of events.", body = Page<EventDoc>),
        (status = 429, description = "`too_many_readers`"),
    ),
)]
pub(super) async fn list(
    who: Caller,
    errand: Errand,
    State(state): State<AppState>,
    Extension(leave): Extension<Leave>,
    mut params: Params,
) -> Result<Json<Page<Box<RawValue>>>, Problem> {
    let limit = params.limit();
    let (wanted, wait) = (Wanted::take(&mut params, limit), wait(&mut params));
    params.finish()?;
    let key = who.key;
    let mut follower = Follower::new(&state, (who, errand), wanted);
    let look = if wait.is_zero() {
        follower.look().await?
    } else {
        let _seat = state.readers.waiting.take(key).ok_or(Problem::new(Code::TooManyReaders))?;
        leave.grant(wait);
        follower.look_until(Instant::now() + wait).await?
    };
    let data = look.events.into_iter().map(|event| event.json).collect();
    Ok(Json(Page { data, next_cursor: Some(follower.place().to_text()), has_more: look.has_more }))
}

fn wait(params: &mut Params) -> Duration {
    let Some(text) = params.take("wait") else { return Duration::ZERO };
    let seconds = text.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT);
    if seconds.is_none() {
        params.fault("wait", "range", format!("a number of seconds from 0 to {LONGEST_WAIT}"));
    }
    Duration::from_secs(seconds.unwrap_or(0))
}

/// The event JSON of format `standard`, as far as its reader may see it.
pub(super) fn json(event: &EventView, sight: Sight) -> Option<Box<RawValue>> {
    shown_as(event, sight.fields())
}

/// The event JSON, as far as it is to be shown.
pub(super) fn shown_as(event: &EventView, fields: Fields) -> Option<Box<RawValue>> {
    let bytes = View::new(fields, None).standard(&meta(event), payload(event));
    String::from_utf8(bytes).ok().and_then(|text| RawValue::from_string(text).ok())
}

/// The event JSON as predicates see it: whole, or as far as it is to be shown.
pub(super) fn judged(event: &EventView, fields: Fields) -> Value {
    if fields == Fields::Full {
        return event_json::value(&meta(event), payload(event));
    }
    shown_as(event, fields).and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

fn meta(event: &EventView) -> EventMeta<'_> {
    EventMeta {
        id: event.id,
        event_type: &event.event_type,
        occurred_at: event.occurred_at,
        received_at: event.received_at,
        channel: event.channel,
        phone_number_id: event.phone_number_id.as_deref(),
        contact: event.contact,
        message: event.message,
    }
}

fn payload(event: &EventView) -> Payload<'_> {
    match &event.content {
        Content::Opened(payload) => Payload::Opened(payload),
        Content::Erased => Payload::Erased,
        Content::Damaged => Payload::Damaged,
    }
}
