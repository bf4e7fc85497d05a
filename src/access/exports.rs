//! Archives of what is known of a person, behind the door: who may ask for one, and the key that opens it, once that was recorded.

use std::sync::Arc;

use uuid::Uuid;

use super::admission::Reading;
use super::{Caller, Door, DoorError, Errand, Permission};
use crate::audit::{Action, Object};
use crate::ids::{ContactId, ExportId};
use crate::keyring::OwnedDek;
use crate::store::exports::ExportRow;

/// What became of an archive.
#[derive(Debug)]
pub enum ArchiveState {
    /// It can be read, with this key.
    There(Arc<OwnedDek>),
    /// It is still to be made.
    Waiting,
    /// Its time is over, or the person was erased.
    Gone,
}

/// An archive, as far as it can be read.
#[derive(Debug)]
pub struct ArchiveView {
    /// Which.
    pub id: ExportId,
    /// Of whom.
    pub contact: ContactId,
    /// Whether a passphrase opens it, and no key.
    pub by_passphrase: bool,
    /// What became of it.
    pub state: ArchiveState,
}

impl Door {
    /// Lets a caller have everything written down that is known of a person, by each of these ids: an entry, as for any other reading.
    pub async fn admit_export(
        &self,
        who: &Caller,
        errand: &Errand,
        id: ExportId,
        everyone: &[Uuid],
    ) -> Result<(), DoorError> {
        self.admit(who, errand, Permission::PrivacyExport).await?;
        let reading = Reading::one(Action::ExportRequested, Object::one("export", id.uuid()));
        self.record(who, errand, reading.of(None, 1, everyone.to_vec())).await?;
        Ok(())
    }

    /// An archive, to be fetched. `None`: there is none.
    pub async fn archive(&self, who: &Caller, errand: &Errand, id: ExportId) -> Result<Option<ArchiveView>, DoorError> {
        self.admit(who, errand, Permission::ExportsRead).await?;
        let Some(row) = self.store.find_export(who.tenant, id).await? else { return Ok(None) };
        let contact = ContactId::from_uuid(row.contact_id);
        if self.withholds(who, &row.contact_ids) {
            return Err(DoorError::Held);
        }
        let by_passphrase = row.sealed_for == "passphrase";
        let Some(dek) = self.key_of(&row) else {
            let is_coming = matches!(row.state.as_str(), "requested" | "building");
            let state = if is_coming { ArchiveState::Waiting } else { ArchiveState::Gone };
            return Ok(Some(ArchiveView { id, contact, by_passphrase, state }));
        };
        let reading = Reading::one(Action::ExportRead, Object::one("export", id.uuid()));
        let recorded = self.record(who, errand, reading.of(None, 1, row.contact_ids)).await?;
        let key = self.keyring.for_opening(recorded.tenant(), [dek]).await?.remove(&dek);
        let state = key.map_or(ArchiveState::Gone, ArchiveState::There);
        Ok(Some(ArchiveView { id, contact, by_passphrase, state }))
    }

    /// What an archive lies under, while it is there.
    fn key_of(&self, row: &ExportRow) -> Option<Uuid> {
        let is_young = row.expires_at.is_some_and(|ends| self.clock.now() < ends);
        row.dek_id.filter(|_| row.state == "ready" && is_young)
    }
}
