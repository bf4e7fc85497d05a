//! Promise: what somebody should look at is told, and whoever caused it does not notice.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{Permission, Permissions, Role, Sight};
use waxseal::clock::SystemClock;

use crate::authorisation::problem;
use crate::support::app::{api_key_for, api_key_with, variables};
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database, webhook};

async fn events(app: &TestApp, event_type: &str) -> Vec<Value> {
    app.get(&format!("/v1/events?type={event_type}&limit=200")).await["data"].as_array().unwrap().clone()
}

/// The event of this type, once it is there.
async fn told(app: &TestApp, event_type: &str) -> Value {
    until(event_type, PATIENCE, async || !events(app, event_type).await.is_empty()).await;
    events(app, event_type).await.remove(0)
}

async fn endpoint_for(app: &TestApp, event_types: Value) -> Receiver {
    let receiver = Receiver::start().await;
    let body = json!({ "name": "alarms", "url": receiver.url(), "event_types": event_types });
    let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    receiver
}

/// An answer without what is different every time: status, headers but for ids and lengths of time, and the bytes of the body.
async fn answer(app: &TestApp, key: &str, method: Method, path: &str) -> (StatusCode, Vec<String>, String) {
    let request = app.api_as(key, method, path);
    let request = if path.ends_with("/reveal") { request.json(&json!({ "reason": "match" })) } else { request };
    let answer = request.send().await.unwrap();
    let receipts = answer.headers().get("x-audit-index").map_or(0, |value| value.to_str().unwrap().split(',').count());
    let mut headers: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
    headers.push(format!("{receipts} receipts"));
    (answer.status(), headers, answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_opens_a_decoy_by_any_way_is_told_of_and_sees_what_they_saw_before() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let all = endpoint_for(&app, json!([])).await;
    let watching = endpoint_for(&app, json!(["security.decoy_opened"])).await;
    assert_eq!(app.webhook(webhook::text("4915199900011", "wamid.alarm", "Moin")).await, StatusCode::OK);
    all.wait_for(1).await;
    database::settled(&app.database).await;
    let id = app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned();
    let powers = Powers::Scopes(
        [Permission::ContactsRead, Permission::ContactsReveal, Permission::MessagesRead, Permission::EventsRead]
            .into_iter()
            .collect(),
    );
    let ways = [
        (Method::GET, format!("/v1/contacts/{id}")),
        (Method::GET, "/v1/contacts".to_owned()),
        (Method::POST, format!("/v1/contacts/{id}/reveal")),
        (Method::GET, format!("/v1/contacts/{id}/messages")),
        (Method::GET, "/v1/events?type=message.received".to_owned()),
    ];
    let mut before = Vec::new();
    let key = api_key_for(&app.gateway, powers, Sight::FULL).await;
    for (method, path) in &ways {
        before.push(answer(&app, &key, method.clone(), path).await);
    }
    let mark = format!("/v1/contacts/{id}/decoy");
    for _twice in 0..2 {
        assert_eq!(app.api(Method::PUT, &mark).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    }
    for (number, ((method, path), before)) in ways.iter().zip(before).enumerate() {
        let thief = api_key_for(&app.gateway, powers, Sight::FULL).await;
        for _twice in 0..2 {
            assert_eq!(answer(&app, &thief, method.clone(), path).await, before, "{path}");
        }
        let came = watching.wait_for(number + 1).await;
        let alarm = came[number].json();
        assert_eq!(alarm["type"], "security.decoy_opened", "{path}");
        assert!(alarm["data"]["item"]["key_id"].is_string() && alarm["data"]["item"]["audit_entry_id"].is_string());
        assert!(!alarm.to_string().contains(&id), "it does not say which contact");
        let seen = app.api_as(&thief, Method::GET, "/v1/events?limit=200").send().await.unwrap().text().await.unwrap();
        assert!(!seen.contains("decoy"), "whoever was caught does not read of it");
    }
    assert_eq!(events(&app, "security.decoy_opened").await.len(), ways.len(), "once for each key");
    let entries = app.get(&format!("/v1/audit?action=decoy.opened&contact_id={id}")).await;
    assert_eq!(entries["data"].as_array().unwrap().len(), ways.len(), "{entries}");
    assert_eq!(all.received().len(), 1, "who asked for everything did not ask for this");
    let marks = app.get("/v1/audit?action=decoy.marked").await;
    assert!(marks["data"][0].is_object() && !marks.to_string().contains(&id), "{marks}");

    // The database does not say which contact it is, and an hour later the same key is told of again.
    let found =
        database::count(&app.database, &format!("SELECT count(*) FROM decoy d WHERE d::text LIKE '%{id}%'")).await;
    assert_eq!(found, 0);
    clock.advance(time::Duration::minutes(50));
    answer(&app, &key, Method::GET, &ways[0].1).await;
    watching.wait_for(ways.len() + 1).await;
    for _ in 0..2 {
        // Whoever goes on opening it is told of again, too.
        clock.advance(time::Duration::minutes(50));
        answer(&app, &key, Method::GET, &ways[0].1).await;
    }
    watching.wait_for(ways.len() + 2).await;
    assert_eq!(app.api(Method::DELETE, &mark).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    clock.advance(time::Duration::hours(2));
    answer(&app, &key, Method::GET, &ways[0].1).await;
    app.gateway.base().door().refusals().alarms().flush().await;
    assert_eq!(events(&app, "security.decoy_opened").await.len(), ways.len() + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn decoys_are_for_those_who_may_and_may_be_marked_at_a_terminal() {
    let app = TestApp::spawn().await;
    app.webhook(webhook::text("4915199900011", "wamid.alarm", "Moin")).await;
    database::settled(&app.database).await;
    let id = app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned();
    let mark = format!("/v1/contacts/{id}/decoy");
    let admin = api_key_for(&app.gateway, Powers::Role(Role::Admin), Role::Admin.sight()).await;
    problem(app.api_as(&admin, Method::PUT, &mark).send().await.unwrap(), StatusCode::FORBIDDEN, "forbidden").await;

    let environment = variables(&app.database, "http://127.0.0.1:1");
    let done = waxseal(&["contact", "decoy", &id], &environment).output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let count = async || database::count(&app.database, "SELECT count(*) FROM decoy").await;
    assert_eq!(count().await, 1);
    // An operator who looks is told of, too.
    let words = ["tail", "--content", "--from-start", "--limit", "1", "--type", "message.received"];
    assert!(waxseal(&words, &environment).output().await.unwrap().status.success());
    assert_eq!(told(&app, "security.decoy_opened").await["data"]["item"]["key_id"], Value::Null);
    let unknown = "01890000-0000-7000-8000-000000000000";
    assert!(!waxseal(&["contact", "decoy", unknown], &environment).output().await.unwrap().status.success());
    assert!(waxseal(&["contact", "decoy", &id, "--off"], &environment).output().await.unwrap().status.success());
    assert_eq!(count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_many_times_within_a_minute_is_told_of_once() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let key = api_key_with(&app.gateway, Permissions::of_scopes(["channels:read"])).await;
    let refused = async |key: &str, times: usize| {
        for _ in 0..times {
            let answer = app.api_as(key, Method::GET, "/v1/apps").send().await.unwrap();
            assert!(matches!(answer.status().as_u16(), 401 | 403));
        }
    };
    // A minute of its own, so that the count is not cut by the turn of one.
    let next = 60 - waxseal::clock::Clock::now(&*clock).unix_timestamp().rem_euclid(60);
    clock.advance(time::Duration::seconds(next));
    refused(&key, 40).await;
    let burst = told(&app, "security.refused_burst").await;
    let item = &burst["data"]["item"];
    assert_eq!((&item["reason"], &item["refused_at_least"]), (&json!("forbidden"), &json!(20)));
    assert!(item["key_id"].is_string());
    refused("nobody", 110).await;
    until("strangers are told of", PATIENCE, async || events(&app, "security.refused_burst").await.len() == 2).await;
    let strangers = events(&app, "security.refused_burst").await.remove(1);
    assert_eq!(strangers["data"]["item"]["reason"], "unauthenticated");
    assert_eq!(strangers["data"]["item"]["key_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_advance_is_told_of() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let receiver = endpoint_for(&app, json!(["security.*"])).await;
    // Every step of the sequencer fails from now on.
    database::sabotage(&app.database, "ALTER TABLE audit_leaf ADD CONSTRAINT stuck CHECK (false) NOT VALID").await;
    let made = json!({ "name": "x", "permissions": ["events:read"] });
    assert_eq!(app.api(Method::POST, "/v1/keys").json(&made).send().await.unwrap().status(), StatusCode::CREATED);
    clock.advance(time::Duration::minutes(6));
    let stalled = told(&app, "security.log_stalled").await;
    assert!(stalled["data"]["item"]["waiting_since"].is_string(), "{stalled}");
    assert_eq!(receiver.wait_for(1).await[0].json()["type"], "security.log_stalled");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_says_of_the_security_of_a_number_is_told_at_once_and_counted() {
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[]).await;
    let receiver = endpoint_for(&app, json!(["account.security"])).await;
    let fixture = include_str!("../fixtures/meta/account_security.json");
    for (number, word) in
        ["PIN_CHANGED", "PIN_RESET_REQUEST", "PIN_REQUEST_SUCCESS", "A_WORD_OF_TOMORROW"].iter().enumerate()
    {
        assert_eq!(app.webhook(fixture.replace("PIN_CHANGED", word)).await, StatusCode::OK);
        let came = receiver.wait_for(number + 1).await;
        let told = came[number].json();
        assert_eq!((&told["type"], &told["data"]["item"]["event"]), (&json!("account.security"), &json!(word)));
    }
    assert!(
        include_str!("../../config/alerts.yml").contains(r#"waxseal_ingest_events_total{type="account.security"}"#)
    );
}
