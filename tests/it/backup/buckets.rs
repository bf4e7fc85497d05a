//! Files in a bucket are backed up and put back like those in a directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::cli::postgres::PrivatePostgres;
use waxseal::clock::SystemClock;

use super::{ANA, BOB, SECRET, Safe, environment, run};
use crate::amazon::bucket::Bucket;
use crate::support::gate::Verdict;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

#[tokio::test(flavor = "multi_thread")]
async fn files_in_a_bucket_are_backed_up_and_put_back_into_another_place_of_it() {
    let (safe, bucket) = (Safe::new("backup-bucket"), Bucket::start().await);
    let (first, second) = (bucket.settings("files"), bucket.settings("restored"));
    let [first, second] = [&first, &second]
        .map(|all| all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>());
    let app = TestApp::spawn_with(Arc::new(SystemClock), &first).await;
    // Several pieces of what a restore hands on, and more than one part of an upload.
    let file = SECRET.repeat(120_000);
    let order =
        json!({ "type": "document", "mime_type": "text/plain", "media_base64": BASE64.encode(file.as_bytes()) });
    app.control(Method::POST, "inbound", order).await;
    database::until(&app.database, "SELECT count(*) FROM media WHERE state = 'stored'", 1).await;
    let (folder, key) = safe.back_up(&environment(&app.database, &first), &[]).await;
    app.gateway.shutdown().await;
    for object in bucket.objects().await {
        bucket.remove(&object).await;
    }

    let server = PrivatePostgres::throwaway().await.unwrap();
    let there = server.dsn().expose().to_owned();
    let said = safe.restore(&environment(&there, &second), &folder, &key, &[]).await.ok();
    assert!(said.contains("1 files are there") && said.contains("restored"), "{said}");
    assert!(bucket.objects().await.iter().all(|name| name.starts_with("restored/")));
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &second).await;
    let media = app.get("/v1/media").await["data"][0]["id"].as_str().unwrap().to_owned();
    let read = app.api(Method::GET, &format!("/v1/media/{media}")).send().await.unwrap();
    assert!((read.status(), read.text().await.unwrap()) == (StatusCode::OK, file));
    app.gateway.shutdown().await;
    server.stop().await;
}

