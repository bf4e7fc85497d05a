//! Exports: what is known of a person, written into one archive that is encrypted for them (GDPR Art. 15 and 20). The archive is made by
//! the owner of a lane, who may be killed at any moment: the next begins it anew, and what is whole takes the place of what lay there.

mod facts;
mod files;
mod gather;
mod history;
mod json;
mod lane;
mod page;
mod sealing;
mod write;
mod zip;

pub use lane::run as run_export;
pub use sealing::SealedFor;

use uuid::Uuid;

use super::{Named, Next, Privacy, PrivacyError};
use crate::audit::{Act, Action, Actor, Object};
use crate::crypto::envelope;
use crate::ids::{ContactId, ExportId, MediaId, PrivacyRequestId, TenantId};
use crate::keyring::{DekName, places};
use crate::store::audit_entries::NewAuditEntry;
use crate::store::exports::{Archived, Asked, ExportProgress, ExportRow, NewExport};
use crate::store::lanes::OwnedLane;
use sealing::Archive;
use zip::Zip;

/// Archives that are removed at once.
const AT_ONCE: i64 = 100;

/// How long a changed number, id or device makes it doubtful who asks.
const IDENTITY_SETTLES: time::Duration = time::Duration::days(30);

/// What an export says of the operator, and how long it is there.
#[derive(Debug, Clone)]
pub struct ExportTerms {
    /// Days after which an archive is removed.
    pub days: u16,
    /// Days that entries of the audit log are kept.
    pub audit_days: u16,
    /// Who answers for the data, and how they are reached.
    pub controller: String,
    /// What the data are used for.
    pub purposes: Vec<String>,
    /// Whether who asks for their data in the chat has them made by that.
    pub in_chat: bool,
}

/// The object that an archive is.
#[must_use]
pub const fn object_of(export: ExportId) -> MediaId {
    MediaId::from_uuid(export.uuid())
}

impl Privacy {
    /// An id for what will be asked for, so that the entry in the audit log can name it.
    #[must_use]
    pub fn new_export(&self) -> ExportId {
        ExportId::new(self.clock.now())
    }

    /// Who is meant: the contact that stands for them, and every id of theirs.
    pub async fn person(&self, tenant: TenantId, named: &Named) -> Result<(ContactId, Vec<Uuid>), PrivacyError> {
        let contact = self.find(tenant, named).await?;
        let kept = self.store.find_contact(tenant, contact).await?.and_then(|row| row.merged_into);
        let kept = kept.map_or(contact, ContactId::from_uuid);
        Ok((kept, self.everyone(tenant, kept).await?))
    }

    /// Refuses where there is no place for archives, and, unless somebody has made sure who asks, when Meta has told of late that the
    /// person changed their number, id or device.
    pub async fn may_export(
        &self,
        tenant: TenantId,
        everyone: &[Uuid],
        is_confirmed: bool,
    ) -> Result<(), PrivacyError> {
        if !self.files.has_place() {
            return Err(PrivacyError::NoPlace);
        }
        if is_confirmed {
            return Ok(());
        }
        let since = self.clock.now() - IDENTITY_SETTLES;
        let changed = self.store.identity_changed_since(tenant, everyone, since).await?;
        if changed { Err(PrivacyError::IdentityChanged) } else { Ok(()) }
    }

    /// Has a person's data written into an archive, from now on; perhaps for a request. Whoever asks has recorded it (`access`).
    pub async fn export(
        &self,
        (tenant, id, actor): (TenantId, ExportId, Uuid),
        (contact, everyone): (ContactId, &[Uuid]),
        (sealed_for, request): (&SealedFor, Option<PrivacyRequestId>),
    ) -> Result<(), PrivacyError> {
        let key = self.key_about(tenant, Some(contact.uuid())).await?;
        let place = places::setting(tenant.uuid(), "export", "recipient", id.uuid());
        let recipient = envelope::seal(&key.dek, &place, sealed_for.text().as_bytes()).into_bytes();
        let (contacts, sealed_for, recipient) = (everyone, sealed_for.kind(), recipient.as_slice());
        let new = NewExport { id, contact, contacts, sealed_for, recipient, actor, request };
        match self.store.insert_export(tenant, &new, self.clock.now()).await? {
            Asked::Stored => Ok(()),
            Asked::Erased => Err(PrivacyError::Unknown),
            Asked::NoRequest => Err(PrivacyError::RequestNotChanged),
        }
    }

    /// One export. `None`: there is none.
    pub async fn find_export(&self, tenant: TenantId, id: ExportId) -> Result<Option<ExportRow>, PrivacyError> {
        Ok(self.store.find_export(tenant, id).await?)
    }

