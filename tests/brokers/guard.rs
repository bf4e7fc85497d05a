//! The address guard holds for brokers too.

use std::sync::Arc;

use serde_json::json;
use waxseal::clock::SystemClock;

use crate::gateway::{attempts, endpoint, faults, send};
use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_at_an_address_that_is_not_allowed_is_not_saved() {
    let app = TestApp::spawn().await;
    for (url, code) in [
        ("tls://169.254.169.254/events", "address_metadata"),
        ("tls://2852039166/events", "address_metadata"),
        ("amqps://[::ffff:a9fe:a9fe]/?exchange=x", "address_metadata"),
        ("kafka://127.0.0.1:9092,169.254.169.254:9092/topic", "address_metadata"),
        ("amqp://10.0.0.1/?exchange=x", "address_private"),
        ("nats://8.8.8.8/events", "url_tls_required"),
    ] {
        assert_eq!(faults(&app, json!({ "name": "broker", "url": url })).await, [code], "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_allowed_any_more_is_not_connected_to() {
    let before = TestApp::spawn().await;
    for url in ["nats://127.0.0.1:1/x", "amqp://127.0.0.1:1/?exchange=x", "kafka://127.0.0.1:1/x"] {
        endpoint(&before, &url.replace(":1/", ":4222/")).await;
    }
    let database = before.database.clone();
    before.gateway.shutdown().await;
    let strict = [("WAXSEAL_DELIVER__ALLOW_LOOPBACK", "false")];
    let app = TestApp::spawn_on(database, Arc::new(SystemClock), &strict).await;
    send(&app, 0, 1).await;
    attempts(&app, "refused", 3).await;
}
