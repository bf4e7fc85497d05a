//! Promise: a message shows all that Meta said of it: each status, and of errors the code, the title and the details, to whom may see
//! content.

use reqwest::Method;
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{FieldClass, Permissions, Sight};

use crate::support::TestApp;
use crate::support::app::api_key_for;
use crate::support::wait::{PATIENCE, until};

async fn failed(app: &TestApp, fault: Value) -> String {
    app.control(Method::PUT, "faults", json!({ "messages": fault, "times": 1 })).await;
    let body = json!({ "channel_id": app.channel().await, "message": {
        "to": "4915199900011", "type": "text", "text": { "body": "x" } } });
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    let path = format!("/v1/messages/{}", answer.json::<Value>().await.unwrap()["id"].as_str().unwrap());
    until("it has failed", PATIENCE, async || app.get(&path).await["state"] == "failed").await;
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_failure_tells_its_code_title_and_details() {
    let app = TestApp::spawn().await;
    let path = failed(&app, json!({ "failed_status": 131_026 })).await;
    let shown = app.get(&path).await;
    let status = &shown["statuses"][0];
    assert_eq!((&status["status"], &status["error_code"]), (&json!("failed"), &json!(131_026)));
    for told in [status, &shown] {
        assert_eq!(told["error_title"], "Message undeliverable", "{shown}");
        assert!(told["error_details"].as_str().is_some_and(|details| !details.is_empty()), "{shown}");
    }
    assert!(status["timestamp"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_metas_tells_them_too_and_not_to_whom_sees_no_content() {
    let app = TestApp::spawn().await;
    let path = failed(&app, json!({ "code": 131_047 })).await;
    let shown = app.get(&path).await;
    assert_eq!(shown["error_code"], 131_047);
    assert!(shown["error_title"].as_str().unwrap().contains("131047"), "{shown}");
    assert!(shown["error_details"].is_string());
    for class in [FieldClass::Public, FieldClass::Internal, FieldClass::Personal, FieldClass::Sensitive] {
        let sight = Sight { class, unmasked: false };
        let key = api_key_for(&app.gateway, Powers::Scopes(Permissions::admin()), sight).await;
        let seen: Value = app.api_as(&key, Method::GET, &path).send().await.unwrap().json().await.unwrap();
        assert_eq!(seen["error_code"], 131_047);
        assert_eq!(seen["error_title"].is_string(), class == FieldClass::Sensitive, "{class:?}");
        assert_eq!(seen["withheld"], class != FieldClass::Sensitive);
    }
}
