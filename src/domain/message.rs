//! Messages to Meta: kinds and states, as the API shows them.

use std::borrow::Cow;

use uuid::Uuid;

use super::event::Status;
use crate::ids::MessageId;

/// Kinds of message that Meta's `type` names.
pub const KINDS: [&str; 16] = [
    "audio",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "order_details",
    "order_status",
    "pin",
    "reaction",
    "sticker",
    "template",
    "text",
    "unpin",
    "video",
    "voice",
];

/// The kind as a constant, which may stand in a plain column. What Meta may add later is `other`.
#[must_use]
pub fn kind(text: &str) -> &'static str {
    KINDS.into_iter().find(|kind| *kind == text).unwrap_or("other")
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $name { $($(#[$word_doc])* $word),+ }

        impl $name {
            /// The word in JSON and SQL.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text),+ }
            }

            /// Reads the word.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                [$(Self::$word),+].into_iter().find(|one| one.as_str() == text)
            }
        }
    };
}

words! {
    /// What goes out first when more waits than may be sent.
    Priority {
        /// Before all else: somebody waits for it.
        High = "high",
        /// In between.
        #[default]
        Normal = "normal",
        /// After all else.
        Bulk = "bulk",
    }
}

impl Priority {
    /// As the outbox orders it.
    #[must_use]
    pub const fn rank(self) -> i16 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Bulk => 2,
        }
    }

    /// That of a rank.
    #[must_use]
    pub const fn of_rank(rank: i16) -> Self {
        match rank {
            i16::MIN..=0 => Self::High,
            1 => Self::Normal,
            2.. => Self::Bulk,
        }
    }
}

words! {
    /// What becomes of a message whose answer was lost.
    OnDoubt {
        /// It stays in doubt until a status settles it.
        #[default]
        Hold = "hold",
        /// It is sent once more, and may arrive twice.
        Resend = "resend",
    }
}

/// How far a message has come, told by our own record and the statuses that Meta reported.
#[must_use]
pub fn state(stored: &str, statuses: impl IntoIterator<Item = Status>) -> &'static str {
    let statuses: Vec<Status> = statuses.into_iter().collect();
    let failed = stored == "failed" || statuses.contains(&Status::Failed);
    let furthest = statuses.into_iter().filter(|status| !matches!(status, Status::Other | Status::Failed)).max();
    match (stored, furthest) {
        (_, Some(Status::Played)) => "played",
        (_, Some(Status::Read)) => "read",
        (_, Some(Status::Delivered)) => "delivered",
        _ if failed => "failed",
        (_, Some(Status::Sent)) => "sent",
        ("accepted", _) => "accepted",
        ("in_doubt", _) => "in_doubt",
        ("cancelled", _) => "cancelled",
        ("expired", _) => "expired",
        _ => "queued",
    }
}

/// Marks our own `biz_opaque_callback_data`.
const CALLBACK_PREFIX: &str = "waxseal:";

/// Longest callback data of an application's own, in characters: Meta allows 512, and the id of ours travels with it.
pub const LONGEST_CALLBACK_DATA: usize = 512 - CALLBACK_PREFIX.len() - 33;

/// What Meta gives back in every status of a message (`biz_opaque_callback_data`, at most 512 characters): our id, and behind a colon
/// what the application wrote there. The only thread to a message whose answer was lost.
#[must_use]
pub fn callback_data(message: MessageId, own: Option<&str>) -> String {
    let id = message.uuid().simple();
    own.map_or_else(|| format!("{CALLBACK_PREFIX}{id}"), |own| format!("{CALLBACK_PREFIX}{id}:{own}"))
}

