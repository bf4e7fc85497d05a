//! How messages ended: many in one statement, each only where it still has the mark that the one who sent it put on it.

use time::{Date, OffsetDateTime};

use super::{Connection, StoreError};
use crate::crypto::envelope::Sealed;
use crate::ids::{ChannelId, MessageId, TenantId};

/// How a message ended.
#[derive(Debug)]
pub struct Settlement {
    /// Which.
    pub message: MessageId,
    /// The mark that it must have to be owed still; `None`: it was never on the wire.
    pub mark: Option<i64>,
    /// `accepted`, `failed`, `in_doubt` or `expired`.
    pub state: &'static str,
    /// Meta's answer, sealed.
    pub answer: Option<Sealed>,
    /// Keyed hash of the wamid: joins the statuses.
    pub subject: Option<[u8; 16]>,
    /// Meta's error code.
    pub error_code: Option<i32>,
}

/// Ends messages of one channel and one day: they are owed no longer. Only those that have the mark, or are `in_doubt` when certainty
/// comes late. Returns the state that each is in now; what is not among them is as it was. `ends` come sorted by id, as those of
/// [`super::messages::settle_doubts`] do, so that two batches cannot wait for each other.
pub async fn settle(
    connection: &mut Connection,
    (tenant, channel): (TenantId, ChannelId),
    day: Date,
    ends: &[Settlement],
    now: OffsetDateTime,
) -> Result<Vec<(MessageId, String)>, StoreError> {
    fn column<'a, T>(ends: &'a [Settlement], pick: impl Fn(&'a Settlement) -> T) -> Vec<T> {
        ends.iter().map(pick).collect()
    }
    let messages = column(ends, |end| end.message.uuid());
    // A status may be at the same row: what is not locked could be another by the time that it is written.
    sqlx::query!(
        "SELECT m.locked FROM UNNEST($3::uuid[]) AS t (message_id) CROSS JOIN LATERAL (
             SELECT true AS locked FROM message
             WHERE tenant_id = $1 AND part_day = $2 AND message_id = t.message_id LIMIT 1 FOR UPDATE
         ) m",
        tenant.uuid(),
        day,
        &messages,
    )
    .fetch_all(&mut *connection)
    .await?;
    let rows = sqlx::query!(
        "WITH input AS MATERIALIZED (
             -- LATERAL with LIMIT: one index look-up each, whatever the tables were like when this was planned.
             SELECT t.*, o.owed, m.row
             FROM UNNEST($4::uuid[], $5::int8[], $6::text[], $7::bytea[], $8::bytea[], $9::int4[])
                 AS t (message_id, mark, state, answer, subject, error_code)
             LEFT JOIN LATERAL (
                 SELECT ctid AS owed FROM outbox
                 WHERE tenant_id = $1 AND channel_id = $2 AND message_id = t.message_id LIMIT 1
             ) o ON true
             CROSS JOIN LATERAL (
                 SELECT ctid AS row FROM message
                 WHERE tenant_id = $1 AND part_day = $3 AND message_id = t.message_id LIMIT 1
             ) m
             -- All of them; the planner, which cannot know how many, reckons with one, and goes by ctid.
             LIMIT cardinality($4)
         ), gone AS (
             DELETE FROM outbox o USING input i
             WHERE o.ctid = i.owed AND o.tenant_id = $1 AND o.channel_id = $2 AND o.sending_epoch IS NOT DISTINCT FROM i.mark
             RETURNING o.message_id
         )
         UPDATE message
         SET state = CASE WHEN i.state = 'in_doubt' AND message.subject IS NOT NULL THEN 'accepted' ELSE i.state END,
             answer = COALESCE(i.answer, message.answer::bytea), subject = COALESCE(i.subject, message.subject),
             error_code = i.error_code, settled_at = $10
         FROM input i
         WHERE message.ctid = i.row AND message.tenant_id = $1 AND message.part_day = $3
           AND ((message.state = 'queued' AND message.message_id IN (SELECT message_id FROM gone))
                OR (message.state = 'in_doubt' AND i.state IN ('accepted', 'failed')))
         RETURNING message.message_id, message.state",
        tenant.uuid(),
        channel.uuid(),
        day,
        &messages,
        &column(ends, |end| end.mark) as _,
        &column(ends, |end| end.state) as _,
        &column(ends, |end| end.answer.as_ref().map(Sealed::as_bytes)) as _,
        &column(ends, |end| end.subject.as_ref().map(<[u8; 16]>::as_slice)) as _,
        &column(ends, |end| end.error_code) as _,
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (MessageId::from_uuid(row.message_id), row.state)).collect())
}
