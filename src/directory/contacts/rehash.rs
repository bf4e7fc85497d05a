//! Brings the stored hashes of identifiers forward to another version of their key: a page after the other, each in a transaction of its own, in the
//! order of the primary key. From the moment at which the version is stepped nobody adds a hash of before, so that nothing appears behind the walk.

use super::ResolveError;
use crate::ids::TenantId;
use crate::keyring::{IdentifierKeys, Keyring};
use crate::store::audit_entries::NewAuditEntry;
use crate::store::index_versions::{IndexVersions, RehashPage, Rehashed, Rehashing};
use crate::store::{Store, StoreError};
use time::OffsetDateTime;

/// Identifiers that are looked at in one transaction. Whoever changes one of them waits for that long.
const PAGE: i64 = 500;

/// What a walk goes through.
#[derive(Debug, Clone)]
pub struct Rehash {
    store: Store,
    keyring: Keyring,
    tenant: TenantId,
}

/// How far it has come.
#[derive(Debug, Clone)]
pub enum Walked {
    /// To here, before the page that was just done.
    To(Rehashing),
    /// Nothing of before is left. It is to be ended.
    Through(Rehashing),
    /// There is no walk.
    None,
}

impl Rehash {
    /// Of this tenant.
    #[must_use]
    pub const fn new(store: Store, keyring: Keyring, tenant: TenantId) -> Self {
        Self { store, keyring, tenant }
    }

    /// Goes on by a page. Killed anywhere, the page was done or was not; several may walk, one after the other.
    pub async fn go_on(&self) -> Result<Walked, ResolveError> {
        let Some(page) = self.store.page_to_rehash(self.tenant, PAGE).await? else { return Ok(Walked::None) };
        let walk = page.walk.clone();
        // Hashes of every version can be brought forward: all keys are there.
        let needed = IndexVersions { new: walk.version, oldest: walk.version };
        let keys = self.keyring.tenant_finding(self.tenant, needed).await?;
        let new = forward(&keys.identifiers, &page);
        match self.store.rehash(self.tenant, page, &new).await {
            Ok(true) => Ok(Walked::Through(walk)),
            Ok(false) => Ok(Walked::To(walk)),
            Err(StoreError::Conflict) => {
                let doubles = self.store.drop_doubles(self.tenant, &new).await?;
                tracing::warn!(doubles, "identifiers were stored under the key of before while another was in force");
                Ok(Walked::To(walk))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the walk that is through, together with its entry. False: somebody else was faster.
    pub async fn end(&self, version: i16, entry: &NewAuditEntry, now: OffsetDateTime) -> Result<bool, StoreError> {
        self.store.end_rehashing(self.tenant, version, entry, now).await
    }
}

fn forward(keys: &IdentifierKeys, page: &RehashPage) -> Vec<Rehashed> {
    let version = page.walk.version;
    let before = page.rows.iter().filter(|(_, of)| *of < version);
    before.map(|(name, of)| (*name, keys.forward(name.1, *of, version))).collect()
}
