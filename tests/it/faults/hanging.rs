//! An endpoint takes requests and answers none of them.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::{Receiver, TestApp, webhook};

/// Webhooks in one measurement.
const WEBHOOKS: usize = 60;

/// The median time from a POST of Meta's to the arrival at this receiver.
async fn way(app: &TestApp, receiver: &Receiver, name: &str) -> Duration {
    let mut took = Vec::new();
    for number in 0..WEBHOOKS {
        let arrived = receiver.received().len();
        let body = webhook::text("4915199900011", &format!("wamid.{name}.{number}"), "Moin");
        let began = Instant::now();
        assert_eq!(app.webhook(body).await, StatusCode::OK);
        receiver.wait_for(arrived + 1).await;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    took[WEBHOOKS / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_hangs_makes_no_other_slower() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    way(&app, &receiver, "warm").await;
    let before = way(&app, &receiver, "before").await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let body = json!({ "name": "hangs", "url": format!("http://{}/", listener.local_addr().unwrap()) });
    let made = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: serde_json::Value = made.json().await.unwrap();
    app.webhook(webhook::text("4915199900011", "wamid.first", "Moin")).await;
    let _never_answered = listener.accept().await.unwrap();
    let meanwhile = way(&app, &receiver, "meanwhile").await;

    let path = format!("/v1/endpoints/{}", made["id"].as_str().unwrap());
    assert_eq!(app.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let after = way(&app, &receiver, "after").await;
    println!("{before:?} before, {meanwhile:?} meanwhile, {after:?} after");
    // What it costs is one more row for each event. The rest of the ratio is for a machine that has other things to do; being held
    // up would take a thousand times as long.
    assert!(meanwhile < 3 * before.max(after), "{before:?}, {meanwhile:?}, {after:?}");
}
