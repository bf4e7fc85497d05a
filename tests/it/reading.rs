//! Promise: what was stored can be read again, whole, in order and without gaps, by those who ask page by page.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;

use crate::support::{TestApp, database, webhook};

const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";

/// One page of events: the events, where the next begins, whether there is more.
async fn page(app: &TestApp, query: &str, cursor: Option<&str>) -> (Vec<Value>, String, bool) {
    let cursor = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
    let page = app.get(&format!("/v1/events?{query}{cursor}")).await;
    let next = page["next_cursor"].as_str().expect("the events list always says where to go on").to_owned();
    (page["data"].as_array().unwrap().clone(), next, page["has_more"].as_bool().unwrap())
}

/// All events, in pages.
async fn all(app: &TestApp, query: &str) -> Vec<Value> {
    database::settled(&app.database).await;
    let (mut events, mut cursor, mut has_more) = page(app, query, None).await;
    while has_more {
        let (more, next, still) = page(app, query, Some(&cursor)).await;
        assert!(!more.is_empty(), "a page that was promised is empty");
        events.extend(more);
        (cursor, has_more) = (next, still);
    }
    events
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn body(event: &Value) -> &str {
    event["data"]["item"]["text"]["body"].as_str().unwrap_or_default()
}

async fn send(app: &TestApp, to: &str, text: &str) -> String {
    let message =
        json!({ "channel_id": app.channel().await, "message": { "to": to, "type": "text", "text": { "body": text } } });
    let answer = app.api(Method::POST, "/v1/messages").json(&message).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_behind_a_cursor_sees_every_event_once_while_others_write() {
    let app = TestApp::spawn_with(Arc::new(waxseal::clock::SystemClock), &[("WAXSEAL_INGEST__WRITERS", "4")]).await;
    let second = waxseal::app::Gateway::start(&app.config, Arc::new(waxseal::clock::SystemClock)).await.unwrap();
    let (writers, each) = (8, 25);
    let (client, done) = (reqwest::Client::new(), AtomicBool::new(false));
    let write = async {
        let write = |writer: usize| {
            let (app, second, client) = (&app, &second, &client);
            async move {
                for number in 0..each {
                    let post =
                        webhook::text(&format!("49151999000{writer:02}"), &format!("wamid.{writer}.{number}"), "Moin");
                    let signature = webhook::signature(crate::support::app::APP_SECRET, &post);
                    let to = if writer.is_multiple_of(2) { app.at.public } else { second.addresses.public };
                    let request = client.post(format!("http://{to}/webhook"));
                    let answer = request.header("x-hub-signature-256", signature).body(post).send().await.unwrap();
                    assert_eq!(answer.status(), StatusCode::OK);
                }
            }
        };
        futures_util::future::join_all((0..writers).map(write)).await;
        database::settled(&app.database).await;
        done.store(true, Ordering::SeqCst);
    };
    let read = async {
        let (mut seen, mut cursor): (Vec<Value>, Option<String>) = (Vec::new(), None);
        loop {
            let last_round = done.load(Ordering::SeqCst);
            let (events, next, has_more) = page(&app, "limit=7", cursor.as_deref()).await;
            seen.extend(events);
            cursor = Some(next);
            if last_round && !has_more {
                return seen;
            }
        }
    };
    let ((), seen) = tokio::join!(write, read);
    let read = ids(&seen);
    assert_eq!(read.len(), writers * each);
    assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), writers * each, "an event came twice");
    assert_eq!(ids(&all(&app, "limit=200").await), read, "the order is the same for whoever comes later");
    for writer in 0..writers {
        let number = format!("49151999000{writer:02}");
        let of_one: Vec<&str> = seen
            .iter()
            .filter(|event| event["data"]["item"]["from"] == number.as_str())
            .map(|event| event["data"]["item"]["id"].as_str().unwrap())
            .collect();
        let expected: Vec<String> = (0..each).map(|number| format!("wamid.{writer}.{number}")).collect();
        assert_eq!(of_one, expected, "what is answered before the next is sent comes first");
    }
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_types_and_channels_and_faults_are_told() {
    let app = TestApp::spawn().await;
    app.webhook(webhook::text(ANA, "wamid.in", "Moin")).await;
    for status in ["sent", "delivered", "read"] {
        let item = webhook::status_item(ANA, "wamid.out", status);
        app.webhook(webhook::messages(json!({ "statuses": [item] }))).await;
    }
    let types = async |query: &str| {
        let events = all(&app, query).await;
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types("type=message.read").await, ["message.read"]);
    assert_eq!(types("type=message.read,message.sent").await, ["message.sent", "message.read"]);
    assert_eq!(types("type=message.*&limit=1").await.len(), 4);
    assert!(types("type=call.*").await.is_empty());
    assert_eq!(types(&format!("channel_id={}", app.channel().await)).await.len(), 4);
    assert!(types("channel_id=01890000-0000-7000-8000-000000000000").await.is_empty());
    for query in ["type=mesage.read", "limit=0", "limit=201", "cursor=x", "channel_id=x", "since=1", "limit=1&limit=2"]
    {
        let answer = app.api(Method::GET, &format!("/v1/events?{query}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "invalid_query", "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_at_the_end_waits_for_what_comes() {
    let app = TestApp::spawn().await;
    let (events, cursor, has_more) = page(&app, "", None).await;
    assert!(events.is_empty() && !has_more);
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    database::settled(&app.database).await;
    let (events, cursor, has_more) = page(&app, "", Some(&cursor)).await;
    assert!(events.len() == 1 && !has_more);
    app.webhook(webhook::text(ANA, "wamid.2", "zwei")).await;
    database::settled(&app.database).await;
    let (events, _, _) = page(&app, "", Some(&cursor)).await;
    assert_eq!(events.iter().map(body).collect::<Vec<_>>(), ["zwei"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_shows_both_sides_newest_first_and_in_pages() {
    let app = TestApp::spawn().await;
    app.webhook(webhook::text(BOB, "wamid.b", "anderer")).await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    let answer = send(&app, ANA, "zwei").await;
    database::until(&app.database, "SELECT count(*) FROM event WHERE type = 'message.read'", 1).await;
    app.webhook(webhook::text(ANA, "wamid.3", "drei")).await;
    let contacts = app.get("/v1/contacts").await;
    let ana = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == ANA).unwrap().clone();
    assert_eq!(app.get(&format!("/v1/contacts/{}", ana["id"].as_str().unwrap())).await, ana);

    let path = format!("/v1/contacts/{}/messages", ana["id"].as_str().unwrap());
    let (mut said, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("{path}?limit=1{cursor}")).await;
        for entry in page["data"].as_array().unwrap() {
            let text = match entry["direction"].as_str().unwrap() {
                "in" => entry["event"]["data"]["item"]["text"]["body"].clone(),
                _ => entry["message"]["request"]["text"]["body"].clone(),
            };
            said.push(text.as_str().unwrap().to_owned());
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(said, ["drei", "zwei", "eins"]);

    let message = app.get(&format!("/v1/messages/{answer}")).await;
    assert_eq!((&message["state"], &message["contact_id"]), (&json!("read"), &ana["id"]));
    assert_eq!(
        (&message["type"], &message["origin"], &message["erased"]),
        (&json!("text"), &json!("api"), &json!(false))
    );
    assert_eq!(message["request"]["text"]["body"], "zwei");
    assert!(message["answer"]["messages"][0]["id"].as_str().unwrap().starts_with("wamid."));
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_come_newest_first_in_pages() {
    let app = TestApp::spawn().await;
    for number in 0..7 {
        app.webhook(webhook::text(&format!("491519990001{number}"), &format!("wamid.{number}"), "Moin")).await;
    }
    let (mut phones, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/v1/contacts?limit=3{cursor}")).await;
        phones.extend(page["data"].as_array().unwrap().iter().map(|one| one["phone"].as_str().unwrap().to_owned()));
        assert_eq!(page["has_more"], json!(page["next_cursor"].is_string()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(phones, (0..7).rev().map(|number| format!("491519990001{number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_key_is_gone_is_shown_as_erased_and_harms_no_page() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    app.webhook(webhook::text(ANA, "wamid.1", "eins")).await;
    app.webhook(webhook::text(BOB, "wamid.2", "zwei")).await;
    let message = send(&app, BOB, "drei").await;
    // The last of its statuses: one that came after the keys are gone would make new ones.
    database::until(&app.database, "SELECT count(*) FROM event WHERE type = 'message.read'", 1).await;
    app.webhook(webhook::text(ANA, "wamid.4", "vier")).await;
    let contacts = app.get("/v1/contacts").await;
    let bob = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == BOB).unwrap()["id"].clone();
    let bob = bob.as_str().unwrap();
    database::sabotage(&app.database, &format!("DELETE FROM waxseal_keys.dek WHERE subject_id = '{bob}'")).await;
    clock.advance(Duration::minutes(6));

    let events = all(&app, "type=message.received&limit=1").await;
    assert_eq!(events.iter().map(body).collect::<Vec<_>>(), ["eins", "", "vier"]);
    let erased = &events[1]["data"];
    assert_eq!((&erased["item"], &erased["erased"]), (&json!(null), &json!(true)));
    let contact = app.get(&format!("/v1/contacts/{bob}")).await;
    assert_eq!((&contact["erased"], &contact["phone"], &contact["name"]), (&json!(true), &json!(null), &json!(null)));
    let shown = app.get(&format!("/v1/messages/{message}")).await;
    assert_eq!((&shown["erased"], &shown["request"], &shown["answer"]), (&json!(true), &json!(null), &json!(null)));
    let entries = app.get(&format!("/v1/contacts/{bob}/messages")).await;
    assert_eq!(entries["data"].as_array().unwrap().len(), 2);
    assert_eq!(app.get("/v1/contacts").await["data"].as_array().unwrap().len(), 2);
}
