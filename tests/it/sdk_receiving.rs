//! Promise: what an endpoint receives is read by the official libraries of other languages, and shows no more than it asked for.
//! Shown with those of Standard Webhooks and CloudEvents for Python, as they are published.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use waxseal::clock::{Clock, SystemClock};
use waxseal::egress::sign::{StandardSigner, generate_secret};
use waxseal::secret::SigningSecret;

use crate::sdk::python;
use crate::support::receiver::Received;
use crate::support::{Receiver, TestApp, database, webhook};

/// What the libraries make of each line.
fn asked_of_the_libraries(secret: &str, lines: &[Value]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/receive.py");
    let mut child = Command::new(python())
        .arg(script)
        .arg(secret)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = lines.iter().map(|line| line.to_string() + "\n").collect::<String>();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), lines.len());
    answers
}

fn line(received: &Received) -> Value {
    let headers: Value = received
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), Value::from(value.to_str().unwrap())))
        .collect();
    json!({ "headers": headers, "body": String::from_utf8(received.body.to_vec()).unwrap() })
}

async fn endpoint(app: &TestApp, more: Value) -> (Receiver, Value) {
    let receiver = Receiver::start().await;
    let mut body = json!({ "name": "crm", "url": receiver.url() });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    (receiver, answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_webhooks_are_verified_and_a_changed_one_is_not_during_a_rotation_by_either_secret() {
    let app = TestApp::spawn().await;
    let (receiver, made) = endpoint(&app, json!({ "format": "standard" })).await;
    let old = made["secret"].as_str().unwrap();
    let path = format!("/v1/endpoints/{}/rotate-secret", made["id"].as_str().unwrap());
    let rotated = app.api(Method::POST, &path).json(&json!({ "grace_seconds": 3600 })).send().await.unwrap();
    let rotated: Value = rotated.json().await.unwrap();
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin 👋")).await;
    let received = receiver.wait_for(1).await.remove(0);
    assert_eq!(received.header("webhook-signature").split(' ').count(), 2);
    let mut changed = line(&received);
    changed["body"] = changed["body"].as_str().unwrap().replace("Moin", "Nein").into();
    for secret in [old, rotated["secret"].as_str().unwrap()] {
        let told = asked_of_the_libraries(secret, &[line(&received), changed.clone()]);
        assert_eq!(told, [json!({ "type": "message.received" }), json!({ "error": "WebhookVerificationError" })]);
    }
    let other = asked_of_the_libraries(generate_secret().expose(), &[line(&received)]);
    assert_eq!(other, [json!({ "error": "WebhookVerificationError" })]);
}

#[test]
fn what_the_library_of_another_language_signs_is_verified_here() {
    let (secret, now) = (generate_secret(), SystemClock.now());
    let body = r#"{"test": "Grüße 👋"}"#;
    let wanted = json!({ "sign": { "id": "msg_1", "timestamp": now.unix_timestamp(), "body": body } });
    let signed = asked_of_the_libraries(secret.expose(), &[wanted]).remove(0);
    let headers: HeaderMap = signed["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.as_str().unwrap().parse().unwrap()))
        .collect();
    let verify = |secret: &SigningSecret, body: &str, at: OffsetDateTime| {
        StandardSigner::new([secret]).unwrap().verify(&headers, body.as_bytes(), at).is_ok()
    };
    assert!(verify(&secret, body, now));
    assert!(!verify(&secret, &body.replace('1', "2").replace("test", "Test"), now));
    assert!(!verify(&generate_secret(), body, now));
    assert!(!verify(&secret, body, now + time::Duration::minutes(6)));
}

#[tokio::test(flavor = "multi_thread")]
async fn cloud_events_are_read_by_their_own_library() {
    let app = TestApp::spawn().await;
    let (receiver, made) = endpoint(&app, json!({ "format": "cloudevents" })).await;
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    let received = receiver.wait_for(1).await.remove(0);
    assert_eq!(received.header("content-type"), "application/cloudevents+json");
    let told = asked_of_the_libraries(made["secret"].as_str().unwrap(), &[line(&received)]).remove(0);
    let attributes = &told["attributes"];
    assert_eq!(attributes["specversion"], "1.0", "{told}");
    assert_eq!(attributes["type"], "waxseal.message.received");
    assert_eq!(attributes["id"], received.header("webhook-id"));
    assert_eq!(attributes["source"], format!("waxseal:{}", app.channel().await));
    assert_eq!(attributes["subject"], told["data"]["contact_id"]);
    assert_eq!(told["data"]["item"]["text"]["body"], "Moin");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_endpoint_is_shown_what_it_asked_for_and_knows_people_by_ids_of_its_own() {
    let app = TestApp::spawn().await;
    let (full, _) = endpoint(&app, json!({})).await;
    let mut seen = Vec::new();
    for fields in ["masked", "metadata", "ids"] {
        seen.push(endpoint(&app, json!({ "fields": fields, "pseudonymous": true, "format": "cloudevents" })).await.0);
    }
    for wamid in ["wamid.canary1", "wamid.canary2"] {
        app.webhook(webhook::text("4915199900011", wamid, "Moin")).await;
    }
    let contact = |received: &Received| received.json()["data"]["contact_id"].as_str().unwrap().to_owned();
    let mut known = vec![contact(&full.wait_for(2).await[0])];
    for receiver in &seen {
        let received = receiver.wait_for(2).await;
        let text = String::from_utf8(received[0].body.to_vec()).unwrap();
        for personal in ["4915199900011", "canary", "Ana Beispiel", &known[0]] {
            assert!(!text.contains(personal), "{text}");
        }
        assert_eq!(contact(&received[0]), contact(&received[1]), "stable");
        assert_eq!(received[0].json()["subject"], contact(&received[0]));
        known.push(contact(&received[0]));
    }
    known.sort();
    known.dedup();
    assert_eq!(known.len(), 4, "nobody knows a person by the id of another");
    let masked = seen[0].received()[0].json();
    assert_eq!(masked["data"]["item"]["text"]["body"], "Moin");
    assert_eq!(masked["data"]["item"]["from"], "+49 ••• ••• 11");
    let described = seen[1].received()[0].json();
    assert_eq!(described["data"]["item"]["type"], "text");
    assert_eq!(seen[2].received()[0].json()["data"].get("item"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_with_a_predicate_is_told_of_what_it_holds_for_even_of_what_it_is_not_shown() {
    let app = TestApp::spawn().await;
    let predicate = json!({ "at": "/data/item/text/body", "starts_with": "STOP" });
    let (receiver, _) = endpoint(&app, json!({ "predicate": predicate, "fields": "ids" })).await;
    for (wamid, text) in [("wamid.a", "Moin"), ("wamid.b", "STOP"), ("wamid.c", "Nein"), ("wamid.d", "STOP it")] {
        app.webhook(webhook::text("4915199900011", wamid, text)).await;
    }
    assert_eq!(receiver.wait_for(2).await.len(), 2);
    database::until(&app.database, "SELECT count(*) FROM delivery", 0).await;
    assert_eq!(receiver.received().len(), 2);
}
