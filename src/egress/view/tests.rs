//! Every documented payload through every policy, read back by means that know nothing of how it was written.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::*;
use crate::crypto::keyed_hash::HashKey;
use crate::ids::{ChannelId, ContactId, EndpointId, EventId};

/// Members under which Meta names people, numbers and ids of people and messages, wherever they stand.
const PERSONAL: &[&str] = &[
    "first_name",
    "formatted_name",
    "from",
    "from_parent_user_id",
    "from_user_id",
    "full_name",
    "message_id",
    "new_wa_id",
    "original_message_id",
    "parent_recipient_user_id",
    "parent_user_id",
    "phone",
    "phone_number",
    "display_phone_number",
    "previous_parent_user_id",
    "previous_user_id",
    "recipient_id",
    "recipient_parent_user_id",
    "recipient_participant_id",
    "recipient_participant_user_id",
    "recipient_user_id",
    "to",
    "to_user_id",
    "user_id",
    "username",
    "vcard",
    "wa_id",
];

/// Members whose text people write to each other.
const FREE_TEXT: &[&str] = &[
    "address",
    "body",
    "caption",
    "description",
    "emoji",
    "filename",
    "payload",
    "response_json",
    "summary",
    "text",
    "title",
];

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/meta");
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    all.sort();
    assert!(all.len() >= 100);
    all
}

/// What stands in the payloads for numbers, people, their ids and those of their messages, whatever the member is called.
const INVENTED: &[&str] = &[
    "49151999000",
    "1519 9900",
    "15550001111",
    "DE.9000",
    "DE.ENT.",
    "Ana Muster",
    "Beispiel",
    "Cem Muster",
    "ana.muster",
    "wamid.",
    "wacid.",
    "INVENTEDCLICK",
    "INVENTEDGROUP",
    "INVENTEDHASH",
    "INVENTEDTOKEN",
    "VCARD",
];

/// Types under which the one item of a payload is found, or the payload is kept whole.
const TYPES: [&str; 6] =
    ["message.received", "message.sent", "channel.updated", "message.history", "unrecognised", "call.updated"];

fn meta(event_type: &str) -> EventMeta<'_> {
    EventMeta {
        id: EventId::from_uuid(Uuid::from_u128(1)),
        event_type,
        occurred_at: datetime!(2026-11-22 11:00 UTC),
        received_at: datetime!(2026-11-22 11:00:01.5 UTC),
        channel: Some(ChannelId::from_uuid(Uuid::from_u128(2))),
        phone_number_id: Some("100000000000001"),
        contact: Some(ContactId::from_uuid(Uuid::from_u128(3))),
        message: None,
    }
}

fn leaves<'v>(value: &'v Value, key: &'v str, found: &mut Vec<(&'v str, &'v Value)>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| leaves(value, key, found)),
        Value::Array(elements) => elements.iter().for_each(|element| leaves(element, key, found)),
        leaf => found.push((key, leaf)),
    }
}

/// All that is personal in a payload: what stands below a personal member, names of profiles, and whatever is a wamid.
fn personal_values(payload: &Value) -> BTreeSet<String> {
    fn gather(value: &Value, key: &str, parent: &str, personal: bool, found: &mut BTreeSet<String>) {
        let name_of_a_person = key == "name" && matches!(parent, "profile" | "contacts");
        let personal = personal || PERSONAL.contains(&key) || name_of_a_person;
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| gather(value, name, key, personal, found));
            }
            Value::Array(elements) => elements.iter().for_each(|one| gather(one, key, parent, personal, found)),
            Value::String(text) if personal || text.starts_with("wamid.") || text.starts_with("wacid.") => {
                found.insert(text.clone());
            }
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    gather(payload, "", "", false, &mut found);
    found.retain(|value| value.len() > 3 && value != "business" && value != "100000000000001");
    found
}

fn shown(fields: Fields, event_type: &str, payload: &[u8]) -> Value {
    serde_json::from_slice(&View::new(fields, None).standard(&meta(event_type), Payload::Opened(payload))).unwrap()
}

