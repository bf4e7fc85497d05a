//! The status ladder, retries, history, the end.

use serde_json::{Value, json};

use super::{PHONE, Stage, text_to};

fn steps(stage: &Stage) -> Vec<Value> {
    let received = stage.receiver.received();
    received.iter().flat_map(|one| one.value()["statuses"].as_array().cloned().unwrap_or_default()).collect()
}

#[tokio::test]
async fn an_accepted_send_climbs_from_sent_to_read_with_its_opaque_data() {
    let stage = Stage::set().await;
    let mut message = text_to("16505551234");
    message["biz_opaque_callback_data"] = json!("our-id-1");
    let (_, answer) = stage.send(message).await;
    stage.ledger_after(3).await;
    let statuses = steps(&stage);
    let words: Vec<_> = statuses.iter().map(|status| status["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(words, ["sent", "delivered", "read"]);
    for status in &statuses {
        assert_eq!(status["id"], answer["messages"][0]["id"]);
        assert_eq!(status["biz_opaque_callback_data"], "our-id-1");
        assert_eq!(status["recipient_id"], "16505551234");
        assert!(status["recipient_user_id"].is_string() && status["timestamp"].is_string());
    }
    assert_eq!(statuses[0]["pricing"]["category"], "service");
    assert!(statuses[1].get("pricing").is_some() && statuses[2].get("pricing").is_none());
    assert!(stage.receiver.received().iter().all(super::receiver::Received::is_signed));
}

#[tokio::test]
async fn a_voice_message_is_played_too() {
    let stage = Stage::set().await;
    let audio = json!({"link": "https://example.com/a.ogg", "voice": true});
    stage.send(json!({"to": "16505551234", "type": "audio", "audio": audio})).await;
    stage.ledger_after(4).await;
    assert_eq!(steps(&stage)[3]["status"], "played");
}

#[tokio::test]
async fn the_ladder_can_be_cut_short_or_switched_off() {
    let stage = Stage::set().await;
    stage.settings(json!({"ladder": {"steps": ["sent"]}, "conversation_in_status": true})).await;
    stage.send(text_to("16505551234")).await;
    stage.ledger_after(1).await;
    assert!(steps(&stage)[0]["conversation"]["id"].is_string());
    stage.settings(json!({"ladder": {"enabled": false}})).await;
    stage.send(text_to("16505551234")).await;
    let ledger = stage.ledger_after(0).await;
    assert_eq!((&ledger["messages_accepted"], &ledger["webhooks_posted"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn statuses_of_several_messages_can_travel_together() {
    let stage = Stage::set().await;
    stage.settings(json!({"ladder": {"steps": ["sent"], "batch": 20, "linger_ms": 600_000}})).await;
    for person in 0..20 {
        stage.send(text_to(&format!("1650555{person:04}"))).await;
    }
    stage.ledger_after(1).await;
    assert_eq!(stage.receiver.received().len(), 1);
    assert_eq!(steps(&stage).len(), 20);
    assert!(stage.receiver.last().is_signed());
}

#[tokio::test]
async fn anything_but_200_is_posted_again_with_the_same_bytes() {
    let stage = Stage::set().await;
    stage.receiver.answer_with(&[503, 204]);
    let answer = stage.control("POST", "/inbound", json!({"type": "text"})).await;
    assert_eq!(answer["status"], 503);
    let ledger = stage.ledger_after(1).await;
    assert_eq!(ledger["webhooks"][0]["attempts"], json!([503, 204, 200]));
    assert_eq!(ledger["webhooks"][0]["state"], "DELIVERED");
    let bodies: Vec<_> = stage.receiver.received().into_iter().map(|one| one.body).collect();
    assert!(bodies.len() == 3 && bodies.iter().all(|body| *body == bodies[0]));
}

#[tokio::test]
async fn after_the_last_attempt_a_webhook_has_failed() {
    let stage = Stage::set().await;
    stage.settings(json!({"retry": {"attempts": 1}})).await;
    stage.receiver.answer_with(&[500]);
    stage.control("POST", "/inbound", json!({"type": "text"})).await;
    assert_eq!(stage.ledger_after(0).await["webhooks"][0]["state"], "FAILED");
    stage.control("PUT", "/callback", json!({"url": "http://127.0.0.1:1/"})).await;
    assert_eq!(stage.control("POST", "/inbound", json!({"type": "text"})).await["status"], Value::Null);
}

#[tokio::test]
async fn the_history_tells_what_became_of_a_message_and_its_webhooks() {
    let stage = Stage::set().await;
    stage.settings(json!({"ladder": {"steps": ["sent", "delivered"]}})).await;
    let (_, answer) = stage.send(text_to("16505551234")).await;
    stage.send(text_to("16505559876")).await;
    stage.ledger_after(4).await;
    let wamid = answer["messages"][0]["id"].as_str().unwrap();
    let query: String = url::form_urlencoded::byte_serialize(wamid.as_bytes()).collect();
    let (_, history) = stage.graph("GET", &format!("/{PHONE}/message_history?message_id={query}"), None).await;
    assert_eq!(history["data"].as_array().unwrap().len(), 1);
    let events = history["data"][0]["events"]["data"].as_array().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["delivery_status"], "SENT");
    assert_eq!(events[0]["webhook_update_state"], "DELIVERED");
    assert_eq!(events[0]["webhook_uri"], stage.receiver.url);
    let (_, all) = stage.graph("GET", &format!("/{PHONE}/message_history?limit=1"), None).await;
    assert!(all["data"].as_array().unwrap().len() == 1 && all["paging"]["next"].is_string());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_retries_or_statuses_that_are_due_later() {
    let stage = Stage::set().await;
    stage
        .settings(json!({"ladder": {"gap_ms": 600_000}, "retry": {"first_gap_ms": 600_000, "longest_gap_ms": 600_000}}))
        .await;
    stage.receiver.answer_with(&[500]);
    stage.control("POST", "/inbound", json!({"type": "text"})).await;
    stage.send(text_to("16505551234")).await;
    let Stage { simulator, client, .. } = stage;
    drop(client);
    tokio::time::timeout(std::time::Duration::from_secs(20), simulator.shutdown()).await.unwrap();
}
