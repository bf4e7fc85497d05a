//! What to do about each of Meta's error codes. One table, after Meta's error reference and the practice of gateways
//! that run on it; the same codes come in answers to a send and, later, in failed statuses.

use std::ops::RangeInclusive;
use std::time::Duration;

use self::Verdict::{BackOff, Fix, Never};

/// What a refused send calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Meta is busy or hurt: the same message may be sent again, each time after a longer pause.
    BackOff,
    /// The same message may be sent again, but not before this long.
    Wait(Duration),
    /// Somebody must change something first: the message, the account, the template.
    Fix,
    /// Not to this person.
    Never,
}

impl Verdict {
    /// A stable word: `back_off`, `wait`, `fix` or `never`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackOff => "back_off",
            Self::Wait(_) => "wait",
            Self::Fix => "fix",
            Self::Never => "never",
        }
    }

    /// Whether the same message may be sent again without anybody's doing.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::BackOff | Self::Wait(_))
    }
}

/// A code that we know.
#[derive(Debug, Clone, Copy)]
pub struct ErrorCode {
    /// Meta's number.
    pub code: i32,
    /// What it means, in our words. Safe to show and to log.
    pub meaning: &'static str,
    /// What it calls for.
    pub verdict: Verdict,
}

const fn row(code: i32, meaning: &'static str, verdict: Verdict) -> ErrorCode {
    ErrorCode { code, meaning, verdict }
}

const fn wait(seconds: u64) -> Verdict {
    Verdict::Wait(Duration::from_secs(seconds))
}

/// Every code that we know by number, ascending. `docs/errors.md` shows it, and a test keeps the two alike.
pub const CODES: &[ErrorCode] = &[
    row(0, "the access token is invalid or expired", Fix),
    row(1, "unknown error of Meta's API", BackOff),
    row(2, "Meta's service is down", BackOff),
    row(3, "the app lacks a capability or permission", Fix),
    row(4, "the app's call limit is reached", BackOff),
    row(10, "a permission is missing", Fix),
    row(33, "the number or object was deleted", Fix),
    row(100, "a parameter is wrong", Fix),
    row(190, "the access token is invalid or expired", Fix),
    row(368, "the account is restricted for breaking a policy", Fix),
    row(613, "too many requests for permission to call", BackOff),
    row(80007, "the account's call limit is reached", BackOff),
    row(80008, "the account's call limit is reached", BackOff),
    row(130_403, "the business has blocked this person", Fix),
    row(130_429, "the number's throughput is reached", BackOff),
    row(130_472, "the person is part of an experiment of Meta's", Never),
    row(130_497, "messages to this country are restricted", Fix),
    row(131_000, "something went wrong at Meta", BackOff),
    row(131_005, "access is denied", Fix),
    row(131_008, "a parameter is missing", Fix),
    row(131_009, "a parameter's value is invalid", Fix),
    row(131_016, "Meta's service is unavailable", BackOff),
    row(131_020, "a group operation was refused", Fix),
    row(131_021, "sender and recipient are the same", Fix),
    row(131_026, "undeliverable: no WhatsApp, an old client or terms not accepted", Never),
    row(131_030, "the recipient is not on the test number's list", Fix),
    row(131_031, "the account is locked", Fix),
    row(131_035, "a webhook of a no-storage number could not be delivered", Fix),
    row(131_036, "the person's device could not decrypt the message", Fix),
    row(131_037, "the number's display name is not approved", Fix),
    row(131_041, "a group operation was refused", Fix),
    row(131_042, "payment is missing or failed", Fix),
    row(131_044, "payment is missing or failed", Fix),
    row(131_045, "the number's registration or certificate is wrong", Fix),
    row(131_047, "more than 24 hours since the person wrote: only a template may be sent", Fix),
    row(131_048, "limited for low quality", Fix),
    row(131_049, "Meta holds marketing messages to this person back", wait(24 * 3600)),
    row(131_050, "the person has opted out of marketing messages", Never),
    row(131_051, "the message type is not supported", Fix),
    row(131_052, "the person's media could not be downloaded", Fix),
    row(131_053, "the media could not be uploaded", Fix),
    row(131_055, "marketing messages are not allowed on this API", Fix),
    // Meta asks for 4^X seconds, X counted from 0: whoever retries multiplies.
    row(131_056, "too many messages to one person", wait(1)),
    row(131_057, "the number is in maintenance or being upgraded", BackOff),
    row(131_059, "a group operation was refused", Fix),
    row(131_062, "this kind of message needs a phone number, not a user id", Fix),
    row(131_063, "marketing messages are not allowed on this API", Fix),
    row(131_064, "limited after a template was filed under a wrong category", Fix),
    row(132_000, "the number of template parameters is wrong", Fix),
    row(132_001, "the template does not exist or is not approved in this language", Fix),
    row(132_005, "the template's text is too long with these parameters", Fix),
    row(132_007, "the template's content breaks a policy", Fix),
    row(132_008, "a template parameter is not acceptable", Fix),
    row(132_012, "the format of a template parameter is wrong", Fix),
    row(132_015, "the template is paused", Fix),
    row(132_016, "the template is disabled", Fix),
    row(132_018, "the template's parameters are wrong", Fix),
    row(132_068, "the Flow is blocked", Fix),
    row(132_069, "the Flow is throttled", Fix),
    row(133_000, "an earlier deregistration is incomplete", Fix),
    row(133_004, "Meta's registration server is unavailable", BackOff),
    row(133_005, "the two-step PIN is wrong", Fix),
    row(133_006, "the number must be verified first", Fix),
    row(133_008, "too many wrong PINs", Fix),
    row(133_009, "PINs were entered too fast", Fix),
    row(133_010, "the number is not registered", Fix),
    row(133_015, "the number was deregistered a moment ago", wait(5 * 60)),
    row(133_016, "registered or deregistered too often", wait(72 * 3600)),
    row(134_011, "payment is missing or failed", Fix),
    row(134_100, "marketing messages are not allowed on this API", Fix),
    row(134_101, "a new template is still being synchronised", wait(10 * 60)),
    row(134_102, "the template is unavailable for marketing messages", Fix),
    row(135_000, "the request failed for a reason Meta does not give", Fix),
    row(136_024, "the number is verified already", Fix),
    row(137_000, "the person's identity has changed and must be confirmed", Fix),
    row(1_752_041, "the account's onboarding is in the way", Fix),
    row(2_494_100, "the number is in maintenance", BackOff),
    row(2_494_191, "this app may not take the thread", Fix),
];