/// A text of JSON in which the application's own callback data stands as it wrote it, where ours stood before it. Everything else is
/// byte for byte what it was.
#[must_use]
pub fn with_own_callback_data(json: &[u8], message: MessageId) -> Cow<'_, [u8]> {
    const NAME: &[u8] = b"\"biz_opaque_callback_data\"";
    let ours = format!("\"{}:", callback_data(message, None));
    let name = memchr::memmem::find(json, NAME).map(|at| at + NAME.len());
    let value = name.and_then(|from| Some(from + memchr::memmem::find(json.get(from..)?, ours.as_bytes())?));
    // Nothing but a colon and white space may stand between the name and the value.
    let is_value = |from: usize, at: usize| {
        json.get(from..at)
            .is_some_and(|between| between.iter().all(|byte| matches!(byte, b':' | b' ' | b'\t' | b'\n' | b'\r')))
    };
    match name.zip(value).filter(|(from, at)| is_value(*from, *at)) {
        Some((_, at)) => {
            let (before, after) =
                (json.get(..=at).unwrap_or_default(), json.get(at + ours.len()..).unwrap_or_default());
            Cow::Owned([before, after].concat())
        }
        None => Cow::Borrowed(json),
    }
}

/// Whether callback data claims to be ours. An application's must not: it could pass its statuses off as another's.
#[must_use]
pub fn is_reserved(text: &str) -> bool {
    text.starts_with(CALLBACK_PREFIX)
}

/// The message that a status is about, when the callback data is ours. Anyone who sends through the same number may write
/// the field, so the id says nothing before the message was found.
#[must_use]
pub fn parse_callback_data(text: &str) -> Option<MessageId> {
    let (id, rest) = text.strip_prefix(CALLBACK_PREFIX)?.split_at_checked(32)?;
    let id = Some(id).filter(|_| rest.is_empty() || rest.starts_with(':'))?;
    Uuid::try_parse(id).ok().filter(|id| id.get_version_num() == 7).map(MessageId::from_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_callback_data_is_recognised_and_nobody_elses() {
        let id = MessageId::new(time::macros::datetime!(2026-11-22 12:00 UTC));
        assert_eq!(parse_callback_data(&callback_data(id, None)), Some(id));
        assert_eq!(parse_callback_data(&callback_data(id, Some("order-4711"))), Some(id));
        let longer = callback_data(id, None) + "0";
        for other in ["", "waxseal:", "order-4711", "waxseal:00000000000000000000000000000000", &longer] {
            assert_eq!(parse_callback_data(other), None);
        }
        assert_eq!(callback_data(id, Some(&"x".repeat(LONGEST_CALLBACK_DATA))).len(), 512);
    }

    #[test]
    fn an_applications_callback_data_comes_back_as_it_was_and_nothing_else_is_touched() {
        let id = MessageId::new(time::macros::datetime!(2026-11-22 12:00 UTC));
        let json = |data: &str| format!(r#"{{"a":[1.0, "\\u00e4"], "biz_opaque_callback_data" : "{data}","b":{{}}}}"#);
        let restored =
            |data: &str| String::from_utf8(with_own_callback_data(json(data).as_bytes(), id).into_owned()).unwrap();
        assert_eq!(restored(&callback_data(id, Some(r#"k\u00fcche \"7\""#))), json(r#"k\u00fcche \"7\""#));
        assert_eq!(restored(&callback_data(id, Some(""))), json(""));
        let another = MessageId::new(time::macros::datetime!(2026-11-22 13:00 UTC));
        for data in [callback_data(id, None), callback_data(another, Some("x")), "order".to_owned()] {
            assert_eq!(restored(&data), json(&data));
        }
    }

    #[test]
    fn a_state_never_goes_backwards_whatever_the_order_of_statuses() {
        assert_eq!(state("queued", []), "queued");
        assert_eq!(state("accepted", [Status::Read, Status::Sent]), "read");
        assert_eq!(state("accepted", [Status::Delivered, Status::Failed]), "delivered");
        assert_eq!(state("accepted", [Status::Sent, Status::Failed]), "failed");
        assert_eq!(state("in_doubt", [Status::Sent]), "sent");
        assert_eq!(state("in_doubt", []), "in_doubt");
    }
}
