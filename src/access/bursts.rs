//! Counts refusals by the minute, to tell a mistake from somebody who tries.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use super::Refused;
use crate::ids::ApiKeyId;

/// Refusals of one key within a minute that are no mistake of a program any more.
const OF_A_KEY: u32 = 20;
/// The same of all together who show no valid key. An application whose key has ended may knock once a second.
const OF_STRANGERS: u32 = 100;
/// What is counted together. Minutes are those of the clock, so that all processes mean the same one.
const WINDOW_SECONDS: i64 = 60;

/// Who was refused. No addresses: behind a proxy or a cluster they tell little, and they are people's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedParty {
    /// The application with this key, which is valid and may not.
    Key(ApiKeyId),
    /// Somebody without a valid key.
    Stranger,
    /// Somebody with a key that is locked.
    Locked,
}

impl RefusedParty {
    /// Why they were refused, in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Key(_) => "forbidden",
            Self::Stranger => "unauthenticated",
            Self::Locked => "locked",
        }
    }

    /// Their key, where it is known.
    #[must_use]
    pub const fn key(self) -> Option<ApiKeyId> {
        match self {
            Self::Key(key) => Some(key),
            Self::Stranger | Self::Locked => None,
        }
    }

    const fn threshold(self) -> u32 {
        match self {
            Self::Key(_) => OF_A_KEY,
            Self::Stranger | Self::Locked => OF_STRANGERS,
        }
    }
}

impl From<Refused> for RefusedParty {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::Stranger,
            Refused::Locked => Self::Locked,
        }
    }
}

/// A minute in which somebody was refused too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Who.
    pub party: RefusedParty,
    /// Which minute, since 1970.
    pub minute: i64,
    /// How often at least.
    pub count: u32,
}

/// The refusals of this minute.
#[derive(Debug, Default)]
pub(super) struct Bursts(Mutex<Minute>);

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    counts: HashMap<RefusedParty, u32>,
}

impl Bursts {
    /// Counts a refusal. Says once a minute for each party when there are too many.
    pub(super) fn note(&self, party: RefusedParty, now: OffsetDateTime) -> Option<Burst> {
        let number = now.unix_timestamp().div_euclid(WINDOW_SECONDS);
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != number {
            // No more keys are remembered than were refused within a minute.
            *minute = Minute { number, counts: HashMap::new() };
        }
        let count = minute.counts.entry(party).or_default();
        *count = count.saturating_add(1);
        (*count == party.threshold()).then_some(Burst { party, minute: number, count: *count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn too_many_refusals_within_a_minute_are_told_once_and_again_in_the_next() {
        let (bursts, now) = (Bursts::default(), OffsetDateTime::UNIX_EPOCH);
        let [one, other] = [1, 2].map(|number| RefusedParty::Key(ApiKeyId::from_uuid(Uuid::from_u128(number))));
        let told = |party, times: u32, now| (0..times).filter_map(|_| bursts.note(party, now)).count();
        assert_eq!((told(one, OF_A_KEY - 1, now), told(other, OF_A_KEY - 1, now)), (0, 0), "each counts for itself");
        assert_eq!((told(one, 1, now), told(one, 1000, now)), (1, 0));
        let next = now + time::Duration::MINUTE;
        assert_eq!((told(one, OF_A_KEY - 1, next), told(one, 1, next)), (0, 1));
        assert_eq!(
            (told(RefusedParty::Stranger, OF_STRANGERS - 1, next), told(RefusedParty::Stranger, 1, next)),
            (0, 1)
        );
    }
}
