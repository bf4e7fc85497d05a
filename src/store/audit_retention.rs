//! Entries of the audit log that are old enough to go: whole days, after an entry that says so. Leaves, tiles, bundles and
//! checkpoints stay.

use time::Date;
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::{Store, StoreError};
use crate::ids::TenantId;

/// What is cut by day and goes together.
const TABLES: [&str; 2] = ["audit_entry", "audit_subject"];

/// How far a log has been pruned, and how far it may be.
#[derive(Debug, Clone, Copy)]
pub struct AuditReach {
    /// Whose log.
    pub tenant_id: Uuid,
    /// Entries below this index may be gone already.
    pub pruned: i64,
    /// All entries of the days in question stand below this index.
    pub reach: i64,
}

impl Store {
    /// The logs that have entries of days before `end`, all of them in the tree.
    pub async fn audit_reach(&self, end: Date) -> Result<Vec<AuditReach>, StoreError> {
        let rows = sqlx::query_as!(
            AuditReach,
            r#"SELECT l.tenant_id, l.pruned, f.leaf_index + 1 AS "reach!" FROM audit_log l
               CROSS JOIN LATERAL (
                   -- The tree is in this order, so that the last of them stands highest. One look-up for each day.
                   SELECT entry_id FROM audit_entry WHERE tenant_id = l.tenant_id AND part_day < $1
                   ORDER BY xid DESC, entry_id DESC LIMIT 1
               ) e
               JOIN audit_leaf f ON f.tenant_id = l.tenant_id AND f.entry_id = e.entry_id"#,
            end,
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Notes that entries below `reach` may go, together with the entry that says so. False: somebody was faster.
    pub async fn state_audit_pruning(
        &self,
        tenant: TenantId,
        reach: i64,
        entry: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        let stated = sqlx::query!(
            "UPDATE audit_log SET pruned = $2, pruned_by = $3 WHERE tenant_id = $1 AND pruned < $2",
            tenant.uuid(),
            reach,
            entry.id.uuid(),
        );
        if stated.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        audit_entries::insert(&mut transaction, &[entry]).await?;
        Self::commit(transaction).await?;
        Ok(true)
    }

    /// The days before `end` that there are entries of, or were, the oldest first.
    pub async fn audit_days(&self, end: Date) -> Result<Vec<Date>, StoreError> {
        self.partitioned_days("audit_entry", end).await
    }

    /// Drops the entries of a day, if in every log all of them stand below what was pruned, and a published checkpoint covers the
    /// entry that says so. False: they stay for now.
    pub async fn drop_audit_day(&self, day: Date) -> Result<bool, StoreError> {
        let Some(mut transaction) = self.begin_dropping().await? else { return Ok(false) };
        let is_owed = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT FROM audit_log l
                   CROSS JOIN LATERAL (
                       SELECT entry_id FROM audit_entry WHERE tenant_id = l.tenant_id AND part_day = $1
                       ORDER BY xid DESC, entry_id DESC LIMIT 1
                   ) e
                   LEFT JOIN audit_leaf last ON last.tenant_id = l.tenant_id AND last.entry_id = e.entry_id
                   LEFT JOIN audit_leaf said ON said.tenant_id = l.tenant_id AND said.entry_id = l.pruned_by
                   LEFT JOIN LATERAL (
                       SELECT size FROM audit_checkpoint WHERE tenant_id = l.tenant_id AND published ORDER BY size DESC LIMIT 1
                   ) shown ON true
                   WHERE COALESCE(last.leaf_index >= l.pruned OR said.leaf_index >= shown.size, true)
               ) AS "is_owed!""#,
            day,
        );
        if is_owed.fetch_one(&mut *transaction).await? {
            return Ok(false);
        }
        Self::drop_day(&mut transaction, &TABLES, day).await?;
        Self::commit(transaction).await?;
        Ok(true)
    }
}
