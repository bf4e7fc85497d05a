//! Events owed to endpoints: what a lane has to do, and which lanes have something to do. What was never attempted and what is
//! to be tried again lie apart, so that neither is looked for among the other.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Store, StoreError};
use crate::ids::{ContactId, EventId, WorkerId};

/// An event that is due, with what the endpoint is to be told.
#[derive(Debug)]
pub struct DueDelivery {
    /// The event.
    pub event_id: Uuid,
    /// Its partition.
    pub part_day: Date,
    /// Attempts before this one.
    pub attempts: i16,
    /// Until when the last failure put it off; `None` when it was never attempted.
    pub postponed_to: Option<OffsetDateTime>,
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
    /// How many of its kind, first attempts or retries, were found, this one included. More than came when the bound of bytes cut some off.
    pub found: i64,
}

/// What a lane wants to read.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Rows that were never attempted, at most.
    pub fresh: u32,
    /// Rows that are to be tried again, at most.
    pub retries: u32,
    /// Bytes of sealed content of each of the two. One row is read however large it is.
    pub bytes: u32,
    /// Events that are in hand already.
    pub in_hand: Vec<Uuid>,
    /// Persons whose turn it is not: their first attempts are left where they are.
    pub held_back: Vec<Uuid>,
}

impl Store {
    /// What is due and not in hand: first attempts in the order of their events, then retries in the order in which they fell due.
    pub async fn due_deliveries(
        &self,
        lane: OwnedLane,
        wanted: &Wanted,
        now: OffsetDateTime,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let (today, day) = (now.date(), time::Duration::days(1));
        let mut days = (today.saturating_sub(day), today.saturating_add(day));
        loop {
            let rows = self.due_deliveries_of(lane, wanted, now, days).await?;
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
        wanted: &Wanted,
        now: OffsetDateTime,
        (first, last): (Date, Date),
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let rows = sqlx::query_as!(
            DueDelivery,
            r#"SELECT event_id AS "event_id!", part_day AS "part_day!", attempts AS "attempts!", next_at AS "postponed_to?",
                      type AS "event_type?", channel_id AS "channel_id?", contact_id AS "contact_id?",
                      message_id AS "message_id?", occurred_at AS "occurred_at?", received_at AS "received_at?",
                      payload::bytea AS "payload?", found AS "found!"
               FROM (
                   SELECT d.*, e.type, e.channel_id, e.message_id, e.occurred_at, e.received_at, p.payload,
                          count(*) OVER (PARTITION BY d.retried) AS found,
                          row_number() OVER turn AS turn,
                          -- The length of content that lies apart is known without fetching it.
                          sum(octet_length(p.payload)) OVER turn AS bytes
                   FROM (
                       -- NOT IN over a set: it is hashed, where an array would be gone through for each row.
                       (SELECT false AS retried, event_id, part_day, event_xid, contact_id, NULL::timestamptz AS next_at,
                               0::int2 AS attempts
                        FROM delivery
                        WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND event_id NOT IN (SELECT unnest($5::uuid[]))
                          AND (contact_id IS NULL OR contact_id NOT IN (SELECT unnest($6::uuid[])))
                          AND EXISTS (SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 1 AND owner_id = $2 AND shard = $3 AND epoch = $12)
                        ORDER BY event_id
                        LIMIT $7)
                       UNION ALL
                       (SELECT true, event_id, part_day, event_xid, contact_id, next_at, attempts
                        FROM delivery_retry
                        WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND next_at <= $4 AND event_id NOT IN (SELECT unnest($5::uuid[]))
                          AND EXISTS (SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 1 AND owner_id = $2 AND shard = $3 AND epoch = $12)
                        ORDER BY next_at, event_id
                        LIMIT $8)
                   ) d
                   -- LATERAL with LIMIT: one index look-up each. The planner would rather read every partition whole.
                   LEFT JOIN LATERAL (
                       SELECT * FROM event
                       WHERE tenant_id = $1 AND part_day = d.part_day AND part_day BETWEEN $10 AND $11 AND xid = d.event_xid
                         AND event_id = d.event_id
                       LIMIT 1
                   ) e ON true
                   LEFT JOIN LATERAL (
                       SELECT payload FROM event_payload
                       WHERE tenant_id = $1 AND part_day = d.part_day AND part_day BETWEEN $10 AND $11 AND event_id = d.event_id
                       LIMIT 1
                   ) p ON true
                   WINDOW turn AS (PARTITION BY d.retried ORDER BY d.next_at, d.event_id ROWS UNBOUNDED PRECEDING)
               ) d
               WHERE turn = 1 OR bytes <= $9
               ORDER BY retried, turn"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            now,
            &wanted.in_hand,
            &wanted.held_back,
            i64::from(wanted.fresh),
            i64::from(wanted.retries),
            i64::from(wanted.bytes),
            first,
            last,
            lane.epoch,
        )
        .fetch_all(&self.data)
        .await?;
        Ok(rows)
    }

    /// When the first retry of a lane falls due of those that were not due at `after`.
    pub async fn next_retry(
        &self,
        lane: OwnedLane,
        after: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        let next = sqlx::query_scalar!(
            "SELECT next_at FROM delivery_retry WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND next_at > $4
             ORDER BY next_at LIMIT 1",
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            after,
        );
        Ok(next.fetch_optional(&self.data).await?)
    }

    /// For a lane that keeps an order: how many events of each person wait for another attempt after fewer than `below` of them.
    pub async fn postponed_by_contact(&self, lane: OwnedLane, below: i16) -> Result<Vec<(ContactId, u64)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT contact_id AS "contact_id!", count(*) AS "count!" FROM delivery_retry
               WHERE tenant_id = $1 AND endpoint_id = $2 AND shard = $3 AND contact_id IS NOT NULL AND attempts < $4
               GROUP BY contact_id"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            below,
        )
        .fetch_all(&self.data)
        .await?;
        Ok(rows.into_iter().map(|row| (ContactId::from_uuid(row.contact_id), row.count.unsigned_abs())).collect())
    }

    /// The endpoints with something due whose lanes `worker` owns. Steps through both tables from lane to lane, one look-up
    /// each: what it costs grows with the lanes that are owed something, and not with what they are owed.
    pub async fn lanes_with_work(&self, worker: WorkerId, now: OffsetDateTime) -> Result<Vec<Uuid>, StoreError> {
        let owners = sqlx::query_scalar!(
            r#"WITH RECURSIVE fresh AS (
                   (SELECT tenant_id, endpoint_id, shard FROM delivery ORDER BY tenant_id, endpoint_id, shard LIMIT 1)
                   UNION ALL
                   SELECT next.* FROM fresh CROSS JOIN LATERAL (
                       SELECT d.tenant_id, d.endpoint_id, d.shard FROM delivery d
                       WHERE (d.tenant_id, d.endpoint_id, d.shard) > (fresh.tenant_id, fresh.endpoint_id, fresh.shard)
                       ORDER BY d.tenant_id, d.endpoint_id, d.shard LIMIT 1
                   ) next
               ), retry AS (
                   (SELECT tenant_id, endpoint_id, shard, next_at FROM delivery_retry
                    ORDER BY tenant_id, endpoint_id, shard, next_at LIMIT 1)
                   UNION ALL
                   SELECT next.* FROM retry CROSS JOIN LATERAL (
                       SELECT d.tenant_id, d.endpoint_id, d.shard, d.next_at FROM delivery_retry d
                       WHERE (d.tenant_id, d.endpoint_id, d.shard) > (retry.tenant_id, retry.endpoint_id, retry.shard)
                       ORDER BY d.tenant_id, d.endpoint_id, d.shard, d.next_at LIMIT 1
                   ) next
               )
               SELECT l.owner_id
               FROM (SELECT tenant_id, endpoint_id, shard FROM fresh
                     UNION SELECT tenant_id, endpoint_id, shard FROM retry WHERE next_at <= $2) due
               JOIN lane l ON l.tenant_id = due.tenant_id AND l.kind = 1 AND l.owner_id = due.endpoint_id AND l.shard = due.shard
               WHERE l.worker_id = $1"#,
            worker.uuid(),
            now,
        );
        Ok(owners.fetch_all(&self.data).await?)
    }

    /// For the metrics: since when the longest-waiting delivery to an active endpoint has been owed. Told by the time inside the
    /// event's id, so that retries do not make it younger.
    pub async fn oldest_undelivered(&self) -> Result<Option<EventId>, StoreError> {
        let first = sqlx::query_scalar!(
            r#"WITH RECURSIVE fresh AS (
                   (SELECT tenant_id, endpoint_id, shard, event_id FROM delivery
                    ORDER BY tenant_id, endpoint_id, shard, event_id LIMIT 1)
                   UNION ALL
                   SELECT next.* FROM fresh CROSS JOIN LATERAL (
                       SELECT d.tenant_id, d.endpoint_id, d.shard, d.event_id FROM delivery d
                       WHERE (d.tenant_id, d.endpoint_id, d.shard) > (fresh.tenant_id, fresh.endpoint_id, fresh.shard)
                       ORDER BY d.tenant_id, d.endpoint_id, d.shard, d.event_id LIMIT 1
                   ) next
               ), retry AS (
                   (SELECT tenant_id, endpoint_id, shard, event_id FROM delivery_retry
                    ORDER BY tenant_id, endpoint_id, shard, event_id LIMIT 1)
                   UNION ALL
                   SELECT next.* FROM retry CROSS JOIN LATERAL (
                       SELECT d.tenant_id, d.endpoint_id, d.shard, d.event_id FROM delivery_retry d
                       WHERE (d.tenant_id, d.endpoint_id, d.shard) > (retry.tenant_id, retry.endpoint_id, retry.shard)
                       ORDER BY d.tenant_id, d.endpoint_id, d.shard, d.event_id LIMIT 1
                   ) next
               )
               SELECT first.event_id AS "event_id!"
               FROM (SELECT * FROM fresh UNION ALL SELECT * FROM retry) first
               JOIN endpoint e ON e.tenant_id = first.tenant_id AND e.endpoint_id = first.endpoint_id
               WHERE e.state = 'active'
               ORDER BY first.event_id LIMIT 1"#
        );
        Ok(first.fetch_optional(&self.data).await?.map(EventId::from_uuid))
    }

    /// For the metrics: about how many events were never attempted, and how many wait for another attempt. Postgres's own
    /// running estimate; to count would read them all.
    pub async fn owed_estimate(&self) -> Result<(i64, i64), StoreError> {
        let rows = sqlx::query!(
            r#"SELECT relname AS "table!", n_live_tup AS "rows!" FROM pg_stat_user_tables
               WHERE relname IN ('delivery', 'delivery_retry')"#
        )
        .fetch_all(&self.data)
        .await?;
        let of = |table: &str| rows.iter().find(|row| row.table == table).map_or(0, |row| row.rows);
        Ok((of("delivery"), of("delivery_retry")))
    }
}
