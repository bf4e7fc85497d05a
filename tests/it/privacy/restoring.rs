//! An older copy brings nobody back, whichever parts of it are restored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use reqwest::{Method, StatusCode};
use serde_json::json;
use time::Duration;
use waxseal::app::Base;
use waxseal::clock::{Clock, ManualClock, SystemClock};
use waxseal::crypto::keys::KeyBytes;

use super::retiring::days_pass;
use super::{ANA, contact_of, erased, says};
use crate::support::app::{ACCESS_TOKEN, KMS_SECRET, PHONE_NUMBER_ID, WABA_ID};
use crate::support::attacker::{Attacker, Spoils};
use crate::support::estate::Folder;
use crate::support::{TestApp, database, webhook};

pub const KEYS: [&str; 10] = [
    "installation",
    "tenant_kek",
    "bucket_key",
    "index_key",
    "dek",
    "forgotten_key",
    "forgotten_subject",
    "touched_bucket",
    "touched_tenant",
    "epoch_step",
];
pub const DATA: [&str; 7] =
    ["contact", "contact_identifier", "event", "event_payload", "service_window", "erased_contact", "event_ledger"];

/// Copies tables, as a backup would.
pub async fn back_up(database: &str, schema: &str, tables: &[&str], name: &str) {
    let copies: Vec<String> =
        tables.iter().map(|table| format!("CREATE TABLE {name}.{table} AS TABLE {schema}.{table};")).collect();
    database::sabotage(database, &format!("CREATE SCHEMA {name};\n{}", copies.join("\n"))).await;
}

