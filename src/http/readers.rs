//! Those who stay to be told of events: how many there may be, and how many look at a time. They share the listener with
//! whoever comes for a moment, and the database with the webhooks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::access::Lookout;
use crate::ids::ApiKeyId;
use crate::telemetry;

/// Requests that wait for events, in all and with one key. Together with the streams fewer than the listener has
/// connections, so that there are some left for everything else.
const WAITING: Bounds = Bounds { kind: "waiting", all: 512, each: 128 };
/// Open streams.
const STREAMS: Bounds = Bounds { kind: "stream", all: 256, each: 16 };
/// Looks for events at a time, of all who stay. A share of the database connections that leaves the most for webhooks.
const LOOKS: usize = 3;

/// What those who stay share. Clones are one.
#[derive(Debug, Clone)]
pub struct Readers {
    pub(super) lookout: Lookout,
    pub(super) waiting: Seats,
    pub(super) streams: Seats,
    pub(super) looks: Arc<Semaphore>,
}

impl Readers {
    /// Nobody is there yet. The lookout must be run.
    #[must_use]
    pub fn new(lookout: Lookout) -> Self {
        let looks = Arc::new(Semaphore::new(LOOKS));
        Self { lookout, waiting: Seats::new(WAITING), streams: Seats::new(STREAMS), looks }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bounds {
    kind: &'static str,
    all: usize,
    each: usize,
}

/// Places of one kind.
#[derive(Debug, Clone)]
pub(super) struct Seats {
    bounds: Bounds,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_key: HashMap<ApiKeyId, usize>,
}

/// A place that is taken. Free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    key: ApiKeyId,
}

impl Seats {
    fn new(bounds: Bounds) -> Self {
        Self { bounds, taken: Arc::default() }
    }

    /// Takes a place. `None`: all are taken, or all that one key may have.
    pub(super) fn take(&self, key: ApiKeyId) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = taken.by_key.get(&key).copied().unwrap_or(0);
        if taken.all >= self.bounds.all || of_key >= self.bounds.each {
            return None;
        }
        taken.all += 1;
        taken.by_key.insert(key, of_key + 1);
        metrics::gauge!(telemetry::EVENT_READERS, "kind" => self.bounds.kind).set(taken.all as f64);
        Some(Seat { seats: self.clone(), key })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        let of_key = taken.by_key.get(&self.key).copied().unwrap_or(0);
        if of_key > 1 {
            taken.by_key.insert(self.key, of_key - 1);
        } else {
            taken.by_key.remove(&self.key);
        }
        metrics::gauge!(telemetry::EVENT_READERS, "kind" => self.seats.bounds.kind).set(taken.all as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gets_its_share_all_together_get_theirs_and_what_is_left_is_free_again() {
        let seats = Seats::new(Bounds { kind: "test", all: 3, each: 2 });
        let [one, other] = [1, 2].map(|number| ApiKeyId::from_uuid(uuid::Uuid::from_u128(number)));
        let first = [seats.take(one).unwrap(), seats.take(one).unwrap()];
        assert!(seats.take(one).is_none());
        let last = seats.take(other).unwrap();
        assert!(seats.take(other).is_none());
        drop(first);
        assert!(seats.take(other).is_some() && seats.take(one).is_some());
        drop(last);
        assert!(seats.taken.lock().unwrap().by_key.is_empty());
    }
}
