//! Promise: a message that is handed over for later goes out at its time and not before, whatever happens to the gateway meanwhile.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

fn text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap()
}

async fn queue(app: &TestApp, more: Value) -> Value {
    let mut body = json!({ "channel_id": app.channel().await, "message": {
        "to": "4915199900011", "type": "text", "text": { "body": "x" } } });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap().json().await.unwrap()
}

async fn shown(app: &TestApp, queued: &Value) -> Value {
    app.get(&format!("/v1/messages/{}", queued["id"].as_str().unwrap())).await
}

async fn until_sent(app: &TestApp, queued: &Value) {
    until("it is sent", PATIENCE, async || {
        ["sent", "delivered", "read"].contains(&shown(app, queued).await["state"].as_str().unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_waits_for_its_time_through_a_restart_while_others_go_out() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let at = clock.now() + Duration::HOUR;
    let later = queue(&app, json!({ "send_at": text(at) })).await;
    clock.advance(Duration::minutes(59));
    until_sent(&app, &queue(&app, json!({})).await).await;
    let waiting = shown(&app, &later).await;
    assert_eq!((&waiting["state"], &waiting["queue"]["position"]), (&json!("queued"), &json!(0)));
    let estimated = OffsetDateTime::parse(waiting["queue"]["estimated_send_at"].as_str().unwrap(), &Rfc3339).unwrap();
    assert!((estimated - at).abs() < Duration::SECOND, "{waiting}");

    let TestApp { gateway, database, .. } = app;
    gateway.shutdown().await;
    let app = TestApp::spawn_on(database, clock.clone(), &[]).await;
    until_sent(&app, &queue(&app, json!({})).await).await;
    assert_eq!(shown(&app, &later).await["state"], "queued");
    clock.advance(Duration::minutes(2));
    until_sent(&app, &later).await;
    assert_eq!(shown(&app, &later).await["queue"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_knows_its_place_behind_what_is_more_urgent_and_what_came_before() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let at = text(clock.now() + Duration::HOUR);
    let terms = |priority: &str| json!({ "send_at": at, "priority": priority });
    let bulk = queue(&app, terms("bulk")).await;
    let (first, second) = (queue(&app, terms("normal")).await, queue(&app, terms("normal")).await);
    let urgent = queue(&app, terms("high")).await;
    let tomorrow = json!({ "send_at": text(clock.now() + Duration::DAY), "priority": "high" });
    queue(&app, tomorrow).await;
    for (message, position, priority) in
        [(&urgent, 0, "high"), (&first, 1, "normal"), (&second, 2, "normal"), (&bulk, 3, "bulk")]
    {
        let shown = shown(&app, message).await;
        assert_eq!((&shown["queue"]["position"], &shown["priority"]), (&json!(position), &json!(priority)), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_when_and_how_are_told_with_those_of_the_message() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let told = async |more: Value| -> Vec<String> {
        let problem = queue(&app, more).await;
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}"));
        errors.iter().map(|one| one["pointer"].as_str().unwrap().to_owned()).collect()
    };
    let ahead = |days| text(clock.now() + Duration::days(days));
    let faulty = json!({
        "message": { "to": "4915199900011", "type": "text", "text": { "body": "" } },
        "fallback_template": { "to": "4915199900011", "type": "template", "template": { "name": "a" } },
        "send_at": ahead(31), "expires_at": ahead(30), "priority": "urgent", "on_doubt": 7,
    });
    let mut pointers = told(faulty).await;
    pointers.sort();
    let expected = [
        "/expires_at",
        "/fallback_template/template/language",
        "/fallback_template/to",
        "/message/text/body",
        "/on_doubt",
        "/priority",
        "/send_at",
    ];
    assert_eq!(pointers, expected);
    assert_eq!(told(json!({ "send_at": "tomorrow" })).await, ["/send_at"]);
    assert_eq!(told(json!({ "expires_at": text(clock.now()) })).await, ["/expires_at"]);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM message").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_for_a_message_is_kept_sealed() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    // Meta knows no template of this name.
    let app = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_SEND__CHECK_TEMPLATES", "false")]).await;
    let fallback = json!({ "type": "template", "template": { "name": "canary_name", "language": { "code": "de" } } });
    let expires_at = text(clock.now() + Duration::DAY);
    let terms = json!({ "fallback_template": fallback, "send_at": text(clock.now() + Duration::HOUR),
                        "expires_at": expires_at, "on_doubt": "resend" });
    let message = shown(&app, &queue(&app, terms).await).await;
    assert_eq!(message["state"], "queued", "{message}");
    let ends = OffsetDateTime::parse(message["expires_at"].as_str().unwrap(), &Rfc3339).unwrap();
    assert!((ends - (clock.now() + Duration::DAY)).abs() < Duration::SECOND);
    let kept = "SELECT count(*) FROM message WHERE fallback IS NOT NULL AND on_doubt = 'resend'
                AND position('canary'::bytea in fallback::bytea) = 0";
    assert_eq!(database::count(&app.database, kept).await, 1);
}
