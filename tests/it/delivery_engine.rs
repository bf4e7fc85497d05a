//! Promise: deliveries keep the order and the pace that the endpoint asked for, and waiting for them costs no attempt.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::clock::ManualClock;

use crate::support::{Receiver, TestApp, database, webhook};

const OWED: &str = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)";
const POSTPONED: &str = "SELECT count(*) FROM delivery_retry";
const FAILED: &str = "SELECT count(*) FROM attempt";
/// More than the first rung of the ladder, and less than the second.
const FIRST_RUNG: Duration = Duration::seconds(7);

const ANA: &str = "4915199900011";
const BEN: &str = "4915199900012";

async fn start(asked: Value) -> (TestApp, Arc<ManualClock>, Receiver, Value) {
    let ((app, clock), receiver) = (Box::pin(TestApp::spawn_with_clock()).await, Receiver::start().await);
    let mut body = json!({ "name": "test", "url": receiver.url() });
    body.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let made = answer.json().await.unwrap();
    (app, clock, receiver, made)
}

async fn write(app: &TestApp, from: &str, wamid: &str) {
    assert_eq!(app.webhook(webhook::text(from, wamid, "Moin")).await, StatusCode::OK);
}

async fn change(app: &TestApp, made: &Value, asked: Value) {
    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    let answer = app.api(Method::PATCH, &path).json(&asked).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

fn wamids(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|one| one.json()["data"]["item"]["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_fails_holds_up_its_person_and_nobody_else() {
    let (app, clock, receiver, _) = start(json!({ "order": "block" })).await;
    receiver.then_answer(500, &[]);
    write(&app, ANA, "ana.1").await;
    database::until(&app.database, POSTPONED, 1).await;
    write(&app, ANA, "ana.2").await;
    write(&app, BEN, "ben.1").await;
    write(&app, ANA, "ana.3").await;
    receiver.wait_for(2).await;
    database::until(&app.database, OWED, 3).await;
    assert_eq!(wamids(&receiver), ["ana.1", "ben.1"]);
    clock.advance(FIRST_RUNG);
    receiver.wait_for(5).await;
    assert_eq!(wamids(&receiver), ["ana.1", "ben.1", "ana.1", "ana.2", "ana.3"]);
    database::until(&app.database, OWED, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_failed_often_enough_is_passed_by_and_still_owed() {
    let (app, clock, receiver, _) = start(json!({ "order": "skip", "skip_after": 2 })).await;
    receiver.then_answer(500, &[]);
    receiver.then_answer(500, &[]);
    write(&app, ANA, "ana.1").await;
    database::until(&app.database, POSTPONED, 1).await;
    write(&app, ANA, "ana.2").await;
    database::until(&app.database, OWED, 2).await;
    clock.advance(FIRST_RUNG);
    receiver.wait_for(3).await;
    assert_eq!(wamids(&receiver), ["ana.1", "ana.1", "ana.2"]);
    database::until(&app.database, OWED, 1).await;
    clock.advance(Duration::minutes(1));
    receiver.wait_for(4).await;
    database::until(&app.database, OWED, 0).await;
    assert_eq!(wamids(&receiver)[3], "ana.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_sees_more_requests_than_the_endpoint_asked_for() {
    let (app, clock, receiver, _) = start(json!({ "max_per_second": 2 })).await;
    for number in 0..5 {
        write(&app, ANA, &number.to_string()).await;
    }
    for (arrived, owed) in [(2, 3), (4, 1), (5, 0)] {
        receiver.wait_for(arrived).await;
        database::until(&app.database, OWED, owed).await;
        assert_eq!(receiver.received().len(), arrived, "not before the second is over");
        clock.advance(Duration::seconds(1));
    }
    assert_eq!(database::count(&app.database, FAILED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_accepts_nothing_is_probed_and_its_deliveries_wait_without_losing_attempts() {
    let (app, clock, receiver, _) = start(json!({})).await;
    receiver.answer(503);
    for number in 0..5 {
        write(&app, ANA, &number.to_string()).await;
    }
    database::until(&app.database, POSTPONED, 5).await;
    for number in 5..8 {
        write(&app, ANA, &number.to_string()).await;
    }
    database::until(&app.database, OWED, 8).await;
    assert_eq!(receiver.received().len(), 5, "it is left alone");

    // Everything that failed is due by now, and one request is made.
    clock.advance(FIRST_RUNG);
    receiver.wait_for(6).await;
    database::until(&app.database, FAILED, 6).await;
    assert_eq!(receiver.received().len(), 6);
    receiver.answer(200);
    // The probe that failed is at its second rung.
    clock.advance(Duration::minutes(1));
    database::until(&app.database, OWED, 0).await;
    assert_eq!(database::count(&app.database, FAILED).await, 6);
    let mut arrived = wamids(&receiver).split_off(6);
    arrived.sort_unstable();
    assert_eq!(arrived, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_retries_do_not_keep_new_events_waiting() {
    let (app, clock, receiver, made) = start(json!({ "max_in_flight": 1 })).await;
    for number in 0..10 {
        // A success in between keeps the breaker closed.
        if number % 5 != 4 {
            receiver.then_answer(500, &[]);
        }
        write(&app, ANA, &format!("old.{number}")).await;
        receiver.wait_for(number + 1).await;
    }
    database::until(&app.database, POSTPONED, 8).await;
    database::until(&app.database, OWED, 8).await;
    change(&app, &made, json!({ "max_per_second": 1, "max_in_flight": 1 })).await;
    change(&app, &made, json!({ "state": "paused" })).await;
    for number in 0..3 {
        write(&app, BEN, &format!("new.{number}")).await;
    }
    clock.advance(Duration::minutes(3));
    change(&app, &made, json!({ "state": "active" })).await;
    for second in 1..=11 {
        receiver.wait_for(10 + second).await;
        clock.advance(Duration::seconds(1));
    }
    database::until(&app.database, OWED, 0).await;
    let after = wamids(&receiver).split_off(10);
    let new: Vec<usize> = (0..after.len()).filter(|at| after[*at].starts_with("new")).collect();
    assert!(new.len() == 3 && new[0] <= 1 && new[2] <= 6, "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_pace_counts_from_the_next_request() {
    let (app, clock, receiver, made) = start(json!({ "order": "block" })).await;
    receiver.then_answer(500, &[]);
    write(&app, ANA, "ana.1").await;
    database::until(&app.database, POSTPONED, 1).await;
    write(&app, ANA, "ana.2").await;
    change(&app, &made, json!({ "order": null })).await;
    receiver.wait_for(2).await;
    assert_eq!(wamids(&receiver), ["ana.1", "ana.2"]);
    database::until(&app.database, OWED, 1).await;
    // The order holds for what failed before it was asked for, too.
    change(&app, &made, json!({ "order": "block" })).await;
    write(&app, ANA, "ana.3").await;
    write(&app, BEN, "ben.1").await;
    receiver.wait_for(3).await;
    database::until(&app.database, OWED, 2).await;
    clock.advance(FIRST_RUNG);
    receiver.wait_for(5).await;
    assert_eq!(wamids(&receiver)[2..], ["ben.1", "ana.1", "ana.3"]);
}
