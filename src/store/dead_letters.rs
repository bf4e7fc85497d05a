//! Dead letters: deliveries that were given up. Kept until somebody has them delivered after all, or purges them.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::ids::{EndpointId, TenantId};

/// Why deliveries are given up.
pub const REASONS: [&str; 4] = ["exhausted", "payload_gone", "retention", "unreadable"];

/// A delivery that was given up.
#[derive(Debug)]
pub struct DeadLetterRow {
    /// The event.
    pub event_id: Uuid,
    /// Attempts that were made.
    pub attempts: i16,
    /// Why it was given up: a word from a closed list.
    pub reason: String,
    /// When.
    pub died_at: OffsetDateTime,
}

/// Which dead letters of an endpoint. `None` leaves out none.
#[derive(Debug, Clone, Default)]
pub struct DeadLetterFilter {
    /// Of these events.
    pub events: Option<Vec<Uuid>>,
    /// Given up for this reason.
    pub reason: Option<String>,
    /// Given up at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Given up before this time.
    pub until: Option<OffsetDateTime>,
}

impl DeadLetterFilter {
    /// Whether it leaves out none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.events.is_none() && self.reason.is_none() && self.since.is_none() && self.until.is_none()
    }
}

impl Store {
    /// Dead letters, newest first, that come after `behind` in this order.
    pub async fn page_of_dead_letters(
        &self,
        (tenant, endpoint): (TenantId, EndpointId),
        filter: &DeadLetterFilter,
        behind: Option<(OffsetDateTime, Uuid)>,
        limit: i64,
    ) -> Result<Vec<DeadLetterRow>, StoreError> {
        let rows = sqlx::query_as!(
            DeadLetterRow,
            r#"SELECT event_id, attempts, reason, died_at FROM delivery_dead
               WHERE tenant_id = $1 AND endpoint_id = $2
                 AND ($3::uuid[] IS NULL OR event_id = ANY($3))
                 AND ($4::text IS NULL OR reason = $4)
                 AND ($5::timestamptz IS NULL OR died_at >= $5)
                 AND ($6::timestamptz IS NULL OR died_at < $6)
                 AND ($7::timestamptz IS NULL OR (died_at, event_id) < ($7, $8::uuid))
               ORDER BY died_at DESC, event_id DESC
               LIMIT $9"#,
            tenant.uuid(),
            endpoint.uuid(),
            filter.events.as_deref(),
            filter.reason,
            filter.since,
            filter.until,
            behind.map(|place| place.0),
            behind.map(|place| place.1),
            limit,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }

    /// Puts the oldest of these back among what is owed, all of them or none. What is owed already stays as it is. Returns
    /// how many are no longer dead.
    pub async fn redrive(
        &self,
        (tenant, endpoint): (TenantId, EndpointId),
        filter: &DeadLetterFilter,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let raised = sqlx::query_scalar!(
            r#"WITH chosen AS (
                   SELECT event_id FROM delivery_dead
                   WHERE tenant_id = $1 AND endpoint_id = $2
                     AND ($3::uuid[] IS NULL OR event_id = ANY($3))
                     AND ($4::text IS NULL OR reason = $4)
                     AND ($5::timestamptz IS NULL OR died_at >= $5)
                     AND ($6::timestamptz IS NULL OR died_at < $6)
                   ORDER BY died_at, event_id
                   LIMIT $7
                   FOR UPDATE
               ), raised AS (
                   DELETE FROM delivery_dead d USING chosen
                   WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.event_id = chosen.event_id
                   RETURNING d.event_id, d.part_day, d.event_xid, d.contact_id
               ), owed AS (
                   INSERT INTO delivery (tenant_id, endpoint_id, shard, event_id, part_day, event_xid, contact_id)
                   SELECT $1, $2, 0, event_id, part_day, event_xid, contact_id FROM raised
                   WHERE NOT EXISTS (
                       SELECT 1 FROM delivery_retry r
                       WHERE r.tenant_id = $1 AND r.endpoint_id = $2 AND r.shard = 0 AND r.event_id = raised.event_id)
                   ON CONFLICT DO NOTHING
               )
               SELECT count(*) AS "raised!" FROM raised"#,
            tenant.uuid(),
            endpoint.uuid(),
            filter.events.as_deref(),
            filter.reason,
            filter.since,
            filter.until,
            limit,
        )
        .fetch_one(&self.data)
        .await?;
        Ok(raised.unsigned_abs())
    }

    /// Forgets the oldest of these. Returns how many went.
    pub async fn purge(
        &self,
        (tenant, endpoint): (TenantId, EndpointId),
        filter: &DeadLetterFilter,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "WITH chosen AS (
                 SELECT event_id FROM delivery_dead
                 WHERE tenant_id = $1 AND endpoint_id = $2
                   AND ($3::uuid[] IS NULL OR event_id = ANY($3))
                   AND ($4::text IS NULL OR reason = $4)
                   AND ($5::timestamptz IS NULL OR died_at >= $5)
                   AND ($6::timestamptz IS NULL OR died_at < $6)
                 ORDER BY died_at, event_id
                 LIMIT $7
                 FOR UPDATE
             )
             DELETE FROM delivery_dead d USING chosen
             WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.event_id = chosen.event_id",
            tenant.uuid(),
            endpoint.uuid(),
            filter.events.as_deref(),
            filter.reason,
            filter.since,
            filter.until,
            limit,
        )
        .execute(&self.data)
        .await?;
        Ok(done.rows_affected())
    }

    /// Forgets what is dead of endpoints that are no more, at most 10,000 at a time.
    pub async fn sweep_dead_orphans(&self) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "DELETE FROM delivery_dead WHERE ctid = ANY(ARRAY(
                 SELECT d.ctid FROM delivery_dead d
                 WHERE NOT EXISTS (
                     SELECT 1 FROM endpoint e WHERE e.tenant_id = d.tenant_id AND e.endpoint_id = d.endpoint_id)
                 LIMIT 10000))"
        );
        Ok(done.execute(&self.janitor).await?.rows_affected())
    }
}
