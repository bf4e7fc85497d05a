//! Promise: another suite is written only when every living process opens it; both are opened always, by everybody; and a change back works
//! alike.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::json;
use waxseal::clock::SystemClock;

use crate::support::app::variables;
use crate::support::process;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const CHACHA: [(&str, &str); 1] = [("WAXSEAL_KEYS__SUITE", "chacha20-poly1305")];
/// A process of a release that knows one suite alone.
const OLDER: &str = "01930000-0000-7000-8000-0000000000aa";
/// The suite of what was sealed last.
const LAST: &str = "SELECT get_byte(payload::bytea, 2)::bigint FROM event_payload ORDER BY event_id DESC LIMIT 1";
/// Profiles and secrets of this suite.
const OF_SUITE: &str = "SELECT count(*) FROM (SELECT profile AS sealed FROM contact UNION ALL SELECT url FROM endpoint
     UNION ALL SELECT access_token FROM channel UNION ALL SELECT app_secret FROM meta_app
     UNION ALL SELECT signing_key FROM audit_log) s WHERE get_byte(sealed::bytea, 2) = ";

async fn older_process(database: &str) {
    let row = format!(
        "INSERT INTO worker (worker_id, started_at, lease_until, reads)
         VALUES ('{OLDER}', now(), now() + interval '1 hour', '{{suite/1,suite/3,versions/1,deks/1,index}}')"
    );
    database::sabotage(database, &row).await;
}

async fn older_process_stops(database: &str) {
    database::sabotage(database, &format!("DELETE FROM worker WHERE worker_id = '{OLDER}'")).await;
}

/// Says something new through this gateway, and tells in which suite that lies.
async fn suite_of_next(app: &TestApp, number: &mut usize) -> i64 {
    *number += 1;
    let from = "4915199000011";
    let contact = json!({ "profile": { "name": "Ana" }, "wa_id": from });
    let item = webhook::text_item(from, &format!("wamid.{number}"), "Moin");
    let post = webhook::messages(json!({ "contacts": [contact], "messages": [item] }));
    assert_eq!(app.webhook(post).await, StatusCode::OK);
    database::count(&app.database, LAST).await
}

async fn all_are_read(app: &TestApp, number: usize) {
    database::settled(&app.database).await;
    let (mut read, mut cursor) = (0, String::new());
    loop {
        let page = app.get(&format!("/v1/events?limit=200&type=message.received{cursor}")).await;
        read += page.to_string().matches("Moin").count();
        let Some(next) = page["next_cursor"].as_str().filter(|_| page["has_more"] == true) else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(read, number);
}

/// With the other suite in the configuration.
async fn said(words: &[&str], (database, simulator): (&str, &str)) -> String {
    let mut environment = variables(database, simulator);
    environment.extend(CHACHA.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let (is_ok, text) = process::said(words, &environment).await;
    assert!(is_ok, "{text}");
    text
}

async fn key_status(app: &TestApp) -> String {
    said(&["keys", "status"], (&app.database, app.simulator.base_url())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_suite_is_written_when_every_living_process_opens_it_and_no_longer_when_one_does_not() {
    let one = TestApp::spawn().await;
    let mut number = 0;
    assert_eq!(suite_of_next(&one, &mut number).await, 1);
    older_process(&one.database).await;
    let two = TestApp::spawn_on(one.database.clone(), Arc::new(SystemClock), &CHACHA).await;
    assert_eq!(suite_of_next(&two, &mut number).await, 1, "somebody could not open it");
    let status = key_status(&two).await;
    assert!(status.contains("with chacha20-poly1305 once ") && status.contains(OLDER), "{status}");

    older_process_stops(&one.database).await;
    until("the other suite is written", PATIENCE, async || suite_of_next(&two, &mut number).await == 2).await;
    let status = key_status(&two).await;
    assert!(status.contains("records are sealed with chacha20-poly1305\n"), "{status}");
    assert_eq!(suite_of_next(&one, &mut number).await, 1, "of the configuration of that process");
    for app in [&one, &two] {
        all_are_read(app, number).await;
    }

    older_process(&one.database).await;
    until("nobody writes it any more", PATIENCE, async || suite_of_next(&two, &mut number).await == 1).await;
    for app in [&one, &two] {
        all_are_read(app, number).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_data_keys_brings_secrets_and_profiles_into_the_suite_of_the_configuration() {
    let app = TestApp::spawn().await;
    let mut number = 0;
    suite_of_next(&app, &mut number).await;
    assert!(database::count(&app.database, &format!("{OF_SUITE}1")).await >= 4);
    let (database, simulator) = (app.database.clone(), app.simulator.base_url().to_owned());
    // A rotation passes over rows that somebody is changing, and comes back to them days later.
    app.gateway.shutdown().await;
    said(&["keys", "rotate", "data"], (&database, &simulator)).await;
    assert_eq!(database::count(&database, &format!("{OF_SUITE}1")).await, 0);
    assert!(database::count(&database, &format!("{OF_SUITE}2")).await >= 4);
    // A process that seals in the other reads what it needs, and goes on.
    let app = TestApp::spawn_on(database, Arc::new(SystemClock), &[]).await;
    assert_eq!(suite_of_next(&app, &mut number).await, 1);
    all_are_read(&app, number).await;
    assert!(app.get("/v1/contacts").await.to_string().contains("Ana"));
}
