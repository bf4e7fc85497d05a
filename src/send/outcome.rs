//! How a message ended, recorded together with the event that tells applications of it.

use serde_json::json;

use super::Sender;
use crate::crypto::envelope;
use crate::directory::OwnEvent;
use crate::domain::channel::Channel;
use crate::domain::event::EventType;
use crate::ids::{ContactId, MessageId, TenantId, Wamid};
use crate::keyring::{DekName, KeyringError, places};
use crate::store::messages::{self, Settlement};
use crate::store::{Store, StoreError, events};
use crate::telemetry;

/// The end of a message, as far as sending goes.
pub(super) enum Ending {
    /// Meta took it.
    Accepted { wamid: Option<Wamid>, answer: Vec<u8> },
    /// Meta refused it for good, or could not be asked in time.
    Failed { code: Option<i32>, answer: Vec<u8> },
    /// The answer was lost.
    InDoubt,
}

/// Why an ending was not recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("the database is away")]
    Store(#[from] StoreError),
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
}

impl RecordError {
    /// Whether the same call may succeed later.
    pub(super) const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Keys(error) => error.is_retryable(),
        }
    }
}

impl Ending {
    const fn state(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Failed { .. } => "failed",
            Self::InDoubt => "in_doubt",
        }
    }

    const fn event_type(&self) -> EventType {
        match self {
            Self::Accepted { .. } => EventType::MessageAccepted,
            Self::Failed { .. } => EventType::MessageFailed,
            Self::InDoubt => EventType::MessageInDoubt,
        }
    }

    const fn code(&self) -> Option<i32> {
        match self {
            Self::Failed { code, .. } => *code,
            Self::Accepted { .. } | Self::InDoubt => None,
        }
    }

    fn answer(&self) -> Option<&[u8]> {
        match self {
            Self::Accepted { answer, .. } | Self::Failed { answer, .. } => Some(answer.as_slice()),
            Self::InDoubt => None,
        }
    }
}

impl Sender {
    /// Records how a message ended and tells the endpoints, in one commit. An ending that is known already stays.
    pub(super) async fn settle(
        &self,
        tenant: TenantId,
        channel: &Channel,
        message: MessageId,
        contact: ContactId,
        ending: &Ending,
    ) -> Result<(), RecordError> {
        let now = self.clock.now();
        self.store.ensure_partitions(now.date()).await?;
        let keys = self.keyring.tenant(tenant).await?;
        let answer = match ending.answer() {
            Some(answer) => {
                let name = DekName::month(tenant, Some(contact), message.day());
                let dek = self.keyring.one_for_sealing(tenant, name).await?;
                Some(envelope::seal(&dek.dek, &places::message_answer(tenant, message, contact), answer))
            }
            None => None,
        };
        let subject = match ending {
            Ending::Accepted { wamid: Some(wamid), .. } => {
                Some(keys.message_subject(channel.phone_number_id.as_str(), wamid.as_str()))
            }
            Ending::Accepted { wamid: None, .. } | Ending::Failed { .. } | Ending::InDoubt => None,
        };
        let settlement =
            Settlement { state: ending.state(), answer: answer.as_ref(), subject, error_code: ending.code() };
        let told = |event_type, state: &str| OwnEvent {
            tenant,
            event_type,
            channel: Some(channel.id),
            contact,
            message: Some(message),
            error_code: ending.code(),
            details: json!({ "message_id": message, "state": state, "error_code": ending.code() }),
        };
        let mut transaction = self.store.begin().await?;
        let Some(state) = messages::settle(&mut transaction, tenant, message, &settlement, now).await? else {
            return Ok(Store::commit(transaction).await?);
        };
        // A status may have settled the doubt before it arose.
        let accepted = state == "accepted";
        let told = told(if accepted { EventType::MessageAccepted } else { ending.event_type() }, &state);
        let event = told.file(&self.keyring, &self.directory.snapshot(), now).await?;
        events::insert_batch(&mut transaction, tenant, std::slice::from_ref(&event), now).await?;
        Store::commit(transaction).await?;
        metrics::counter!(telemetry::SENDS, "outcome" => ending.state()).increment(1);
        for (owner, _) in &event.owed_to {
            self.bells.ring(owner.uuid());
        }
        self.bells.ring_for_events();
        Ok(())
    }
}