fn words(all: &[(String, String)]) -> Vec<(&str, &str)> {
    all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Somebody sends a file, and it is kept.
async fn sends_file(app: &TestApp, from: &str, content: &str, stored: i64) {
    let file = BASE64.encode(content.as_bytes());
    let order = json!({ "from": from, "type": "document", "mime_type": "text/plain", "media_base64": file });
    app.control(Method::POST, "inbound", order).await;
    database::until(&app.database, "SELECT count(*) FROM media WHERE state = 'stored'", stored).await;
}

/// What all files say.
async fn files_of(app: &TestApp) -> Vec<String> {
    let mut texts = Vec::new();
    for media in app.get("/v1/media").await["data"].as_array().unwrap() {
        let path = format!("/v1/media/{}", media["id"].as_str().unwrap());
        let file = app.api(Method::GET, &path).send().await.unwrap();
        texts.push(if file.status() == StatusCode::OK { file.text().await.unwrap() } else { String::new() });
    }
    texts.sort();
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_the_rows_and_the_files_a_restore_goes_on_and_all_of_it_is_there() {
    let (safe, bucket) = (Safe::new("backup-killed"), Bucket::start().await);
    let gate = bucket.gate().await;
    let (first, second) = (bucket.settings("files"), bucket.settings_through(&gate, "restored"));
    let app = TestApp::spawn_with(Arc::new(SystemClock), &words(&first)).await;
    sends_file(&app, ANA, SECRET, 1).await;
    sends_file(&app, BOB, "qcanaryBackup der Plan", 2).await;
    let (folder, key) = safe.back_up(&environment(&app.database, &words(&first)), &[]).await;
    let expected = files_of(&app).await;
    app.gateway.shutdown().await;

    // The first file passes, and the second is on its way for ever.
    // A server of its own: transactions of others keep a restore from its end.
    let server = PrivatePostgres::throwaway().await.unwrap();
    let there = server.dsn().expose().to_owned();
    let new = environment(&there, &words(&second));
    let put = Arc::new(AtomicUsize::new(0));
    gate.rule(move |method, _| {
        let is_later = method == Method::PUT && put.fetch_add(1, Ordering::Relaxed) > 0;
        if is_later { Verdict::Hold } else { Verdict::Pass }
    });
    let (from, identity) = (folder.display().to_string(), safe.identity());
    let restore = ["restore", &from, "--identity", &identity, "--key", &key];
    let mut restore = waxseal(&restore, &new).kill_on_drop(true).spawn().unwrap();
    gate.stops_one().await;
    restore.kill().await.unwrap();
    assert_eq!(database::count(&there, "SELECT count(*) FROM media").await, 2, "the rows are there");
    let there_are = async || bucket.objects().await.iter().filter(|name| name.starts_with("restored/")).count();
    assert_eq!(there_are().await, 1, "one of two files");
    gate.rule(|_, _| Verdict::Pass);
    safe.restore(&new, &folder, &key, &[]).await.refused("--files-only");
    let said = safe.restore(&new, &folder, &key, &["--files-only"]).await.ok();
    assert!(said.contains("2 files are there") && said.contains("restored"), "{said}");
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &words(&second)).await;
    assert_eq!(files_of(&app).await, expected);
    assert!(app.get("/v1/events?limit=200").await["data"].as_array().unwrap().len() >= 2);
    app.gateway.shutdown().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_erased_in_the_middle_of_a_backup_is_left_out_of_it_and_the_rest_is_whole() {
    let (safe, bucket) = (Safe::new("backup-erased"), Bucket::start().await);
    let gate = bucket.gate().await;
    let (here, slowly) = (bucket.settings("files"), bucket.settings_through(&gate, "files"));
    let app = TestApp::spawn_with(Arc::new(SystemClock), &words(&here)).await;
    sends_file(&app, BOB, SECRET, 1).await;
    sends_file(&app, ANA, "qcanaryErased der Plan", 2).await;
    // The backup has its moment, and stands before the first file until she is erased.
    gate.rule(|method, _| if method == Method::GET { Verdict::Wait } else { Verdict::Pass });
    let reached_slowly = environment(&app.database, &words(&slowly));
    let backing_up = safe.back_up(&reached_slowly, &[]);
    let erasing = async {
        gate.stops_one().await;
        let asked = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA })).send().await.unwrap();
        let path = format!("/v1/privacy/erasures/{}", asked.json::<Value>().await.unwrap()["id"].as_str().unwrap());
        until("her file is gone", PATIENCE, async || bucket.objects().await.len() == 1).await;
        until("she is erased", PATIENCE, async || app.get(&path).await["state"] == "certified").await;
        gate.rule(|_, _| Verdict::Pass);
    };
    let ((folder, key), ()) = tokio::join!(backing_up, erasing);
    let said = run(&["verify", "backup", &folder.display().to_string(), "--key", &key], &reached_slowly).await.ok();
    assert!(!said.is_empty());
    let (keys, _) = safe.back_up(&environment(&app.database, &words(&here)), &["--only", "keys"]).await;
    app.gateway.shutdown().await;

    // With the keys of now she is forgotten again, and his file is there.
    let there = database::bare(None).await;
    let second = bucket.settings("restored");
    let (new, keys) = (environment(&there, &words(&second)), keys.display().to_string());
    let said = safe.restore(&new, &folder, &key, &["--keys-from", &keys]).await.ok();
    assert!(said.contains("1 files are there") && said.contains("forgotten since, and are again: 1"), "{said}");
    let app = TestApp::spawn_on(there, Arc::new(SystemClock), &words(&second)).await;
    assert_eq!(files_of(&app).await, [SECRET]);
    app.gateway.shutdown().await;
}
