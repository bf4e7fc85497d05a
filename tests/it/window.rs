//! Promise: within a day of their last message a person can be written to freely, and after it nothing is sent that Meta would refuse.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};
use waxseal::clock::Clock;

use crate::support::app::PHONE_NUMBER_ID;
use crate::support::receiver::Received;
use crate::support::{TestApp, webhook};

const ANA: &str = "4915199900011";
const BEN: &str = "4915199900022";

/// An element of `messages[]` of this moment.
fn said_at(from: &str, wamid: &str, at: OffsetDateTime, more: &Value) -> Value {
    let mut item = webhook::text_item(from, wamid, "Hallo");
    item["timestamp"] = json!(at.unix_timestamp().to_string());
    item.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item
}

async fn says(app: &TestApp, from: &str, wamid: &str, at: OffsetDateTime, more: Value) {
    let body = webhook::messages(json!({
        "contacts": [{ "profile": { "name": "Ana Beispiel" }, "wa_id": from }],
        "messages": [said_at(from, wamid, at, &more)],
    }));
    assert_eq!(app.webhook(body).await, StatusCode::OK);
}

fn text(to: &str) -> Value {
    json!({ "messaging_product": "whatsapp", "to": to, "type": "text", "text": { "body": "Moin" } })
}

/// Status and code of the refusal.
async fn send(app: &TestApp, message: Value) -> (StatusCode, Value) {
    let body = json!({ "channel_id": app.channel().await, "message": message });
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    let status = answer.status();
    (status, answer.json::<Value>().await.unwrap()["code"].clone())
}

/// The window of the only contact with the only channel.
async fn window(app: &TestApp) -> Value {
    let contacts = app.get("/v1/contacts").await;
    let contact = contacts["data"][0]["id"].as_str().unwrap().to_owned();
    app.get(&format!("/v1/contacts/{contact}/window")).await["channels"][0].clone()
}

