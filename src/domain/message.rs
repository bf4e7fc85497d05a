//! Messages to Meta: kinds and states, as the API shows them.

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

/// What Meta gives back in every status of a message (`biz_opaque_callback_data`, at most 512 characters). The only thread
/// to a message whose answer was lost.
#[must_use]
pub fn callback_data(message: MessageId) -> String {
    format!("{CALLBACK_PREFIX}{}", message.uuid().simple())
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
    let id = text.strip_prefix(CALLBACK_PREFIX).filter(|id| id.len() == 32)?;
    Uuid::try_parse(id).ok().filter(|id| id.get_version_num() == 7).map(MessageId::from_uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_callback_data_is_recognised_and_nobody_elses() {
        let id = MessageId::new(time::macros::datetime!(2026-11-22 12:00 UTC));
        assert_eq!(parse_callback_data(&callback_data(id)), Some(id));
        for other in ["", "waxseal:", "order-4711", "waxseal:00000000000000000000000000000000"] {
            assert_eq!(parse_callback_data(other), None);
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
