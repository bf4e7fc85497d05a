//! Killed in the middle, and copied in the middle.

use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use waxseal::cli::postgres::PrivatePostgres;
use waxseal::clock::SystemClock;
use waxseal::directory::contacts::{Rehash, Walked};

use super::{
    ANA, ANA_ID, BOB, CONTACTS, OLD, TENANT, environment, events_of, open, put_in_force, rotate, said, says, status,
};
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

/// Identifiers of people who never say anything, so that a walk takes its time.
async fn crowd(app: &TestApp, people: u32) {
    let statement = format!(
        "INSERT INTO contact_identifier (tenant_id, kind, hash, contact_id)
         SELECT '{TENANT}', 1, substr(sha256(number::text::bytea), 1, 16), gen_random_uuid() FROM generate_series(1, {people}) AS number"
    );
    database::sabotage(&app.database, &statement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_is_killed_again_and_again_goes_on_where_it_stopped() {
    let app = TestApp::spawn().await;
    says(&app, Some(ANA), Some(ANA_ID), "wamid.1").await;
    crowd(&app, 60_000).await;
    let mut before = 0;
    for round in 0..4_i64 {
        let mut child = waxseal(&["keys", "rotate", "index"], &environment(&app)).spawn().unwrap();
        let process = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        let wanted = before + 3_000;
        until("it has come further", PATIENCE, async || {
            let done = "SELECT COALESCE(max(rehashed), 0)::bigint FROM index_version";
            before = database::count(&app.database, done).await;
            before >= wanted
        })
        .await;
        kill_process(process, Signal::KILL).unwrap();
        child.wait().await.unwrap();
        assert!(before < 60_000, "killed in the middle");
        let text = status(&app).await;
        assert!(text.contains("identifiers brought forward, phone numbers at"), "{text}");
        says(&app, Some(ANA), None, &format!("wamid.round.{}", "x".repeat(usize::try_from(round).unwrap()))).await;
        assert_eq!(events_of(&app, json!({ "user_id": ANA_ID })).await, Some(u64::try_from(round).unwrap() + 2));
    }
    let text = rotate(&app).await;
    assert!(text.contains("60003 identifiers are found by version 2"), "each once: {text}");
    assert_eq!(database::count(&app.database, OLD).await, 0);
    assert_eq!(database::count(&app.database, CONTACTS).await, 1);
    let entries = app.get("/v1/audit?action=keys.index_rotated").await;
    assert_eq!(entries["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_while_it_goes_on_loses_nobody() {
    use crate::support::estate::Estate;
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let inbound = format!("{}/control/inbound", estate.simulator.base_url());
    let post = async |number: u32| {
        let text =
            json!({ "from": format!("49151999{:05}", number % 50), "type": "text", "body": format!("n {number}") });
        let _away = reqwest::Client::new().post(&inbound).json(&text).send().await;
    };
    for number in 0..50 {
        post(number).await;
    }
    database::until(&estate.database, "SELECT count(*) FROM contact", 50).await;
    let environment = estate.environment.clone();
    let words = ["keys", "rotate", "index", "--wait", "120"];
    let rotating = said(&words, &environment);
    let killing = async {
        estate.kill_and_restart().await;
        for number in 50..100 {
            post(number).await;
        }
    };
    let ((is_ok, text), ()) = tokio::join!(rotating, killing);
    assert!(is_ok, "{text}");
    database::until(&estate.database, "SELECT count(*) FROM event WHERE type = 'message.received'", 100).await;
    assert_eq!(database::count(&estate.database, CONTACTS).await, 50);
    assert_eq!(database::count(&estate.database, OLD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_the_middle_finds_everybody_when_it_is_restored() {
    use crate::backup::{Safe, environment as environment_of};
    let safe = Safe::new("index-keys");
    let app = TestApp::spawn().await;
    let base = open(&app).await;
    says(&app, Some(ANA), Some(ANA_ID), "wamid.1").await;
    crowd(&app, 1_500).await;
    put_in_force(&base).await;
    let rehash = Rehash::new(base.store.clone(), base.keyring.clone(), TENANT);
    assert!(matches!(rehash.go_on().await.unwrap(), Walked::To(_)));
    says(&app, Some(BOB), None, "wamid.2").await;
    let (folder, key) = safe.back_up(&environment_of(&app.database, &[]), &[]).await;
    app.gateway.shutdown().await;

    let server = PrivatePostgres::throwaway().await.unwrap();
    let there = server.dsn().expose().to_owned();
    safe.restore(&environment_of(&there, &[]), &folder, &key, &[]).await.ok();
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &[]).await;
    let middle = "SELECT count(DISTINCT version) FROM contact_identifier";
    assert_eq!(database::count(&app.database, middle).await, 2);
    for end in [false, true] {
        if end {
            rotate(&app).await;
            assert_eq!(database::count(&app.database, OLD).await, 0);
        }
        says(&app, None, Some(ANA_ID), &format!("wamid.3.{end}")).await;
        says(&app, Some(BOB), None, &format!("wamid.4.{end}.x")).await;
        assert_eq!(database::count(&app.database, CONTACTS).await, 2);
        let wrote = if end { 3 } else { 2 };
        assert_eq!(events_of(&app, json!({ "phone": ANA })).await, Some(wrote));
        assert_eq!(events_of(&app, json!({ "phone": BOB })).await, Some(wrote));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_before_beside_the_keys_of_today_find_everybody() {
    let app = TestApp::spawn().await;
    says(&app, Some(ANA), Some(ANA_ID), "wamid.1").await;
    let keep = "CREATE TABLE kept AS TABLE contact_identifier";
    database::sabotage(&app.database, keep).await;
    rotate(&app).await;
    app.gateway.shutdown().await;
    let back = "DELETE FROM contact_identifier; DELETE FROM index_version; INSERT INTO contact_identifier TABLE kept";
    database::sabotage(&app.database, back).await;
    let app = TestApp::spawn_on(app.database, Arc::new(SystemClock), &[]).await;
    says(&app, Some(ANA), None, "wamid.2.x").await;
    says(&app, Some(BOB), None, "wamid.3").await;
    rotate(&app).await;
    assert_eq!(events_of(&app, json!({ "user_id": ANA_ID })).await, Some(2));
    assert_eq!(database::count(&app.database, CONTACTS).await, 2);
    assert_eq!(database::count(&app.database, OLD).await, 0);
}
