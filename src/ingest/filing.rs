//! Where an item is filed: its place, whom it is about, and the event that it becomes.

use std::sync::Arc;

use time::OffsetDateTime;

use super::callback::Kept;
use super::{consent, file, in_chat};
use crate::crypto::envelope;
use crate::directory::contacts::Hashed;
use crate::directory::{Contacts, Snapshot};
use crate::domain::channel::MediaMode;
use crate::domain::consent::{Source, State, Words};
use crate::domain::door::DoorPolicy;
use crate::domain::event::{EventType, Item};
use crate::domain::in_chat::{Asks, Words as ChatWords};
use crate::domain::keeping::{ContentClass, Keep};
use crate::ids::{ContactId, EventId, MessageId, TenantId};
use crate::keyring::TenantKeys;
use crate::store::events::NewEvent;

/// A message and the contact that is made for it are this close.
const AT_ONCE: time::Duration = time::Duration::minutes(1);

/// What filing an item needs besides the item.
pub(super) struct Filing<'a> {
    pub(super) tenant: TenantId,
    pub(super) keys: &'a Arc<TenantKeys>,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: OffsetDateTime,
    pub(super) words: &'a Words,
    pub(super) chat_words: &'a ChatWords,
    pub(super) bare: bool,
    pub(super) keeps_media: bool,
    pub(super) kept: &'a Kept,
}

/// An item with everything that files it.
pub(super) struct Filed<'i> {
    pub(super) item: &'i Item,
    pub(super) place: file::Place,
    pub(super) subject: [u8; 16],
    pub(super) variant: [u8; 8],
    pub(super) person: Option<Hashed<'i>>,
    pub(super) contact: Option<ContactId>,
    pub(super) consent: Option<(State, Source)>,
    pub(super) asks: Option<Asks>,
    /// The rule of its channel, for what it is.
    pub(super) kept: Option<Keep>,
    /// How long its fields live, as [`crate::domain::keeping::HouseRules::lives`] says.
    pub(super) lives: Vec<(Option<u16>, DoorPolicy)>,
}

impl Filed<'_> {
    pub(super) const fn is_about_somebody_unknown(&self) -> bool {
        self.person.is_some() && self.contact.is_none()
    }

    /// Whether something is stored with it that asks for a transaction.
    pub(super) const fn changes_more(&self) -> bool {
        self.is_about_somebody_unknown() || self.consent.is_some() || self.asks.is_some()
    }

    /// Whether it must be known to be new before anything is done for it.
    pub(super) fn needs_a_look(&self) -> bool {
        self.is_about_somebody_unknown() || self.place.own_day.is_some() || self.is_about_somebody_before()
    }

    /// Whether Meta tells of a message that was sent before its person was known: it may have been to somebody who was erased, and had
    /// the same number.
    fn is_about_somebody_before(&self) -> bool {
        let sent = file::message(self.item).map(MessageId::made_at);
        sent.zip(self.contact).is_some_and(|(sent, contact)| sent + AT_ONCE < contact.made_at())
    }
}

impl Filing<'_> {
    pub(super) fn file<'i>(&self, item: &'i Item) -> Filed<'i> {
        let person = item.person.as_ref().filter(|_| !self.bare).map(|person| Contacts::hash(self.keys, person));
        Filed {
            item,
            place: file::place(item.occurred_at, self.now.date()),
            subject: file::subject(self.keys, item),
            variant: file::variant(self.keys, item),
            person,
            contact: None,
            consent: consent::of(item, self.words).filter(|_| !self.bare),
            asks: in_chat::of(item, self.chat_words).filter(|_| !self.bare),
            kept: self.kept_for(item),
            lives: self.lives_of(item),
        }
    }

    /// A status has no use for any of these fields, and is left without them at once.
    fn lives_of(&self, item: &Item) -> Vec<(Option<u16>, DoorPolicy)> {
        if !self.snapshot.parts_fields || self.bare {
            return Vec::new();
        }
        let Some(channel) = file::channel(self.snapshot, self.tenant, item) else { return Vec::new() };
        let mut lives = self.snapshot.house.lives(&channel.retention, self.kept_for(item));
        if item.status.is_some() {
            lives.drain(..lives.len().saturating_sub(1));
        }
        lives
    }

    fn kept_for(&self, item: &Item) -> Option<Keep> {
        let class = if item.status.is_some() { ContentClass::Statuses } else { ContentClass::Received };
        let known = file::channel(self.snapshot, self.tenant, item).filter(|_| !self.bare);
        known.and_then(|channel| self.snapshot.kept_by(channel, class))
    }

    pub(super) fn event(&self, filed: &Filed<'_>, event_id: EventId, payload: envelope::Sealed) -> NewEvent {
        let item = filed.item;
        let event_type = if self.bare { EventType::Unrecognised } else { item.event_type };
        let known = if self.bare { None } else { file::channel(self.snapshot, self.tenant, item) };
        let keeps_media = self.keeps_media && known.is_some_and(|channel| channel.media == MediaMode::Store);
        let channel = known.map(|channel| channel.id);
        NewEvent {
            part_day: filed.place.part_day,
            subject: filed.subject,
            variant: filed.variant,
            in_ledger: filed.place.in_ledger,
            event_id,
            event_type: event_type.as_str(),
            channel,
            contact: filed.contact,
            message: file::message(item).filter(|_| !self.bare),
            status_rank: item.status.filter(|_| !self.bare).map(crate::domain::event::Status::rank),
            error_code: item.error_code.filter(|_| !self.bare),
            occurred_at: item.occurred_at.filter(|_| !self.bare).unwrap_or(self.now),
            payload,
            opens_until: item.opens.filter(|_| !self.bare).map(|what| what.closes_at(item.occurred_at, self.now)),
            owed_to: self.snapshot.owed_about((self.tenant, filed.contact), event_type, channel),
            has_media: keeps_media && item.has_media && event_type == EventType::MessageReceived,
            is_passing: filed.kept == Some(Keep::Delivered),
        }
    }
}
