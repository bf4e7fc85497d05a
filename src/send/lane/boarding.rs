//! The last step before the wire: requests are listed where the next owner of the lane looks, many at once, and go at their moments.
//! What is not on the list was never sent, whenever this process dies. [`Boarding`] is pure.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::{PAUSE, Ready, Work};
use crate::ids::MessageId;
use crate::store::StoreError;

/// Requests are listed so long before their moment, and lists follow each other no faster: each costs a statement, and what it names
/// is in doubt when the process dies before their moment.
pub(super) const AHEAD: Duration = Duration::from_millis(50);
/// So many are worth a list at once, so that a channel without a limit does not wait; fewer where few have room on the wire.
const WORTH_A_LIST: usize = 32;
const OF_THE_WIRE: usize = 8;

/// Requests on their way to the wire.
pub(super) struct Boarding {
    /// Not listed yet. Their people count as being written to.
    waiting: Vec<Ready>,
    /// Being listed at this moment.
    leaving: Vec<Ready>,
    /// Listed, in the order in which they go.
    listed: VecDeque<Ready>,
    /// Everything that Meta may see or have seen, until its end is recorded.
    aboard: HashSet<MessageId>,
    /// Whether this owner has a list. Without one everything that it marks is in doubt.
    has_list: bool,
    is_listing: bool,
    /// Lists made so far.
    lists: i64,
    from: Instant,
    worth_a_list: usize,
}

impl Boarding {
    /// `room`: requests that may be on the wire at the same time.
    pub(super) fn new(room: usize, now: Instant) -> Self {
        Self {
            waiting: Vec::new(),
            leaving: Vec::new(),
            listed: VecDeque::new(),
            aboard: HashSet::new(),
            has_list: false,
            is_listing: false,
            lists: 0,
            from: now,
            worth_a_list: (room / OF_THE_WIRE).clamp(1, WORTH_A_LIST),
        }
    }

    /// Which list the last one is.
    pub(super) const fn last_list(&self) -> i64 {
        self.lists
    }

    /// How many are on their way.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.leaving.len() + self.listed.len()
    }

    /// So many may be on their way beyond those that have room on the wire: the next are ready when there is room.
    pub(super) const fn worth_a_list(&self) -> usize {
        self.worth_a_list
    }

    /// Whether messages may be marked.
    pub(super) const fn has_list(&self) -> bool {
        self.has_list
    }

    pub(super) fn offer(&mut self, ready: Ready) {
        self.waiting.push(ready);
    }

    /// The list to be kept now: everything that may be on the wire from then on. `None`: it is not worth it yet.
    pub(super) fn list(&mut self, now: Instant) -> Option<Vec<Uuid>> {
        let has_reason = !self.has_list || !self.waiting.is_empty();
        let is_time = self.from <= now || self.waiting.len() >= self.worth_a_list;
        if self.is_listing || !has_reason || !is_time {
            return None;
        }
        self.from = now + AHEAD;
        self.is_listing = true;
        self.lists += 1;
        self.leaving = std::mem::take(&mut self.waiting);
        self.aboard.extend(self.leaving.iter().map(|one| one.message));
        Some(self.aboard.iter().map(|message| message.uuid()).collect())
    }

    /// The list is kept, or it is not, and what was to be on it must not be sent.
    pub(super) fn was_listed(&mut self, is_kept: bool, pause_until: Instant) {
        self.is_listing = false;
        let mut leaving = std::mem::take(&mut self.leaving);
        if !is_kept {
            // It may be kept all the same, so that these stay named until they end.
            self.from = pause_until;
            leaving.append(&mut self.waiting);
            self.waiting = leaving;
            return;
        }
        self.has_list = true;
        // In their order and not by their moments: those of two claims may overlap by what an answer took.
        self.listed.extend(leaving);
    }

    /// The next that may be sent now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Ready> {
        self.listed.pop_front_if(|first| first.at <= now)
    }

    /// Its end is recorded: nobody has to know that it was on the wire.
    pub(super) fn is_recorded(&mut self, message: MessageId) {
        self.aboard.remove(&message);
    }

    /// Everything that is not on the wire, but for what is being listed.
    pub(super) fn give_back(&mut self) -> Vec<Ready> {
        self.waiting.drain(..).chain(self.listed.drain(..)).collect()
    }

    /// When a listed one may go, and when a list may be made of what waits.
    pub(super) fn wakes(&self) -> [Option<Instant>; 2] {
        let has_reason = !self.has_list || !self.waiting.is_empty();
        [self.listed.front().map(|first| first.at), (has_reason && !self.is_listing).then_some(self.from)]
    }
}

