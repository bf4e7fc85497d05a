//! Whom an entry is about, as a commitment that only the contacts' own keys can tie to them. A contact whose key is destroyed
//! can no longer be tied to any entry, and each entry verifies all the same.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ids::{AuditEntryId, ContactId, TenantId};
use crate::keyring::{DekName, Keyring, KeyringError};

/// A commitment to contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subjects {
    /// How many.
    pub count: u32,
    /// SHA-256 over their sorted keyed hashes; of nobody, 32 zero bytes.
    pub commitment: [u8; 32],
}

/// Commits an entry to these contacts, each given once. A contact whose key is gone is left out.
pub(super) async fn commit(
    keyring: &Keyring,
    tenant: TenantId,
    entry: AuditEntryId,
    contacts: &mut Vec<Uuid>,
) -> Result<Subjects, KeyringError> {
    if contacts.is_empty() {
        return Ok(joined(Vec::new()));
    }
    let name = |contact: &Uuid| DekName::profile(tenant, ContactId::from_uuid(*contact));
    let keys = keyring.hash_keys(tenant, contacts.iter().map(name)).await?;
    contacts.retain(|contact| keys.contains_key(&name(contact)));
    let hash = |contact: &Uuid| Some(keys.get(&name(contact))?.hash::<32>(&[entry.uuid().as_bytes()]));
    Ok(joined(contacts.iter().filter_map(hash).collect()))
}

fn joined(mut hashes: Vec<[u8; 32]>) -> Subjects {
    if hashes.is_empty() {
        return Subjects { count: 0, commitment: [0; 32] };
    }
    hashes.sort_unstable();
    let commitment = hashes.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into();
    Subjects { count: u32::try_from(hashes.len()).unwrap_or(u32::MAX), commitment }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_contacts_says_nothing() {
        let one = joined(vec![[1; 32], [2; 32]]);
        assert_eq!(one, joined(vec![[2; 32], [1; 32]]));
        assert_ne!(one.commitment, joined(vec![[1; 32]]).commitment);
        assert_eq!(joined(Vec::new()), Subjects { count: 0, commitment: [0; 32] });
    }
}
