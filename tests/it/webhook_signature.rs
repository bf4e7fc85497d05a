//! Promise: nothing is stored that Meta did not sign, and a forger learns nothing.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::app::{APP_SECRET, TestApp};
use crate::support::{database, webhook};

const EVENTS: &str = "SELECT count(*) FROM event";

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_is_stored_before_it_is_answered() {
    let app = TestApp::spawn().await;
    assert_eq!(app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await, StatusCode::OK);
    assert_eq!(database::count(&app.database, EVENTS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_missing_or_malformed_signature_is_refused_with_an_empty_401() {
    let app = TestApp::spawn().await;
    let body = webhook::text("4915199900011", "wamid.a", "Moin");
    let right = webhook::signature(APP_SECRET, &body);
    let digest = right.trim_start_matches("sha256=").to_owned();
    let wrong: Vec<Vec<String>> = vec![
        vec![],
        vec![String::new()],
        vec![webhook::signature("another secret", &body)],
        vec![right[..70].to_owned()],
        vec![format!("{right}0")],
        vec![format!("sha256={}", digest.to_uppercase())],
        vec![format!("SHA256={digest}")],
        vec![format!("sha1={digest}")],
        vec![digest],
        vec![right.clone(), right.clone()],
        vec![right.clone(), "sha256=00".to_owned()],
        vec![format!("{right},{right}")],
    ];
    for signatures in wrong {
        let mut request = app.public(Method::POST, "/webhook").body(body.clone());
        for signature in &signatures {
            request = request.header("x-hub-signature-256", signature);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{signatures:?}");
        assert_eq!(answer.text().await.unwrap(), "", "{signatures:?}");
    }
    assert_eq!(database::count(&app.database, EVENTS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_changed_by_one_bit_is_refused() {
    let app = TestApp::spawn().await;
    let body = webhook::text("4915199900011", "wamid.a", "Moin");
    let signature = webhook::signature(APP_SECRET, &body);
    for at in (0..body.len()).step_by(97) {
        let mut changed = body.clone();
        changed[at] ^= 1;
        let request = app.public(Method::POST, "/webhook").header("x-hub-signature-256", &signature).body(changed);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "byte {at}");
    }
    assert_eq!(database::count(&app.database, EVENTS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_the_old_secret_is_accepted_until_it_is_dropped() {
    let app = TestApp::spawn().await;
    let id = app.get("/v1/apps").await["data"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/apps/{id}");
    let rotate = json!({ "app_secret": "c0ffee00c0ffee11c0ffee22c0ffee33" });
    assert!(app.api(Method::PATCH, &path).json(&rotate).send().await.unwrap().status().is_success());

    let signed_by = async |secret: &str, wamid: &str| {
        let body = webhook::text("4915199900011", wamid, "Moin");
        let signature = webhook::signature(secret, &body);
        let request = app.public(Method::POST, "/webhook").header("x-hub-signature-256", signature).body(body);
        request.send().await.unwrap().status()
    };
    assert_eq!(signed_by("c0ffee00c0ffee11c0ffee22c0ffee33", "wamid.a").await, StatusCode::OK);
    assert_eq!(signed_by(APP_SECRET, "wamid.b").await, StatusCode::OK);

    let drop_old = json!({ "drop_previous_secret": true });
    assert!(app.api(Method::PATCH, &path).json(&drop_old).send().await.unwrap().status().is_success());
    assert_eq!(signed_by(APP_SECRET, "wamid.c").await, StatusCode::UNAUTHORIZED);
    assert_eq!(signed_by("c0ffee00c0ffee11c0ffee22c0ffee33", "wamid.d").await, StatusCode::OK);
}
