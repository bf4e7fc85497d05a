//! A tenant's own keys: the KEK above its buckets, and the keys of its hashes.

use std::sync::{Arc, PoisonError};

use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Inner;
use super::installation::{KeyringError, Root};
use crate::crypto::age::PASSPHRASE_LENGTH;
use crate::crypto::keyed_hash::HashKey;
use crate::crypto::keys::{WrappingKey, random_key, random_key_id};
use crate::crypto::wrap::{self, WrapContext};
use crate::ids::{ApiKeyId, ContactId, TenantId};
use crate::store::Store;
use crate::store::keys::WrappedKeyRow;

/// Held for the life of the process: there are few tenants, and ingest must go on while the KMS is away.
#[derive(Debug)]
pub struct TenantKeys {
    pub(super) kek_id: Uuid,
    pub(super) kek: WrappingKey,
    /// Of phone numbers, user ids and usernames.
    pub identifiers: HashKey,
    /// Of what events are about.
    pub events: HashKey,
    /// Of profiles, to see that one did not change.
    pub profiles: HashKey,
    /// Of what applications asked for, to recognise a repetition.
    pub requests: HashKey,
    /// Of contact ids, for endpoints that know contacts by ids of their own.
    pub pseudonyms: HashKey,
    /// Of links to files.
    pub links: HashKey,
}

impl TenantKeys {
    /// The keyed hash of a message: what its statuses are joined by, and what dedupes them.
    #[must_use]
    pub fn message_subject(&self, phone_number_id: &str, wamid: &str) -> [u8; 16] {
        self.events.hash(&[b"message", phone_number_id.as_bytes(), wamid.as_bytes()])
    }

    /// The keyed hash of a contact among the decoys.
    #[must_use]
    pub fn decoy(&self, contact: ContactId) -> [u8; 16] {
        self.requests.hash(&[b"decoy", contact.uuid().as_bytes()])
    }

    /// The keyed hash of a contact among those whom a key was shown.
    #[must_use]
    pub fn shown_to(&self, key: ApiKeyId, contact: &Uuid) -> [u8; 16] {
        self.requests.hash(&[b"read", key.uuid().as_bytes(), contact.as_bytes()])
    }

    /// What stands in the place of something that a channel does not keep: alike where that was alike.
    #[must_use]
    pub fn minimised(&self, kind: &str, text: &str) -> [u8; 16] {
        self.requests.hash(&[b"minimised", kind.as_bytes(), text.as_bytes()])
    }

    /// The six digits by which somebody confirms what they asked for in the chat.
    #[must_use]
    pub fn chat_code(&self, id: Uuid) -> String {
        let number = u32::from_be_bytes(self.requests.hash(&[b"chat code", id.as_bytes()]));
        format!("{:06}", number % 1_000_000)
    }

    /// What the passphrase of an archive is made of that somebody asked for in the chat: it stands nowhere, and whoever is killed on the way makes it again.
    #[must_use]
    pub fn chat_passphrase(&self, id: Uuid) -> Zeroizing<[u8; PASSPHRASE_LENGTH]> {
        Zeroizing::new(self.requests.hash(&[b"chat passphrase", id.as_bytes()]))
    }

    /// The keyed hash under which the consent of somebody who was forgotten stays proven, by the hash that found them.
    #[must_use]
    pub fn consent_proof(&self, kind: i16, identifier: &[u8]) -> [u8; 16] {
        self.requests.hash(&[b"consent proof", &kind.to_be_bytes(), identifier])
    }

    /// Reads them below `root`, and makes those that are missing. `None`: they are being replaced at this moment, or are wrapped by
    /// another root.
    async fn load_or_make(
        store: &Store,
        root: &Root,
        tenant: TenantId,
        now: OffsetDateTime,
    ) -> Result<Option<Self>, KeyringError> {
        let row = match store.find_tenant_kek(tenant).await? {
            Some(row) => row,
            None => {
                let id = random_key_id();
                let wrapped = wrap::wrap(&root.key, &context("tenant", tenant, id), &random_key());
                let row = WrappedKeyRow { id, parent: Uuid::nil(), wrapped };
                store.insert_tenant_kek(tenant, &row, root.epoch, now).await?;
                let Some(row) = store.find_tenant_kek(tenant).await? else { return Ok(None) };
                row
            }
        };
        let (row, epoch) = row;
        if epoch != root.epoch {
            return Ok(None);
        }
        let kek = unwrap_kek(root, tenant, &row)?;
        let mut index = Vec::with_capacity(PURPOSES.len());
        for purpose in PURPOSES {
            let Some(key) = index_key(store, (&kek, row.id), tenant, purpose).await? else { return Ok(None) };
            index.push(key);
        }
        let Ok([identifiers, events, profiles, requests, pseudonyms, links]) = <[HashKey; 6]>::try_from(index) else {
            return Ok(None);
        };
        Ok(Some(Self { kek_id: row.id, kek, identifiers, events, profiles, requests, pseudonyms, links }))
    }
}

