//! Webhooks as Meta writes them.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::app::{PHONE_NUMBER_ID, WABA_ID};

/// The value of `X-Hub-Signature-256`.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    format!("sha256={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

/// A POST with one change of field `messages`.
#[expect(clippy::needless_pass_by_value, reason = "a literal is handed over where it is written")]
pub fn messages(value: Value) -> Vec<u8> {
    let mut full = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550001234", "phone_number_id": PHONE_NUMBER_ID },
    });
    full.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    let envelope = json!({ "object": "whatsapp_business_account", "entry": [{ "id": WABA_ID, "changes": [{ "value": full, "field": "messages" }] }] });
    serde_json::to_vec(&envelope).unwrap()
}

/// A text message of now.
pub fn text(from: &str, wamid: &str, body: &str) -> Vec<u8> {
    messages(json!({
        "contacts": [{ "profile": { "name": "Ana Beispiel" }, "wa_id": from }],
        "messages": [text_item(from, wamid, body)],
    }))
}

/// One element of `messages[]`.
pub fn text_item(from: &str, wamid: &str, body: &str) -> Value {
    let now = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
    json!({ "from": from, "id": wamid, "timestamp": now, "type": "text", "text": { "body": body } })
}

/// One element of `statuses[]`.
pub fn status_item(to: &str, wamid: &str, status: &str) -> Value {
    let now = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
    json!({ "id": wamid, "status": status, "timestamp": now, "recipient_id": to })
}
