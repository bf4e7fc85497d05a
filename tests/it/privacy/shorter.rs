//! What single numbers keep for a shorter time goes by its key, so that it is gone from backups too.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::app::Base;
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::restoring::{DATA, KEYS, back_up, restore};
use super::retiring::{days_pass, rows_are_right};
use super::{ANA, BOB, contact_of, says, sends};
use crate::support::app::{ACCESS_TOKEN, PHONE_NUMBER_ID, WABA_ID};
use crate::support::estate::Folder;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, app, database, webhook};

const OTHER_NUMBER: &str = "106540352242999";

async fn keeps(app: &TestApp, rules: Value) -> (StatusCode, Value) {
    let path = format!("/v1/channels/{}", app.channel().await);
    let answer = app.api(Method::PATCH, &path).json(&json!({ "retention": rules })).send().await.unwrap();
    let told = (answer.status(), answer.json().await.unwrap());
    app.directory_is_read().await;
    told
}

async fn texts(app: &TestApp) -> String {
    database::settled(&app.database).await;
    app.get("/v1/events?limit=200").await.to_string()
}

async fn keys(app: &TestApp, which: &str) -> i64 {
    database::count(&app.database, &format!("SELECT count(*) FROM waxseal_keys.dek WHERE {which}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_keeps_for_a_week_has_lost_it_on_the_ninth_day_in_every_backup_and_the_others_have_not() {
    let folder = Folder::new("shorter");
    let cell = folder.0.join("cell").display().to_string();
    let settings = [("WAXSEAL_KEYS__CELL_FILES", cell.as_str())];
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &settings).await;
    let other =
        json!({ "name": "other", "phone_number_id": OTHER_NUMBER, "waba_id": WABA_ID, "access_token": ACCESS_TOKEN });
    let made = app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let (status, channel) = keeps(&app, json!({ "received": 7, "sent": 1 })).await;
    assert_eq!((status, &channel["retention"]), (StatusCode::OK, &json!({ "received": 7, "sent": 1 })));

    says(&app, ANA, "wamid.short.1", "Kurze Worte").await;
    let elsewhere = String::from_utf8(webhook::text(ANA, "wamid.long.1", "Lange Worte")).unwrap();
    let elsewhere = elsewhere.replace(PHONE_NUMBER_ID, OTHER_NUMBER);
    assert_eq!(app.webhook(elsewhere).await, StatusCode::OK);
    says(&app, BOB, "wamid.short.2", "Beweis").await;
    let message = json!({ "channel_id": app.channel().await, "message": { "to": ANA, "type": "text", "text": { "body": "Gesagt" } } });
    let sent = format!("/v1/messages/{}", sends(&app, message).await);
    until("it is sent", PATIENCE, async || app.get(&sent).await["state"] != "queued").await;
    hold(&app, &clock, BOB).await;
    back_up(&app.database, "public", &DATA, "old_data").await;
    back_up(&app.database, "waxseal_keys", &KEYS, "old_keys").await;
    assert_eq!(keys(&app, "scope = 4").await, 3, "two for what was said in a week, one for what was sent");

    days_pass(&app, &clock, 2).await;
    assert_eq!(keys(&app, "scope = 4").await, 2, "what was sent is kept for a day");
    assert!(!app.get(&sent).await.to_string().contains("Gesagt"), "its state stays, its words do not");
    days_pass(&app, &clock, 5).await;
    let seen = texts(&app).await;
    assert!(seen.contains("Kurze Worte") && seen.contains("Lange Worte"), "the seventh day is kept: {seen}");
    let told = app.get("/v1/privacy/retention").await;
    let rule = told["rules"].as_array().unwrap().iter().find(|rule| rule["class"] == "received").unwrap();
    assert_eq!((&rule["days"], rule["kept_since"].is_string()), (&json!(7), true), "{told}");

    days_pass(&app, &clock, 1).await;
    let seen = texts(&app).await;
    assert!(!seen.contains("Kurze Worte") && seen.contains("Lange Worte"), "{seen}");
    assert!(seen.contains("Beweis"), "what is held stays: {seen}");
    assert_eq!(keys(&app, "scope = 4").await, 1);
    let told = app.get("/v1/privacy/retention").await;
    let short = told["classes"].as_array().unwrap().iter().find(|class| class["class"] == "short_lived_key").unwrap();
    assert_eq!(short["overdue"], true, "of somebody whose data are held: {told}");

    rows_are_right(&app, &clock).await;
    // A copy of the data opens nothing under the keys of now, and those of then do not open.
    app.gateway.base().keyring.step_epoch().await.unwrap();
    let (database, config) = (app.database.clone(), app.config.clone());
    back_up(&database, "waxseal_keys", &KEYS, "new_keys").await;
    app.gateway.shutdown().await;
    restore(&database, "public", &DATA, "old_data").await;
    restore(&database, "waxseal_keys", &KEYS, "old_keys").await;
    assert!(Box::pin(Base::open(&config, clock.clone())).await.is_err(), "the old keys must not open");
    restore(&database, "waxseal_keys", &KEYS, "new_keys").await;
    let app = TestApp::spawn_on(database, clock, &settings).await;
    let seen = texts(&app).await;
    assert!(!seen.contains("Kurze Worte") && seen.contains("Lange Worte"), "{seen}");
    app.gateway.shutdown().await;
}

async fn hold(app: &TestApp, clock: &ManualClock, phone: &str) {
    let until = (clock.now() + Duration::days(300)).format(&time::format_description::well_known::Rfc3339).unwrap();
    let asked = json!({ "phone": phone, "reason": "x", "expires_at": until });
    let hold = app.api(Method::POST, "/v1/privacy/holds").json(&asked).send().await.unwrap();
    let hold: Value = hold.json().await.unwrap();
    let second = app::api_key_with(
        &app.gateway,
        waxseal::access::Permissions::from_iter([waxseal::access::Permission::PrivacyHold]),
    );
    let approve = format!("/v1/privacy/holds/{}/approve", hold["id"].as_str().unwrap());
    assert!(app.api_as(&second.await, Method::POST, &approve).send().await.unwrap().status().is_success());
    app.directory_is_read().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_stays_until_every_endpoint_has_it_and_no_longer() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let (working, broken) = (Receiver::start().await, Receiver::start().await);
    for receiver in [&working, &broken] {
        app.endpoint(receiver, "standard").await;
    }
    broken.answer(500);
    assert_eq!(keeps(&app, json!({ "received": "delivered", "statuses": "delivered" })).await.0, StatusCode::OK);
    says(&app, BOB, "wamid.pass.0", "Beweis").await;
    hold(&app, &clock, BOB).await;
    says(&app, ANA, "wamid.pass.1", "Durchgereicht").await;
    working.wait_for(2).await;
    broken.wait_for(2).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    assert_eq!(keys(&app, "scope = 6").await, 2);

    // One of them has it, the other has not.
    let rows = "SELECT count(*) FROM event_payload";
    let before = database::count(&app.database, rows).await;
    app.gateway.base().directory.reload().await.unwrap();
    assert!(texts(&app).await.contains("Durchgereicht"));
    broken.answer(200);
    until("both have it", PATIENCE, async || {
        clock.advance(Duration::seconds(10));
        database::count(&app.database, "SELECT count(*) FROM passing").await == 1
    })
    .await;
    assert_eq!(database::count(&app.database, rows).await, before - 1, "hers alone went");
    let seen = texts(&app).await;
    assert!(!seen.contains("Durchgereicht") && seen.contains("Beweis"), "that it was stays: {seen}");
    assert!(broken.received().iter().any(|one| one.json().to_string().contains("Durchgereicht")));

    // Two days later its key is gone from the next step on.
    days_pass(&app, &clock, 2).await;
    assert_eq!(keys(&app, &format!("scope = 6 AND subject_id = '{ana}'")).await, 0);
    assert_eq!(keys(&app, "scope = 6").await, 1);
    assert!(texts(&app).await.contains("Beweis"));
    rows_are_right(&app, &clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_for_less_than_endpoints_are_tried_nor_for_longer_than_everything() {
    let app = TestApp::spawn().await;
    let (status, told) = keeps(&app, json!({ "received": 3, "sent": "delivered", "dreams": 1 })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    let faults = told["errors"].as_array().unwrap();
    assert_eq!(faults.len(), 3, "all at once: {told}");
    assert!(told.to_string().contains("endpoints are tried for as long"), "{told}");
    let (status, told) = keeps(&app, json!({ "files": 91 })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    assert!(told.to_string().contains("retention.content_days"), "{told}");
    assert_eq!(app.get("/v1/channels").await["data"][0]["retention"], json!({}));

    let environment = app::variables(&app.database, app.simulator.base_url());
    let channel = app.channel().await;
    let set = async |rules: &str| {
        waxseal(&["channel", "set", &channel, "--retention", rules], &environment).output().await.unwrap()
    };
    let refused = set("received=2").await;
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("4 to 36525 days"));
    assert!(set("received=7,statuses=delivered,files=1").await.status.success());
    assert!(set("received=all").await.status.success());
    app.directory_is_read().await;
    let kept = app.get("/v1/channels").await["data"][0]["retention"].clone();
    assert_eq!(kept, json!({ "files": 1, "statuses": "delivered" }));
}
