//! Nothing waits for longer than what it waits with: what is owed, scheduled or ruled goes no later than its content.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, Time};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::retiring::days_pass;
use super::{ANA, says, sends};
use crate::support::folder::Folder;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, app, database, endpoint};

const FAILED: &str = "SELECT count(*) FROM attempt";
const DAY_LONG: [(&str, &str); 1] = [("retry-after", "86400")];

/// At noon: what goes at midnight is half a day away.
fn noon() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(SystemClock.now().replace_time(Time::from_hms(12, 0, 0).unwrap())))
}

async fn keeps(app: &TestApp, rules: Value) {
    let path = format!("/v1/channels/{}", app.channel().await);
    let answer = app.api(Method::PATCH, &path).json(&json!({ "retention": rules })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    app.directory_is_read().await;
}

async fn rules(app: &TestApp) -> Value {
    app.get("/v1/privacy/retention").await["rules"].clone()
}

fn types(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_never_put_off_until_its_content_is_gone_and_others_are_told_when_it_is_given_up() {
    let clock = noon();
    let app = TestApp::spawn_with(clock.clone(), &[]).await;
    let (failing, other) = (Receiver::start().await, Receiver::start().await);
    let path = endpoint::path_of(&app.endpoint(&failing, "standard").await);
    app.endpoint(&other, "standard").await;
    keeps(&app, json!({ "received": 4 })).await;
    let goes_at = (clock.now().date() + Duration::days(5)).midnight().assume_utc();
    for _ in 0..9 {
        failing.then_answer(500, &DAY_LONG);
    }
    says(&app, ANA, "wamid.owed.1", "Warten").await;
    database::until(&app.database, FAILED, 1).await;
    for attempts in 2..=5 {
        clock.advance(Duration::DAY + Duration::SECOND);
        database::until(&app.database, FAILED, attempts).await;
    }

    // Another day would be too late: it is brought forward, and was the last.
    let event = failing.received()[0].header("webhook-id").to_owned();
    let fate = app.get(&format!("/v1/events/{event}/deliveries")).await;
    let delivery = fate["data"].as_array().unwrap().iter().find(|one| one["state"] == "retrying").unwrap();
    let next = OffsetDateTime::parse(delivery["next_at"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(next, goes_at - Duration::HOUR, "{fate}");
    clock.advance(next - clock.now() + Duration::SECOND);
    database::until(&app.database, "SELECT count(*) FROM delivery_dead", 1).await;
    let dead = app.get(&format!("{path}/dead-letters")).await;
    assert_eq!((&dead["data"][0]["reason"], &dead["data"][0]["attempts"]), (&json!("retention"), &json!(6)), "{dead}");
    assert!(clock.now() < goes_at, "it was given up while its content was there");
    until("others are told", PATIENCE, async || types(&other).contains(&"endpoint.left_behind".to_owned())).await;
    assert!(!types(&failing).contains(&"endpoint.left_behind".to_owned()), "never to itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_first_attempt_until_its_key_is_gone_is_a_dead_letter_that_says_so() {
    let clock = noon();
    let app = TestApp::spawn_with(clock.clone(), &[]).await;
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let path = endpoint::path_of(&app.endpoint(&receiver, "standard").await);
    app.endpoint(&other, "standard").await;
    let set = async |state: &str| endpoint::change(&app, &path, &json!({ "state": state })).await;
    assert_eq!(set("paused").await.status(), StatusCode::OK);
    keeps(&app, json!({ "received": 4 })).await;
    says(&app, ANA, "wamid.owed.2", "Zu lange").await;
    other.wait_for(1).await;
    days_pass(&app, &clock, 5).await;
    assert_eq!(set("active").await.status(), StatusCode::OK);
    database::until(&app.database, "SELECT count(*) FROM delivery_dead", 1).await;
    let dead = app.get(&format!("{path}/dead-letters")).await;
    assert_eq!(
        (&dead["data"][0]["reason"], &dead["data"][0]["attempts"]),
        (&json!("payload_gone"), &json!(0)),
        "{dead}"
    );
    until("others are told", PATIENCE, async || types(&other).contains(&"endpoint.left_behind".to_owned())).await;

    // Whoever has it delivered after all is told the same again.
    clock.advance(Duration::SECOND);
    let redrive = app.api(Method::POST, &format!("{path}/dead-letters/redrive")).json(&json!({ "all": true }));
    assert_eq!(redrive.send().await.unwrap().json::<Value>().await.unwrap()["redriven"], 1);
    until("it is dead again", PATIENCE, async || {
        app.get(&format!("{path}/dead-letters")).await["data"][0]["reason"] == "payload_gone"
    })
    .await;
    assert!(receiver.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_content_days_was_lowered_below_is_cut_to_them_key_and_all() {
    let clock = noon();
    let app = TestApp::spawn_with(clock.clone(), &[]).await;
    keeps(&app, json!({ "received": 60, "sent": 20 })).await;
    let TestApp { gateway, database, .. } = app;
    gateway.shutdown().await;
    let lowered = [("WAXSEAL_RETENTION__CONTENT_DAYS", "30")];
    let app = TestApp::spawn_on(database, clock.clone(), &lowered).await;
    let told = rules(&app).await;
    let of = |class: &str| {
        let rule = told.as_array().unwrap().iter().find(|rule| rule["class"] == class).unwrap();
        (rule["days"].clone(), rule["source"].as_str().unwrap().to_owned())
    };
    assert_eq!(of("received"), (json!(30), "content_days".to_owned()));
    assert_eq!(of("sent"), (json!(20), "channel".to_owned()));
    says(&app, ANA, "wamid.cut.1", "Nicht so lange").await;
    let dies_on = clock.now().date() + Duration::days(31);
    let named = format!("SELECT count(*) FROM waxseal_keys.dek WHERE scope = 4 AND month = '{dies_on}'");
    assert_eq!(database::count(&app.database, &named).await, 1, "its key goes with its row");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_sent_has_its_words_and_its_file_when_it_is_due_or_is_refused() {
    let folder = Folder::new();
    let clock = noon();
    let more = [
        ("WAXSEAL_MEDIA__URL", folder.url()),
        ("WAXSEAL_RETENTION__CONTENT_DAYS", "14".to_owned()),
        ("WAXSEAL_RETENTION__SENT", "1".to_owned()),
    ];
    let app = TestApp::spawn_with(clock.clone(), &more.each_ref().map(|(key, value)| (*key, value.as_str()))).await;
    let file = app.api(Method::POST, "/v1/media").header("content-type", "text/plain").body("Angebot");
    let file: Value = file.send().await.unwrap().json().await.unwrap();
    let channel = app.channel().await;
    let at = |days: i64| (clock.now() + Duration::days(days)).format(&Rfc3339).unwrap();
    let document = |days: i64| {
        json!({ "channel_id": channel, "send_at": at(days),
                "message": { "to": ANA, "type": "document", "document": { "id": file["id"], "filename": "a.txt" } } })
    };
    let refused = app.api(Method::POST, "/v1/messages").json(&document(15)).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["errors"][0]["pointer"], "/message/document/id", "{refused}");
    assert!(refused.to_string().contains("retention.content_days"), "{refused}");
    let on_its_last_day = sends(&app, document(14)).await;

    let text = json!({ "channel_id": channel, "send_at": at(20), "message": { "to": ANA, "type": "text", "text": { "body": "Später" } } });
    let text = sends(&app, text).await;
    let sent = async |message: &str| {
        until("it is sent", PATIENCE, async || {
            let state = app.get(&format!("/v1/messages/{message}")).await["state"].clone();
            ["sent", "delivered", "read"].contains(&state.as_str().unwrap())
        })
        .await;
    };
    days_pass(&app, &clock, 12).await;
    days_pass(&app, &clock, 2).await;
    sent(&on_its_last_day).await;
    days_pass(&app, &clock, 2).await;
    assert_eq!(app.get(&format!("/v1/messages/{text}")).await["state"], "queued");
    clock.advance(Duration::days(4) + Duration::HOUR);
    sent(&text).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_configuration_hold_for_every_number_that_has_none_of_its_own_and_it_is_shown_whose_they_are() {
    let clock = noon();
    let more = [("WAXSEAL_RETENTION__RECEIVED", "7"), ("WAXSEAL_RETENTION__STATUSES", "delivered")];
    let app = TestApp::spawn_with(clock.clone(), &more).await;
    says(&app, ANA, "wamid.house.1", "Eine Woche").await;
    let named = |days: i64| {
        let dies_on = clock.now().date() + Duration::days(days + 1);
        format!("SELECT count(*) FROM waxseal_keys.dek WHERE scope = 4 AND month = '{dies_on}'")
    };
    assert_eq!(database::count(&app.database, &named(7)).await, 1);
    keeps(&app, json!({ "received": 10 })).await;
    says(&app, ANA, "wamid.house.2", "Zehn Tage").await;
    assert_eq!(database::count(&app.database, &named(10)).await, 1, "its own comes first");
    let told = rules(&app).await;
    assert_eq!((&told[0]["days"], &told[0]["source"]), (&json!(10), &json!("channel")), "{told}");
    assert_eq!((&told[1]["class"], &told[1]["source"]), (&json!("statuses"), &json!("configuration")), "{told}");
    assert_eq!(app.get("/v1/channels").await["data"][0]["retention"], json!({ "received": 10 }), "its own alone");

    let mut environment = app::variables(&app.database, app.simulator.base_url());
    environment.extend(more.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let shown = waxseal(&["retention"], &environment).output().await.unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("configuration") && shown.contains("until acknowledged"), "{shown}");
    days_pass(&app, &clock, 8).await;
    let seen = app.get("/v1/events?limit=200").await.to_string();
    assert!(!seen.contains("Eine Woche") && seen.contains("Zehn Tage"), "{seen}");
}
