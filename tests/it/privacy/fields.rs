//! Names, places, cards and advertisements may go before the message that they came in: from backups too.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::restoring::{DATA, KEYS, back_up, restore};
use super::retiring::days_pass;
use super::{ANA, BOB, contact_of, says};
use crate::support::estate::Folder;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database, webhook};

async fn keeps(app: &TestApp, rules: Value) -> StatusCode {
    let path = format!("/v1/channels/{}", app.channel().await);
    let answer = app.api(Method::PATCH, &path).json(&json!({ "retention": rules })).send().await.unwrap();
    app.directory_is_read().await;
    answer.status()
}

/// A place that somebody shares, with their name.
fn place(from: &str, wamid: &str) -> Vec<u8> {
    let now = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
    webhook::messages(json!({
        "contacts": [{ "profile": { "name": "Ana Beispiel" }, "wa_id": from }],
        "messages": [{ "from": from, "id": wamid, "timestamp": now, "type": "location",
                       "location": { "latitude": 53.5461, "longitude": 9.9661, "name": "Landungsbrücken" } }],
    }))
}

async fn seen(app: &TestApp) -> String {
    database::settled(&app.database).await;
    app.get("/v1/events?limit=200").await.to_string()
}

fn says_of(seen: &str) -> [bool; 3] {
    ["Moin zusammen", "Ana Beispiel", "Landungsbrücken"].map(|words| seen.contains(words))
}

async fn keys(app: &TestApp) -> i64 {
    database::count(&app.database, "SELECT count(*) FROM waxseal_keys.dek WHERE scope = 4").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_goes_first_a_name_later_and_the_words_stay_here_in_replays_and_in_backups() {
    let folder = Folder::new("fields");
    let cell = folder.0.join("cell").display().to_string();
    let settings = [("WAXSEAL_KEYS__CELL_FILES", cell.as_str()), ("WAXSEAL_RETENTION__LOCATIONS", "4")];
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &settings).await;
    let receiver = Receiver::start().await;
    let made = app.endpoint(&receiver, "standard").await;
    assert_eq!(keeps(&app, json!({ "names": 7 })).await, StatusCode::OK);
    says(&app, ANA, "wamid.field.1", "Moin zusammen").await;
    assert_eq!(app.webhook(place(ANA, "wamid.field.2")).await, StatusCode::OK);
    assert!(receiver.wait_for(2).await.iter().all(|one| one.json().to_string().contains("Ana Beispiel")));
    assert_eq!(says_of(&seen(&app).await), [true, true, true]);
    assert_eq!(keys(&app).await, 2, "one for each life");
    let ana = contact_of(&app, ANA).await.unwrap();
    assert_eq!(app.get(&format!("/v1/contacts/{ana}")).await["name"], Value::Null, "it would outlive the message");
    back_up(&app.database, "public", &DATA, "old_data").await;
    back_up(&app.database, "waxseal_keys", &KEYS, "old_keys").await;

    days_pass(&app, &clock, 4).await;
    assert_eq!(says_of(&seen(&app).await), [true, true, true], "the fourth day is kept");
    days_pass(&app, &clock, 1).await;
    assert_eq!(says_of(&seen(&app).await), [true, true, false]);
    days_pass(&app, &clock, 3).await;
    assert_eq!(says_of(&seen(&app).await), [true, false, false]);
    assert_eq!(keys(&app).await, 0);
    let replay = format!("/v1/endpoints/{}/replays", made["id"].as_str().unwrap());
    let all = json!({ "since": "2026-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z" });
    assert_eq!(app.api(Method::POST, &replay).json(&all).send().await.unwrap().status(), StatusCode::ACCEPTED);
    let told = receiver.wait_for(4).await;
    let told: String = told[2..].iter().map(|one| one.json().to_string()).collect();
    assert_eq!(says_of(&told), [true, false, false], "{told}");

    // A copy of the data opens nothing more under the keys of now.
    app.gateway.base().keyring.step_epoch().await.unwrap();
    let database = app.database.clone();
    back_up(&database, "waxseal_keys", &KEYS, "new_keys").await;
    app.gateway.shutdown().await;
    restore(&database, "public", &DATA, "old_data").await;
    restore(&database, "waxseal_keys", &KEYS, "new_keys").await;
    let app = TestApp::spawn_on(database, clock, &settings).await;
    assert_eq!(says_of(&seen(&app).await), [true, false, false]);
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_none_of_the_fields_is_as_it_was_and_a_file_is_found_behind_its_name() {
    let folder = crate::support::folder::Folder::new();
    let place_of_files = folder.url();
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let settings = [("WAXSEAL_MEDIA__URL", place_of_files.as_str()), ("WAXSEAL_RETENTION__LOCATIONS", "4")];
    let app = TestApp::spawn_with(clock.clone(), &settings).await;
    says(&app, BOB, "wamid.field.3", "Moin zusammen").await;
    assert_eq!(keys(&app).await, 0, "nothing of it goes sooner");
    assert_eq!(keeps(&app, json!({ "names": 4 })).await, StatusCode::OK);
    let order = json!({ "type": "document", "mime_type": "application/pdf", "media_base64": "bmljaHRz" });
    app.control(Method::POST, "inbound", order).await;
    until("the file is stored", PATIENCE, async || {
        clock.advance(Duration::seconds(2));
        database::count(&app.database, "SELECT count(*) FROM media WHERE state = 'stored'").await == 1
    })
    .await;
    assert_eq!(keeps(&app, json!({ "names": 3 })).await, StatusCode::UNPROCESSABLE_ENTITY, "endpoints are owed them");
    assert_eq!(keeps(&app, json!({ "names": "delivered" })).await, StatusCode::UNPROCESSABLE_ENTITY);
}
