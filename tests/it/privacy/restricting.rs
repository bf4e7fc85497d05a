//! What is restricted is kept and not used; what is wrong is put right.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{Permission, Permissions, Sight};

use super::{ANA, BOB, contact_of, erased, says, sends, traces};
use crate::support::app::{api_key_for, api_key_with};
use crate::support::receiver::Received;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

async fn status(app: &TestApp, key: &str, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = app.api_as(key, method, path);
    let request = match body {
        Some(body) => request.json(&body),
        None => request,
    };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restricted_is_stored_and_neither_delivered_sent_nor_read_in_the_ordinary_way() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    says(&app, ANA, "wamid.restrict.1", "Vorher").await;
    says(&app, BOB, "wamid.restrict.2", "Hallo").await;
    database::settled(&app.database).await;
    let endpoint = app.endpoint(&receiver, "standard").await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let channel = app.channel().await;
    let text = |to: &str| json!({ "channel_id": channel, "message": { "to": to, "type": "text", "text": { "body": "Antwort" } } });
    let mut later = text(ANA);
    let ahead = time::OffsetDateTime::now_utc() + time::Duration::days(2);
    later["send_at"] = json!(ahead.format(&time::format_description::well_known::Rfc3339).unwrap());
    let waiting = sends(&app, later).await;

    let path = format!("/v1/contacts/{ana}/restriction");
    let reader = api_key_with(&app.gateway, Permissions::from_iter([Permission::ContactsRead])).await;
    let reason = json!({ "reason": "Ana bestreitet, dass das stimmt" });
    assert_eq!(status(&app, &reader, Method::PUT, &path, Some(reason.clone())).await.0, StatusCode::FORBIDDEN);
    assert_eq!(status(&app, &app.key, Method::PUT, &path, Some(json!({}))).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(status(&app, &app.key, Method::PUT, &path, Some(reason.clone())).await.0, StatusCode::NO_CONTENT);
    assert_eq!(status(&app, &app.key, Method::PUT, &path, Some(reason)).await.0, StatusCode::NO_CONTENT, "again");
    app.directory_is_read().await;

    assert_eq!(app.get(&format!("/v1/messages/{waiting}")).await["state"], "cancelled");
    says(&app, ANA, "wamid.restrict.3", "qcanaryMeanwhile").await;
    says(&app, BOB, "wamid.restrict.4", "Und noch etwas").await;
    let delivered = receiver.wait_for(1).await;
    let texts = |all: &[Received]| all.iter().map(|one| one.json().to_string()).collect::<Vec<_>>().join("\n");
    assert!(texts(&delivered).contains("Und noch etwas"), "others are delivered on");
    let (refused, problem) = status(&app, &app.key, Method::POST, "/v1/messages", Some(text(ANA))).await;
    assert_eq!((refused, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("contact_restricted")));
    let number = crate::support::app::PHONE_NUMBER_ID;
    let body = json!({ "messaging_product": "whatsapp", "to": ANA, "type": "text", "text": { "body": "x" } });
    let (refused, problem) =
        status(&app, &app.key, Method::POST, &format!("/graph/v25.0/{number}/messages"), Some(body)).await;
    assert_eq!((refused, &problem["error"]["code"]), (StatusCode::BAD_REQUEST, &json!(131_026)));
    sends(&app, text(BOB)).await;

    let ordinary: Permissions = Permissions::admin().iter().filter(|one| *one != Permission::HeldRead).collect();
    let ordinary = api_key_for(&app.gateway, Powers::Scopes(ordinary), Sight::FULL).await;
    let one = format!("/v1/contacts/{ana}/messages");
    let (refused, problem) = status(&app, &ordinary, Method::GET, &one, None).await;
    assert_eq!((refused, &problem["code"]), (StatusCode::FORBIDDEN, &json!("contact_held")));
    let (_, listed) = status(&app, &ordinary, Method::GET, "/v1/events?limit=200", None).await;
    assert!(!listed.to_string().contains("qcanaryMeanwhile") && listed.to_string().contains("Und noch etwas"));
    assert!(app.get(&one).await.to_string().contains("qcanaryMeanwhile"), "it is stored");
    let listed = app.get("/v1/privacy/restrictions").await;
    assert_eq!(
        (&listed["data"][0]["contact_id"], &listed["data"][0]["reason"]),
        (&json!(ana), &json!("Ana bestreitet, dass das stimmt"))
    );
    assert_eq!(status(&app, &ordinary, Method::GET, "/v1/privacy/restrictions", None).await.0, StatusCode::FORBIDDEN);

    assert_eq!(status(&app, &app.key, Method::DELETE, &path, None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(status(&app, &app.key, Method::DELETE, &path, None).await.0, StatusCode::NOT_FOUND);
    app.directory_is_read().await;
    says(&app, ANA, "wamid.restrict.5", "Nachher").await;
    until("what comes after is delivered", PATIENCE, async || texts(&receiver.received()).contains("Nachher")).await;
    assert!(!texts(&receiver.received()).contains("qcanaryMeanwhile"));
    let id = endpoint["id"].as_str().unwrap();
    let replay = json!({ "since": "2026-01-01T00:00:00Z", "contact_id": ana, "event_types": ["message.received"] });
    let (begun, told) =
        status(&app, &app.key, Method::POST, &format!("/v1/endpoints/{id}/replays"), Some(replay)).await;
    assert!(begun.is_success(), "{told}");
    until("a replay delivers it", PATIENCE, async || texts(&receiver.received()).contains("qcanaryMeanwhile")).await;
    sends(&app, text(ANA)).await;
    let actions = "SELECT string_agg(action, ',' ORDER BY entry_id) FROM audit_entry WHERE action LIKE '%restrict%'";
    let expected = "contact.restricted,contact.restricted,restrictions.read,restriction.lifted";
    assert_eq!(database::text(&app.database, actions).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_goes_with_the_person() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.goes.1", "Moin").await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let path = format!("/v1/contacts/{ana}/restriction");
    let put = status(&app, &app.key, Method::PUT, &path, Some(json!({ "reason": "x" }))).await;
    assert_eq!(put.0, StatusCode::NO_CONTENT);
    let done = erased(&app, ANA).await;
    assert_eq!((&done["removed"]["restriction"], traces(&app.database, &ana).await), (&json!(1), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_put_right_and_stays_until_meta_shows_another() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    says(&app, ANA, "wamid.name.1", "Moin").await;
    database::settled(&app.database).await;
    app.endpoint(&receiver, "standard").await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let path = format!("/v1/contacts/{ana}");
    let reader = api_key_with(&app.gateway, Permissions::from_iter([Permission::ContactsRead])).await;
    let right = json!({ "name": "Anna Beispiel-Richtig" });
    assert_eq!(status(&app, &reader, Method::PATCH, &path, Some(right.clone())).await.0, StatusCode::FORBIDDEN);
    let (faulty, problem) =
        status(&app, &app.key, Method::PATCH, &path, Some(json!({ "name": "", "phone": "1" }))).await;
    assert_eq!((faulty, problem["errors"].as_array().unwrap().len()), (StatusCode::UNPROCESSABLE_ENTITY, 2));
    assert_eq!(status(&app, &app.key, Method::PATCH, &path, Some(right)).await.0, StatusCode::NO_CONTENT);
    let contact = app.get(&path).await;
    assert_eq!((&contact["name"], &contact["phone"]), (&json!("Anna Beispiel-Richtig"), &json!(ANA)));
    let told = receiver.wait_for(1).await;
    let told = told[0].json();
    assert_eq!((&told["type"], &told["data"]["item"]["corrected"]), (&json!("contact.changed"), &json!(["name"])));
    assert!(!told.to_string().contains("Richtig"), "it is fetched by who may see it: {told}");

    says(&app, ANA, "wamid.name.2", "Nochmal").await;
    database::settled(&app.database).await;
    assert_eq!(app.get(&path).await["name"], "Anna Beispiel-Richtig", "Meta says nothing new");
    assert_eq!(
        status(&app, &app.key, Method::PATCH, &path, Some(json!({ "name": null }))).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(app.get(&path).await["name"], json!(null));
    let entries = "SELECT count(*) FROM audit_entry WHERE action = 'contact.corrected'";
    assert_eq!(database::count(&app.database, entries).await, 2);
    let stored = "SELECT count(*) FROM contact WHERE encode(profile, 'escape') LIKE '%Richtig%'";
    assert_eq!(database::count(&app.database, stored).await, 0);
}