/// Codes that Meta hands out in ranges. All of them call for somebody to change something.
pub const RANGES: &[(RangeInclusive<i32>, &str)] = &[
    (200..=299, "a permission is missing"),
    (131_201..=131_215, "a group operation was refused"),
    (138_000..=138_020, "a call was refused"),
    (139_000..=139_004, "the Flow was refused"),
    (139_100..=139_103, "blocking or unblocking failed, at least in part"),
    (147_001..=147_005, "the username was refused"),
    (2_388_000..=2_388_999, "the template was refused"),
    (2_494_164..=2_494_179, "the account's onboarding is in the way"),
    (2_593_107..=2_593_109, "synchronising the WhatsApp Business app was refused"),
];

/// The entry for a code, also for those that Meta hands out in ranges. `None` for codes that we do not know.
#[must_use]
pub fn find(code: i32) -> Option<ErrorCode> {
    let exact = CODES.binary_search_by_key(&code, |row| row.code).ok().and_then(|at| CODES.get(at)).copied();
    let range = || RANGES.iter().find(|(codes, _)| codes.contains(&code));
    exact.or_else(|| range().map(|(_, meaning)| row(code, meaning, Fix)))
}

/// What a code calls for. `None` for codes that we do not know: then the HTTP status says, see [`verdict_of_status`].
#[must_use]
pub fn verdict(code: i32) -> Option<Verdict> {
    find(code).map(|row| row.verdict)
}

/// What an answer calls for whose code is absent or unknown.
#[must_use]
pub const fn verdict_of_status(http_status: u16) -> Verdict {
    match http_status {
        408 | 425 | 429 | 500.. => BackOff,
        _ => Fix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_names_no_code_twice() {
        assert!(CODES.is_sorted_by(|one, next| one.code < next.code));
    }

    #[test]
    fn codes_call_for_what_meta_says() {
        for (code, expected) in [
            (190, Fix),
            (131_047, Fix),
            (130_429, BackOff),
            (131_026, Never),
            (131_050, Never),
            (131_049, Verdict::Wait(Duration::from_hours(24))),
            (131_056, Verdict::Wait(Duration::from_secs(1))),
            (210, Fix),
            (138_007, Fix),
        ] {
            assert_eq!(verdict(code), Some(expected), "{code}");
        }
    }

    fn in_words(verdict: Verdict) -> String {
        match verdict {
            BackOff => "back off".to_owned(),
            Verdict::Wait(pause) => format!("wait {}", shown(pause.as_secs())),
            Fix => "fix".to_owned(),
            Never => "never".to_owned(),
        }
    }

    fn shown(seconds: u64) -> String {
        match seconds {
            1 => "1 second".to_owned(),
            ..3600 => format!("{} minutes", seconds / 60),
            _ => format!("{} hours", seconds / 3600),
        }
    }

    #[test]
    fn the_documentation_shows_the_table() {
        let mut rows: Vec<(i32, String)> = CODES
            .iter()
            .map(|row| (row.code, format!("| {} | {} | {} |\n", row.code, row.meaning, in_words(row.verdict))))
            .collect();
        rows.extend(RANGES.iter().map(|(codes, meaning)| {
            (*codes.start(), format!("| {} to {} | {meaning} | fix |\n", codes.start(), codes.end()))
        }));
        rows.sort();
        let table: String = rows.into_iter().map(|(_, row)| row).collect();
        assert!(include_str!("../../docs/errors.md").contains(&table), "docs/errors.md must have:\n{table}");
    }

    #[test]
    fn an_unknown_code_is_judged_by_the_status() {
        assert_eq!(verdict(999_999), None);
        assert_eq!(verdict(-1), None);
        assert_eq!(verdict_of_status(400), Fix);
        assert_eq!(verdict_of_status(404), Fix);
        assert_eq!(verdict_of_status(429), BackOff);
        assert_eq!(verdict_of_status(503), BackOff);
    }

    #[test]
    fn only_waiting_makes_a_retry_right() {
        assert!(BackOff.is_retryable() && wait(1).is_retryable());
        assert!(!Fix.is_retryable() && !Never.is_retryable());
    }
}
