//! The customer service window: how long Meta takes free-form messages to somebody who wrote or called.

use time::{Duration, OffsetDateTime};

/// What opens a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A message or a call.
    Contact,
    /// A message that began at an ad or a page of the business (free entry point).
    FreeEntry,
}

impl Opening {
    const fn lasts(self) -> Duration {
        match self {
            Self::Contact => Duration::hours(24),
            Self::FreeEntry => Duration::hours(72),
        }
    }

    /// When the window closes that something of `occurred_at` opened. A time that is yet to come counts as now.
    #[must_use]
    pub fn closes_at(self, occurred_at: Option<OffsetDateTime>, now: OffsetDateTime) -> OffsetDateTime {
        occurred_at.unwrap_or(now).min(now).saturating_add(self.lasts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_window_is_counted_from_metas_time_and_never_from_the_future() {
        let now = datetime!(2026-11-23 12:00 UTC);
        let at = |hours| Some(now + Duration::hours(hours));
        assert_eq!(Opening::Contact.closes_at(at(-2), now), now + Duration::hours(22));
        assert_eq!(Opening::FreeEntry.closes_at(at(-2), now), now + Duration::hours(70));
        assert_eq!(Opening::Contact.closes_at(at(900_000), now), now + Duration::hours(24));
        assert_eq!(Opening::Contact.closes_at(None, now), now + Duration::hours(24));
    }
}
