//! Events owed to endpoints. Every write carries the lane's epoch: a worker that lost its lane writes nothing.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Store, StoreError};
use crate::ids::EventId;

/// Rows that one statement of [`Store::sweep_orphans`] removes: far below the time limit of a statement.
const ORPHANS: i64 = 10_000;

/// An event that is due, with what the endpoint is to be told.
#[derive(Debug)]
pub struct DueDelivery {
    /// The event.
    pub event_id: Uuid,
    /// Its partition.
    pub part_day: Date,
    /// Attempts before this one.
    pub attempts: i16,
    /// Type; absent when the event's partition was dropped.
    pub event_type: Option<String>,
    /// Channel.
    pub channel_id: Option<Uuid>,
    /// Person.
    pub contact_id: Option<Uuid>,
    /// Our message.
    pub message_id: Option<Uuid>,
    /// Meta's time.
    pub occurred_at: Option<OffsetDateTime>,
    /// When it was stored.
    pub received_at: Option<OffsetDateTime>,
    /// Sealed content; absent once dropped.
    pub payload: Option<Vec<u8>>,
}

/// What an attempt came to, for the log of attempts.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// The event.
    pub event: EventId,
    /// First is 1.
    pub number: i16,
    /// Stable word for the outcome.
    pub class: &'static str,
    /// Status, when there was an answer.
    pub http_status: Option<i16>,
    /// How long it took.
    pub millis: i32,
}

/// How a round of attempts ended.
#[derive(Debug, Default)]
pub struct Round {
    /// Delivered: owed no longer.
    pub done: Vec<EventId>,
    /// To be tried again, and when.
    pub again: Vec<(EventId, OffsetDateTime)>,
    /// Given up, and why.
    pub dead: Vec<(EventId, &'static str)>,
    /// Attempts that did not end in 2xx.
    pub attempts: Vec<AttemptRow>,
}

impl Round {
    /// Whether there is nothing to record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.done.is_empty() && self.again.is_empty() && self.dead.is_empty()
    }
}

impl Store {
    /// The first deliveries of the lane that are due and not among `in_flight`, in the order of their events.
    pub async fn due_deliveries(
        &self,
        lane: OwnedLane,
        in_flight: &[Uuid],
        now: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let (today, day) = (now.date(), time::Duration::days(1));
        let mut days = (today.saturating_sub(day), today.saturating_add(day));
        loop {
            let rows = self.due_deliveries_of(lane, in_flight, now, limit, days).await?;
            // What came late, or waited long: read again, from as many days as it takes.
            let needed = rows.iter().fold(days, |(first, last), row| (first.min(row.part_day), last.max(row.part_day)));
            if needed == days {
                return Ok(rows);
            }
            days = needed;
        }
    }

    /// The same, with the content of the events that lie between the first and the last day alone. To look among all partitions
    /// takes longer than everything else together, even where there is nothing to find.
    async fn due_deliveries_of(
        &self,
        lane: OwnedLane,
        in_flight: &[Uuid],
        now: OffsetDateTime,
        limit: i64,
        (first, last): (Date, Date),
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let rows = sqlx::query_as!(
            DueDelivery,
            r#"SELECT d.event_id, d.part_day, d.attempts, e.type AS "event_type?", e.channel_id, e.contact_id, e.message_id,
                      e.occurred_at AS "occurred_at?", e.received_at AS "received_at?", p.payload::bytea AS "payload?"
               FROM (
                   SELECT * FROM delivery
                   WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND next_at <= $4 AND event_id <> ALL($5)
                   ORDER BY event_id
                   LIMIT $6
               ) d
               -- LATERAL with LIMIT: one index look-up each. The planner would rather read every partition whole.
               LEFT JOIN LATERAL (
                   SELECT * FROM event
                   WHERE tenant_id = d.tenant_id AND part_day = d.part_day AND part_day BETWEEN $7 AND $8 AND xid = d.event_xid AND event_id = d.event_id
                   LIMIT 1
               ) e ON true
               LEFT JOIN LATERAL (
                   SELECT payload FROM event_payload
                   WHERE tenant_id = d.tenant_id AND part_day = d.part_day AND part_day BETWEEN $7 AND $8 AND event_id = d.event_id
                   LIMIT 1
               ) p ON true
               ORDER BY d.event_id"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            now,
            in_flight,
            limit,
            first,
            last,
        )
        .fetch_all(&self.data)
        .await?;
        Ok(rows)
    }

