//! Promise: a message that is handed over again under the same idempotency key is one message.

use std::collections::HashSet;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use waxseal::access::Permission;
use waxseal::clock::Clock;

use crate::support::app::api_key_with;
use crate::support::{TestApp, database};

fn message(channel: &str, text: &str) -> Value {
    json!({ "channel_id": channel, "message": { "to": "4915199900011", "type": "text", "text": { "body": text } } })
}

async fn send(app: &TestApp, key: &str, body: &Value) -> Response {
    app.api(Method::POST, "/v1/messages").header("idempotency-key", key).json(body).send().await.unwrap()
}

async fn code(answer: Response, status: StatusCode) -> String {
    assert_eq!(answer.status(), status);
    answer.json::<Value>().await.unwrap()["code"].as_str().unwrap().to_owned()
}

async fn id(answer: Response) -> (String, bool) {
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let replayed = answer.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    (answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned(), replayed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_and_body_give_the_same_message_which_is_sent_once() {
    let app = TestApp::spawn().await;
    let body = message(&app.channel().await, "einmal");
    let (first, replayed) = id(send(&app, "order-4711", &body).await).await;
    assert!(!replayed);
    for _ in 0..3 {
        assert_eq!(id(send(&app, "order-4711", &body).await).await, (first.clone(), true));
    }
    let (other, _) = id(send(&app, "order-4712", &body).await).await;
    assert_ne!(other, first);
    database::until(&app.database, "SELECT count(*) FROM message WHERE state = 'accepted'", 2).await;
    database::until(&app.database, "SELECT count(*) FROM message", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_body_under_the_same_key_is_refused_and_nothing_is_sent() {
    let app = TestApp::spawn().await;
    let channel = app.channel().await;
    id(send(&app, "order-4711", &message(&channel, "eins")).await).await;
    let refused = send(&app, "order-4711", &message(&channel, "zwei")).await;
    assert_eq!(code(refused, StatusCode::UNPROCESSABLE_ENTITY).await, "idempotency_key_reused");
    database::until(&app.database, "SELECT count(*) FROM message", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_under_one_key_are_one_message_or_told_that_it_is_in_progress() {
    let app = TestApp::spawn().await;
    let body = message(&app.channel().await, "zugleich");
    let answers = futures_util::future::join_all((0..40).map(|_| send(&app, "burst", &body))).await;
    let mut ids = HashSet::new();
    for answer in answers {
        match answer.status() {
            StatusCode::ACCEPTED => drop(ids.insert(id(answer).await.0)),
            _ => assert_eq!(code(answer, StatusCode::CONFLICT).await, "idempotency_in_progress"),
        }
    }
    assert_eq!(ids.len(), 1);
    assert!(ids.contains(&id(send(&app, "burst", &body).await).await.0));
    database::until(&app.database, "SELECT count(*) FROM message", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_do_not_take_each_others_keys() {
    let app = TestApp::spawn().await;
    let body = message(&app.channel().await, "von beiden");
    let (first, _) = id(send(&app, "order-4711", &body).await).await;
    let other = api_key_with(&app.gateway, std::iter::once(Permission::MessagesSend).collect()).await;
    let request = app.api_as(&other, Method::POST, "/v1/messages").header("idempotency-key", "order-4711").json(&body);
    let (second, replayed) = id(request.send().await.unwrap()).await;
    assert!(second != first && !replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_free_again_after_a_day() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let channel = app.channel().await;
    let (first, _) = id(send(&app, "daily", &message(&channel, "heute")).await).await;
    clock.advance(time::Duration::hours(23));
    assert_eq!(id(send(&app, "daily", &message(&channel, "heute")).await).await, (first.clone(), true));
    clock.advance(time::Duration::hours(2));
    let (second, replayed) = id(send(&app, "daily", &message(&channel, "morgen")).await).await;
    assert!(second != first && !replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_once_is_not_refused_when_it_is_asked_for_again_too_late() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let at = |minutes| (clock.now() + time::Duration::minutes(minutes)).format(&Rfc3339).unwrap();
    let mut body = message(&app.channel().await, "bald");
    (body["send_at"], body["expires_at"]) = (json!(at(1)), json!(at(10)));
    let (first, _) = id(send(&app, "soon", &body).await).await;
    clock.advance(time::Duration::minutes(15));
    assert_eq!(id(send(&app, "soon", &body).await).await, (first, true));
    let refused = send(&app, "later", &body).await;
    assert_eq!(code(refused, StatusCode::UNPROCESSABLE_ENTITY).await, "invalid_body", "now it would be");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_form_is_refused() {
    let app = TestApp::spawn().await;
    let body = message(&app.channel().await, "nie");
    for key in ["", "with space", &"x".repeat(256)] {
        let refused = send(&app, key, &body).await;
        assert_eq!(code(refused, StatusCode::BAD_REQUEST).await, "invalid_idempotency_key", "{key}");
    }
    let twice = app.api(Method::POST, "/v1/messages").header("idempotency-key", "a").header("idempotency-key", "b");
    let refused = twice.json(&body).send().await.unwrap();
    assert_eq!(code(refused, StatusCode::BAD_REQUEST).await, "invalid_idempotency_key");
    database::until(&app.database, "SELECT count(*) FROM message", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_the_key_nor_the_body_can_be_read_in_the_database() {
    let app = TestApp::spawn().await;
    id(send(&app, "canary-4915199900011", &message(&app.channel().await, "canary")).await).await;
    let readable = "SELECT count(*) FROM idempotency i WHERE i::text LIKE '%canary%' OR i::text LIKE '%4915199900011%'";
    database::until(&app.database, readable, 0).await;
    database::until(&app.database, "SELECT count(*) FROM idempotency", 1).await;
}
