//! What there is of the key tree, counted for an operator; and how far a rotation has come.

use time::{Date, OffsetDateTime};

use super::{Store, StoreError};
use crate::ids::TenantId;

/// A tenant's keys, counted.
#[derive(Debug, Clone)]
pub struct KeyCounts {
    /// When its KEK was made.
    pub kek_made_at: OffsetDateTime,
    /// Bucket keys.
    pub buckets: i64,
    /// When the oldest of them was made that says so.
    pub oldest_bucket: Option<OffsetDateTime>,
    /// Index keys.
    pub index_keys: i64,
    /// Data keys.
    pub deks: i64,
    /// The oldest month of a data key that has one.
    pub oldest_month: Option<Date>,
    /// Buckets from which something was forgotten since their key was made.
    pub touched: i64,
    /// Contacts that are forgotten.
    pub forgotten: i64,
}

impl Store {
    /// Counts the tenant's keys. Reads all of them: for an operator who asks.
    pub async fn count_keys(&self, tenant: TenantId) -> Result<Option<KeyCounts>, StoreError> {
        let counts = sqlx::query_as!(
            KeyCounts,
            r#"SELECT k.created_at AS kek_made_at,
                      (SELECT count(*) FROM waxseal_keys.bucket_key WHERE tenant_id = $1) AS "buckets!",
                      (SELECT min(made_at) FROM waxseal_keys.bucket_key WHERE tenant_id = $1) AS oldest_bucket,
                      (SELECT count(*) FROM waxseal_keys.index_key WHERE tenant_id = $1) AS "index_keys!",
                      (SELECT count(*) FROM waxseal_keys.dek WHERE tenant_id = $1) AS "deks!",
                      (SELECT min(month) FROM waxseal_keys.dek WHERE tenant_id = $1 AND scope IN (2, 3)) AS oldest_month,
                      (SELECT count(*) FROM waxseal_keys.touched_bucket WHERE tenant_id = $1) AS "touched!",
                      (SELECT count(*) FROM waxseal_keys.forgotten_subject WHERE tenant_id = $1) AS "forgotten!"
               FROM waxseal_keys.tenant_kek k WHERE k.tenant_id = $1 AND k.current"#,
            tenant.uuid(),
        );
        Ok(counts.fetch_optional(self.key_pool()).await?)
    }

    /// The first bucket of the tenant with this number or a higher one.
    pub async fn bucket_from(&self, tenant: TenantId, number: i16) -> Result<Option<i16>, StoreError> {
        let bucket = sqlx::query_scalar!(
            "SELECT bucket FROM waxseal_keys.bucket_key WHERE tenant_id = $1 AND bucket >= $2 ORDER BY bucket LIMIT 1",
            tenant.uuid(),
            number,
        );
        Ok(bucket.fetch_optional(self.key_pool()).await?)
    }

    /// Begins a rotation, or finds the one that was begun: the bucket that is next, and how many are done.
    pub async fn begin_rotation(&self, tenant: TenantId, now: OffsetDateTime) -> Result<(i16, i32), StoreError> {
        sqlx::query!(
            "INSERT INTO waxseal_keys.rotation (tenant_id, next, replaced, started_at) VALUES ($1, 0, 0, $2) ON CONFLICT DO NOTHING",
            tenant.uuid(),
            now,
        )
        .execute(self.key_pool())
        .await?;
        let found = self.find_rotation(tenant).await?;
        Ok(found.map_or((0, 0), |(next, replaced, _)| (next, replaced)))
    }

    /// The bucket that is next, how many are done, and since when; none: there is no rotation.
    pub async fn find_rotation(&self, tenant: TenantId) -> Result<Option<(i16, i32, OffsetDateTime)>, StoreError> {
        let row = sqlx::query!(
            "SELECT next, replaced, started_at FROM waxseal_keys.rotation WHERE tenant_id = $1",
            tenant.uuid()
        );
        Ok(row.fetch_optional(self.key_pool()).await?.map(|row| (row.next, row.replaced, row.started_at)))
    }

    /// One more bucket is done. Returns how many; none when the rotation is further already, by another process.
    pub async fn rotation_at(&self, tenant: TenantId, next: i16) -> Result<Option<i32>, StoreError> {
        let replaced = sqlx::query_scalar!(
            "UPDATE waxseal_keys.rotation SET next = $2, replaced = replaced + 1 WHERE tenant_id = $1 AND next < $2 RETURNING replaced",
            tenant.uuid(),
            next,
        );
        Ok(replaced.fetch_optional(self.key_pool()).await?)
    }

    /// Everything is done.
    pub async fn end_rotation(&self, tenant: TenantId) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM waxseal_keys.rotation WHERE tenant_id = $1 AND next > 0", tenant.uuid())
            .execute(self.key_pool())
            .await?;
        Ok(())
    }
}
