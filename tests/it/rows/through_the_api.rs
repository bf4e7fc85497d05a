//! What the API shows is what the reader sees: where its policies are gone, there is nothing to show.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Session;
use crate::support::{Receiver, TestApp, database, webhook};

#[tokio::test]
async fn what_the_api_shows_is_what_the_reader_sees_and_not_what_a_worker_would() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let endpoint = app.endpoint(&receiver, "standard").await["id"].as_str().unwrap().to_owned();
    assert_eq!(app.webhook(webhook::text("491701234567", "wamid.shown", "hello")).await, StatusCode::OK);
    database::settled(&app.database).await;
    let replays = format!("/v1/endpoints/{endpoint}/replays");
    let event = app.get("/v1/events").await["data"][0]["id"].clone();
    let made = app.api(Method::POST, &replays).json(&json!({ "event_ids": [event] })).send().await.unwrap();
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    let contact = app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned();
    let (one, messages) = (format!("/v1/contacts/{contact}"), format!("/v1/contacts/{contact}/messages"));
    let lists = ["/v1/contacts", "/v1/events", "/v1/audit", &replays, &messages];
    for list in lists {
        assert!(!app.get(list).await["data"].as_array().unwrap().is_empty(), "{list}");
    }

    let mut session = Session::of(&app.database).await;
    let drop = "SELECT format('DROP POLICY %I ON %s', polname, polrelid::regclass) FROM pg_policy
                WHERE polname = 'waxseal_one_tenant'";
    for statement in session.ask(drop).await.unwrap() {
        session.run(&statement).await.unwrap();
    }
    for list in &lists[..4] {
        assert!(app.get(list).await["data"].as_array().unwrap().is_empty(), "{list} is not read by the reader");
    }
    for unknown in [one, messages] {
        assert_eq!(app.api(Method::GET, &unknown).send().await.unwrap().status(), StatusCode::NOT_FOUND, "{unknown}");
    }
    // The way in and the lanes go on.
    assert_eq!(app.webhook(webhook::text("491701234567", "wamid.kept", "hello")).await, StatusCode::OK);
    app.gateway.shutdown().await;
}
