//! Which region the data of a tenant belong to.

use super::audit_entries::{self, NewAuditEntry};
use super::{Store, StoreError};
use crate::ids::TenantId;

impl Store {
    /// The region that the data are marked with. `None`: they are not.
    pub async fn region(&self, tenant: TenantId) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar!("SELECT region FROM tenant WHERE tenant_id = $1", tenant.uuid());
        Ok(found.fetch_optional(&self.data).await?.flatten())
    }

    /// Marks them, with the entry that says so, unless they are not marked as `before` any more.
    pub async fn mark_region(
        &self,
        tenant: TenantId,
        (before, region): (Option<&str>, &str),
        entry: NewAuditEntry,
    ) -> Result<(), StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        let marked = sqlx::query!(
            "UPDATE tenant SET region = $3 WHERE tenant_id = $1 AND region IS NOT DISTINCT FROM $2",
            tenant.uuid(),
            before,
            region,
        );
        if marked.execute(&mut *transaction).await?.rows_affected() == 1 {
            audit_entries::insert(&mut transaction, &[entry]).await?;
            transaction.commit().await?;
        }
        Ok(())
    }
}
