//! Where a message that is just being taken will stand. The queue of a channel is looked at every few seconds, because counting it
//! for each message would cost more than to store one; in between it is reckoned with what came and what went, and nobody waits for
//! the next look.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::Sender;
use super::accept::Ready;
use crate::domain::channel::Pace;
use crate::ids::{ChannelId, TenantId};
use crate::store::queued::{Depth, FURTHEST};

/// After this, a look is followed by another.
const GOOD_FOR: Duration = Duration::from_secs(5);
/// How long a look is reckoned with, while the next one is on its way. After that, whoever asks waits for it.
const STANDS_FOR: Duration = Duration::from_secs(30);

/// Where a message stands in the queue of its channel.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Messages that go before it; [`FURTHEST`] also stands for more.
    pub position: i64,
    /// About when it is sent.
    pub estimated_send_at: OffsetDateTime,
}

#[derive(Debug, Clone, Copy)]
struct Looked {
    at: Instant,
    /// From when on somebody looks again.
    next: Instant,
    waiting: [i64; 3],
    pace: Pace,
}

impl Looked {
    fn new(depth: &Depth, at: Instant) -> Self {
        Self { at, next: at + GOOD_FOR, waiting: depth.waiting, pace: depth.pace }
    }

    /// One more waits.
    fn add(&mut self, rank: usize) {
        if let Some(waiting) = self.waiting.get_mut(rank) {
            *waiting += 1;
        }
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
            if let Some(looked) = known.get_mut(&channel) {
                looked.add(rank);
            }
        }
    }

    /// What was seen of a channel, and whether whoever asks is the one to look again.
    fn get(&self, channel: ChannelId) -> Option<(Looked, bool)> {
        let (mut known, instant) = (self.known(), Instant::now());
        let looked = known.get_mut(&channel).filter(|looked| instant < looked.at + STANDS_FOR)?;
        let is_old = looked.next <= instant;
        if is_old {
            looked.next = instant + GOOD_FOR;
        }
        Some((*looked, is_old))
    }
}

impl Sender {
    /// Where messages will stand that are handed over now, in their order. `None`: one is for later, or nobody can say.
    pub async fn standings(&self, tenant: TenantId, messages: &[Ready]) -> Vec<Option<Standing>> {
        let now = self.clock.now();
        let due: Vec<Option<(ChannelId, usize)>> = messages.iter().map(|message| message.falls_due(now)).collect();
        let channels: HashSet<ChannelId> = due.iter().flatten().map(|(channel, _)| *channel).collect();
        let mut depths: HashMap<ChannelId, Looked> = HashMap::new();
        for channel in channels {
            depths.extend(self.depth(tenant, channel, now).await.map(|depth| (channel, depth)));
        }
        let instant = Instant::now();
        let mut standing = |(channel, rank): (ChannelId, usize)| {
            let depth = depths.get_mut(&channel)?;
            let position = depth.before(rank, instant, now);
            depth.add(rank);
            Some(Standing { position, estimated_send_at: depth.pace.reaches(position, now, now) })
        };
        due.into_iter().map(|due| due.and_then(&mut standing)).collect()
    }

    /// The queue of a channel, as far as it is known. `None`: it cannot be told, which stops nobody from sending.
    async fn depth(&self, tenant: TenantId, channel: ChannelId, now: OffsetDateTime) -> Option<Looked> {
        let Some((depth, is_old)) = self.depths.get(channel) else { return self.look(tenant, channel, now).await };
        if is_old {
            let sender = self.clone();
            self.tasks.spawn(async move { sender.look(tenant, channel, now).await });
        }
        Some(depth)
    }

    async fn look(&self, tenant: TenantId, channel: ChannelId, now: OffsetDateTime) -> Option<Looked> {
        let depth = self.store.depth_of_queue(tenant, channel, (self.pacing.per_second, now)).await.ok()??;
        let looked = Looked::new(&depth, Instant::now());
        self.depths.known().insert(channel, looked);
        Some(looked)
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
