//! Restrictions (GDPR Art. 18): data that are kept and not used, until somebody lifts it.

use uuid::Uuid;

use super::marks::Marker;
use super::{Privacy, PrivacyError, Shown, cut, one_more};
use crate::audit::Act;
use crate::crypto::envelope;
use crate::ids::{AuditEntryId, ContactId, PrivacyRequestId, TenantId};
use crate::keyring::places;
use crate::store::privacy_deeds::{Deed, NewDeed, Wished};
use crate::store::restrictions::RestrictionRow;

/// A restriction, with its reason.
#[derive(Debug)]
pub struct RestrictionView {
    /// The row.
    pub row: RestrictionRow,
    /// Why; `None`: it does not open.
    pub reason: Option<String>,
}

impl Privacy {
    /// Has nothing of a person delivered, sent or read in the ordinary way, from now on.
    ///
    /// A request for it ends with it.
    pub async fn restrict(
        &self,
        contact: ContactId,
        (reason, request): (&str, Option<PrivacyRequestId>),
        mut act: Act,
    ) -> Result<AuditEntryId, PrivacyError> {
        let (tenant, actor_id, created_at) = (act.tenant, act.actor.id, self.clock.now());
        let (kept, everyone) = self.person(tenant, &super::Named::Contact(contact)).await?;
        // As in the row: the entry tells of it.
        act.object.id = kept.uuid();
        let key = self.key_about(tenant, Some(kept.uuid())).await?;
        let place = places::setting(tenant.uuid(), "restriction", "reason", kept.uuid());
        let reason = envelope::seal(&key.dek, &place, reason.as_bytes()).into_bytes();
        let row = RestrictionRow { contact_id: kept.uuid(), reason, actor_id, created_at };
        let entry = self.audit.prepare(act, vec![kept.uuid()]).await?;
        let receipt = entry.id;
        let id = receipt.uuid();
        let deed = request.map(|request| NewDeed { request, deed: Deed::Restriction, id, people: &everyone });
        match self.store.restrict(tenant, &row, (&everyone, deed.as_ref()), entry).await? {
            Wished::Done => Ok(receipt),
            Wished::Erased => Err(PrivacyError::Unknown),
            Wished::NoRequest => Err(PrivacyError::RequestNotChanged),
        }
    }

    /// Lifts it.
    pub async fn lift_restriction(&self, contact: ContactId, mut act: Act) -> Result<AuditEntryId, PrivacyError> {
        let tenant = act.tenant;
        let (kept, everyone) = self.person(tenant, &super::Named::Contact(contact)).await?;
        act.object.id = kept.uuid();
        let by = Marker::of(&self.keyring, tenant).await?;
        let entry = self.audit.prepare(act, vec![kept.uuid()]).await?;
        let receipt = entry.id;
        let lifted = self.store.lift_restriction(tenant, (&everyone, &by), entry).await?;
        if lifted { Ok(receipt) } else { Err(PrivacyError::Unknown) }
    }

    /// Restrictions, by the ids of the contacts, behind `after`. What is about to be shown is recorded.
    pub async fn restrictions(
        &self,
        act: Act,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Shown<RestrictionView>, PrivacyError> {
        let tenant: TenantId = act.tenant;
        let after = ContactId::from_uuid(after.unwrap_or_default());
        let rows = self.store.page_of_restrictions(tenant, after, one_more(limit)).await?;
        let (rows, has_more) = cut(rows, limit);
        if rows.is_empty() {
            return Ok(Shown::NOTHING);
        }
        let people = rows.iter().map(|row| row.contact_id).collect();
        let receipt = self.audit.record_about(act.times(rows.len()), people).await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let place = places::setting(tenant.uuid(), "restriction", "reason", row.contact_id);
            let reason = self.open_text(tenant, &place, &row.reason).await?;
            views.push(RestrictionView { row, reason });
        }
        Ok(Shown { views, has_more, receipt: Some(receipt) })
    }
}
