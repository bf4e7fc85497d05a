//! The control side: people write, batches, raw bytes, the ledger.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Stage, text_to};
use crate::simulator::payloads::KINDS;

#[tokio::test]
async fn every_kind_of_inbound_message_is_posted_signed_and_in_ascii() {
    let stage = Stage::set().await;
    for kind in KINDS {
        let order = json!({"type": kind, "name": "Jörg", "body": null, "from": "4915112345678"});
        let answer = stage.control("POST", "/inbound", order).await;
        assert_eq!(answer["status"], 200, "{kind}");
        let received = stage.receiver.last();
        assert!(received.is_signed() && received.body.is_ascii(), "{kind}");
        let value = received.value();
        let message = &value["messages"][0];
        assert_eq!(message["id"], answer["wamids"][0], "{kind}");
        assert!(message["timestamp"].is_string() && message["from_user_id"].is_string(), "{kind}");
        let bare = ["unknown", "request_welcome", "interactive_empty"].contains(&kind);
        assert_eq!(message.get(message["type"].as_str().unwrap()).is_none(), bare, "{kind}");
        let without_contacts = kind.ends_with("changed_number") || kind == "system";
        assert_eq!(value.get("contacts").is_none(), without_contacts, "{kind}");
    }
    assert!(stage.control("POST", "/inbound", json!({"type": "telegram"})).await["error"].is_string());
}

#[tokio::test]
async fn a_person_whose_number_is_hidden_has_only_a_user_id() {
    let stage = Stage::set().await;
    stage.control("POST", "/inbound", json!({"type": "text", "from_user_id": "DE.123", "username": "erika"})).await;
    let value = stage.receiver.last().value();
    assert!(value["messages"][0].get("from").is_none() && value["contacts"][0].get("wa_id").is_none());
    assert_eq!(value["messages"][0]["from_user_id"], "DE.123");
    assert_eq!(value["contacts"][0]["profile"]["username"], "erika");
}

#[tokio::test]
async fn details_and_merge_reach_every_key_and_the_same_id_is_a_duplicate() {
    let stage = Stage::set().await;
    let order = json!({"type": "location", "id": "wamid.same", "timestamp": 1_700_000_000,
        "details": {"latitude": 1.5}, "merge": {"extra": [1], "from_user_id": null}});
    stage.control("POST", "/inbound", order.clone()).await;
    let answer = stage.control("POST", "/inbound", order).await;
    assert_eq!(answer["wamids"], json!(["wamid.same"]));
    let message = stage.receiver.last().value()["messages"][0].clone();
    assert_eq!((&message["location"]["latitude"], &message["extra"]), (&json!(1.5), &json!([1])));
    assert_eq!(message["timestamp"], "1700000000");
    assert!(message.get("from_user_id").is_none());
}

#[tokio::test]
async fn many_messages_may_share_a_post() {
    let stage = Stage::set().await;
    let answer = stage.control("POST", "/inbound", json!({"type": "text", "count": 25, "per_post": 10})).await;
    assert_eq!(answer["webhooks"].as_array().unwrap().len(), 3);
    let wamids: HashSet<String> = serde_json::from_value(answer["wamids"].clone()).unwrap();
    assert_eq!(wamids.len(), 25);
    assert_eq!(stage.receiver.last().value()["messages"].as_array().unwrap().len(), 5);
}

