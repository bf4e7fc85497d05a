//! Promise: a message that waits can be taken back, and is then never sent; one that cannot be taken back is.

use std::collections::HashSet;

use futures_util::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;
use waxseal::clock::Clock;

use crate::authorisation::problem;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

async fn queue(app: &TestApp, channel: &str, number: usize, send_at: Option<String>) -> String {
    let body = json!({ "channel_id": channel, "send_at": send_at, "message": {
        "to": format!("49151999{number:05}"), "type": "text", "text": { "body": "x" } } });
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn cancel(app: &TestApp, id: &str) -> reqwest::Response {
    app.api(Method::DELETE, &format!("/v1/messages/{id}")).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_taken_back_is_never_sent_and_endpoints_are_told() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let (channel, receiver) = (app.channel().await, Receiver::start().await);
    app.endpoint(&receiver, "standard").await;
    let send_at = (clock.now() + Duration::HOUR).format(&Rfc3339).unwrap();
    let id = queue(&app, &channel, 1, Some(send_at)).await;
    let answer = cancel(&app, &id).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers().contains_key("x-audit-index"), "it leaves an entry");
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "id": id, "state": "cancelled", "queue": null }));
    problem(cancel(&app, &id).await, StatusCode::CONFLICT, "message_not_queued").await;
    let told = receiver.wait_for(1).await[0].json();
    assert_eq!((&told["type"], &told["data"]["message_id"]), (&json!("message.cancelled"), &json!(id)));

    clock.advance(Duration::hours(2));
    let sent = queue(&app, &channel, 2, None).await;
    let accepted = "SELECT count(*) FROM message WHERE state = 'accepted'";
    database::until(&app.database, accepted, 1).await;
    problem(cancel(&app, &sent).await, StatusCode::CONFLICT, "message_not_queued").await;
    let shown = app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!((&shown["state"], &shown["queue"]), (&json!("cancelled"), &Value::Null));
    let ledger = app.control(Method::GET, "ledger", json!(null)).await;
    assert_eq!(ledger["messages"].as_array().unwrap().len(), 1, "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_taking_back_and_sending_at_the_same_moment_exactly_one_happens() {
    let app = TestApp::spawn().await;
    let channel = app.channel().await;
    let one = async |number: usize| {
        let id = queue(&app, &channel, number, None).await;
        let status = cancel(&app, &id).await.status();
        assert!(status == StatusCode::OK || status == StatusCode::CONFLICT, "{status}");
        (id, status == StatusCode::OK)
    };
    let all: Vec<(String, bool)> = futures_util::stream::iter((0..60).map(one)).buffered(6).collect().await;
    until("nothing is owed", PATIENCE, async || {
        database::count(&app.database, "SELECT count(*) FROM outbox").await == 0
    })
    .await;
    let sent = all.iter().filter(|(_, cancelled)| !cancelled).count();
    let path = format!("ledger?messages={sent}&wait_ms=20000");
    let ledger = app.control(Method::GET, &path, json!(null)).await;
    let data = |one: &Value| one["biz_opaque_callback_data"].as_str().unwrap().to_owned();
    let arrived: HashSet<String> = ledger["messages"].as_array().unwrap().iter().map(data).collect();
    for (id, cancelled) in &all {
        let arrived = arrived.iter().any(|data| data.contains(&id.replace('-', "")));
        assert_ne!(arrived, *cancelled, "{id}");
        let state = app.get(&format!("/v1/messages/{id}")).await["state"].clone();
        assert_eq!(state == "cancelled", *cancelled, "{state}");
    }
}
