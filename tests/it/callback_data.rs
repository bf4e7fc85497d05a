//! Promise: what an application writes into `biz_opaque_callback_data` comes back to it in every status, as from Meta itself, although
//! the gateway's own id travels in the same field.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::app::PHONE_NUMBER_ID;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp};

/// With everything that JSON escapes.
const OWN: &str = "order \"4711\" \\ küche/7";

fn message(own: &str) -> Value {
    json!({ "messaging_product": "whatsapp", "to": "4915199900011", "type": "text", "text": { "body": "x" }, "biz_opaque_callback_data": own })
}

async fn queue(app: &TestApp, message: Value) -> (StatusCode, Value) {
    let body = json!({ "channel_id": app.channel().await, "message": message });
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The callback data of the statuses in what a receiver got.
fn given_back(receiver: &Receiver) -> Vec<Value> {
    let all = receiver.received();
    let statuses = all.iter().filter_map(|one| {
        let told = one.json();
        let of_meta = told.pointer("/entry/0/changes/0/value/statuses/0").cloned();
        of_meta.or_else(|| told.pointer("/data/item").cloned()).filter(|item| item.get("status").is_some())
    });
    statuses.map(|status| status["biz_opaque_callback_data"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_data_of_an_application_comes_back_in_both_formats_and_ours_settles_a_lost_answer_all_the_same() {
    let app = TestApp::spawn().await;
    let receivers = [Receiver::start().await, Receiver::start().await];
    app.endpoint(&receivers[0], "standard").await;
    app.endpoint(&receivers[1], "meta").await;
    app.control(Method::PUT, "faults", json!({ "messages": "lost_answer", "times": 1 })).await;
    let (status, queued) = queue(&app, message(OWN)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{queued}");
    let id = queued["id"].as_str().unwrap();
    let shown = async || app.get(&format!("/v1/messages/{id}")).await;
    until("its statuses settle it", PATIENCE, async || shown().await["state"] == "read").await;
    for receiver in &receivers {
        until("three statuses arrive", PATIENCE, async || given_back(receiver).len() == 3).await;
        assert!(given_back(receiver).iter().all(|one| one == OWN), "{:?}", given_back(receiver));
    }
    let ledger = app.control(Method::GET, "ledger", json!(null)).await;
    let sent = ledger["messages"][0]["biz_opaque_callback_data"].as_str().unwrap();
    assert!(sent.starts_with("waxseal:") && sent.ends_with(OWN), "{sent}");
    assert!(!shown().await.to_string().contains("waxseal:"), "the application sees what it wrote");
}

#[tokio::test(flavor = "multi_thread")]
async fn callback_data_as_long_as_meta_takes_comes_back_by_both_doors_and_longer_is_refused() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "meta").await;
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
    let mirrored = async |own: &str| app.api(Method::POST, &path).json(&message(own)).send().await.unwrap().status();
    assert_eq!(mirrored(&"x".repeat(471)).await, StatusCode::OK);
    until("three statuses arrive", PATIENCE, async || given_back(&receiver).len() == 3).await;
    assert!(given_back(&receiver).iter().all(|one| *one == "x".repeat(471)));
    // Here there is no room for ours beside it: it stays with the gateway, and is put back.
    let longest = "ü\"".repeat(256);
    assert_eq!(mirrored(&longest).await, StatusCode::OK);
    until("three more arrive", PATIENCE, async || given_back(&receiver).len() == 6).await;
    let (status, queued) = queue(&app, message(&longest)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    until("three more arrive", PATIENCE, async || given_back(&receiver).len() == 9).await;
    assert!(given_back(&receiver)[3..].iter().all(|one| *one == longest), "{:?}", given_back(&receiver));
    let shown = app.get(&format!("/v1/messages/{}", queued["id"].as_str().unwrap())).await;
    assert_eq!(shown["request"]["biz_opaque_callback_data"], longest, "{shown}");
    let sent = app.control(Method::GET, "ledger", json!(null)).await["messages"][2].clone();
    assert!(sent["biz_opaque_callback_data"].as_str().unwrap().len() < 50 && !sent.to_string().contains('ü'), "{sent}");
    assert_eq!(mirrored(&"x".repeat(513)).await, StatusCode::BAD_REQUEST);
    let (status, problem) = queue(&app, message(&"x".repeat(513))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["pointer"], "/message/biz_opaque_callback_data");
}
