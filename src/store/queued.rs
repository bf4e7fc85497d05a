//! Messages that wait for their turn: where they stand, and taking them back.

use time::{Date, OffsetDateTime};

use super::{Connection, Store, StoreError};
use crate::domain::channel::{Pace, USUAL_PACE};
use crate::ids::{ChannelId, ContactId, MessageId, TenantId};

/// Beyond this many, a place is not counted out.
pub const FURTHEST: i64 = 10_000;

/// Where a message stands in its channel's queue.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Messages that go before it; [`FURTHEST`] also stands for more.
    pub before: i64,
    /// When it falls due.
    pub due_at: OffsetDateTime,
    /// How fast those before it go.
    pub pace: Pace,
}

/// How much waits in a channel's queue and is due.
#[derive(Debug)]
pub struct Depth {
    /// By priority, the most urgent first; [`FURTHEST`] also stands for more.
    pub waiting: [i64; 3],
    /// How fast it goes.
    pub pace: Pace,
}

/// What a message asks of Meta.
#[derive(Debug)]
pub struct Request {
    /// Which.
    pub message: MessageId,
    /// To whom.
    pub contact: ContactId,
    /// The sealed body.
    pub sealed: Vec<u8>,
    /// Whether its application wants it sent once more when Meta's answer is lost.
    pub resend: bool,
}

/// Takes a message back that waits, in a transaction. False: it does not, or it is on the wire; a claim that is faster wins.
pub async fn cancel(
    connection: &mut Connection,
    tenant: TenantId,
    (channel, message): (ChannelId, MessageId),
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    // Each row by its key, the message first, as those do who settle (store/settlements.rs); what is not locked could be another by the time
    // that it is removed.
    sqlx::query!(
        "SELECT 1 AS locked FROM message WHERE tenant_id = $1 AND part_day = $2 AND message_id = $3 FOR UPDATE",
        tenant.uuid(),
        message.day(),
        message.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    sqlx::query!(
        "SELECT 1 AS locked FROM outbox WHERE tenant_id = $1 AND channel_id = $2 AND message_id = $3 FOR UPDATE",
        tenant.uuid(),
        channel.uuid(),
        message.uuid(),
    )
    .fetch_optional(&mut *connection)
    .await?;
    let done = sqlx::query!(
        "WITH owed AS MATERIALIZED (
             SELECT ctid AS row, sending_epoch FROM outbox
             WHERE tenant_id = $1 AND channel_id = $2 AND message_id = $4 LIMIT 1
         ), gone AS (
             DELETE FROM outbox o USING owed WHERE o.ctid = owed.row AND owed.sending_epoch IS NULL RETURNING o.message_id
         )
         UPDATE message SET state = 'cancelled', settled_at = $5
         WHERE tenant_id = $1 AND part_day = $3 AND message_id = $4 AND state = 'queued' AND EXISTS (SELECT 1 FROM gone)",
        tenant.uuid(),
        channel.uuid(),
        message.day(),
        message.uuid(),
        now,
    );
    Ok(done.execute(connection).await?.rows_affected() == 1)
}

impl Store {
    /// The sealed template that stands in for a message, where it has one.
    pub async fn fallback_of(&self, tenant: TenantId, message: MessageId) -> Result<Option<Vec<u8>>, StoreError> {
        let fallback = sqlx::query_scalar!(
            r#"SELECT fallback::bytea AS "fallback" FROM message
               WHERE tenant_id = $1 AND part_day = $2 AND message_id = $3"#,
            tenant.uuid(),
            message.day(),
            message.uuid(),
        );
        Ok(fallback.fetch_optional(&self.data).await?.flatten())
    }

