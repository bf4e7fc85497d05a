//! Media: upload, look-up, download, expiry.

use serde_json::{Value, json};
use time::Duration;

use super::{PHONE, Stage};

/// A multipart form written out, because the client is built without that feature.
fn form(kind: &str, content: &str) -> String {
    let part = |head: &str, body: &str| format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n");
    let file = format!("name=\"file\"; filename=\"a\"\r\nContent-Type: {kind}");
    let product = part("name=\"messaging_product\"", "whatsapp");
    format!("{product}{}{}--edge--\r\n", part("name=\"type\"", kind), part(&file, content))
}

async fn upload(stage: &Stage, kind: &str, content: &str) -> (u16, Value) {
    let request = stage
        .client
        .post(stage.url(&format!("/v25.0/{PHONE}/media")))
        .bearer_auth("token")
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(form(kind, content));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn an_uploaded_file_comes_back_and_its_url_lives_five_minutes() {
    let stage = Stage::set().await;
    let (status, uploaded) = upload(&stage, "image/png", "pixels").await;
    assert_eq!(status, 200, "{uploaded}");
    let id = uploaded["id"].as_str().unwrap();

    let (_, found) = stage.graph("GET", &format!("/{id}?phone_number_id={PHONE}"), None).await;
    assert_eq!(found["mime_type"], "image/png");
    assert_eq!(found["file_size"], 6);
    assert_eq!(found["sha256"].as_str().unwrap().len(), 64);
    let url = found["url"].as_str().unwrap();
    let get = async || stage.client.get(url).bearer_auth("token").send().await.unwrap();

    assert_eq!(stage.client.get(url).send().await.unwrap().status(), 401);
    let file = get().await;
    assert_eq!(file.headers()["content-type"], "image/png");
    assert_eq!(file.bytes().await.unwrap(), "pixels");

    stage.clock.advance(Duration::seconds(299));
    assert_eq!(get().await.status(), 200);
    stage.clock.advance(Duration::seconds(1));
    assert_eq!(get().await.status(), 404);
    let forged = url.replace("ext=1", "ext=2");
    assert_eq!(stage.client.get(&forged).bearer_auth("token").send().await.unwrap().status(), 404);

    let image = json!({"to": "16505551234", "type": "image", "image": {"id": id}});
    assert_eq!(stage.send(image.clone()).await.0, 200);
    assert_eq!(stage.graph("DELETE", &format!("/{id}"), None).await, (200, json!({"success": true})));
    assert_eq!(stage.send(image).await.0, 400);
    assert_eq!(stage.graph("GET", &format!("/{id}"), None).await.0, 400);
}

#[tokio::test]
async fn an_uploaded_id_lives_thirty_days_and_an_inbound_one_seven() {
    let stage = Stage::set().await;
    let (_, uploaded) = upload(&stage, "application/pdf", "%PDF").await;
    stage.control("POST", "/inbound", json!({"type": "document"})).await;
    let inbound = stage.receiver.last().value()["messages"][0]["document"]["id"].clone();
    let found = async |id: &Value| stage.graph("GET", &format!("/{}", id.as_str().unwrap()), None).await.0;

    assert_eq!((found(&uploaded["id"]).await, found(&inbound).await), (200, 200));
    stage.clock.advance(Duration::days(7));
    assert_eq!((found(&uploaded["id"]).await, found(&inbound).await), (200, 400));
    stage.clock.advance(Duration::days(23));
    assert_eq!(found(&uploaded["id"]).await, 400);
}

#[tokio::test]
async fn a_file_of_a_type_or_size_that_meta_does_not_take_is_refused() {
    let stage = Stage::set().await;
    assert_eq!(upload(&stage, "application/zip", "PK").await.1["error"]["code"], 100);
    assert_eq!(upload(&stage, "image/webp", &"x".repeat(501 * 1024)).await.1["error"]["code"], 131_053);
}

#[tokio::test]
async fn inbound_media_downloads_with_the_hash_and_url_of_its_webhook() {
    let stage = Stage::set().await;
    stage
        .control("POST", "/inbound", json!({"type": "image", "media_base64": "cGl4ZWxz", "mime_type": "image/jpeg"}))
        .await;
    let image = stage.receiver.last().value()["messages"][0]["image"].clone();
    assert_eq!(image["mime_type"], "image/jpeg");
    let file = stage.client.get(image["url"].as_str().unwrap()).bearer_auth("token").send().await.unwrap();
    assert_eq!(file.bytes().await.unwrap(), "pixels");
    let (_, found) = stage.graph("GET", &format!("/{}", image["id"].as_str().unwrap()), None).await;
    let hex = data_encoding::HEXLOWER.decode(found["sha256"].as_str().unwrap().as_bytes()).unwrap();
    let base64 = data_encoding::BASE64.decode(image["sha256"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(hex, base64);
}
