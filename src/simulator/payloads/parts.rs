//! The parts that stand inside messages and statuses: a file, a contact card, an ad, an error.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::title_of;

/// What a media message says of its file.
#[derive(Clone, Deserialize)]
pub struct Media {
    /// Media id.
    pub id: String,
    /// MIME type.
    pub mime_type: String,
    /// SHA-256 in base64, unlike the hex of a lookup.
    pub sha256: String,
    /// Download URL.
    pub url: String,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            id: "8800000000000000".to_owned(),
            mime_type: "image/png".to_owned(),
            sha256: "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".to_owned(),
            url: "https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=8800000000000000".to_owned(),
        }
    }
}

/// A contact card.
pub(super) fn card(name: &str) -> Value {
    json!({"name": {"formatted_name": name, "first_name": name}, "phones": [
        {"phone": "+1 650 555 7777", "wa_id": "16505557777", "type": "CELL"},
    ]})
}

/// Where a person came from who clicked an ad.
pub(super) fn referral() -> Value {
    json!({
        "source_url": "https://fb.me/example",
        "source_id": "120200000000000000",
        "source_type": "ad",
        "headline": "Chat with us",
        "body": "Summer is here",
        "media_type": "image",
        "image_url": "https://example.com/ad.jpg",
        "ctwa_clid": "ARAkLkA8rmlFeiCktEJQ",
        "welcome_message": {"text": "Hi, how can we help?"},
    })
}

/// One element of an `errors` array, as in messages and failed statuses.
pub(super) fn errors(code: u32) -> Value {
    json!([{
        "code": code,
        "title": title_of(code),
        "message": title_of(code),
        "error_data": {"details": title_of(code)},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
    }])
}
