//! Whom somebody means, and a commitment to that which says nothing to anybody else.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Privacy, PrivacyError};
use crate::domain::person::{Identifier, PhoneNumber};
use crate::ids::{ContactId, TenantId};
use crate::keyring::{DekName, KeyringError, OwnedDek};

/// Begins what is hashed into a commitment.
const LABEL: &[u8] = b"waxseal erasure subject v1\n";
/// Bytes of its salt.
pub(super) const SALT: usize = 32;

/// By what a person is named.
#[derive(Clone)]
pub enum Named {
    /// By our own id.
    Contact(ContactId),
    /// By a number, an id of Meta's or a handle.
    Identifier(Identifier),
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Named({})", self.kind())
    }
}

impl Named {
    /// By a phone number, however it is written.
    #[must_use]
    pub fn phone(text: &str) -> Option<Self> {
        PhoneNumber::parse(text).map(Identifier::Phone).map(Self::Identifier)
    }

    /// By a business-scoped user id.
    #[must_use]
    pub fn user_id(text: &str) -> Option<Self> {
        Identifier::bsuid(text).map(Self::Identifier)
    }

    /// By a public handle.
    #[must_use]
    pub fn username(text: &str) -> Option<Self> {
        let handle = text.strip_prefix('@').unwrap_or(text);
        (!handle.is_empty()).then(|| Self::Identifier(Identifier::Username(handle.to_owned())))
    }

    /// The stable name of what it is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Contact(_) => "contact_id",
            Self::Identifier(Identifier::Phone(_)) => "phone",
            Self::Identifier(Identifier::Bsuid(_) | Identifier::ParentBsuid(_)) => "user_id",
            Self::Identifier(Identifier::Username(_)) => "username",
        }
    }

    /// `SHA-256("waxseal erasure subject v1\n" ‖ salt ‖ kind ‖ "\n" ‖ canonical form)`: whoever has the salt can show whom a certificate is
    /// about, and nobody else can find out.
    #[must_use]
    pub fn commitment(&self, salt: &[u8; SALT]) -> [u8; 32] {
        let canonical = zeroize::Zeroizing::new(match self {
            Self::Contact(contact) => contact.to_string(),
            Self::Identifier(identifier) => identifier.canonical(),
        });
        let begun = Sha256::new().chain_update(LABEL).chain_update(salt).chain_update(self.kind());
        begun.chain_update(b"\n").chain_update(canonical.as_bytes()).finalize().into()
    }
}

impl Privacy {
    /// The key of what others write of a person: reasons and references. It goes with the person, so that they are gone from backups too. Of
    /// nobody: the tenant's.
    pub(super) async fn key_about(
        &self,
        tenant: TenantId,
        person: Option<Uuid>,
    ) -> Result<Arc<OwnedDek>, PrivacyError> {
        let system = || DekName::system(tenant);
        let name = person.map_or_else(system, |person| DekName::profile(tenant, ContactId::from_uuid(person)));
        match self.keyring.one_for_sealing(tenant, name).await {
            Err(KeyringError::Forgotten) => Err(PrivacyError::Unknown),
            result => Ok(result?),
        }
    }

    /// The contact that is meant.
    pub(super) async fn find(&self, tenant: TenantId, named: &Named) -> Result<ContactId, PrivacyError> {
        let contact = match named {
            Named::Contact(contact) => *contact,
            Named::Identifier(identifier) => {
                self.contacts.find(&self.store, tenant, identifier).await?.ok_or(PrivacyError::Unknown)?
            }
        };
        self.store.find_contact(tenant, contact).await?.map(|_| contact).ok_or(PrivacyError::Unknown)
    }

    /// Every id of the person.
    pub(super) async fn everyone(&self, tenant: TenantId, contact: ContactId) -> Result<Vec<Uuid>, PrivacyError> {
        let mut all = self.store.every_id_of(tenant, contact).await?;
        all.push(contact.uuid());
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_number_are_one_person_and_another_salt_is_another_commitment() {
        let [one, other] = ["+55 11 98765-4321", "551187654321"].map(|text| Named::phone(text).unwrap());
        assert_eq!(one.commitment(&[1; 32]), other.commitment(&[1; 32]));
        assert_ne!(one.commitment(&[1; 32]), one.commitment(&[2; 32]));
        assert!(!format!("{one:?}").contains("98765"));
    }
}
