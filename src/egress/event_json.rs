//! The event JSON of format `standard`: what endpoints receive and `GET /v1/events` shows. Meta's part of it is copied byte
//! for byte out of the stored envelope, so that nothing depends on what this release knows of Meta's fields.

mod content;

#[cfg(test)]
use content::MAX_DEPTH;
pub(super) use content::{Content, json};

use serde::{Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::domain::event::EventType;
use crate::ids::{ChannelId, ContactId, EventId, MessageId};

/// What we know of an event beside its content.
#[derive(Debug, Clone, Copy)]
pub struct EventMeta<'a> {
    /// Id; also the `webhook-id` of its deliveries.
    pub id: EventId,
    /// Stable name of the type. A name of a later release is shown as it is.
    pub event_type: &'a str,
    /// Meta's time, or ours where Meta gave none.
    pub occurred_at: OffsetDateTime,
    /// When Meta's POST came in.
    pub received_at: OffsetDateTime,
    /// Channel, when it is one of ours.
    pub channel: Option<ChannelId>,
    /// Meta's id of that channel's number.
    pub phone_number_id: Option<&'a str>,
    /// Person, when it is about one.
    pub contact: Option<ContactId>,
    /// Our message, when it is about one.
    pub message: Option<MessageId>,
}

impl EventMeta<'_> {
    fn is_test(&self) -> bool {
        self.event_type == EventType::EndpointTest.as_str()
    }
}

/// What an event says, as far as it can be had.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    /// The exact bytes that were sealed.
    Opened(&'a [u8]),
    /// Gone: `"item":null,"erased":true`.
    Erased,
    /// There, but it does not open: `"item":null,"damaged":true`.
    Damaged,
}

impl std::fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payload(…)")
    }
}

/// `{"id","type","timestamp","data":{…}}`. In `data` stand our ids, `field`, the single `item` of Meta's envelope, and the
/// `contacts` and `metadata` that stood beside it. What has not the documented form is kept whole: JSON as `meta`, other
/// bytes, and JSON that is too deep for common readers, as `raw_base64`.
#[must_use]
pub fn standard_event(meta: &EventMeta<'_>, payload: Payload<'_>) -> Vec<u8> {
    write(meta, Content::of(meta.event_type, payload))
}

/// The event JSON as a value, for predicates. What a value cannot hold (half a surrogate pair, a number beyond all measure) is
/// left out with the whole content, so that only conditions on ids, type and times can hold.
#[must_use]
pub fn value(meta: &EventMeta<'_>, payload: Payload<'_>) -> serde_json::Value {
    let whole = serde_json::from_slice(&standard_event(meta, payload));
    whole.or_else(|_| serde_json::from_slice(&write(meta, Content::default()))).unwrap_or_default()
}

#[derive(Serialize)]
struct Event<'a> {
    id: EventId,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(serialize_with = "rfc3339")]
    timestamp: OffsetDateTime,
    data: Data<'a>,
}

/// The member `data` of an event.
#[derive(Serialize)]
pub(super) struct Data<'a> {
    channel_id: Option<ChannelId>,
    phone_number_id: Option<&'a str>,
    contact_id: Option<ContactId>,
    message_id: Option<MessageId>,
    #[serde(serialize_with = "rfc3339")]
    received_at: OffsetDateTime,
    #[serde(flatten)]
    content: Content<'a>,
    /// Nothing of it happened: somebody looks whether events arrive.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    test: bool,
}

impl<'a> Data<'a> {
    pub(super) fn new(meta: &EventMeta<'a>, content: Content<'a>) -> Self {
        Self {
            channel_id: meta.channel,
            phone_number_id: meta.phone_number_id,
            contact_id: meta.contact,
            message_id: meta.message,
            received_at: meta.received_at,
            content,
            test: meta.is_test(),
        }
    }
}

/// The event JSON around a content that was found, and perhaps cut.
pub(super) fn write(meta: &EventMeta<'_>, content: Content<'_>) -> Vec<u8> {
    let data = Data::new(meta, content);
    let event = Event { id: meta.id, event_type: meta.event_type, timestamp: meta.occurred_at, data };
    // Strings, ids and JSON that was read before: there is nothing that would not serialise.
    serde_json::to_vec(&event).unwrap_or_default()
}

