//! What was owed to endpoints that are no more.

use super::{Store, StoreError};

/// Rows that one statement removes: far below the time limit of a statement.
const ORPHANS: i64 = 10_000;

/// Removes some of what is owed in one table. Steps through the owners along the primary key, one look-up each: to compare every
/// row with its endpoint would read all that waits for the endpoints that are there.
macro_rules! sweep {
    ($name:ident, $table:literal) => {
        async fn $name(&self) -> Result<u64, StoreError> {
            let done = sqlx::query!(
                "DELETE FROM "
                    + $table
                    + " WHERE ctid = ANY(ARRAY(
                     WITH RECURSIVE owner AS (
                         (SELECT tenant_id, endpoint_id FROM "
                    + $table
                    + " ORDER BY tenant_id, endpoint_id LIMIT 1)
                         UNION ALL
                         SELECT next.tenant_id, next.endpoint_id
                         FROM owner CROSS JOIN LATERAL (
                             SELECT d.tenant_id, d.endpoint_id FROM "
                    + $table
                    + " d
                             WHERE (d.tenant_id, d.endpoint_id) > (owner.tenant_id, owner.endpoint_id)
                             ORDER BY d.tenant_id, d.endpoint_id LIMIT 1
                         ) next
                     ), orphan AS MATERIALIZED (
                         SELECT tenant_id, endpoint_id FROM owner
                         WHERE NOT EXISTS (
                             SELECT 1 FROM endpoint e
                             WHERE e.tenant_id = owner.tenant_id AND e.endpoint_id = owner.endpoint_id)
                     )
                     SELECT row.ctid
                     FROM orphan CROSS JOIN LATERAL (
                         SELECT d.ctid FROM "
                    + $table
                    + " d
                         WHERE d.tenant_id = orphan.tenant_id AND d.endpoint_id = orphan.endpoint_id
                         LIMIT $1
                         FOR UPDATE SKIP LOCKED
                     ) row
                     LIMIT $1))",
                ORPHANS,
            );
            Ok(done.execute(&self.janitor).await?.rows_affected())
        }
    };
}

impl Store {
    /// Removes what was owed to endpoints that are no more, 10,000 rows at a time, in at most `batches` statements. Returns
    /// how many rows went.
    pub async fn sweep_orphans(&self, batches: u32) -> Result<u64, StoreError> {
        let mut total = 0;
        for _ in 0..batches {
            let swept = self.sweep_fresh_orphans().await? + self.sweep_retried_orphans().await?;
            total += swept;
            if swept < ORPHANS.unsigned_abs() {
                break;
            }
        }
        Ok(total)
    }

    sweep!(sweep_fresh_orphans, "delivery");
    sweep!(sweep_retried_orphans, "delivery_retry");
}
