//! How often leaked keys may be reported. Whoever reports one shows nothing but the key, so that strangers may, too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

/// Reports that are taken within [`WINDOW`] by this process: more than people find, and too few to guess or to be a burden.
const MOST: usize = 30;
const WINDOW: Duration = Duration::MINUTE;

/// The reports of late. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Reports(Arc<Mutex<VecDeque<OffsetDateTime>>>);

impl Reports {
    /// Notes a report. False: there were too many.
    pub(super) fn admit(&self, now: OffsetDateTime) -> bool {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.retain(|at| *at > now - WINDOW && *at <= now);
        let has_room = times.len() < MOST;
        if has_room {
            times.push_back(now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_when_the_window_has_passed() {
        let (reports, now) = (Reports::default(), OffsetDateTime::UNIX_EPOCH);
        assert!((0..MOST).all(|_| reports.admit(now)) && !reports.admit(now));
        assert!(!reports.admit(now + WINDOW - Duration::SECOND) && reports.admit(now + WINDOW));
    }
}
