//! Things that are there from the start: a few templates, and small files for inbound media.

use axum::body::Bytes;
use data_encoding::BASE64;
use serde_json::{Value, json};

/// A PNG of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// The MIME type and bytes of a sample file for a media type; only the picture is one that a viewer would open.
pub(super) fn file(kind: &str) -> (&'static str, Bytes) {
    match kind {
        "video" => ("video/mp4", Bytes::from_static(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom sample video")),
        "audio" => ("audio/mpeg", Bytes::from_static(b"ID3\x04\0\0\0\0\0\0 sample audio")),
        "voice" => ("audio/ogg; codecs=opus", Bytes::from_static(b"OggS\0\x02 OpusHead sample voice message")),
        "document" => ("application/pdf", Bytes::from_static(b"%PDF-1.4\n% sample document\n%%EOF\n")),
        "sticker" => ("image/webp", Bytes::from_static(b"RIFF\x1a\0\0\0WEBPVP8 sample sticker")),
        _ => ("image/png", Bytes::from(BASE64.decode(PIXEL.as_bytes()).unwrap_or_default())),
    }
}

/// Approved templates: without parameters, with two by position, with one by name, and a one-time password.
pub(super) fn templates() -> Vec<Value> {
    let row = |id: &str, name: &str, category: &str, format: &str, body: &str| {
        json!({
            "id": id,
            "name": name,
            "language": "en_US",
            "status": "APPROVED",
            "category": category,
            "parameter_format": format,
            "quality_score": {"score": "GREEN", "date": 1_758_000_000},
            "components": [{"type": "BODY", "text": body}],
        })
    };
    vec![
        row("660000000000001", "hello_world", "UTILITY", "POSITIONAL", "Welcome. This is a test of the platform."),
        row("660000000000002", "order_update", "UTILITY", "POSITIONAL", "Hello {{1}}, your order {{2}} is on its way."),
        row("660000000000003", "seasonal_offer", "MARKETING", "NAMED", "Good news, {{first_name}}: the sale is on."),
        row("660000000000004", "one_time_code", "AUTHENTICATION", "POSITIONAL", "{{1}} is your verification code."),
    ]
}
