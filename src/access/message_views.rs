//! Messages behind the door: opened, and joined with what Meta said of them.

use std::collections::HashMap;

use super::admission::Recorded;
use super::door::{Door, DoorError};
use super::open::Keys;
use super::views::{MessageView, StatusView};
use crate::crypto::envelope::Sealed;
use crate::domain::event::Status;
use crate::domain::message;
use crate::ids::{ChannelId, ContactId, MessageId, TenantId};
use crate::keyring::places;
use crate::store::events::StatusRow;
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

impl Door {
    /// Opens messages whose reading was recorded, in their order.
    pub(super) async fn open_messages(
        &self,
        recorded: &Recorded,
        rows: Vec<MessageRow>,
    ) -> Result<Vec<MessageView>, DoorError> {
        let tenant = recorded.tenant();
        let mut statuses = self.statuses(tenant, &rows).await?;
        let parts: Vec<Parts> = rows.into_iter().map(Parts::from).collect();
        let sealed = parts.iter().flat_map(|parts| std::iter::once(&parts.request).chain(&parts.answer));
        let ids = sealed.filter_map(Sealed::dek_id).collect();
        let keys = Keys::fetch(&self.keyring, tenant, ids).await?;
        let view = |parts: Parts| {
            let statuses = parts.row.subject.as_ref().and_then(|subject| statuses.remove(subject));
            view(tenant, &keys, parts, statuses.unwrap_or_default())
        };
        Ok(parts.into_iter().map(view).collect())
    }

    async fn statuses(
        &self,
        tenant: TenantId,
        rows: &[MessageRow],
    ) -> Result<HashMap<Vec<u8>, Vec<StatusView>>, DoorError> {
        let subjects: Vec<Vec<u8>> = rows.iter().filter_map(|row| row.subject.clone()).collect();
        let Some(first) = rows.iter().map(|row| MessageId::from_uuid(row.message_id).day()).min() else {
            return Ok(HashMap::new());
        };
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        // Meta's clock may be behind ours at midnight.
        let since = first.previous_day().unwrap_or(first);
        let mut by_subject: HashMap<Vec<u8>, Vec<StatusView>> = HashMap::new();
        for StatusRow { subject, rank, error_code, occurred_at } in
            self.store.statuses_of(tenant, &subjects, since).await?
        {
            let status = StatusView { status: Status::from_rank(rank), error_code, occurred_at };
            by_subject.entry(subject).or_default().push(status);
        }
        Ok(by_subject)
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
        request: keys.open(&places::message_request(tenant, id, contact), &request),
        answer: answer.map(|answer| keys.open(&places::message_answer(tenant, id, contact), &answer)),
        created_at: row.created_at,
        settled_at: row.settled_at,
        origin: row.origin,
        kind: row.kind,
    }
}