pub async fn restore(database: &str, schema: &str, tables: &[&str], name: &str) {
    let moves = tables.iter().map(|table| {
        format!("DELETE FROM {schema}.{table}; INSERT INTO {schema}.{table} SELECT * FROM {name}.{table};")
    });
    database::sabotage(database, &moves.collect::<Vec<_>>().join("\n")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_combination_of_an_older_copy_with_what_is_there_brings_an_erased_person_back() {
    let folder = Folder::new("restoring");
    let cells: Vec<PathBuf> = (1..=3).map(|number| folder.0.join(format!("{number}")).join("cell")).collect();
    for file in &cells {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    }
    let places = cells.iter().map(|file| file.to_str().unwrap()).collect::<Vec<_>>().join(",");
    let settings = [("WAXSEAL_KEYS__CELL_FILES", places.as_str())];
    let clock = || Arc::new(SystemClock);
    let app = TestApp::spawn_on(database::fresh().await, clock(), &settings).await;
    says(&app, ANA, "wamid.restore.1", "Vergessene Worte").await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    back_up(&app.database, "public", &DATA, "old_data").await;
    back_up(&app.database, "waxseal_keys", &KEYS, "old_keys").await;
    let done = erased(&app, ANA).await;
    assert!(done["keys_destroyed"].as_u64().unwrap() > 0, "{done}");
    back_up(&app.database, "public", &DATA, "new_data").await;
    back_up(&app.database, "waxseal_keys", &KEYS, "new_keys").await;
    let (database, config) = (app.database.clone(), app.config.clone());
    app.gateway.shutdown().await;

    // The keys of before, under the cell of now: nothing opens, whichever data they come with.
    for data in ["old_data", "new_data"] {
        restore(&database, "public", &DATA, data).await;
        restore(&database, "waxseal_keys", &KEYS, "old_keys").await;
        let refused = Box::pin(Base::open(&config, clock())).await.map(drop).map_err(|error| format!("{error:#}"));
        assert!(refused.is_err(), "{data} with the old keys must not open");
    }

    // The data of before, under the keys of now: the rows are back, and say nothing.
    restore(&database, "public", &DATA, "old_data").await;
    restore(&database, "waxseal_keys", &KEYS, "new_keys").await;
    let app = TestApp::spawn_on(database.clone(), clock(), &settings).await;
    let shown = app.get(&format!("/v1/contacts/{ana}")).await;
    assert_eq!((&shown["erased"], &shown["phone"]), (&true.into(), &serde_json::Value::Null), "{shown}");
    database::settled(&database).await;
    let events = app.get("/v1/events?limit=200").await.to_string();
    assert!(!events.contains("Vergessene Worte"), "{events}");
    // And whoever writes again is somebody new all the same.
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.restore.2", "Neue Worte")).await, StatusCode::OK);
    let new = contact_of(&app, ANA).await.unwrap();
    assert_ne!(new, ana);
    database::settled(&database).await;
    assert!(app.get("/v1/events?limit=200").await.to_string().contains("Neue Worte"));
    app.gateway.shutdown().await;

    // What is there now: as it was left.
    restore(&database, "public", &DATA, "new_data").await;
    let app = TestApp::spawn_on(database, clock(), &settings).await;
    assert!(contact_of(&app, ANA).await.is_none());
    app.gateway.shutdown().await;
}

const OTHER_NUMBER: &str = "106540352242999";
/// What was said in a month that is over, and to a number that keeps for a week.
const OLD: &[&str] = &["Alter Monat", "Kurze Regel"];

/// Everything that opens in the database as it is, with the KMS secret and the cell of now.
async fn spoils(database: &str, cell: &Path) -> Spoils {
    let mut attacker = Attacker::default();
    attacker.copy(database).await;
    opened(&attacker, cell)
}

fn opened(attacker: &Attacker, cell: &Path) -> Spoils {
    let mut secret = KeyBytes::default();
    secret.copy_from_slice(&HEXLOWER.decode(KMS_SECRET.as_bytes()).unwrap());
    attacker.open(&secret, cell, cell.parent().unwrap())
}

/// Two numbers, one of which keeps for a week. Ana writes to both.
async fn writes_to_both(app: &TestApp) {
    let other =
        json!({ "name": "other", "phone_number_id": OTHER_NUMBER, "waba_id": WABA_ID, "access_token": ACCESS_TOKEN });
    let made = app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap();
    let other = made.json::<serde_json::Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let rule =
        app.api(Method::PATCH, &format!("/v1/channels/{other}")).json(&json!({ "retention": { "received": 7 } }));
    assert_eq!(rule.send().await.unwrap().status(), StatusCode::OK);
    app.directory_is_read().await;
    says(app, ANA, "wamid.month.1", OLD[0]).await;
    let elsewhere = String::from_utf8(webhook::text(ANA, "wamid.month.2", OLD[1])).unwrap();
    assert_eq!(app.webhook(elsewhere.replace(PHONE_NUMBER_ID, OTHER_NUMBER)).await, StatusCode::OK);
    database::settled(&app.database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_combination_of_an_older_copy_with_what_is_there_brings_a_month_that_is_over_back_of_somebody_who_stays() {
    let folder = Folder::new("restoring-month");
    let cell = folder.0.join("cell");
    let settings = [("WAXSEAL_KEYS__CELL_FILES", cell.to_str().unwrap())];
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let first = clock.now().date();
    let app = TestApp::spawn_with(clock.clone(), &settings).await;
    writes_to_both(&app).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    back_up(&app.database, "public", &DATA, "old_data").await;
    back_up(&app.database, "waxseal_keys", &KEYS, "old_keys").await;
    let mut attacker = Attacker::default();
    attacker.copy(&app.database).await;
    for word in OLD {
        assert!(!opened(&attacker, &cell).with(&[word]).is_empty(), "{word} is there to be found");
    }

    // The rule's week, the month's ninety days, and the month itself.
    for days in [9, 82, 40] {
        days_pass(&app, &clock, days).await;
    }
    says(&app, ANA, "wamid.month.3", "Neuer Monat").await;
    database::settled(&app.database).await;
    app.gateway.base().keyring.step_epoch().await.unwrap();
    back_up(&app.database, "public", &DATA, "new_data").await;
    back_up(&app.database, "waxseal_keys", &KEYS, "new_keys").await;
    attacker.copy(&app.database).await;
    let (database, config) = (app.database.clone(), app.config.clone());
    app.gateway.shutdown().await;
    let all = opened(&attacker, &cell);
    assert!(all.with(OLD).is_empty(), "with every copy at once: {:?}", all.with(OLD));
    assert!(!all.with(&["Neuer Monat"]).is_empty(), "and yet others are opened");

    let store = database::store(&database);
    store.ensure_partitions_between(first - Duration::DAY, first + Duration::DAY).await.unwrap();
    for (data, keys) in
        [("old_data", "old_keys"), ("new_data", "old_keys"), ("old_data", "new_keys"), ("new_data", "new_keys")]
    {
        restore(&database, "public", &DATA, data).await;
        restore(&database, "waxseal_keys", &KEYS, keys).await;
        let found = spoils(&database, &cell).await;
        assert!(found.with(OLD).is_empty(), "{data} with {keys}");
        let is_new = keys == "new_keys";
        assert_eq!(found.with(&["Ana Beispiel"]).contains("contact.profile"), is_new, "{data} with {keys}: who she is");
        let base = Box::pin(Base::open(&config, clock.clone())).await;
        assert_eq!(base.is_ok(), is_new, "{data} with {keys}");
    }
    restore(&database, "public", &DATA, "old_data").await;
    let app = TestApp::spawn_on(database, clock, &settings).await;
    let shown = app.get(&format!("/v1/contacts/{ana}")).await;
    assert_eq!(shown["phone"], ANA, "the person stays: {shown}");
    let seen = app.get("/v1/events?limit=200").await.to_string();
    assert!(OLD.iter().all(|word| !seen.contains(word)), "{seen}");
    app.gateway.shutdown().await;
}
