//! The top of the tree: ties this database to the KMS secret and the epoch cell, and refuses those of another installation.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::crypto::keys::{KeyBytes, WrappingKey, random_key, random_key_id};
use crate::crypto::kms::{self, Kms, KmsError};
use crate::crypto::wrap::{self, WrapContext};
use crate::store::keys::InstallationRow;
use crate::store::{Store, StoreError};

/// Why a key is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The KMS does not help.
    #[error("the key tree cannot be opened")]
    Kms(#[from] KmsError),
    /// The KMS secret fits, the epoch cell does not.
    #[error("the epoch cell belongs to another installation or epoch")]
    OtherCell,
    /// A wrapped key in the database was changed or moved.
    #[error("a stored key is damaged (level {level})")]
    Damaged {
        /// Level of the tree.
        level: &'static str,
    },
    /// A key that content was sealed under is gone: erased, or lost.
    #[error("the key of this content no longer exists")]
    Gone,
    /// The key schema does not answer.
    #[error("the keys are not available")]
    Store(#[from] StoreError),
}

impl KeyringError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Kms(KmsError::Unavailable) => true,
            Self::Store(error) => error.is_retryable(),
            Self::Kms(KmsError::Refused) | Self::OtherCell | Self::Damaged { .. } | Self::Gone => false,
        }
    }
}

/// The opened root of the key tree.
#[derive(Debug)]
pub struct Root {
    pub(super) key: WrappingKey,
    pub(super) epoch: i64,
}

fn check_context(installation: Uuid) -> WrapContext<'static> {
    WrapContext { level: "check", tenant: Uuid::nil(), key: installation, name: &[] }
}

impl Root {
    /// Opens the root of the installation in `store`, or founds one when the key schema is empty.
    pub async fn open_or_found(
        store: &Store,
        kms: &dyn Kms,
        cell: Option<&KeyBytes>,
        now: OffsetDateTime,
    ) -> Result<Self, KeyringError> {
        if let Some(row) = store.find_installation().await? {
            return Self::open(kms, cell, &row).await;
        }
        let row = Self::found(kms, cell).await?;
        store.insert_installation(&row, now).await?;
        // Another process may have founded it first; what is stored is what counts.
        match store.find_installation().await? {
            Some(row) => Self::open(kms, cell, &row).await,
            None => Err(KeyringError::Store(StoreError::Unavailable)),
        }
    }

    async fn found(kms: &dyn Kms, cell: Option<&KeyBytes>) -> Result<InstallationRow, KeyringError> {
        let (installation_id, epoch, share) = (random_key_id(), 0, random_key());
        let root_share = kms.wrap(installation_id, &share).await?;
        let root = kms::root(&share, cell, installation_id, epoch);
        let root_check = wrap::wrap(&root, &check_context(installation_id), &random_key());
        Ok(InstallationRow { installation_id, epoch, root_share, root_check })
    }

    async fn open(kms: &dyn Kms, cell: Option<&KeyBytes>, row: &InstallationRow) -> Result<Self, KeyringError> {
        let share = kms.unwrap(row.installation_id, &row.root_share).await?;
        let key = kms::root(&share, cell, row.installation_id, row.epoch);
        wrap::unwrap(&key, &check_context(row.installation_id), &row.root_check)
            .map_err(|_| KeyringError::OtherCell)?;
        Ok(Self { key, epoch: row.epoch })
    }
}
