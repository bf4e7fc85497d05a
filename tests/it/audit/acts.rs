//! What changes something has its entry, and what cannot be recorded does not happen.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{Permission, Sight};
use waxseal::domain::field_class::FieldClass;

use super::{ANA, listed, proof, scene};
use crate::support::app::api_key_for;
use crate::support::events::Stream;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, app, database};

const AWAY: &str = "ALTER TABLE audit_entry RENAME TO audit_entry_away";
const BACK: &str = "ALTER TABLE audit_entry_away RENAME TO audit_entry";

async fn post(app: &TestApp, path: &str, body: &Value) -> StatusCode {
    app.api(Method::POST, path).json(body).send().await.unwrap().status()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_somebody_known_is_found_by_whom_it_was_for() {
    let app = scene().await;
    let contacts = app.get("/v1/contacts").await["data"].clone();
    let channel = app.channel().await;
    let to = |number: &str| json!({ "to": number, "type": "text", "text": { "body": "Moin" } });
    let message = |number: &str| json!({ "channel_id": channel, "message": to(number) });
    for number in [ANA, "4915199900099"] {
        assert_eq!(post(&app, "/v1/messages", &message(number)).await, StatusCode::ACCEPTED);
    }
    let mirror = format!("/graph/v25.0/{}/messages", app::PHONE_NUMBER_ID);
    assert_eq!(post(&app, &mirror, &to(ANA)).await, StatusCode::OK);
    let sent = listed(&app, "&action=message.sent").await;
    let subjects: Vec<&Value> = sent.iter().rev().map(|one| &one["said"]["subjects"]).collect();
    assert_eq!(subjects, [&json!(1), &json!(0), &json!(1)]);
    let mut found = 0;
    for contact in contacts.as_array().unwrap() {
        let id = contact["id"].as_str().unwrap();
        found += listed(&app, &format!("&action=message.sent&contact_id={id}")).await.len();
    }
    assert_eq!(found, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_stored_with_its_entry_or_not_at_all_and_no_refusal_is_told_without_one() {
    let app = scene().await;
    let text = |body: &str| json!({ "to": ANA, "type": "text", "text": { "body": body } });
    let channel = app.channel().await;
    let order = |body: &str| json!({ "channel_id": channel, "message": text(body) });
    let keyed = async |body: &str| {
        let request = app.api(Method::POST, "/v1/messages").header("idempotency-key", "k").json(&order(body));
        request.send().await.unwrap().status()
    };
    let entries = async || listed(&app, "&action=message.sent").await.len();
    // Taken, taken before, and refused for the key: each is told of.
    assert_eq!([keyed("a").await, keyed("a").await, keyed("b").await], [202, 202, 422]);
    assert_eq!(entries().await, 3);
    let messages = "SELECT count(*) FROM message";
    assert_eq!(database::count(&app.database, messages).await, 1);
    database::sabotage(&app.database, AWAY).await;
    let batch = json!({ "messages": [order("c"), order("d")] });
    let mirror = format!("/graph/v25.0/{}/messages", app::PHONE_NUMBER_ID);
    let read = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": "wamid.canary" });
    for (path, body) in [
        ("/v1/messages", order("c")),
        ("/v1/messages", order("")),
        ("/v1/messages/batch", batch),
        (mirror.as_str(), text("c")),
        (mirror.as_str(), text("")),
        (mirror.as_str(), read),
    ] {
        assert!(post(&app, path, &body).await.is_server_error(), "{path} {body}");
    }
    assert!(keyed("b").await.is_server_error());
    database::sabotage(&app.database, BACK).await;
    assert_eq!((database::count(&app.database, messages).await, entries().await), (1, 3));
}

/// A caller that is told "not stored" sends again, and twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_mirror_that_may_have_been_sent_is_in_doubt_whatever_becomes_of_the_log_meanwhile() {
    let app = scene().await;
    let lost = json!({ "messages": { "delay_ms": 3000, "connection": "lost_answer" }, "times": 1 });
    app.control(Method::PUT, "faults", lost).await;
    let mirror = format!("/graph/v25.0/{}/messages", app::PHONE_NUMBER_ID);
    let text = json!({ "to": ANA, "type": "text", "text": { "body": "Moin" } });
    let (status, ()) = tokio::join!(post(&app, &mirror, &text), async {
        let reached = async || app.control(Method::GET, "faults", Value::Null).await["times"] == 0;
        until("it is at Meta", PATIENCE, reached).await;
        database::sabotage(&app.database, AWAY).await;
    });
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    database::sabotage(&app.database, BACK).await;
    assert_eq!(listed(&app, "&action=message.sent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_of_an_endpoint_leaves_an_entry_and_is_not_sent_without() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let made = app.endpoint(&receiver, "standard").await;
    let test = format!("/v1/endpoints/{}/test", made["id"].as_str().unwrap());
    assert_eq!(post(&app, &test, &json!({})).await, StatusCode::OK);
    let told = listed(&app, "&action=endpoint.tested").await;
    assert_eq!((told.len(), &told[0]["said"]["object_id"]), (1, &made["id"]));
    database::sabotage(&app.database, AWAY).await;
    assert_eq!(post(&app, &test, &json!({})).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_locked_and_not_taken_back_without_its_entry() {
    let app = scene().await;
    let body = json!({ "name": "x", "permissions": ["contacts:read"], "contacts_per_hour": 1 });
    let made: Value = app.api(Method::POST, "/v1/keys").json(&body).send().await.unwrap().json().await.unwrap();
    let key = made["key"].as_str().unwrap();
    let read = async || app.api_as(key, Method::GET, "/v1/contacts").send().await.unwrap().status();
    let report = async || {
        let answer = app.without_key(Method::POST, "/v1/keys/report").json(&json!({ "key": key })).send();
        answer.await.unwrap().status()
    };
    database::sabotage(&app.database, AWAY).await;
    assert!(read().await.is_server_error() && report().await.is_server_error());
    let valid = "SELECT count(*) FROM api_key WHERE name = 'x' AND locked_at IS NULL AND revoked_at IS NULL";
    assert_eq!(database::count(&app.database, valid).await, 1);
    database::sabotage(&app.database, BACK).await;
    assert_eq!((read().await, report().await), (StatusCode::TOO_MANY_REQUESTS, StatusCode::ACCEPTED));
    for action in ["key.locked", "key.reported"] {
        assert_eq!(listed(&app, &format!("&action={action}")).await.len(), 1, "{action}");
    }
    assert_eq!(database::count(&app.database, valid).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sees_less_than_an_endpoint_does_not_get_its_secret() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let made = app.endpoint(&receiver, "standard").await;
    let rotate = format!("/v1/endpoints/{}/rotate-secret", made["id"].as_str().unwrap());
    let powers = || Powers::Scopes(std::iter::once(Permission::EndpointsManage).collect());
    for (class, unmasked, status) in [
        (FieldClass::Internal, false, StatusCode::FORBIDDEN),
        (FieldClass::Sensitive, false, StatusCode::FORBIDDEN),
        (FieldClass::Sensitive, true, StatusCode::OK),
    ] {
        let key = api_key_for(&app.gateway, powers(), Sight { class, unmasked }).await;
        let answer = app.api_as(&key, Method::POST, &rotate).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), status, "{class:?} {unmasked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_names_the_entry_of_each_batch() {
    let app = scene().await;
    let first = Stream::open(&app, "").await.next().await;
    let receipt = first.comments[0].strip_prefix("audit ").unwrap();
    assert!(proof(&app, receipt).await.starts_with("c2sp.org/tlog-proof@v1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_which_members_it_changes() {
    let app = TestApp::spawn().await;
    let environment = app::variables(&app.database, app.simulator.base_url());
    let verb = async |words: &[&str]| {
        let output = waxseal(words, &environment).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    verb(&["key", "create", "--name", "canary name", "--role", "agent", "--contacts-per-hour", "5"]).await;
    let made = listed(&app, "&action=key.created").await.remove(0);
    assert_eq!(made["said"]["actor"], "operator");
    assert_eq!(made["said"]["details"], json!(["contacts_per_hour", "expires_at", "name", "role"]));
    let receiver = Receiver::start().await;
    let endpoint = app.endpoint(&receiver, "standard").await;
    verb(&["endpoint", "pause", endpoint["id"].as_str().unwrap()]).await;
    assert_eq!(listed(&app, "&action=endpoint.changed").await[0]["said"]["details"], json!(["state"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_faulty_leaves_an_entry_by_whichever_way_it_comes() {
    let app = scene().await;
    let (channel, faulty) = (app.channel().await, json!({ "to": ANA, "type": "text", "text": { "body": "" } }));
    let order = json!({ "channel_id": channel, "message": faulty });
    let elsewhere = json!({ "channel_id": "01890000-0000-7000-8000-000000000000", "message": faulty });
    for (path, body) in [
        ("/v1/messages", order.clone()),
        ("/v1/messages", elsewhere),
        ("/v1/messages", json!([])),
        ("/v1/messages/batch", json!({ "messages": [order, order] })),
        ("/v1/messages/batch", json!({ "messages": 7 })),
    ] {
        let status = post(&app, path, &body).await;
        assert!(status.is_client_error(), "{path} {status}");
    }
    let told = listed(&app, "&action=message.sent").await;
    let counts: Vec<&Value> = told.iter().rev().map(|one| &one["said"]["count"]).collect();
    assert_eq!(counts, [&json!(1), &json!(1), &json!(1), &json!(2), &json!(1)], "{told:?}");
    let mirror = format!("/graph/v25.0/{}/messages", app::PHONE_NUMBER_ID);
    assert_eq!(post(&app, &mirror, &faulty).await, StatusCode::BAD_REQUEST);
    assert_eq!(listed(&app, "&action=message.sent").await.len(), 6);
}
