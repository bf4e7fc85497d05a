//! Promise: files go through the gateway byte for byte, for whoever may, and Meta's token never goes to a host that is not Meta's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use tokio::net::TcpListener;
use waxseal::access::api_key::Powers;
use waxseal::access::{FieldClass, Permission, Sight};

use crate::mirror::json_of;
use crate::support::app::{PHONE_NUMBER_ID, TestApp, api_key_for, api_key_with};

/// A multipart form written out, because the client is built without that feature.
fn form(content: &[u8]) -> Vec<u8> {
    let part = |name: &str, body: &[u8]| {
        let head = format!("--edge\r\nContent-Disposition: form-data; name={name}\r\n\r\n");
        [head.as_bytes(), body, b"\r\n"].concat()
    };
    let file = part("\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf", content);
    let parts = [part("\"messaging_product\"", b"whatsapp"), part("\"type\"", b"application/pdf"), file];
    [parts.concat(), b"--edge--\r\n".to_vec()].concat()
}

async fn upload(app: &TestApp, content: &[u8]) -> (StatusCode, Value) {
    let request = app
        .api(Method::POST, &format!("/graph/v25.0/{PHONE_NUMBER_ID}/media"))
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(form(content));
    let (status, _, shown) = json_of(request).await;
    (status, shown)
}

/// Uploads a file and looks it up: its id, and what is said of it.
async fn stored(app: &TestApp, content: &[u8]) -> (String, Value) {
    let (status, made) = upload(app, content).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    let (_, _, found) = json_of(app.api(Method::GET, &format!("/graph/v25.0/{id}"))).await;
    (id, found)
}

