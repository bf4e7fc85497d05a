//! Files in a bucket are backed up and put back like those in a directory.

use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::json;
use waxseal::cli::postgres::PrivatePostgres;
use waxseal::clock::SystemClock;

use super::{SECRET, Safe, environment};
use crate::amazon::bucket::Bucket;
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
