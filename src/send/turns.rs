//! Whose turn it is among the messages that were claimed: each has its moment, and one person's go one after the other, so that they
//! arrive in the order in which they were handed over. Pure.

use std::collections::{HashMap, VecDeque};

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::ids::{ContactId, MessageId};

/// A message that is marked as being on the wire and not on it yet.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) message: MessageId,
    pub(super) contact: ContactId,
    /// Before this one.
    pub(super) attempts: i16,
    pub(super) body: Vec<u8>,
    pub(super) expires_at: Option<OffsetDateTime>,
    /// Whether it is sent once more where its answer is lost.
    pub(super) resend: bool,
    /// Not before.
    pub(super) at: Instant,
}

/// Those that wait for their moment, and those whose person is being written to.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<Ready>,
    behind: HashMap<ContactId, VecDeque<Ready>>,
    count: usize,
}

impl Turns {
    /// In the order of their moments.
    pub(super) fn offer(&mut self, ready: impl IntoIterator<Item = Ready>) {
        let before = self.waiting.len();
        self.waiting.extend(ready);
        self.count += self.waiting.len() - before;
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The next that may go now. Its person is being written to from now on, until [`Turns::ended`].
    pub(super) fn next(&mut self, now: Instant) -> Option<Ready> {
        while self.waiting.front().is_some_and(|first| first.at <= now) {
            let ready = self.waiting.pop_front()?;
            match self.behind.get_mut(&ready.contact) {
                Some(behind) => behind.push_back(ready),
                None => {
                    self.behind.insert(ready.contact, VecDeque::new());
                    self.count -= 1;
                    return Some(ready);
                }
            }
        }
        None
    }

    /// The message to this person has ended: the next one to them, which goes at once.
    pub(super) fn ended(&mut self, contact: ContactId) -> Option<Ready> {
        let next = self.behind.get_mut(&contact).and_then(VecDeque::pop_front);
        match &next {
            Some(_) => self.count -= 1,
            None => drop(self.behind.remove(&contact)),
        }
        next
    }

    /// The message to this person goes back: so does everything to them that waits, or it would overtake.
    pub(super) fn give_back(&mut self, contact: ContactId) -> Vec<Ready> {
        let mut given: Vec<Ready> = self.behind.remove(&contact).unwrap_or_default().into();
        let (theirs, others) =
            std::mem::take(&mut self.waiting).into_iter().partition(|ready| ready.contact == contact);
        let theirs: VecDeque<Ready> = theirs;
        self.waiting = others;
        given.extend(theirs);
        self.count -= given.len();
        given
    }

    /// Everything that waits goes back. Who is being written to stays so.
    pub(super) fn give_all_back(&mut self) -> Vec<Ready> {
        self.count = 0;
        let behind = self.behind.values_mut().flat_map(std::mem::take);
        behind.chain(std::mem::take(&mut self.waiting)).collect()
    }

    /// When the next one may go.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.waiting.front().map(|first| first.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use time::macros::datetime;

    fn ready(contact: ContactId, at: Instant) -> Ready {
        let message = MessageId::new(datetime!(2026-11-23 12:00 UTC));
        Ready { message, contact, attempts: 0, body: Vec::new(), expires_at: None, resend: false, at }
    }

    fn contacts() -> [ContactId; 2] {
        std::array::from_fn(|_| ContactId::new(datetime!(2026-11-23 12:00 UTC)))
    }

    #[test]
    fn nobody_goes_before_their_moment_and_one_person_gets_one_at_a_time() {
        let ([a, b], now) = (contacts(), Instant::now());
        let later = now + Duration::from_millis(10);
        let all = [ready(a, now), ready(a, now), ready(b, now), ready(b, later)];
        let ids = [0, 1, 2, 3].map(|at| all[at].message);
        let mut turns = Turns::default();
        turns.offer(all);
        assert_eq!([turns.next(now).unwrap().message, turns.next(now).unwrap().message], [ids[0], ids[2]]);
        assert!(turns.next(now).is_none());
        assert_eq!((turns.len(), turns.wake()), (2, Some(later)));
        assert_eq!(turns.ended(a).unwrap().message, ids[1]);
        assert!(turns.ended(a).is_none());
        assert!(turns.next(later).is_none(), "b is still being written to");
        assert_eq!(turns.ended(b).unwrap().message, ids[3]);
        assert_eq!(turns.len(), 0);
    }

    #[test]
    fn what_waits_behind_a_message_that_goes_back_goes_back_with_it_in_its_order() {
        let ([a, b], now) = (contacts(), Instant::now());
        let later = now + Duration::from_millis(10);
        let all = [ready(a, now), ready(a, now), ready(b, now), ready(a, later)];
        let ids = [0, 1, 2, 3].map(|at| all[at].message);
        let mut turns = Turns::default();
        turns.offer(all);
        assert_eq!(turns.next(now).unwrap().message, ids[0]);
        assert_eq!(turns.next(now).unwrap().message, ids[2]);
        let back: Vec<MessageId> = turns.give_back(a).iter().map(|one| one.message).collect();
        assert_eq!(back, [ids[1], ids[3]]);
        assert_eq!(turns.len(), 0);
        turns.offer([ready(a, now), ready(b, now)]);
        assert!(turns.next(now).is_some(), "a is free again");
        assert!(turns.next(now).is_none());
        assert_eq!(turns.give_all_back().len(), 1);
        assert!(turns.ended(b).is_none());
    }
}
