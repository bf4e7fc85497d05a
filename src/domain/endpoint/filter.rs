//! Which events an endpoint is told of.

use crate::domain::event::EventType;
use crate::domain::predicate::Predicate;
use crate::ids::ChannelId;

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a person to the business.
    In,
    /// From the business to a person, and what became of it.
    Out,
}

impl Direction {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::In, Self::Out].into_iter().find(|direction| direction.as_str() == text)
    }

    /// The direction of the message that an event is about. `None`: it is about no message, or may be about either.
    #[must_use]
    pub const fn of(event_type: EventType) -> Option<Self> {
        match event_type {
            EventType::MessageReceived | EventType::MessageEdited | EventType::MessageRevoked => Some(Self::In),
            EventType::MessageEcho
            | EventType::MessageAccepted
            | EventType::MessageSent
            | EventType::MessageDelivered
            | EventType::MessageRead
            | EventType::MessagePlayed
            | EventType::MessageFailed
            | EventType::MessageStatus
            | EventType::MessageInDoubt
            | EventType::MessageCancelled
            | EventType::MessageExpired => Some(Self::Out),
            _ => None,
        }
    }
}

/// Which events an endpoint is told of. Type, channel and direction decide when an event is stored; the predicate needs the
/// content, and decides when it is opened to be delivered.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Stable names, or `prefix.*`. Empty: all but confidential ones.
    pub event_types: Vec<String>,
    /// Empty: all, also events that belong to no channel.
    pub channels: Vec<ChannelId>,
    /// `None`: both, also events that are about no message.
    pub direction: Option<Direction>,
    /// What the event JSON must look like. `None`: anything.
    pub predicate: Option<Predicate>,
}

impl Filter {
    /// Whether such an event is owed to the endpoint, as far as can be told without its content.
    #[must_use]
    pub fn matches(&self, event_type: EventType, channel: Option<ChannelId>) -> bool {
        let type_matches = (self.event_types.is_empty() && !event_type.is_confidential())
            || self.event_types.iter().any(|wanted| type_matches(wanted, event_type.as_str()));
        let channel_matches =
            self.channels.is_empty() || channel.is_some_and(|channel| self.channels.contains(&channel));
        let direction_matches = self.direction.is_none() || self.direction == Direction::of(event_type);
        type_matches && channel_matches && direction_matches
    }

    /// Whether `wanted` can match any event at all: a known type or the prefix of one.
    #[must_use]
    pub fn is_known(wanted: &str) -> bool {
        EventType::ALL.iter().any(|event_type| type_matches(wanted, event_type.as_str()))
    }
}

fn type_matches(wanted: &str, event_type: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(prefix) => event_type.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => wanted == event_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_matches_types_prefixes_and_channels() {
        let now = time::macros::datetime!(2026-11-22 12:00 UTC);
        let (here, there) = (ChannelId::new(now), ChannelId::new(now));
        let all = Filter::default();
        assert!(all.matches(EventType::Unrecognised, None));
        let event_types = vec!["message.*".into(), "standby".into()];
        let messages = Filter { event_types, channels: vec![here], ..Filter::default() };
        assert!(messages.matches(EventType::MessageRead, Some(here)));
        assert!(messages.matches(EventType::Standby, Some(here)));
        assert!(!messages.matches(EventType::MessageRead, Some(there)));
        assert!(!messages.matches(EventType::MessageRead, None));
        assert!(!messages.matches(EventType::CallUpdated, Some(here)));
    }

    #[test]
    fn a_direction_leaves_out_the_other_and_what_has_none() {
        let matching = |direction| {
            let filter = Filter { direction: Some(direction), ..Filter::default() };
            EventType::ALL.iter().filter(|event_type| filter.matches(**event_type, None)).count()
        };
        assert_eq!((matching(Direction::In), matching(Direction::Out)), (3, 11));
    }

    #[test]
    fn a_type_that_can_never_match_is_known_as_such() {
        assert!(
            Filter::is_known("message.received") && Filter::is_known("message.*") && Filter::is_known("unrecognised")
        );
        assert!(
            !Filter::is_known("message")
                && !Filter::is_known("mesage.*")
                && !Filter::is_known("*")
                && !Filter::is_known("")
        );
    }
}