    /// Records a round in one statement. Returns false when the lane belongs to somebody else by now: nothing was written.
    /// A round of successes does not wait for the disk (docs/adr/0006-no-fsync-for-deliveries.md).
    pub async fn finish_round(&self, lane: OwnedLane, round: &Round, now: OffsetDateTime) -> Result<bool, StoreError> {
        let uuids = |ids: &mut dyn Iterator<Item = EventId>| ids.map(EventId::uuid).collect::<Vec<_>>();
        let leaving = uuids(&mut round.done.iter().copied().chain(round.dead.iter().map(|(event, _)| *event)));
        let again = uuids(&mut round.again.iter().map(|(event, _)| *event));
        let again_at: Vec<OffsetDateTime> = round.again.iter().map(|(_, at)| *at).collect();
        let dead = uuids(&mut round.dead.iter().map(|(event, _)| *event));
        let reasons: Vec<&str> = round.dead.iter().map(|(_, reason)| *reason).collect();
        let fenced = sqlx::query_scalar!(
            r#"
            WITH fence AS (
                SELECT 1 FROM lane
                WHERE tenant_id = $1 AND kind = 1 AND owner_id = $2 AND shard = $3 AND epoch = $4
                FOR SHARE
            ), buried AS (
                INSERT INTO delivery_dead (tenant_id, endpoint_id, event_id, part_day, attempts, reason, died_at)
                SELECT tenant_id, endpoint_id, event_id, part_day, attempts + 1, t.reason, $5
                FROM UNNEST($9::uuid[], $10::text[]) AS t (event_id, reason) JOIN delivery USING (event_id)
                WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND EXISTS (SELECT 1 FROM fence)
                ON CONFLICT DO NOTHING
            ), gone AS (
                DELETE FROM delivery
                WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND event_id = ANY($6) AND EXISTS (SELECT 1 FROM fence)
            ), postponed AS (
                UPDATE delivery SET attempts = attempts + 1, next_at = t.next_at
                FROM UNNEST($7::uuid[], $8::timestamptz[]) AS t (event_id, next_at)
                WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND delivery.event_id = t.event_id
                  AND EXISTS (SELECT 1 FROM fence)
            ), logged AS (
                INSERT INTO attempt (tenant_id, part_day, endpoint_id, event_id, number, class, http_status, millis, at)
                SELECT $1, ($5::timestamptz AT TIME ZONE 'UTC')::date, $2, t.*, $5
                FROM UNNEST($11::uuid[], $12::int2[], $13::text[], $14::int2[], $15::int4[]) AS t
                WHERE EXISTS (SELECT 1 FROM fence)
                ON CONFLICT DO NOTHING
            )
            SELECT EXISTS (SELECT 1 FROM fence) AS "fenced!"
            WHERE set_config('synchronous_commit', CASE WHEN $16 THEN 'off' ELSE current_setting('synchronous_commit') END, true) <> ''
            "#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            now,
            &leaving,
            &again,
            &again_at,
            &dead,
            &reasons as _,
            &round.attempts.iter().map(|row| row.event.uuid()).collect::<Vec<_>>(),
            &round.attempts.iter().map(|row| row.number).collect::<Vec<_>>(),
            &round.attempts.iter().map(|row| row.class).collect::<Vec<_>>() as _,
            &round.attempts.iter().map(|row| row.http_status).collect::<Vec<_>>() as _,
            &round.attempts.iter().map(|row| row.millis).collect::<Vec<_>>(),
            again.is_empty() && dead.is_empty(),
        )
        .fetch_one(&self.data)
        .await?;
        Ok(fenced)
    }

    /// For the metrics: since when the longest-waiting delivery to an active endpoint has been owed. Told by the time inside the
    /// event's id: retries move `next_at`.
    pub async fn oldest_undelivered(&self) -> Result<Option<EventId>, StoreError> {
        let first = sqlx::query_scalar!(
            r#"SELECT first.event_id AS "event_id!"
               FROM endpoint e
               CROSS JOIN LATERAL (
                   SELECT event_id FROM delivery d
                   WHERE d.tenant_id = e.tenant_id AND d.endpoint_id = e.endpoint_id AND d.shard = 0
                   ORDER BY event_id LIMIT 1
               ) first
               WHERE e.state = 'active'
               ORDER BY first.event_id LIMIT 1"#
        )
        .fetch_optional(&self.data)
        .await?;
        Ok(first.map(EventId::from_uuid))
    }

    /// Removes what was owed to endpoints that are no more, 10,000 rows at a time, in at most `batches` statements. Returns
    /// how many rows went.
    pub async fn sweep_orphans(&self, batches: u32) -> Result<u64, StoreError> {
        let mut total = 0;
        for _ in 0..batches {
            let swept = self.sweep_some_orphans().await?;
            total += swept;
            if swept < ORPHANS.unsigned_abs() {
                break;
            }
        }
        Ok(total)
    }

    /// Steps through the owners along the primary key, one look-up each: to compare every row with its endpoint would read
    /// all that waits for the endpoints that are there.
    async fn sweep_some_orphans(&self) -> Result<u64, StoreError> {
        let done = sqlx::query!(
            "DELETE FROM delivery WHERE ctid = ANY(ARRAY(
                 WITH RECURSIVE owner AS (
                     (SELECT tenant_id, endpoint_id FROM delivery ORDER BY tenant_id, endpoint_id LIMIT 1)
                     UNION ALL
                     SELECT next.tenant_id, next.endpoint_id
                     FROM owner CROSS JOIN LATERAL (
                         SELECT d.tenant_id, d.endpoint_id FROM delivery d
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
                     SELECT d.ctid FROM delivery d
                     WHERE d.tenant_id = orphan.tenant_id AND d.endpoint_id = orphan.endpoint_id
                     LIMIT $1
                     FOR UPDATE SKIP LOCKED
                 ) row
                 LIMIT $1))",
            ORPHANS,
        );
        Ok(done.execute(&self.data).await?.rows_affected())
    }
}
