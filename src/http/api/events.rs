//! `GET /v1/events`.

use axum::Json;
use axum::extract::State;
use serde_json::value::RawValue;

use super::page::{Cursor, Page};
use super::problem::{Code, Problem};
use super::query::Params;
use crate::access::door::EventQuery;
use crate::access::views::{Content, EventCursor, EventView};
use crate::access::{Caller, Door, Purpose};
use crate::domain::endpoint::Filter;
use crate::domain::event::EventType;
use crate::egress::event_json::{self, EventMeta};
use crate::ids::ChannelId;

/// The next events, in the order in which they were committed.
///
/// Keep `next_cursor` and ask again with it: each event comes once, and none is skipped, however late it commits. The
/// cursor is given also when there is nothing more yet. An event is the same JSON that endpoints of format `standard`
/// receive.
#[utoipa::path(
    get, path = "/v1/events", tag = "Events",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; absent: from the beginning."),
        ("limit" = Option<usize>, Query, description = "1 to 200; 50 when absent."),
        ("type" = Option<String>, Query, description = "Event types or prefixes such as `message.*`, separated by commas."),
        ("channel_id" = Option<ChannelId>, Query, description = "One channel."),
    ),
    responses((status = 200, description = "A page of events.", body = Page<Object>)),
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
    let filter = Filter { event_types: wanted, channels: Vec::new() };
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
