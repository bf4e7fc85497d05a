//! Content that goes when every endpoint has it: what was acknowledged, and what still waits under which key.

use time::Date;
use uuid::Uuid;

use super::row_marks::{self, Counted, SealRemoval, bare};
use super::{Store, StoreError};
use crate::ids::TenantId;

/// What one look has found.
#[derive(Debug, Default)]
pub struct Passed {
    /// Where the next look begins; `None`: this was the end.
    pub next: Option<Uuid>,
    /// How many went.
    pub gone: u64,
}

impl Store {
    /// Removes the content of events behind `after` that nobody is owed any more, of people whose data need not stay. What is owed, was
    /// given up and not acknowledged, or has a file that is still to be fetched, stays. What went is told of by `seal`.
    pub async fn remove_passed(
        &self,
        tenant: TenantId,
        after: Uuid,
        staying: &[Uuid],
        (limit, seal): (i64, &dyn SealRemoval),
    ) -> Result<Passed, StoreError> {
        let mut transaction = self.eraser.begin().await?;
        let row = sqlx::query!(
            r#"WITH looked AS MATERIALIZED (
                   SELECT event_id, part_day, contact_id FROM passing
                   WHERE tenant_id = $1 AND event_id > $2 ORDER BY event_id LIMIT $4
               ), passed AS MATERIALIZED (
                   -- LATERAL with LIMIT: one index look-up each.
                   SELECT l.event_id, l.part_day FROM looked l
                   WHERE (l.contact_id IS NULL OR l.contact_id <> ALL($3))
                     AND NOT EXISTS (SELECT 1 FROM media_fetch m WHERE m.tenant_id = $1 AND m.media_id = l.event_id)
                     AND NOT EXISTS (
                         SELECT 1 FROM endpoint e CROSS JOIN LATERAL (
                             (SELECT 1 FROM delivery d WHERE d.tenant_id = $1 AND d.endpoint_id = e.endpoint_id AND d.shard = 0
                                AND d.event_id = l.event_id LIMIT 1)
                             UNION ALL
                             (SELECT 1 FROM delivery_retry d WHERE d.tenant_id = $1 AND d.endpoint_id = e.endpoint_id AND d.shard = 0
                                AND d.event_id = l.event_id LIMIT 1)
                             UNION ALL
                             (SELECT 1 FROM delivery_dead d WHERE d.tenant_id = $1 AND d.endpoint_id = e.endpoint_id
                                AND d.event_id = l.event_id LIMIT 1)
                         ) x WHERE e.tenant_id = $1)
               ), content AS (
                   DELETE FROM event_payload p USING passed
                   WHERE p.tenant_id = $1 AND p.part_day = passed.part_day AND p.event_id = passed.event_id
                   RETURNING p.part_day, p.event_id
               ), gone AS (
                   DELETE FROM passing p USING passed WHERE p.tenant_id = $1 AND p.event_id = passed.event_id RETURNING 1
               )
               SELECT (SELECT count(*) FROM gone) AS "gone!", (SELECT count(*) FROM looked) AS "looked!",
                      (SELECT event_id FROM looked ORDER BY event_id DESC LIMIT 1) AS last,
                      ARRAY(SELECT part_day FROM content ORDER BY part_day, event_id) AS "days!",
                      ARRAY(SELECT event_id FROM content ORDER BY part_day, event_id) AS "events!""#,
            tenant.uuid(),
            after,
            staying,
            limit,
        )
        .fetch_one(&mut *transaction)
        .await?;
        let content: Vec<(Date, Uuid)> = row.days.into_iter().zip(row.events).collect();
        for of_day in content.chunk_by(|one, next| one.0 == next.0) {
            let Some((day, _)) = of_day.first() else { continue };
            let rows = bare(of_day.iter().map(|(_, event)| *event));
            row_marks::note_removed(&mut transaction, tenant, (Counted::EventPayload.table(), *day), &rows, seal)
                .await?;
        }
        transaction.commit().await?;
        let next = row.last.filter(|_| row.looked == limit);
        Ok(Passed { next, gone: row.gone.unsigned_abs() })
    }

    /// Which people, and which days, still have content under keys that are named after a day before `end`; nil: nobody.
    pub async fn still_passing(&self, tenant: TenantId, end: Date) -> Result<Vec<(Uuid, Date)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT DISTINCT contact_id, kept_on FROM passing WHERE tenant_id = $1 AND kept_on < $2",
            tenant.uuid(),
            end,
        );
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.contact_id.unwrap_or_else(|| tenant.uuid()), row.kept_on)).collect())
    }

    /// Forgets what was to be passed on and is older than content is kept.
    pub async fn sweep_passing(&self, tenant: TenantId, end: Date, held: &[Uuid]) -> Result<(), StoreError> {
        sqlx::query!(
            "DELETE FROM passing WHERE tenant_id = $1 AND kept_on < $2 AND (contact_id IS NULL OR contact_id <> ALL($3))",
            tenant.uuid(),
            end,
            held,
        )
        .execute(&self.eraser)
        .await?;
        Ok(())
    }

    /// The day of the oldest content that waits to be acknowledged.
    pub async fn oldest_passing(&self, tenant: TenantId) -> Result<Option<Date>, StoreError> {
        let day = sqlx::query_scalar!("SELECT min(kept_on) FROM passing WHERE tenant_id = $1", tenant.uuid());
        Ok(day.fetch_one(&self.data).await?)
    }

    /// Which of these people have a message that waits to be sent: its key stays.
    pub async fn waiting_among(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
        let found = sqlx::query_scalar!(
            "SELECT DISTINCT contact_id FROM outbox WHERE tenant_id = $1 AND contact_id = ANY($2)",
            tenant.uuid(),
            contacts,
        );
        Ok(found.fetch_all(&self.data).await?)
    }
}
