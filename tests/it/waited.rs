//! Promise: a message that was taken for later is asked about again when its time has come. What would be refused then is not sent.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use waxseal::clock::Clock;

use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, webhook};

const ANA: &str = "4915199900011";

/// Takes a message that goes out in that time. Returns its id.
async fn take(app: &TestApp, at: OffsetDateTime, message: Value, fallback: Option<Value>) -> String {
    let at = at.format(&Rfc3339).unwrap();
    let mut body = json!({ "channel_id": app.channel().await, "message": message, "send_at": at });
    if let Some(fallback) = fallback {
        body["fallback_template"] = fallback;
    }
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn says(app: &TestApp, wamid: &str, words: &str) {
    assert_eq!(app.webhook(webhook::text(ANA, wamid, words)).await, StatusCode::OK);
}

fn text() -> Value {
    json!({ "to": ANA, "type": "text", "text": { "body": "Moin" } })
}

fn named(name: &str, components: &Value) -> Value {
    json!({ "type": "template", "template": { "name": name, "language": { "code": "en_US" }, "components": components } })
}

/// Waits until a message failed. Returns Meta's code for it.
async fn failed(app: &TestApp, message: &str) -> Value {
    let path = format!("/v1/messages/{message}");
    until("the message failed", PATIENCE, async || app.get(&path).await["state"] == "failed").await;
    app.get(&path).await["error_code"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_closed_meanwhile_lets_nothing_through_but_the_template_that_was_given_along() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    says(&app, "wamid.w1", "Hallo").await;
    let (soon, late) = (clock.now() + Duration::hours(20), clock.now() + Duration::hours(30));
    let in_time = take(&app, soon, text(), None).await;
    let alone = take(&app, late, text(), None).await;
    let with_template = take(&app, late, text(), Some(named("hello_world", &json!([])))).await;

    clock.advance(Duration::hours(21));
    let ledger = app.control(Method::GET, "ledger?messages=1&wait_ms=60000", json!(null)).await;
    assert_eq!(ledger["messages"][0]["type"], "text", "{in_time} still may: {ledger}");
    clock.advance(Duration::hours(10));
    assert_eq!(failed(&app, &alone).await, 131_047);
    let ledger = app.control(Method::GET, "ledger?messages=2&wait_ms=60000", json!(null)).await;
    let sent = ledger["messages"].as_array().unwrap();
    assert_eq!((sent.len(), &sent[1]["type"], &sent[1]["to"]), (2, &json!("template"), &json!(ANA)), "{ledger}");
    let path = format!("/v1/messages/{with_template}");
    until("the template is told of", PATIENCE, async || app.get(&path).await["state"] != "queued").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn marketing_that_waits_is_not_sent_to_somebody_who_forbids_it_meanwhile() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    assert_eq!(app.api(Method::POST, "/v1/templates/sync").send().await.unwrap().status(), StatusCode::ACCEPTED);
    // They are compared once this one is missed.
    let mut missing = named("no_such_thing", &json!([]));
    missing["to"] = json!(ANA);
    let far = (clock.now() + Duration::days(20)).format(&Rfc3339).unwrap();
    let body = json!({ "channel_id": app.channel().await, "message": missing, "send_at": far });
    until("templates are known", PATIENCE, async || {
        clock.advance(Duration::seconds(1));
        let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
        answer.status() == StatusCode::UNPROCESSABLE_ENTITY
    })
    .await;
    let values =
        json!([{ "type": "body", "parameters": [{ "type": "text", "parameter_name": "first_name", "text": "Ana" }] }]);
    let mut offer = named("seasonal_offer", &values);
    offer["to"] = json!(ANA);
    says(&app, "wamid.w1", "Hallo").await;
    let offered = take(&app, clock.now() + Duration::hours(2), offer, None).await;
    says(&app, "wamid.w2", "Stop").await;
    clock.advance(Duration::hours(3));
    assert_eq!(failed(&app, &offered).await, 131_050);
    let ledger = app.control(Method::GET, "ledger", json!(null)).await;
    assert_eq!(ledger["messages"], json!([]), "Meta is not asked");
    let contact = app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned();
    let said = app.get(&format!("/v1/contacts/{contact}/consent")).await;
    assert_eq!(said["history"].as_array().unwrap().len(), 1, "what we refuse ourselves is no news: {said}");
}
