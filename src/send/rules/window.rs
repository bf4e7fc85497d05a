//! Whether the customer service window is closed, as far as we can know.

use time::{Duration, OffsetDateTime};

use super::{Standing, WindowCheck};

/// A number that was connected for less may have been written to without our knowledge.
const CONNECTED: Duration = Duration::hours(24);

/// Whether a free-form message is refused.
pub(super) fn is_closed(check: WindowCheck, standing: &Standing, now: OffsetDateTime) -> bool {
    let is_over = standing.closes_at.map(|closes_at| closes_at <= now);
    match check {
        WindowCheck::Off => false,
        WindowCheck::Strict => is_over.unwrap_or(true),
        WindowCheck::Known => {
            let knows_all = standing.channel_since.is_some_and(|since| now - since >= CONNECTED);
            is_over.unwrap_or(false) && knows_all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;
    use uuid::Uuid;

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    fn standing(closes_in: Option<i64>, connected_for: i64) -> Standing {
        Standing {
            contact_id: Uuid::nil(),
            closes_at: closes_in.map(|minutes| NOW + Duration::minutes(minutes)),
            channel_since: Some(NOW - Duration::hours(connected_for)),
            marketing: None,
        }
    }

    #[test]
    fn who_never_wrote_is_refused_in_strict_mode_alone() {
        let never = standing(None, 100);
        assert!(!is_closed(WindowCheck::Known, &never, NOW) && is_closed(WindowCheck::Strict, &never, NOW));
    }

    #[test]
    fn a_window_is_open_until_its_last_moment() {
        for check in [WindowCheck::Known, WindowCheck::Strict] {
            assert!(!is_closed(check, &standing(Some(1), 100), NOW));
            assert!(is_closed(check, &standing(Some(0), 100), NOW));
        }
        assert!(!is_closed(WindowCheck::Off, &standing(Some(-900), 100), NOW));
    }

    #[test]
    fn a_number_that_was_just_connected_may_have_been_written_to_before() {
        let old = standing(Some(-900), 23);
        assert!(!is_closed(WindowCheck::Known, &old, NOW) && is_closed(WindowCheck::Strict, &old, NOW));
    }
}
