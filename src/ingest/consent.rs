//! What people say of marketing by the way: one of the words, Meta's preferences, a failed marketing message.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::Parts;
use super::write_error::WriteError;
use crate::directory::{Snapshot, Statement};
use crate::domain::consent::{MARKETING, OPTED_OUT, Said, Source, State, Words};
use crate::domain::event::{Item, Status};
use crate::ids::{ChannelId, ContactId, EventId, TenantId};
use crate::store::Connection;
use crate::store::events::NewEvent;

/// What an item says of marketing, and how it does.
pub(super) fn of(item: &Item, words: &Words) -> Option<(State, Source)> {
    match &item.said {
        Some(Said::Text(text)) => words.read(text).map(|state| (state, Source::Keyword)),
        Some(Said::Marketing(state)) => Some((*state, Source::Meta)),
        None if item.status == Some(Status::Failed) && item.error_code == Some(OPTED_OUT) => {
            Some((State::Withdrawn, Source::MetaError))
        }
        None => None,
    }
}

/// Something that was said, and the event in which it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saying {
    event: EventId,
    contact: ContactId,
    channel: ChannelId,
    at: OffsetDateTime,
    said: (State, Source),
}

impl Saying {
    /// `None`: of nobody, or to a number that is not ours.
    pub(super) fn new(event: &NewEvent, said: Option<(State, Source)>) -> Option<Self> {
        let (contact, channel) = (event.contact?, event.channel?);
        Some(Self { event: event.event_id, contact, channel, at: event.occurred_at, said: said? })
    }
}

/// Records what was said in the events that are new. Of several by one person to one number the last counts. Returns whom to wake.
pub(super) async fn record(
    connection: &mut Connection,
    parts: &Parts,
    (tenant, snapshot, now): (TenantId, &Snapshot, OffsetDateTime),
    sayings: &[Saying],
    stored: &[EventId],
) -> Result<Vec<Uuid>, WriteError> {
    let mut last: HashMap<(ContactId, ChannelId), Saying> = HashMap::new();
    for saying in sayings.iter().filter(|saying| stored.contains(&saying.event)) {
        let known = last.entry((saying.contact, saying.channel)).or_insert(*saying);
        if known.at <= saying.at {
            *known = *saying;
        }
    }
    let mut owed = Vec::new();
    for Saying { contact, channel, at, said: (state, source), .. } in last.into_values() {
        let (channel, purpose) = (Some(channel), MARKETING);
        let statement =
            Statement { tenant, contact, channel, purpose, state, source, at, wording: None, version: None };
        let told = statement.record(connection, &parts.keyring, snapshot, now).await?;
        owed.extend(told.into_iter().map(|(endpoint, _)| endpoint.uuid()));
    }
    Ok(owed)
}
