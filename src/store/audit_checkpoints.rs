//! Checkpoints of the audit log after they were made: cosigned, published, thinned.

use time::{Date, OffsetDateTime};

use super::lanes::OwnedLane;
use super::{Store, StoreError};
use crate::ids::TenantId;

/// A checkpoint, shown already or not.
#[derive(Debug)]
pub struct MadeCheckpoint {
    /// Leaves.
    pub size: i64,
    /// Signed note, with the witnesses' lines so far.
    pub note: String,
    /// Whether it is shown.
    pub published: bool,
}

/// Checkpoints that one statement removes. A busy day has a third of a million, and a statement has a time limit.
const THINNED: i64 = 50_000;

impl Store {
    /// The newest checkpoint, published or not.
    pub async fn newest_audit_checkpoint(&self, tenant: TenantId) -> Result<Option<MadeCheckpoint>, StoreError> {
        let row = sqlx::query_as!(
            MadeCheckpoint,
            "SELECT size, note, published FROM audit_checkpoint WHERE tenant_id = $1 ORDER BY size DESC LIMIT 1",
            tenant.uuid(),
        );
        Ok(row.fetch_optional(&self.data).await?)
    }

    /// Replaces a note by the same with more signatures, and shows it when `published`; what was shown stays so. False: the lane
    /// is another's, who asks witnesses too, and nothing was written.
    pub async fn cosign_audit_checkpoint(
        &self,
        lane: OwnedLane,
        size: i64,
        note: &str,
        published: bool,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE audit_checkpoint SET note = $4, published = published OR $5
             WHERE tenant_id = $1 AND size = $3
               AND EXISTS (SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 4 AND owner_id = $1 AND shard = 0 AND epoch = $2)",
            lane.tenant.uuid(),
            lane.epoch,
            size,
            note,
            published,
        );
        Ok(done.execute(&self.data).await?.rows_affected() > 0)
    }

    /// When the oldest checkpoint of any tenant was made that is newer than all published ones of its log. `None`: there is none.
    pub async fn audit_unpublished_since(&self) -> Result<Option<OffsetDateTime>, StoreError> {
        let since = sqlx::query_scalar!(
            r#"SELECT min(waiting.made_at) AS "since?" FROM audit_log l
               CROSS JOIN LATERAL (
                   SELECT c.made_at FROM audit_checkpoint c
                   WHERE c.tenant_id = l.tenant_id AND c.size > COALESCE((
                       SELECT p.size FROM audit_checkpoint p
                       WHERE p.tenant_id = l.tenant_id AND p.published ORDER BY p.size DESC LIMIT 1), 0)
                   ORDER BY c.size LIMIT 1
               ) waiting"#
        );
        Ok(since.fetch_one(&self.data).await?)
    }

    /// Keeps of the checkpoints made before `day` the last of each day, and the last published one. Returns how many went.
    pub async fn thin_audit_checkpoints(&self, day: Date) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let thinned = sqlx::query!(
                "DELETE FROM audit_checkpoint WHERE ctid = ANY(ARRAY(
                     SELECT c.ctid FROM audit_log l CROSS JOIN LATERAL (
                         SELECT ctid, size, max(size) OVER of_day AS last,
                                max(size) FILTER (WHERE published) OVER of_day AS shown
                         FROM audit_checkpoint WHERE tenant_id = l.tenant_id AND made_at < $1
                         WINDOW of_day AS (PARTITION BY (made_at AT TIME ZONE 'UTC')::date)
                     ) c
                     WHERE c.size < c.last AND c.size IS DISTINCT FROM c.shown LIMIT $2))",
                day.midnight().assume_utc(),
                THINNED,
            );
            let thinned = thinned.execute(&self.janitor).await?.rows_affected();
            total += thinned;
            if thinned < THINNED.unsigned_abs() {
                return Ok(total);
            }
        }
    }
}
