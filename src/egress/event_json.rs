//! The event JSON of format `standard`: what endpoints receive and `GET /v1/events` shows. Meta's part of it is copied byte
//! for byte out of the stored envelope, so that nothing depends on what this release knows of Meta's fields.

use data_encoding::BASE64;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
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

/// `{"id","type","timestamp","data":{…}}`. In `data` stand our ids, `field`, the single `item` of Meta's envelope, and the
/// `contacts` and `metadata` that stood beside it. What has not the documented form is kept whole: JSON as `meta`, other
/// bytes, and JSON that is too deep for common readers, as `raw_base64`.
#[must_use]
pub fn standard_event(meta: &EventMeta<'_>, payload_json: &[u8]) -> Vec<u8> {
    let json = std::str::from_utf8(payload_json).ok().filter(|text| depth(text) <= MAX_DEPTH);
    let Some(envelope) = json.and_then(|text| serde_json::from_str(text).ok()) else {
        return write(meta, Content { raw_base64: Some(BASE64.encode(payload_json)), ..Content::default() });
    };
    let content = find(EventType::parse(meta.event_type), envelope);
    write(meta, content.unwrap_or_else(|| Content { meta: Some(envelope), ..Content::default() }))
}

/// The same for an event whose content was erased: `"item":null,"erased":true`.
#[must_use]
pub fn erased_event(meta: &EventMeta<'_>) -> Vec<u8> {
    write(meta, Content { item: Some(RawValue::NULL), erased: true, ..Content::default() })
}

/// Containers inside containers. Readers built on `serde_json` stop at 128, and ours lies two deep.
const MAX_DEPTH: usize = 120;

/// The deepest nesting of a JSON text. For other texts, any number.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The same for an event whose content is there but does not open: `"item":null,"damaged":true`.
#[must_use]
pub fn damaged_event(meta: &EventMeta<'_>) -> Vec<u8> {
    write(meta, Content { item: Some(RawValue::NULL), damaged: true, ..Content::default() })
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

#[derive(Serialize)]
struct Data<'a> {
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

#[derive(Default, Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<&'a RawValue>,
    /// Of history: the thread that the message stood in.
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    erased: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    damaged: bool,
}

fn write(meta: &EventMeta<'_>, content: Content<'_>) -> Vec<u8> {
    let data = Data {
        channel_id: meta.channel,
        phone_number_id: meta.phone_number_id,
        contact_id: meta.contact,
        message_id: meta.message,
        received_at: meta.received_at,
        content,
        test: meta.event_type == EventType::EndpointTest.as_str(),
    };
    let event = Event { id: meta.id, event_type: meta.event_type, timestamp: meta.occurred_at, data };
    // Strings, ids and JSON that was read before: there is nothing that would not serialise.
    serde_json::to_vec(&event).unwrap_or_default()
}

/// RFC 3339 in UTC. It has no years beyond 9999, and an event must not be lost for want of a date.
fn rfc3339<S: Serializer>(at: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    let text = at.to_offset(UtcOffset::UTC).format(&Rfc3339);
    serializer.serialize_str(text.as_deref().unwrap_or("9999-12-31T23:59:59Z"))
}

/// An object's members, doubled keys included. A member is found only where it stands once: of doubled ones, each may
/// hold the item.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Members<'a> {
    fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| *value);
        found.next().filter(|_| found.next().is_none())
    }

    /// The single element of the list `name`.
    fn only(&self, name: &str) -> Option<&'a RawValue> {
        match elements(self.get(name)?).as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

fn elements(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

fn find(event_type: Option<EventType>, envelope: &RawValue) -> Option<Content<'_>> {
    let root = Members::of(envelope)?;
    let object: String = serde_json::from_str(root.get("object")?.get()).ok()?;
    if object == "waxseal" {
        return own(&root);
    }
    let change = Members::of(Members::of(root.only("entry")?)?.only("changes")?)?;
    let field = serde_json::from_str(change.get("field")?.get()).ok()?;
    let value = change.get("value")?;
    let content = match event_type? {
        EventType::TemplateUpdated
        | EventType::ChannelUpdated
        | EventType::AccountUpdated
        | EventType::AccountSecurity
        | EventType::FlowUpdated
        | EventType::ThreadHandedOver => Content { item: Some(value), ..Content::default() },
        EventType::Unrecognised => return None,
        _ => listed(&Members::of(value)?)?,
    };
    Some(Content { field: Some(field), ..content })
}

/// An event of our own: what it is called, and what is said of it.
fn own<'a>(root: &Members<'a>) -> Option<Content<'a>> {
    let mut told = root.0.iter().filter(|(key, _)| key != "object");
    let (field, item) = told.next().filter(|_| told.next().is_none())?;
    Some(Content { field: Some(field.clone()), item: Some(item), ..Content::default() })
}

/// Lists of a value whose elements are items.
const LISTS: [&str; 11] = [
    "messages",
    "statuses",
    "errors",
    "user_actions",
    "message_echoes",
    "state_sync",
    "calls",
    "groups",
    "user_preferences",
    "user_id_update",
    "automatic_events",
];

fn listed<'a>(value: &Members<'a>) -> Option<Content<'a>> {
    let standby = value.get("standby").and_then(Members::of);
    let home = standby.as_ref().unwrap_or(value);
    let (item, thread_id) = match home.only("history") {
        Some(part) => from_history(&Members::of(part)?)?,
        None => (the_one(home, &LISTS)?, None),
    };
    let beside = |name: &str| home.get(name).or_else(|| value.get(name));
    let (contacts, metadata) = (beside("contacts"), beside("metadata"));
    Some(Content { item: Some(item), thread_id, contacts, metadata, ..Content::default() })
}

fn from_history<'a>(part: &Members<'a>) -> Option<(&'a RawValue, Option<&'a RawValue>)> {
    let Some(thread) = part.only("threads") else { return Some((part.only("errors")?, None)) };
    let thread = Members::of(thread)?;
    Some((thread.only("messages")?, thread.get("id")))
}

/// The one element of all these lists together. `None` when there are several: choosing would lose the others.
fn the_one<'a>(home: &Members<'a>, lists: &[&str]) -> Option<&'a RawValue> {
    let mut all = home.0.iter().filter(|(key, _)| lists.contains(&key.as_str())).flat_map(|(_, list)| elements(list));
    all.next().filter(|_| all.next().is_none())
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
        String::from_utf8(standard_event(&meta(event_type), payload)).unwrap()
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
        let erased = String::from_utf8(erased_event(&meta("message.received"))).unwrap();
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
        assert!(!standard_event(&far, b"{}").is_empty());
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic_or_write_anything_but_json(payload: Vec<u8>) {
            let written = standard_event(&meta("message.received"), &payload);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&written).is_ok());
        }
    }
}
