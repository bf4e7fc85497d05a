//! Trouble on demand.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{PHONE, Stage, text_to, whatsapp};

async fn break_messages(stage: &Stage, fault: serde_json::Value) {
    let plan = stage.control("PUT", "/faults", json!({"messages": fault, "times": 1})).await;
    assert!(plan.get("messages").is_some(), "{plan}");
}

/// A send on a connection of its own, as the outcome of reqwest.
async fn raw_send(stage: &Stage) -> reqwest::Result<reqwest::Response> {
    let url = stage.url(&format!("/v25.0/{PHONE}/messages"));
    stage.client.post(url).bearer_auth("token").json(&whatsapp(text_to("16505551234"))).send().await
}

#[tokio::test]
async fn an_error_code_comes_with_its_http_status_and_ends_with_its_count() {
    let stage = Stage::set().await;
    for (code, http) in
        [(131_056, 400), (130_429, 400), (131_000, 500), (2, 503), (190, 401), (368, 403), (80_007, 400)]
    {
        break_messages(&stage, json!({"code": code})).await;
        let (status, answer) = stage.send(text_to("16505551234")).await;
        assert_eq!((status, &answer["error"]["code"]), (http, &json!(code)));
        assert_eq!(stage.send(text_to("16505551234")).await.0, 200);
    }
    assert_eq!(stage.ledger_after(0).await["messages_accepted"], 7);
}

#[tokio::test]
async fn an_http_status_may_come_without_metas_body_and_with_retry_after() {
    let stage = Stage::set().await;
    break_messages(&stage, json!({"http": 503, "retry_after": 7})).await;
    let response = raw_send(&stage).await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.headers()["retry-after"], "7");
    assert!(response.text().await.unwrap().starts_with("<html>"));
    break_messages(&stage, json!({"http": 429, "code": 4})).await;
    let response = raw_send(&stage).await.unwrap();
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("x-business-use-case-usage"));
}

#[tokio::test]
async fn a_reset_processes_nothing() {
    let stage = Stage::set().await;
    break_messages(&stage, json!("reset")).await;
    assert!(raw_send(&stage).await.unwrap_err().is_request());
    assert_eq!(stage.ledger_after(0).await["messages_accepted"], 0);
    assert_eq!(raw_send(&stage).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_lost_answer_is_processed_all_the_same() {
    let stage = Stage::set().await;
    break_messages(&stage, json!("lost_answer")).await;
    assert!(raw_send(&stage).await.unwrap_err().is_request());
    let ledger = stage.ledger_after(3).await;
    assert_eq!(ledger["messages_accepted"], 1);
    assert_eq!(stage.receiver.received().len(), 3);
}

#[tokio::test]
async fn delays_hold_the_answer_back() {
    let stage = Stage::set().await;
    let timed = async || {
        let begun = Instant::now();
        assert_eq!(stage.send(text_to("16505551234")).await.0, 200);
        begun.elapsed()
    };
    break_messages(&stage, json!({"delay_ms": 40})).await;
    assert!(timed().await >= Duration::from_millis(40));
    stage.settings(json!({"delay_ms": 30})).await;
    assert!(timed().await >= Duration::from_millis(30));
}

#[tokio::test]
async fn an_accepted_message_may_fail_later() {
    let stage = Stage::set().await;
    break_messages(&stage, json!({"failed_status": 131_049})).await;
    assert_eq!(stage.send(text_to("16505551234")).await.0, 200);
    stage.ledger_after(1).await;
    let value = stage.receiver.last().value();
    assert_eq!(value["statuses"][0]["status"], "failed");
    assert_eq!(value["statuses"][0]["errors"][0]["code"], 131_049);
    assert!(value["statuses"][0].get("recipient_user_id").is_none() && value.get("contacts").is_none());
}

#[tokio::test]
async fn faults_of_other_surfaces_and_their_removal() {
    let stage = Stage::set().await;
    stage.control("PUT", "/faults", json!({"account": {"http": 500}, "media": {"code": 131_052}})).await;
    let get =
        async |path: String| stage.client.get(stage.url(&path)).bearer_auth("token").send().await.unwrap().status();
    assert_eq!(get(format!("/v25.0/{PHONE}")).await, 500);
    assert_eq!(get("/v25.0/8812345678901234".to_owned()).await, 400);
    assert_eq!(raw_send(&stage).await.unwrap().status(), 200);
    stage.control("DELETE", "/faults", json!({})).await;
    assert_eq!(get(format!("/v25.0/{PHONE}")).await, 200);
}
