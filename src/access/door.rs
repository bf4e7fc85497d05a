//! The one door. Whoever wants to read stored content for a person or an application passes here, with who asks and why, or
//! gets none. (What is opened to be delivered or sent does not pass here: it was asked for when the endpoint was set up.)
//!
//! The way through: `admit` asks for the permission, what is sealed is fetched, `record` leaves an entry in the audit log and commits it,
//! and only what `record` returns lets anything be opened (`admission.rs`).

use uuid::Uuid;

use super::admission::{Reading, Recorded, Refusals};
use super::errand::Errand;
use super::open::Keys;
use super::views::{ContactView, Content, Entry, EventCursor, EventView, MessageView, Page, one_more};
use super::{Alarms, Caller, Denied, Permission};
use crate::audit::{Action, Audit, AuditError, Object};
use crate::clock::SharedClock;
use crate::crypto::envelope::Sealed;
use crate::directory::Directory;
use crate::directory::profile::Profile;
use crate::domain::event::EventType;
use crate::ids::{ChannelId, ContactId, EventId, MessageId, TenantId};
use crate::keyring::{Keyring, KeyringError, places};
use crate::store::contacts::ContactRow;
use crate::store::event_scan::EventFilter;
use crate::store::events::EventRow;
use crate::store::messages::MessageRow;
use crate::store::{Store, StoreError};

