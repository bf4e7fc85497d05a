//! What the content of a message must be, type by type, before Meta is asked. The limits are those of Meta's reference (Cloud API,
//! messages); where its pages disagree, the wider one. What Meta may have added since is let through: unknown types, unknown members.

mod cards;
mod interactive;
mod media;
mod place;
mod template;

use serde_json::Value;

use super::check::Fault;
use place::{Place, Walk};

/// Longest text of a text message, in characters.
const TEXT: usize = 4096;
/// Longest name and address of a location, in characters. Meta names no limit; it refuses pages of text.
const LOCATION_LINE: usize = 1000;
/// Seconds that Meta may try to deliver a message (30 s to 30 days; -1: 30 days).
const LIFETIME: std::ops::RangeInclusive<f64> = 30.0..=2_592_000.0;

/// Faults of a whole message whose type is `kind`, besides those of its recipient and its envelope.
pub(super) fn faults(message: &Value, kind: &str) -> Vec<Fault> {
    let walk = Walk::default();
    let message = walk.begin(message);
    common(&message);
    if let Some(content) = message.optional(kind) {
        check(kind, &content);
    }
    walk.faults()
}

fn common(message: &Place<'_>) {
    if let Some(context) = message.optional("context") {
        context.needed_text("message_id", 1..=1000);
    }
    if let Some(kind) = message.optional("recipient_type") {
        kind.word(&["individual", "group"]);
    }
    message.optional_text("recipient_identity_key_hash", 1..=1000);
    if let Some(seconds) = message.optional("message_send_ttl_seconds")
        && seconds.value().as_i64() != Some(-1)
    {
        seconds.number(LIFETIME);
    }
}

fn check(kind: &str, content: &Place<'_>) {
    match kind {
        "text" => {
            content.needed_text("body", 1..=TEXT);
            content.optional_flag("preview_url");
        }
        "image" | "video" | "document" => media::captioned(content),
        "audio" | "sticker" => media::bare(content),
        "location" => location(content),
        "contacts" => cards::check(content),
        "reaction" => {
            content.needed_text("message_id", 1..=1000);
            // An empty one takes the reaction back.
            content.needed_text("emoji", 0..=64);
        }
        "template" => template::check(content),
        "interactive" => interactive::check(content),
        _ => {}
    }
}

fn location(location: &Place<'_>) {
    for (name, most) in [("latitude", 90.0), ("longitude", 180.0)] {
        if let Some(degrees) = location.needed(name) {
            degrees.number(-most..=most);
        }
    }
    for name in ["name", "address"] {
        location.optional_text(name, 0..=LOCATION_LINE);
    }
}

#[cfg(test)]
mod tests;
