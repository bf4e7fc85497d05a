//! What readiness asks of the keys. Nothing is opened.

use super::Door;
use crate::ids::TenantId;
use crate::keyring::KeyringError;

impl Door {
    /// Whether the tenant's keys are at hand.
    pub async fn check_keys(&self, tenant: TenantId) -> Result<(), KeyringError> {
        self.keyring.tenant(tenant).await.map(drop)
    }

    /// Places of the epoch cell that did not hold their share when they were last looked at.
    #[must_use]
    pub fn cell_places_lost(&self) -> usize {
        let cell = self.keyring.cell();
        cell.places.len() - cell.whole()
    }

    /// Whether the KMS did not answer when it was last asked.
    #[must_use]
    pub fn kms_is_silent(&self) -> bool {
        self.keyring.kms_is_silent()
    }

    /// Whether the KMS was heard of lately enough for what is stored to be opened.
    #[must_use]
    pub fn kms_is_in_time(&self) -> bool {
        self.keyring.kms_is_in_time()
    }
}