#[test]
fn ids_and_metadata_show_nothing_personal_of_any_payload() {
    for (name, payload) in fixtures() {
        let personal =
            serde_json::from_slice(&payload).map_or_else(|_| BTreeSet::new(), |value| personal_values(&value));
        for (fields, event_type) in [Fields::Ids, Fields::Metadata].into_iter().flat_map(|f| TYPES.map(|t| (f, t))) {
            let shown = shown(fields, event_type, &payload).to_string();
            for value in &personal {
                assert!(!shown.contains(value.as_str()), "{name} as {event_type} under {fields:?}: {value}");
            }
            let tells = INVENTED.iter().find(|value| shown.contains(**value));
            assert_eq!(tells, None, "{name} as {event_type} under {fields:?}");
        }
    }
}

#[test]
fn masked_shows_no_name_number_or_wamid_outside_of_what_people_wrote() {
    for (name, payload) in fixtures() {
        let Ok(value) = serde_json::from_slice::<Value>(&payload) else { continue };
        let personal = personal_values(&value);
        for event_type in TYPES {
            let standard = shown(Fields::Masked, event_type, &payload);
            let envelope = View::new(Fields::Masked, None).envelope(&payload).unwrap().into_owned();
            for shown in [standard["data"].clone(), serde_json::from_slice(&envelope).unwrap()] {
                let mut found = Vec::new();
                leaves(&shown, "", &mut found);
                for (key, leaf) in found.into_iter().filter(|(key, _)| !FREE_TEXT.contains(key)) {
                    let text = leaf.as_str().map_or_else(|| leaf.to_string(), str::to_owned);
                    let personal = personal.iter().map(String::as_str).chain(INVENTED.iter().copied());
                    let tells = personal.into_iter().find(|value| text.contains(value));
                    assert_eq!(tells, None, "{name} as {event_type}: {key}");
                }
            }
        }
    }
}

#[test]
fn masked_keeps_the_shape_and_full_keeps_every_byte() {
    fn shape(value: &Value) -> Value {
        match value {
            Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), shape(value))).collect(),
            Value::Array(elements) => elements.iter().map(shape).collect(),
            _ => Value::Null,
        }
    }
    for (name, payload) in fixtures() {
        let full = View::new(Fields::Full, None);
        assert_eq!(full.envelope(&payload).as_deref(), Some(&payload[..]), "{name}");
        for event_type in TYPES {
            let standard = event_json::standard_event(&meta(event_type), Payload::Opened(&payload));
            assert_eq!(full.standard(&meta(event_type), Payload::Opened(&payload)), standard, "{name}");
            let unmasked: Value = serde_json::from_slice(&standard).unwrap();
            if unmasked["data"].get("raw_base64").is_none() {
                assert_eq!(shape(&shown(Fields::Masked, event_type, &payload)), shape(&unmasked), "{name}");
            }
        }
    }
}

fn envelope(value: &Value) -> Vec<u8> {
    let changes = json!([{ "field": "messages", "value": value }]);
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "9", "changes": changes }] })
        .to_string()
        .into_bytes()
}

