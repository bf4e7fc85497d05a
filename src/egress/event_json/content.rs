//! What an event says, taken apart: Meta's item and what stood beside it, each as the very bytes that Meta wrote.

mod find;

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Payload;
use crate::domain::event::EventType;

/// Containers inside containers. Readers built on `serde_json` stop at 128, and ours lies two deep.
pub(super) const MAX_DEPTH: usize = 120;

/// The members of `data` that hold content. Borrowed as Meta wrote them, or owned where they were rewritten for a reader.
#[derive(Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "members of the JSON, each absent when false")]
pub(in crate::egress) struct Content<'a> {
    /// Whether it is an event of our own, so that its item holds our words and ids alone.
    #[serde(skip)]
    pub(in crate::egress) own: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::egress) field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::egress) item: Option<Cow<'a, RawValue>>,
    /// Of history: the thread that the message stood in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::egress) thread_id: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::egress) contacts: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::egress) metadata: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::egress) meta: Option<Cow<'a, RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::egress) raw_base64: Option<String>,
    /// There is content of a form that cannot be masked.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::egress) withheld: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::egress) erased: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::egress) damaged: bool,
}

impl<'a> Content<'a> {
    /// Takes a payload apart.
    pub(in crate::egress) fn of(event_type: &str, payload: Payload<'a>) -> Self {
        let nothing = Some(Cow::Borrowed(RawValue::NULL));
        match payload {
            Payload::Opened(bytes) => Self::opened(event_type, bytes),
            Payload::Erased => Self { item: nothing, erased: true, ..Self::default() },
            Payload::Damaged => Self { item: nothing, damaged: true, ..Self::default() },
        }
    }

    fn opened(event_type: &str, payload: &'a [u8]) -> Self {
        let Some(envelope) = json(payload) else {
            return Self { raw_base64: Some(BASE64.encode(payload)), ..Self::default() };
        };
        let found = find::find(EventType::parse(event_type), envelope);
        found.unwrap_or_else(|| Self { meta: Some(Cow::Borrowed(envelope)), ..Self::default() })
    }
}

/// A payload as JSON, when it is JSON that common readers take.
pub(in crate::egress) fn json(payload: &[u8]) -> Option<&RawValue> {
    let text = std::str::from_utf8(payload).ok().filter(|text| depth(text) <= MAX_DEPTH)?;
    serde_json::from_str(text).ok()
}

/// The deepest nesting of a JSON text. For other texts, any number.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