/// Why nothing was opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// The caller may not.
    #[error("the caller may not read this")]
    Denied(#[from] Denied),
    /// The database.
    #[error("the content could not be read")]
    Store(#[from] StoreError),
    /// The keys are away.
    #[error("the content could not be opened")]
    Keys(#[from] KeyringError),
    /// No entry, no plaintext.
    #[error("the read could not be recorded")]
    Audit(#[from] AuditError),
    /// Somebody holds the person's data or has them restricted, and the caller is not one who may read them all the same.
    #[error("the contact's data are held")]
    Held,
    /// The caller was shown as many contacts as its key may be shown in an hour. The key is locked.
    #[error("the read budget of the key is exceeded")]
    Spent,
    /// The request that it was to be done for is not open, asks for something else, or is about somebody else.
    #[error("it cannot be done for that request")]
    NoRequest,
}

impl DoorError {
    /// Whether the same may be read later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Denied(_) | Self::Held | Self::Spent | Self::NoRequest => false,
            Self::Store(error) => error.is_retryable(),
            Self::Keys(error) => error.is_retryable(),
            Self::Audit(_) => true,
        }
    }
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Behind this place; the default is the beginning.
    pub after: EventCursor,
    /// Exact types; `None`: all.
    pub types: Option<Vec<String>>,
    /// One channel; `None`: all that the caller may see.
    pub channel: Option<ChannelId>,
    /// One person, by whichever of the contacts it turned out to be; `None`: all, also what is about nobody.
    pub contact: Option<ContactId>,
    /// At most so many, at least one.
    pub limit: usize,
}

/// Opens content for callers. Clones share everything.
#[derive(Debug, Clone)]
pub struct Door {
    pub(super) store: Store,
    pub(super) keyring: Keyring,
    pub(super) audit: Audit,
    pub(super) refusals: Refusals,
    pub(super) directory: Directory,
    pub(super) clock: SharedClock,
    pub(super) per_second: Option<i32>,
}

impl Door {
    /// A door to this store.
    #[must_use]
    pub fn new(store: Store, keyring: Keyring, directory: Directory, audit: Audit, clock: SharedClock) -> Self {
        let alarms = Alarms::new(store.clone(), keyring.clone(), directory.clone(), audit.clone());
        let refusals = Refusals::new(alarms, audit.clone(), clock.clone());
        Self { store, keyring, audit, refusals, directory, clock, per_second: None }
    }

    /// The same, where the operator set how many messages a second leave through every channel; 0: as many as come.
    #[must_use]
    pub const fn sending(mut self, per_second: Option<i32>) -> Self {
        self.per_second = per_second;
        self
    }

    /// Where refusals are noted that happen before the door.
    #[must_use]
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The next events in commit order. Polled with the cursor of the page before, it yields each event once and none is
    /// skipped, whatever commits late. A page may be empty although there is more: where a filter is rare, it ends after
    /// twenty thousand events, and the next goes on from there.
    pub async fn events(
        &self,
        who: &Caller,
        errand: &Errand,
        query: &EventQuery,
    ) -> Result<Page<EventView, EventCursor>, DoorError> {
        self.admit(who, errand, Permission::EventsRead).await?;
        let channels = visible(who, query.channel);
        let contacts = match query.contact {
            Some(contact) => Some(self.same_person(who.tenant, contact).await?),
            None => None,
        };
        // Whoever opened a decoy shall not read here that it was one.
        let is_hidden = who.require(Permission::AuditRead).is_err();
        let filter = EventFilter {
            types: query.types.as_deref(),
            channels: channels.as_deref(),
            contacts: contacts.as_deref(),
            hidden: is_hidden.then_some(EventType::DecoyOpened.as_str()),
        };
        let after = (query.after.xid, query.after.event);
        let scan = self.store.page_of_events(who.tenant, after, filter, one_more(query.limit)).await?;
        let mut page = scan.into_page(after, query.limit);
        page.rows.retain(|row| row.contact_id.is_none_or(|contact| !self.withholds(who, &[contact])));
        let (xid, event) = page.end;
        let reading =
            Reading::several(Action::EventsRead, "event").of(query.channel, page.rows.len(), people_in(&page.rows));
        let recorded = self.record(who, errand, reading).await?;
        let items = self.open_events(&recorded, page.rows).await?;
        Ok(Page { items, next: Some(EventCursor { xid, event }), has_more: page.has_more })
    }

    /// Every contact that is the same person as this one.
    async fn same_person(&self, tenant: TenantId, contact: ContactId) -> Result<Vec<Uuid>, DoorError> {
        let known = self.store.find_contact(tenant, contact).await?;
        let kept = known.and_then(|row| row.merged_into).map_or(contact, ContactId::from_uuid);
        Ok(self.store.find_merged(tenant, kept).await?)
    }

    /// Contacts, newest first, made before `before`. Those that are part of another are left out.
    pub async fn contacts(
        &self,
        who: &Caller,
        errand: &Errand,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<ContactView, Uuid>, DoorError> {
        self.admit(who, errand, Permission::ContactsRead).await?;
        let rows = self.store.page_of_contacts(who.tenant, before.unwrap_or(Uuid::max()), one_more(limit)).await?;
        let (mut rows, has_more) = cut(rows, limit);
        let next = rows.last().map(|row| row.contact_id).filter(|_| has_more);
        let ids: Vec<Uuid> = rows.iter().map(|row| row.contact_id).collect();
        if let Some(met) = self.met(who, &ids).await? {
            rows.retain(|row| met.contains(&row.contact_id));
        }
        rows.retain(|row| !self.withholds(who, &[row.contact_id]));
        let ids = rows.iter().map(|row| row.contact_id).collect();
        let recorded = self
            .record(who, errand, Reading::several(Action::ContactsRead, "contact").of(None, rows.len(), ids))
            .await?;
        Ok(Page { items: self.open_contacts(&recorded, rows).await?, next, has_more })
    }

    /// One contact. `None`: unknown, or never met in the caller's channels.
    pub async fn contact(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
    ) -> Result<Option<ContactView>, DoorError> {
        self.admit(who, errand, Permission::ContactsRead).await?;
        let Some(row) = self.find_contact(who, contact).await? else { return Ok(None) };
        let reading = Reading::one(Action::ContactsRead, Object::one("contact", row.contact_id));
        let recorded = self.record(who, errand, reading.of(None, 1, vec![row.contact_id])).await?;
        Ok(self.open_contacts(&recorded, vec![row]).await?.pop())
    }

    /// One contact, to be shown in clear to whoever may, for the reason of the errand. `None`: unknown, or never met in the caller's
    /// channels.
    pub async fn reveal(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
    ) -> Result<Option<ContactView>, DoorError> {
        self.admit(who, errand, Permission::ContactsReveal).await?;
        let Some(row) = self.find_contact(who, contact).await? else { return Ok(None) };
        let reading = Reading::one(Action::ContactRevealed, Object::one("contact", row.contact_id));
        let recorded = self.record(who, errand, reading.of(None, 1, vec![row.contact_id])).await?;
        Ok(self.open_contacts(&recorded, vec![row]).await?.pop())
    }

    /// What was said with a contact and with everyone who turned out to be the same person, newest first, older than
    /// `before`. `None`: unknown, or never met in the caller's channels.
    pub async fn messages_of_contact(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
        (before, limit): (Option<Uuid>, usize),
    ) -> Result<Option<Page<Entry, Uuid>>, DoorError> {
        self.admit(who, errand, Permission::MessagesRead).await?;
        let Some(row) = self.find_contact(who, contact).await? else { return Ok(None) };
        let kept = ContactId::from_uuid(row.merged_into.unwrap_or(row.contact_id));
        let people = self.store.find_merged(who.tenant, kept).await?;
        let (before, channels) = (before.unwrap_or(Uuid::max()), visible(who, None));
        let (channels, rows) = (channels.as_deref(), one_more(limit));
        let events = self.store.events_of_contact(who.tenant, &people, before, channels, rows).await?;
        let messages = self.store.messages_to_contact(who.tenant, &people, before, channels, rows).await?;
        // The newest of both, before anything is opened.
        let mut ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
        ids.extend(messages.iter().map(|message| message.message_id));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let (ids, has_more) = cut(ids, limit);
        let Some(oldest) = ids.last().copied() else {
            return Ok(Some(Page { items: Vec::new(), next: None, has_more }));
        };
        // Events about our own messages are told by those messages.
        let shown = |event: &EventRow| event.event_id >= oldest && event.message_id.is_none();
        let events: Vec<EventRow> = events.into_iter().filter(shown).collect();
        let messages: Vec<MessageRow> = messages.into_iter().filter(|message| message.message_id >= oldest).collect();
        let mut about = people_of(&messages);
        about.extend(people_in(&events));
        let reading = Reading::one(Action::MessagesRead, Object::one("contact", row.contact_id));
        let recorded = self.record(who, errand, reading.of(None, events.len() + messages.len(), about)).await?;
        let events = self.open_events(&recorded, events).await?;
        let messages = self.open_messages(&recorded, messages).await?;
        let entries = events.into_iter().map(|event| Entry::In(Box::new(event)));
        let mut items: Vec<Entry> = entries.chain(messages.into_iter().map(|out| Entry::Out(Box::new(out)))).collect();
        items.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.id()));
        Ok(Some(Page { items, next: has_more.then_some(oldest), has_more }))
    }

    /// One message with its state. `None`: unknown, or of another channel.
    pub async fn message(
        &self,
        who: &Caller,
        errand: &Errand,
        message: MessageId,
    ) -> Result<Option<MessageView>, DoorError> {
        self.admit(who, errand, Permission::MessagesRead).await?;
        let row = self.store.find_message(who.tenant, message).await?;
        let Some(row) = row.filter(|row| who.may_use(ChannelId::from_uuid(row.channel_id))) else { return Ok(None) };
        let (channel, waits) = (ChannelId::from_uuid(row.channel_id), row.state == "queued");
        let rows = vec![row];
        let reading = Reading::one(Action::MessagesRead, Object::one("message", message.uuid()));
        let recorded = self.record(who, errand, reading.of(Some(channel), 1, people_of(&rows))).await?;
        let Some(mut view) = self.open_messages(&recorded, rows).await?.pop() else { return Ok(None) };
        if waits {
            view.queue = self.place_in_queue(who.tenant, channel, message).await?;
        }
        Ok(Some(view))
    }

    /// A contact that the caller may see.
    pub async fn find_contact(&self, who: &Caller, contact: ContactId) -> Result<Option<ContactRow>, DoorError> {
        let Some(row) = self.store.find_contact(who.tenant, contact).await? else { return Ok(None) };
        let kept = row.merged_into.unwrap_or(row.contact_id);
        let hidden = self.met(who, &[kept]).await?.is_some_and(|met| met.is_empty());
        Ok((!hidden).then_some(row))
    }

    /// Whom of these a confined caller may see. `None`: all.
    async fn met(&self, who: &Caller, contacts: &[Uuid]) -> Result<Option<Vec<Uuid>>, DoorError> {
        match visible(who, None) {
            None => Ok(None),
            Some(channels) => Ok(Some(self.store.contacts_met_in(who.tenant, contacts, &channels).await?)),
        }
    }

    async fn open_events(&self, recorded: &Recorded, rows: Vec<EventRow>) -> Result<Vec<EventView>, DoorError> {
        let tenant = recorded.tenant();
        let rows: Vec<(EventRow, Option<Sealed>)> = rows
            .into_iter()
            .map(|mut row| {
                let sealed = row.payload.take().map(Sealed::from_stored);
                (row, sealed)
            })
            .collect();
        let ids = rows.iter().filter_map(|(_, sealed)| sealed.as_ref()?.dek_id()).collect();
        let keys = Keys::fetch(&self.keyring, tenant, ids).await?;
        let snapshot = self.directory.snapshot();
        let view = |(row, sealed): (EventRow, Option<Sealed>)| {
            let channel = row.channel_id.map(ChannelId::from_uuid);
            let known = channel.and_then(|channel| snapshot.channel(tenant, channel));
            let contact = row.contact_id.map(ContactId::from_uuid);
            let place = places::event_payload(tenant, EventId::from_uuid(row.event_id), contact);
            EventView {
                id: EventId::from_uuid(row.event_id),
                place: EventCursor { xid: row.xid, event: row.event_id },
                channel,
                phone_number_id: known.map(|channel| channel.phone_number_id.as_str().to_owned()),
                contact: row.contact_id.map(ContactId::from_uuid),
                message: row.message_id.map(MessageId::from_uuid),
                error_code: row.error_code,
                occurred_at: row.occurred_at,
                received_at: row.received_at,
                event_type: row.event_type,
                content: sealed.map_or(Content::Erased, |sealed| keys.open(&place, &sealed)),
            }
        };
        let mut views: Vec<EventView> = rows.into_iter().map(view).collect();
        let opened = views.iter_mut().filter_map(|view| match &mut view.content {
            Content::Opened(content) => Some((places::event_payload(tenant, view.id, view.contact), content)),
            Content::Erased | Content::Damaged => None,
        });
        self.keyring.fullest(tenant, opened.collect()).await?;
        Ok(views)
    }

    async fn open_contacts(&self, recorded: &Recorded, rows: Vec<ContactRow>) -> Result<Vec<ContactView>, DoorError> {
        let tenant = recorded.tenant();
        let rows: Vec<(ContactRow, Sealed)> = rows
            .into_iter()
            .map(|mut row| {
                let sealed = Sealed::from_stored(std::mem::take(&mut row.profile));
                (row, sealed)
            })
            .collect();
        let ids = rows.iter().filter_map(|(_, sealed)| sealed.dek_id()).collect();
        let keys = Keys::fetch(&self.keyring, tenant, ids).await?;
        let view = |(row, sealed): (ContactRow, Sealed)| ContactView {
            id: ContactId::from_uuid(row.contact_id),
            profile: keys.key(&sealed).and_then(|key| Profile::open(key, tenant, row.contact_id, &sealed)),
            merged_into: row.merged_into.map(ContactId::from_uuid),
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(rows.into_iter().map(view).collect())
    }
}

/// Whom events are about.
fn people_in(events: &[EventRow]) -> Vec<Uuid> {
    events.iter().filter_map(|event| event.contact_id).collect()
}

/// Whom messages went to.
pub(super) fn people_of(messages: &[MessageRow]) -> Vec<Uuid> {
    messages.iter().map(|message| message.contact_id).collect()
}

/// The channels that a caller sees, or the wanted one of them. `None`: everything, also what belongs to no channel.
pub(super) fn visible(who: &Caller, wanted: Option<ChannelId>) -> Option<Vec<Uuid>> {
    match wanted {
        Some(channel) => Some(if who.may_use(channel) { vec![channel.uuid()] } else { Vec::new() }),
        None if who.channels.is_empty() => None,
        None => Some(who.channels.iter().map(|channel| channel.uuid()).collect()),
    }
}

pub(super) fn cut<T>(mut rows: Vec<T>, limit: usize) -> (Vec<T>, bool) {
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    (rows, has_more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Permissions;

    fn caller(channels: Vec<ChannelId>) -> Caller {
        Caller { channels, ..Caller::operator(TenantId::DEFAULT, Permissions::default()) }
    }

    #[test]
    fn a_confined_caller_never_sees_more_than_its_channels() {
        let [one, two] = [1, 2].map(|number| ChannelId::from_uuid(Uuid::from_u128(number)));
        let (free, confined) = (caller(Vec::new()), caller(vec![one]));
        assert_eq!(visible(&free, None), None);
        assert_eq!(visible(&free, Some(two)), Some(vec![two.uuid()]));
        assert_eq!(visible(&confined, None), Some(vec![one.uuid()]));
        assert_eq!(visible(&confined, Some(two)), Some(Vec::new()));
    }

    #[test]
    fn one_row_too_many_means_that_there_is_more() {
        assert_eq!(cut(vec![1, 2, 3], 2), (vec![1, 2], true));
        assert_eq!(cut(vec![1, 2], 2), (vec![1, 2], false));
    }
}
