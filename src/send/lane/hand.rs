//! What a lane has in hand: everything with its mark that it knows of. Pure.

use std::collections::HashSet;

use uuid::Uuid;

use crate::ids::MessageId;

/// What is in hand. What was put back may be taken again before it is known here that it was put back: its record must not take it
/// out of hand then, because it is on its way to Meta.
#[derive(Debug, Default)]
pub(super) struct Hand {
    held: HashSet<MessageId>,
    again: HashSet<MessageId>,
}

impl Hand {
    /// A message was taken.
    pub(super) fn take(&mut self, message: MessageId) {
        if !self.held.insert(message) {
            self.again.insert(message);
        }
    }

    pub(super) fn holds(&self, message: MessageId) -> bool {
        self.held.contains(&message)
    }

    /// What became of a message is recorded. False: it was taken again meanwhile, and stays.
    pub(super) fn is_recorded(&mut self, message: MessageId) -> bool {
        !self.again.remove(&message) && self.held.remove(&message)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<Uuid> {
        self.held.iter().map(|message| message.uuid()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn what_is_taken_again_before_its_record_is_known_stays_in_hand_until_its_next_one() {
        let (mut hand, message) = (Hand::default(), MessageId::new(datetime!(2026-11-23 12:00 UTC)));
        hand.take(message);
        hand.take(message);
        assert!(!hand.is_recorded(message) && hand.holds(message), "it may be on the wire");
        assert!(hand.is_recorded(message) && !hand.holds(message));
        assert!(hand.ids().is_empty());
    }
}
