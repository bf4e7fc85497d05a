//! The Graph side: sending, templates, the account.

use serde_json::{Value, json};

use super::{APP_SECRET, PHONE, Stage, WABA, text_to};
use crate::secret::AppSecret;
use crate::simulator::signature_header;

#[tokio::test]
async fn a_send_is_answered_as_meta_answers() {
    let stage = Stage::set().await;
    let (status, answer) = stage.send(text_to("+1 (650) 555-1234")).await;
    assert_eq!(status, 200);
    assert_eq!(answer["messaging_product"], "whatsapp");
    assert_eq!(answer["contacts"], json!([{"input": "+1 (650) 555-1234", "wa_id": "16505551234"}]));
    assert!(answer["messages"][0]["id"].as_str().unwrap().starts_with("wamid.HBgLMTY1MDU1NTEyMzQV"));

    let (_, answer) = stage.send(json!({"recipient": "US.13491208655302741918", "text": {"body": "Hi"}})).await;
    assert_eq!(answer["contacts"][0]["user_id"], "US.13491208655302741918");
    assert!(answer["contacts"][0].get("wa_id").is_none());
}

#[tokio::test]
async fn a_send_that_meta_would_refuse_is_refused_with_metas_code() {
    let stage = Stage::set().await;
    let cases = [
        (json!({"text": {"body": "a"}}), 131_008),
        (json!({"to": "1650555123x", "text": {"body": "a"}}), 131_009),
        (json!({"to": "15550100000", "text": {"body": "a"}}), 131_021),
        (json!({"to": "16505551234", "type": "hologram", "hologram": {}}), 131_009),
        (json!({"to": "16505551234", "type": "text"}), 131_008),
        (json!({"to": "16505551234", "text": {"body": "a".repeat(4097)}}), 100),
        (json!({"to": "16505551234", "type": "image", "image": {"id": "123"}}), 100),
        (json!({"to": "16505551234", "type": "interactive", "interactive": {"type": "button"}}), 131_008),
        (
            json!({"to": "16505551234", "type": "template", "template": {"name": "x", "language": {"code": "en_US"}}}),
            132_001,
        ),
        (
            json!({"to": "16505551234", "type": "template",
                "template": {"name": "order_update", "language": {"code": "en_US"}}}),
            132_000,
        ),
    ];
    for (message, code) in cases {
        let (status, answer) = stage.send(message.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{message}");
        assert_eq!(status, if code == 132_001 { 404 } else { 400 }, "{message}");
        assert!(answer["error"]["fbtrace_id"].is_string() && answer["error"]["type"].is_string());
    }
    let ledger = stage.ledger_after(0).await;
    assert_eq!(ledger["messages_accepted"], 0);
    assert_eq!(ledger["requests"], 10);
}

#[tokio::test]
async fn a_template_with_fitting_parameters_is_accepted() {
    let stage = Stage::set().await;
    let parameters = json!([{"type": "text", "text": "Erika"}, {"type": "text", "text": "4711"}]);
    let template = json!({"name": "order_update", "language": {"code": "en_US"},
        "components": [{"type": "body", "parameters": parameters}]});
    let (status, answer) = stage.send(json!({"to": "16505551234", "type": "template", "template": template})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["messages"][0]["message_status"], "accepted");
}

#[tokio::test]
async fn read_receipts_and_typing_succeed_and_are_in_the_ledger() {
    let stage = Stage::set().await;
    let read = json!({"status": "read", "message_id": "wamid.abc", "typing_indicator": {"type": "text"}});
    assert_eq!(stage.send(read).await, (200, json!({"success": true})));
    assert_eq!(stage.ledger_after(0).await["reads"], json!([{"message_id": "wamid.abc", "typing": true}]));
    assert_eq!(stage.send(json!({"status": "read"})).await.1["error"]["code"], 131_008);
}

#[tokio::test]
async fn only_the_token_opens_the_door() {
    let stage = Stage::set().await;
    let get = async |path: String| stage.client.get(stage.url(&path)).send().await.unwrap();
    let refused = get(format!("/v25.0/{PHONE}")).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], 190);
    assert_eq!(get(format!("/v25.0/{PHONE}?access_token=token")).await.status(), 200);
    assert_eq!(get(format!("/v25.0/{PHONE}?access_token=other")).await.status(), 401);
    assert_eq!(get(format!("/v19.0/{PHONE}?access_token=token")).await.status(), 200);
    assert_eq!(get(format!("/vx/{PHONE}?access_token=token")).await.status(), 400);

    let proof = signature_header(&AppSecret::new(APP_SECRET), b"token").replace("sha256=", "");
    let with_proof = |proof: &str| format!("/v25.0/{PHONE}?access_token=token&appsecret_proof={proof}");
    assert_eq!(get(with_proof(&proof)).await.status(), 200);
    assert_eq!(get(with_proof("00")).await.status(), 400);
}

