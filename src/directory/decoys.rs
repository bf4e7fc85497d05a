//! Decoys: contacts that nobody has a reason to look at. Kept by a keyed hash, in memory with the settings.

use super::{Directory, SaveError};
use crate::ids::{ContactId, TenantId};
use crate::keyring::KeyringError;

impl Directory {
    /// Makes a contact a decoy, or an ordinary one again. It does not matter what it was.
    pub async fn set_decoy(&self, tenant: TenantId, contact: ContactId, is_decoy: bool) -> Result<(), SaveError> {
        let contact = self.keyring.tenant(tenant).await?.decoy(contact);
        self.store.set_decoy(tenant, &contact, is_decoy).await?;
        Ok(self.reload().await?)
    }

    /// Which of these contacts are decoys.
    pub async fn decoys_among(&self, tenant: TenantId, contacts: &[ContactId]) -> Result<Vec<ContactId>, KeyringError> {
        let snapshot = self.snapshot();
        if !snapshot.has_decoys(tenant) {
            return Ok(Vec::new());
        }
        let keys = self.keyring.tenant(tenant).await?;
        let mut found: Vec<ContactId> =
            contacts.iter().copied().filter(|contact| snapshot.is_decoy(tenant, keys.decoy(*contact))).collect();
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }
}
