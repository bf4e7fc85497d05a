//! What holds for every body, also for those that Meta never sends.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::tests::{assert_each_stands_alone, parse_text};
use super::*;

const LISTS: &[&str] = &[
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
    "history",
    "standby",
    "contacts",
    "metadata",
    "sender",
];
const FIELDS: &[&str] =
    &["messages", "history", "calls", "standby", "account_update", "partner_solutions", "messaging_handovers", "new"];
const KEYS: &[&str] = &[
    "id",
    "from",
    "to",
    "wa_id",
    "user_id",
    "parent_user_id",
    "from_user_id",
    "recipient_id",
    "recipient_user_id",
    "recipient_participant_id",
    "profile",
    "name",
    "username",
    "timestamp",
    "type",
    "system",
    "status",
    "errors",
    "code",
    "threads",
    "messages",
    "statuses",
    "contacts",
    "event",
    "waba_info",
    "waba_id",
    "new_wa_id",
    "previous",
    "current",
];
const WORDS: &[&str] = &[
    "",
    "4915199900011",
    "4915199900022",
    "DE.9000000000000001",
    "DE.ENT.8000000000000001",
    "system",
    "edit",
    "group",
    "user_changed_number",
    "sent",
    "failed",
    "1763800000",
    "99999999999999999999",
    "PARTNER_ADDED",
    "\u{0}",
    "wamid.A",
];

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        4 => prop::sample::select(WORDS).prop_map(Json::from),
        1 => any::<String>().prop_map(Json::from),
        1 => any::<i64>().prop_map(Json::from),
        1 => any::<i32>().prop_map(|eighths| Json::from(f64::from(eighths) / 8.0)),
        1 => prop_oneof![Just(Json::Null), any::<bool>().prop_map(Json::from)],
    ]
}

/// Any JSON, with a liking for the keys and words that mean something here.
fn anything() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..5).prop_map(|members| Json::Object(
                members.into_iter().map(|(key, value)| (key.into(), value)).collect()
            )),
        ]
    })
}

fn value() -> impl Strategy<Value = Json> {
    let list = prop::collection::vec(anything(), 0..4).prop_map(Json::from);
    let member = (prop::sample::select(LISTS), prop_oneof![3 => list, 1 => anything()]);
    prop::collection::vec(member, 0..5)
        .prop_map(|members| Json::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect()))
}

fn change() -> impl Strategy<Value = Json> {
    prop_oneof![
        6 => (prop::sample::select(FIELDS), value()).prop_map(|(field, value)| json!({"field": field, "value": value})),
        1 => (prop::sample::select(FIELDS), anything()).prop_map(|(field, value)| json!({"field": field, "value": value})),
        1 => anything(),
    ]
}

fn entry() -> impl Strategy<Value = Json> {
    let changes = prop::collection::vec(change(), 0..4);
    prop_oneof![
        6 => (scalar(), changes).prop_map(|(id, changes)| json!({"id": id, "time": 1, "changes": changes})),
        1 => anything(),
    ]
}

fn body() -> impl Strategy<Value = Json> {
    let entries = prop::collection::vec(entry(), 0..4);
    entries.prop_map(|entry| json!({"object": "whatsapp_business_account", "entry": entry}))
}

