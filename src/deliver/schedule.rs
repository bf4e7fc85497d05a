//! What is delivered when: the order per person, slots, rate and breaker of one endpoint, and what to read next. Pure: no
//! input or output, and the time is passed in. What it holds is a copy of rows that stay in the database until they are
//! recorded, so that forgetting is always safe.

mod due;
mod lines;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroU32;

use time::OffsetDateTime;
use uuid::Uuid;

pub(super) use self::due::Retries;
pub(super) use self::lines::holds_below;
use self::lines::{Lines, Place};
use super::breaker::{Breaker, Permit};
use super::rate::Rate;
use crate::domain::endpoint::Order;
use crate::ids::{ContactId, EventId};

/// First attempts and retries that are held ready at most: 256 in all.
const AHEAD: usize = 192;
const RETRIES_AHEAD: usize = 64;
/// Bytes of content of each of the two kinds, ready or under way: 8 MiB in all.
const BYTES_AHEAD: usize = 4 << 20;
/// Where a rate is set, what is held ready lasts for so many seconds.
const SECONDS_AHEAD: usize = 2;

/// A delivery that is due.
#[derive(Debug)]
pub(super) struct Item<T> {
    pub(super) event: EventId,
    /// Whose turn it is.
    pub(super) contact: Option<ContactId>,
    /// Attempts before this one.
    pub(super) attempts: i16,
    /// Where it lies: `None` among first attempts.
    pub(super) postponed_to: Option<OffsetDateTime>,
    /// About how large it is.
    pub(super) bytes: usize,
    pub(super) content: T,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) items: Vec<Item<T>>,
    /// Whether there are more first attempts than came.
    pub(super) more_fresh: bool,
    /// Whether there are more retries due than came. Nothing when they were not asked for.
    pub(super) more_retries: bool,
}

/// What is to be read next: rows of each kind, and bytes of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) fresh: usize,
    pub(super) retries: usize,
    /// Of each of the two.
    pub(super) bytes: usize,
}

/// How a delivery that was begun ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was accepted.
    Accepted,
    /// It was not, and is tried again.
    Postponed,
    /// It was not, for no fault of the endpoint's: tried again, and not counted.
    PutOff,
    /// It was not, and is given up.
    GivenUp,
    /// It was given up without an attempt.
    Untried,
}

#[derive(Debug)]
struct Flight {
    contact: Option<ContactId>,
    attempts: i16,
    is_retry: bool,
    is_probe: bool,
    bytes: usize,
}

/// The schedule of one lane.
#[derive(Debug)]
pub(super) struct Schedule<T> {
    most: usize,
    rate: Rate,
    pub(super) breaker: Breaker,
    pub(super) retries: Retries,
    lines: Lines,
    fresh: BTreeMap<EventId, Item<T>>,
    /// Of `fresh`, those whose turn it is.
    ready: BTreeSet<EventId>,
    again: BTreeMap<(OffsetDateTime, EventId), Item<T>>,
    flying: HashMap<EventId, Flight>,
    /// Ended, and still as before in the database.
    unrecorded: HashSet<EventId>,
    more_fresh: bool,
    retry_was_last: bool,
    reading: Reading,
}

/// Whether something is being read, and of what use it will be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Nothing,
    Useful,
    /// It leaves out what was in hand and is forgotten by now, and must not overtake that.
    Stale,
}

impl<T> Schedule<T> {
    /// An empty schedule that knows of nothing to do. After a takeover, the owner before may have used up the rate.
    pub(super) fn new(taken_over_at: Option<OffsetDateTime>) -> Self {
        let mut rate = Rate::default();
        if let Some(now) = taken_over_at {
            rate.hold(now);
        }
        Self {
            most: 1,
            rate,
            breaker: Breaker::default(),
            retries: Retries::default(),
            lines: Lines::default(),
            fresh: BTreeMap::new(),
            ready: BTreeSet::new(),
            again: BTreeMap::new(),
            flying: HashMap::new(),
            unrecorded: HashSet::new(),
            more_fresh: false,
            retry_was_last: false,
            reading: Reading::Nothing,
        }
    }

    /// How many at once, and how many in a second. What is under way stays so.
    pub(super) fn set_pace(&mut self, most: usize, rate: Option<NonZeroU32>) {
        self.most = most.max(1);
        self.rate.set(rate);
    }

    /// In what order, and whose events wait for another attempt. Only at rest: nothing under way, waiting or unrecorded.
    pub(super) fn set_order(&mut self, order: Order, held: impl IntoIterator<Item = (ContactId, u64)>) {
        self.lines = Lines::new(order, held);
    }

