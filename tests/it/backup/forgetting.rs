//! A backup brings nobody back who was forgotten after it was made.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::SystemClock;

use super::{ANA, BOB, SECRET, Safe, environment};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

/// Everything in the database that names a contact.
const NAMING: &str = "SELECT string_agg(format('SELECT count(*) AS c FROM %I WHERE %I = ''CONTACT''', c.table_name, c.column_name), ' UNION ALL ')
     FROM information_schema.columns c JOIN pg_class p ON p.relname = c.table_name AND NOT p.relispartition AND p.relkind IN ('r', 'p')
     WHERE c.table_schema = 'public' AND c.column_name IN ('contact_id', 'merged_into') AND c.table_name NOT IN ('erased_contact')";

async fn traces(database: &str, contact: &str) -> i64 {
    let statement = database::text(database, NAMING).await.replace("CONTACT", contact);
    database::count(database, &format!("SELECT sum(c)::bigint FROM ({statement}) x")).await
}

async fn numbers(app: &TestApp) -> Vec<String> {
    let contacts = app.get("/v1/contacts").await;
    contacts["data"].as_array().unwrap().iter().filter_map(|one| Some(one["phone"].as_str()?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_backup_brings_nobody_back_who_was_forgotten_since() {
    let safe = Safe::new("backup-forgetting");
    let cells: Vec<String> = (1..=3).map(|number| safe.path(&format!("disk{number}")).display().to_string()).collect();
    for folder in &cells {
        std::fs::create_dir_all(folder).unwrap();
    }
    let cells = cells.iter().map(|folder| format!("{folder}/cell")).collect::<Vec<_>>().join(",");
    let settings = [("WAXSEAL_KEYS__CELL_FILES", cells.as_str())];
    let app = TestApp::spawn_with(Arc::new(SystemClock), &settings).await;
    for (person, wamid) in [(ANA, "wamid.gone.1"), (BOB, "wamid.gone.2")] {
        assert_eq!(app.webhook(webhook::text(person, wamid, SECRET)).await, StatusCode::OK);
    }
    let here = environment(&app.database, &settings);
    let (old, key) = safe.back_up(&here, &[]).await;
    let contacts = app.get("/v1/contacts").await;
    let ana = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == ANA).unwrap();
    let ana = ana["id"].as_str().unwrap().to_owned();
    assert!(traces(&app.database, &ana).await > 0);

    let asked = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA })).send().await.unwrap();
    let id = asked.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/privacy/erasures/{id}");
    until("she is forgotten", PATIENCE, async || app.get(&path).await["state"] == "certified").await;
    let (keys, _) = safe.back_up(&here, &["--only", "keys"]).await;
    app.gateway.shutdown().await;

    // With the keys of then nothing opens, and that is said before anything is done.
    let there = database::bare(None).await;
    let new = environment(&there, &settings);
    safe.restore(&new, &old, &key, &[]).await.refused("nothing in them can be opened any more");
    assert_eq!(database::count(&there, "SELECT count(*) FROM pg_class WHERE relname = 'tenant'").await, 0);

    // With the keys of now she is forgotten again before anybody is served.
    let keys = keys.display().to_string();
    let said = safe.restore(&new, &old, &key, &["--keys-from", &keys]).await.ok();
    assert!(said.contains("people who were forgotten since, and are again: 1"), "{said}");
    assert_eq!(traces(&there, &ana).await, 0);
    let app = TestApp::spawn_on(there.clone(), Arc::new(SystemClock), &settings).await;
    assert_eq!(numbers(&app).await, [BOB]);
    database::settled(&there).await;
    let events = app.get("/v1/events?type=message.received&limit=200").await;
    assert_eq!(events["data"].as_array().unwrap().len(), 1, "{events}");
    // Whoever writes again is somebody new.
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.gone.3", "Neu")).await, StatusCode::OK);
    assert_eq!((numbers(&app).await.len(), traces(&there, &ana).await), (2, 0));
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_there_stay_and_say_who_was_forgotten() {
    let safe = Safe::new("backup-present-keys");
    let keys = database::bare(None).await;
    let settings = [("WAXSEAL_KEYS__URL", keys.as_str())];
    let app = TestApp::spawn_with(Arc::new(SystemClock), &settings).await;
    for (person, wamid) in [(ANA, "wamid.kept.1"), (BOB, "wamid.kept.2")] {
        assert_eq!(app.webhook(webhook::text(person, wamid, SECRET)).await, StatusCode::OK);
    }
    let (old, key) = safe.back_up(&environment(&app.database, &settings), &[]).await;
    let asked = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA })).send().await.unwrap();
    let id = asked.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/privacy/erasures/{id}");
    until("she is forgotten", PATIENCE, async || app.get(&path).await["state"] == "certified").await;
    app.gateway.shutdown().await;
    let there = database::bare(None).await;
    let new = environment(&there, &settings);
    safe.restore(&new, &old, &key, &[]).await.refused("is not empty");
    safe.restore(&new, &old, &key, &["--present-keys"]).await.ok();
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &settings).await;
    assert_eq!(numbers(&app).await, [BOB]);
    app.gateway.shutdown().await;
}
