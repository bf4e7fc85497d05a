//! Promise: every event reaches every endpoint that asked for it, signed, at least once, until 2xx.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use time::Duration;
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::support::{Receiver, TestApp, database, webhook};

const OWED: &str = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)";

#[tokio::test(flavor = "multi_thread")]
async fn a_standard_endpoint_gets_a_signed_event_with_metas_own_item() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin 👋")).await;
    let received = receiver.wait_for(1).await;
    Webhook::new(&receiver.secret()).unwrap().verify(&received[0].body, &received[0].headers).unwrap();
    let event = received[0].json();
    assert_eq!(event["type"], "message.received");
    assert_eq!(event["id"], received[0].header("webhook-id"));
    assert_eq!(event["data"]["item"]["text"]["body"], "Moin 👋");
    assert_eq!(event["data"]["contacts"][0]["profile"]["name"], "Ana Beispiel");
    assert_eq!(event["data"]["channel_id"], app.channel().await.as_str());
    assert_eq!(received[0].header("content-type"), "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meta_endpoint_gets_metas_own_bytes_signed_as_meta_signs() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "meta").await;
    let body = webhook::text("4915199900011", "wamid.a", "Moin");
    app.webhook(body.clone()).await;
    let received = receiver.wait_for(1).await;
    assert_eq!(received[0].body, body);
    assert_eq!(received[0].header("x-hub-signature-256"), webhook::signature(&receiver.secret(), &body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_endpoint_is_asked_again_with_the_same_id_as_the_ladder_says() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    receiver.then_answer(500, &[]);
    receiver.then_answer(500, &[]);
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    receiver.wait_for(1).await;
    settle(&app, 1).await;
    clock.advance(Duration::seconds(3));
    assert_eq!(receiver.received().len(), 1, "not before its time");
    clock.advance(Duration::seconds(4));
    receiver.wait_for(2).await;
    settle(&app, 2).await;
    clock.advance(Duration::seconds(40));
    let received = receiver.wait_for(3).await;
    let ids: Vec<&str> = received.iter().map(|one| one.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    owed(&app, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_last_rung_a_delivery_is_dead_and_kept_as_such() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_DELIVER__DISABLE_AFTER_DAYS", "0")]).await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    for _ in 0..12 {
        receiver.then_answer(500, &[]);
    }
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    for attempt in 1..=12 {
        receiver.wait_for(attempt).await;
        if attempt < 12 {
            settle(&app, attempt).await;
            clock.advance(Duration::hours(30));
        }
    }
    owed(&app, 0).await;
    assert_eq!(
        database::count(&app.database, "SELECT count(*) FROM delivery_dead WHERE reason = 'exhausted'").await,
        1
    );
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM attempt").await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_answers_410_is_disabled_and_left_alone() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let made = app.endpoint(&receiver, "standard").await;
    receiver.then_answer(410, &[]);
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    receiver.wait_for(1).await;
    settle(&app, 1).await;
    let shown = app.get(&format!("/v1/endpoints/{}", made["id"].as_str().unwrap())).await;
    assert_eq!(shown["state"], "disabled");
    app.webhook(webhook::text("4915199900011", "wamid.b", "Moin")).await;
    assert_eq!(database::count(&app.database, OWED).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_endpoint_loses_nothing() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let made = app.endpoint(&receiver, "standard").await;
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    let set = async |state: &str| {
        let answer = app.api(Method::PATCH, &path).json(&json!({ "state": state })).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    };
    set("paused").await;
    for number in 0..3 {
        app.webhook(webhook::text("4915199900011", &format!("wamid.{number}"), "Moin")).await;
    }
    owed(&app, 3).await;
    assert_eq!(receiver.received().len(), 0);
    set("active").await;
    receiver.wait_for(3).await;
    owed(&app, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_told_what_it_asked_for_and_nothing_else() {
    let app = TestApp::spawn().await;
    let (all, statuses, elsewhere) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    app.endpoint(&all, "standard").await;
    let narrow = async |receiver: &Receiver, more: Value| {
        let mut body = json!({ "name": "narrow", "url": receiver.url(), "format": "standard" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
    };
    narrow(&statuses, json!({ "event_types": ["message.read", "message.delivered"] })).await;
    let channel = json!({ "phone_number_id": "999", "waba_id": "998", "name": "other" });
    let channel: Value =
        app.api(Method::POST, "/v1/channels").json(&channel).send().await.unwrap().json().await.unwrap();
    narrow(&elsewhere, json!({ "channel_ids": [channel["id"]] })).await;

    app.webhook(webhook::text("4915199900011", "wamid.in", "Moin")).await;
    for status in ["sent", "delivered", "read"] {
        let item = webhook::status_item("4915199900011", "wamid.out", status);
        app.webhook(webhook::messages(json!({ "statuses": [item] }))).await;
    }
    let types = |receiver: &Receiver| {
        let mut types: Vec<String> =
            receiver.received().iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
        types.sort_unstable();
        types
    };
    all.wait_for(4).await;
    statuses.wait_for(2).await;
    owed(&app, 0).await;
    assert_eq!(types(&all), ["message.delivered", "message.read", "message.received", "message.sent"]);
    assert_eq!(types(&statuses), ["message.delivered", "message.read"]);
    assert!(types(&elsewhere).is_empty());
}

/// Waits until this many attempts are recorded, so that the next rung of the ladder is known.
async fn settle(app: &TestApp, attempts: usize) {
    until(app, "SELECT count(*) FROM attempt", attempts).await;
}

/// Waits until this many deliveries are owed.
async fn owed(app: &TestApp, deliveries: usize) {
    until(app, OWED, deliveries).await;
}

async fn until(app: &TestApp, statement: &str, wanted: usize) {
    let wanted = i64::try_from(wanted).unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while database::count(&app.database, statement).await != wanted {
        assert!(tokio::time::Instant::now() < deadline, "{statement} never became {wanted}");
        tokio::task::yield_now().await;
    }
}
