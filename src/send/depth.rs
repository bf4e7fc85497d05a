//! Where a message that is just being taken will stand. The queue of a channel is looked at every few seconds, because counting it
//! for each message would cost more than to store one; in between it is reckoned with what came and what went.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::Sender;
use super::accept::Ready;
use crate::domain::channel::Pace;
use crate::ids::{ChannelId, TenantId};
use crate::store::queued::{Depth, FURTHEST};

/// How long a look is reckoned with.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// Where a message stands in the queue of its channel.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Messages that go before it; [`FURTHEST`] also stands for more.
    pub position: i64,
    /// About when it is sent.
    pub estimated_send_at: OffsetDateTime,
}

#[derive(Debug)]
struct Looked {
    at: Instant,
    waiting: [i64; 3],
    pace: Pace,
}

impl Looked {
    fn new(depth: &Depth, at: Instant) -> Self {
        Self { at, waiting: depth.waiting, pace: depth.pace }
    }

    /// How many go before one of this rank that comes now.
    fn before(&self, rank: usize, instant: Instant, now: OffsetDateTime) -> i64 {
        let waiting: i64 = self.waiting.iter().take(rank + 1).sum();
        let is_slowed = self.pace.slowed_until.is_some_and(|until| until > now);
        let millis = i64::try_from(instant.saturating_duration_since(self.at).as_millis()).unwrap_or(i64::MAX);
        let gone = if is_slowed { 0 } else { millis.saturating_mul(self.pace.per_second.into()) / 1000 };
        (waiting - gone).clamp(0, FURTHEST)
    }
}

/// What was seen of each channel's queue. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Depths(Arc<Mutex<HashMap<ChannelId, Looked>>>);

impl Depths {
    fn known(&self) -> MutexGuard<'_, HashMap<ChannelId, Looked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These wait now.
    pub(super) fn add(&self, came: impl Iterator<Item = (ChannelId, usize)>) {
        let mut known = self.known();
        for (channel, rank) in came {
            if let Some(waiting) = known.get_mut(&channel).and_then(|looked| looked.waiting.get_mut(rank)) {
                *waiting += 1;
            }
        }
    }

    fn before(&self, channel: ChannelId, rank: usize, now: OffsetDateTime) -> Option<(i64, Pace)> {
        let (known, instant) = (self.known(), Instant::now());
        let looked = known.get(&channel).filter(|looked| instant < looked.at + GOOD_FOR)?;
        Some((looked.before(rank, instant, now), looked.pace))
    }
}

impl Sender {
    /// Where a message will stand that is handed over now. `None`: it is for later, or nobody can say.
    pub async fn standing(&self, tenant: TenantId, message: &Ready) -> Option<Standing> {
        let now = self.clock.now();
        let (channel, rank) = message.falls_due(now)?;
        let (before, pace) = match self.depths.before(channel, rank, now) {
            Some(known) => known,
            None => {
                // That it cannot be told stops nobody from sending.
                let asked = self.store.depth_of_queue(tenant, channel, (self.pacing.per_second, now)).await;
                let looked = Looked::new(&asked.ok()??, Instant::now());
                let known = (looked.before(rank, looked.at, now), looked.pace);
                self.depths.known().insert(channel, looked);
                known
            }
        };
        Some(Standing { position: before, estimated_send_at: pace.reaches(before, now, now) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn what_is_more_urgent_counts_and_what_went_meanwhile_does_not() {
        let (now, instant) = (datetime!(2026-11-23 12:00 UTC), Instant::now());
        let depth = |slowed_until| Depth { waiting: [5, 100, 1000], pace: Pace { per_second: 20, slowed_until } };
        let looked = Looked::new(&depth(None), instant);
        assert_eq!([0, 1, 2].map(|rank| looked.before(rank, instant, now)), [5, 105, 1105]);
        let later = instant + Duration::from_secs(2);
        assert_eq!([0, 1].map(|rank| looked.before(rank, later, now)), [0, 65]);
        let slowed = Looked::new(&depth(Some(now + time::Duration::SECOND)), instant);
        assert_eq!(slowed.before(1, later, now), 105);
    }
}
