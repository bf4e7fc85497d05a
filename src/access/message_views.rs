//! Messages behind the door: opened, and joined with what Meta said of them.

use std::borrow::Cow;
use std::collections::HashMap;

use zeroize::Zeroizing;

use super::admission::{Reading, Recorded};
use super::door::{Door, DoorError, cut, people_of, visible};
use super::errand::Errand;
use super::open::Keys;
use super::views::{Content, MessageView, Page, QueueView, StatusView, one_more};
use super::{Caller, Permission};
use crate::audit::Action;
use crate::crypto::envelope::Sealed;
use crate::domain::event::Status;
use crate::domain::message::{self, Priority};
use crate::ids::{ChannelId, ContactId, EventId, MessageId, TenantId};
use crate::keyring::places;
use crate::store::events::StatusRow;
use crate::store::message_lists::MessageFilter;
use crate::store::messages::MessageRow;

/// A row with its sealed values taken out.
struct Parts {
    row: MessageRow,
    request: Sealed,
    answer: Option<Sealed>,
}

impl From<MessageRow> for Parts {
    fn from(mut row: MessageRow) -> Self {
        let request = Sealed::from_stored(std::mem::take(&mut row.request));
        let answer = row.answer.take().map(Sealed::from_stored);
        Self { row, request, answer }
    }
}

/// Which messages.
#[derive(Debug, Default)]
pub struct MessageQuery {
    /// In this state, as far as handing over goes.
    pub state: Option<String>,
    /// Through this channel; `None`: all that the caller may see.
    pub channel: Option<ChannelId>,
    /// To one person, by whichever of the contacts it turned out to be; `None`: all.
    pub contact: Option<ContactId>,
    /// Older than this one.
    pub before: Option<MessageId>,
    /// At most so many, at least one.
    pub limit: usize,
}

impl Door {
    /// Messages, newest first. Somebody whom the caller may not see got none.
    pub async fn messages(
        &self,
        who: &Caller,
        errand: &Errand,
        query: &MessageQuery,
    ) -> Result<Page<MessageView, MessageId>, DoorError> {
        self.admit(who, errand, Permission::MessagesRead).await?;
        let people = match query.contact {
            None => None,
            Some(contact) => match self.find_contact(who, contact).await? {
                None => Some(Vec::new()),
                Some(row) => {
                    let kept = ContactId::from_uuid(row.merged_into.unwrap_or(row.contact_id));
                    Some(self.store.find_merged(who.tenant, kept).await?)
                }
            },
        };
        if people.as_deref().is_some_and(|people| self.withholds(who, people)) {
            return Err(DoorError::Held);
        }
        let channels = visible(who, query.channel);
        let filter = MessageFilter {
            state: query.state.as_deref(),
            channel: query.channel.map(ChannelId::uuid),
            channels: channels.as_deref(),
            contacts: people.as_deref(),
            before: query.before,
            limit: one_more(query.limit),
        };
        let (mut rows, has_more) = cut(self.store.messages(who.tenant, &filter).await?, query.limit);
        let next = rows.last().filter(|_| has_more).map(|row| MessageId::from_uuid(row.message_id));
        rows.retain(|row| !self.withholds(who, &[row.contact_id]));
        let reading = Reading::several(Action::MessagesRead, "message");
        let recorded = self.record(who, errand, reading.of(query.channel, rows.len(), people_of(&rows))).await?;
        Ok(Page { items: self.open_messages(&recorded, rows).await?, next, has_more })
    }