#[tokio::test]
async fn an_object_of_somebody_else_does_not_exist() {
    let stage = Stage::set().await;
    for (method, path) in
        [("GET", "/999"), ("POST", "/999/messages"), ("GET", "/999/phone_numbers"), ("DELETE", "/999")]
    {
        let (status, answer) = stage.graph(method, path, Some(&json!({}))).await;
        assert_eq!(
            (status, &answer["error"]["code"], &answer["error"]["error_subcode"]),
            (400, &json!(100), &json!(33))
        );
    }
}

#[tokio::test]
async fn templates_are_created_listed_approved_and_deleted() {
    let stage = Stage::set().await;
    let path = format!("/{WABA}/message_templates");
    let template = json!({"name": "reminder", "language": "de", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Morgen um {{1}} Uhr."}]});
    let (status, created) = stage.graph("POST", &path, Some(&template)).await;
    assert_eq!((status, &created["status"]), (200, &json!("PENDING")));
    assert_eq!(stage.graph("POST", &path, Some(&template)).await.0, 400);

    stage.ledger_after(1).await;
    let approval = stage.receiver.last().json();
    assert_eq!(approval["entry"][0]["changes"][0]["field"], "message_template_status_update");
    assert!(approval["entry"][0]["time"].is_i64());
    let (_, found) = stage.graph("GET", &format!("/{}", created["id"].as_str().unwrap()), None).await;
    assert_eq!(found["status"], "APPROVED");

    let (_, page) = stage.graph("GET", &format!("{path}?limit=4&fields=name"), None).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 4);
    let after = page["paging"]["cursors"]["after"].as_str().unwrap();
    let (_, rest) = stage.graph("GET", &format!("{path}?limit=4&after={after}"), None).await;
    assert_eq!(rest["data"][0]["name"], "reminder");
    assert!(rest["paging"].get("next").is_none());

    assert_eq!(stage.graph("DELETE", &format!("{path}?name=reminder"), None).await.0, 200);
    assert_eq!(stage.graph("DELETE", &format!("{path}?name=reminder"), None).await.0, 400);
}

#[tokio::test]
async fn the_account_shows_its_number_profile_and_token() {
    let stage = Stage::set().await;
    let (_, numbers) = stage.graph("GET", &format!("/{WABA}/phone_numbers"), None).await;
    assert_eq!(numbers["data"][0]["id"], PHONE);
    let (_, number) = stage.graph("GET", &format!("/{PHONE}?fields=quality_rating,throughput{{level}}"), None).await;
    assert_eq!(number, json!({"id": PHONE, "quality_rating": "GREEN", "throughput": {"level": "STANDARD"}}));

    let profile = format!("/{PHONE}/whatsapp_business_profile");
    let about = json!({"messaging_product": "whatsapp", "about": "Open"});
    assert_eq!(stage.graph("POST", &profile, Some(&about)).await.0, 200);
    assert_eq!(stage.graph("GET", &profile, None).await.1["data"][0]["about"], "Open");
    assert_eq!(stage.graph("GET", "/debug_token?input_token=token", None).await.1["data"]["is_valid"], true);
}

#[tokio::test]
async fn subscription_and_overrides_decide_where_webhooks_go() {
    let stage = Stage::set().await;
    let path = format!("/{WABA}/subscribed_apps");
    assert_eq!(stage.graph("DELETE", &path, None).await.0, 200);
    assert_eq!(stage.control("POST", "/inbound", json!({"type": "text"})).await["status"], Value::Null);
    assert!(stage.receiver.received().is_empty());

    let other = super::Receiver::start().await;
    let wrong = json!({"override_callback_uri": other.url, "verify_token": "wrong"});
    assert_eq!(stage.graph("POST", &path, Some(&wrong)).await.1["error"]["code"], 2200);
    let right = json!({"override_callback_uri": other.url, "verify_token": "verify-me"});
    assert_eq!(stage.graph("POST", &path, Some(&right)).await.0, 200);
    assert_eq!(stage.graph("GET", &path, None).await.1["data"][0]["override_callback_uri"], other.url);

    stage.control("POST", "/inbound", json!({"type": "text"})).await;
    stage.control("POST", "/webhook", json!({"field": "account_alerts"})).await;
    let taken_by_app = |received: &[super::receiver::Received]| {
        received.iter().filter(|one| one.json()["entry"][0]["changes"][0]["field"] == "account_alerts").count()
    };
    assert!(!other.received().is_empty() && taken_by_app(&other.received()) == 0);
    assert_eq!(taken_by_app(&stage.receiver.received()), 1);
}
