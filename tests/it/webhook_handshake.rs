//! Promise: Meta can verify the webhook URL, and nobody else learns anything from trying.

use reqwest::{Method, StatusCode};

use crate::support::TestApp;
use crate::support::app::VERIFY_TOKEN;

/// The path with these parameters.
fn with_query(query: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    format!("/webhook?{query}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_token_gets_its_challenge_back_and_nothing_else() {
    let app = TestApp::spawn().await;
    let query = [("hub.mode", "subscribe"), ("hub.challenge", "1158201444"), ("hub.verify_token", VERIFY_TOKEN)];
    let answer = app.public(Method::GET, &with_query(&query)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.text().await.unwrap(), "1158201444");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_refused_with_an_empty_body() {
    let app = TestApp::spawn().await;
    let attempts: [&[(&str, &str)]; 6] = [
        &[("hub.mode", "subscribe"), ("hub.challenge", "1"), ("hub.verify_token", "wrong")],
        &[("hub.mode", "subscribe"), ("hub.challenge", "1"), ("hub.verify_token", "")],
        &[("hub.mode", "subscribe"), ("hub.challenge", "1")],
        &[("hub.mode", "unsubscribe"), ("hub.challenge", "1"), ("hub.verify_token", VERIFY_TOKEN)],
        &[("hub.mode", "subscribe"), ("hub.verify_token", VERIFY_TOKEN)],
        &[],
    ];
    for query in attempts {
        let answer = app.public(Method::GET, &with_query(query)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{query:?}");
        assert_eq!(answer.text().await.unwrap(), "", "{query:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_public_listener_knows_nothing_but_the_webhook() {
    let app = TestApp::spawn().await;
    for path in
        ["/", "/v1/events", "/graph/v25.0/1/messages", "/docs", "/openapi.json", "/metrics", "/healthz", "/webhook/"]
    {
        let answer = app.public(Method::GET, path).bearer_auth(&app.key).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.text().await.unwrap(), "", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulator_verifies_the_webhook_as_meta_would() {
    let app = TestApp::spawn().await;
    let verified = app.control(Method::POST, "verify", serde_json::json!({})).await;
    assert_eq!(verified["verified"], true);
}
