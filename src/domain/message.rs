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

/// Stands behind our id where the application's own has no room beside it, and is with us alone.
const KEPT: &str = "+";

const CALLBACK_NAME: &[u8] = b"\"biz_opaque_callback_data\"";

/// Longest callback data, in characters, as Meta takes it.
pub const LONGEST_CALLBACK_DATA: usize = 512;

/// What is kept of `biz_opaque_callback_data`: our id, and behind a colon what the application wrote there. Meta gives it back in every
/// status of the message: the only thread to one whose answer was lost. What is too long for Meta is shortened on its way
/// ([`for_the_wire`]).
#[must_use]
pub fn callback_data(message: MessageId, own: Option<&str>) -> String {
    let id = message.uuid().simple();
    own.map_or_else(|| format!("{CALLBACK_PREFIX}{id}"), |own| format!("{CALLBACK_PREFIX}{id}:{own}"))
}

/// A message as it goes to Meta: where our id and the callback data of the application's own are too long together, our id alone.
#[must_use]
pub fn for_the_wire(json: &[u8]) -> Cow<'_, [u8]> {
    let short = || {
        let value = memchr::memmem::find(json, CALLBACK_NAME)? + CALLBACK_NAME.len() + 1;
        // We wrote it, so that nothing but a colon stands between.
        let mut read = serde_json::Deserializer::from_slice(json.get(value..)?).into_iter::<String>();
        let text = read.next()?.ok().filter(|text| text.chars().count() > LONGEST_CALLBACK_DATA)?;
        let id = parse_callback_data(&text)?;
        let (before, after) = (json.get(..value)?, json.get(value + read.byte_offset()..)?);
        Some([before, format!("\"{}{KEPT}\"", callback_data(id, None)).as_bytes(), after].concat())
    };
    short().map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Whether the application's own stands in no status, because it had no room there.
#[must_use]
pub fn is_kept_here(callback_data: &str) -> bool {
    parse_callback_data(callback_data).is_some() && callback_data.ends_with(KEPT) && callback_data.len() == 41
}

/// What the application wrote, out of the message that was kept.
#[must_use]
pub fn own_callback_data(request: &[u8], message: MessageId) -> Option<String> {
    let request: serde_json::Value = serde_json::from_slice(request).ok()?;
    let kept = request.get("biz_opaque_callback_data")?.as_str()?;
    kept.strip_prefix(&callback_data(message, Some(""))).map(str::to_owned)
}

/// A text of JSON in which the application's own callback data stands where our id stood alone.
#[must_use]
pub fn with_kept_callback_data(json: &[u8], message: MessageId, own: &str) -> Option<Vec<u8>> {
    let ours = format!("\"{}{KEPT}\"", callback_data(message, None));
    let name = memchr::memmem::find(json, CALLBACK_NAME)?;
    let at = name + memchr::memmem::find(json.get(name..)?, ours.as_bytes())?;
    Some([json.get(..at)?, &serde_json::to_vec(own).ok()?, json.get(at + ours.len()..)?].concat())
}

/// A text of JSON in which the application's own callback data stands as it wrote it, where ours stood before it. Everything else is
/// byte for byte what it was.
#[must_use]
pub fn with_own_callback_data(json: &[u8], message: MessageId) -> Cow<'_, [u8]> {
    let ours = format!("\"{}:", callback_data(message, None));
    let name = memchr::memmem::find(json, CALLBACK_NAME).map(|at| at + CALLBACK_NAME.len());
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
    let id = Some(id).filter(|_| rest.is_empty() || rest == KEPT || rest.starts_with(':'))?;
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
    }

    #[test]
    fn callback_data_that_leaves_no_room_for_our_id_stays_here_and_comes_back_whole() {
        let id = MessageId::new(time::macros::datetime!(2026-11-22 12:00 UTC));
        for (own, is_short) in [("é\"".repeat(235), false), ("é\"".repeat(236), true), ("x".repeat(512), true)] {
            let kept = serde_json::json!({ "biz_opaque_callback_data": callback_data(id, Some(&own)), "to": "1" });
            let (kept, sent) = (kept.to_string(), for_the_wire(kept.to_string().as_bytes()).into_owned());
            assert_eq!(sent != kept.as_bytes(), is_short);
            let sent: serde_json::Value = serde_json::from_slice(&sent).unwrap();
            let data = sent["biz_opaque_callback_data"].as_str().unwrap();
            assert!(data.chars().count() <= LONGEST_CALLBACK_DATA && sent["to"] == "1");
            assert_eq!((parse_callback_data(data), is_kept_here(data)), (Some(id), is_short));
            assert_eq!(own_callback_data(kept.as_bytes(), id).as_ref(), Some(&own));
            if is_short {
                let status = format!(r#"{{"status":"sent","biz_opaque_callback_data":"{data}","id":"x"}}"#);
                let whole = with_kept_callback_data(status.as_bytes(), id, &own).unwrap();
                let whole: serde_json::Value = serde_json::from_slice(&whole).unwrap();
                assert_eq!((&whole["biz_opaque_callback_data"], &whole["id"]), (&own.into(), &"x".into()));
            }
        }
        assert!(!is_kept_here("order+") && !is_kept_here(&callback_data(id, Some("+"))));
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
