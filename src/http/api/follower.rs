//! A reader on its way through the events: looks for the next ones, waits for more, and goes on from there. It is asked for
//! its key before every look, because it may stay longer than the key lasts.

use std::sync::Arc;

use serde_json::value::RawValue;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Duration, Instant, sleep, sleep_until};

use super::event_query::Wanted;
use super::events::{judged, shown_as};
use super::page::MAX_LIMIT;
use super::problem::{Code, Problem};
use crate::access::door::EventQuery;
use crate::access::views::{EventCursor, EventView};
use crate::access::{Caller, Door, DoorError, Errand};
use crate::clock::SharedClock;
use crate::directory::Directory;
use crate::http::state::{AppState, Draining};
use crate::ids::AuditEntryId;

/// Pages that are opened for one look when a predicate decides: it needs the content, and opening costs more than passing over.
const MOST_PAGES: usize = 10;
/// Pause after a look that found nothing. Readers with rare filters wake with every event, and shall not look at every one.
const PAUSE: Duration = Duration::from_millis(50);

/// A reader.
pub(super) struct Follower {
    who: Caller,
    errand: Errand,
    wanted: Wanted,
    door: Door,
    directory: Directory,
    clock: SharedClock,
    draining: Draining,
    head: watch::Receiver<i64>,
    looks: Arc<Semaphore>,
}

/// An event, ready to be sent.
pub(super) struct Told {
    pub(super) place: EventCursor,
    pub(super) event_type: String,
    pub(super) json: Box<RawValue>,
}

/// What a look brought.
#[derive(Default)]
pub(super) struct Look {
    pub(super) events: Vec<Told>,
    /// Whether another look would bring more, or might.
    pub(super) has_more: bool,
}

/// Why a look brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The key was taken back or has run out.
    #[error("the key is no longer valid")]
    KeyEnded,
    /// Nothing could be opened.
    #[error("the events could not be read")]
    Door(#[from] DoorError),
    /// What was opened cannot be written.
    #[error("an event could not be written")]
    Unwritable,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeyEnded => Self::new(Code::Unauthenticated),
            Refusal::Door(error) => error.into(),
            Refusal::Unwritable => Self::new(Code::Internal),
        }
    }
}

impl Follower {
    pub(super) fn new(state: &AppState, (who, errand): (Caller, Errand), wanted: Wanted) -> Self {
        Self {
            head: state.readers.lookout.watch(who.tenant),
            looks: state.readers.looks.clone(),
            door: state.door.clone(),
            directory: state.directory.clone(),
            clock: state.clock.clone(),
            draining: state.draining.clone(),
            who,
            errand,
            wanted,
        }
    }

    /// How far it has come.
    pub(super) const fn place(&self) -> EventCursor {
        self.wanted.query.after
    }

    /// The entries of the audit log for what was looked at since this was last asked.
    pub(super) fn receipts(&self) -> Vec<AuditEntryId> {
        self.errand.take_receipts()
    }

    /// Whether the process stops, and it has to leave.
    pub(super) fn must_leave(&self) -> bool {
        self.draining.has_begun()
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Result<Look, Refusal> {
        self.check_key()?;
        // What is committed from here on is a change to wait for.
        self.head.mark_unchanged();
        match &self.wanted.predicate {
            Some(_) => self.look_inside().await,
            None => {
                let page = self.door.events(&self.who, &self.errand, &self.wanted.query).await?;
                let events = page.items.iter().map(|event| self.told(event)).collect::<Result<_, _>>()?;
                self.wanted.query.after = page.next.unwrap_or(self.wanted.query.after);
                Ok(Look { events, has_more: page.has_more })
            }
        }
    }

    /// Looks once, in turn with all others who stay.
    pub(super) async fn look_in_turn(&mut self) -> Result<Look, Refusal> {
        // The semaphore is never closed.
        let _turn = self.looks.clone().acquire_owned().await;
        self.look().await
    }

    /// Looks, in turn, until there is something, the time is over, or the process stops.
    pub(super) async fn look_until(&mut self, end: Instant) -> Result<Look, Refusal> {
        loop {
            let look = self.look_in_turn().await?;
            if !look.events.is_empty() || Instant::now() >= end || self.must_leave() {
                return Ok(look);
            }
            if !look.has_more {
                self.wait(end).await;
            }
        }
    }

    /// Waits until there may be more, and no longer than until then. True: there may be more.
    pub(super) async fn wait(&mut self, until: Instant) -> bool {
        let more = async {
            sleep(PAUSE).await;
            // The lookout lives as long as its readers.
            let _changed = self.head.changed().await;
        };
        tokio::select! {
            () = more => true,
            () = sleep_until(until) => false,
            () = self.draining.begun() => false,
        }
    }

    /// Ends with an error once the key is no longer valid.
    pub(super) fn check_key(&mut self) -> Result<(), Refusal> {
        let again = self.who.again(&self.directory.snapshot(), self.clock.now());
        self.who = again.ok_or(Refusal::KeyEnded)?;
        Ok(())
    }

    /// A look that has to open what it passes over.
    async fn look_inside(&mut self) -> Result<Look, Refusal> {
        let mut look = Look::default();
        for _ in 0..MOST_PAGES {
            let query = EventQuery { limit: MAX_LIMIT, ..self.wanted.query.clone() };
            let page = self.door.events(&self.who, &self.errand, &query).await?;
            let is_full = page.items.len() == MAX_LIMIT;
            for event in &page.items {
                if look.events.len() == self.wanted.query.limit {
                    look.has_more = true;
                    return Ok(look);
                }
                self.wanted.query.after = event.place;
                if self.is_wanted(event) {
                    look.events.push(self.told(event)?);
                }
            }
            self.wanted.query.after = page.next.unwrap_or(self.wanted.query.after);
            look.has_more = page.has_more;
            if !is_full || !page.has_more {
                break;
            }
        }
        Ok(look)
    }

    fn is_wanted(&self, event: &EventView) -> bool {
        // By what the key may see: else a predicate would tell, bit by bit, what is masked.
        let judged = || judged(event, self.who.sight.fields());
        self.wanted.predicate.as_ref().is_none_or(|predicate| predicate.holds(&judged()))
    }

    fn told(&self, event: &EventView) -> Result<Told, Refusal> {
        let json = shown_as(event, self.wanted.fields.min(self.who.sight.fields())).ok_or(Refusal::Unwritable)?;
        Ok(Told { place: event.place, event_type: event.event_type.clone(), json })
    }
}
