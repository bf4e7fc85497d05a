//! Promise: a file that an application hands over is kept sealed, uploaded at Meta once for a channel when a message needs it, and sent
//! by our id; whoever is killed meanwhile sends nothing twice; and deleted, it is gone here and there.

use std::sync::Arc;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::Permissions;
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::support::app::{ACCESS_TOKEN, TestApp, api_key_with};
use crate::support::estate::Estate;
use crate::support::folder::Folder;
use crate::support::sweep::{self, Needle};
use crate::support::wait::{PATIENCE, until};
use crate::support::{database, webhook};

const CANARY: &str = "qcanaryInvoice for two rooms by the canal";
const TO: &str = "4915199900011";

async fn app(folder: &Folder) -> TestApp {
    TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await
}

async fn app_with_clock(folder: &Folder) -> (TestApp, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    (TestApp::spawn_with(clock.clone(), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await, clock)
}

async fn put(app: &TestApp, mime_type: &str, file: &[u8]) -> (StatusCode, Value) {
    let request = app.api(Method::POST, "/v1/media").header(CONTENT_TYPE, mime_type).body(file.to_vec());
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Hands a file over. Returns its id.
async fn handed(app: &TestApp, mime_type: &str, file: &[u8]) -> String {
    let (status, told) = put(app, mime_type, file).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    told["id"].as_str().unwrap().to_owned()
}

fn message(channel: &str, kind: &str, content: &Value) -> Value {
    json!({ "channel_id": channel, "message": { "to": TO, "type": kind, kind: content } })
}

/// Hands a message over. Returns its id.
async fn sent(app: &TestApp, kind: &str, content: Value) -> String {
    let body = message(&app.channel().await, kind, &content);
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

async fn state(app: &TestApp, message: &str) -> Value {
    app.get(&format!("/v1/messages/{message}")).await
}

/// The messages that Meta took, in their order.
async fn ledger(app: &TestApp, messages: usize) -> Vec<Value> {
    let ledger = app.control(Method::GET, &format!("ledger?messages={messages}&wait_ms=60000"), json!(null)).await;
    ledger["messages"].as_array().unwrap().iter().map(|one| one["body"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_kept_sealed_and_uploaded_once_for_all_messages_that_name_it() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let file = [CANARY.as_bytes(), &vec![7; 200_000]].concat();
    let id = handed(&app, "application/pdf", &file).await;
    for filename in ["invoice.pdf", "again.pdf"] {
        sent(&app, "document", json!({ "id": id, "filename": filename })).await;
    }
    let header = json!({ "type": "document", "document": { "id": id, "filename": "third.pdf" } });
    let interactive = json!({ "type": "button", "header": header, "body": { "text": "b" }, "action":
        { "buttons": [{ "type": "reply", "reply": { "id": "yes", "title": "Yes" } }] } });
    sent(&app, "interactive", interactive).await;
    let told = ledger(&app, 3).await;
    let meta_ids: Vec<&Value> = told
        .iter()
        .filter_map(|one| one.pointer("/document/id").or(one.pointer("/interactive/header/document/id")))
        .collect();
    assert_eq!(meta_ids.len(), 3, "{told:?}");
    assert!(meta_ids.iter().all(|one| *one == meta_ids[0] && **one != json!(id)), "{meta_ids:?}");

    let known = app.get(&format!("/v1/media/{id}/details")).await;
    assert_eq!(
        (&known["direction"], &known["kind"], &known["state"]),
        (&json!("out"), &json!("document"), &json!("stored"))
    );
    let read = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!((read.status(), read.bytes().await.unwrap().to_vec()), (StatusCode::OK, file.clone()));
    let (found, read) = sweep::in_files(&[Needle::in_every_form("content", CANARY)], folder.path());
    assert!(found.is_empty() && read > file.len(), "{found:?} in {read} bytes");
    let listed = app.get("/v1/media").await;
    assert_eq!((&listed["data"][0]["id"], &listed["data"][0]["mime_type"]), (&json!(id), &json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_handed_over_without_what_it_says_beside_the_picture_and_sent_so() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let chunk = |kind: &[u8], content: &[u8]| {
        let size = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&size[..], kind, content, &[0; 4]].concat()
    };
    let (head, end) = ([b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &[1; 13])[..]].concat(), chunk(b"IEND", b""));
    let pixels = chunk(b"IDAT", b"pixels");
    let (status, told) =
        put(&app, "image/png", &[&head[..], &chunk(b"eXIf", b"53.55 N, 9.99 E"), &pixels, &end].concat()).await;
    let bare = [head, pixels, end].concat();
    assert_eq!(status, StatusCode::CREATED, "{told}");
    assert_eq!((&told["stripped"], &told["bytes"]), (&json!(true), &json!(bare.len())), "{told}");
    let id = told["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/media/{id}/details")).await["stripped"], true);
    let read = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), bare);
    // What is none, whatever it is called, stays as it came; and so does what is no picture.
    for (mime_type, file) in [("image/png", "pixels"), ("application/pdf", "%PDF by Ana")] {
        let (_, told) = put(&app, mime_type, file.as_bytes()).await;
        assert_eq!((&told["stripped"], &told["bytes"]), (&json!(false), &json!(file.len())), "{told}");
        let read = app.api(Method::GET, &format!("/v1/media/{}", told["id"].as_str().unwrap())).send().await.unwrap();
        assert_eq!(read.text().await.unwrap(), file);
    }
    let (status, told) = put(&app, "image/png", &vec![7; 5 * 1024 * 1024 + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_gives_a_file_its_name_and_what_it_is() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let form = "--edge\r\ncontent-disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n--edge\r\n\
        content-disposition: form-data; name=\"file\"; filename=\"C:\\\\x\\\\Ana.png\"\r\ncontent-type: image/png\r\n\r\npixels\r\n--edge--\r\n";
    let contact = async || {
        app.webhook(webhook::text(TO, "wamid.A", "Moin")).await;
        app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned()
    };
    let (channel, contact) = (app.channel().await, contact().await);
    let path = format!("/v1/media?channel_id={channel}&contact_id={contact}");
    let request = app.api(Method::POST, &path).header(CONTENT_TYPE, "multipart/form-data; boundary=edge").body(form);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let told: Value = answer.json().await.unwrap();
    assert_eq!((&told["filename"], &told["kind"], &told["bytes"]), (&json!("Ana.png"), &json!("image"), &json!(6)));
    assert_eq!((&told["channel_id"], &told["contact_id"]), (&json!(channel), &json!(contact)));
    let id = told["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/media/{id}/details")).await["filename"], "Ana.png");
    // Of that person: the key of their month opens it.
    let scope = format!("SELECT count(*) FROM media WHERE media_id = '{id}' AND contact_id = '{contact}'");
    assert_eq!(database::count(&app.database, &scope).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_does_not_take_is_refused_and_leaves_nothing() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let large = vec![7; 5 * 1024 * 1024 + 1];
    for (mime_type, file, status, code) in [
        ("text/html", &b"<script>"[..], StatusCode::UNSUPPORTED_MEDIA_TYPE, "file_type_not_taken"),
        ("image/png", &large, StatusCode::PAYLOAD_TOO_LARGE, "file_too_large"),
        ("image/png", b"", StatusCode::BAD_REQUEST, "file_incomplete"),
        ("multipart/form-data; boundary=edge", b"--edge--\r\n", StatusCode::BAD_REQUEST, "file_incomplete"),
    ] {
        let (got, told) = put(&app, mime_type, file).await;
        assert_eq!((got, &told["code"]), (status, &json!(code)), "{mime_type}");
    }
    // Without a length, it is seen on the way.
    let pieces = futures_util::stream::iter(
        large.chunks(100_000).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>(),
    );
    let request =
        app.api(Method::POST, "/v1/media").header(CONTENT_TYPE, "image/png").body(reqwest::Body::wrap_stream(pieces));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    for query in ["channel_id=01890000-0000-7000-8000-000000000000", "contact_id=01890000-0000-7000-8000-000000000000"]
    {
        let request = app.api(Method::POST, &format!("/v1/media?{query}")).header(CONTENT_TYPE, "image/png").body("x");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{query}");
    }
    assert!(folder.files().is_empty());
    assert_eq!(app.get("/v1/media").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_names_a_file_that_is_there_as_what_it_is_and_through_its_channel() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let (channel, image) = (app.channel().await, handed(&app, "image/png", b"pixels").await);
    let other =
        json!({ "name": "other", "phone_number_id": "999", "waba_id": "998", "access_token": "EAAofAnotherNumber1" });
    let other: Value = app.api(Method::POST, "/v1/channels").json(&other).send().await.unwrap().json().await.unwrap();
    let path = format!("/v1/media?channel_id={}", other["id"].as_str().unwrap());
    let elsewhere = app.api(Method::POST, &path).header(CONTENT_TYPE, "image/png").body("x").send().await.unwrap();
    let elsewhere: Value = elsewhere.json().await.unwrap();
    for (kind, content, pointer) in [
        ("video", json!({ "id": image }), "/message/video/id"),
        ("image", json!({ "id": "01890000-0000-7000-8000-000000000000" }), "/message/image/id"),
        ("image", json!({ "id": elsewhere["id"] }), "/message/image/id"),
    ] {
        let answer =
            app.api(Method::POST, "/v1/messages").json(&message(&channel, kind, &content)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{content}");
        let told: Value = answer.json().await.unwrap();
        assert_eq!((&told["code"], &told["errors"][0]["pointer"]), (&json!("invalid_body"), &json!(pointer)), "{told}");
    }
    // Who is confined to a channel hands files over for it alone.
    let media_write = Permissions::of_scopes(["media:write", "media:read"]);
    let unconfined = api_key_with(&app.gateway, media_write).await;
    let confined = json!({ "name": "x", "permissions": ["media:write", "media:read"], "unmasked": true, "channel_ids": [channel] });
    let confined: Value = app.api(Method::POST, "/v1/keys").json(&confined).send().await.unwrap().json().await.unwrap();
    let confined = confined["key"].as_str().unwrap();
    for (key, path, status) in [
        (unconfined.as_str(), "/v1/media".to_owned(), StatusCode::CREATED),
        (confined, "/v1/media".to_owned(), StatusCode::FORBIDDEN),
        (confined, format!("/v1/media?channel_id={}", other["id"].as_str().unwrap()), StatusCode::BAD_REQUEST),
        (confined, format!("/v1/media?channel_id={channel}"), StatusCode::CREATED),
    ] {
        let request = app.api_as(key, Method::POST, &path).header(CONTENT_TYPE, "image/png").body("x");
        assert_eq!(request.send().await.unwrap().status(), status, "{path}");
    }
    let hidden = app.api_as(confined, Method::GET, &format!("/v1/media/{image}")).send().await.unwrap();
    assert_eq!(hidden.status(), StatusCode::NOT_FOUND, "what is for every channel is not theirs to read");
    let listed: Value = app.api_as(confined, Method::GET, "/v1/media").send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_a_file_does_not_overtake_it() {
    let folder = Folder::new();
    let app = app(&folder).await;
    app.control(Method::PUT, "faults", json!({ "media": { "delay_ms": 1500 }, "times": 1 })).await;
    let image = handed(&app, "image/png", b"pixels").await;
    sent(&app, "image", json!({ "id": image })).await;
    sent(&app, "text", json!({ "body": "behind it" })).await;
    let kinds: Vec<Value> = ledger(&app, 2).await.iter().map(|one| one["type"].clone()).collect();
    assert_eq!(kinds, ["image", "text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fails_for_now_is_tried_again_and_one_that_meta_refuses_fails_its_message() {
    let folder = Folder::new();
    let (app, clock) = app_with_clock(&folder).await;
    let in_time = async |message: &str, wanted: &str| {
        until(&format!("the message is {wanted}"), PATIENCE, async || {
            clock.advance(time::Duration::milliseconds(200));
            state(&app, message).await["state"] == wanted
        })
        .await;
    };
    for fault in [json!({ "media": { "http": 503 }, "times": 2 }), json!({ "media": "lost_answer", "times": 1 })] {
        app.control(Method::PUT, "faults", fault).await;
        let image = handed(&app, "image/png", b"pixels").await;
        let message = sent(&app, "image", json!({ "id": image })).await;
        in_time(&message, "read").await;
    }
    app.control(Method::PUT, "faults", json!({ "media": { "code": 131_053, "http": 400 } })).await;
    let image = handed(&app, "image/png", b"pixels").await;
    let message = sent(&app, "image", json!({ "id": image })).await;
    in_time(&message, "failed").await;
    assert_eq!(state(&app, &message).await["error_code"], 131_053);
    assert_eq!(ledger(&app, 2).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn metas_id_is_used_for_a_month_and_then_there_is_another() {
    let folder = Folder::new();
    let (app, clock) = app_with_clock(&folder).await;
    let image = handed(&app, "image/png", b"pixels").await;
    let mut ids = Vec::new();
    for days in [0, 28, 2] {
        clock.advance(time::Duration::days(days));
        sent(&app, "image", json!({ "id": image })).await;
        let told = ledger(&app, ids.len() + 1).await;
        ids.push(told[ids.len()]["image"]["id"].clone());
    }
    assert!(ids[0] == ids[1] && ids[1] != ids[2], "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_is_gone_here_and_at_meta_and_nobody_sends_it() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let image = handed(&app, "image/png", b"pixels").await;
    sent(&app, "image", json!({ "id": image })).await;
    let meta_id = ledger(&app, 1).await[0]["image"]["id"].as_str().unwrap().to_owned();
    let at_meta = async || {
        let url = format!("{}/v25.0/{meta_id}", app.simulator.base_url());
        Client::new().get(url).bearer_auth(ACCESS_TOKEN).send().await.unwrap().status()
    };
    assert_eq!(at_meta().await, StatusCode::OK);
    let path = format!("/v1/media/{image}");
    // Meta is away: nobody gets it any more, and it is deleted with the next attempt.
    app.control(Method::PUT, "faults", json!({ "media": { "http": 503 }, "times": 1 })).await;
    let first = app.api(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.api(Method::GET, &path).send().await.unwrap().status(), StatusCode::GONE);
    assert_eq!(app.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(at_meta().await, StatusCode::BAD_REQUEST);
    assert!(folder.files().is_empty());
    let known = app.get(&format!("{path}/details")).await;
    assert_eq!(
        (&known["state"], &known["reason"], &known["filename"]),
        (&json!("lost"), &json!("deleted"), &json!(null))
    );
    assert_eq!(app.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::GONE);
    let body = message(&app.channel().await, "image", &json!({ "id": image }));
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let entries = "SELECT count(*) FROM audit_entry WHERE action IN ('media.uploaded', 'media.deleted')";
    assert_eq!(database::count(&app.database, entries).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_deleted_before_its_message_goes_is_not_sent() {
    let folder = Folder::new();
    let (app, clock) = app_with_clock(&folder).await;
    let image = handed(&app, "image/png", b"pixels").await;
    let mut body = message(&app.channel().await, "image", &json!({ "id": image }));
    let later = clock.now() + time::Duration::hours(1);
    body["send_at"] = json!(later.format(&time::format_description::well_known::Rfc3339).unwrap());
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let id = answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let deleted = app.api(Method::DELETE, &format!("/v1/media/{image}")).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    clock.advance(time::Duration::hours(2));
    until("it has failed", PATIENCE, async || state(&app, &id).await["state"] == "failed").await;
    assert_eq!(ledger(&app, 0).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_while_a_file_is_on_its_way_uploads_it_again_and_sends_once() {
    let folder = Folder::new();
    let place = folder.url();
    let mut estate = Estate::start(database::fresh().await, &[("WAXSEAL_MEDIA__URL", place.as_str())]).await;
    let client = Client::new();
    let control = async |fault: Value| {
        let url = format!("{}/control/faults", estate.simulator.base_url());
        client.put(url).json(&fault).send().await.unwrap();
    };
    // Meta takes the file and nobody hears of it.
    control(json!({ "media": { "delay_ms": 600_000 }, "times": 1 })).await;
    let made = estate
        .request(Method::POST, "/v1/media")
        .header(CONTENT_TYPE, "image/png")
        .header(CONTENT_LENGTH, 6)
        .body("pixels");
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let channel = estate.get("/v1/channels").await["data"][0]["id"].as_str().unwrap().to_owned();
    let body = message(&channel, "image", &json!({ "id": made["id"] }));
    let sent = estate.post("/v1/messages", &body, StatusCode::ACCEPTED).await;
    let faults = async || {
        let url = format!("{}/control/faults", estate.simulator.base_url());
        client.get(url).send().await.unwrap().json::<Value>().await.unwrap()["times"] == 0
    };
    until("the file is on its way", PATIENCE, faults).await;
    estate.kill_and_restart().await;
    let path = format!("/v1/messages/{}", sent["id"].as_str().unwrap());
    until("the message is sent", PATIENCE, async || estate.get(&path).await["state"] == "read").await;
    let url = format!("{}/control/ledger", estate.simulator.base_url());
    let ledger: Value = client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(ledger["messages"].as_array().unwrap().len(), 1, "{ledger}");
}