/// Every text in a JSON value, doubles included.
fn texts(json: &Json, found: &mut Vec<String>) {
    match json {
        Json::Array(list) => list.iter().for_each(|element| texts(element, found)),
        Json::Object(map) => map.values().for_each(|member| texts(member, found)),
        Json::String(text) => found.push(text.clone()),
        other => found.push(other.to_string()),
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_every_item_stands_alone(body in body()) {
        let items = parse_text(body.to_string());
        assert_each_stands_alone(&items);
        let (mut sent, mut kept) = (Vec::new(), Vec::new());
        texts(&body, &mut sent);
        for item in &items {
            texts(&serde_json::from_slice(&item.envelope).unwrap(), &mut kept);
        }
        for text in sent {
            prop_assert!(kept.contains(&text), "{text:?} of {body} is in no item");
        }
    }

    #[test]
    fn every_element_is_in_exactly_one_item(
        lists in prop::collection::vec((0..11usize, 1..6usize), 1..6),
        field in prop::sample::select(&["messages", "calls", "history", "user_preferences"][..]),
    ) {
        let mut marks = Vec::new();
        let mut value = serde_json::Map::new();
        for (list, count) in lists {
            let elements = (0..count).map(|at| {
                marks.push(format!("mark-{list}-{at}-"));
                json!({"from": format!("49151999000{at:02}"), "timestamp": "1763800000", "mark": format!("mark-{list}-{at}-")})
            });
            let elements = elements.collect::<Vec<_>>();
            value.insert(LISTS[list].into(), elements.into());
        }
        marks.sort();
        marks.dedup();
        let marks: Vec<_> = marks.into_iter().filter(|mark| Json::from(value.clone()).to_string().contains(mark)).collect();
        let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": field, "value": value}]}]});
        let items = parse_text(body.to_string());
        prop_assert_eq!(items.len(), marks.len());
        for mark in marks {
            let holders = items.iter().filter(|item| String::from_utf8_lossy(&item.envelope).contains(&mark)).count();
            prop_assert_eq!(holders, 1, "{}", mark);
        }
    }

    #[test]
    fn no_bytes_are_refused(bytes: Vec<u8>) {
        let items = parse_text(bytes.clone());
        prop_assert_eq!(items.len(), 1);
        prop_assert_eq!(&items[0].envelope, &bytes);
        prop_assert_eq!(items[0].event_type, EventType::Unrecognised);
    }

    #[test]
    fn a_cut_or_changed_body_is_one_item_or_stands_alone(at: prop::sample::Index, byte: u8, cut: bool) {
        let mut bytes = include_bytes!("../../../tests/fixtures/meta/batch_messages.json").to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        assert_each_stands_alone(&parse_text(bytes));
    }
}

fn message(members: &str) -> String {
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"messages":[{members},{{"id":"b"}}]}}}}]}}]}}"#
    )
}

#[test]
fn odd_values_cost_no_item() {
    for members in [
        r#"{"id":"\ud800","from":"\udfff"}"#,
        r#"{"id":"\u0000","from":"\u0000"}"#,
        r#"{"id":["a"],"from":{"x":1},"timestamp":[],"type":7,"system":[],"errors":"no"}"#,
        r#"{"id":17,"from":4915199900011,"timestamp":1e400}"#,
        r#"{"id":"a","id":"b","from":"4915199900011","from":"4915199900022"}"#,
        r#"{"\ud800":1,"\u0069d":"a"}"#,
        r#"{"id":"","from":"","timestamp":"-1"}"#,
        "null",
    ] {
        let items = parse_text(message(members));
        assert_eq!(items.len(), 2, "{members}");
        assert!(String::from_utf8_lossy(&items[0].envelope).contains(members), "{members}");
        assert_each_stands_alone(&items);
    }
}

#[test]
fn ten_megabytes_of_text_are_one_item() {
    let items = parse_text(message(&format!(r#"{{"id":"a","text":{{"body":"{}"}}}}"#, "x".repeat(10 << 20))));
    assert_eq!(items.len(), 2);
    assert!(items[0].envelope.len() > 10 << 20 && items[1].envelope.len() < 1000);
}

#[test]
fn a_body_nested_too_deep_is_kept_as_it_is() {
    let body = message(&format!(r#"{{"id":"a","x":{}{}}}"#, "[".repeat(200), "]".repeat(200)));
    let items = parse_text(body.clone());
    assert_eq!((items.len(), items[0].event_type), (1, EventType::Unrecognised));
    assert_eq!(items[0].envelope, body);
}

#[test]
fn doubled_lists_are_all_read() {
    let body = r#"{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":
        {"messages":[{"id":"a"}],"messages":[{"id":"b"}]},"value":{"statuses":[{"id":"c"}]}}]}],"entry":[3]}"#;
    let items = parse_text(body);
    assert_eq!(items.len(), 4);
    assert_each_stands_alone(&items);
}