#[test]
fn a_message_under_each_policy() {
    let payload = envelope(&json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550001111", "phone_number_id": "100000000000001" },
        "contacts": [{ "profile": { "name": "Ana Muster" }, "wa_id": "4915199900011", "user_id": "DE.9000000000000001" }],
        "messages": [{
            "from": "4915199900011", "id": "wamid.INVENTED", "timestamp": "1763800000", "type": "image",
            "image": { "id": "600000000000009", "mime_type": "image/jpeg", "caption": "Ruf 4915199900011 an" },
            "context": { "from": "15550001111", "id": "wamid.OTHER", "forwarded": true },
            "hologram": { "owner": "+49 1519 9900011", "depth": 3, "seen": 4_915_199_900_011_u64, "49151999000": "x" }
        }]
    }));
    let data = |fields| shown(fields, "message.received", &payload)["data"].clone();
    let masked = data(Fields::Masked);
    assert_eq!(
        masked["item"],
        json!({
            "from": "+49 ••• ••• 11", "id": "•••", "timestamp": "1763800000", "type": "image",
            "image": { "id": "600000000000009", "mime_type": "image/jpeg", "caption": "Ruf 4915199900011 an" },
            "context": { "from": "+15 ••• ••• 11", "id": "•••", "forwarded": true },
            "hologram": { "owner": "+49 ••• ••• 11", "depth": 3, "seen": "+49 ••• ••• 11", "•••": "x" }
        })
    );
    assert_eq!(
        masked["contacts"],
        json!([{ "profile": { "name": "•••" }, "wa_id": "+49 ••• ••• 11", "user_id": "•••" }])
    );
    assert_eq!(
        masked["metadata"],
        json!({ "display_phone_number": "+15 ••• ••• 11", "phone_number_id": "100000000000001" })
    );
    let ids = json!({
        "channel_id": Uuid::from_u128(2), "phone_number_id": null, "contact_id": Uuid::from_u128(3), "message_id": null,
        "received_at": "2026-11-22T11:00:01.5Z"
    });
    assert_eq!(data(Fields::Ids), ids);
    let mut described = ids;
    described["phone_number_id"] = json!("100000000000001");
    described["field"] = json!("messages");
    described["metadata"] = json!({ "phone_number_id": "100000000000001" });
    described["item"] = json!({
        "timestamp": "1763800000", "type": "image", "image": { "mime_type": "image/jpeg" }, "context": { "forwarded": true }
    });
    assert_eq!(data(Fields::Metadata), described);
}

#[test]
fn a_word_of_the_list_with_a_value_that_is_none_is_left_out() {
    let payload = envelope(&json!({ "messages": [{
        "type": "Ana Muster", "status": "4915199900011", "timestamp": "4915199900011", "errors": [{ "code": "Ana" }],
        "image": { "mime_type": "Ana/x" }, "audio": "Ana", "voice": true, "error_rate": 1
    }] }));
    let item = shown(Fields::Metadata, "message.received", &payload)["data"]["item"].clone();
    assert_eq!(item, json!({ "errors": [{}], "image": {}, "voice": true, "error_rate": 1 }));
}