    /// Something may have come; with `everything`, also among the retries.
    pub(super) fn look_again(&mut self, everything: bool) {
        self.more_fresh = true;
        self.retries.look_again(everything);
    }

    /// Whether there may be something to read.
    pub(super) fn wants_anything(&self, now: OffsetDateTime) -> bool {
        self.more_fresh || self.retries.are_due(now)
    }

    /// What is to be read now. It counts as being read from now on.
    pub(super) fn wants(&mut self, now: OffsetDateTime) -> Option<Want> {
        let (ahead, retries_ahead) = match self.breaker.permit(now) {
            Permit::Probe if self.fresh.is_empty() && self.again.is_empty() => (1, 1),
            Permit::Not | Permit::Probe => return None,
            Permit::Free => self.ahead(),
        };
        let room = |waiting: usize, ahead: usize| if waiting <= (ahead / 4).max(1) { ahead - waiting } else { 0 };
        let mut fresh = if self.more_fresh { room(self.fresh.len(), ahead) } else { 0 };
        let mut retries = if self.retries.are_due(now) { room(self.again.len(), retries_ahead) } else { 0 };
        let mut bytes = BYTES_AHEAD;
        for (rows, of_retries) in [(&mut fresh, false), (&mut retries, true)] {
            if *rows > 0 {
                let left = BYTES_AHEAD.saturating_sub(self.bytes(of_retries));
                (*rows, bytes) = if left == 0 { (0, bytes) } else { (*rows, bytes.min(left)) };
            }
        }
        if (fresh, retries) == (0, 0) {
            return None;
        }
        self.more_fresh &= fresh == 0;
        if retries > 0 {
            self.retries.looking(now);
        }
        self.reading = Reading::Useful;
        Some(Want { fresh, retries, bytes })
    }

    /// Rows held ready of each kind. What cannot begin for a long time had better not lie open in memory.
    fn ahead(&self) -> (usize, usize) {
        let lasts = self.rate.most().map_or(usize::MAX, |most| most.saturating_mul(SECONDS_AHEAD));
        (AHEAD.min(lasts), RETRIES_AHEAD.min(lasts))
    }

    fn bytes(&self, of_retries: bool) -> usize {
        let waiting: usize = if of_retries {
            self.again.values().map(|item| item.bytes).sum()
        } else {
            self.fresh.values().map(|item| item.bytes).sum()
        };
        let flying = self.flying.values().filter(|flight| flight.is_retry == of_retries);
        waiting + flying.map(|flight| flight.bytes).sum::<usize>()
    }

    /// Events that are not to be read again.
    pub(super) fn in_hand(&self) -> Vec<Uuid> {
        let waiting = self.fresh.keys().chain(self.again.keys().map(|(_, event)| event));
        waiting.chain(self.flying.keys()).chain(&self.unrecorded).map(|event| event.uuid()).collect()
    }

    /// Persons whose first attempts are not to be read.
    pub(super) fn held_back(&self) -> Vec<Uuid> {
        self.lines.held_back().map(ContactId::uuid).collect()
    }

    fn holds(&self, item: &Item<T>) -> bool {
        let again = item.postponed_to.is_some_and(|at| self.again.contains_key(&(at, item.event)));
        again
            || self.fresh.contains_key(&item.event)
            || self.flying.contains_key(&item.event)
            || self.unrecorded.contains(&item.event)
    }

    /// Takes what was read. What came too late to be of use is forgotten and read again.
    pub(super) fn offer(&mut self, read: Read<T>, now: OffsetDateTime) {
        self.more_fresh |= read.more_fresh;
        self.retries.looked(read.more_retries);
        if std::mem::take(&mut self.reading) == Reading::Stale {
            return self.forget_waiting();
        }
        if self.breaker.permit(now) == Permit::Not {
            return self.forget_waiting();
        }
        for item in read.items {
            if self.holds(&item) {
                continue;
            }
            if let Some(at) = item.postponed_to {
                self.again.insert((at, item.event), item);
                continue;
            }
            match self.lines.join(item.contact, item.event) {
                Place::First(instead_of) => {
                    self.ready.insert(item.event);
                    if let Some(other) = instead_of {
                        self.ready.remove(&other);
                    }
                }
                Place::Behind => {}
                // Others may stand behind those that were left out.
                Place::Outside => {
                    self.more_fresh = true;
                    continue;
                }
            }
            self.fresh.insert(item.event, item);
        }
    }

    /// The reading came to nothing.
    pub(super) fn reading_failed(&mut self) {
        self.reading = Reading::Nothing;
        self.more_fresh = true;
        self.retries.look_again(true);
    }

