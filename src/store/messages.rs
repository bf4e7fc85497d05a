//! Messages to Meta and the outbox: what was asked, what is still owed, how it ended.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Connection, Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::ids::{ChannelId, MessageId, TenantId};

/// Marks a request that the mirror, which owns no lane, put on the wire.
pub(super) const MIRROR_EPOCH: i64 = -1;

/// How a message ended.
#[derive(Debug)]
pub struct Settlement<'a> {
    /// `accepted`, `failed` or `in_doubt`.
    pub state: &'static str,
    /// Meta's answer, sealed.
    pub answer: Option<&'a Sealed>,
    /// Keyed hash of the wamid: joins the statuses.
    pub subject: Option<[u8; 16]>,
    /// Meta's error code.
    pub error_code: Option<i32>,
}

/// Ends a message: it is owed no longer. Only from `queued`, or from `in_doubt` when certainty comes late. Returns the state it
/// is in now, or `None` when nothing changed.
pub async fn settle(
    connection: &mut Connection,
    tenant: TenantId,
    message: MessageId,
    end: &Settlement<'_>,
    now: OffsetDateTime,
) -> Result<Option<String>, StoreError> {
    let state = sqlx::query_scalar!(
        "WITH gone AS (
             DELETE FROM outbox o USING message m
             WHERE m.tenant_id = $1 AND m.part_day = $2 AND m.message_id = $3
               AND o.tenant_id = m.tenant_id AND o.channel_id = m.channel_id AND o.message_id = m.message_id
         )
         UPDATE message SET state = CASE WHEN $4 = 'in_doubt' AND subject IS NOT NULL THEN 'accepted' ELSE $4 END, answer = COALESCE($5::bytea, answer::bytea), subject = COALESCE($6, subject), error_code = $7, settled_at = $8
         WHERE tenant_id = $1 AND part_day = $2 AND message_id = $3
           AND (state = 'queued' OR (state = 'in_doubt' AND $4 <> 'in_doubt'))
         RETURNING state",
        tenant.uuid(),
        message.day(),
        message.uuid(),
        end.state,
        end.answer.map(Sealed::as_bytes),
        end.subject.as_ref().map(<[u8; 16]>::as_slice),
        end.error_code,
        now,
    )
    .fetch_optional(connection)
    .await?;
    Ok(state)
}

/// A message that may now be put on the wire.
#[derive(Debug)]
pub struct ClaimedMessage {
    /// Id.
    pub message_id: Uuid,
    /// To whom.
    pub contact_id: Uuid,
    /// Attempts before this one.
    pub attempts: i16,
    /// Sealed body for Meta.
    pub request: Vec<u8>,
}

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
    /// Marks due messages of the lane as being on the wire and hands them out, oldest first. When this returns, the mark is
    /// committed: whoever finds it after a crash knows that Meta may have seen the request.
    pub async fn claim_messages(
        &self,
        lane: OwnedLane,
        now: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<ClaimedMessage>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH fence AS (
                   SELECT 1 FROM lane
                   WHERE tenant_id = $1 AND kind = 2 AND owner_id = $2 AND shard = $3 AND epoch = $4
                   FOR SHARE
               ), due AS (
                   SELECT message_id FROM outbox
                   WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch IS NULL AND next_at <= $5
                     AND EXISTS (SELECT 1 FROM fence)
                   ORDER BY message_id
                   LIMIT $6
               ), claimed AS (
                   UPDATE outbox SET sending_epoch = $4, attempts = attempts + 1
                   WHERE tenant_id = $1 AND channel_id = $2 AND message_id IN (SELECT message_id FROM due)
                   RETURNING message_id, part_day, attempts
               )
               SELECT c.message_id, m.contact_id, c.attempts, m.request::bytea AS "request!"
               FROM claimed c CROSS JOIN LATERAL (
                   SELECT contact_id, request FROM message
                   WHERE tenant_id = $1 AND part_day = c.part_day AND message_id = c.message_id LIMIT 1
               ) m
               ORDER BY c.message_id"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            now,
            limit,
        )
        .fetch_all(&self.data)
        .await?;
        let rows = rows.into_iter().map(|row| ClaimedMessage {
            message_id: row.message_id,
            contact_id: row.contact_id,
            attempts: row.attempts - 1,
            request: row.request,
        });
        Ok(rows.collect())
    }

    /// Puts a claimed message back: it was certainly not processed. Returns false when the lane is somebody else's.
    pub async fn postpone_message(
        &self,
        lane: OwnedLane,
        message: MessageId,
        until: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE outbox SET sending_epoch = NULL, next_at = $4
             WHERE tenant_id = $1 AND channel_id = $2 AND message_id = $3 AND sending_epoch = $5",
            lane.tenant.uuid(),
            lane.owner,
            message.uuid(),
            until,
            lane.epoch,
        )
        .execute(&self.data)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Messages that an earlier owner of the lane, or the mirror, put on the wire without recording an answer.
    pub async fn abandoned_messages(&self, lane: OwnedLane, now: OffsetDateTime) -> Result<Vec<MessageId>, StoreError> {
        let ids = sqlx::query_scalar!(
            "SELECT message_id FROM outbox
             WHERE tenant_id = $1 AND channel_id = $2
               AND ((sending_epoch >= 0 AND sending_epoch < $3) OR (sending_epoch = $4 AND next_at <= $5))
             ORDER BY message_id LIMIT 1000",
            lane.tenant.uuid(),
            lane.owner,
            lane.epoch,
            MIRROR_EPOCH,
            now,
        )
        .fetch_all(&self.data)
        .await?;
        Ok(ids.into_iter().map(MessageId::from_uuid).collect())
    }

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

/// Settles messages whose answer was lost: a status that carries their id proves that Meta accepted them. A status that is
/// faster than the answer leaves its mark, so that an answer that is lost afterwards leaves no doubt. Messages whose answer is
/// known are left alone.
pub async fn settle_doubts(
    connection: &mut Connection,
    tenant: TenantId,
    proofs: &[Proof],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let days: Vec<Date> = proofs.iter().map(|proof| proof.message.day()).collect();
    let ids: Vec<Uuid> = proofs.iter().map(|proof| proof.message.uuid()).collect();
    let subjects: Vec<&[u8]> = proofs.iter().map(|proof| proof.subject.as_slice()).collect();
    let channels: Vec<Uuid> = proofs.iter().map(|proof| proof.channel.uuid()).collect();
    sqlx::query!(
        "UPDATE message SET subject = t.subject,
                state = CASE message.state WHEN 'in_doubt' THEN 'accepted' ELSE message.state END,
                settled_at = CASE message.state WHEN 'in_doubt' THEN $5 ELSE message.settled_at END
         FROM UNNEST($2::date[], $3::uuid[], $4::bytea[], $6::uuid[]) AS t (part_day, message_id, subject, channel_id)
         WHERE message.tenant_id = $1 AND message.part_day = t.part_day AND message.message_id = t.message_id
           AND message.channel_id = t.channel_id AND message.subject IS NULL
           AND message.state IN ('queued', 'in_doubt')",
        tenant.uuid(),
        &days,
        &ids,
        &subjects as _,
        now,
        &channels,
    )
    .execute(connection)
    .await?;
    Ok(())
}
