//! The retry ladder of deliveries: when a failed one is tried again, and when it is given up.

use std::time::Duration;

use time::OffsetDateTime;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

const fn hours(n: u64) -> Duration {
    minutes(60 * n)
}

/// Waits after the first, second, … failed attempt, before jitter. 75.7 hours in all, so that a consumer that breaks on a
/// Friday evening is still owed its events on Monday.
pub const LADDER: [Duration; 11] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    minutes(2),
    minutes(10),
    minutes(30),
    hours(2),
    hours(5),
    hours(10),
    hours(14),
    hours(20),
    hours(24),
];

/// Jitter in either direction. Without it, everything that failed in one outage comes back in one second.
const JITTER_PERCENT: u64 = 20;

/// The longest wait that a consumer's `Retry-After` can ask for.
pub const LONGEST_RETRY_AFTER: Duration = hours(24);

/// What a consumer that is overloaded is left alone for at least. Less the jitter it is one minute.
const SLOW_RUNG: Duration = Duration::from_secs(75);

/// How long to wait after `attempts_done` attempts, the last of which failed; `None` when the ladder is at its end.
///
/// `retry_after` is what the consumer asked for: it lengthens the wait up to [`LONGEST_RETRY_AFTER`] and never shortens it.
/// `slow` says that the consumer is short of breath (429, 502, 504 or a time-out), and makes the wait a minute at least.
/// The same `seed` gives the same jitter; different deliveries should bring different seeds, such as the bits of their id.
#[must_use]
pub fn next_delay(attempts_done: u16, retry_after: Option<Duration>, slow: bool, seed: u64) -> Option<Duration> {
    let rung = *LADDER.get(usize::from(attempts_done.saturating_sub(1)))?;
    let rung = if slow { rung.max(SLOW_RUNG) } else { rung };
    let delay = jittered(rung, mixed(seed ^ u64::from(attempts_done)));
    Some(retry_after.map_or(delay, |asked| delay.max(asked.min(LONGEST_RETRY_AFTER))))
}

/// How long before its content goes a delivery is tried for the last time: a lane may be late, and an answer may take minutes.
pub const LAST_CALL: Duration = hours(1);

/// When a delivery that was put off until `at` is tried, given when its content goes (`None`: never): then, or at the last moment at which there
/// is something to deliver. `None`: that moment is over, and the delivery with it.
#[must_use]
pub fn while_kept(now: OffsetDateTime, at: OffsetDateTime, goes_at: Option<OffsetDateTime>) -> Option<OffsetDateTime> {
    let Some(last) = goes_at.map(|goes_at| goes_at - LAST_CALL).filter(|last| at > *last) else { return Some(at) };
    (last > now).then_some(last)
}

/// `rung` less 20 % up to `rung` plus 20 %, evenly over the values of `random`.
fn jittered(rung: Duration, random: u64) -> Duration {
    let millis = u64::try_from(rung.as_millis()).unwrap_or(u64::MAX);
    let lowest = millis / 100 * (100 - JITTER_PERCENT);
    let span = millis / 100 * (2 * JITTER_PERCENT);
    Duration::from_millis(lowest + random % (span + 1))
}