/// Every message and status of all POSTs, as (id, status), with repetitions.
fn updates(stage: &Stage) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for received in stage.receiver.received() {
        for change in received.json()["entry"][0]["changes"].as_array().unwrap() {
            for key in ["messages", "statuses"] {
                for item in change["value"][key].as_array().into_iter().flatten() {
                    let status = item["status"].as_str().unwrap_or_default();
                    found.push((item["id"].as_str().unwrap().to_owned(), status.to_owned()));
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn a_batch_holds_what_was_ordered_in_posts_of_at_most_a_thousand() {
    let stage = Stage::set().await;
    let order = json!({"updates": 1200, "duplicates": 100, "reorder": true, "statuses_per_message": 2});
    let answer = stage.control("POST", "/batch", order).await;
    assert_eq!((&answer["updates"], &answer["distinct"], &answer["status"]), (&json!(1300), &json!(1200), &json!(200)));
    assert_eq!(stage.receiver.received().len(), 2);
    let updates = updates(&stage);
    assert_eq!(updates.len(), 1300);
    assert_eq!(updates.iter().collect::<HashSet<_>>().len(), 1200);
    assert_eq!(answer["wamids"].as_array().unwrap().len(), 400);
}

#[tokio::test]
async fn a_batch_of_messages_alone_keeps_its_order() {
    let stage = Stage::set().await;
    let answer = stage.control("POST", "/batch", json!({"updates": 300})).await;
    let sent: Vec<String> = serde_json::from_value(answer["wamids"].clone()).unwrap();
    let received: Vec<String> = updates(&stage).into_iter().map(|(id, _)| id).collect();
    assert_eq!(sent, received);
    assert!(stage.control("POST", "/batch", json!({"updates": 300_000})).await["error"].is_string());
}

#[tokio::test]
async fn raw_bytes_arrive_untouched_and_the_signature_can_be_forged() {
    let stage = Stage::set().await;
    let post = async |query: &str, body: &'static str| {
        stage.client.post(stage.url(&format!("/control/raw{query}"))).body(body).send().await.unwrap();
        stage.receiver.last()
    };
    let received = post("", "{not json, ü").await;
    assert_eq!(received.body, "{not json, ü");
    assert!(received.is_signed());
    assert_eq!(post("?signature=sha256%3Dbad", "{}").await.signature, "sha256=bad");
}

#[tokio::test]
async fn any_field_can_be_posted_by_value_or_by_sample() {
    let stage = Stage::set().await;
    stage.control("POST", "/webhook", json!({"field": "brand_new", "value": {"a": "b/c"}})).await;
    assert_eq!(stage.receiver.last().value(), json!({"a": "b/c"}));
    stage.control("POST", "/webhook", json!({"field": "user_preferences"})).await;
    assert_eq!(stage.receiver.last().value()["user_preferences"][0]["value"], "stop");
    assert!(stage.control("POST", "/webhook", json!({"field": "brand_new"})).await["error"].is_string());
}

#[tokio::test]
async fn the_handshake_succeeds_with_the_right_token_alone() {
    let stage = Stage::set().await;
    assert_eq!(stage.control("POST", "/verify", json!({})).await, json!({"verified": true, "status": 200}));
    stage.control("PUT", "/callback", json!({"url": stage.url("/nowhere")})).await;
    assert_eq!(stage.control("POST", "/verify", json!({})).await, json!({"verified": false, "status": 400}));
}

#[tokio::test]
async fn the_ledger_remembers_sends_and_shows_what_was_sent_twice() {
    let stage = Stage::set().await;
    stage.settings(json!({"ladder": {"enabled": false}})).await;
    for opaque in ["a", "b", "a"] {
        let mut message = text_to("16505551234");
        message["biz_opaque_callback_data"] = json!(opaque);
        stage.send(message).await;
    }
    let ledger = stage.control("GET", "/ledger?messages=3", json!({})).await;
    assert_eq!(ledger["doubled"], json!({"a": 2}));
    assert_eq!(ledger["messages"][1]["biz_opaque_callback_data"], "b");
    assert_eq!(ledger["messages"][1]["body"]["text"]["body"], "Hello");
    assert_eq!(ledger["messages"][1]["type"], "text");
    assert!(stage.control("GET", "/ledger?summary=true", json!({})).await.get("messages").is_none());

    stage.control("DELETE", "/ledger", json!({})).await;
    assert_eq!(stage.ledger_after(0).await["messages_accepted"], 0);
    stage.settings(json!({"ledger_keep": 2})).await;
    for _ in 0..3 {
        stage.send(text_to("16505551234")).await;
    }
    let ledger = stage.ledger_after(0).await;
    assert_eq!((&ledger["messages_accepted"], ledger["messages"].as_array().unwrap().len()), (&json!(3), 2));
}

#[tokio::test]
async fn an_unknown_setting_is_refused_and_changes_nothing() {
    let stage = Stage::set().await;
    assert!(stage.control("PUT", "/settings", json!({"ladder": {"gap": 1}})).await["error"].is_string());
    let settings: Value = stage.control("GET", "/settings", json!({})).await;
    assert_eq!(settings["ladder"]["gap_ms"], 1);
}
