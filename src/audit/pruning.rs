//! Entries go with age, a day at a time; what the tree commits to stays. An entry of its own says how far, and nothing is dropped
//! before a published checkpoint covers that one: so whoever verifies the log can tell age from theft.

use time::Date;

use super::act::{Act, Action, Actor, Object};
use super::entry::Entry;
use super::recorder::{Audit, AuditError};
use crate::ids::TenantId;

/// Days dropped in one go. More are left for the next, an hour later.
const DAYS: usize = 31;

impl Audit {
    /// Drops the entries of days before `end`: those of which an earlier call said so. Returns how many days went.
    pub async fn prune(&self, end: Date) -> Result<usize, AuditError> {
        let store = &self.inner.store;
        for log in store.audit_reach(end).await?.into_iter().filter(|log| log.reach > log.pruned) {
            let tenant = TenantId::from_uuid(log.tenant_id);
            let act = Act::new(tenant, Actor::GATEWAY, Action::AuditPruned, Object::several("audit_entry"));
            let more = usize::try_from(log.reach - log.pruned).unwrap_or(usize::MAX);
            let entry = self.prepare(act.times(more).with(&[&log.reach.to_string()]), Vec::new()).await?;
            store.state_audit_pruning(tenant, log.reach, entry).await?;
        }
        let mut dropped = 0;
        for day in store.audit_days(end).await?.into_iter().take(DAYS) {
            if !store.drop_audit_day(day).await? {
                break;
            }
            tracing::info!(%day, "audit entries of this day were dropped; they are older than is to be kept");
            dropped += 1;
        }
        Ok(dropped)
    }
}

impl Entry {
    /// Below which index entries may be missing because of their age, when this one says so.
    #[must_use]
    pub fn pruned_below(&self) -> Option<u64> {
        let is_said = self.act.action == Action::AuditPruned.as_str() && self.act.actor == Actor::GATEWAY;
        is_said.then(|| self.act.details.parse().ok()).flatten()
    }
}
