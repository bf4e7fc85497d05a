//! An older copy brings nobody back, whichever parts of it are restored.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::StatusCode;
use waxseal::app::Base;
use waxseal::clock::SystemClock;

use super::{ANA, contact_of, erased, says};
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
