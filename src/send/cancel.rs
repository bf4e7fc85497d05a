//! Takes messages back that wait for their turn.

use serde_json::json;

use super::Sender;
use super::queue::QueueError;
use crate::directory::OwnEvent;
use crate::domain::event::EventType;
use crate::ids::{ChannelId, ContactId, MessageId, TenantId};
use crate::store::{Store, events, queued};
use crate::telemetry;

/// A message that is known.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Which.
    pub message: MessageId,
    /// Through which number.
    pub channel: ChannelId,
    /// To whom.
    pub contact: ContactId,
}

impl Sender {
    /// Looks a message up, and opens nothing of it.
    pub async fn find(&self, tenant: TenantId, message: MessageId) -> Result<Option<Found>, QueueError> {
        let row = self.store.find_message(tenant, message).await?;
        Ok(row.map(|row| Found {
            message,
            channel: ChannelId::from_uuid(row.channel_id),
            contact: ContactId::from_uuid(row.contact_id),
        }))
    }

    /// Takes a message back, and tells the endpoints in the same commit. False: it waits no more. The lane may claim it at the
    /// same moment; one of both has it.
    pub async fn cancel(&self, tenant: TenantId, found: &Found) -> Result<bool, QueueError> {
        let (now, Found { message, channel, contact }) = (self.clock.now(), *found);
        self.store.ensure_partitions(now.date()).await?;
        let told = OwnEvent {
            tenant,
            event_type: EventType::MessageCancelled,
            channel: Some(channel),
            contact,
            message: Some(message),
            error_code: None,
            details: json!({ "message_id": message, "state": "cancelled", "error_code": null }),
        };
        // Before the transaction, because it may have to make a key.
        let event = told.file(&self.keyring, &self.directory.snapshot(), now).await?;
        let mut transaction = self.store.begin().await?;
        if !queued::cancel(&mut transaction, tenant, (channel, message), now).await? {
            Store::commit(transaction).await?;
            return Ok(false);
        }
        events::insert_batch(&mut transaction, tenant, std::slice::from_ref(&event), now).await?;
        Store::commit(transaction).await?;
        metrics::counter!(telemetry::SENDS, "outcome" => "cancelled").increment(1);
        for (owner, _) in &event.owed_to {
            self.bells.ring(owner.uuid());
        }
        self.bells.ring_for_events();
        Ok(true)
    }
}
