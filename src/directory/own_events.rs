//! Events of our own making: a merge, the fate of a message. Stored and delivered like Meta's.

use time::OffsetDateTime;
use uuid::Uuid;

use super::Snapshot;
use crate::crypto::envelope;
use crate::domain::event::{EventType, OWN_ENVELOPE};
use crate::ids::{ChannelId, ContactId, EventId, MessageId, TenantId};
use crate::keyring::{DekName, Keyring, KeyringError, places};
use crate::store::events::NewEvent;

/// What happened, before it is sealed.
#[derive(Debug)]
pub struct OwnEvent {
    /// Owner.
    pub tenant: TenantId,
    /// What.
    pub event_type: EventType,
    /// Where.
    pub channel: Option<ChannelId>,
    /// With whom.
    pub contact: ContactId,
    /// About which message.
    pub message: Option<MessageId>,
    /// Meta's error code.
    pub error_code: Option<i32>,
    /// What is told beyond that: an object.
    pub details: serde_json::Value,
}

impl OwnEvent {
    /// Seals the event and says whom it is owed to. The same thing said twice is one event.
    pub async fn file(
        &self,
        keyring: &Keyring,
        snapshot: &Snapshot,
        now: OffsetDateTime,
    ) -> Result<NewEvent, KeyringError> {
        let keys = keyring.tenant(self.tenant).await?;
        let part_day = now.date();
        let dek =
            keyring.one_for_sealing(self.tenant, DekName::month(self.tenant, Some(self.contact), part_day)).await?;
        let event_id = EventId::new(now);
        let details = self.details.to_string();
        let envelope = format!("{OWN_ENVELOPE}\"details\":{details}}}");
        let place = places::event_payload(self.tenant, event_id, Some(self.contact));
        let about = self.message.map_or(Uuid::nil(), MessageId::uuid);
        let subject = keys.events.hash(&[b"own", self.contact.uuid().as_bytes(), about.as_bytes(), details.as_bytes()]);
        Ok(NewEvent {
            part_day,
            subject,
            variant: keys.events.hash(&[self.event_type.as_str().as_bytes()]),
            in_ledger: false,
            event_id,
            event_type: self.event_type.as_str(),
            channel: self.channel,
            contact: Some(self.contact),
            message: self.message,
            // Not a status of Meta's, but one of the message's: left out of the contact's conversation like those.
            status_rank: self.message.map(|_| 0),
            error_code: self.error_code,
            occurred_at: now,
            payload: envelope::seal(&dek.dek, &place, envelope.as_bytes()),
            owed_to: snapshot.owed_to(self.tenant, self.event_type, self.channel),
        })
    }
}
