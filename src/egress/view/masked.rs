//! Field policy `masked`: the content stays; names, numbers and Meta's ids of people and messages are masked wherever they stand.
//!
//! What a member is called decides. A member of an unknown name is searched for what looks like a number or an id. What people
//! write to each other stays as it is, with whatever they write into it.

use std::borrow::Cow;

use uuid::Uuid;

use super::rewrite::{Rule, Shown};
use crate::domain::mask::{self, DOTS};

/// From so many digits on, a text may be a telephone number.
const DIGITS: usize = 7;

/// What is masked at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mask {
    /// What looks like a number or an id.
    Plain,
    /// Nothing: people's own words, Meta's words, ids of business matters.
    Words,
    /// Every string and number.
    Hidden,
    /// The entry of a person or group member: everything but the kinds of its parts.
    Card,
    /// A file, an answer, a template, a place: the `id` and `name` in it are not a person's.
    Matter,
    /// A note of Meta's about a person, whose text is never without a name or number.
    Note,
    /// The advertisement that a person came from: what leads back to the click is masked.
    Referral,
}

impl Rule for Mask {
    fn member(self, key: &str) -> Option<Self> {
        Some(match (self, key) {
            (Self::Card, "type" | "origin" | "action" | "code")
            | (Self::Matter, "id" | "name" | "metadata")
            | (Self::Referral, "source_type" | "media_type" | "headline" | "body" | "welcome_message") => Self::Words,
            (Self::Card, "errors") => Self::Plain,
            (Self::Card, _) => Self::Card,
            (Self::Hidden | Self::Referral, _) | (Self::Note, "body") => Self::Hidden,
            (Self::Matter, _) => match named(key) {
                Self::Plain => Self::Matter,
                other => other,
            },
            (Self::Plain | Self::Words | Self::Note, _) => named(key),
        })
    }

    fn key(self, key: &str) -> Shown {
        if is_telling(key) { Shown::Instead(Cow::Borrowed(DOTS)) } else { Shown::AsIs }
    }

    fn string(self, text: Option<&str>) -> Shown {
        let Some(text) = text else { return Shown::Instead(Cow::Borrowed(DOTS)) };
        match self {
            Self::Hidden | Self::Card | Self::Referral => Shown::Instead(mask::text(text)),
            Self::Plain | Self::Matter | Self::Note if is_telling(text) => Shown::Instead(mask::text(text)),
            Self::Words | Self::Plain | Self::Matter | Self::Note => Shown::AsIs,
        }
    }

    fn number(self, text: &str) -> Shown {
        match self {
            Self::Words => Shown::AsIs,
            Self::Hidden | Self::Card | Self::Referral => Shown::Instead(mask::text(text)),
            Self::Plain | Self::Matter | Self::Note => {
                let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
                let may_be_a_phone = is_whole && text.len() >= DIGITS && !is_time(text);
                if may_be_a_phone { Shown::Instead(mask::text(text)) } else { Shown::AsIs }
            }
        }
    }

    fn copies_strings(self) -> bool {
        self == Self::Words
    }
}

/// What a member is by its name, wherever it stands.
fn named(key: &str) -> Mask {
    match key {
        "id" | "name" | "from" | "to" | "phone" | "phones" | "input" | "user" | "users" | "customer" | "sender"
        | "recipient" | "requester" | "author" | "nickname" | "username" | "vcard" | "invite_link" | "sdp" | "hash"
        | "ctwa_clid" | "click_id" | "tracking_token" | "group_id" | "request_id" | "join_request_id" | "signup_id" => {
            Mask::Hidden
        }
        "contact"
        | "contacts"
        | "participant"
        | "participants"
        | "added_participants"
        | "removed_participants"
        | "failed_participants" => Mask::Card,
        "audio" | "button_reply" | "document" | "flow" | "image" | "list_reply" | "location" | "nfm_reply"
        | "product" | "sticker" | "template" | "video" | "voice" => Mask::Matter,
        "system" => Mask::Note,
        "referral" => Mask::Referral,
        "address" | "body" | "caption" | "description" | "emoji" | "filename" | "footer" | "headline" | "href"
        | "link" | "payload" | "response_json" | "sha256" | "summary" | "text" | "title" | "url" => Mask::Words,
        _ => by_ending(key),
    }
}

/// Members that Meta names alike.
fn by_ending(key: &str) -> Mask {
    const PEOPLE: [&str; 7] =
        ["user_id", "wa_id", "phone_number", "_phone", "recipient_id", "participant_id", "identity_key_hash"];
    const BUSINESS: [&str; 8] =
        ["phone_number_id", "waba_id", "business_id", "app_id", "catalog_id", "template_id", "flow_id", "entity_id"];
    let ends = |endings: &[&str]| endings.iter().any(|ending| key.ends_with(ending));
    if ends(&PEOPLE) || key.ends_with("message_id") {
        Mask::Hidden
    } else if ends(&BUSINESS) || is_time_key(key) || is_business_name(key) {
        Mask::Words
    } else if key.ends_with("_name") {
        Mask::Hidden
    } else {
        Mask::Plain
    }
}

/// Names of things of the business.
fn is_business_name(key: &str) -> bool {
    key.ends_with("template_name")
        || matches!(
            key,
            "configuration_name" | "event_name" | "flow_name" | "provider_name" | "requested_verified_name"
        )
}

pub(super) fn is_time_key(key: &str) -> bool {
    matches!(key, "timestamp" | "time" | "expiration" | "start_time" | "end_time") || key.ends_with("_timestamp")
}

/// Unix seconds or milliseconds of the years 2008 to 2039. A number that begins with a country code and has as many digits
/// belongs to nobody.
pub(super) fn is_time(text: &str) -> bool {
    let number: u64 = text.parse().unwrap_or(0);
    (1_200_000_000..2_200_000_000).contains(&number) || (1_200_000_000_000..2_200_000_000_000).contains(&number)
}

/// Whether a text of unknown meaning may say who somebody is. Our own ids do not.
fn is_telling(text: &str) -> bool {
    let has_id = text.contains("wamid.") || text.contains("wacid.") || is_business_scoped(text);
    has_id || (has_number(text) && Uuid::try_parse(text).is_err())
}

/// `CC.` and letters or digits: Meta's id of a person for a business.
fn is_business_scoped(text: &str) -> bool {
    let country = text.get(..2).is_some_and(|country| country.bytes().all(|byte| byte.is_ascii_uppercase()));
    let rest = text.get(2..).and_then(|rest| rest.strip_prefix('.')).unwrap_or_default();
    country && rest.len() >= DIGITS && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

/// Whether so many digits follow each other, with what people write between them or without, that it may be a number.
fn has_number(text: &str) -> bool {
    let mut digits = 0;
    for character in text.chars() {
        if character.is_numeric() {
            digits += 1;
        } else if !matches!(character, ' ' | '-' | '(' | ')' | '.' | '/' | '+' | '\u{a0}' | '\u{2011}') {
            digits = 0;
        }
        if digits >= DIGITS {
            return true;
        }
    }
    false
}
