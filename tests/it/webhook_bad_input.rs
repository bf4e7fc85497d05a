//! Promise: what Meta signed is kept, however strange; what is too long is refused, and costs nothing.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::app::{APP_SECRET, TestApp};
use crate::support::{Receiver, database, webhook};

const LIMIT: usize = 3 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn three_megabytes_are_accepted_and_one_byte_more_is_not() {
    let app = TestApp::spawn().await;
    let mut body = webhook::text("4915199900011", "wamid.a", "Moin");
    body.resize(LIMIT, b' ');
    assert_eq!(app.webhook(body.clone()).await, StatusCode::OK);
    body.push(b' ');
    let signature = webhook::signature(APP_SECRET, &body);
    let request = app.public(Method::POST, "/webhook").header("x-hub-signature-256", signature).body(body);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.text().await.unwrap(), "");
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM event").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_signed_is_kept_and_comes_out_again() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let strange: Vec<Vec<u8>> = vec![
        b"not json at all".to_vec(),
        vec![0xff, 0xfe, 0x00, 0x80],
        b"null".to_vec(),
        b"[]".to_vec(),
        b"{}".to_vec(),
        br#"{"object":"page","entry":[]}"#.to_vec(),
        br#"{"object":"whatsapp_business_account","entry":"none"}"#.to_vec(),
        br#"{"object":"whatsapp_business_account","entry":[{"id":7,"changes":[{"field":"tomorrow","value":{"a":1}}]}]}"#.to_vec(),
        webhook::messages(json!({ "messages": "none", "statuses": 5 })),
        webhook::messages(json!({ "messages": [null, 1, "x", [], {}] })),
        webhook::messages(json!({ "messages": [{ "id": 5, "from": 4915199900011_u64, "timestamp": "soon", "type": {} }] })),
        webhook::messages(json!({ "messages": [webhook::text_item("4915199900011", "wamid.nul", "a\u{0}b")] })),
        String::from_utf8(webhook::text("4915199900011", "wamid.lone", "LONE")).unwrap().replace("LONE", "\\ud800").into_bytes(),
        webhook::text("4915199900011", "wamid.long", &"x".repeat(2_000_000)),
        [b"[".repeat(200_000), b"]".repeat(200_000)].concat(),
    ];
    let mut expected = 0;
    for body in &strange {
        assert_eq!(app.webhook(body.clone()).await, StatusCode::OK, "{}", String::from_utf8_lossy(&body[..body.len().min(80)]));
        expected += if body.starts_with(b"{") && body.windows(9).any(|part| part == b"[null,1,\"") { 5 } else { 1 };
    }
    let received = receiver.wait_for(expected - 1).await;
    assert!(received.iter().all(|one| one.json()["id"].is_string()));
    let stored = database::count(&app.database, "SELECT count(*) FROM event").await;
    assert!(usize::try_from(stored).unwrap() >= strange.len(), "{stored} events of {} posts", strange.len());
}
