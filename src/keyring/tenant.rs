//! A tenant's own keys: the KEK above its buckets, and the keys of its hashes.

use time::OffsetDateTime;
use uuid::Uuid;

use super::installation::{KeyringError, Root};
use crate::crypto::keyed_hash::HashKey;
use crate::crypto::keys::{WrappingKey, random_key, random_key_id};
use crate::crypto::wrap::{self, WrapContext};
use crate::ids::TenantId;
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

    pub(super) async fn load_or_make(
        store: &Store,
        root: &Root,
        tenant: TenantId,
        now: OffsetDateTime,
    ) -> Result<Self, KeyringError> {
        let row = match store.find_tenant_kek(tenant).await? {
            Some(row) => row,
            None => {
                let id = random_key_id();
                let wrapped = wrap::wrap(&root.key, &context("tenant", tenant, id), &random_key());
                let row = WrappedKeyRow { id, parent: Uuid::nil(), wrapped };
                store.insert_tenant_kek(tenant, &row, root.epoch, now).await?;
                store.find_tenant_kek(tenant).await?.ok_or(KeyringError::Gone)?
            }
        };
        let kek = wrap::unwrap(&root.key, &context("tenant", tenant, row.id), &row.wrapped)
            .map_err(|_| KeyringError::Damaged { level: "tenant" })?;
        let kek = WrappingKey::new(&kek);
        Ok(Self {
            identifiers: index_key(store, &kek, row.id, tenant, "identifiers").await?,
            events: index_key(store, &kek, row.id, tenant, "events").await?,
            profiles: index_key(store, &kek, row.id, tenant, "profiles").await?,
            requests: index_key(store, &kek, row.id, tenant, "requests").await?,
            pseudonyms: index_key(store, &kek, row.id, tenant, "pseudonyms").await?,
            links: index_key(store, &kek, row.id, tenant, "links").await?,
            kek_id: row.id,
            kek,
        })
    }
}

fn context(level: &'static str, tenant: TenantId, key: Uuid) -> WrapContext<'static> {
    WrapContext { level, tenant: tenant.uuid(), key, name: &[] }
}

/// An index key is bound to its purpose through a name-based id, so that two of them cannot be exchanged.
fn purpose_id(purpose: &str) -> Uuid {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(purpose.as_bytes()).for_each(|(to, from)| *to = *from);
    Uuid::from_bytes(bytes)
}

async fn index_key(
    store: &Store,
    kek: &WrappingKey,
    kek_id: Uuid,
    tenant: TenantId,
    purpose: &'static str,
) -> Result<HashKey, KeyringError> {
    let context = context("index", tenant, purpose_id(purpose));
    let (_, wrapped) = match store.find_index_key(tenant, purpose).await? {
        Some(found) => found,
        None => {
            store.insert_index_key(tenant, purpose, kek_id, &wrap::wrap(kek, &context, &random_key())).await?;
            store.find_index_key(tenant, purpose).await?.ok_or(KeyringError::Gone)?
        }
    };
    let key = wrap::unwrap(kek, &context, &wrapped).map_err(|_| KeyringError::Damaged { level: "index" })?;
    Ok(HashKey::new(&key))
}