fn end(window: &Value) -> i64 {
    let text = window["expires_at"].as_str().unwrap();
    OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap().unix_timestamp()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_after_their_last_message_a_person_gets_templates_alone() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    says(&app, ANA, "wamid.w1", clock.now(), json!({})).await;
    assert_eq!(window(&app).await["open"], true);
    assert_eq!(send(&app, text(ANA)).await.0, StatusCode::ACCEPTED);
    // What waits for a day is asked about again.
    app.control(Method::GET, "ledger?messages=1&wait_ms=60000", json!(null)).await;

    clock.advance(Duration::hours(25));
    assert_eq!(window(&app).await["open"], false);
    assert_eq!(send(&app, text(ANA)).await, (StatusCode::UNPROCESSABLE_ENTITY, json!("window_closed")));
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
    let answer = app.api(Method::POST, &path).json(&text(ANA)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let refusal: Value = answer.json().await.unwrap();
    assert_eq!((&refusal["error"]["code"], &refusal["error"]["type"]), (&json!(131_047), &json!("OAuthException")));
    assert_eq!(refusal["error"]["error_data"]["messaging_product"], "whatsapp", "{refusal}");

    let template = json!({ "to": ANA, "type": "template", "template": { "name": "hello_world", "language": { "code": "en_US" } } });
    assert_eq!(send(&app, template).await.0, StatusCode::ACCEPTED);
    let receipt = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": "wamid.w1" });
    assert_eq!(app.api(Method::POST, &path).json(&receipt).send().await.unwrap().status(), StatusCode::OK);
    let ledger = app.control(Method::GET, "ledger?messages=2&wait_ms=10000", json!(null)).await;
    assert_eq!(ledger["messages"].as_array().unwrap().len(), 2, "the first text and the template: {ledger}");
    says(&app, ANA, "wamid.w2", clock.now(), json!({})).await;
    assert_eq!(send(&app, text(ANA)).await.0, StatusCode::ACCEPTED, "they wrote again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_told_to_end_at_most_a_minute_early_however_much_is_said() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let begin = clock.now() - Duration::minutes(5);
    for (number, second) in [0_i64, 20, 45, 60, 61, 100, 130].into_iter().enumerate() {
        let at = begin + Duration::seconds(second);
        says(&app, ANA, &format!("wamid.g{number}"), at, json!({})).await;
        let true_end = (at + Duration::hours(24)).unix_timestamp();
        let told = end(&window(&app).await);
        assert!((0..=60).contains(&(true_end - told)), "{second}: {told} for {true_end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_was_given_along_goes_in_the_place_of_what_is_too_late() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    says(&app, ANA, "wamid.f1", clock.now(), json!({})).await;
    clock.advance(Duration::hours(25));
    let fallback =
        json!({ "type": "template", "template": { "name": "hello_world", "language": { "code": "en_US" } } });
    let body = json!({ "channel_id": app.channel().await, "message": text(ANA), "fallback_template": fallback });
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
    let ledger = app.control(Method::GET, "ledger?messages=1&wait_ms=20000", json!(null)).await;
    assert_eq!(
        (&ledger["messages"][0]["type"], &ledger["messages"][0]["to"]),
        (&json!("template"), &json!(ANA)),
        "{ledger}"
    );
    // Of a batch, those that may go are sent, and the others are told why not.
    let plain = json!({ "channel_id": app.channel().await, "message": text(ANA) });
    let answer =
        app.api(Method::POST, "/v1/messages/batch").json(&json!({ "messages": [plain, body] })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let told: Value = answer.json().await.unwrap();
    assert_eq!(
        (&told["data"][0]["problem"]["code"], &told["data"][1]["state"]),
        (&json!("window_closed"), &json!("queued")),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_wrote_is_refused_where_the_operator_says_so() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    clock.advance(Duration::days(3));
    assert_eq!(send(&app, text(BEN)).await.0, StatusCode::ACCEPTED, "they may have written before there was a gateway");
    let strict = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_SEND__CHECK_WINDOW", "strict")]).await;
    assert_eq!(send(&strict, text(BEN)).await, (StatusCode::UNPROCESSABLE_ENTITY, json!("window_closed")));
    let off = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_SEND__CHECK_WINDOW", "off")]).await;
    says(&off, ANA, "wamid.old", clock.now() - Duration::days(2), json!({})).await;
    clock.advance(Duration::days(2));
    assert_eq!(send(&off, text(ANA)).await.0, StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_time_of_meta_counts_whatever_the_order_and_however_often() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let now = clock.now();
    says(&app, ANA, "wamid.new", now - Duration::hours(1), json!({})).await;
    says(&app, ANA, "wamid.old", now - Duration::hours(20), json!({})).await;
    says(&app, ANA, "wamid.new", now - Duration::hours(1), json!({})).await;
    let closes = (now + Duration::hours(23)).unix_timestamp();
    assert_eq!(end(&window(&app).await), closes);

    // A status, an echo, a message of a group and one out of a history are no message of theirs to us.
    let status = webhook::messages(json!({ "statuses": [webhook::status_item(ANA, "wamid.out", "delivered")] }));
    assert_eq!(app.webhook(status).await, StatusCode::OK);
    says(&app, ANA, "wamid.group", now, json!({ "group_id": "Y2FwaV9ncm91cA" })).await;
    let metadata = json!({ "display_phone_number": "15550001234", "phone_number_id": PHONE_NUMBER_ID });
    let past = json!({ "messaging_product": "whatsapp", "metadata": metadata, "history": [{ "metadata": { "phase": 0, "chunk_order": 1, "progress": 100 },
        "threads": [{ "id": ANA, "messages": [said_at(ANA, "wamid.past", now, &json!({ "history_context": { "status": "READ" } }))] }] }] });
    app.control(Method::POST, "webhook", json!({ "field": "history", "value": past })).await;
    let echo = json!({ "messaging_product": "whatsapp", "metadata": metadata, "message_echoes": [
        { "from": "15550001234", "to": ANA, "id": "wamid.echo", "timestamp": now.unix_timestamp().to_string(), "type": "text", "text": { "body": "x" } }] });
    app.control(Method::POST, "webhook", json!({ "field": "smb_message_echoes", "value": echo })).await;
    assert_eq!(end(&window(&app).await), closes);

    // A call is one, and a message that came from an ad opens it for three days.
    let call = json!({ "messaging_product": "whatsapp", "metadata": metadata, "calls": [{ "id": "wacid.1", "from": ANA, "to": "15550001234",
        "event": "connect", "timestamp": now.unix_timestamp().to_string(), "direction": "USER_INITIATED" }] });
    app.control(Method::POST, "webhook", json!({ "field": "calls", "value": call })).await;
    assert_eq!(end(&window(&app).await), (now + Duration::hours(24)).unix_timestamp());
    says(
        &app,
        ANA,
        "wamid.ad",
        now - Duration::hours(2),
        json!({ "referral": { "source_type": "ad", "source_id": "1" } }),
    )
    .await;
    assert_eq!(end(&window(&app).await), (now + Duration::hours(70)).unix_timestamp());
    // Nobody writes in the future.
    says(&app, ANA, "wamid.future", now + Duration::days(900), json!({})).await;
    assert_eq!(end(&window(&app).await), (now + Duration::hours(70)).unix_timestamp());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_told_of_once_before_it_closes() {
    let clock = std::sync::Arc::new(waxseal::clock::ManualClock::new(waxseal::clock::SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_SEND__WINDOW_CLOSING_MINUTES", "60")]).await;
    let receiver = crate::support::Receiver::start().await;
    says(&app, ANA, "wamid.c1", clock.now(), json!({})).await;
    app.endpoint(&receiver, "standard").await;
    clock.advance(Duration::minutes(23 * 60 + 5));
    let first = receiver.wait_for(1).await;
    let event = first[0].json();
    assert_eq!(event["type"], "window.closing", "{event}");
    let closes = window(&app).await["expires_at"].clone();
    assert_eq!(event["data"]["item"]["closes_at"], closes, "{event}");
    // They write again: the next window is another. Had the first been told of twice, it would come before.
    says(&app, ANA, "wamid.c2", clock.now(), json!({})).await;
    clock.advance(Duration::minutes(23 * 60 + 5));
    let all: Vec<Value> = receiver.wait_for(3).await.iter().map(Received::json).collect();
    let closing: Vec<&Value> = all.iter().filter(|one| one["type"] == "window.closing").collect();
    assert_eq!(closing.len(), 2, "{all:?}");
    assert_ne!(closing[0]["data"]["item"]["closes_at"], closing[1]["data"]["item"]["closes_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_on_one_database_tell_of_each_window_once() {
    const PEOPLE: usize = 12;
    let clock = std::sync::Arc::new(waxseal::clock::ManualClock::new(waxseal::clock::SystemClock.now()));
    let closing = [("WAXSEAL_SEND__WINDOW_CLOSING_MINUTES", "60")];
    let app = TestApp::spawn_with(clock.clone(), &closing).await;
    let other = TestApp::spawn_on(app.database.clone(), clock.clone(), &closing).await;
    for number in 0..PEOPLE {
        let who = format!("49151999001{number:02}");
        says(&app, &who, &format!("wamid.two.{number}"), clock.now(), json!({})).await;
    }
    let receiver = crate::support::Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    clock.advance(Duration::minutes(23 * 60 + 5));
    let told = receiver.wait_for(PEOPLE).await;
    assert!(told.iter().all(|one| one.json()["type"] == "window.closing"));
    // Had one been told of twice, it would come before what is received now.
    says(&other, ANA, "wamid.two.last", clock.now(), json!({})).await;
    let all: Vec<Value> = receiver.wait_for(PEOPLE + 1).await.iter().map(Received::json).collect();
    assert_eq!(all[PEOPLE]["type"], "message.received", "{all:?}");
    let people: std::collections::HashSet<String> =
        all[..PEOPLE].iter().map(|one| one["data"]["contact_id"].to_string()).collect();
    assert_eq!(people.len(), PEOPLE);
    let events = "SELECT count(*) FROM event WHERE type = 'window.closing'";
    assert_eq!(crate::support::database::count(&app.database, events).await, i64::try_from(PEOPLE).unwrap());
}