/// RFC 3339 in UTC. It has no years beyond 9999, and an event must not be lost for want of a date.
pub(super) fn rfc3339<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = at.to_offset(UtcOffset::UTC).format(&Rfc3339);
    serializer.serialize_str(text.as_deref().unwrap_or("9999-12-31T23:59:59Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;
    use uuid::Uuid;

    fn meta(event_type: &str) -> EventMeta<'_> {
        EventMeta {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            event_type,
            occurred_at: datetime!(2026-11-22 12:00:00 +01:00),
            received_at: datetime!(2026-11-22 11:00:01.5 UTC),
            channel: Some(ChannelId::from_uuid(Uuid::from_u128(2))),
            phone_number_id: Some("1055"),
            contact: None,
            message: None,
        }
    }

    fn text(event_type: &str, payload: &[u8]) -> String {
        String::from_utf8(standard_event(&meta(event_type), Payload::Opened(payload))).unwrap()
    }

    fn data(event_type: &str, payload: &str) -> String {
        let text = text(event_type, payload.as_bytes());
        let (_, content) = text.split_once(r#""received_at":"2026-11-22T11:00:01.5Z","#).unwrap();
        content.strip_suffix("}}").unwrap().to_owned()
    }

    fn envelope(field: &str, value: &str) -> String {
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"9","changes":[{{"field":"{field}","value":{value}}}]}}]}}"#
        )
    }

    #[test]
    fn a_message_is_shown_whole_and_byte_for_byte() {
        let value = r#"{"messaging_product":"whatsapp","metadata":{"phone_number_id":"1055"},"contacts":[{"a" : 1}],"statuses":[],"messages":[{"n":1.50e+3,"s":"\ud800"}]}"#;
        assert_eq!(
            text("message.received", envelope("messages", value).as_bytes()),
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000001","type":"message.received","timestamp":"2026-11-22T11:00:00Z","#,
                r#""data":{"channel_id":"00000000-0000-0000-0000-000000000002","phone_number_id":"1055","contact_id":null,"#,
                r#""message_id":null,"received_at":"2026-11-22T11:00:01.5Z","field":"messages","#,
                r#""item":{"n":1.50e+3,"s":"\ud800"},"contacts":[{"a" : 1}],"metadata":{"phone_number_id":"1055"}}}"#
            )
        );
    }

    #[test]
    fn a_value_that_is_the_event_is_the_item() {
        let content = data("template.updated", &envelope("message_template_status_update", r#"{"event":"APPROVED"}"#));
        assert_eq!(content, r#""field":"message_template_status_update","item":{"event":"APPROVED"}"#);
    }

    #[test]
    fn an_old_message_is_found_in_its_thread_and_a_standby_one_in_its_standby() {
        let history =
            r#"{"metadata":{"m":1},"history":[{"metadata":{"phase":0},"threads":[{"id":"49","messages":[{"x":1}]}]}]}"#;
        let content = data("message.history", &envelope("history", history));
        assert_eq!(content, r#""field":"history","item":{"x":1},"thread_id":"49","metadata":{"m":1}"#);
        let declined = r#"{"history":[{"errors":[{"code":2593109}]}]}"#;
        let content = data("message.error", &envelope("history", declined));
        assert_eq!(content, r#""field":"history","item":{"code":2593109}"#);
        let standby = r#"{"metadata":{"m":1},"standby":{"contacts":[],"messages":[{"x":1}]}}"#;
        let content = data("standby", &envelope("standby", standby));
        assert_eq!(content, r#""field":"standby","item":{"x":1},"contacts":[],"metadata":{"m":1}"#);
    }

    #[test]
    fn an_event_that_is_no_value_is_judged_by_what_we_know_of_it() {
        let of = |payload: String| value(&meta("message.received"), Payload::Opened(payload.as_bytes()));
        let held = of(envelope("messages", r#"{"messages":[{"x":1}]}"#));
        assert_eq!(held["data"]["item"]["x"], 1);
        for odd in [r#""\ud800""#, "1e999"] {
            let payload = envelope("messages", &format!(r#"{{"messages":[{{"x":{odd}}}]}}"#));
            let held = of(payload);
            assert_eq!((&held["type"], held["data"].get("item")), (&"message.received".into(), None));
        }
    }

    #[test]
    fn our_own_events_have_the_same_form() {
        let content = data("contact.merged", r#"{"object":"waxseal","contact_merged":{"contact_id":"a"}}"#);
        assert_eq!(content, r#""field":"contact_merged","item":{"contact_id":"a"}"#);
    }

    #[test]
    fn what_is_unknown_doubled_or_ambiguous_is_kept_whole() {
        for (event_type, payload) in [
            ("unrecognised", envelope("messages", r#"{"messages":[{"x":1}]}"#)),
            ("message.of_tomorrow", envelope("messages", r#"{"messages":[{"x":1}]}"#)),
            ("message.received", envelope("messages", r#"{"messages":[{"x":1},{"y":2}]}"#)),
            ("message.received", envelope("messages", r#"{"messages":[{"x":1}],"statuses":[{"y":2}]}"#)),
            ("message.received", envelope("messages", r#"{"messages":[{"x":1}],"messages":[{"y":2}]}"#)),
            ("message.received", r#"{"object":"page","entry":[]}"#.to_owned()),
            ("message.received", r#"{"object":"whatsapp_business_account","\ud800":1}"#.to_owned()),
            ("unrecognised", "[ 1 ]".to_owned()),
        ] {
            assert_eq!(data(event_type, &payload), format!(r#""meta":{payload}"#));
        }
    }

    #[test]
    fn bytes_that_are_no_json_travel_as_base64_and_erased_content_says_so() {
        assert!(text("unrecognised", b"\xff{").ends_with(r#""raw_base64":"/3s="}}"#));
        let erased = String::from_utf8(standard_event(&meta("message.received"), Payload::Erased)).unwrap();
        assert!(erased.ends_with(r#""received_at":"2026-11-22T11:00:01.5Z","item":null,"erased":true}}"#));
    }

    #[test]
    fn json_that_common_readers_refuse_travels_as_base64() {
        let nested = |levels: usize| "[".repeat(levels) + r#""]\"[""# + &"]".repeat(levels);
        assert!(text("unrecognised", nested(MAX_DEPTH).as_bytes()).contains(r#""meta":[["#));
        assert!(text("unrecognised", nested(MAX_DEPTH + 1).as_bytes()).contains(r#""raw_base64":"W1"#));
    }

    #[test]
    fn a_year_that_rfc_3339_cannot_write_loses_no_event() {
        let far = EventMeta { occurred_at: datetime!(-0001-01-01 00:00 UTC), ..meta("unrecognised") };
        assert!(!standard_event(&far, Payload::Opened(b"{}")).is_empty());
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic_or_write_anything_but_json(payload: Vec<u8>) {
            let written = standard_event(&meta("message.received"), Payload::Opened(&payload));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok());
        }
    }
}