    /// Exports, newest first, asked for before `before`.
    pub async fn exports(
        &self,
        tenant: TenantId,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<ExportRow>, PrivacyError> {
        Ok(self.store.page_of_exports(tenant, before.unwrap_or(Uuid::max()), limit).await?)
    }

    /// Makes the archive, as the owner of its lane.
    pub async fn build_export(&self, lane: OwnedLane) -> Result<Next, PrivacyError> {
        match self.build(lane).await {
            // It would fail in the same way each time.
            Err(error @ PrivacyError::Archive) => {
                tracing::error!(export = %lane.owner, %error, "an export has failed");
                let ended = self.store.fail_export(lane, self.clock.now()).await?;
                Ok(if ended { Next::Done } else { Next::Wait })
            }
            result => result,
        }
    }

    async fn build(&self, lane: OwnedLane) -> Result<Next, PrivacyError> {
        let (tenant, id) = (lane.tenant, ExportId::from_uuid(lane.owner));
        let row = match self.store.find_export(tenant, id).await? {
            Some(row) if matches!(row.state.as_str(), "requested" | "building") => row,
            row => {
                // An erasure took the row with what lay there then, and an owner before may have put an archive there after it.
                if row.is_none() && !self.files.remove(tenant, object_of(id), None).await {
                    return Err(PrivacyError::Files);
                }
                self.store.drop_export_lane(lane).await?;
                return Ok(Next::Done);
            }
        };
        let place = places::setting(tenant.uuid(), "export", "recipient", id.uuid());
        let secret = self.store.recipient_of_export(lane).await?.ok_or(PrivacyError::Archive)?;
        let recipient = zeroize::Zeroizing::new(self.open_text(tenant, &place, &secret).await?.unwrap_or_default());
        let sealed_for = SealedFor::kept(&recipient).ok_or(PrivacyError::Archive)?;
        let (messages, files) = self.store.size_of_export(tenant, &row.contact_ids, row.export_id).await?;
        let so_far = ExportProgress { messages, files, ..ExportProgress::default() };
        if !self.store.note_export(lane, so_far).await? {
            return Ok(Next::Wait);
        }
        self.archive(lane, &row, sealed_for, so_far).await
    }

    async fn archive(
        &self,
        lane: OwnedLane,
        row: &ExportRow,
        sealed_for: SealedFor,
        so_far: ExportProgress,
    ) -> Result<Next, PrivacyError> {
        let (tenant, id) = (lane.tenant, ExportId::from_uuid(lane.owner));
        let contact = ContactId::from_uuid(row.contact_id);
        // The key that goes with the person, and not with a month.
        let key = self.keyring.one_for_sealing(tenant, DekName::profile(tenant, contact)).await?;
        let dek = key.dek.id();
        let to = self.files.begin((tenant, object_of(id), Some(contact)), key).await.ok_or(PrivacyError::Files)?;
        let mut archive = Archive::begin(&sealed_for, Zip::new(self.clock.now()), to).await?;
        let bytes = match self.write(lane, row, &mut archive, so_far).await {
            Ok(true) => archive.finish().await?,
            Ok(false) => {
                archive.abort().await;
                return Ok(Next::Wait);
            }
            Err(error) => {
                archive.abort().await;
                return Err(error);
            }
        };
        let now = self.clock.now();
        let expires_at = now + time::Duration::days(self.exports.days.into());
        let archived = Archived { dek, bytes: i64::try_from(bytes).unwrap_or(i64::MAX), expires_at };
        let entry = self.entry_of(tenant, id, Action::ExportMade, vec![contact.uuid()]).await?;
        if self.store.finish_export(lane, archived, entry, now).await? {
            tracing::info!(export = %id, bytes, "an export is there");
            return Ok(Next::Done);
        }
        if self.store.owns_export(lane).await? && !self.files.remove(tenant, object_of(id), Some(contact)).await {
            return Err(PrivacyError::Files);
        }
        Ok(Next::Wait)
    }

    async fn entry_of(
        &self,
        tenant: TenantId,
        id: ExportId,
        action: Action,
        people: Vec<Uuid>,
    ) -> Result<NewAuditEntry, PrivacyError> {
        let act = Act::new(tenant, Actor::GATEWAY, action, Object::one("export", id.uuid()));
        Ok(self.audit.prepare(act, people).await?)
    }

    /// Removes archives that are over. Called every few seconds.
    pub async fn remove_old_exports(&self) -> Result<(), PrivacyError> {
        for (tenant, id, contact) in self.store.exports_over(self.clock.now(), AT_ONCE).await? {
            if !self.files.remove(tenant, object_of(id), Some(contact)).await {
                return Err(PrivacyError::Files);
            }
            let entry = self.entry_of(tenant, id, Action::ExportRemoved, vec![contact.uuid()]).await?;
            self.store.remove_export(tenant, id, entry).await?;
        }
        Ok(())
    }

    /// Removes the archives of a person who is erased; their rows go with the person.
    pub(super) async fn remove_exports_of(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<(), PrivacyError> {
        for (id, contact) in self.store.exports_of(tenant, contacts).await? {
            if !self.files.remove(tenant, object_of(id), Some(contact)).await {
                return Err(PrivacyError::Files);
            }
        }
        Ok(())
    }
}
