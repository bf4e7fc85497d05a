//! The typed part of inbound messages.

use serde_json::{Map, Value, json};

use super::messages::Inbound;
use super::parts::{card, errors, referral};

/// Every kind that [`Inbound::kind`] may name. Some are variants of one Meta type.
pub const KINDS: [&str; 32] = [
    "text",
    "image",
    "video",
    "audio",
    "voice",
    "document",
    "sticker",
    "location",
    "contacts",
    "interactive",
    "button_reply",
    "list_reply",
    "nfm_reply",
    "call_permission_reply",
    "interactive_empty",
    "button",
    "reaction",
    "reaction_removed",
    "order",
    "system",
    "user_changed_number",
    "user_changed_user_id",
    "customer_changed_number",
    "customer_identity_changed",
    "edit",
    "revoke",
    "unsupported",
    "unknown",
    "request_welcome",
    "group",
    "referral",
    "forwarded",
];

/// Meta's `type`, what stands under the key of that name, and further keys of the message.
pub(super) struct Content {
    pub(super) kind: &'static str,
    pub(super) inner: Option<Value>,
    pub(super) beside: Map<String, Value>,
}

impl Content {
    fn new(kind: &'static str, inner: Value) -> Self {
        Self { kind, inner: Some(inner), beside: Map::new() }
    }

    fn bare(kind: &'static str) -> Self {
        Self { kind, inner: None, beside: Map::new() }
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.beside.insert(key.to_owned(), value);
        self
    }
}

/// The content of a message by its kind; text for a kind that is not known.
pub(super) fn content(inbound: &Inbound, now: i64) -> Content {
    let body = inbound.body.as_deref();
    let text = || Content::new("text", json!({"body": body.unwrap_or("Hello")}));
    let original =
        inbound.reply_to.as_deref().unwrap_or("wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTAwMDAwMDAwMDAwMDAwMDAwMQA=");
    let kind = inbound.kind.as_str();
    match kind {
        "image" | "video" | "audio" | "voice" | "document" | "sticker" => media(inbound),
        "location" => Content::new(
            "location",
            json!({"latitude": 52.520_008, "longitude": 13.404_954, "name": body.unwrap_or("Office"), "address": "Musterstraße 1, Berlin"}),
        ),
        "contacts" => Content::new("contacts", json!([card(body.unwrap_or("Erika Mustermann"))])),
        "button" => Content::new("button", json!({"payload": "yes-payload", "text": body.unwrap_or("Yes")})),
        "reaction" => Content::new("reaction", json!({"message_id": original, "emoji": body.unwrap_or("👍")})),
        "reaction_removed" => Content::new("reaction", json!({"message_id": original})),
        "order" => Content::new(
            "order",
            json!({"catalog_id": "194836987003835", "text": body.unwrap_or("Please deliver"), "product_items": [
                {"product_retailer_id": "sku-1", "quantity": 2, "item_price": 30, "currency": "EUR"},
            ]}),
        ),
        "edit" => Content::new(
            "edit",
            json!({"original_message_id": original, "message": {"type": "text", "text": {"body": body.unwrap_or("Corrected")}}}),
        ),
        "revoke" => Content::new("revoke", json!({"original_message_id": original})),
        "unsupported" => Content::new("unsupported", json!({"type": body.unwrap_or("poll_creation")}))
            .with("errors", errors(131_051)),
        "unknown" => Content::bare("unknown").with("errors", errors(131_051)),
        "request_welcome" => Content::bare("request_welcome"),
        "group" => text().with("group_id", inbound.group_id.as_deref().unwrap_or("Y2FwaV9ncm91cDo").into()),
        "referral" => text().with("referral", referral()),
        "forwarded" => text().with("context", json!({"forwarded": true})),
        "interactive_empty" => Content::bare("interactive").with("errors", errors(131_000)),
        "interactive" | "button_reply" | "list_reply" | "nfm_reply" | "call_permission_reply" => reply(kind, body, now),
        "system" | "user_changed_number" | "user_changed_user_id" | "customer_changed_number" => system(inbound),
        "customer_identity_changed" => system(inbound).with(
            "identity",
            json!({"acknowledged": false, "created_timestamp": now.to_string(), "hash": "DF2lS5v2W6x="}),
        ),
        _ => text(),
    }
}

fn media(inbound: &Inbound) -> Content {
    let file = inbound.media.clone().unwrap_or_default();
    let mut inner = Map::from_iter([
        ("id".to_owned(), Value::from(file.id)),
        ("mime_type".to_owned(), file.mime_type.into()),
        ("sha256".to_owned(), file.sha256.into()),
        ("url".to_owned(), file.url.into()),
    ]);
    let caption = inbound.body.as_deref().map(Value::from);
    let kind = match inbound.kind.as_str() {
        "video" => "video",
        "document" => "document",
        "sticker" => "sticker",
        "audio" | "voice" => "audio",
        _ => "image",
    };
    match kind {
        "audio" => drop(inner.insert("voice".into(), (inbound.kind == "voice").into())),
        "sticker" => drop(inner.insert("animated".into(), false.into())),
        "document" => drop(inner.insert("filename".into(), "document.pdf".into())),
        _ => {}
    }
    if !matches!(kind, "audio" | "sticker") {
        inner.extend(caption.map(|caption| ("caption".to_owned(), caption)));
    }
    Content::new(kind, Value::Object(inner))
}

fn reply(kind: &str, body: Option<&str>, now: i64) -> Content {
    let (key, inner) = match kind {
        "list_reply" => {
            ("list_reply", json!({"id": "row-1", "title": body.unwrap_or("Morning"), "description": "8 to 12"}))
        }
        "nfm_reply" => {
            let answers = body.unwrap_or(r#"{"flow_token":"unused","name":"Erika"}"#);
            ("nfm_reply", json!({"name": "flow", "body": "Sent", "response_json": answers}))
        }
        "call_permission_reply" => (
            "call_permission_reply",
            json!({"response": "accept", "response_source": "user_action", "is_permanent": false,
                "expiration_timestamp": (now + 7 * 86_400).to_string()}),
        ),
        _ => ("button_reply", json!({"id": "button-1", "title": body.unwrap_or("Yes")})),
    };
    let mut interactive = Map::from_iter([("type".to_owned(), Value::from(key))]);
    interactive.insert(key.to_owned(), inner);
    Content::new("interactive", Value::Object(interactive))
}

fn system(inbound: &Inbound) -> Content {
    let kind = if inbound.kind == "system" { "user_changed_number" } else { inbound.kind.as_str() };
    let mut inner = json!({"body": inbound.body.as_deref().unwrap_or("A person changed"), "type": kind});
    if let Some(fields) = inner.as_object_mut() {
        fields.extend(inbound.sender.from.iter().map(|from| ("wa_id".into(), from.as_str().into())));
        fields.insert("user_id".into(), inbound.sender.user_id().into());
        if kind.ends_with("changed_number") {
            fields.insert("new_wa_id".into(), "16505559999".into());
        }
    }
    Content::new("system", inner)
}
