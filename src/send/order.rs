//! What an application asks for: a message, and when and how it goes out. Read and checked once.

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::check::{self, Checked, Draft, Fault};
use crate::domain::message::{OnDoubt, Priority};

/// How far ahead a message may be handed over.
const FURTHEST_AHEAD: Duration = Duration::days(30);

/// When and how a message goes out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// Not before; `None`, or a time that is past: now.
    pub send_at: Option<OffsetDateTime>,
    /// Not after.
    pub expires_at: Option<OffsetDateTime>,
    /// Before or after what else waits.
    pub priority: Priority,
    /// What to do when Meta's answer is lost.
    pub on_doubt: OnDoubt,
}

/// A message that may be queued, with its terms.
#[derive(Debug)]
pub struct Order {
    pub(super) checked: Checked,
    pub(super) fallback: Option<Fallback>,
    pub(super) terms: Terms,
}

/// A template that goes out in the place of a message that is no longer allowed; its recipient is that of the message.
pub(super) struct Fallback(pub(super) Map<String, Value>);

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fallback")
    }
}

impl Order {
    /// Reads a message object, and perhaps the one of a template that stands in for it. All faults are listed at once, each at its
    /// place beside `message`: `/message/to`, `/send_at`.
    pub fn read(message: &str, fallback: Option<&str>, terms: Terms, now: OffsetDateTime) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut below = |place: &str, found: Vec<Fault>| {
            let placed = found.into_iter().map(|fault| Fault { pointer: format!("{place}{}", fault.pointer), ..fault });
            faults.extend(placed);
        };
        let checked = Draft::read(message).0.map_err(|found| below("/message", found)).ok();
        let fallback = fallback.map(check::fallback).transpose().map_err(|found| below("/fallback_template", found));
        below("", terms.faults(now));
        match (checked, fallback) {
            (Some(checked), Ok(fallback)) if faults.is_empty() => {
                Ok(Self { checked, fallback: fallback.map(Fallback), terms })
            }
            _ => Err(faults),
        }
    }
}

impl Terms {
    fn faults(&self, now: OffsetDateTime) -> Vec<Fault> {
        let fault = |pointer: &str, detail: &'static str| Fault { pointer: pointer.to_owned(), detail: detail.into() };
        let mut faults = Vec::new();
        if self.send_at.is_some_and(|at| at - now > FURTHEST_AHEAD) {
            faults.push(fault("/send_at", "must be at most 30 days ahead"));
        }
        if self.expires_at.is_some_and(|end| end <= self.first_at(now)) {
            faults.push(fault("/expires_at", "must be after now, and after \"send_at\""));
        }
        faults
    }

    /// When it may be sent first.
    pub(super) fn first_at(&self, now: OffsetDateTime) -> OffsetDateTime {
        self.send_at.map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);
    const MESSAGE: &str = r#"{"to":"4915199900011","text":{"body":"x"}}"#;

    fn pointers(message: &str, fallback: Option<&str>, terms: Terms) -> Vec<String> {
        let faults = Order::read(message, fallback, terms, NOW).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn faults_of_all_parts_are_told_at_once() {
        let send_at = Some(NOW + Duration::days(31));
        let terms = Terms { send_at, expires_at: Some(NOW), ..Terms::default() };
        let told = pointers("{}", Some(r#"{"type":"text"}"#), terms);
        assert_eq!(told[..2], ["/message/to", "/message/text"]);
        assert!(told.contains(&"/fallback_template/type".to_owned()), "{told:?}");
        assert_eq!(told[told.len() - 2..], ["/send_at", "/expires_at"]);
    }

    #[test]
    fn a_time_that_is_past_means_now_and_the_end_comes_after_the_beginning() {
        let at = |send, end| Terms { send_at: Some(send), expires_at: Some(end), ..Terms::default() };
        let hour = Duration::HOUR;
        assert!(pointers(MESSAGE, None, at(NOW - hour, NOW + hour)).is_empty());
        assert!(pointers(MESSAGE, None, at(NOW + Duration::days(30), NOW + Duration::days(60))).is_empty());
        assert_eq!(pointers(MESSAGE, None, at(NOW - hour, NOW)), ["/expires_at"]);
        assert_eq!(pointers(MESSAGE, None, at(NOW + hour, NOW + hour)), ["/expires_at"]);
        assert_eq!(at(NOW - hour, NOW).first_at(NOW), NOW);
    }
}