    /// The next delivery that may begin now. It is under way from now on.
    pub(super) fn next(&mut self, now: OffsetDateTime) -> Option<Item<T>> {
        let permit = self.breaker.permit(now);
        if permit == Permit::Not || self.flying.len() >= self.most || self.rate.next(now).is_some() {
            return None;
        }
        let item = self.pick()?;
        let (is_retry, is_probe) = (item.postponed_to.is_some(), permit == Permit::Probe);
        if let Some(other) = self.lines.leave(item.contact, item.event) {
            self.ready.remove(&other);
        }
        self.rate.begin(now);
        if is_probe {
            self.breaker.probe();
        }
        self.retry_was_last = is_retry;
        let (contact, attempts, bytes) = (item.contact, item.attempts, item.bytes);
        self.flying.insert(item.event, Flight { contact, attempts, is_retry, is_probe, bytes });
        Some(item)
    }

    /// Retries have half of the slots, and take turns with first attempts, so that neither starves the other.
    fn pick(&mut self) -> Option<Item<T>> {
        let fresh = self.ready.first().copied();
        let retrying = self.flying.values().filter(|flight| flight.is_retry).count();
        let has_slot = retrying < (self.most / 2).max(1);
        let retry = self.again.iter().find(|(_, item)| !self.lines.is_under_way(item.contact)).map(|(at, _)| *at);
        match (fresh, retry.filter(|_| has_slot)) {
            (Some(event), retry) if retry.is_none() || self.retry_was_last => {
                self.ready.remove(&event);
                self.fresh.remove(&event)
            }
            (_, Some(at)) => self.again.remove(&at),
            (_, None) => None,
        }
    }

    /// A delivery that was given up or done before it was begun: it only has to be recorded.
    pub(super) fn passed_over(&mut self, event: EventId) {
        self.unrecorded.insert(event);
    }

    /// A delivery that was begun has ended. Returns whether this opened the breaker.
    pub(super) fn finish(&mut self, event: EventId, ended: Ended, now: OffsetDateTime) -> bool {
        let Some(flight) = self.flying.remove(&event) else { return false };
        self.unrecorded.insert(event);
        let opened = match ended {
            Ended::Accepted => {
                self.breaker.accepted(flight.is_probe, now);
                false
            }
            Ended::Postponed | Ended::PutOff | Ended::GivenUp => self.breaker.failed(flight.is_probe, now),
            Ended::Untried => {
                if flight.is_probe {
                    self.breaker.probe_was_lost(now);
                }
                false
            }
        };
        let held = flight.is_retry && self.lines.holds(flight.attempts);
        let holds = match ended {
            Ended::Postponed => self.lines.holds(flight.attempts.saturating_add(1)),
            Ended::PutOff => self.lines.holds(flight.attempts),
            Ended::Accepted | Ended::GivenUp | Ended::Untried => false,
        };
        if holds && !held {
            for other in self.lines.hold_up(flight.contact) {
                self.fresh.remove(&other);
                self.ready.remove(&other);
            }
        } else if held && !holds {
            self.more_fresh |= self.lines.let_go(flight.contact);
        }
        let (next, has_room) = self.lines.end(flight.contact);
        self.ready.extend(next);
        self.more_fresh |= has_room;
        if self.breaker.is_open() {
            self.forget_waiting();
        } else if flight.is_probe {
            self.look_again(true);
        }
        opened
    }

    /// The database knows what became of these; those that were postponed fall due then.
    pub(super) fn recorded(
        &mut self,
        events: impl IntoIterator<Item = EventId>,
        postponed: impl IntoIterator<Item = OffsetDateTime>,
    ) {
        for event in events {
            self.unrecorded.remove(&event);
        }
        postponed.into_iter().for_each(|at| self.retries.postponed(at));
    }

    /// Forgets what has not begun; it is read again.
    pub(super) fn forget_waiting(&mut self) {
        if self.reading == Reading::Useful {
            self.reading = Reading::Stale;
        }
        self.more_fresh = true;
        self.retries.look_again(true);
        self.lines.forget_waiting();
        self.fresh = BTreeMap::new();
        self.ready = BTreeSet::new();
        self.again = BTreeMap::new();
    }

    /// When something may be done without anything having happened.
    pub(super) fn wake(&mut self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let has_work = !self.ready.is_empty() || !self.again.is_empty();
        let rate = if has_work { self.rate.next(now) } else { None };
        let retry = self.retries.next().filter(|_| !self.breaker.is_open());
        self.breaker.wake().chain(rate).chain(retry).filter(|at| *at > now).min()
    }
}
