//! Messages to Meta: what was asked, and what became of it.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::{ChannelId, MessageId, TenantId};

/// A stored message.
#[derive(Debug)]
pub struct MessageRow {
    /// Id.
    pub message_id: Uuid,
    /// Through which number.
    pub channel_id: Uuid,
    /// To whom.
    pub contact_id: Uuid,
    /// `api` or `mirror`.
    pub origin: String,
    /// `text`, `template`, …
    pub kind: String,
    /// `queued`, `accepted`, `failed`, `in_doubt`, `cancelled`, `expired`.
    pub state: String,
    /// Sealed body.
    pub request: Vec<u8>,
    /// Sealed answer of Meta.
    pub answer: Option<Vec<u8>>,
    /// Joins the statuses.
    pub subject: Option<Vec<u8>>,
    /// Meta's error code.
    pub error_code: Option<i32>,
    /// Accepted from the application.
    pub created_at: OffsetDateTime,
    /// Ended.
    pub settled_at: Option<OffsetDateTime>,
    /// Not to be sent before.
    pub send_at: Option<OffsetDateTime>,
    /// Not to be sent after.
    pub expires_at: Option<OffsetDateTime>,
    /// [`crate::domain::message::Priority::rank`].
    pub priority: i16,
}

impl Store {
    /// One message.
    pub async fn find_message(&self, tenant: TenantId, message: MessageId) -> Result<Option<MessageRow>, StoreError> {
        let row = sqlx::query_as!(
            MessageRow,
            r#"SELECT message_id, channel_id, contact_id, origin, kind, state, request::bytea AS "request!",
                      answer::bytea AS answer, subject, error_code, created_at, settled_at, send_at, expires_at, priority
               FROM message WHERE tenant_id = $1 AND part_day = $2 AND message_id = $3"#,
            tenant.uuid(),
            message.day(),
            message.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }

    /// Messages to a contact, newest first, older than `before`.
    pub async fn messages_to_contact(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        before: Uuid,
        channels: Option<&[Uuid]>,
        limit: i64,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let rows = sqlx::query_as!(
            MessageRow,
            r#"SELECT message_id, channel_id, contact_id, origin, kind, state, request::bytea AS "request!",
                      answer::bytea AS answer, subject, error_code, created_at, settled_at, send_at, expires_at, priority
               FROM message
               WHERE tenant_id = $1 AND contact_id = ANY($2) AND message_id < $3
                 AND ($4::uuid[] IS NULL OR channel_id = ANY($4))
               ORDER BY message_id DESC LIMIT $5"#,
            tenant.uuid(),
            contacts,
            before,
            channels,
            limit,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }
}

/// A status that carries the id of a message of ours.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// Which message.
    pub message: MessageId,
    /// The number that the status came from. Another number's status proves nothing.
    pub channel: ChannelId,
    /// Keyed hash of the wamid.
    pub subject: [u8; 16],
}

/// How often a message is looked at that others change at the same time.
const TRIES: usize = 3;

/// Settles messages whose answer was lost: a status that carries their id proves that Meta accepted them. A status that is
/// faster than the answer leaves its mark, so that an answer that is lost afterwards leaves no doubt. Messages whose answer is
/// known are left alone.
pub async fn settle_doubts(
    connection: &mut Connection,
    tenant: TenantId,
    proofs: &[Proof],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    // In the order in which the lanes settle, so that two batches cannot wait for each other.
    let mut proofs = proofs.to_vec();
    proofs.sort_unstable_by_key(|proof| proof.message.uuid());
    let days: Vec<Date> = proofs.iter().map(|proof| proof.message.day()).collect();
    let ids: Vec<Uuid> = proofs.iter().map(|proof| proof.message.uuid()).collect();
    let subjects: Vec<&[u8]> = proofs.iter().map(|proof| proof.subject.as_slice()).collect();
    let channels: Vec<Uuid> = proofs.iter().map(|proof| proof.channel.uuid()).collect();
    let (Some(first), Some(last)) = (days.iter().min(), days.iter().max()) else { return Ok(()) };
    for _ in 0..TRIES {
        let left = sqlx::query_scalar!(
            r#"WITH input AS MATERIALIZED (
                 -- LATERAL with LIMIT: one index look-up each. The last LIMIT keeps all; it makes the planner go by ctid.
                 SELECT m.row, m.part_day, t.subject
                 FROM UNNEST($2::date[], $3::uuid[], $4::bytea[], $6::uuid[]) AS t (part_day, message_id, subject, channel_id)
                 CROSS JOIN LATERAL (
                     SELECT ctid AS row, part_day FROM message
                     WHERE tenant_id = $1 AND part_day = t.part_day AND part_day BETWEEN $7 AND $8
                       AND message_id = t.message_id AND channel_id = t.channel_id AND subject IS NULL AND state IN ('queued', 'in_doubt')
                     LIMIT 1 FOR UPDATE
                 ) m
                 LIMIT cardinality($3)
             ), done AS (
                 UPDATE message SET subject = i.subject,
                        state = CASE message.state WHEN 'in_doubt' THEN 'accepted' ELSE message.state END,
                        settled_at = CASE message.state WHEN 'in_doubt' THEN $5 ELSE message.settled_at END
                 FROM input i
                 WHERE message.ctid = i.row AND message.part_day = i.part_day AND message.part_day BETWEEN $7 AND $8
                   AND message.tenant_id = $1
                 RETURNING 1
             )
             SELECT (SELECT count(*) FROM input) > (SELECT count(*) FROM done) AS "left!""#,
            tenant.uuid(),
            &days,
            &ids,
            &subjects as _,
            now,
            &channels,
            first,
            last,
        )
        .fetch_one(&mut *connection)
        .await?;
        // One that somebody changed while this began was locked, but not seen as it is now.
        if !left {
            break;
        }
    }
    Ok(())
}
