//! Reads and opens what is stored about a person, a page at a time. What does not open is said to be so, and never fails the export.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::super::{Privacy, PrivacyError};
use crate::crypto::context::Context;
use crate::crypto::envelope::{self, Sealed};
use crate::domain::message;
use crate::ids::{ContactId, EventId, MessageId, TenantId};
use crate::keyring::{Keyring, KeyringError, OwnedDek, places};
use crate::store::events::{EventRow, StatusRow};
use crate::store::exports::ExportRow;
use crate::store::messages::MessageRow;

/// Rows that are opened at once.
const PAGE: i64 = 250;

/// Content that was opened. `None`: it was erased, or does not open.
pub(super) type Opened = Option<Zeroizing<Vec<u8>>>;

/// The keys of a page.
pub(super) struct Keys(HashMap<Uuid, Arc<OwnedDek>>);

impl Keys {
    /// Which keys open these.
    pub(super) fn ids<'s>(sealed: impl IntoIterator<Item = &'s Sealed>) -> HashSet<Uuid> {
        sealed.into_iter().filter_map(Sealed::dek_id).collect()
    }

    /// Fetches them. Fails for what may pass alone.
    pub(super) async fn fetch(keyring: &Keyring, tenant: TenantId, ids: HashSet<Uuid>) -> Result<Self, KeyringError> {
        match keyring.for_opening(tenant, ids.iter().copied()).await {
            Ok(found) => return Ok(Self(found)),
            Err(error) if error.is_retryable() => return Err(error),
            Err(_) => {}
        }
        // One of them is gone or damaged; the others shall open all the same.
        let mut found = HashMap::new();
        for id in ids {
            match keyring.for_opening(tenant, [id]).await {
                Ok(one) => found.extend(one),
                Err(error) if error.is_retryable() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Self(found))
    }

    /// The key of a value.
    pub(super) fn key(&self, sealed: &Sealed) -> Option<&Arc<OwnedDek>> {
        self.0.get(&sealed.dek_id()?)
    }

    /// Opens a value.
    pub(super) fn open(&self, place: &Context, sealed: &Sealed) -> Opened {
        envelope::open(&self.key(sealed)?.dek, place, sealed).ok()
    }
}

/// Something in what was said with a person.
pub(super) enum Said {
    /// From the person, or about them.
    In {
        /// The row.
        row: EventRow,
        /// Meta's envelope, or ours.
        content: Opened,
    },
    /// To the person.
    Out {
        /// The row.
        row: MessageRow,
        /// What Meta was asked.
        request: Opened,
        /// What Meta answered.
        answer: Opened,
        /// What Meta said of it.
        statuses: Vec<StatusRow>,
    },
}

impl Said {
    /// The id, whose order is that of the conversation.
    pub(super) const fn id(&self) -> Uuid {
        match self {
            Self::In { row, .. } => row.event_id,
            Self::Out { row, .. } => row.message_id,
        }
    }
}

/// What was said with a person, newest first, up to the moment of the request.
pub(super) struct Conversation<'a> {
    privacy: &'a Privacy,
    tenant: TenantId,
    contacts: &'a [Uuid],
    before: Uuid,
}

impl<'a> Conversation<'a> {
    pub(super) fn of(privacy: &'a Privacy, tenant: TenantId, export: &'a ExportRow) -> Self {
        // Ids of all kinds ascend together.
        Self { privacy, tenant, contacts: &export.contact_ids, before: export.export_id }
    }

    /// The next page; none: it is over.
    pub(super) async fn next(&mut self) -> Result<Vec<Said>, PrivacyError> {
        let (store, tenant) = (&self.privacy.store, self.tenant);
        let mut events = store.events_of_contact(tenant, self.contacts, self.before, None, PAGE).await?;
        let mut messages = store.messages_to_contact(tenant, self.contacts, self.before, None, PAGE).await?;
        let mut ids: Vec<Uuid> = events.iter().map(|row| row.event_id).collect();
        ids.extend(messages.iter().map(|row| row.message_id));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(usize::try_from(PAGE).unwrap_or(usize::MAX));
        let Some(oldest) = ids.last().copied() else { return Ok(Vec::new()) };
        self.before = oldest;
        events.retain(|row| row.event_id >= oldest);
        messages.retain(|row| row.message_id >= oldest);
        let mut said = self.events(events).await?;
        said.extend(self.messages(messages).await?);
        said.sort_unstable_by_key(|one| std::cmp::Reverse(one.id()));
        Ok(said)
    }

