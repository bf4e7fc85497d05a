//! What Meta answered to a send: the bytes for who wants them as they are, and the outcome for who must decide.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, RETRY_AFTER};
use serde_json::Value;

use super::errors::{self, Verdict};
use crate::ids::Wamid;

/// The headers that are kept: how much of which limit is used, and what Meta's support asks for.
const KEPT: &[&str] = &[
    "content-type",
    "retry-after",
    "x-business-use-case-usage",
    "x-app-usage",
    "x-ad-account-usage",
    "x-fb-trace-id",
    "x-fb-request-id",
    "x-fb-rev",
    "facebook-api-version",
    "www-authenticate",
];

/// The longest wait that an answer can ask for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// Meta's answer.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Usage, trace and authentication headers. Those that describe the connection are left out.
    pub headers: HeaderMap,
    /// The body as received, at most 1 MiB. Holds phone numbers and wamids.
    pub body: Bytes,
}

/// What became of a message.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Meta took it. That does not mean that it was sent: statuses follow.
    Accepted {
        /// The message's id. `None` for what gets none: marking as read.
        wamid: Option<Wamid>,
    },
    /// Meta did not take it.
    Refused {
        /// Meta's error code.
        code: Option<i32>,
        /// What that calls for.
        verdict: Verdict,
        /// How long Meta asks to wait, where it says so.
        retry_after: Option<Duration>,
    },
}

impl Answer {
    pub(super) fn new(status: u16, headers: &HeaderMap, body: Bytes) -> Self {
        let kept = |name: &HeaderName| KEPT.contains(&name.as_str());
        let headers = headers.iter().filter(|(name, _)| kept(name)).map(|(name, value)| (name.clone(), value.clone()));
        Self { status, headers: headers.collect(), body }
    }

    /// Whether it says what became of the message: yes with JSON, no with Meta's error, or no by a status that servers
    /// give before they act. A 5xx without Meta's error may come from a proxy in front of a Meta that went on.
    pub(super) fn is_conclusive(&self) -> bool {
        match self.status {
            200..=299 => self.json().is_some_and(|json| json.is_object()),
            500.. => self.error().is_some(),
            _ => true,
        }
    }