#[test]
fn what_cannot_be_masked_is_withheld_and_what_is_no_text_is_hidden() {
    let told = |fields, payload: &[u8]| shown(fields, "unrecognised", payload)["data"].clone();
    let data = told(Fields::Masked, b"\xffAna");
    assert_eq!((&data["withheld"], data.get("raw_base64")), (&json!(true), None));
    assert_eq!(told(Fields::Metadata, b"\xffAna").get("withheld"), None);
    assert_eq!(View::new(Fields::Masked, None).envelope(b"\xff"), None);
    let half = br#"{"unheard_of":"\ud800 4915199900011","body":"\ud800","\ud800":1}"#;
    let written = View::new(Fields::Masked, None).standard(&meta("unrecognised"), Payload::Opened(half));
    assert!(String::from_utf8(written).unwrap().ends_with(r#""meta":{"unheard_of":"•••","body":"\ud800"}}}"#));
}

#[test]
fn an_event_without_content_says_so_under_every_policy() {
    for fields in Fields::ALL {
        let data = |payload| -> Value {
            serde_json::from_slice(&View::new(fields, None).standard(&meta("message.received"), payload)).unwrap()
        };
        assert_eq!(data(Payload::Erased)["data"]["erased"], true, "{fields:?}");
        assert_eq!(data(Payload::Damaged)["data"]["damaged"], true, "{fields:?}");
    }
}

fn pseudonyms(key: u8, endpoint: u128) -> Pseudonyms {
    Pseudonyms::new(HashKey::new(&Zeroizing::new([key; 32])), EndpointId::from_uuid(Uuid::from_u128(endpoint)))
}

#[test]
fn a_pseudonym_is_the_same_at_one_endpoint_and_another_at_every_other() {
    let (one, other) = (ContactId::from_uuid(Uuid::from_u128(3)), ContactId::from_uuid(Uuid::from_u128(4)));
    let here = pseudonyms(1, 7);
    assert_eq!(here.of(one), pseudonyms(1, 7).of(one));
    let all = [here.of(one), here.of(other), pseudonyms(1, 8).of(one), pseudonyms(2, 7).of(one), one];
    assert_eq!(all.map(|id| id.to_string()).into_iter().collect::<BTreeSet<_>>().len(), 5);
    assert_eq!(here.of(one).uuid().get_version_num(), 8);
}

#[test]
fn with_pseudonyms_no_contact_id_is_left_and_full_shows_no_more_than_masked() {
    let merged = br#"{"object":"waxseal","details":{"contact_id":"00000000-0000-0000-0000-000000000003","merged_contact_id":"00000000-0000-0000-0000-000000000004","state":"x"}}"#;
    let here = pseudonyms(1, 7);
    for fields in Fields::ALL {
        let view = View::new(fields, Some(&here));
        let event: Value =
            serde_json::from_slice(&view.standard(&meta("contact.merged"), Payload::Opened(merged))).unwrap();
        let item = &event["data"]["item"];
        assert_eq!(item["contact_id"], event["data"]["contact_id"]);
        let gone = here.of(ContactId::from_uuid(Uuid::from_u128(4)));
        assert_eq!(item["merged_contact_id"], gone.to_string());
        assert_eq!(item.get("state").is_some(), fields > Fields::Ids);
        let cloud: Value =
            serde_json::from_slice(&view.cloud_event(TENANT, &meta("contact.merged"), Payload::Opened(merged)))
                .unwrap();
        assert_eq!(cloud["subject"], event["data"]["contact_id"]);
        assert!(!event.to_string().contains("-000000000003") && !cloud.to_string().contains("-000000000003"));
        let number = envelope(&json!({ "messages": [{ "from": "4915199900011" }] }));
        let event = view.standard(&meta("message.received"), Payload::Opened(&number));
        assert!(!String::from_utf8(event).unwrap().contains("9900011"));
    }
}

const TENANT: TenantId = TenantId::from_uuid(Uuid::from_u128(9));

#[test]
fn a_cloud_event_is_written_as_the_specification_says() {
    let payload = envelope(&json!({ "messages": [{ "type" : "text" }] }));
    let written =
        View::new(Fields::Full, None).cloud_event(TENANT, &meta("message.received"), Payload::Opened(&payload));
    assert_eq!(
        String::from_utf8(written).unwrap(),
        concat!(
            r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000001","#,
            r#""source":"waxseal:00000000-0000-0000-0000-000000000002","type":"waxseal.message.received","#,
            r#""time":"2026-11-22T11:00:00Z","subject":"00000000-0000-0000-0000-000000000003","#,
            r#""datacontenttype":"application/json","data":{"channel_id":"00000000-0000-0000-0000-000000000002","#,
            r#""phone_number_id":"100000000000001","contact_id":"00000000-0000-0000-0000-000000000003","#,
            r#""message_id":null,"received_at":"2026-11-22T11:00:01.5Z","field":"messages","item":{"type":"text"}}}"#
        )
    );
    let about_nobody = EventMeta { channel: None, contact: None, ..meta("account.updated") };
    let written = View::new(Fields::Ids, None).cloud_event(TENANT, &about_nobody, Payload::Erased);
    let event: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!((&event["source"], event.get("subject")), (&json!(format!("waxseal:{TENANT}")), None));
}

/// JSON of any form, with members that the rules know among its names.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    let key = prop_oneof![any::<String>(), prop::sample::select(PERSONAL).prop_map(str::to_owned), "[a-z_]{2,6}"];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..4).prop_map(|map| map.into_iter().collect())
        ]
    })
}

proptest! {
    #[test]
    fn whatever_comes_in_json_goes_out(value in any_json(), spaced: bool, junk: Vec<u8>) {
        let text = if spaced { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
        for payload in [Bytes::from(text), Bytes::from(envelope(&json!({ "messages": [value] }))), junk.into()] {
            for fields in Fields::ALL {
                let written = View::new(fields, None).standard(&meta("message.received"), Payload::Opened(&payload));
                prop_assert!(serde_json::from_slice::<Value>(&written).is_ok());
            }
            if let Some(masked) = View::new(Fields::Masked, None).envelope(&payload) {
                prop_assert!(serde_json::from_slice::<Value>(&masked).is_ok());
            }
        }
    }
}
