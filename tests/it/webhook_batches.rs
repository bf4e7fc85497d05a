//! Promise: every item of every POST is kept once, whatever stands beside it and however often it comes.

use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use waxseal::clock::Clock;
use waxseal::ids::EventId;

use crate::support::{TestApp, database, webhook};

const EVENTS: &str = "SELECT count(*) FROM event";
/// Whether a backend waits for a lock.
const WAITING: &str = "SELECT least(count(*), 1) FROM pg_locks WHERE NOT granted AND database =
                       (SELECT oid FROM pg_database WHERE datname = current_database())";

fn wamid(number: usize) -> String {
    format!("wamid.{number:05}")
}

fn batch_of(count: usize) -> Vec<u8> {
    let items: Vec<_> = (0..count).map(|at| webhook::text_item("4915199900011", &wamid(at), "Moin")).collect();
    webhook::messages(
        json!({ "contacts": [{ "profile": { "name": "Ana" }, "wa_id": "4915199900011" }], "messages": items }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_items_of_one_post_are_a_thousand_events() {
    let app = TestApp::spawn().await;
    assert_eq!(app.webhook(batch_of(1000)).await, StatusCode::OK);
    assert_eq!(database::count(&app.database, EVENTS).await, 1000);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM contact").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poisonous_item_of_a_thousand_is_kept_as_unrecognised_and_harms_no_other() {
    let app = TestApp::spawn().await;
    // Stands for whatever Postgres may refuse: here a rule that exactly one item breaks.
    database::sabotage(&app.database, "ALTER TABLE event ADD CHECK (error_code IS DISTINCT FROM 131999)").await;
    let statuses: Vec<_> = (0..1000)
        .map(|at| {
            let mut status = webhook::status_item("4915199900011", &wamid(at), "failed");
            status["errors"] = json!([{ "code": if at == 617 { 131_999 } else { 131_026 }, "title": "x" }]);
            status
        })
        .collect();
    assert_eq!(app.webhook(webhook::messages(json!({ "statuses": statuses }))).await, StatusCode::OK);
    let of_type = |name| format!("SELECT count(*) FROM event WHERE type = '{name}'");
    assert_eq!(database::count(&app.database, &of_type("message.failed")).await, 999);
    assert_eq!(database::count(&app.database, &of_type("unrecognised")).await, 1);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM event_payload").await, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_batch_fifty_times_at_once_is_stored_once() {
    let app = TestApp::spawn().await;
    let body = batch_of(100);
    let posts = (0..50).map(|_| app.webhook(body.clone()));
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|status| *status == StatusCode::OK), "{answers:?}");
    assert_eq!(database::count(&app.database, EVENTS).await, 100);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM event_payload").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_days_later_is_stored_once_whatever_its_age() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let aged = |days: i64, wamid: &str| {
        let mut item = webhook::text_item("4915199900011", wamid, "Moin");
        let at = time::OffsetDateTime::now_utc() - time::Duration::days(days);
        item["timestamp"] = json!(at.unix_timestamp().to_string());
        webhook::messages(json!({ "messages": [item] }))
    };
    let ages = [0, 1, 2, 3, 9, 10, 11, 30, 200];
    let bodies: Vec<_> = ages.iter().map(|days| aged(*days, &wamid(usize::try_from(*days).unwrap()))).collect();
    for _ in 0..8 {
        for body in &bodies {
            assert_eq!(app.webhook(body.clone()).await, StatusCode::OK);
        }
        clock.advance(time::Duration::days(1));
    }
    assert_eq!(database::count(&app.database, EVENTS).await, i64::try_from(ages.len()).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_gateways_that_meet_a_new_person_at_once_make_one_contact() {
    let app = TestApp::spawn().await;
    let second =
        waxseal::app::Gateway::start(&app.config, std::sync::Arc::new(waxseal::clock::SystemClock)).await.unwrap();
    let client = reqwest::Client::new();
    let posts = (0..40).map(|at| {
        let body = webhook::text("4915199900099", &wamid(at), "Moin");
        let signature = webhook::signature(crate::support::app::APP_SECRET, &body);
        let to = if at % 2 == 0 { app.at.public } else { second.addresses.public };
        client.post(format!("http://{to}/webhook")).header("x-hub-signature-256", signature).body(body).send()
    });
    for answer in futures_util::future::join_all(posts).await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(database::count(&app.database, EVENTS).await, 40);
    assert_eq!(database::count(&app.database, "SELECT count(DISTINCT contact_id) FROM event").await, 1);
    second.shutdown().await;
}

/// The people of a batch may keep it waiting, and ids for a time that is past by then are in no order with others.
#[tokio::test(flavor = "multi_thread")]
async fn items_of_one_webhook_keep_their_order_and_stand_behind_what_was_stored_while_they_waited() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    clock.advance(-time::Duration::minutes(1));
    let mut other = PgConnection::connect(&app.database).await.unwrap();
    let lock = "BEGIN; LOCK TABLE contact_identifier IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let let_go = async {
        database::until(&app.database, WAITING, 1).await;
        clock.advance(time::Duration::minutes(1));
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    };
    let (status, ()) = tokio::join!(app.webhook(batch_of(100)), let_go);
    assert_eq!(status, StatusCode::OK);
    database::settled(&app.database).await;
    let listed = app.get("/v1/events?limit=200").await;
    let events = listed["data"].as_array().unwrap();
    let told: Vec<&str> = events.iter().map(|event| event["data"]["item"]["id"].as_str().unwrap()).collect();
    assert_eq!(told, (0..100).map(wamid).collect::<Vec<_>>());
    let lowest = EventId::lowest_of(clock.now()).to_string();
    assert!(events.iter().all(|event| *event["id"].as_str().unwrap() >= *lowest), "{lowest} {:?}", events[0]["id"]);
}
