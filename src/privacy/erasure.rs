//! What is asked for, what would go, and how far it has come.

use data_encoding::HEXLOWER;
use uuid::Uuid;

use super::identity::Identity;
use super::subject::{Named, SALT};
use super::{Privacy, PrivacyError};
use crate::audit::Act;
use crate::crypto::{envelope, random};
use crate::ids::{AuditEntryId, ErasureId, PrivacyRequestId, TenantId};
use crate::keyring::places;
use crate::store::erasing_counts::ConsentProofRow;
use crate::store::erasure_proofs::NewIdentity;
use crate::store::erasures::{ErasureRow, Inserted, NewErasure, ReceiptRow};

/// Why somebody is to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The person asked for it.
    Request,
    /// The person took their consent back.
    ConsentWithdrawn,
    /// The person objected.
    Objection,
    /// The data are needed no longer.
    NotNeeded,
    /// They should never have been stored.
    Unlawful,
    /// A law or a court asks for it.
    LegalDuty,
}

impl Basis {
    /// Every basis, in the order of the documentation.
    pub const ALL: [Self; 6] =
        [Self::Request, Self::ConsentWithdrawn, Self::Objection, Self::NotNeeded, Self::Unlawful, Self::LegalDuty];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::Objection => "objection",
            Self::NotNeeded => "not_needed",
            Self::Unlawful => "unlawful",
            Self::LegalDuty => "legal_duty",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|basis| basis.as_str() == text)
    }
}

/// What is asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Whom.
    pub named: &'a Named,
    /// Why.
    pub basis: Basis,
    /// Of the case. Sealed, and in no certificate.
    pub reference: Option<&'a str>,
    /// Whether the epoch is stepped for it; else the next step is waited for.
    pub step_now: bool,
    /// The request that it is made for, which ends with it.
    pub request: Option<PrivacyRequestId>,
    /// How they were known to be who they said; `None`: nobody says.
    pub identity: Option<Identity<'a>>,
}

/// What is known of an erasure that was asked for.
#[derive(Debug)]
pub struct Progress {
    /// The row.
    pub row: ErasureRow,
    /// How many rows of each table went.
    pub counts: Vec<(String, i64)>,
    /// Who has to be told.
    pub receipts: Vec<ReceiptRow>,
}

/// Who was found, and what there is about them.
#[derive(Debug)]
pub struct Found {
    /// How many rows of each table.
    pub counts: Vec<(String, i64)>,
    /// Whether somebody holds the data.
    pub held: bool,
}

impl Privacy {
    /// An id for what will be asked for, so that the entry in the audit log can name it.
    #[must_use]
    pub fn new_erasure(&self) -> ErasureId {
        ErasureId::new(self.clock.now())
    }

    /// What would go. That somebody looked is recorded.
    pub async fn dry_run(&self, named: &Named, act: Act) -> Result<(Found, AuditEntryId), PrivacyError> {
        let tenant = act.tenant;
        let contact = self.find(tenant, named).await?;
        let everyone = self.everyone(tenant, contact).await?;
        let receipt = self.audit.record_about(act, everyone.clone()).await?;
        let held = !self.store.held_among(tenant, &everyone, self.clock.now()).await?.is_empty();
        let (reads, today) = (self.traces(tenant, &everyone).await?.reads, self.clock.now().date());
        Ok((Found { counts: self.store.count_person(tenant, &everyone, &reads, today).await?, held }, receipt))
    }

    /// Has a person forgotten, from now on. Returns the salt of the commitment, which is kept nowhere else, and the entry of the audit log.
    pub async fn erase(
        &self,
        id: ErasureId,
        asked: &Asked<'_>,
        mut act: Act,
    ) -> Result<(String, AuditEntryId), PrivacyError> {
        let (tenant, actor) = (act.tenant, act.actor.id);
        let contact = self.find(tenant, asked.named).await?;
        let everyone = self.everyone(tenant, contact).await?;
        let salt = random::bytes::<SALT>();
        let reference = match asked.reference {
            Some(text) => Some(self.seal_reference(tenant, id, text).await?),
            None => None,
        };
        let note = match asked.identity.and_then(|identity| identity.note) {
            Some(text) => Some(self.seal_note(tenant, id, text).await?),
            None => None,
        };
        let identity =
            asked.identity.map(|identity| NewIdentity { method: identity.method.as_str(), note: note.as_deref() });
        if let Some(identity) = &identity {
            // Who says so is the actor of the entry.
            act = act.with(&[&format!("identity={}", identity.method)]);
        }
        let new = NewErasure {
            id,
            contacts: &everyone,
            commitment: asked.named.commitment(&salt),
            asked_by: asked.named.kind(),
            basis: asked.basis.as_str(),
            reference: reference.as_deref(),
            actor,
            step_now: asked.step_now,
            request: asked.request,
            identity,
        };
        let entry = self.audit.prepare(act, Vec::new()).await?;
        let receipt = entry.id;
        match self.store.insert_erasure(tenant, &new, entry, self.clock.now()).await? {
            Inserted::Done => Ok((HEXLOWER.encode(&salt), receipt)),
            Inserted::UnderWay => Err(PrivacyError::UnderWay),
            Inserted::NoRequest => Err(PrivacyError::RequestNotChanged),
        }
    }

