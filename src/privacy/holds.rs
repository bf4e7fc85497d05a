//! Holds: asked for by one key, put in force by another, for a year at most.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Named, Privacy, PrivacyError, Shown, cut, one_more};
use crate::audit::{Act, Action};
use crate::crypto::envelope;
use crate::ids::{AuditEntryId, ContactId, HoldId, PrivacyRequestId, TenantId};
use crate::keyring::places;
use crate::store::holds::HoldRow;
use crate::store::privacy_deeds::{Deed, NewDeed, Wished};

/// The longest hold. Whoever needs a longer one looks again and asks for another.
pub const LONGEST: Duration = Duration::days(366);

/// What is asked for.
#[derive(Debug)]
pub struct NewHold<'a> {
    /// Whose data.
    pub named: &'a Named,
    /// Why. Sealed.
    pub reason: &'a str,
    /// Until when.
    pub expires_at: OffsetDateTime,
    /// The request that it is made for.
    pub request: Option<PrivacyRequestId>,
}

/// A hold, with its reason.
#[derive(Debug)]
pub struct HoldView {
    /// The row.
    pub row: HoldRow,
    /// Why; `None`: it does not open.
    pub reason: Option<String>,
    /// Whether it is in force now.
    pub in_force: bool,
}

/// What can be done with a hold that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldChange {
    /// Puts it in force. Whoever asked for it cannot.
    Approve,
    /// Takes it back.
    Release,
}

impl HoldChange {
    /// What the audit log calls it.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Approve => Action::HoldApproved,
            Self::Release => Action::HoldReleased,
        }
    }
}

impl Privacy {
    /// An id for what will be asked for, so that the entry in the audit log can name it.
    #[must_use]
    pub fn new_hold_id(&self) -> HoldId {
        HoldId::new(self.clock.now())
    }

    /// Asks for a hold. It is in force when another has approved it.
    pub async fn request_hold(&self, id: HoldId, new: &NewHold<'_>, act: Act) -> Result<AuditEntryId, PrivacyError> {
        let (tenant, owner, now) = (act.tenant, act.actor.id, self.clock.now());
        let contact = self.find(tenant, new.named).await?;
        let kept = self.store.find_contact(tenant, contact).await?.and_then(|row| row.merged_into);
        let contact = kept.unwrap_or(contact.uuid());
        let key = self.key_about(tenant, Some(contact)).await?;
        let place = places::setting(tenant.uuid(), "hold", "reason", id.uuid());
        let row = HoldRow {
            hold_id: id.uuid(),
            contact_id: contact,
            state: "requested".to_owned(),
            reason: envelope::seal(&key.dek, &place, new.reason.as_bytes()).into_bytes(),
            owner_id: owner,
            approver_id: None,
            created_at: now,
            active_at: None,
            expires_at: new.expires_at,
            ended_at: None,
        };
        let entry = self.audit.prepare(act, vec![contact]).await?;
        let receipt = entry.id;
        let people = self.everyone(tenant, ContactId::from_uuid(contact)).await?;
        let (hold, people) = (id.uuid(), people.as_slice());
        let deed = new.request.map(|request| NewDeed { request, deed: Deed::Hold, id: hold, people });
        match self.store.insert_hold(tenant, &row, deed.as_ref(), entry).await? {
            Wished::Done => Ok(receipt),
            // Behind the fence of an erasure nobody is known by this name any more.
            Wished::Erased => Err(PrivacyError::Unknown),
            Wished::NoRequest => Err(PrivacyError::RequestNotChanged),
        }
    }

    /// Puts a hold in force, or takes it back.
    pub async fn change_hold(&self, id: HoldId, change: HoldChange, act: Act) -> Result<AuditEntryId, PrivacyError> {
        let (tenant, actor, now) = (act.tenant, act.actor.id, self.clock.now());
        self.store.find_hold(tenant, id).await?.ok_or(PrivacyError::Unknown)?;
        let entry = self.audit.prepare(act, Vec::new()).await?;
        let receipt = entry.id;
        let changed = match change {
            HoldChange::Approve => self.store.approve_hold(tenant, (id, actor), entry, now).await?,
            HoldChange::Release => self.store.release_hold(tenant, id, entry, now).await?,
        };
        if changed { Ok(receipt) } else { Err(PrivacyError::Refused) }
    }

    /// Holds, newest first, asked for before `before`. What is about to be shown is recorded.
    pub async fn holds(&self, act: Act, before: Option<Uuid>, limit: usize) -> Result<Shown<HoldView>, PrivacyError> {
        let tenant = act.tenant;
        let rows = self.store.page_of_holds(tenant, before.unwrap_or(Uuid::max()), one_more(limit)).await?;
        let (rows, has_more) = cut(rows, limit);
        if rows.is_empty() {
            return Ok(Shown::NOTHING);
        }
        let people = rows.iter().map(|row| row.contact_id).collect();
        let receipt = self.audit.record_about(act.times(rows.len()), people).await?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            views.push(self.view(tenant, row).await?);
        }
        Ok(Shown { views, has_more, receipt: Some(receipt) })
    }

    async fn view(&self, tenant: TenantId, row: HoldRow) -> Result<HoldView, PrivacyError> {
        let place = places::setting(tenant.uuid(), "hold", "reason", row.hold_id);
        let reason = self.open_text(tenant, &place, &row.reason).await?;
        let in_force = row.state == "active" && row.expires_at > self.clock.now();
        Ok(HoldView { row, reason, in_force })
    }

    /// Everybody of a tenant whose data must stay.
    pub(super) async fn everyone_held(&self) -> Result<Vec<(TenantId, ContactId)>, PrivacyError> {
        let held = self.store.everyone_held(self.clock.now()).await?;
        let held = held.into_iter();
        Ok(held.map(|(tenant, contact, _)| (TenantId::from_uuid(tenant), ContactId::from_uuid(contact))).collect())
    }
}
