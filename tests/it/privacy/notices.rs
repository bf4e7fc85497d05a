//! Promise: whoever writes is told once what becomes of their data, where the operator has said it.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::{Clock, ManualClock, SharedClock, SystemClock};

use super::{ANA, BOB, contact_of, erased, says, traces};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

const TEXT: &str = "Was mit Ihren Daten geschieht: https://example.org/privacy";

async fn telling(database: String, version: &str) -> TestApp {
    telling_at(database, version, Arc::new(SystemClock)).await
}

async fn telling_at(database: String, version: &str, clock: SharedClock) -> TestApp {
    let more = [("WAXSEAL_PRIVACY__NOTICE_TEXT", TEXT), ("WAXSEAL_PRIVACY__NOTICE_VERSION", version)];
    TestApp::spawn_on(database, clock, &more).await
}

/// The notices among the messages that were sent, newest first.
async fn told(app: &TestApp) -> Vec<Value> {
    let sent = app.get("/v1/messages").await["data"].as_array().unwrap().clone();
    sent.into_iter().filter(|one| one["request"]["text"]["body"] == TEXT).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_is_told_once_for_each_version_and_again_when_they_are_somebody_new() {
    let url = database::fresh().await;
    let first = telling(url.clone(), "1").await;
    says(&first, ANA, "wamid.notice.1", "Moin").await;
    until("she is told", PATIENCE, async || told(&first).await.len() == 1).await;
    assert_eq!(told(&first).await[0]["request"]["to"], ANA);
    says(&first, ANA, "wamid.notice.2", "Und noch etwas").await;
    says(&first, BOB, "wamid.notice.3", "Hallo").await;
    until("he is told", PATIENCE, async || told(&first).await.len() == 2).await;
    let noted = "SELECT count(*) FROM notice WHERE state = 'sent' AND version = '1'";
    database::until(&url, noted, 2).await;
    let ana = contact_of(&first, ANA).await.unwrap();
    erased(&first, ANA).await;
    assert_eq!(traces(&url, &ana).await, Vec::<String>::new());
    says(&first, ANA, "wamid.notice.4", "Da bin ich wieder").await;
    database::until(&url, noted, 2).await;
    first.gateway.shutdown().await;

    let second = telling(url.clone(), "2").await;
    database::until(&url, "SELECT count(*) FROM notice WHERE state = 'sent' AND version = '2'", 2).await;
    let to_bob = told(&second).await.iter().filter(|one| one["request"]["to"] == BOB).count();
    assert_eq!(to_bob, 2, "once for each version");
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_data_are_restricted_is_told_when_they_no_longer_are_and_keeps_nobody_else_waiting() {
    let url = database::fresh().await;
    let before = TestApp::spawn_on(url.clone(), Arc::new(SystemClock), &[]).await;
    says(&before, ANA, "wamid.silent.1", "Moin").await;
    database::settled(&url).await;
    let ana = contact_of(&before, ANA).await.unwrap();
    let path = format!("/v1/contacts/{ana}/restriction");
    let put = before.api(Method::PUT, &path).json(&json!({ "reason": "x" })).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::NO_CONTENT);
    before.gateway.shutdown().await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let after = telling_at(url.clone(), "1", clock.clone()).await;
    let put_off = "SELECT tries FROM notice WHERE state = 'put_off' AND message_id IS NULL";
    until("she is put off", PATIENCE, async || database::count(&url, "SELECT count(*) FROM notice").await == 1).await;
    assert_eq!(database::count(&url, &format!("SELECT count(*) FROM ({put_off}) n")).await, 1);
    says(&after, BOB, "wamid.silent.2", "Hallo").await;
    until("he is told", PATIENCE, async || told(&after).await.len() == 1).await;
    clock.advance(time::Duration::seconds(61));
    database::until(&url, &format!("SELECT COALESCE(max(tries), 0)::bigint FROM ({put_off}) n"), 2).await;
    assert!(told(&after).await.iter().all(|one| one["request"]["to"] == BOB), "she is told nothing");

    assert_eq!(after.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    after.directory_is_read().await;
    clock.advance(time::Duration::seconds(121));
    until("she is told", PATIENCE, async || told(&after).await.len() == 2).await;
    database::until(&url, "SELECT count(*) FROM notice WHERE state = 'sent' AND again_at IS NULL", 2).await;
}