impl Work<'_> {
    /// Lists what comes next, and sends what is listed.
    pub(super) fn board(&mut self, instant: Instant) {
        let (sender, lane) = (self.sender, self.lane);
        while self.flying.len() < sender.max_in_flight
            && let Some(ready) = self.boarding.next(instant)
        {
            self.fly(ready);
        }
        while self.flying.len() + self.boarding.len() < sender.max_in_flight + self.boarding.worth_a_list()
            && let Some(ready) = self.turns.next(instant + AHEAD)
        {
            self.boarding.offer(ready);
        }
        if let Some(list) = self.boarding.list(instant) {
            let seq = self.boarding.last_list();
            self.listing = Some(Box::pin(async move { sender.store.list_on_the_wire(lane, seq, &list).await }));
        }
    }

    pub(super) fn was_listed(&mut self, listed: &Result<bool, StoreError>) {
        self.listing = None;
        if let Err(error) = listed {
            tracing::warn!(channel = %self.channel.id, error = %error, "what goes on the wire could not be noted yet");
        }
        // Where the lane is another's, whoever gave it to us says so in a moment.
        self.boarding.was_listed(matches!(listed, Ok(true)), Instant::now() + PAUSE);
    }

    /// What is not on the wire goes back.
    pub(super) fn put_all_back(&mut self, until: OffsetDateTime) {
        let mut all = self.turns.give_all_back();
        for ready in self.boarding.give_back() {
            // They were not sent: their people are free.
            all.extend(self.turns.ended(ready.contact));
            all.push(ready);
        }
        self.put_back(all, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ContactId;
    use time::macros::datetime;

    fn ready(at: Instant) -> Ready {
        let (message, contact) =
            (MessageId::new(datetime!(2026-11-23 12:00 UTC)), ContactId::new(datetime!(2026-11-23 12:00 UTC)));
        Ready { message, contact, attempts: 0, body: Vec::new(), expires_at: None, resend: false, at }
    }

    fn begun(now: Instant) -> Boarding {
        let mut boarding = Boarding::new(256, now);
        assert_eq!(
            boarding.list(now).map(|list| list.len()),
            Some(0),
            "the first list is there before anything is marked"
        );
        boarding.was_listed(true, now);
        assert!(boarding.has_list());
        boarding
    }

    #[test]
    fn nothing_goes_that_is_not_listed_and_a_list_names_all_that_has_not_ended() {
        let now = Instant::now();
        let (mut boarding, later) = (begun(now), now + AHEAD);
        let [first, second] = [ready(now), ready(now)];
        let ids = [first.message, second.message];
        boarding.offer(first);
        assert!(boarding.next(later).is_none());
        assert_eq!(boarding.list(later), Some(vec![ids[0].uuid()]));
        assert!(boarding.next(later).is_none(), "the list is not kept yet");
        boarding.was_listed(true, later);
        assert_eq!(boarding.next(later).unwrap().message, ids[0]);
        boarding.offer(second);
        assert_eq!(boarding.list(later), None, "so soon it is not worth a list");
        assert_eq!(boarding.list(later + AHEAD).unwrap().len(), 2, "the first may be on the wire");
        boarding.was_listed(true, later);
        boarding.is_recorded(ids[0]);
        boarding.offer(ready(now));
        let before = boarding.last_list();
        let list = boarding.list(later + AHEAD + AHEAD).unwrap();
        assert_eq!(boarding.last_list(), before + 1);
        assert!(!list.contains(&ids[0].uuid()) && list.len() == 2);
    }

    #[test]
    fn what_could_not_be_listed_waits_and_goes_back_when_asked() {
        let now = Instant::now();
        let mut boarding = begun(now);
        boarding.offer(ready(now));
        assert!(boarding.list(now + AHEAD).is_some());
        assert!(boarding.give_back().is_empty(), "it is being listed");
        boarding.was_listed(false, now + AHEAD * 4);
        assert!(boarding.next(now + AHEAD).is_none());
        assert_eq!(boarding.wakes(), [None, Some(now + AHEAD * 4)]);
        assert_eq!((boarding.give_back().len(), boarding.len()), (1, 0));
    }

    #[test]
    fn many_are_worth_a_list_at_once_and_go_in_their_order_none_before_its_moment() {
        let now = Instant::now();
        let mut boarding = begun(now);
        for at in 0..WORTH_A_LIST {
            boarding.offer(ready(now + Duration::from_millis(u64::try_from(at).unwrap())));
        }
        assert_eq!(boarding.list(now).map(|list| list.len()), Some(WORTH_A_LIST));
        boarding.was_listed(true, now);
        assert_eq!(boarding.next(now).unwrap().at, now);
        assert!(boarding.next(now).is_none());
    }
}
