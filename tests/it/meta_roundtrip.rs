//! Promise: what Meta sends comes out as Meta sent it, and lies sealed in between. Shown with every documented payload.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use waxseal::clock::SystemClock;

use crate::support::receiver::Received;
use crate::support::sweep::{self, Needle};
use crate::support::{Receiver, TestApp, database};

/// Name and bytes of every payload.
fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/meta");
    let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap()))
        .collect();
    all.sort();
    assert!(all.len() >= 120, "{} payloads", all.len());
    all
}

/// Lists of which every element stands for itself. Everything else is one thing.
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

/// Every single thing that an envelope tells, with the way to it: the tests' own reading, not the product's.
fn things(envelope: &Value) -> Vec<Value> {
    let ours = envelope["object"] == "whatsapp_business_account";
    let Some(entries) = envelope["entry"].as_array().filter(|_| ours) else { return vec![envelope.clone()] };
    let mut all = Vec::new();
    for entry in entries {
        let Some(changes) = entry["changes"].as_array() else {
            all.push(json!(["entry", entry]));
            continue;
        };
        for change in changes {
            let way = json!([entry["id"], entry["time"], change["field"]]);
            if change.get("value").is_some() {
                all.extend(things_of_value(&way, &change["value"]));
            } else {
                all.push(json!([way, "change", change]));
            }
        }
    }
    all
}

fn things_of_value(way: &Value, value: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for home in [value, &value["standby"]] {
        for name in LISTS {
            match &home[name] {
                Value::Null => {}
                Value::Array(list) => all.extend(list.iter().map(|item| json!([way, name, item]))),
                odd => all.push(json!([way, name, odd])),
            }
        }
    }
    for part in value["history"].as_array().into_iter().flatten() {
        let threads = part["threads"].as_array().into_iter().flatten();
        let messages = threads.flat_map(|thread| {
            thread["messages"].as_array().into_iter().flatten().map(|item| json!([way, thread["id"], item]))
        });
        all.extend(messages);
        all.extend(part["errors"].as_array().into_iter().flatten().map(|item| json!([way, "history", item])));
    }
    // People who belong to no item travel alone; they are compared with the other people.
    let only_people = all.is_empty() && value["contacts"].is_array();
    if all.is_empty() && !only_people {
        all.push(json!([way, "value", value]));
    }
    all
}

/// Every person who is described beside items.
fn people(envelope: &Value) -> BTreeSet<String> {
    let values = envelope["entry"].as_array().into_iter().flatten();
    let values = values.flat_map(|entry| entry["changes"].as_array().into_iter().flatten()).map(|one| &one["value"]);
    let lists = values.flat_map(|value| [&value["contacts"], &value["standby"]["contacts"]]);
    lists.flat_map(|list| list.as_array().into_iter().flatten()).map(ToString::to_string).collect()
}

fn sorted(mut things: Vec<Value>) -> Vec<String> {
    let mut texts: Vec<String> = things.drain(..).map(|thing| thing.to_string()).collect();
    texts.sort();
    texts
}

fn compare(name: &str, sent: &[u8], received: &[Received]) {
    let read: Value = serde_json::from_slice(sent).unwrap();
    let single = things(&read).len() == 1 && received.len() == 1;
    if single {
        assert_eq!(received[0].json(), read, "{name}");
        assert_eq!(received[0].body, sent, "{name}: a POST of one thing is passed on byte for byte");
        return;
    }
    let parts: Vec<Value> = received.iter().map(Received::json).collect();
    assert!(parts.iter().all(|part| things(part).len() <= 1), "{name}: an envelope holds more than one thing");
    assert_eq!(sorted(parts.iter().flat_map(things).collect()), sorted(things(&read)), "{name}");
    assert_eq!(parts.iter().flat_map(people).collect::<BTreeSet<_>>(), people(&read), "{name}: people");
}

/// Members whose texts are about a person, wherever they stand.
const PERSONAL: [&str; 30] = [
    "body",
    "caption",
    "name",
    "formatted_name",
    "from",
    "to",
    "wa_id",
    "new_wa_id",
    "id",
    "message_id",
    "user_id",
    "from_user_id",
    "to_user_id",
    "parent_user_id",
    "from_parent_user_id",
    "previous_user_id",
    "recipient_id",
    "recipient_user_id",
    "recipient_participant_id",
    "recipient_participant_user_id",
    "recipient_parent_user_id",
    "phone",
    "phone_number",
    "username",
    "previous",
    "current",
    "filename",
    "address",
    "text",
    "full_name",
];

fn personal(value: &Value, key: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members.iter().filter(|(key, _)| !NOBODYS.contains(&key.as_str())) {
                personal(value, key, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| personal(element, key, found)),
        Value::String(text) if text.len() >= 8 && PERSONAL.contains(&key) => {
            found.insert(text.clone());
        }
        _ => {}
    }
}

/// Members that are about the business or the account, whose ids may be stored readable.
const NOBODYS: [&str; 2] = ["metadata", "phone_number_settings"];

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_payload_comes_out_as_it_went_in_and_no_person_is_readable_on_disk() {
    let (server, database) = database::own_server().await;
    let app = TestApp::spawn_on(database, Arc::new(SystemClock), &[]).await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "meta").await;
    let (mut seen, mut secrets) = (0, BTreeSet::new());
    for (name, body) in fixtures() {
        assert_eq!(app.webhook(body.clone()).await, 200, "{name}");
        database::until(
            &app.database,
            "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)",
            0,
        )
        .await;
        let received = receiver.received();
        let ours = |one: &&Received| one.json()["object"] == "waxseal";
        let new: Vec<Received> = received[seen..].iter().filter(|one| !ours(one)).cloned().collect();
        seen = received.len();
        compare(&name, &body, &new);
        for entry in serde_json::from_slice::<Value>(&body).unwrap()["entry"].as_array().into_iter().flatten() {
            personal(&entry["changes"], "", &mut secrets);
        }
    }
    secrets.retain(|text| !text.starts_with("1000000000000"));
    assert!(secrets.len() > 100, "{} personal values", secrets.len());
    let needles: Vec<Needle> = secrets.iter().map(|text| Needle::plain(text, text)).collect();
    assert_eq!(sweep::in_database(&needles, &app.database, server.dir()).await, Vec::<String>::new());
}
