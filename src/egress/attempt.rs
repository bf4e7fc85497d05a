//! What became of one request to an endpoint: the words of the attempt log, and what they mean for the delivery.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The outcome of one request. A closed list: it is stored, and a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptClass {
    /// 2xx: the endpoint has it.
    Success,
    /// 410: the endpoint wants no more of them.
    Gone,
    /// 429.
    Throttled,
    /// Any other 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// 3xx. Never followed: the address it names has been vetted by nobody.
    Redirect,
    /// No answer within the deadline, or no connection within the time for connecting.
    Timeout,
    /// The name did not resolve, or nobody listens.
    Connect,
    /// A connection, but no agreement on TLS: an unknown or expired certificate, or no TLS at all.
    Tls,
    /// The address guard said no; nothing was sent.
    Refused,
    /// A connection, but no complete answer: it was reset, closed or not of the protocol.
    Protocol,
    /// A broker knows the gateway not, or does not let it publish there.
    Denied,
    /// A broker has nowhere to put it: no stream, queue, exchange or topic.
    Unroutable,
    /// A broker has a place for it and did not take it: too large, full, or a fault of the broker's.
    Rejected,
    /// This gateway was built without what speaks to such a broker.
    TransportUnavailable,
    /// What we identify ourselves with is not to be had: no token from its token URL, or a certificate or header of no use.
    /// Nothing was sent to the endpoint.
    Credentials,
    /// The proxy of this gateway could not be reached, or refused. Not the endpoint's fault; nothing was sent to it.
    Proxy,
}

impl AttemptClass {
    /// Every class.
    pub const ALL: [Self; 11] = [
        Self::Success,
        Self::Gone,
        Self::Throttled,
        Self::ClientError,
        Self::ServerError,
        Self::Redirect,
        Self::Timeout,
        Self::Connect,
        Self::Tls,
        Self::Refused,
        Self::Protocol,
    ];

    /// The stable word for the attempt log and for metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Gone => "gone",
            Self::Throttled => "throttled",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Redirect => "redirect",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Denied => "denied",
            Self::Unroutable => "unroutable",
            Self::Rejected => "rejected",
            Self::TransportUnavailable => "transport_unavailable",
            Self::Credentials => "credentials",
            Self::Proxy => "proxy",
        }
    }

    /// Whether the delivery is done. Everything else is tried again, as an endpoint's mistake is often mended within days.
    #[must_use]
    pub const fn is_final_success(self) -> bool {
        matches!(self, Self::Success)
    }

    /// Whether the endpoint asked to be left alone for good (Standard Webhooks: 410).
    #[must_use]
    pub const fn disables_endpoint(self) -> bool {
        matches!(self, Self::Gone)
    }

    /// Whether the attempt counts on the retry ladder. What only this side can mend must not use up an endpoint's attempts.
    #[must_use]
    pub const fn burns_attempt(self) -> bool {
        !matches!(self, Self::Proxy)
    }

    /// The class of an answer. A status below 200 is no answer.
    #[must_use]
    pub fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=299 => Self::Success,
            300..=399 => Self::Redirect,
            410 => Self::Gone,
            429 => Self::Throttled,
            400..=499 => Self::ClientError,
            500..=599 => Self::ServerError,
            _ => Self::Protocol,
        }
    }
}

/// One request to an endpoint, as the attempt log keeps it: nothing that was sent or received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// How it ended.
    pub class: AttemptClass,
    /// The status, when an answer began.
    pub http_status: Option<u16>,
    /// How long the endpoint asked to be left alone. As it came: `domain::retry` bounds it.
    pub retry_after: Option<Duration>,
    /// Length of the body that was sent.
    pub request_bytes: usize,
    /// Length of the body that was answered, as far as it was read.
    pub response_bytes: usize,
    /// From the start of the request to its end, the body of the answer included.
    pub elapsed: Duration,
}

impl Attempt {
    /// An attempt without an answer of HTTP.
    #[must_use]
    pub const fn without_status(class: AttemptClass, elapsed: Duration) -> Self {
        Self { class, http_status: None, retry_after: None, request_bytes: 0, response_bytes: 0, elapsed }
    }

    /// Whether the endpoint is short of breath, so that the wait until the next attempt is a minute at least.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        matches!(self.class, AttemptClass::Throttled | AttemptClass::Timeout)
            || matches!(self.http_status, Some(502 | 504))
    }
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110 §10.2.3) relative to `now`. A date that has passed asks for zero;
/// what cannot be read asks for nothing.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Duration::try_from(date - now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn every_status_has_one_class() {
        for (status, class) in [
            (200, AttemptClass::Success),
            (204, AttemptClass::Success),
            (299, AttemptClass::Success),
            (300, AttemptClass::Redirect),
            (308, AttemptClass::Redirect),
            (400, AttemptClass::ClientError),
            (410, AttemptClass::Gone),
            (429, AttemptClass::Throttled),
            (499, AttemptClass::ClientError),
            (500, AttemptClass::ServerError),
            (599, AttemptClass::ServerError),
            (101, AttemptClass::Protocol),
            (600, AttemptClass::Protocol),
        ] {
            assert_eq!(AttemptClass::of_status(StatusCode::from_u16(status).unwrap()), class, "{status}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = datetime!(2026-11-22 12:00 UTC);
        let read = |text: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]), now);
        for (text, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 120 ", Some(120)),
            ("Sun, 22 Nov 2026 12:02:00 GMT", Some(120)),
            ("Sun, 22 Nov 2026 11:00:00 GMT", Some(0)),
            ("99999999999999999999999", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(read(text), expected.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
