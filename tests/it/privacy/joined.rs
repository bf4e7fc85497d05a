//! What hangs on a person by other threads than their events: files that were handed over about them, what Meta says later, and what was
//! decided about somebody who turns out to be them.

use std::sync::Arc;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{Permission, Permissions, Sight};
use waxseal::clock::SystemClock;
use waxseal::simulator::{Ladder, Settings};

use super::{ANA, contact_of, erased, says, sends, traces};
use crate::support::app::ACCESS_TOKEN;
use crate::support::app::{api_key_for, api_key_with};
use crate::support::folder::Folder;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_handed_over_about_a_person_go_with_them_here_and_at_meta() {
    let folder = Folder::new();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    says(&app, ANA, "wamid.files.1", "Moin").await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let path = format!("/v1/media?contact_id={ana}");
    let handed = app.api(Method::POST, &path).header(CONTENT_TYPE, "image/png").body("pixels").send().await.unwrap();
    let file = handed.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let channel = app.channel().await;
    let image = json!({ "to": ANA, "type": "image", "image": { "id": file } });
    let sent = sends(&app, json!({ "channel_id": channel, "message": image })).await;
    until("it is read", PATIENCE, async || app.get(&format!("/v1/messages/{sent}")).await["state"] == "read").await;
    let ledger = app.control(Method::GET, "ledger?messages=1&wait_ms=60000", json!(null)).await;
    let meta_id = ledger["messages"][0]["body"]["image"]["id"].as_str().unwrap().to_owned();
    let at_meta = async || {
        let url = format!("{}/v25.0/{meta_id}", app.simulator.base_url());
        Client::new().get(url).bearer_auth(ACCESS_TOKEN).send().await.unwrap().status()
    };
    assert_eq!((at_meta().await, folder.files().len()), (StatusCode::OK, 1));

    let done = erased(&app, ANA).await;
    assert_eq!(done["removed"]["media"], 1, "{done}");
    assert_eq!(traces(&app.database, &ana).await, Vec::<String>::new());
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM media_at_meta").await, 0);
    assert!(folder.files().is_empty());
    assert_eq!(at_meta().await, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_says_later_of_a_message_to_somebody_erased_makes_nobody_new() {
    let app = TestApp::spawn().await;
    let status = async |kind: &str| {
        let said = webhook::messages(json!({ "statuses": [webhook::status_item(ANA, "wamid.late.out", kind)] }));
        assert_eq!(app.webhook(said).await, StatusCode::OK);
    };
    says(&app, ANA, "wamid.late.in", "Moin").await;
    status("delivered").await;
    database::settled(&app.database).await;
    erased(&app, ANA).await;
    let stored = "SELECT count(*) FROM event";
    let before = database::count(&app.database, stored).await;
    status("read").await;
    assert_eq!(database::count(&app.database, stored).await, before);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM contact").await, 0);
    // A message of somebody new is one.
    says(&app, ANA, "wamid.late.new", "Da bin ich wieder").await;
    assert_eq!(database::count(&app.database, stored).await, before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_says_later_of_a_message_to_somebody_erased_is_not_said_of_who_has_their_number_now() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let ladder = Ladder { enabled: false, ..Ladder::default() };
    app.simulator.configure(Settings { ladder, ..Settings::default() });
    let message = json!({ "to": ANA, "type": "text", "text": { "body": "Vorher" } });
    let sent = sends(&app, json!({ "channel_id": app.channel().await, "message": message })).await;
    let path = format!("/v1/messages/{sent}");
    until("Meta has it", PATIENCE, async || app.get(&path).await["state"] == "accepted").await;
    let ledger = app.control(Method::GET, "ledger?messages=1&wait_ms=60000", json!(null)).await;
    let (wamid, ours) = (&ledger["messages"][0]["wamid"], &ledger["messages"][0]["biz_opaque_callback_data"]);
    assert!(wamid.is_string() && ours.is_string(), "{ledger}");
    erased(&app, ANA).await;
    clock.advance(time::Duration::minutes(5));
    for number in 1..=2 {
        says(&app, ANA, &format!("wamid.after.{number}"), "Da bin ich wieder").await;
    }
    let events = "SELECT count(*) FROM event WHERE status_rank > 0";
    let before = database::count(&app.database, events).await;
    let mut late = webhook::status_item(ANA, wamid.as_str().unwrap(), "read");
    late["biz_opaque_callback_data"] = ours.clone();
    assert_eq!(app.webhook(webhook::messages(json!({ "statuses": [late] }))).await, StatusCode::OK);
    assert_eq!(database::count(&app.database, events).await, before);
    assert_eq!(app.api(Method::GET, &path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

/// Writes as somebody whom Meta calls by a number, by an id, or by both.
async fn writes(app: &TestApp, (number, id): (Option<&str>, Option<&str>), words: &str) {
    let mut item = webhook::text_item("", &format!("wamid.{words}"), words);
    item.as_object_mut().unwrap().remove("from");
    let mut contact = json!({ "profile": { "name": "Ana" } });
    if let Some(number) = number {
        (contact["wa_id"], item["from"]) = (json!(number), json!(number));
    }
    if let Some(id) = id {
        (contact["user_id"], item["from_user_id"]) = (json!(id), json!(id));
    }
    let said = webhook::messages(json!({ "contacts": [contact], "messages": [item] }));
    assert_eq!(app.webhook(said).await, StatusCode::OK);
}

/// The contact that Meta calls by an id alone.
async fn without_number(app: &TestApp) -> String {
    let contacts = app.get("/v1/contacts").await;
    let one = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"].is_null()).unwrap();
    one["id"].as_str().unwrap().to_owned()
}

const ID: &str = "DE.9000000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn a_restriction_holds_for_whoever_turns_out_to_be_the_same_person_from_the_message_on_that_says_so() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    writes(&app, (Some(ANA), None), "eins").await;
    writes(&app, (None, Some(ID)), "zwei").await;
    database::settled(&app.database).await;
    app.endpoint(&receiver, "standard").await;
    let (ana, gone) = (contact_of(&app, ANA).await.unwrap(), without_number(&app).await);
    let put = app.api(Method::PUT, &format!("/v1/contacts/{gone}/restriction")).json(&json!({ "reason": "x" }));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    app.directory_is_read().await;

    writes(&app, (Some(ANA), Some(ID)), "drei").await;
    app.directory_is_read().await;
    writes(&app, (Some(ANA), None), "vier").await;
    let merged = format!("SELECT count(*) FROM contact WHERE contact_id = '{gone}' AND merged_into = '{ana}'");
    assert_eq!(database::count(&app.database, &merged).await, 1, "two became one");
    says(&app, super::BOB, "wamid.joined.bob", "Und ich").await;
    let told = receiver.wait_for(1).await;
    assert_eq!(told[0].json()["data"]["item"]["text"]["body"], "Und ich", "nothing of hers went before");
    let owed = "SELECT count(*) FROM (SELECT event_id FROM delivery UNION SELECT event_id FROM attempt) d
                JOIN event e USING (event_id) WHERE e.contact_id = 'CONTACT'";
    assert_eq!(database::count(&app.database, &owed.replace("CONTACT", &ana)).await, 0);
    let body = json!({ "channel_id": app.channel().await,
                       "message": { "to": ANA, "type": "text", "text": { "body": "Antwort" } } });
    let refused: Value = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["code"], "contact_restricted");
    let lifted = app.api(Method::DELETE, &format!("/v1/contacts/{ana}/restriction")).send().await.unwrap();
    assert_eq!(lifted.status(), StatusCode::NO_CONTENT, "by whichever of their ids");
    app.directory_is_read().await;
    sends(&app, body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_holds_for_whoever_turns_out_to_be_the_same_person_and_for_all_who_did_before() {
    let app = TestApp::spawn().await;
    let ordinary: Permissions = Permissions::admin().iter().filter(|one| *one != Permission::HeldRead).collect();
    let reader = api_key_for(&app.gateway, Powers::Scopes(ordinary), Sight::FULL).await;
    let second = api_key_with(&app.gateway, Permissions::from_iter([Permission::PrivacyHold])).await;
    writes(&app, (Some(ANA), None), "eins").await;
    writes(&app, (None, Some(ID)), "zwei").await;
    let (ana, gone) = (contact_of(&app, ANA).await.unwrap(), without_number(&app).await);
    let until = time::OffsetDateTime::now_utc() + time::Duration::days(30);
    let until = until.format(&time::format_description::well_known::Rfc3339).unwrap();
    let body = json!({ "contact_id": gone, "reason": "x", "expires_at": until });
    let hold: Value =
        app.api(Method::POST, "/v1/privacy/holds").json(&body).send().await.unwrap().json().await.unwrap();
    let approve = format!("/v1/privacy/holds/{}/approve", hold["id"].as_str().unwrap());
    let approved = app.api_as(&second, Method::POST, &approve).send().await.unwrap();
    assert_eq!(approved.status(), StatusCode::NO_CONTENT);
    app.directory_is_read().await;
    let sees = async || {
        database::settled(&app.database).await;
        app.api_as(&reader, Method::GET, "/v1/events?limit=200").send().await.unwrap().text().await.unwrap()
    };
    let seen = sees().await;
    assert!(seen.contains("eins") && !seen.contains("zwei"), "{seen}");
    writes(&app, (Some(ANA), Some(ID)), "drei").await;
    app.directory_is_read().await;
    let seen = sees().await;
    assert!(!seen.contains("eins") && !seen.contains("drei"), "{seen}");
    let one = app.api_as(&reader, Method::GET, &format!("/v1/contacts/{ana}/messages")).send().await.unwrap();
    assert_eq!(one.status(), StatusCode::FORBIDDEN);
    let erasure = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA })).send().await.unwrap();
    let erasure: Value = erasure.json().await.unwrap();
    super::reaches(&app, erasure["id"].as_str().unwrap(), "held").await;
}
