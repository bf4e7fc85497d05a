//! The breaker of an endpoint: stops asking one that does not accept, and probes it from time to time. Waiting for it costs no
//! delivery an attempt. Pure; the time is passed in.

use std::collections::VecDeque;

use time::{Duration, OffsetDateTime};

/// Failures without a success between them that open it.
const IN_A_ROW: u32 = 5;
/// So many attempts within [`WINDOW`], half of them failed, open it too.
const ENOUGH: u32 = 20;
const WINDOW: Duration = Duration::seconds(60);
/// The wait before the first probe; doubled by each probe that fails, up to the longest.
const FIRST_WAIT: Duration = Duration::seconds(5);
const LONGEST_WAIT: Duration = Duration::minutes(10);
/// An outage that lasts this long is told to others.
const NOTICE: Duration = Duration::minutes(10);
/// How long after a notice that could not be stored it is tried again.
const NOTICE_AGAIN: Duration = Duration::seconds(30);

/// What may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permit {
    /// Whatever the pace allows.
    Free,
    /// One request, to see.
    Probe,
    /// Nothing.
    Not,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    /// Nothing before `until`, and then a probe.
    Open {
        until: OffsetDateTime,
        wait: Duration,
    },
    /// The probe is under way.
    Probing {
        wait: Duration,
    },
}

/// Attempts that ended within one second.
#[derive(Debug)]
struct Second {
    number: i64,
    failed: u32,
    all: u32,
}

/// Whether an endpoint is asked.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    in_a_row: u32,
    window: VecDeque<Second>,
    /// When others are to be told; `None` when there is nothing to tell, or nothing any more.
    notice: Option<OffsetDateTime>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, in_a_row: 0, window: VecDeque::new(), notice: None }
    }
}

impl Breaker {
    pub(super) fn permit(&self, now: OffsetDateTime) -> Permit {
        match self.state {
            State::Closed => Permit::Free,
            State::Open { until, wait } if due(until, wait, now) => Permit::Probe,
            State::Open { .. } | State::Probing { .. } => Permit::Not,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    /// A probe begins, by a [`Permit::Probe`].
    pub(super) fn probe(&mut self) {
        if let State::Open { wait, .. } = self.state {
            self.state = State::Probing { wait };
        }
    }

    /// The probe came to nothing: it was not sent, or broken off by us.
    pub(super) fn probe_was_lost(&mut self, now: OffsetDateTime) {
        if let State::Probing { wait } = self.state {
            self.state = State::Open { until: now, wait };
        }
    }

    /// An attempt was accepted. One that began before the breaker opened does not close it: a probe does.
    pub(super) fn accepted(&mut self, was_probe: bool, now: OffsetDateTime) {
        self.in_a_row = 0;
        match self.state {
            State::Probing { .. } if was_probe => *self = Self::default(),
            State::Closed => self.count(false, now),
            State::Open { .. } | State::Probing { .. } => {}
        }
    }

    /// An attempt was not accepted. Returns whether this opened the breaker.
    pub(super) fn failed(&mut self, was_probe: bool, now: OffsetDateTime) -> bool {
        match self.state {
            State::Probing { wait } if was_probe => {
                let wait = Duration::min(wait * 2, LONGEST_WAIT);
                self.state = State::Open { until: now + wait, wait };
                false
            }
            State::Closed => {
                self.in_a_row += 1;
                self.count(true, now);
                let opens = self.in_a_row >= IN_A_ROW || self.half_failed(now);
                if opens {
                    self.state = State::Open { until: now + FIRST_WAIT, wait: FIRST_WAIT };
                    self.notice = Some(now + NOTICE);
                    self.window = VecDeque::new();
                }
                opens
            }
            State::Open { .. } | State::Probing { .. } => false,
        }
    }

    /// When there is something to do without anything having happened. May have passed.
    pub(super) fn wake(&self) -> impl Iterator<Item = OffsetDateTime> {
        let probe = if let State::Open { until, .. } = self.state { Some(until) } else { None };
        probe.into_iter().chain(self.notice)
    }

    /// Whether others are to be told now that the endpoint fails. Says so again later, until [`Breaker::told`].
    pub(super) fn notice_is_due(&mut self, now: OffsetDateTime) -> bool {
        let is_due = self.notice.is_some_and(|at| at <= now);
        if is_due {
            self.notice = Some(now + NOTICE_AGAIN);
        }
        is_due
    }

    /// Others were told, once for this outage.
    pub(super) const fn told(&mut self) {
        self.notice = None;
    }

    fn count(&mut self, failed: bool, now: OffsetDateTime) {
        let number = now.unix_timestamp();
        self.forget(now);
        match self.window.back_mut().filter(|last| last.number >= number) {
            Some(last) => (last.all, last.failed) = (last.all + 1, last.failed + u32::from(failed)),
            None => self.window.push_back(Second { number, failed: u32::from(failed), all: 1 }),
        }
    }

    fn forget(&mut self, now: OffsetDateTime) {
        let first = (now - WINDOW).unix_timestamp();
        while self.window.front().is_some_and(|second| second.number <= first) {
            self.window.pop_front();
        }
    }

    fn half_failed(&self, now: OffsetDateTime) -> bool {
        let first = (now - WINDOW).unix_timestamp();
        let within = self.window.iter().filter(|second| second.number > first);
        let (all, failed) = within.fold((0, 0), |(all, failed), second| (all + second.all, failed + second.failed));
        all >= ENOUGH && failed * 2 >= all
    }
}

/// Whether a wait that ends at `until` is over. A clock that was set back makes none longer than it was meant to be.
fn due(until: OffsetDateTime, wait: Duration, now: OffsetDateTime) -> bool {
    until <= now || until - now > wait
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn open() -> Breaker {
        let mut breaker = Breaker::default();
        let opened = (0..5).map(|_| breaker.failed(false, NOON)).collect::<Vec<_>>();
        assert_eq!(opened, [false, false, false, false, true]);
        breaker
    }

    fn probe_fails(breaker: &mut Breaker, now: OffsetDateTime) {
        assert_eq!(breaker.permit(now), Permit::Probe);
        breaker.probe();
        assert_eq!(breaker.permit(now), Permit::Not, "one probe at a time");
        assert!(!breaker.failed(true, now));
    }

    #[test]
    fn it_opens_after_five_failures_in_a_row_and_a_success_between_them_counts() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            for _ in 0..4 {
                assert!(!breaker.failed(false, NOON));
            }
            breaker.accepted(false, NOON);
            breaker.window.clear();
        }
        assert_eq!(open().permit(NOON), Permit::Not);
    }

