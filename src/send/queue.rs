//! Accepts a message: checked, sealed and owed to Meta in one commit, before the application is answered.

use std::sync::Arc;

use serde_json::Value;

use super::Sender;
use super::check::{Checked, Draft, Fault};
use crate::crypto::envelope;
use crate::directory::Contacts;
use crate::directory::contacts::ResolveError;
use crate::domain::channel::Channel;
use crate::domain::message::callback_data;
use crate::ids::{ApiKeyId, ChannelId, ContactId, MessageId, TenantId};
use crate::keyring::{DekName, KeyringError, places};
use crate::store::idempotency::{self, Claim, Claimed};
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
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A request under the same idempotency key is being stored.
    #[error("a request under this idempotency key is in progress")]
    InProgress,
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

/// What makes a repetition recognisable: who asks, and under which key. Lasts a day (`store::idempotency::KEPT`).
#[derive(Debug, Clone, Copy)]
pub struct Idempotency<'a> {
    /// Applications cannot take each other's keys.
    pub caller: ApiKeyId,
    /// As the application chose it.
    pub key: &'a str,
    /// The message as it came: the key stands for this text alone.
    pub request: &'a str,
}

/// A message that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    /// Its id.
    pub message: MessageId,
    /// Whether it had been accepted before, under the same idempotency key.
    pub is_repetition: bool,
}

/// Ends the storing of what was stored before.
enum Stored {
    Now(Kept),
    Before(MessageId),
}

/// A message that is stored.
pub(super) struct Kept {
    pub(super) message: MessageId,
    pub(super) contact: ContactId,
    pub(super) channel: Arc<Channel>,
    pub(super) body: String,
}

impl Sender {
    /// Accepts a message for later. When this returns `Ok`, it is committed; under an idempotency key, once.
    pub async fn queue(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        draft: Draft,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Queued, QueueError> {
        let checked = draft.0.map_err(QueueError::Faulty)?;
        let claim = match idempotency {
            Some(idempotency) => Some(self.hashed_claim(tenant, channel, idempotency).await?),
            None => None,
        };
        let channel = self.sending_channel(tenant, channel)?;
        match self.store_once(tenant, channel, checked, "api", claim).await? {
            Stored::Now(kept) => {
                self.bells.ring(kept.channel.id.uuid());
                Ok(Queued { message: kept.message, is_repetition: false })
            }
            Stored::Before(message) => Ok(Queued { message, is_repetition: true }),
        }
    }

    /// Whom a message is for, when it is one, and they are known already. What is refused later has been told of all the same.
    pub async fn addressee(&self, tenant: TenantId, draft: &Draft) -> Result<Option<ContactId>, QueueError> {
        let Ok(checked) = &draft.0 else { return Ok(None) };
        let keys = self.keyring.tenant(tenant).await?;
        let hashed = Contacts::hash(&keys, &checked.recipient);
        Ok(self.contacts.known(&self.store, tenant, &hashed).await?)
    }

    async fn hashed_claim(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        Idempotency { caller, key, request }: Idempotency<'_>,
    ) -> Result<Claim, QueueError> {
        let keys = self.keyring.tenant(tenant).await?;
        let hash = |parts: &[&[u8]]| keys.requests.hash(parts);
        Ok(Claim {
            key_hash: hash(&[b"key", caller.uuid().as_bytes(), key.as_bytes()]),
            request_hash: hash(&[b"message", channel.uuid().as_bytes(), request.as_bytes()]),
        })
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
        match self.store_once(tenant, channel, checked, origin, None).await? {
            Stored::Now(kept) => Ok(kept),
            Stored::Before(_) => Err(QueueError::InProgress),
        }
    }

    async fn store_once(
        &self,
        tenant: TenantId,
        channel: Arc<Channel>,
        checked: Checked,
        origin: &'static str,
        claim: Option<Claim>,
    ) -> Result<Stored, QueueError> {
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
        if let Some(claim) = claim {
            let claimed = idempotency::claim(&mut transaction, tenant, &claim, message, now).await?;
            if claimed != Claimed::New {
                // Nothing was written, but the key is locked until the end of the transaction.
                Store::commit(transaction).await?;
                return match claimed {
                    Claimed::Same(before) => Ok(Stored::Before(before)),
                    Claimed::Other => Err(QueueError::KeyReused),
                    Claimed::New | Claimed::InProgress => Err(QueueError::InProgress),
                };
            }
        }
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
        Ok(Stored::Now(Kept { message, contact, channel, body }))
    }
}
