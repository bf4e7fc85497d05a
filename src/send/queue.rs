//! Accepts a message: checked, sealed and owed to Meta in one commit, before the application is answered.

use std::sync::Arc;

use serde_json::Value;

use super::Sender;
use super::check::{Checked, Fault, check};
use crate::crypto::envelope;
use crate::directory::Contacts;
use crate::directory::contacts::ResolveError;
use crate::domain::channel::Channel;
use crate::domain::message::callback_data;
use crate::ids::{ChannelId, ContactId, MessageId, TenantId};
use crate::keyring::{DekName, KeyringError, places};
use crate::store::messages::{self, NewMessage};
use crate::store::{Store, StoreError};

/// Members that Graph takes for parameters of the request. Some SDKs put their token there, which is a Waxseal key, and Meta
/// must not see it; ours goes into a header.
const GRAPH_PARAMETERS: [&str; 4] = ["access_token", "appsecret_proof", "method", "fields"];

/// Why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Faults of the message; at least one.
    #[error("the message is faulty")]
    Faulty(Vec<Fault>),
    /// No such channel.
    #[error("no such channel")]
    UnknownChannel,
    /// The channel has no access token.
    #[error("the channel cannot send: it has no access token")]
    NoToken,
    /// The database.
    #[error("the message could not be stored")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the message could not be sealed")]
    Keys(#[from] KeyringError),
}

impl From<ResolveError> for QueueError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Keys(error) => Self::Keys(error),
        }
    }
}

/// A message that is stored.
pub(super) struct Kept {
    pub(super) message: MessageId,
    pub(super) contact: ContactId,
    pub(super) channel: Arc<Channel>,
    pub(super) body: String,
}

impl Sender {
    /// Accepts a message for later. When this returns `Ok`, it is committed.
    pub async fn queue(&self, tenant: TenantId, channel: ChannelId, message: &str) -> Result<MessageId, QueueError> {
        let checked = check(message).map_err(QueueError::Faulty)?;
        let channel = self.sending_channel(tenant, channel)?;
        let kept = self.keep(tenant, channel, checked, "api").await?;
        self.bells.ring(kept.channel.id.uuid());
        Ok(kept.message)
    }

    pub(super) fn sending_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<Arc<Channel>, QueueError> {
        let snapshot = self.directory.snapshot();
        let channel = snapshot.channel(tenant, channel).ok_or(QueueError::UnknownChannel)?;
        if channel.token.is_none() {
            return Err(QueueError::NoToken);
        }
        Ok(channel.clone())
    }

    /// Seals and stores a message with the fact that it is owed. `origin` `mirror`: the caller puts it on the wire itself.
    pub(super) async fn keep(
        &self,
        tenant: TenantId,
        channel: Arc<Channel>,
        checked: Checked,
        origin: &'static str,
    ) -> Result<Kept, QueueError> {
        let now = self.clock.now();
        let message = MessageId::new(now);
        let Checked { mut body, kind, recipient } = checked;
        for parameter in GRAPH_PARAMETERS {
            body.remove(parameter);
        }
        body.entry("messaging_product").or_insert_with(|| Value::from("whatsapp"));
        body.entry("biz_opaque_callback_data").or_insert_with(|| Value::from(callback_data(message)));
        let body = Value::Object(body).to_string();

        let keys = self.keyring.tenant(tenant).await?;
        let hashed = Contacts::hash(&keys, &recipient);
        self.store.ensure_partitions(now.date()).await?;
        let mut transaction = self.store.begin().await?;
        let mut resolved = None;
        let contact = match self.contacts.remembered(tenant, &hashed) {
            Some(contact) => contact,
            None => {
                let found = self.contacts.resolve(&mut transaction, tenant, &[hashed]).await?;
                let contact = found.contacts.first().copied().ok_or(StoreError::Unavailable)?;
                resolved = Some(found);
                contact
            }
        };
        let dek = self.keyring.one_for_sealing(tenant, DekName::month(tenant, Some(contact), message.day())).await?;
        let request = envelope::seal(&dek.dek, &places::message_request(tenant, message, contact), body.as_bytes());
        let on_the_wire = origin == "mirror";
        // The mirror answers within its time-out; after that its answer counts as lost.
        let next_at = if on_the_wire { now + super::mirror::LOST_AFTER } else { now };
        let new = NewMessage { message, channel: channel.id, contact, origin, kind, request, next_at, on_the_wire };
        if !messages::insert(&mut transaction, tenant, &new, now).await? {
            return Err(QueueError::UnknownChannel);
        }
        Store::commit(transaction).await?;
        if let Some(resolved) = resolved {
            self.contacts.remember(tenant, &resolved);
        }
        Ok(Kept { message, contact, channel, body })
    }
}
