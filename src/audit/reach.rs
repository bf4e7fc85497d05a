//! How far a breach went, by class of data and by endpoint.

use super::classes::DataClass;
use super::recorder::Audit;
use crate::ids::TenantId;
use crate::store::StoreError;
use crate::store::audit_reach::SentRow;
use crate::store::audit_scope::{Scope, ScopeRow};

/// What was reached of a class of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSum {
    /// The class.
    pub class: DataClass,
    /// How many entries show it.
    pub entries: i64,
    /// How many people they are about, each counted once; sums of deliveries name nobody.
    pub contacts: i64,
}

impl Audit {
    /// Sums of each class of data, out of those of each action. People are counted anew where several actions reached some.
    pub async fn scope_classes(
        &self,
        tenant: TenantId,
        scope: Scope,
        rows: &[ScopeRow],
    ) -> Result<Vec<ClassSum>, StoreError> {
        let mut sums = Vec::new();
        for class in DataClass::ALL {
            let is_of = |row: &&ScopeRow| row.action.as_deref().and_then(DataClass::of) == Some(class);
            let of: Vec<&ScopeRow> = rows.iter().filter(is_of).collect();
            let with_people: Vec<&&ScopeRow> = of.iter().filter(|row| row.contacts > 0).collect();
            let contacts = match with_people.as_slice() {
                [] => 0,
                [one] => one.contacts,
                several => {
                    let actions: Vec<String> = several.iter().filter_map(|row| row.action.clone()).collect();
                    self.inner.store.audit_scope_people(tenant, scope, &actions).await?
                }
            };
            if !of.is_empty() {
                sums.push(ClassSum { class, entries: of.iter().map(|row| row.entries).sum(), contacts });
            }
        }
        Ok(sums)
    }

    /// What each endpoint was sent in that time, by whoever's doing.
    pub async fn scope_endpoints(&self, tenant: TenantId, scope: Scope) -> Result<Vec<SentRow>, StoreError> {
        self.inner.store.audit_scope_endpoints(tenant, scope).await
    }
}