    /// What messages ask of Meta.
    pub async fn requests_of(&self, tenant: TenantId, messages: &[MessageId]) -> Result<Vec<Request>, StoreError> {
        let days: Vec<Date> = messages.iter().map(|one| one.day()).collect();
        let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { return Ok(Vec::new()) };
        let rows = sqlx::query!(
            r#"SELECT m.message_id, m.contact_id, m.request::bytea AS "request!", m.on_doubt = 'resend' AS "resend!"
               FROM UNNEST($2::date[], $3::uuid[]) AS t (part_day, message_id) CROSS JOIN LATERAL (
                   -- Between: so that no other partition is opened.
                   SELECT message_id, contact_id, request, on_doubt FROM message
                   WHERE tenant_id = $1 AND part_day = t.part_day AND part_day BETWEEN $4 AND $5 AND message_id = t.message_id
                   LIMIT 1
               ) m"#,
            tenant.uuid(),
            &days,
            &messages.iter().map(|one| one.uuid()).collect::<Vec<_>>(),
            first,
            last,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter();
        Ok(rows
            .map(|row| Request {
                message: MessageId::from_uuid(row.message_id),
                contact: ContactId::from_uuid(row.contact_id),
                sealed: row.request,
                resend: row.resend,
            })
            .collect())
    }

    /// Where a message stands; `None`: it does not wait. `per_second` is what the operator set for all channels.
    pub async fn place_in_queue(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        message: MessageId,
        (per_second, now): (Option<i32>, OffsetDateTime),
    ) -> Result<Option<Place>, StoreError> {
        // What falls due later goes later, however urgent it is; so each priority is a range of the index of its own.
        let place = sqlx::query!(
            r#"SELECT own.next_at, ahead.count AS "before!", p.slowed_until AS "slowed_until?",
                      COALESCE(c.pace_limit, $6::int, c.messages_per_second, $7) AS "per_second!"
               FROM outbox own CROSS JOIN LATERAL (
                   SELECT count(*) FROM (
                       SELECT 1 FROM generate_series(0, own.priority - 1) AS urgent (priority) CROSS JOIN LATERAL (
                           SELECT 1 FROM outbox o
                           WHERE o.tenant_id = $1 AND o.channel_id = $2 AND o.priority = urgent.priority::int2
                             AND o.next_at <= GREATEST(own.next_at, $4) AND o.sending_epoch IS NULL
                           LIMIT $5
                       ) more_urgent
                       UNION ALL
                       (SELECT 1 FROM outbox o
                        WHERE o.tenant_id = $1 AND o.channel_id = $2 AND o.priority = own.priority
                          AND (o.next_at, o.message_id) < (own.next_at, own.message_id) AND o.sending_epoch IS NULL
                        LIMIT $5)
                       LIMIT $5
                   ) waiting
               ) ahead
               JOIN channel c ON c.tenant_id = $1 AND c.channel_id = $2
               LEFT JOIN channel_pace p ON p.tenant_id = $1 AND p.channel_id = $2
               WHERE own.tenant_id = $1 AND own.channel_id = $2 AND own.message_id = $3 AND own.sending_epoch IS NULL"#,
            tenant.uuid(),
            channel.uuid(),
            message.uuid(),
            now,
            FURTHEST,
            per_second,
            USUAL_PACE,
        );
        let place = place.fetch_optional(self.reading(tenant)).await?;
        Ok(place.map(|place| Place {
            before: place.before,
            due_at: place.next_at,
            pace: Pace { per_second: place.per_second, slowed_until: place.slowed_until },
        }))
    }

    /// How much of a channel's queue is due; `None`: no such channel. `per_second` is what the operator set for all channels.
    pub async fn depth_of_queue(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        (per_second, now): (Option<i32>, OffsetDateTime),
    ) -> Result<Option<Depth>, StoreError> {
        let depth = sqlx::query!(
            r#"SELECT p.slowed_until AS "slowed_until?",
                      COALESCE(c.pace_limit, $5::int, c.messages_per_second, $6) AS "per_second!",
                      ARRAY(SELECT (SELECT count(*) FROM (
                                SELECT 1 FROM outbox o
                                WHERE o.tenant_id = $1 AND o.channel_id = $2 AND o.priority = level.priority::int2
                                  AND o.next_at <= $3 AND o.sending_epoch IS NULL
                                LIMIT $4
                            ) waiting)
                            FROM generate_series(0, 2) AS level (priority) ORDER BY level.priority) AS "waiting!"
               FROM channel c LEFT JOIN channel_pace p ON p.tenant_id = $1 AND p.channel_id = $2
               WHERE c.tenant_id = $1 AND c.channel_id = $2"#,
            tenant.uuid(),
            channel.uuid(),
            now,
            FURTHEST,
            per_second,
            USUAL_PACE,
        );
        let depth = depth.fetch_optional(&self.data).await?;
        Ok(depth.map(|depth| Depth {
            waiting: std::array::from_fn(|level| depth.waiting.get(level).copied().unwrap_or(0)),
            pace: Pace { per_second: depth.per_second, slowed_until: depth.slowed_until },
        }))
    }
}
