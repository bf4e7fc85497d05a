//! How many requests may begin in a second: never more than so many in any second, wherever it begins. Pure; the time is passed
//! in.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use time::{Duration, OffsetDateTime};

const SECOND: Duration = Duration::seconds(1);

/// When the requests of the last second began.
#[derive(Debug, Default)]
pub(super) struct Rate {
    most: Option<NonZeroU32>,
    begun: VecDeque<OffsetDateTime>,
    held_until: Option<OffsetDateTime>,
}

impl Rate {
    /// `None`: no limit.
    pub(super) fn set(&mut self, most: Option<NonZeroU32>) {
        self.most = most;
        if most.is_none() {
            *self = Self::default();
        }
    }

    /// Whoever worked before may have begun as many as it may until now.
    pub(super) fn hold(&mut self, now: OffsetDateTime) {
        self.held_until = Some(now + SECOND);
    }

    /// The limit.
    pub(super) fn most(&self) -> Option<usize> {
        self.most.map(|most| usize::try_from(most.get()).unwrap_or(usize::MAX))
    }

    /// From when on a request may begin; `None`: now.
    pub(super) fn next(&mut self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let most = self.most()?;
        self.held_until = self.held_until.map(|until| until.min(now + SECOND)).filter(|until| *until > now);
        // A clock that was set back: they began now at the latest.
        if self.begun.back().is_some_and(|last| *last > now) {
            self.begun.iter_mut().for_each(|begun| *begun = (*begun).min(now));
        }
        while self.begun.front().is_some_and(|first| *first + SECOND <= now) {
            self.begun.pop_front();
        }
        let full = (self.begun.len() >= most).then(|| self.begun.front().map(|first| *first + SECOND)).flatten();
        self.held_until.into_iter().chain(full).max()
    }

    /// A request begins, where [`Rate::next`] allowed it.
    pub(super) fn begin(&mut self, now: OffsetDateTime) {
        if self.most.is_some() {
            self.begun.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_limit_and_a_hungry_caller_gets_all_of_it(
            most in 1_u32..40, steps in prop::collection::vec(0_i64..120, 1..400),
        ) {
            let mut rate = Rate::default();
            rate.set(NonZeroU32::new(most));
            let (mut now, mut begun) = (NOON, Vec::new());
            for step in steps {
                now += Duration::milliseconds(step);
                while rate.next(now).is_none() {
                    rate.begin(now);
                    begun.push(now);
                }
                prop_assert!(rate.next(now).unwrap() > now);
            }
            let most = most as usize;
            for (first, last) in begun.iter().zip(begun.iter().skip(most)) {
                prop_assert!(*last - *first >= SECOND);
            }
            let seconds = usize::try_from((now - NOON).whole_seconds()).unwrap();
            // Each step comes up to 120 ms late.
            prop_assert!(begun.len() >= most * (seconds * 1_000 / 1_120 + 1));
        }
    }

    #[test]
    fn without_a_limit_nothing_waits_and_nothing_is_remembered() {
        let mut rate = Rate::default();
        for _ in 0..1_000 {
            assert_eq!(rate.next(NOON), None);
            rate.begin(NOON);
        }
        assert!(rate.begun.is_empty());
    }

    #[test]
    fn after_a_takeover_a_second_passes_and_a_clock_that_is_set_back_makes_it_no_longer() {
        let mut rate = Rate::default();
        rate.set(NonZeroU32::new(1));
        rate.hold(NOON);
        assert_eq!(rate.next(NOON), Some(NOON + SECOND));
        let before = NOON - Duration::hours(1);
        assert_eq!(rate.next(before), Some(before + SECOND));
        assert_eq!(rate.next(before + SECOND), None);
        rate.begin(before + SECOND);
        assert_eq!(rate.next(before), Some(before + SECOND));
    }
}
