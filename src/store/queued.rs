//! Messages that wait for their turn: where they stand, and taking them back.

use time::OffsetDateTime;

use super::{Connection, Store, StoreError};
use crate::ids::{ChannelId, MessageId, TenantId};

/// Beyond this many, a place is not counted out.
pub const FURTHEST: i64 = 10_000;

/// Where a message stands in its channel's queue.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Messages that go before it; [`FURTHEST`] also stands for more.
    pub before: i64,
    /// When it falls due.
    pub due_at: OffsetDateTime,
}

/// Takes a message back that waits. False: it does not, or it is on the wire; a claim that is faster wins.
pub async fn cancel(
    connection: &mut Connection,
    tenant: TenantId,
    (channel, message): (ChannelId, MessageId),
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "WITH gone AS (
             DELETE FROM outbox
             WHERE tenant_id = $1 AND channel_id = $2 AND message_id = $4 AND sending_epoch IS NULL
             RETURNING message_id
         )
         UPDATE message SET state = 'cancelled', settled_at = $5
         WHERE tenant_id = $1 AND part_day = $3 AND message_id IN (SELECT message_id FROM gone) AND state = 'queued'",
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

    /// Where a message stands; `None`: it does not wait.
    pub async fn place_in_queue(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        message: MessageId,
        now: OffsetDateTime,
    ) -> Result<Option<Place>, StoreError> {
        // What falls due later goes later, however urgent it is; so each priority is a range of the index of its own.
        let place = sqlx::query!(
            r#"SELECT own.next_at, ahead.count AS "before!"
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
               WHERE own.tenant_id = $1 AND own.channel_id = $2 AND own.message_id = $3 AND own.sending_epoch IS NULL"#,
            tenant.uuid(),
            channel.uuid(),
            message.uuid(),
            now,
            FURTHEST,
        );
        let place = place.fetch_optional(self.reading(tenant)).await?;
        Ok(place.map(|place| Place { before: place.before, due_at: place.next_at }))
    }
}
