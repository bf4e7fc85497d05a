//! Promise: what a person says of marketing is recorded for good, by whichever way they say it, and told to the applications.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{FieldClass, Permission, Sight};

use crate::support::app::{PHONE_NUMBER_ID, api_key_for};
use crate::support::receiver::Received;
use crate::support::wait::until;
use crate::support::{Receiver, TestApp, webhook};

const ANA: &str = "4915199900011";

async fn says(app: &TestApp, wamid: &str, words: &str) {
    assert_eq!(app.webhook(webhook::text(ANA, wamid, words)).await, StatusCode::OK);
}

async fn path(app: &TestApp) -> String {
    let contacts = app.get("/v1/contacts").await;
    format!("/v1/contacts/{}/consent", contacts["data"][0]["id"].as_str().unwrap())
}

async fn consent(app: &TestApp) -> Value {
    app.get(&path(app).await).await
}

fn told(consent: &Value) -> Vec<(&str, &str)> {
    let history = consent["history"].as_array().unwrap();
    history.iter().map(|entry| (entry["source"].as_str().unwrap(), entry["state"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_alone_stops_marketing_and_another_allows_it_again() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    says(&app, "wamid.hello", "Bitte nicht stop rufen").await;
    assert_eq!(consent(&app).await["channels"][0]["marketing"], "unknown");
    app.endpoint(&receiver, "standard").await;
    says(&app, "wamid.stop", " Abbestellen ").await;
    says(&app, "wamid.stop", " Abbestellen ").await;
    let now = consent(&app).await;
    assert_eq!(now["channels"][0]["marketing"], "withdrawn");
    assert_eq!(told(&now), [("keyword", "withdrawn")], "a repetition says nothing new");
    says(&app, "wamid.start", "START").await;
    let now = consent(&app).await;
    assert_eq!(told(&now), [("keyword", "granted"), ("keyword", "withdrawn")], "nothing is overwritten");
    let deliveries = receiver.wait_for(4).await;
    let changes: Vec<Value> =
        deliveries.iter().map(Received::json).filter(|one| one["type"] == "contact.consent_changed").collect();
    let mut states: Vec<&str> = changes.iter().map(|one| one["data"]["item"]["state"].as_str().unwrap()).collect();
    states.sort_unstable();
    assert_eq!(states, ["granted", "withdrawn"], "{changes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metas_preferences_and_metas_refusals_are_heard() {
    let app = TestApp::spawn().await;
    says(&app, "wamid.hello", "Hallo").await;
    let preference = |value: &str, at: i64| {
        json!({
            "messaging_product": "whatsapp",
            "metadata": { "display_phone_number": "15550001234", "phone_number_id": PHONE_NUMBER_ID },
            "contacts": [{ "profile": { "name": "Ana Beispiel" }, "wa_id": ANA }],
            "user_preferences": [{ "wa_id": ANA, "detail": "d", "category": "marketing_messages", "value": value, "timestamp": at }],
        })
    };
    let at = time::OffsetDateTime::now_utc().unix_timestamp() - 100;
    app.control(Method::POST, "webhook", json!({ "field": "user_preferences", "value": preference("resume", at) }))
        .await;
    // An older one that comes late is recorded, and decides nothing.
    app.control(Method::POST, "webhook", json!({ "field": "user_preferences", "value": preference("stop", at - 10) }))
        .await;
    let now = consent(&app).await;
    assert_eq!(
        (told(&now), &now["channels"][0]["marketing"]),
        (vec![("meta", "granted"), ("meta", "withdrawn")], &json!("granted"))
    );

    app.control(Method::PUT, "faults", json!({ "messages": { "code": 131_050 }, "times": 1 })).await;
    let message =
        json!({ "channel_id": app.channel().await, "message": { "to": ANA, "type": "text", "text": { "body": "x" } } });
    assert_eq!(
        app.api(Method::POST, "/v1/messages").json(&message).send().await.unwrap().status(),
        StatusCode::ACCEPTED
    );
    until("the refusal is recorded", std::time::Duration::from_secs(20), async || {
        consent(&app).await["channels"][0]["marketing"] == "withdrawn"
    })
    .await;
    assert_eq!(told(&consent(&app).await)[0], ("meta_error", "withdrawn"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_records_what_was_said_elsewhere_with_its_wording() {
    let app = TestApp::spawn().await;
    says(&app, "wamid.hello", "Hallo").await;
    let path = path(&app).await;
    let put = async |key: &str, body: Value| {
        let answer = app.api_as(key, Method::PUT, &path).json(&body).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    };
    let granted = json!({ "purpose": "marketing", "state": "granted", "wording": "Ja, ich will Post.", "occurred_at": "2026-01-02T03:04:05Z" });
    assert_eq!(put(&app.key, granted.clone()).await.0, StatusCode::NO_CONTENT);
    let now = consent(&app).await;
    assert_eq!(now["channels"][0]["marketing"], "granted");
    let entry = &now["history"][0];
    assert_eq!(
        (&entry["wording"], &entry["occurred_at"]),
        (&json!("Ja, ich will Post."), &json!("2026-01-02T03:04:05Z"))
    );

    let wrong = json!({ "purpose": "no spam", "state": "maybe", "channel_id": "0193b0a0-0000-7000-8000-000000000000" });
    let (status, problem) = put(&app.key, wrong).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem.contains("/purpose") && problem.contains("/state"), "{problem}");
    let reader = api_key_for(
        &app.gateway,
        Powers::Scopes([Permission::ContactsRead].into_iter().collect()),
        Sight { class: FieldClass::Personal, unmasked: true },
    )
    .await;
    assert_eq!(put(&reader, granted).await.0, StatusCode::FORBIDDEN);
    let seen: Value = app.api_as(&reader, Method::GET, &path).send().await.unwrap().json().await.unwrap();
    assert_eq!((&seen["history"][0]["wording"], &seen["history"][0]["state"]), (&json!(null), &json!("granted")));
    let unknown = path.replace(&path[13..49], "0193b0a0-0000-7000-8000-000000000000");
    assert_eq!(app.api(Method::GET, &unknown).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_through_metas_door_for_marketing_needs_consent_whatever_is_known_of_its_template() {
    let clock = std::sync::Arc::new(waxseal::clock::SystemClock);
    let app = TestApp::spawn_with(clock, &[("WAXSEAL_SEND__CHECK_TEMPLATES", "false")]).await;
    says(&app, "wamid.stop", "Abbestellen").await;
    let template = json!({ "name": "of_nobody", "language": { "code": "de" } });
    let message = json!({ "messaging_product": "whatsapp", "to": ANA, "type": "template", "template": template });
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/marketing_messages");
    let answer = app.api(Method::POST, &path).json(&message).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], 131_050);
    assert_eq!(app.control(Method::GET, "ledger", json!(null)).await["requests"], 0, "Meta was not asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_to_whatever_purpose_is_kept_with_its_source_and_wording_and_stands_beside_marketing() {
    let app = TestApp::spawn().await;
    says(&app, "wamid.hello", "Hallo").await;
    let path = path(&app).await;
    let put = async |body: Value| app.api(Method::PUT, &path).json(&body).send().await.unwrap();
    let granted = json!({ "purpose": "order_updates", "state": "granted", "source": "web_form", "wording": "Ja, per WhatsApp",
                          "wording_version": "2026-03", "occurred_at": "2026-01-02T03:04:05Z" });
    assert_eq!(put(granted).await.status(), StatusCode::NO_CONTENT);
    let now = consent(&app).await;
    assert_eq!(now["channels"][0]["purposes"], json!({ "order_updates": "granted" }));
    assert_eq!(now["channels"][0]["marketing"], "unknown", "one purpose says nothing of another");
    let entry = &now["history"][0];
    assert_eq!((&entry["source"], &entry["wording_version"]), (&json!("web_form"), &json!("2026-03")));
    assert_eq!(
        (&entry["wording"], &entry["occurred_at"]),
        (&json!("Ja, per WhatsApp"), &json!("2026-01-02T03:04:05Z"))
    );
    let withdrawn = json!({ "purpose": "order_updates", "state": "withdrawn", "source": "phone" });
    assert_eq!(put(withdrawn).await.status(), StatusCode::NO_CONTENT);
    says(&app, "wamid.start", "START").await;
    let now = consent(&app).await;
    assert_eq!(now["channels"][0]["purposes"], json!({ "marketing": "granted", "order_updates": "withdrawn" }));
    // By the time of saying, which Meta tells to the second.
    let mut all = told(&now);
    all.sort_unstable();
    assert_eq!(all, [("keyword", "granted"), ("phone", "withdrawn"), ("web_form", "granted")]);
    let wrong =
        put(json!({ "purpose": "Order Updates", "state": "granted", "source": "keyword", "wording_version": "v 1" }))
            .await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let faults: Value = wrong.json().await.unwrap();
    let pointers: Vec<&Value> = faults["errors"].as_array().unwrap().iter().map(|fault| &fault["pointer"]).collect();
    assert_eq!(pointers, ["/purpose", "/source", "/wording_version"]);
}