    #[test]
    fn it_opens_when_half_of_twenty_attempts_within_a_minute_failed() {
        let mut breaker = Breaker::default();
        let mut opened = Vec::new();
        for step in 0..20 {
            let now = NOON + Duration::seconds(step);
            if step % 2 == 0 { breaker.accepted(false, now) } else { opened.push(breaker.failed(false, now)) }
        }
        assert_eq!(opened.iter().filter(|opened| **opened).count(), 1);
        assert_eq!(opened.last(), Some(&true));
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let mut breaker = Breaker::default();
        for step in 0..200 {
            let now = NOON + Duration::seconds(7 * step);
            if step % 2 == 0 { breaker.accepted(false, now) } else { assert!(!breaker.failed(false, now)) }
        }
        assert!(breaker.window.len() <= 9);
    }

    #[test]
    fn probes_come_after_waits_that_double_up_to_ten_minutes() {
        let (mut breaker, mut now) = (open(), NOON);
        for wait in [5, 10, 20, 40, 80, 160, 320, 600, 600, 600] {
            now += Duration::seconds(wait) - Duration::milliseconds(1);
            assert_eq!(breaker.permit(now), Permit::Not, "{wait}");
            now += Duration::milliseconds(1);
            probe_fails(&mut breaker, now);
        }
        now += LONGEST_WAIT;
        breaker.probe();
        breaker.accepted(true, now);
        assert_eq!(breaker.permit(now), Permit::Free);
    }

    #[test]
    fn what_began_before_it_opened_neither_closes_it_nor_makes_the_wait_longer() {
        let mut breaker = open();
        breaker.accepted(false, NOON);
        assert!(!breaker.failed(false, NOON));
        assert_eq!(breaker.permit(NOON + Duration::seconds(4)), Permit::Not);
        probe_fails(&mut breaker, NOON + FIRST_WAIT);
    }

    #[test]
    fn a_probe_that_was_never_sent_can_be_repeated_at_once() {
        let (mut breaker, now) = (open(), NOON + FIRST_WAIT);
        breaker.probe();
        breaker.probe_was_lost(now);
        probe_fails(&mut breaker, now);
        assert_eq!(breaker.permit(now + FIRST_WAIT), Permit::Not);
        assert_eq!(breaker.permit(now + FIRST_WAIT * 2), Permit::Probe);
    }

    #[test]
    fn an_outage_of_ten_minutes_is_told_once() {
        let mut breaker = open();
        assert!(!breaker.notice_is_due(NOON + NOTICE - Duration::seconds(1)));
        assert!(breaker.notice_is_due(NOON + NOTICE));
        assert!(!breaker.notice_is_due(NOON + NOTICE), "not again at once, when it could not be stored");
        assert!(breaker.notice_is_due(NOON + NOTICE + NOTICE_AGAIN));
        breaker.told();
        assert!(!breaker.notice_is_due(NOON + Duration::days(1)));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_wait_longer() {
        let breaker = open();
        assert_eq!(breaker.permit(NOON - Duration::hours(1)), Permit::Probe);
    }
}