    /// Opens messages whose reading was recorded, in their order.
    pub(super) async fn open_messages(
        &self,
        recorded: &Recorded,
        rows: Vec<MessageRow>,
    ) -> Result<Vec<MessageView>, DoorError> {
        let tenant = recorded.tenant();
        let statuses = self.statuses(tenant, &rows).await?;
        let parts: Vec<Parts> = rows.into_iter().map(Parts::from).collect();
        let sealed = parts.iter().flat_map(|parts| std::iter::once(&parts.request).chain(&parts.answer));
        let sealed = sealed.chain(statuses.iter().filter_map(|status| status.payload.as_ref()));
        let ids = sealed.filter_map(Sealed::dek_id).collect();
        let keys = Keys::fetch(&self.keyring, tenant, ids).await?;
        let mut by_subject: HashMap<Vec<u8>, Vec<StatusView>> = HashMap::new();
        for status in statuses {
            let (subject, view) = status_view(tenant, &keys, status);
            by_subject.entry(subject).or_default().push(view);
        }
        let view = |parts: Parts| {
            let statuses = parts.row.subject.as_ref().and_then(|subject| by_subject.remove(subject));
            view(tenant, &keys, parts, statuses.unwrap_or_default())
        };
        Ok(parts.into_iter().map(view).collect())
    }

    async fn statuses(&self, tenant: TenantId, rows: &[MessageRow]) -> Result<Vec<StatusRow>, DoorError> {
        let subjects: Vec<Vec<u8>> = rows.iter().filter_map(|row| row.subject.clone()).collect();
        let first = rows.iter().map(|row| MessageId::from_uuid(row.message_id).day()).min();
        let Some(first) = first.filter(|_| !subjects.is_empty()) else { return Ok(Vec::new()) };
        // Meta's clock may be behind ours at midnight.
        let since = first.previous_day().unwrap_or(first);
        Ok(self.store.statuses_of(tenant, &subjects, since).await?)
    }

    /// Where a message stands, when it waits.
    pub(super) async fn place_in_queue(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        message: MessageId,
    ) -> Result<Option<QueueView>, DoorError> {
        let now = self.clock.now();
        let place = self.store.place_in_queue(tenant, channel, message, (self.per_second, now)).await?;
        Ok(place.map(|place| QueueView {
            position: place.before,
            estimated_send_at: place.pace.reaches(place.before, place.due_at, now),
        }))
    }
}

fn status_view(tenant: TenantId, keys: &Keys, row: StatusRow) -> (Vec<u8>, StatusView) {
    let place =
        places::event_payload(tenant, EventId::from_uuid(row.event_id), row.contact_id.map(ContactId::from_uuid));
    let content = row.payload.map(|payload| keys.open(&place, &payload));
    let (status, error_code) = (Status::from_rank(row.rank), row.error_code);
    (row.subject, StatusView { status, error_code, occurred_at: row.occurred_at, content })
}

/// With the callback data that the application wrote.
fn as_written(request: Content, id: MessageId) -> Content {
    let Content::Opened(json) = &request else { return request };
    match message::with_own_callback_data(json, id) {
        Cow::Owned(own) => Content::Opened(Zeroizing::new(own)),
        Cow::Borrowed(_) => request,
    }
}

fn view(tenant: TenantId, keys: &Keys, parts: Parts, statuses: Vec<StatusView>) -> MessageView {
    let Parts { row, request, answer } = parts;
    let (id, contact) = (MessageId::from_uuid(row.message_id), ContactId::from_uuid(row.contact_id));
    MessageView {
        id,
        channel: ChannelId::from_uuid(row.channel_id),
        contact,
        state: message::state(&row.state, statuses.iter().map(|status| status.status)),
        error_code: row.error_code.or_else(|| statuses.iter().rev().find_map(|status| status.error_code)),
        statuses,
        request: as_written(keys.open(&places::message_request(tenant, id, contact), &request), id),
        answer: answer.map(|answer| keys.open(&places::message_answer(tenant, id, contact), &answer)),
        created_at: row.created_at,
        settled_at: row.settled_at,
        priority: Priority::of_rank(row.priority),
        send_at: row.send_at,
        expires_at: row.expires_at,
        queue: None,
        origin: row.origin,
        kind: row.kind,
    }
}