    async fn events(&self, rows: Vec<EventRow>) -> Result<Vec<Said>, PrivacyError> {
        let sealed = |mut row: EventRow| {
            let payload = row.payload.take().map(Sealed::from_stored);
            (row, payload)
        };
        let rows: Vec<(EventRow, Option<Sealed>)> = rows.into_iter().map(sealed).collect();
        let ids = Keys::ids(rows.iter().filter_map(|one| one.1.as_ref()));
        let keys = Keys::fetch(&self.privacy.keyring, self.tenant, ids).await?;
        let open = |(row, payload): (EventRow, Option<Sealed>)| {
            let contact = row.contact_id.map(ContactId::from_uuid);
            let place = places::event_payload(self.tenant, EventId::from_uuid(row.event_id), contact);
            let content = payload.and_then(|payload| keys.open(&place, &payload));
            (place, row, content)
        };
        let mut opened: Vec<_> = rows.into_iter().map(open).collect();
        let contents = opened.iter_mut().filter_map(|(place, _, content)| Some((*place, content.as_mut()?)));
        self.privacy.keyring.fullest(self.tenant, contents.collect()).await?;
        Ok(opened.into_iter().map(|(_, row, content)| Said::In { row, content }).collect())
    }

    async fn messages(&self, rows: Vec<MessageRow>) -> Result<Vec<Said>, PrivacyError> {
        let mut statuses = self.statuses(&rows).await?;
        let sealed = |mut row: MessageRow| {
            let request = Sealed::from_stored(std::mem::take(&mut row.request));
            let answer = row.answer.take().map(Sealed::from_stored);
            (row, request, answer)
        };
        let rows: Vec<(MessageRow, Sealed, Option<Sealed>)> = rows.into_iter().map(sealed).collect();
        let ids = Keys::ids(rows.iter().flat_map(|(_, request, answer)| std::iter::once(request).chain(answer)));
        let keys = Keys::fetch(&self.privacy.keyring, self.tenant, ids).await?;
        let open = |(row, request, answer): (MessageRow, Sealed, Option<Sealed>)| {
            let (id, contact) = (MessageId::from_uuid(row.message_id), ContactId::from_uuid(row.contact_id));
            let request = keys.open(&places::message_request(self.tenant, id, contact), &request);
            let request = request.map(|json| Zeroizing::new(message::with_own_callback_data(&json, id).into_owned()));
            let place = places::message_answer(self.tenant, id, contact);
            let answer = answer.and_then(|answer| keys.open(&place, &answer));
            let statuses = row.subject.as_ref().and_then(|subject| statuses.remove(subject)).unwrap_or_default();
            Said::Out { row, request, answer, statuses }
        };
        Ok(rows.into_iter().map(open).collect())
    }

    async fn statuses(&self, rows: &[MessageRow]) -> Result<HashMap<Vec<u8>, Vec<StatusRow>>, PrivacyError> {
        let subjects: Vec<Vec<u8>> = rows.iter().filter_map(|row| row.subject.clone()).collect();
        let first = rows.iter().map(|row| MessageId::from_uuid(row.message_id).day()).min();
        let Some(first) = first.filter(|_| !subjects.is_empty()) else { return Ok(HashMap::new()) };
        // Meta's clock may be behind ours at midnight.
        let since = first.previous_day().unwrap_or(first);
        let mut by_subject: HashMap<Vec<u8>, Vec<StatusRow>> = HashMap::new();
        for status in self.privacy.store.statuses_of(self.tenant, &subjects, since).await? {
            by_subject.entry(status.subject.clone()).or_default().push(status);
        }
        Ok(by_subject)
    }
}
