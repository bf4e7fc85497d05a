//! Another key for the hashes of identifiers: made beside those of before when every living process knows that there may be several, and put
//! in force when every one of them has it (docs/adr/0017).

use std::sync::Arc;

use super::installation::KeyringError;
use super::tenant::{IDENTIFIERS, index_context};
use super::{Inner, Keyring, TenantKeys};
use crate::crypto::keys::random_key;
use crate::crypto::wrap;
use crate::ids::TenantId;
use crate::store::StoreError;
use crate::store::index_versions::IndexVersions;
use crate::store::key_readers::Reader;

/// Said by who knows that there may be several versions. Who does not leaves the later ones behind at a step of the epoch.
pub(super) const VERSIONS: &str = "index";

/// How often a key is made that another process makes at the same moment, or whose KEK is being replaced.
const TRIES: usize = 8;

/// Another version of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexKey {
    /// Every living process has it.
    Ready(i16),
    /// These do not know of it yet.
    Waits(Vec<Reader>),
}

/// Said by who has this version.
fn word(tenant: TenantId, version: i16) -> String {
    format!("{VERSIONS}/{tenant}/{version}")
}

impl Keyring {
    /// The version behind the one that is in force: made, unless it was made before. To be called again while it waits. Nothing is
    /// hashed by it yet.
    pub async fn next_index_key(&self, tenant: TenantId) -> Result<IndexKey, KeyringError> {
        let (inner, store) = (&self.inner, &self.inner.store);
        let waits = store.workers_without(VERSIONS).await?;
        if !waits.is_empty() {
            return Ok(IndexKey::Waits(waits));
        }
        let next = store.index_versions(tenant).await?.new.checked_add(1).ok_or(StoreError::Conflict)?;
        inner.make_index_key(tenant, next).await?;
        let waits = store.workers_without(&word(tenant, next)).await?;
        Ok(if waits.is_empty() { IndexKey::Ready(next) } else { IndexKey::Waits(waits) })
    }

    /// The tenant's own keys, with which everything is found that is stored under these versions: from memory, or read anew.
    pub async fn tenant_finding(
        &self,
        tenant: TenantId,
        versions: IndexVersions,
    ) -> Result<Arc<TenantKeys>, KeyringError> {
        match self.inner.known_tenant(tenant).filter(|keys| keys.identifiers.finds().covers(versions)) {
            Some(keys) => Ok(keys),
            None => self.inner.load_tenant(tenant).await,
        }
    }

    /// Reads keys of identifiers that were made since, and says which there are.
    pub(super) async fn index_words(&self) -> Result<Vec<String>, KeyringError> {
        let mut words = vec![VERSIONS.to_owned()];
        for (tenant, newest) in self.inner.store.newest_identifier_keys().await? {
            let versions = self.inner.store.index_versions(tenant).await?;
            let is_up_to_date = |keys: &Arc<TenantKeys>| keys.identifiers.is_of(versions, newest);
            let keys = match self.inner.known_tenant(tenant).filter(is_up_to_date) {
                Some(keys) => keys,
                None => self.inner.load_tenant(tenant).await?,
            };
            if keys.identifiers.newest() >= newest {
                words.push(word(tenant, newest));
            }
        }
        Ok(words)
    }
}

impl Inner {
    async fn make_index_key(&self, tenant: TenantId, version: i16) -> Result<(), KeyringError> {
        for _ in 0..TRIES {
            let keys = self.load_tenant(tenant).await?;
            if keys.identifiers.newest() >= version {
                return Ok(());
            }
            let wrapped = wrap::wrap(&keys.kek, &index_context(tenant, IDENTIFIERS, version), &random_key());
            self.store.insert_index_key(tenant, (IDENTIFIERS, version), keys.kek_id, &wrapped).await?;
        }
        Err(StoreError::BrokenOff.into())
    }
}
