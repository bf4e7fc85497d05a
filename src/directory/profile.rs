//! A contact's profile: what Meta last called a person. Sealed as one JSON document under the contact's own key.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::crypto::envelope::{self, Sealed};
use crate::domain::person::{Identifier, Person};
use crate::ids::{ContactId, TenantId};
use crate::keyring::{OwnedDek, places};

/// The sealed document. Fields that are absent were never seen.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The name the person shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digits, as Meta last wrote them: this spelling is known to work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// Business-scoped user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The same across portfolios of one parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_user_id: Option<String>,
    /// Public handle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Profile(…)")
    }
}

impl Profile {
    /// What this person says on top of what was known. Former identifiers that are still shown are dropped.
    #[must_use]
    pub fn overlaid(mut self, person: &Person) -> Self {
        for identifier in &person.former {
            let shown = self.slot(identifier);
            if shown.as_deref() == Some(text_of(identifier)) {
                *shown = None;
            }
        }
        for identifier in &person.identifiers {
            *self.slot(identifier) = Some(text_of(identifier).to_owned());
        }
        self.name = person.name.clone().or(self.name);
        self
    }

    fn slot(&mut self, identifier: &Identifier) -> &mut Option<String> {
        match identifier {
            Identifier::Phone(_) => &mut self.phone,
            Identifier::Bsuid(_) => &mut self.user_id,
            Identifier::ParentBsuid(_) => &mut self.parent_user_id,
            Identifier::Username(_) => &mut self.username,
        }
    }

    /// Seals the document under the contact's own key.
    #[must_use]
    pub fn seal(&self, key: &OwnedDek, tenant: TenantId, contact: ContactId) -> Sealed {
        // Five optional strings always serialise.
        let json = zeroize::Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        envelope::seal(&key.dek, &places::contact_profile(tenant, contact), &json)
    }

    /// Opens a stored document. `None` when it does not open or is no profile.
    #[must_use]
    pub fn open(key: &OwnedDek, tenant: TenantId, contact: Uuid, sealed: &Sealed) -> Option<Self> {
        let json =
            envelope::open(&key.dek, &places::contact_profile(tenant, ContactId::from_uuid(contact)), sealed).ok()?;
        serde_json::from_slice(&json).ok()
    }
}

/// An identifier as Meta wrote it.
pub(super) fn text_of(identifier: &Identifier) -> &str {
    match identifier {
        Identifier::Phone(number) => number.digits(),
        Identifier::Bsuid(text) | Identifier::ParentBsuid(text) | Identifier::Username(text) => text,
    }
}
