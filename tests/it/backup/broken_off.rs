//! A restore that was broken off goes on where it stood.

use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::json;
use waxseal::clock::SystemClock;

use super::{ANA, SECRET, Safe, environment};
use crate::support::folder::Folder as Files;
use crate::support::process::waxseal;
use crate::support::{TestApp, database, webhook};

/// A COMMIT of the data that waits for ever: what is committed with it waits behind a lock that nobody gives back.
const WAITS: &str = "CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER waits AFTER INSERT ON tenant DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION waits()";

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_keys_and_the_data_it_goes_on_with_the_keys_that_are_there() {
    let safe = Safe::new("backup-between");
    let app = TestApp::spawn().await;
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.between.1", SECRET)).await, StatusCode::OK);
    let (folder, key) = safe.back_up(&environment(&app.database, &[]), &[]).await;
    app.gateway.shutdown().await;

    let there = database::fresh().await;
    database::sabotage(&there, WAITS).await;
    let new = environment(&there, &[]);
    let (from, identity) = (folder.display().to_string(), safe.identity());
    let words = ["restore", &from, "--identity", &identity, "--key", &key];
    let mut restore = waxseal(&words, &new).kill_on_drop(true).spawn().unwrap();
    let sleeping =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    database::until(&there, sleeping, 1).await;
    restore.kill().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event = 'PgSleep'";
    database::sabotage(&there, end).await;
    database::until(&there, sleeping, 0).await;
    database::sabotage(&there, "DROP TRIGGER waits ON tenant; DROP FUNCTION waits").await;
    let counted = async |table: &str| database::count(&there, &format!("SELECT count(*) FROM {table}")).await;
    assert_eq!((counted("waxseal_keys.installation").await, counted("tenant").await), (1, 0));

    safe.restore(&new, &folder, &key, &[]).await.refused("go on with --present-keys");
    safe.restore(&new, &folder, &key, &["--present-keys"]).await.ok();
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &[]).await;
    assert!(app.get("/v1/events?limit=200").await.to_string().contains(SECRET));
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_between_the_rows_and_the_files_it_goes_on_with_the_files() {
    let (safe, files) = (Safe::new("backup-files-only"), Files::new());
    let media = ("WAXSEAL_MEDIA__URL", files.url());
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[(media.0, &media.1)]).await;
    let order =
        json!({ "type": "document", "mime_type": "text/plain", "media_base64": BASE64.encode(SECRET.as_bytes()) });
    app.control(Method::POST, "inbound", order).await;
    database::until(&app.database, "SELECT count(*) FROM media WHERE state = 'stored'", 1).await;
    let (folder, key) = safe.back_up(&environment(&app.database, &[(media.0, &media.1)]), &[]).await;
    app.gateway.shutdown().await;

    let (there, new_files) = (database::bare(None).await, Files::new());
    let media = ("WAXSEAL_MEDIA__URL", new_files.url());
    let new = environment(&there, &[(media.0, &media.1)]);
    safe.restore(&new, &folder, &key, &["--files-only"]).await.refused("whose rows are there");
    // Nothing can be put where a file stands in the place of a folder.
    let tenant = database::text(&app.database, "SELECT tenant_id::text FROM channel").await;
    new_files.put(&tenant, b"in the way");
    safe.restore(&new, &folder, &key, &[]).await.refused("go on with --files-only");
    for file in new_files.files() {
        std::fs::remove_file(file).unwrap();
    }
    safe.restore(&new, &folder, &key, &[]).await.refused("go on with --files-only");
    let said = safe.restore(&new, &folder, &key, &["--files-only"]).await.ok();
    assert!(said.contains("1 files are there") && said.contains("restored"), "{said}");
    safe.restore(&new, &folder, &key, &["--files-only"]).await.ok();
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &[(media.0, &media.1)]).await;
    let media = app.get("/v1/media").await["data"][0]["id"].as_str().unwrap().to_owned();
    let file = app.api(Method::GET, &format!("/v1/media/{media}")).send().await.unwrap();
    assert_eq!((file.status(), file.text().await.unwrap().as_str()), (StatusCode::OK, SECRET));
    app.gateway.shutdown().await;

    // Not into what belongs to somebody else.
    let other = TestApp::spawn().await;
    let theirs = environment(&other.database, &[]);
    safe.restore(&theirs, &folder, &key, &["--files-only"]).await.refused("of another installation");
    other.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_that_were_revoked_since_are_told_of_and_can_all_be_revoked() {
    let safe = Safe::new("backup-revoked");
    let app = TestApp::spawn().await;
    let (folder, key) = safe.back_up(&environment(&app.database, &[]), &[]).await;
    database::sabotage(&app.database, "UPDATE api_key SET revoked_at = now()").await;
    app.gateway.shutdown().await;
    let restored = async |more: &[&str]| {
        let there = database::bare(None).await;
        let said = safe.restore(&environment(&there, &[]), &folder, &key, more).await.ok();
        let works = TestApp::spawn_on(there, Arc::new(SystemClock), &[]).await;
        let status = works.api_as(&app.key, Method::GET, "/v1/channels").send().await.unwrap().status();
        works.gateway.shutdown().await;
        (said, status)
    };
    let (said, status) = restored(&[]).await;
    assert!(said.contains("API keys that are valid, also those that were revoked since: 1"), "{said}");
    assert!(said.contains("opt-outs, restrictions"), "{said}");
    assert_eq!(status, StatusCode::OK, "it is as it was");
    let (said, status) = restored(&["--revoke-keys"]).await;
    assert!(said.contains("API keys that were revoked: 1"), "{said}");
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}
