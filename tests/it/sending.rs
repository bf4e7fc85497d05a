//! Promise: what an application hands over is kept, sent once, and joined to what Meta says of it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::app::{ACCESS_TOKEN, PHONE_NUMBER_ID};
use crate::support::{Receiver, TestApp};

async fn queue(app: &TestApp, body: &str) -> String {
    let message = json!({ "channel_id": app.channel().await, "message": {
        "messaging_product": "whatsapp", "to": "4915199900011", "type": "text", "text": { "body": body } } });
    let answer = app.api(Method::POST, "/v1/messages").json(&message).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
    let answer: Value = answer.json().await.unwrap();
    answer["id"].as_str().unwrap().to_owned()
}

/// Waits until the message is in this state.
async fn until(app: &TestApp, id: &str, state: &str) -> Value {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let shown = app.get(&format!("/v1/messages/{id}")).await;
        if shown["state"] == state {
            return shown;
        }
        assert!(tokio::time::Instant::now() < deadline, "{shown} never became {state}");
        tokio::task::yield_now().await;
    }
}

async fn ledger(app: &TestApp, messages: usize) -> Value {
    app.control(Method::GET, &format!("ledger?messages={messages}&wait_ms=10000"), json!(null)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_message_reaches_meta_and_its_statuses_are_joined_to_it() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let id = queue(&app, "Ja, seit eben.").await;
    let shown = until(&app, &id, "read").await;
    let statuses: Vec<&str> =
        shown["statuses"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["sent", "delivered", "read"]);
    let told = receiver.wait_for(4).await;
    let types: Vec<String> = told.iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
    for wanted in ["message.accepted", "message.sent", "message.delivered", "message.read"] {
        assert!(types.iter().any(|one| one == wanted), "{wanted} in {types:?}");
    }
    assert!(told.iter().all(|one| one.json()["data"]["message_id"] == id.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_never_sent_again_and_settled_by_its_status() {
    let app = TestApp::spawn().await;
    app.control(Method::PUT, "faults", json!({ "messages": "lost_answer", "times": 1 })).await;
    let id = queue(&app, "einmal").await;
    // The simulator took the message; only its answer was lost. Its statuses carry our id.
    until(&app, &id, "read").await;
    let ledger = ledger(&app, 1).await;
    assert_eq!(ledger["messages"].as_array().unwrap().len(), 1, "{ledger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_refused_by_meta_for_now_is_tried_again() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    app.control(Method::PUT, "faults", json!({ "messages": { "code": 130_429 }, "times": 1 })).await;
    let id = queue(&app, "später").await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while app.get(&format!("/v1/messages/{id}")).await["state"] == "queued" {
        assert!(tokio::time::Instant::now() < deadline);
        clock.advance(time::Duration::milliseconds(50));
        tokio::task::yield_now().await;
    }
    until(&app, &id, "read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_meta_refuses_for_good_fails_with_metas_code() {
    let app = TestApp::spawn().await;
    app.control(Method::PUT, "faults", json!({ "messages": { "code": 131_047 }, "times": 1 })).await;
    let id = queue(&app, "zu spät").await;
    let shown = until(&app, &id, "failed").await;
    assert_eq!((&shown["error_code"], &shown["error_verdict"]), (&json!(131_047), &json!("fix")));
    assert!(shown["error_meaning"].as_str().unwrap().contains("24 hours"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_message_is_listed_and_nothing_is_sent() {
    let app = TestApp::spawn().await;
    let message = json!({ "channel_id": app.channel().await, "message": { "messaging_product": "sms", "type": "text", "text": { "body": "" } } });
    let answer = app.api(Method::POST, "/v1/messages").json(&message).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = answer.json().await.unwrap();
    let pointers: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/message/messaging_product", "/message/to", "/message/text/body"], "{problem}");
    assert_eq!(ledger(&app, 0).await["messages"].as_array().unwrap().len(), 0);
}

/// A body of every type with something wrong in it, and where.
fn malformed() -> Vec<(Value, &'static str)> {
    let interactive = |kind: &str, action: Value| json!({ "type": "interactive", "interactive": { "type": kind, "body": { "text": "b" }, "action": action } });
    let media = |kind: &str| (json!({ "type": kind, kind: { "link": "nowhere" } }), "link");
    let mut all: Vec<_> = ["image", "video", "document", "audio", "sticker"].map(media).into();
    all.extend([
        (json!({ "type": "text", "text": { "body": "x".repeat(4097) } }), "text/body"),
        (json!({ "type": "location", "location": { "latitude": 91, "longitude": 0 } }), "location/latitude"),
        (json!({ "type": "contacts", "contacts": [{}] }), "contacts/0/name"),
        (json!({ "type": "reaction", "reaction": { "emoji": "x" } }), "reaction/message_id"),
        (json!({ "type": "template", "template": { "name": "a" } }), "template/language"),
        (interactive("button", json!({ "buttons": [] })), "interactive/action/buttons"),
        (interactive("list", json!({ "button": "b", "sections": [] })), "interactive/action/sections"),
        (interactive("cta_url", json!({ "parameters": { "display_text": "d" } })), "interactive/action/parameters/url"),
        (interactive("flow", json!({ "parameters": { "flow_id": "1" } })), "interactive/action/parameters/flow_cta"),
        (interactive("product", json!({ "catalog_id": "1" })), "interactive/action/product_retailer_id"),
        (interactive("product_list", json!({ "catalog_id": "1" })), "interactive/action/sections"),
        (interactive("carousel", json!({ "cards": [] })), "interactive/action/cards"),
        (json!({ "type": "pin" }), "pin"),
    ]);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_body_of_any_type_is_refused_by_both_doors_and_never_reaches_meta() {
    let app = TestApp::spawn().await;
    let channel = app.channel().await;
    for (mut message, place) in malformed() {
        message["messaging_product"] = json!("whatsapp");
        message["to"] = json!("4915199900011");
        let queued = json!({ "channel_id": channel, "message": message });
        let answer = app.api(Method::POST, "/v1/messages").json(&queued).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{message}");
        let problem: Value = answer.json().await.unwrap();
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap();
        assert!(pointer.starts_with("/message/") && pointer.ends_with(place), "{pointer} for {message}");

        let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
        let answer = app.api(Method::POST, &path).json(&message).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{message}");
        let refusal: Value = answer.json().await.unwrap();
        assert_eq!(refusal["error"]["code"], 100, "{refusal}");
        assert!(refusal.to_string().contains(&place.replace('/', ".")), "{refusal}");
    }
    assert_eq!(ledger(&app, 0).await["messages"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_answers_as_meta_does_and_keeps_metas_token_inside() {
    let app = TestApp::spawn().await;
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
    let body =
        json!({ "messaging_product": "whatsapp", "to": "4915199900011", "type": "text", "text": { "body": "direkt" } });
    let answer = app.api(Method::POST, &path).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["messaging_product"], "whatsapp");
    assert!(answer["messages"][0]["id"].as_str().unwrap().starts_with("wamid."));

    let receipt = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": "wamid.HBgNNDkxNTE5OTkwMDAxMRUCABIYFDNB" });
    let answer = app.api(Method::POST, &path).json(&receipt).send().await.unwrap();
    assert!(!answer.text().await.unwrap().contains("190"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_refuses_in_metas_words() {
    let app = TestApp::spawn().await;
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
    let body =
        json!({ "messaging_product": "whatsapp", "to": "4915199900011", "type": "text", "text": { "body": "x" } });
    let with = async |token: &str, path: &str| {
        let url = format!("http://{}{path}", app.at.internal);
        let answer = reqwest::Client::new().post(url).bearer_auth(token).json(&body).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap()["error"]["code"].clone())
    };
    assert_eq!(with(ACCESS_TOKEN, &path).await, (StatusCode::UNAUTHORIZED, json!(190)));
    assert_eq!(with(&app.key, "/graph/v25.0/999/messages").await, (StatusCode::BAD_REQUEST, json!(100)));
    assert_eq!(with(&app.key, "/graph/v25.0/999/media").await, (StatusCode::BAD_REQUEST, json!(100)));
    app.control(Method::PUT, "faults", json!({ "messages": { "code": 131_056 }, "times": 1 })).await;
    assert_eq!(with(&app.key, &path).await.1, json!(131_056));
}
