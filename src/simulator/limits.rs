//! Meta's limits on how fast is sent, where the settings ask for them: messages a second through the number, and messages to one person.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::{Duration, OffsetDateTime};

use super::errors::GraphError;
use super::settings::Settings;

/// One message to a person in this time, and how much of it may be borrowed from later: 45 at once.
const PAIR_STEP: Duration = Duration::seconds(6);
const PAIR_BURST: i32 = 45;
/// What comes through the number may be bunched up by the network for this long.
const BUNCH: Duration = Duration::SECOND;

/// What was sent lately, and how often something was too fast.
#[derive(Debug, Default)]
pub(super) struct Limits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    number: Option<OffsetDateTime>,
    pairs: HashMap<String, OffsetDateTime>,
    refused: [u64; 2],
}

/// Takes a place of one step, unless the places that are taken reach further than `slack` into the future.
fn take(until: Option<OffsetDateTime>, step: Duration, slack: Duration, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let until = until.map_or(now, |until| until.max(now));
    (until - now <= slack).then(|| until + step)
}

impl Limits {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a message to `person` through, or refuses it as Meta does.
    pub(super) fn admit(&self, settings: &Settings, person: &str, now: OffsetDateTime) -> Result<(), GraphError> {
        let mut state = self.state();
        if settings.messages_per_second > 0 {
            let step = Duration::SECOND / settings.messages_per_second;
            let Some(until) = take(state.number, step, BUNCH - step, now) else {
                state.refused[0] += 1;
                return Err(GraphError::new(130_429, "Message failed to send because there were too many messages"));
            };
            state.number = Some(until);
        }
        if settings.pair_limit {
            let Some(until) = take(state.pairs.get(person).copied(), PAIR_STEP, PAIR_STEP * (PAIR_BURST - 1), now)
            else {
                state.refused[1] += 1;
                return Err(GraphError::new(131_056, "Too many messages to the same person in a short period"));
            };
            state.pairs.insert(person.to_owned(), until);
        }
        Ok(())
    }

    /// How often the number, and how often a person, got too many.
    pub(super) fn refused(&self) -> [u64; 2] {
        self.state().refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOON: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

    #[test]
    fn a_number_sends_no_more_than_its_limit_beyond_one_second_of_it_at_once() {
        let settings = Settings { messages_per_second: 80, ..Settings::default() };
        let limits = Limits::default();
        let admitted = |now| (0..1000).filter(|_| limits.admit(&settings, "49", now).is_ok()).count();
        assert_eq!(admitted(NOON), 80);
        assert_eq!(admitted(NOON + Duration::milliseconds(500)), 40);
        assert_eq!(limits.refused(), [920 + 960, 0]);
    }

    #[test]
    fn a_person_gets_45_at_once_and_then_one_in_six_seconds() {
        let settings = Settings { pair_limit: true, ..Settings::default() };
        let limits = Limits::default();
        let admitted = |now| (0..100).filter(|_| limits.admit(&settings, "49", now).is_ok()).count();
        assert_eq!(admitted(NOON), 45);
        assert_eq!(admitted(NOON + Duration::seconds(5)), 0);
        assert_eq!(admitted(NOON + Duration::seconds(12)), 2);
        assert!(limits.admit(&settings, "50", NOON).is_ok());
    }
}
