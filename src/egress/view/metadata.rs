//! Field policy `metadata`: Meta's words that describe without content. A closed list; what it does not name is left out, and
//! so is a value that has not the form of such a word.

use super::masked::{is_time, is_time_key};
use super::rewrite::{Rule, Shown};

/// What may stand at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Descriptive {
    /// Members of the list, and no value.
    Inside,
    /// One of Meta's words.
    Word,
    /// The type of a file.
    MimeType,
    /// A size, a count, a code.
    Number,
    /// Unix seconds or milliseconds.
    Time,
    /// Meta's id of a thing of the business.
    BusinessId,
    /// True or false, and what else has neither letters nor digits.
    Flag,
    /// `voice` is the old name of an audio message, and in the new one says that it was spoken.
    FlagOrInside,
}

/// The longest word. Meta's are shorter.
const MAX_WORD: usize = 64;

impl Rule for Descriptive {
    fn member(self, key: &str) -> Option<Self> {
        match self {
            Self::Inside | Self::FlagOrInside => listed(key),
            _ => None,
        }
    }

    fn key(self, _: &str) -> Shown {
        Shown::AsIs
    }

    fn string(self, text: Option<&str>) -> Shown {
        let text = text.unwrap_or_default();
        let fits = match self {
            Self::Word => is_word(text),
            Self::MimeType => is_mime_type(text),
            Self::Number => text.len() < 10 && text.parse::<i32>().is_ok(),
            Self::Time => is_time(text),
            Self::BusinessId => text.len() <= 20 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Inside | Self::Flag | Self::FlagOrInside => false,
        };
        if fits { Shown::AsIs } else { Shown::Nothing }
    }

    fn number(self, text: &str) -> Shown {
        let fits = match self {
            Self::Number => text.parse::<f64>().is_ok_and(|number| number.abs() < 1e10),
            Self::Time => is_time(text),
            Self::BusinessId => true,
            _ => false,
        };
        if fits { Shown::AsIs } else { Shown::Nothing }
    }
}

/// The list.
fn listed(key: &str) -> Option<Descriptive> {
    Some(match key {
        "voice" => Descriptive::FlagOrInside,
        "mime_type" => Descriptive::MimeType,
        "chunk_order"
        | "code"
        | "duration"
        | "error_count"
        | "error_rate"
        | "error_subcode"
        | "file_size"
        | "max_phone_numbers_per_business"
        | "max_phone_numbers_per_waba"
        | "phase"
        | "progress"
        | "threshold" => Descriptive::Number,
        "acknowledged"
        | "animated"
        | "billable"
        | "forwarded"
        | "frequently_forwarded"
        | "is_permanent"
        | "update_successful" => Descriptive::Flag,
        "flow_id" | "message_template_id" | "phone_number_id" => Descriptive::BusinessId,
        _ if INSIDE.contains(&key) => Descriptive::Inside,
        _ if WORDS.contains(&key) => Descriptive::Word,
        _ if is_time_key(key) => Descriptive::Time,
        _ => return None,
    })
}

/// Objects and lists that hold something of the list.
#[rustfmt::skip] // a paragraph, not a column
const INSIDE: [&str; 31] = [
    "alert_info", "audio", "ban_info", "call_permission_reply", "calling", "context", "conversation", "document", "edit",
    "errors", "group_description", "group_subject", "history_context", "identity", "image", "interactive",
    "marketing_messages_link_click_data", "message", "message_template_buttons", "origin", "phone_number_settings",
    "pricing", "profile_picture", "referral", "restriction_info", "session", "sticker", "system", "unsupported", "video",
    "violation_info",
];

/// What Meta describes in words of its own.
#[rustfmt::skip]
const WORDS: [&str; 44] = [
    "action", "action_type", "alert_severity", "alert_state", "alert_status", "alert_type", "category", "click_component",
    "correct_category", "country", "decision", "direction", "entity_type", "error_type", "event", "event_name",
    "max_daily_conversations_per_business", "media_type", "message_template_button_type", "message_template_category",
    "message_template_language", "message_template_name", "messaging_product", "new_category", "new_quality_score",
    "new_status", "old_status", "previous_category", "previous_quality_score", "pricing_model", "reason",
    "recipient_type", "rejection_reason", "response", "response_source", "restriction_type", "sdp_type",
    "solution_status", "source_type", "status", "type", "value", "violation_type", "waba_ban_state",
];

/// `delivered`, `TIER_100K`, `en_US`: letters first, and too few digits for a number.
pub(super) fn is_word(text: &str) -> bool {
    let of_a_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    text.len() <= MAX_WORD
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(of_a_word)
        && text.bytes().filter(u8::is_ascii_digit).count() < 7
}

/// `audio/ogg; codecs=opus`. What comes after the type is Meta's too, but may be anything.
fn is_mime_type(text: &str) -> bool {
    let of_a_type =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'+' | b'-' | b';' | b'=' | b' ');
    let kind = text.split_once('/').map_or("", |(kind, _)| kind);
    let kinds = ["application", "audio", "font", "image", "model", "text", "video"];
    kinds.contains(&kind) && text.len() <= 2 * MAX_WORD && text.bytes().all(of_a_type)
}
