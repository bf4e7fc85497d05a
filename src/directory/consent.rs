//! Records what a person says of marketing or of another purpose, with the event that tells applications of it.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{OwnEvent, Snapshot};
use crate::crypto::envelope;
use crate::domain::consent::{Source, State};
use crate::domain::event::EventType;
use crate::ids::{ChannelId, ConsentId, ContactId, EndpointId, TenantId};
use crate::keyring::{DekName, Keyring, KeyringError, places};
use crate::store::consent::{self, NewConsent};
use crate::store::{Connection, StoreError, events};

/// Why it was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The database.
    #[error("what was said could not be stored")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("what was said could not be sealed")]
    Keys(#[from] KeyringError),
}

/// What a person said of a purpose.
#[derive(Clone, Copy)]
pub struct Statement<'a> {
    /// Owner.
    pub tenant: TenantId,
    /// Who.
    pub contact: ContactId,
    /// To which channel; `None`: to all.
    pub channel: Option<ChannelId>,
    /// What for.
    pub purpose: &'a str,
    /// What.
    pub state: State,
    /// How it became known.
    pub source: Source,
    /// When.
    pub at: OffsetDateTime,
    /// In which words, or to which.
    pub wording: Option<&'a str>,
    /// Which version of them, by the operator's name for it.
    pub version: Option<&'a str>,
}

impl Statement<'_> {
    /// Adds it to the ledger, and an event when it changes something; to be committed together. Returns the endpoints that the
    /// event is owed to.
    pub async fn record(
        &self,
        connection: &mut Connection,
        keyring: &Keyring,
        snapshot: &Snapshot,
        now: OffsetDateTime,
    ) -> Result<Vec<(EndpointId, i16)>, ConsentError> {
        let id = ConsentId::new(now);
        let wording = match self.wording {
            Some(text) => {
                // Kept longer than what was said: a proof that nobody can read proves nothing.
                let key = keyring.one_for_sealing(self.tenant, DekName::profile(self.tenant, self.contact)).await?;
                let place = places::consent_wording(self.tenant, id, self.contact);
                Some(envelope::seal(&key.dek, &place, text.as_bytes()))
            }
            None => None,
        };
        let new = NewConsent {
            id,
            contact: self.contact,
            channel: self.channel,
            purpose: self.purpose,
            version: self.version,
            state: self.state.as_str(),
            source: self.source.as_str(),
            wording: wording.as_ref().map(envelope::Sealed::as_bytes),
            // A time that is yet to come would outweigh what is said next.
            occurred_at: self.at.min(now),
        };
        if !consent::add(connection, self.tenant, &new, now).await? {
            return Ok(Vec::new());
        }
        let event = self.event(new.occurred_at).file(keyring, snapshot, now).await?;
        events::insert_batch(connection, self.tenant, std::slice::from_ref(&event), now).await?;
        Ok(event.owed_to)
    }

    fn event(&self, at: OffsetDateTime) -> OwnEvent {
        OwnEvent {
            tenant: self.tenant,
            event_type: EventType::ConsentChanged,
            channel: self.channel,
            contact: self.contact,
            message: None,
            error_code: None,
            details: json!({
                "contact_id": self.contact,
                "channel_id": self.channel,
                "purpose": self.purpose,
                "state": self.state.as_str(),
                "source": self.source.as_str(),
                "wording_version": self.version,
                "occurred_at": at.format(&Rfc3339).ok(),
            }),
        }
    }
}