async fn fetch(url: &Value, key: &str, range: Option<&str>) -> Response {
    let request = reqwest::Client::new().get(url.as_str().unwrap()).bearer_auth(key);
    let request = if let Some(range) = range { request.header("range", range) } else { request };
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_back_as_it_went_whole_and_in_parts() {
    let app = TestApp::spawn().await;
    let content: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
    let (id, found) = stored(&app, &content).await;
    assert_eq!((&found["id"], &found["file_size"]), (&json!(id), &json!(content.len())));
    assert!(found["url"].as_str().unwrap().starts_with(&format!("http://{}/graph/media-download/", app.at.internal)));
    let whole = fetch(&found["url"], &app.key, None).await;
    assert_eq!(whole.headers()["content-type"], "application/pdf");
    assert_eq!(
        (&whole.headers()["x-content-type-options"], &whole.headers()["content-disposition"]),
        (&"nosniff".parse().unwrap(), &"attachment".parse().unwrap())
    );
    assert!(whole.headers().contains_key("x-audit-index"), "who reads a file leaves an entry");
    assert!(whole.bytes().await.unwrap() == content);
    let part = fetch(&found["url"], &app.key, Some("bytes=1000000-1000999")).await;
    assert_eq!(
        (part.status(), &part.headers()["content-range"]),
        (StatusCode::PARTIAL_CONTENT, &"bytes 1000000-1000999/5000000".parse().unwrap())
    );
    assert!(part.bytes().await.unwrap() == content[1_000_000..1_001_000]);
    let (status, _, _) = json_of(app.api(Method::DELETE, &format!("/graph/v25.0/{id}"))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(fetch(&found["url"], &app.key, None).await.status(), StatusCode::BAD_REQUEST, "Meta knows it no longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_for_five_minutes_one_file_and_those_who_may() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let (_, found) = stored(&app, b"%PDF one").await;
    let (other, _) = stored(&app, b"%PDF other").await;
    let status = async |url: &Value, key: &str| fetch(url, key, None).await.status();
    let may = api_key_with(&app.gateway, std::iter::once(Permission::MediaRead).collect()).await;
    assert_eq!(status(&found["url"], &may).await, StatusCode::OK);
    assert_eq!(status(&found["url"], "").await, StatusCode::UNAUTHORIZED);
    let may_not = api_key_with(&app.gateway, std::iter::once(Permission::TemplatesRead).collect()).await;
    let blind = Sight { class: FieldClass::Internal, unmasked: true };
    let blind =
        api_key_for(&app.gateway, Powers::Scopes(std::iter::once(Permission::MediaRead).collect()), blind).await;
    let id = found["id"].as_str().unwrap();
    for key in [&may_not, &blind] {
        assert_eq!(status(&found["url"], key).await, StatusCode::FORBIDDEN);
        let path = format!("/graph/v25.0/{id}");
        assert_eq!(json_of(app.api_as(key, Method::GET, &path)).await.0, StatusCode::FORBIDDEN);
        assert_eq!(json_of(app.api_as(key, Method::GET, &(path + "?fields=url"))).await.0, StatusCode::FORBIDDEN);
    }
    let changed = found["url"].as_str().unwrap().replace(id, &other);
    assert_eq!(status(&json!(changed), &app.key).await, StatusCode::NOT_FOUND, "the seal is of one file");
    clock.advance(Duration::minutes(5));
    assert_eq!(status(&found["url"], &app.key).await, StatusCode::NOT_FOUND);
}

/// A host that is not Meta's: how often somebody came.
async fn third_host() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, came) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = came.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (format!("http://{at}"), came)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_to_no_third_host_by_a_link_or_a_redirect() {
    let app = TestApp::spawn().await;
    let (elsewhere, came) = third_host().await;
    let (_, found) = stored(&app, b"%PDF").await;
    for settings in
        [json!({ "media_url_base": elsewhere }), json!({ "media_url_base": "", "download_redirect": elsewhere })]
    {
        app.control(Method::PUT, "settings", settings).await;
        let answer = fetch(&found["url"], &app.key, None).await;
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert!(!answer.headers().contains_key("location"));
        assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], 131_052);
    }
    assert_eq!(came.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_it_broke_off() {
    let app = TestApp::spawn().await;
    let content = b"%PDF-1.4 a header of a template";
    let begin = format!(
        "/graph/v25.0/670843887433847/uploads?file_name=a.pdf&file_length={}&file_type=application/pdf",
        content.len()
    );
    let (status, _, session) = json_of(app.api(Method::POST, &begin)).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let session = format!("/graph/v25.0/{}", session["id"].as_str().unwrap());
    let part = async |from: usize, to: usize| {
        json_of(app.api(Method::POST, &session).header("file_offset", from).body(content[from..to].to_vec())).await
    };
    assert_eq!(part(0, 10).await.0, StatusCode::OK);
    let (_, _, stands) = json_of(app.api(Method::GET, &session)).await;
    assert_eq!(stands["file_offset"], 10);
    assert_eq!(part(5, 10).await.0, StatusCode::BAD_REQUEST);
    let (_, _, done) = part(10, content.len()).await;
    assert!(done["h"].as_str().unwrap().starts_with("4:"), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_long_is_refused_and_a_lost_answer_is_said_to_be_lost() {
    let app = TestApp::spawn().await;
    let request = app
        .api(Method::POST, &format!("/graph/v25.0/{PHONE_NUMBER_ID}/media"))
        .header("content-type", "multipart/form-data; boundary=edge")
        .header("content-length", 200 << 20)
        .body("x");
    // The client breaks off too, because it has less than it announced.
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    }
    let small =
        app.api(Method::POST, &format!("/graph/v25.0/{PHONE_NUMBER_ID}/settings")).body(vec![b' '; 1024 * 1024 + 1]);
    assert_eq!(json_of(small).await.0, StatusCode::BAD_REQUEST);
    app.control(Method::PUT, "faults", json!({ "media": "lost_answer", "times": 1 })).await;
    let (status, shown) = upload(&app, b"%PDF").await;
    assert_eq!((status, &shown["error"]["code"]), (StatusCode::BAD_GATEWAY, &json!(131_000)), "{shown}");
}
