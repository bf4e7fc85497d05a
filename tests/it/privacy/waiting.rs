//! What waits is waited for, as long as was said, and keeps nobody else's data.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use waxseal::access::{Permission, Permissions};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::retiring::days_pass;
use super::{ANA, BOB, contact_of, erase, reaches, says, sends, traces};
use crate::support::app::{self, api_key_with};
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

async fn done(app: &TestApp, key: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let answer = app.api_as(key, method, path).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// Holds somebody's data until then. The path of the hold.
async fn held(app: &TestApp, phone: &str, until: OffsetDateTime) -> String {
    let body = json!({ "phone": phone, "reason": "x", "expires_at": until.format(&Rfc3339).unwrap() });
    let (status, hold) = done(app, &app.key, Method::POST, "/v1/privacy/holds", body).await;
    assert_eq!(status, StatusCode::CREATED, "{hold}");
    let path = format!("/v1/privacy/holds/{}", hold["id"].as_str().unwrap());
    let second = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyHold])).await;
    let approved = done(app, &second, Method::POST, &format!("{path}/approve"), json!({})).await;
    assert_eq!(approved.0, StatusCode::NO_CONTENT);
    app.directory_is_read().await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_have_thirty_days_from_when_they_are_told_however_long_the_data_were_held() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    says(&app, ANA, "wamid.waiting.1", "Moin").await;
    receiver.wait_for(1).await;
    let hold = held(&app, ANA, clock.now() + Duration::days(60)).await;
    let (id, _) = erase(&app, json!({ "phone": ANA })).await;
    reaches(&app, &id, "held").await;
    clock.advance(Duration::days(31));
    receiver.answer(500);
    assert_eq!(done(&app, &app.key, Method::DELETE, &hold, json!({})).await.0, StatusCode::NO_CONTENT);
    let waits = reaches(&app, &id, "epoch_stepped").await;
    assert_eq!(waits["endpoints"][0]["state"], "pending", "{waits}");
    receiver.answer(200);
    until("it is acknowledged", PATIENCE, async || {
        clock.advance(Duration::seconds(10));
        app.get(&format!("/v1/privacy/erasures/{id}")).await["state"] == "certified"
    })
    .await;
    let text = database::text(&app.database, "SELECT certificate FROM erasure").await;
    let certificate: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(certificate["told"][0]["state"], "acknowledged");
    let at = |member: &Value| OffsetDateTime::parse(member.as_str().unwrap(), &Rfc3339).unwrap();
    let [residual, gone] = [at(&certificate["residual_until"]), at(&certificate["keys"]["destroyed_at"])];
    assert!(residual >= gone + Duration::days(30), "Meta keeps what was sent on the last day, too: {certificate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_made_in_the_place_of_another_does_not_approve_what_that_one_asked_for() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.waiting.2", "Moin").await;
    let body = json!({ "name": "legal", "role": "privacy_officer" });
    let (status, first) = done(&app, &app.key, Method::POST, "/v1/keys", body).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let rotated = async |key: &Value| {
        let path = format!("/v1/keys/{}/rotate", key["id"].as_str().unwrap());
        let (status, next) = done(&app, &app.key, Method::POST, &path, json!({})).await;
        assert_eq!(status, StatusCode::CREATED, "{next}");
        app.directory_is_read().await;
        next
    };
    let second = rotated(&first).await;
    let until = (OffsetDateTime::now_utc() + Duration::days(30)).format(&Rfc3339).unwrap();
    for (asks, approves) in [(&first, &second), (&second, &first)] {
        let [asks, approves] = [asks, approves].map(|key| key["key"].as_str().unwrap());
        let body = json!({ "phone": ANA, "reason": "x", "expires_at": until });
        let (status, hold) = done(&app, asks, Method::POST, "/v1/privacy/holds", body).await;
        assert_eq!(status, StatusCode::CREATED, "{hold}");
        let approve = format!("/v1/privacy/holds/{}/approve", hold["id"].as_str().unwrap());
        assert_eq!(done(&app, approves, Method::POST, &approve, json!({})).await.0, StatusCode::CONFLICT);
        assert_eq!(done(&app, &app.key, Method::POST, &approve, json!({})).await.0, StatusCode::NO_CONTENT);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_a_hold_that_is_being_stored_and_none_is_stored_behind_its_fence() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.waiting.3", "Moin").await;
    says(&app, BOB, "wamid.waiting.4", "Moin").await;
    let (ana, bob) = (contact_of(&app, ANA).await.unwrap(), contact_of(&app, BOB).await.unwrap());
    let mut writer = PgConnection::connect(&app.database).await.unwrap();
    let begun = format!(
        "BEGIN; INSERT INTO hold (tenant_id, hold_id, contact_id, state, reason, owner_id, created_at, expires_at)
         SELECT tenant_id, gen_random_uuid(), contact_id, 'requested', profile::bytea, contact_id, now(), now() FROM contact
         WHERE contact_id = '{ana}'"
    );
    sqlx::raw_sql(AssertSqlSafe(begun)).execute(&mut writer).await.unwrap();
    let (id, _) = erase(&app, json!({ "phone": ANA })).await;
    reaches(&app, &id, "fenced").await;
    sqlx::raw_sql("COMMIT").execute(&mut writer).await.unwrap();
    reaches(&app, &id, "certified").await;
    assert_eq!(traces(&app.database, &ana).await, Vec::<String>::new());

    // A process that knows him still asks behind the fence.
    let fence = format!(
        "INSERT INTO erased_contact SELECT tenant_id, contact_id, now() FROM contact WHERE contact_id = '{bob}'"
    );
    database::sabotage(&app.database, &fence).await;
    let until = (OffsetDateTime::now_utc() + Duration::days(30)).format(&Rfc3339).unwrap();
    let body = json!({ "contact_id": bob, "reason": "x", "expires_at": until });
    let (status, answer) = done(&app, &app.key, Method::POST, "/v1/privacy/holds", body).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{answer}");
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM hold").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_leave_keeps_its_own_key_and_nobody_elses() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let first = clock.now().date();
    says(&app, ANA, "wamid.waiting.5", "Alte Worte").await;
    says(&app, BOB, "wamid.waiting.6", "Alte Worte").await;
    database::settled(&app.database).await;
    let (ana, bob) = (contact_of(&app, ANA).await.unwrap(), contact_of(&app, BOB).await.unwrap());
    let channel = app.channel().await;
    let text = |to: &str| json!({ "channel_id": channel, "message": { "to": to, "type": "text", "text": { "body": "Antwort" } } });
    let sent = sends(&app, text(BOB)).await;
    let is_sent = async || app.get(&format!("/v1/messages/{sent}")).await["state"] != "queued";
    until("it is sent", PATIENCE, is_sent).await;
    // Handed over in time, and due when there is no token any more.
    let mut later = text(ANA);
    later["send_at"] = json!((clock.now() + Duration::minutes(10)).format(&Rfc3339).unwrap());
    sends(&app, later).await;
    let path = format!("/v1/channels/{channel}");
    let (status, answer) = done(&app, &app.key, Method::PATCH, &path, json!({ "access_token": null })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    app.directory_is_read().await;

    days_pass(&app, &clock, 91).await;
    let rows = |contact: &str| format!("SELECT count(*) FROM message WHERE contact_id = '{contact}'");
    assert_eq!(database::count(&app.database, &rows(&bob)).await, 0, "his is over");
    assert_eq!(database::count(&app.database, &rows(&ana)).await, 1, "hers waits");
    days_pass(&app, &clock, 40).await;
    let month = first.replace_day(1).unwrap();
    let key = |contact: &str| {
        format!(
            "SELECT count(*) FROM waxseal_keys.dek WHERE scope = 2 AND subject_id = '{contact}' AND month = '{month}'"
        )
    };
    assert_eq!(database::count(&app.database, &key(&bob)).await, 0);
    assert_eq!(database::count(&app.database, &key(&ana)).await, 1);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM outbox").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_excuses_nothing_old_of_anybody_else() {
    let then = SystemClock.now() - Duration::days(100);
    let clock = Arc::new(ManualClock::new(then));
    let app = TestApp::spawn_with(clock, &[]).await;
    says(&app, ANA, "wamid.waiting.7", "Beweis").await;
    held(&app, ANA, SystemClock.now() + Duration::days(30)).await;
    let environment = app::variables(&app.database, app.simulator.base_url());
    let retention = async || {
        let told = waxseal(&["posture", "--json"], &environment).output().await.unwrap();
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        let one =
            told["controls"].as_array().unwrap().iter().find(|one| one["control"] == "retention").unwrap().clone();
        (one["state"].as_str().unwrap().to_owned(), one["evidence"].to_string())
    };
    let (state, evidence) = retention().await;
    assert!(state == "green" && evidence.contains("is held"), "{evidence}");
    says(&app, BOB, "wamid.waiting.8", "Hallo").await;
    let (state, evidence) = retention().await;
    assert!(state == "red" && evidence.contains("event_payload of"), "{evidence}");
}
