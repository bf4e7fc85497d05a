//! Which windows are worth writing: somebody who writes ten messages in a minute opens one.

use quick_cache::sync::Cache;
use time::{Duration, OffsetDateTime};

use crate::ids::{ChannelId, ContactId, EventId, TenantId};
use crate::store::events::NewEvent;

/// A window that ends at most so much later than the one that was written is not written: it is told to end up to a minute early,
/// never late.
const GRAIN: Duration = Duration::minutes(1);
/// Conversations that are remembered; the others are written once more.
const REMEMBERED: usize = 10_000;

type Conversation = (TenantId, ContactId, ChannelId);

/// Until when the windows were open that were written last. What another process wrote can only be later.
#[derive(Debug)]
pub(super) struct Windows(Cache<Conversation, OffsetDateTime>);

/// Windows that a batch opens, to be remembered once it is committed.
#[derive(Debug)]
pub(super) struct Opened(Vec<(EventId, Conversation, OffsetDateTime)>);

impl Windows {
    pub(super) fn new() -> Self {
        Self(Cache::new(REMEMBERED))
    }

    /// Strikes the windows that need not be written, and notes the others.
    pub(super) fn sift(&self, tenant: TenantId, batch: &mut [NewEvent]) -> Opened {
        let mut opened = Vec::new();
        for event in batch {
            let conversation = event.contact.zip(event.channel).map(|(contact, channel)| (tenant, contact, channel));
            let Some((conversation, until)) = conversation.zip(event.opens_until) else {
                event.opens_until = None;
                continue;
            };
            if self.0.get(&conversation).is_some_and(|written| until <= written + GRAIN) {
                event.opens_until = None;
            } else {
                opened.push((event.event_id, conversation, until));
            }
        }
        Opened(opened)
    }

    /// Remembers what was committed.
    pub(super) fn remember(&self, opened: &Opened) {
        for (_, conversation, until) in &opened.0 {
            if self.0.get(conversation).is_none_or(|written| written < *until) {
                self.0.insert(*conversation, *until);
            }
        }
    }
}

impl Opened {
    /// Without those of events that had been stored before: their windows were not written now.
    pub(super) fn only(mut self, stored: &[EventId]) -> Self {
        self.0.retain(|(event, ..)| stored.contains(event));
        self
    }
}
