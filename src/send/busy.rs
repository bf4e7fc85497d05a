//! How many lanes of a process have messages in hand: they share its database, so the more they are the longer each waits before it
//! claims or records again, and the more each then has to claim and to record.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What a claim and a record of each lane are worth waiting for.
const FOR_EACH: Duration = Duration::from_millis(20);
/// However many there are: an application waits for what is told of its message.
const LONGEST: Duration = Duration::from_millis(250);

/// The lanes of a process. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<AtomicU32>);

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    all: Busy,
    is_counted: bool,
}

impl Busy {
    /// A place for a lane, which has nothing in hand yet.
    pub(super) fn place(&self) -> Place {
        Place { all: self.clone(), is_counted: false }
    }
}

impl Place {
    /// Whether this lane has something in hand.
    pub(super) fn is(&mut self, busy: bool) {
        if busy && !self.is_counted {
            self.all.0.fetch_add(1, Ordering::Relaxed);
        } else if !busy && self.is_counted {
            self.all.0.fetch_sub(1, Ordering::Relaxed);
        }
        self.is_counted = busy;
    }

    /// How long after a claim that found little, or a record, the next one begins (ADR 11). Longer than there: Meta's answer takes
    /// several times as long, and each costs a commit.
    pub(super) fn breath(&self) -> Duration {
        (FOR_EACH * self.all.0.load(Ordering::Relaxed).max(1)).min(LONGEST)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.is(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_breathe_longer_the_more_of_them_are_busy_and_shorter_when_one_has_ended() {
        let all = Busy::default();
        let mut places = [all.place(), all.place(), all.place()];
        assert_eq!(places[0].breath(), FOR_EACH);
        for place in &mut places {
            place.is(true);
        }
        places[1].is(true);
        assert_eq!(places[0].breath(), FOR_EACH * 3);
        places[2].is(false);
        let [first, second, _] = places;
        drop(second);
        assert_eq!(first.breath(), FOR_EACH);
    }

    #[test]
    fn nobody_waits_for_long() {
        let all = Busy::default();
        let mut places: Vec<Place> = (0..100).map(|_| all.place()).collect();
        for place in &mut places {
            place.is(true);
        }
        assert_eq!(places[0].breath(), LONGEST);
    }
}
