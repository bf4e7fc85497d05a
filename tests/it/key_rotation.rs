//! Promise: a rotation of the keys that was broken off goes on where it stood, and nobody who reads or writes meanwhile notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;
use sqlx::{Connection, PgConnection};
use waxseal::clock::SystemClock;

use crate::support::app::variables;
use crate::support::process::waxseal;
use crate::support::{TestApp, database, webhook};

/// The key of each bucket.
async fn buckets(database: &str) -> BTreeMap<i16, String> {
    let mut connection = PgConnection::connect(database).await.unwrap();
    let rows = sqlx::query_as("SELECT bucket, bucket_key_id::text FROM waxseal_keys.bucket_key");
    let rows: Vec<(i16, String)> = rows.fetch_all(&mut connection).await.unwrap();
    rows.into_iter().collect()
}

/// Rotates until it would come to this bucket, and is killed there.
async fn killed_before(bucket: i16, database: &str, environment: &[(String, String)]) {
    let mut connection = PgConnection::connect(database).await.unwrap();
    let mut holding = connection.begin().await.unwrap();
    let hold = "SELECT bucket FROM waxseal_keys.bucket_key WHERE bucket = $1 FOR UPDATE";
    sqlx::query(hold).bind(bucket).execute(&mut *holding).await.unwrap();
    let mut rotating = waxseal(&["keys", "rotate", "bucket"], environment).spawn().unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database::until(database, waits, 1).await;
    rotating.kill().await.unwrap();
    // Its session ends when it finds nobody at the other end; it has committed nothing.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database::sabotage(database, end).await;
    database::until(database, waits, 0).await;
    holding.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_goes_on_where_it_stood_while_a_gateway_reads_without_an_error() {
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_KEYS__CACHE_TTL_SECONDS", "1")]).await;
    for number in 0..30 {
        let body = webhook::text(&format!("49151999{number:05}"), &format!("wamid.rotate.{number}"), "Moin");
        assert_eq!(app.webhook(body).await, StatusCode::OK);
    }
    database::settled(&app.database).await;
    let environment = variables(&app.database, "http://127.0.0.1:9");
    let before = buckets(&app.database).await;
    let numbers: Vec<i16> = before.keys().copied().collect();
    assert!(numbers.len() > 12, "{numbers:?}");
    let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let reading = async {
        while !stop.load(Ordering::Relaxed) {
            let events = app.get("/v1/events?type=message.received&limit=200").await;
            let events = events["data"].as_array().unwrap();
            assert!(
                events.iter().filter(|one| one["data"]["item"]["text"]["body"] == "Moin").count() >= 30,
                "{events:?}"
            );
            let written = reads.fetch_add(1, Ordering::Relaxed);
            let body = webhook::text(&format!("49151998{written:05}"), &format!("wamid.meanwhile.{written}"), "Moin");
            assert_eq!(app.webhook(body).await, StatusCode::OK);
        }
    };
    let rotating = async {
        let row = "SELECT format('%s', next) FROM waxseal_keys.rotation";
        let mut replaced = BTreeMap::new();
        for at in [numbers.len() / 3, numbers.len() / 2] {
            killed_before(numbers[at], &app.database, &environment).await;
            let (next, now) = (database::text(&app.database, row).await, buckets(&app.database).await);
            assert!(
                next.parse::<i16>().unwrap() > numbers[at - 1] && next.parse::<i16>().unwrap() <= numbers[at],
                "{next}"
            );
            for number in &numbers[..at] {
                assert_ne!(now[number], before[number], "{number} was replaced");
                let first = replaced.entry(*number).or_insert_with(|| now[number].clone());
                assert_eq!(first, &now[number], "{number} is not replaced once more");
            }
            for number in &numbers[at..] {
                assert_eq!(now[number], before[number], "{number} is still to come");
            }
            let status = waxseal(&["keys", "status"], &environment).output().await.unwrap();
            let said = String::from_utf8(status.stdout).unwrap();
            assert!(said.contains("rotation"), "{said}");
        }
        let done = waxseal(&["keys", "rotate", "bucket"], &environment).output().await.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let now = buckets(&app.database).await;
        assert!(replaced.iter().all(|(number, key)| now[number] == *key), "those that were done stay");
        assert!(numbers.iter().all(|number| now[number] != before[number]), "all are done");
        assert_eq!(database::count(&app.database, "SELECT count(*) FROM waxseal_keys.rotation").await, 0);
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(reading, rotating);
    assert!(reads.load(Ordering::Relaxed) > 2);
    app.gateway.shutdown().await;
}