const PURPOSES: [&str; 6] = ["identifiers", "events", "profiles", "requests", "pseudonyms", "links"];

/// How often keys are read that are being replaced at the same moment.
const TRIES: usize = 8;

impl Inner {
    /// The tenant's own keys: from memory, or loaded, or made for a new tenant.
    pub(super) async fn tenant(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, KeyringError> {
        match self.known_tenant(tenant) {
            Some(keys) => Ok(keys),
            None => self.load_tenant(tenant).await,
        }
    }

    /// The tenant's own keys, of which the KEK is to have this id: as the tables have them now, where memory has another.
    pub(super) async fn tenant_under(&self, tenant: TenantId, kek: Uuid) -> Result<Arc<TenantKeys>, KeyringError> {
        match self.known_tenant(tenant).filter(|keys| keys.kek_id == kek) {
            Some(keys) => Ok(keys),
            None => self.load_tenant(tenant).await,
        }
    }

    /// The tenant's own keys, with the KEK that is in the tables now.
    pub(super) async fn fresh_tenant(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, KeyringError> {
        match self.store.find_tenant_kek(tenant).await? {
            Some((row, _)) => self.tenant_under(tenant, row.id).await,
            None => self.load_tenant(tenant).await,
        }
    }

    fn known_tenant(&self, tenant: TenantId) -> Option<Arc<TenantKeys>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned()
    }

    async fn load_tenant(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, KeyringError> {
        for _ in 0..TRIES {
            let root = self.root_in_force().await?;
            let loaded = TenantKeys::load_or_make(&self.store, &root, tenant, self.clock.now()).await?;
            if let Some(keys) = loaded.map(Arc::new) {
                self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, keys.clone());
                return Ok(keys);
            }
        }
        Err(KeyringError::Damaged { level: "tenant" })
    }

    /// The root of the epoch that the tables are in.
    pub(super) async fn root_in_force(&self) -> Result<Arc<Root>, KeyringError> {
        let epoch = self.store.find_installation().await?.map(|row| row.epoch);
        let known = self.root();
        if epoch == Some(known.epoch) {
            return Ok(known);
        }
        let root = Arc::new(self.top.open(&self.store).await?);
        tracing::info!(before = known.epoch, epoch = root.epoch, "the key epoch was stepped by another process");
        self.set_root(root.clone());
        Ok(root)
    }
}

pub(super) fn unwrap_kek(root: &Root, tenant: TenantId, row: &WrappedKeyRow) -> Result<WrappingKey, KeyringError> {
    wrap::unwrap(&root.key, &context("tenant", tenant, row.id), &row.wrapped)
        .map(|kek| WrappingKey::new(&kek))
        .map_err(|_| KeyringError::Damaged { level: "tenant" })
}

pub(super) fn context(level: &'static str, tenant: TenantId, key: Uuid) -> WrapContext<'static> {
    WrapContext { level, tenant: tenant.uuid(), key, name: &[] }
}

/// An index key is bound to its purpose through a name-based id, so that two of them cannot be exchanged.
pub(super) fn purpose_id(purpose: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(purpose.as_bytes()).for_each(|(to, from)| *to = *from);
    Uuid::from_bytes(bytes)
}

/// `None`: it hangs from another KEK than this one.
async fn index_key(
    store: &Store,
    (kek, kek_id): (&WrappingKey, Uuid),
    tenant: TenantId,
    purpose: &'static str,
) -> Result<Option<HashKey>, KeyringError> {
    let context = context("index", tenant, purpose_id(purpose));
    let found = match store.find_index_key(tenant, purpose).await? {
        Some(found) => Some(found),
        None => {
            store.insert_index_key(tenant, purpose, kek_id, &wrap::wrap(kek, &context, &random_key())).await?;
            store.find_index_key(tenant, purpose).await?
        }
    };
    let Some((parent, wrapped)) = found else { return Ok(None) };
    if parent != kek_id {
        return Ok(None);
    }
    let key = wrap::unwrap(kek, &context, &wrapped).map_err(|_| KeyringError::Damaged { level: "index" })?;
    Ok(Some(HashKey::new(&key)))
}
