//! Promise: a channel says what is done with files that people send: kept, passed on from Meta to who asks, or left there; and
//! applications are told when one is there.

use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::{ManualClock, SystemClock};

use crate::support::folder::Folder;
use crate::support::process::waxseal;
use crate::support::{Receiver, TestApp, app, database};

async fn gateway(folder: &Folder) -> TestApp {
    TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await
}

async fn change(app: &TestApp, change: Value) -> Value {
    let path = format!("/v1/channels/{}", app.channel().await);
    let answer = app.api(Method::PATCH, &path).json(&change).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json().await.unwrap()
}

/// Somebody sends a file. Returns the id of the event.
async fn inbound(app: &TestApp, kind: &str, mime_type: &str, file: &[u8]) -> String {
    let order = json!({ "type": kind, "mime_type": mime_type, "media_base64": BASE64.encode(file) });
    app.control(Method::POST, "inbound", order).await;
    database::settled(&app.database).await;
    let events = app.get("/v1/events?type=message.received&limit=200").await;
    events["data"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned()
}

async fn read(app: &TestApp, id: &str, range: Option<&str>) -> (StatusCode, reqwest::header::HeaderMap, Vec<u8>) {
    let request = app.api(Method::GET, &format!("/v1/media/{id}"));
    let request = if let Some(range) = range { request.header(RANGE, range) } else { request };
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    (status, headers, answer.bytes().await.map(|bytes| bytes.to_vec()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_passed_on_is_read_from_meta_each_time_and_kept_nowhere() {
    let folder = Folder::new();
    let clock = Arc::new(ManualClock::new(waxseal::clock::Clock::now(&SystemClock)));
    let app = TestApp::spawn_with(clock.clone(), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await;
    assert_eq!(change(&app, json!({ "media": "proxy" })).await["media"], "proxy");
    let file: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let id = inbound(&app, "document", "application/pdf", &file).await;
    let known = app.get(&format!("/v1/media/{id}/details")).await;
    assert_eq!((&known["state"], &known["mime_type"]), (&json!("at_meta"), &json!("application/pdf")));
    let (status, headers, got) = read(&app, &id, None).await;
    assert_eq!((status, got), (StatusCode::OK, file.clone()));
    assert_eq!(headers["content-disposition"], format!("attachment; filename=\"{id}.pdf\""));
    assert_eq!(headers["content-security-policy"], "default-src 'none'; sandbox");
    assert!(headers.contains_key("x-audit-index"), "the reading is in the audit log");
    let (status, ..) = read(&app, &id, Some("bytes=0-9")).await;
    assert_eq!(status, StatusCode::OK, "there are no parts of what was not seen whole");
    let picture = inbound(&app, "image", "image/png", b"no png, but small").await;
    let (status, _, got) = read(&app, &picture, Some("bytes=3-5")).await;
    assert_eq!((status, &got[..]), (StatusCode::PARTIAL_CONTENT, &b"png"[..]));
    assert!(folder.files().is_empty());
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM media").await, 0);
    // Meta breaks off, and whoever reads sees that it is not whole.
    app.control(Method::PUT, "faults", json!({ "download": { "http": 500 }, "times": 1 })).await;
    assert_eq!(read(&app, &id, None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    clock.advance(time::Duration::days(8));
    assert_eq!(read(&app, &id, None).await.0, StatusCode::GONE, "Meta forgets files after a week");
    let text = json!({ "type": "text", "body": "Moin" });
    app.control(Method::POST, "inbound", text).await;
    database::settled(&app.database).await;
    let events = app.get("/v1/events?type=message.received&limit=200").await;
    let text = events["data"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(read(&app, &text, None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_left_at_meta_is_not_to_be_had_and_the_command_line_says_the_same() {
    let folder = Folder::new();
    let app = gateway(&folder).await;
    let (environment, channel) = (app::variables(&app.database, app.simulator.base_url()), app.channel().await);
    let set = waxseal(&["channel", "set", &channel, "--media", "never"], &environment).output().await.unwrap();
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    app.directory_is_read().await;
    assert_eq!(app.get(&format!("/v1/channels/{channel}")).await["media"], "never");
    let listed = waxseal(&["channel", "list"], &environment).output().await.unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("never"));
    let id = inbound(&app, "document", "application/pdf", b"bytes").await;
    let answer = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::GONE);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "media_not_kept");
    assert_eq!(app.get(&format!("/v1/media/{id}/details")).await["state"], "not_kept");
    assert!(folder.files().is_empty());
    let path = format!("/v1/channels/{channel}");
    let wrong = app.api(Method::PATCH, &path).json(&json!({ "media": "sometimes" })).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_told_when_a_file_is_there_and_where_and_not_where_meta_has_it() {
    let folder = Folder::new();
    let app = gateway(&folder).await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let id = inbound(&app, "document", "application/pdf", b"the bytes").await;
    let told = receiver.wait_for(2).await;
    let stored = told.iter().find(|one| one.json()["type"] == "media.stored").unwrap().json();
    let item = &stored["data"]["item"];
    assert_eq!((&item["media_id"], &item["event_id"]), (&json!(id), &json!(id)), "{stored}");
    assert_eq!((&item["state"], &item["kind"], &item["bytes"]), (&json!("stored"), &json!("document"), &json!(9)));
    assert_eq!(stored["data"]["contact_id"], app.get("/v1/contacts").await["data"][0]["id"]);
    let (status, _, got) = read(&app, &id, None).await;
    assert_eq!((status, &got[..]), (StatusCode::OK, &b"the bytes"[..]));
    let path = item["path"].as_str().unwrap();
    assert_eq!(app.api(Method::GET, path).send().await.unwrap().status(), StatusCode::OK);
}
