//! How somebody who wants to be forgotten was known to be the person, before it begins: nobody has another forgotten.

use super::{Privacy, PrivacyError};
use crate::crypto::envelope;
use crate::ids::{ErasureId, TenantId};
use crate::keyring::places;
use crate::store::erasure_proofs::IdentityRow;

/// How. The names are part of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// They asked in the chat itself, and said there that they mean it.
    Chat,
    /// They were logged in to an account of yours.
    Login,
    /// They were called, or written to, at a number or address that was known before.
    Callback,
    /// They showed a document.
    Document,
    /// They were there.
    InPerson,
    /// Somebody knows them.
    Known,
}

impl Method {
    /// Every one, in the order of the documentation.
    pub const ALL: [Self; 6] = [Self::Chat, Self::Login, Self::Callback, Self::Document, Self::InPerson, Self::Known];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Login => "login",
            Self::Callback => "callback",
            Self::Document => "document",
            Self::InPerson => "in_person",
            Self::Known => "known",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

/// What is said of it.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// How.
    pub method: Method,
    /// What it rests on. Sealed, in no certificate, and gone with it.
    pub note: Option<&'a str>,
}

/// What is known of it.
#[derive(Debug)]
pub struct IdentityView {
    /// The row.
    pub row: IdentityRow,
    /// What it rests on; `None`: nothing was said, it is gone, or it does not open.
    pub note: Option<String>,
}

impl Privacy {
    pub(super) async fn seal_note(&self, tenant: TenantId, id: ErasureId, text: &str) -> Result<Vec<u8>, PrivacyError> {
        let key = self.key_about(tenant, Some(id.uuid())).await?;
        let place = places::setting(tenant.uuid(), "erasure", "identity_note", id.uuid());
        Ok(envelope::seal(&key.dek, &place, text.as_bytes()).into_bytes())
    }

    /// How the person of an erasure was known to be who they said; the note is opened for whoever has left an entry for it.
    pub async fn identity_of(
        &self,
        tenant: TenantId,
        id: ErasureId,
        opens: bool,
    ) -> Result<Option<IdentityView>, PrivacyError> {
        let Some(row) = self.store.identity_of_erasure(tenant, id).await? else { return Ok(None) };
        let place = places::setting(tenant.uuid(), "erasure", "identity_note", id.uuid());
        let note = match row.note.as_ref().filter(|_| opens) {
            Some(sealed) => self.open_text(tenant, &place, sealed).await?,
            None => None,
        };
        Ok(Some(IdentityView { row, note }))
    }
}