    /// What became of the message.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if (200..=299).contains(&self.status) { self.accepted() } else { self.refused() }
    }

    fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn error(&self) -> Option<Value> {
        let error = self.json()?.get_mut("error").map(Value::take)?;
        error.is_object().then_some(error)
    }

    fn accepted(&self) -> Outcome {
        let json = self.json().unwrap_or_default();
        let wamid = json.pointer("/messages/0/id").and_then(Value::as_str).filter(|id| !id.is_empty());
        Outcome::Accepted { wamid: wamid.map(Wamid::new) }
    }

    fn refused(&self) -> Outcome {
        let error = self.error().unwrap_or_default();
        let code = error.get("code").and_then(integer).and_then(|code| i32::try_from(code).ok());
        let transient = error.get("is_transient").and_then(Value::as_bool) == Some(true);
        let verdict = code
            .and_then(errors::verdict)
            .unwrap_or_else(|| if transient { Verdict::BackOff } else { errors::verdict_of_status(self.status) });
        Outcome::Refused { code, verdict, retry_after: self.retry_after() }
    }

    /// At most a day, whatever is asked for. `Retry-After` in seconds, or else the longest wait that the usage header names, which counts in minutes.
    fn retry_after(&self) -> Option<Duration> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(seconds) = header(RETRY_AFTER.as_str()).and_then(|text| text.trim().parse().ok()) {
            return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
        }
        let usage: Value = serde_json::from_str(header("x-business-use-case-usage")?).ok()?;
        let limits = usage.as_object()?.values().filter_map(Value::as_array).flatten();
        let minutes =
            limits.filter_map(|limit| limit.get("estimated_time_to_regain_access")).filter_map(integer).max()?;
        let minutes = u64::try_from(minutes).ok().filter(|&minutes| minutes > 0)?;
        Some(Duration::from_secs(minutes.saturating_mul(60)).min(LONGEST_WAIT))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Answer::new(status, &headers.collect(), Bytes::copy_from_slice(body.as_bytes()))
    }

    fn refusal(answer: &Answer) -> (Option<i32>, Verdict, Option<Duration>) {
        match answer.outcome() {
            Outcome::Refused { code, verdict, retry_after } => (code, verdict, retry_after),
            Outcome::Accepted { .. } => panic!("accepted"),
        }
    }

    #[test]
    fn an_accepted_message_has_an_id() {
        let body = r#"{"messaging_product":"whatsapp","contacts":[{"input":"+49 151","wa_id":"4915199900011","user_id":"DE.9"}],
            "messages":[{"id":"wamid.A","message_status":"held_for_quality_assessment"}]}"#;
        let Outcome::Accepted { wamid } = answer(200, &[], body).outcome() else { panic!("refused") };
        assert_eq!(wamid.unwrap().as_str(), "wamid.A");
    }

    #[test]
    fn marking_as_read_is_accepted_without_an_id() {
        let outcome = answer(200, &[], r#"{"success":true}"#).outcome();
        assert!(matches!(outcome, Outcome::Accepted { wamid: None }));
    }

    #[test]
    fn a_refusal_is_judged_by_code_then_transience_then_status() {
        for (status, body, expected) in [
            (400, r#"{"error":{"code":131047}}"#, (Some(131_047), Verdict::Fix)),
            (500, r#"{"error":{"code":"131016"}}"#, (Some(131_016), Verdict::BackOff)),
            (400, r#"{"error":{"code":424242,"is_transient":true}}"#, (Some(424_242), Verdict::BackOff)),
            (400, r#"{"error":{"code":424242}}"#, (Some(424_242), Verdict::Fix)),
            (503, r#"{"error":{"code":99999999999}}"#, (None, Verdict::BackOff)),
            (429, "slow down", (None, Verdict::BackOff)),
            (302, "", (None, Verdict::Fix)),
        ] {
            let (code, verdict, _) = refusal(&answer(status, &[], body));
            assert_eq!((code, verdict), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_wait_is_taken_from_either_header() {
        let body = r#"{"error":{"code":80007}}"#;
        let usage = r#"{"200":[{"type":"whatsapp","estimated_time_to_regain_access":0},{"estimated_time_to_regain_access":5}]}"#;
        let wait = |headers: &[(&'static str, &str)]| refusal(&answer(400, headers, body)).2;
        assert_eq!(wait(&[("retry-after", "7"), ("x-business-use-case-usage", usage)]), Some(Duration::from_secs(7)));
        assert_eq!(wait(&[("x-business-use-case-usage", usage)]), Some(Duration::from_mins(5)));
        assert_eq!(wait(&[("x-business-use-case-usage", "{}")]), None);
        assert_eq!(wait(&[("x-business-use-case-usage", "[")]), None);
    }

    #[test]
    fn what_says_nothing_of_the_message_is_inconclusive() {
        for (status, body, expected) in [
            (200, r#"{"messages":[{"id":"a"}]}"#, true),
            (200, "<html>", false),
            (200, "[]", false),
            (500, "<html>", false),
            (502, r#"{"error":"bad gateway"}"#, false),
            (500, r#"{"error":{"code":131000}}"#, true),
            (400, "", true),
        ] {
            assert_eq!(answer(status, &[], body).is_conclusive(), expected, "{status} {body}");
        }
    }

    #[test]
    fn an_answer_keeps_usage_and_prints_nothing() {
        let answer = answer(200, &[("x-app-usage", "{}"), ("set-cookie", "canary")], r#"{"canary":1}"#);
        assert_eq!(answer.headers.len(), 1);
        assert!(!format!("{answer:?}").contains("canary"));
    }
}
