//! Promise: what Meta says of a number is known here, and whoever has to know is told when it changes and before its token fails.

use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

async fn facts(app: &TestApp) -> Value {
    let path = format!("/v1/channels/{}/status", app.channel().await);
    app.get(&path).await["facts"].clone()
}

/// Meta says that something about the number changed.
async fn meta_calls(app: &TestApp) {
    let value = json!({ "display_phone_number": "15550001234", "event": "FLAGGED", "current_limit": "TIER_2K" });
    app.control(Method::POST, "webhook", json!({ "field": "phone_number_quality_update", "value": value })).await;
}

/// What the only event of this type says.
async fn told(receiver: &Receiver, event_type: &str) -> Value {
    let of_type = || {
        receiver
            .received()
            .into_iter()
            .map(|one| one.json())
            .filter(|one| one["type"] == event_type)
            .collect::<Vec<_>>()
    };
    until(event_type, PATIENCE, async || !of_type().is_empty()).await;
    let events = of_type();
    assert_eq!(events.len(), 1, "{events:?}");
    events[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_a_number_is_an_event_with_what_was_and_what_is() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    until("the number is known", PATIENCE, async || facts(&app).await["quality_rating"] == "GREEN").await;
    let known = facts(&app).await;
    assert_eq!(
        (&known["throughput"], &known["health"], &known["token_valid"]),
        (&json!("STANDARD"), &json!("AVAILABLE"), &json!(true))
    );
    let pace = "SELECT messages_per_second::int8 FROM channel";
    assert_eq!(database::count(&app.database, pace).await, 80);
    let level = json!({ "level": "HIGH" });
    let change = json!({ "number": { "quality_rating": "RED", "verified_name": "Andere Firma", "throughput": level } });
    app.control(Method::PUT, "number", change).await;
    meta_calls(&app).await;
    let event = told(&receiver, "channel.changed").await;
    let changes = &event["data"]["item"]["changes"];
    assert_eq!(changes["quality_rating"], json!({ "old": "GREEN", "new": "RED" }), "{event}");
    assert_eq!(changes["verified_name"], json!({ "old": "Simulated Business", "new": "Andere Firma" }));
    assert_eq!(database::count(&app.database, pace).await, 1000, "the lane goes as fast as Meta lets it now");
    assert_eq!(event["data"]["channel_id"], app.channel().await.as_str());
    assert_eq!(facts(&app).await["verified_name"], "Andere Firma");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_soon_or_lacks_a_permission_is_told_of_before_it_hurts() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    until("the number is known", PATIENCE, async || facts(&app).await["token_valid"] == true).await;
    let soon = OffsetDateTime::now_utc().unix_timestamp() + 3 * 86_400;
    app.control(
        Method::PUT,
        "number",
        json!({ "token": { "expires_at": soon, "scopes": ["whatsapp_business_messaging"] } }),
    )
    .await;
    meta_calls(&app).await;
    let event = told(&receiver, "channel.token_expiring").await;
    let item = &event["data"]["item"];
    assert_eq!(
        (&item["reason"], &item["missing_scopes"]),
        (&json!("missing_scopes"), &json!(["whatsapp_business_management"])),
        "{event}"
    );
    assert!(item["expires_at"].is_string(), "{event}");
    let url = format!("http://{}/readyz", app.at.admin);
    let ready: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(ready["warnings"], json!([{ "name": "token_missing_scopes", "count": 1 }]), "{ready}");
    assert_eq!(ready["ready"], true);
}