/// The finaliser of `SplitMix64`: neighbouring seeds, such as ids of one millisecond, get unrelated jitter.
const fn mixed(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::macros::datetime;

    /// The ladder in seconds, with the bounds of the jitter.
    const TABLE: [(u16, u64, u64, u64); 11] = [
        (1, 4, 5, 6),
        (2, 24, 30, 36),
        (3, 96, 120, 144),
        (4, 480, 600, 720),
        (5, 1_440, 1_800, 2_160),
        (6, 5_760, 7_200, 8_640),
        (7, 14_400, 18_000, 21_600),
        (8, 28_800, 36_000, 43_200),
        (9, 40_320, 50_400, 60_480),
        (10, 57_600, 72_000, 86_400),
        (11, 69_120, 86_400, 103_680),
    ];

    fn ask(attempts: u16, retry_after: u64, slow: bool, seed: u64) -> u64 {
        next_delay(attempts, Some(Duration::from_secs(retry_after)), slow, seed).unwrap().as_secs()
    }

    #[test]
    fn the_ladder_is_the_documented_one_and_jitter_fills_its_bounds() {
        for (attempts, lowest, rung, highest) in TABLE {
            assert_eq!(LADDER[usize::from(attempts) - 1], Duration::from_secs(rung));
            let delays: Vec<_> = (0..2_000).map(|seed| next_delay(attempts, None, false, seed).unwrap()).collect();
            let (low, high) = (Duration::from_secs(lowest), Duration::from_secs(highest));
            assert!(delays.iter().all(|delay| (low..=high).contains(delay)));
            assert!(delays.iter().any(|delay| *delay < low * 11 / 10));
            assert!(delays.iter().any(|delay| *delay > high * 9 / 10));
        }
    }

    #[test]
    fn after_twelve_attempts_a_delivery_is_given_up() {
        assert!(next_delay(11, None, false, 1).is_some());
        for attempts in [12, 13, u16::MAX] {
            assert_eq!(next_delay(attempts, Some(Duration::from_secs(1)), true, 1), None);
        }
    }

    #[test]
    fn retry_after_lengthens_a_wait_within_a_day_and_never_shortens_it() {
        assert_eq!(ask(1, 3_600, false, 7), 3_600);
        assert_eq!(ask(1, 10_000_000, false, 7), 86_400);
        assert!(ask(1, 0, false, 7) >= 4);
        assert!(ask(11, 86_400, false, 7) >= 86_400);
    }

    #[test]
    fn a_slow_consumer_is_left_alone_for_a_minute_at_least() {
        for seed in 0..1_000 {
            let delay = next_delay(1, None, true, seed).unwrap();
            assert!((minutes(1)..=Duration::from_secs(90)).contains(&delay));
        }
    }

    #[test]
    fn nothing_is_put_off_until_its_content_is_gone() {
        let goes_at = datetime!(2026-11-27 00:00 UTC);
        let last = goes_at - LAST_CALL;
        let (before, after) = (last - minutes(1), last + minutes(1));
        assert_eq!(while_kept(before, after, None), Some(after), "what is kept for ever can wait");
        assert_eq!(while_kept(before, last, Some(goes_at)), Some(last));
        assert_eq!(while_kept(before, goes_at + hours(24), Some(goes_at)), Some(last), "brought forward");
        assert_eq!(while_kept(last, after, Some(goes_at)), None, "the last attempt was the last");
        assert_eq!(while_kept(after, after + minutes(1), Some(goes_at)), None);
    }

    proptest! {
        #[test]
        fn every_delay_stays_in_its_envelope_and_the_envelope_only_rises(
            attempts in 1_u16..=11, seed: u64, slow: bool, asked in proptest::option::of(0_u64..1_000_000),
        ) {
            let asked = asked.map(Duration::from_secs);
            let rung = LADDER[usize::from(attempts) - 1];
            let top = (rung.max(if slow { SLOW_RUNG } else { rung }) * 6 / 5).max(asked.unwrap_or_default().min(LONGEST_RETRY_AFTER));
            let delay = next_delay(attempts, asked, slow, seed).unwrap();
            prop_assert!(delay >= rung * 4 / 5 && delay <= top);
            prop_assert_eq!(Some(delay), next_delay(attempts, asked, slow, seed));
            prop_assert!(attempts == 1 || LADDER[usize::from(attempts) - 2] < rung);
        }

        #[test]
        fn the_whole_ladder_takes_about_three_days(seeds: [u64; 11], slow: bool) {
            let total: Duration = (1..).zip(seeds).map(|(n, seed)| next_delay(n, None, slow, seed).unwrap()).sum();
            prop_assert!(total >= hours(60) && total <= hours(24) * 38 / 10);
        }
    }
}
