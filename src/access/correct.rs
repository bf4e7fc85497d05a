//! What a contact is called is put right (GDPR Art. 16). What came in stays as it came: it is what was said.

use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::open::Keys;
use super::{Caller, Door, DoorError, Errand, Permission};
use crate::audit::{Action, Object};
use crate::crypto::envelope::Sealed;
use crate::directory::OwnEvent;
use crate::directory::profile::Profile;
use crate::domain::event::EventType;
use crate::ids::{AuditEntryId, ContactId, PrivacyRequestId, TenantId};
use crate::keyring::DekName;
use crate::store::contacts::{self, ContactRow};
use crate::store::privacy_deeds::{self, Deed, NewDeed};
use crate::store::{Store, StoreError, events};

impl Door {
    /// Gives a contact another name, or none, and tells the endpoints that it has changed. It stays until Meta shows another one than it
    /// showed before. A request for it ends with it. False: unknown, erased, or never met in the caller's channels.
    pub async fn correct_name(
        &self,
        who: &Caller,
        errand: &Errand,
        contact: ContactId,
        (name, request): (Option<String>, Option<PrivacyRequestId>),
    ) -> Result<bool, DoorError> {
        self.admit(who, errand, Permission::ContactsWrite).await?;
        let Some(mut row) = self.find_contact(who, contact).await? else { return Ok(false) };
        if let Some(kept) = row.merged_into {
            let kept = self.store.find_contact(who.tenant, ContactId::from_uuid(kept)).await?;
            let Some(kept) = kept else { return Ok(false) };
            row = kept;
        }
        if self.withholds(who, &[row.contact_id]) {
            return Err(DoorError::Held);
        }
        let act = errand.act(who, Action::ContactCorrected, Object::one("contact", row.contact_id));
        let receipt = self.audit.record_about(act.with(&["name"]), vec![row.contact_id]).await?;
        errand.keep(receipt);
        self.rename(who.tenant, row, name, request.map(|request| (request, receipt))).await
    }

    async fn rename(
        &self,
        tenant: TenantId,
        mut row: ContactRow,
        name: Option<String>,
        request: Option<(PrivacyRequestId, AuditEntryId)>,
    ) -> Result<bool, DoorError> {
        let contact = ContactId::from_uuid(row.contact_id);
        let sealed = Sealed::from_stored(std::mem::take(&mut row.profile));
        let keys = Keys::fetch(&self.keyring, tenant, sealed.dek_id().into_iter().collect()).await?;
        let known = keys.key(&sealed).and_then(|key| Profile::open(key, tenant, row.contact_id, &sealed));
        let Some(known) = known else { return Ok(false) };
        let key = self.keyring.one_for_sealing(tenant, DekName::profile(tenant, contact)).await?;
        let profile = Profile { name, ..known }.seal(&key, tenant, contact);
        let (now, snapshot) = (self.clock.now(), self.directory.snapshot());
        let changed = OwnEvent {
            tenant,
            event_type: EventType::ContactChanged,
            channel: None,
            contact,
            message: None,
            error_code: None,
            details: json!({ "contact_id": contact, "corrected": ["name"], "occurred_at": now.format(&Rfc3339).ok() }),
        };
        let event = changed.file(&self.keyring, &snapshot, now).await?;
        self.store.ensure_partitions(now.date()).await?;
        let mut transaction = self.store.begin().await?;
        if !contacts::correct(&mut transaction, tenant, (contact, row.updated_at), &profile, now).await? {
            return Err(StoreError::Conflict.into());
        }
        if let Some((request, entry)) = request {
            let (id, mut people) = (entry.uuid(), self.store.every_id_of(tenant, contact).await?);
            people.push(row.contact_id);
            let deed = NewDeed { request, deed: Deed::Rectification, id, people: &people };
            if !privacy_deeds::join(&mut transaction, tenant, &deed, now).await? {
                return Err(DoorError::NoRequest);
            }
        }
        events::insert_batch(&mut transaction, tenant, std::slice::from_ref(&event), now).await?;
        Store::commit(transaction).await?;
        Ok(true)
    }
}