    async fn seal_reference(&self, tenant: TenantId, id: ErasureId, text: &str) -> Result<Vec<u8>, PrivacyError> {
        let key = self.key_about(tenant, Some(id.uuid())).await?;
        let place = places::setting(tenant.uuid(), "erasure", "reference", id.uuid());
        Ok(envelope::seal(&key.dek, &place, text.as_bytes()).into_bytes())
    }

    /// One erasure. `None`: there is none.
    pub async fn erasure(&self, tenant: TenantId, id: ErasureId) -> Result<Option<Progress>, PrivacyError> {
        let Some(row) = self.store.find_erasure(tenant, id).await? else { return Ok(None) };
        let counts = self.store.counts_of_erasure(tenant, id).await?;
        let receipts = self.store.receipts_of_erasure(tenant, id).await?;
        Ok(Some(Progress { row, counts, receipts }))
    }

    /// Which case an erasure belongs to; `None`: none, or it does not open. That somebody looked is recorded where there is one, or a note
    /// on the identity (`identity_of`).
    pub async fn reference_of(
        &self,
        row: &ErasureRow,
        act: Act,
    ) -> Result<(Option<String>, Option<AuditEntryId>), PrivacyError> {
        let (tenant, id) = (act.tenant, ErasureId::from_uuid(row.erasure_id));
        let has_note =
            self.store.identity_of_erasure(tenant, id).await?.is_some_and(|identity| identity.note.is_some());
        if row.reference.is_none() && !has_note {
            return Ok((None, None));
        }
        let receipt = self.audit.record(act).await?;
        let place = places::setting(tenant.uuid(), "erasure", "reference", row.erasure_id);
        let reference = match &row.reference {
            Some(sealed) => self.open_text(tenant, &place, sealed).await?,
            None => None,
        };
        Ok((reference, Some(receipt)))
    }

    /// Erasures, newest first, asked for before `before`.
    pub async fn erasures(
        &self,
        tenant: TenantId,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<ErasureRow>, PrivacyError> {
        Ok(self.store.page_of_erasures(tenant, before.unwrap_or(Uuid::max()), limit).await?)
    }

    pub(super) async fn open_text(
        &self,
        tenant: TenantId,
        place: &crate::crypto::context::Context,
        sealed: &[u8],
    ) -> Result<Option<String>, PrivacyError> {
        let sealed = envelope::Sealed::from_stored(sealed.to_vec());
        let Some(dek) = sealed.dek_id() else { return Ok(None) };
        let keys = self.keyring.for_opening(tenant, [dek]).await?;
        let opened = keys.get(&dek).and_then(|key| envelope::open(&key.dek, place, &sealed).ok());
        Ok(opened.and_then(|text| String::from_utf8(text.to_vec()).ok()))
    }

    /// Consent that stays proven although the person was forgotten, newest first. They are found by who shows their number or id again.
    pub async fn consent_proofs(
        &self,
        named: &Named,
        act: Act,
    ) -> Result<(Vec<ConsentProofRow>, AuditEntryId), PrivacyError> {
        let tenant = act.tenant;
        let Named::Identifier(identifier) = named else { return Err(PrivacyError::Unknown) };
        let keys = self.keyring.tenant(tenant).await?;
        // By whichever key they were found when they were forgotten: nothing is left of them that could be hashed again.
        let every = keys.identifiers.every(identifier);
        let proofs: Vec<_> = every.iter().map(|hash| keys.consent_proof(identifier.kind(), hash)).collect();
        let receipt = self.audit.record(act).await?;
        let proofs = self.store.consent_proofs(tenant, &proofs).await?;
        Ok((proofs, receipt))
    }
}
