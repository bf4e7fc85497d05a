//! The log's own key: made once, sealed like every secret, and read again by whoever signs.

use zeroize::Zeroizing;

use super::recorder::Audit;
use crate::crypto::context::Context;
use crate::crypto::envelope::{self, Sealed};
use crate::crypto::keys::{random_key, random_key_id};
use crate::ids::TenantId;
use crate::keyring::{DekName, KeyringError, places};
use crate::store::StoreError;
use crate::store::audit_tree::AuditLogRow;
use crate::tlog::note::{Signer, Use};

/// Why there is no log, or none that can sign.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The database.
    #[error("the audit log could not be read or stored")]
    Store(#[from] StoreError),
    /// The keys are away.
    #[error("the key of the audit log is not available")]
    Keys(#[from] KeyringError),
    /// The stored key does not open, or is none.
    #[error("the key of the audit log is damaged")]
    Damaged,
}

impl FoundingError {
    /// Whether it may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Keys(error) => error.is_retryable(),
            Self::Damaged => false,
        }
    }
}

const fn place(tenant: TenantId) -> Context {
    places::setting(tenant.uuid(), "audit_log", "signing_key", tenant.uuid())
}

impl Audit {
    /// Sees to it that the tenant has a log with a key and a name of its own.
    pub async fn found(&self, tenant: TenantId) -> Result<(), FoundingError> {
        if self.inner.store.find_audit_log(tenant).await?.is_some() {
            return Ok(());
        }
        let (origin, seed) = (format!("waxseal/{}", random_key_id().simple()), random_key());
        let signer = Signer::new(&origin, Use::Log, seed.clone()).ok_or(FoundingError::Damaged)?;
        let key = self.inner.keyring.one_for_sealing(tenant, DekName::system(tenant)).await?;
        let row = AuditLogRow {
            verifier_key: signer.verifier().to_string(),
            signing_key: envelope::seal(&key.dek, &place(tenant), seed.as_slice()).into_bytes(),
            origin,
        };
        Ok(self.inner.store.found_audit_log(tenant, &row, self.inner.clock.now()).await?)
    }

    /// Whoever signs for the tenant's log.
    pub(super) async fn signer(&self, tenant: TenantId) -> Result<Signer, FoundingError> {
        let row = self.inner.store.find_audit_log(tenant).await?.ok_or(FoundingError::Damaged)?;
        let sealed = Sealed::from_stored(row.signing_key);
        let id = sealed.dek_id().ok_or(FoundingError::Damaged)?;
        let keys = self.inner.keyring.for_opening(tenant, [id]).await?;
        let key = keys.get(&id).ok_or(KeyringError::Gone)?;
        let seed = envelope::open(&key.dek, &place(tenant), &sealed).map_err(|_| FoundingError::Damaged)?;
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed.as_slice()).map_err(|_| FoundingError::Damaged)?);
        // Signs under the name and key that verifiers were given, or not at all.
        Signer::new(&row.origin, Use::Log, seed)
            .filter(|signer| signer.verifier().to_string() == row.verifier_key)
            .ok_or(FoundingError::Damaged)
    }
}
