//! `GET /v1/events`.

use axum::Json;
use axum::extract::State;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::page::{Cursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use crate::access::door::EventQuery;
use crate::access::views::{Content, EventCursor, EventView};
use crate::access::{Caller, Door, Purpose};
use crate::domain::endpoint::Filter;
use crate::domain::event::EventType;
use crate::egress::event_json::{self, EventMeta};
use crate::ids::{ChannelId, ContactId, EventId, MessageId};

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
    /// True: the content was erased. Otherwise absent.
    erased: Option<bool>,
    /// True: the content is there, but does not open. Otherwise absent.
    damaged: Option<bool>,
}

/// The next events, in the order in which they were committed.
///
/// Keep `next_cursor` and ask again with it: each event comes once, and none is skipped, however late it commits. The
/// cursor is given also when there is nothing more yet.
#[utoipa::path(
    get, path = "/v1/events", tag = "Events", operation_id = "list_events",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; absent: from the beginning."),
        ("limit" = Option<usize>, Query, description = "1 to 200; 50 when absent."),
        ("type" = Option<String>, Query, description = "Event types or prefixes such as `message.*`, separated by commas."),
        ("channel_id" = Option<ChannelId>, Query, description = "One channel."),
    ),
    responses((status = 200, description = "A page of events.", body = Page<EventDoc>)),
)]
pub(super) async fn list(
    who: Caller,
    State(door): State<Door>,
    mut params: Params,
) -> Result<Json<Page<Box<RawValue>>>, Problem> {
    let after = params.cursor().unwrap_or_default();
    let limit = params.limit();
    let types = params.take("type").and_then(|text| expand(&text, &mut params));
    let channel = params.take("channel_id").and_then(|text| {
        let id: Option<ChannelId> = text.parse().ok();
        id.or_else(|| {
            params.fault("channel_id", "type", "a UUID");
            None
        })
    });
    params.finish()?;
    let page = door.events(&who, Purpose::Application, &EventQuery { after, types, channel, limit }).await?;
    let data = page.items.iter().map(json).collect::<Option<_>>().ok_or(Problem::new(Code::Internal))?;
    Ok(Json(Page { data, next_cursor: page.next.map(|next: EventCursor| next.to_text()), has_more: page.has_more }))
}

/// Exact types behind names and prefixes.
fn expand(text: &str, params: &mut Params) -> Option<Vec<String>> {
    let wanted: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
    if !wanted.iter().all(|part| Filter::is_known(part)) {
        params.fault("type", "event_type", "event types of the documentation, or prefixes such as message.*");
        return None;
    }
    let filter = Filter { event_types: wanted, ..Filter::default() };
    let types = EventType::ALL.iter().filter(|event_type| filter.matches(**event_type, None));
    Some(types.map(|event_type| event_type.as_str().to_owned()).collect())
}

/// The event JSON of format `standard`.
pub(super) fn json(event: &EventView) -> Option<Box<RawValue>> {
    let meta = EventMeta {
        id: event.id,
        event_type: &event.event_type,
        occurred_at: event.occurred_at,
        received_at: event.received_at,
        channel: event.channel,
        phone_number_id: event.phone_number_id.as_deref(),
        contact: event.contact,
        message: event.message,
    };
    let bytes = match &event.content {
        Content::Opened(payload) => event_json::standard_event(&meta, payload),
        Content::Erased => event_json::erased_event(&meta),
        Content::Damaged => event_json::damaged_event(&meta),
    };
    String::from_utf8(bytes).ok().and_then(|text| RawValue::from_string(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_stand_for_their_types() {
        let mut params = Params::default();
        let types = expand("message.read, standby,call.*", &mut params).unwrap();
        assert_eq!(types, ["message.read", "call.updated", "standby"]);
        assert!(expand("message.*,mesage.*", &mut params).is_none());
        assert!(params.finish().is_err());
    }
}
