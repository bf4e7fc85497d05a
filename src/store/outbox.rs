//! What is owed to Meta, as the owner of a channel's lane sees it: whose turn it is, what came back, what nobody answered for.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Store, StoreError};
use crate::domain::channel::USUAL_PACE;
use crate::ids::{ContactId, MessageId};

/// Marks a request that the mirror, which owns no lane, put on the wire.
pub const MIRROR_EPOCH: i64 = -1;

/// A message that may now be put on the wire.
#[derive(Debug)]
pub struct ClaimedMessage {
    /// Id.
    pub message: MessageId,
    /// To whom.
    pub contact: ContactId,
    /// Attempts before this one.
    pub attempts: i16,
    /// Too late from then on.
    pub expires_at: Option<OffsetDateTime>,
    /// Whether it was sent once more already, because its answer was lost.
    pub resent: bool,
}

/// What the owner of a lane asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Messages at most.
    pub limit: i64,
    /// The key that had the last turn.
    pub after: Uuid,
    /// Messages a second that the operator set; `None`: as Meta reports, 0: no limit.
    pub per_second: Option<i32>,
    /// Whether what one person gets is paced.
    pub pairs: bool,
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct Claim {
    /// On the wire from now on, in the order in which they go.
    pub messages: Vec<ClaimedMessage>,
    /// Whose turn it was last.
    pub last_key: Option<Uuid>,
    /// So many were put off, because their person has had enough for now.
    pub put_off: i64,
    /// Messages a second that were reckoned with; 0: no limit.
    pub per_second: i32,
    /// How far ahead of Postgres's clock the turn of the message after the last one is.
    pub ahead: Duration,
}

/// A message on which nobody works and which must not be sent.
#[derive(Debug)]
pub struct Overdue {
    /// Id.
    pub message: MessageId,
    /// To whom.
    pub contact: ContactId,
    /// Who has it in hand; `None`: nobody, and it is too late to be sent.
    pub mark: Option<i64>,
    /// Whether Meta may have seen it.
    pub may_be_sent: bool,
    /// Whether it is sent once more.
    pub resend: bool,
}

/// A message that goes back into the queue.
#[derive(Debug, Clone, Copy)]
pub struct PutBack {
    /// Id.
    pub message: MessageId,
    /// The mark that it still has to have.
    pub mark: i64,
    /// Due again.
    pub until: OffsetDateTime,
    /// Whether this was no attempt.
    pub unburnt: bool,
    /// Whether Meta may have it already.
    pub resend: bool,
}

/// Rows that one look at what is overdue brings.
pub const OVERDUE: usize = 256;

impl Store {
    /// Marks due messages of the lane as being on the wire and hands them out: replies before bulk, the keys by turns, each key's
    /// oldest first. Puts off those whose person has had enough, and takes the time that the others need of the channel, all in one
    /// commit. When this returns, the mark is committed: whoever finds it after a crash knows that Meta may have seen the request.
    #[expect(clippy::too_many_lines, reason = "it is one statement: whatever it decides, it decides in one commit")]
    pub async fn claim_messages(
        &self,
        lane: OwnedLane,
        wanted: Wanted,
        now: OffsetDateTime,
    ) -> Result<Claim, StoreError> {
        let rows = sqlx::query!(
            r#"WITH RECURSIVE fence AS MATERIALIZED (
                   SELECT 1 FROM lane
                   WHERE tenant_id = $1 AND kind = 2 AND owner_id = $2 AND shard = $3 AND epoch = $4
                     AND NOT EXISTS (SELECT 1 FROM channel_pace
                                     WHERE tenant_id = $1 AND channel_id = $2 AND slowed_until > $5)
                   FOR SHARE
               ), pace AS MATERIALIZED (
                   SELECT COALESCE(c.pace_limit, $8::int, c.messages_per_second, $10) AS per_second
                   FROM channel c WHERE c.tenant_id = $1 AND c.channel_id = $2
               ), heads (priority, api_key) AS (
                   -- From one priority and key to the next, whatever waits in between.
                   (SELECT priority, COALESCE(api_key_id, '00000000-0000-0000-0000-000000000000'::uuid) FROM outbox
                    WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch IS NULL AND EXISTS (SELECT 1 FROM fence)
                    ORDER BY priority, COALESCE(api_key_id, '00000000-0000-0000-0000-000000000000'::uuid) LIMIT 1)
                   UNION ALL
                   SELECT n.priority, n.api_key FROM heads h CROSS JOIN LATERAL (
                       SELECT o.priority, COALESCE(o.api_key_id, '00000000-0000-0000-0000-000000000000'::uuid) AS api_key
                       FROM outbox o
                       WHERE o.tenant_id = $1 AND o.channel_id = $2 AND o.sending_epoch IS NULL
                         AND (o.priority, COALESCE(o.api_key_id, '00000000-0000-0000-0000-000000000000'::uuid))
                             > (h.priority, h.api_key)
                       ORDER BY o.priority, COALESCE(o.api_key_id, '00000000-0000-0000-0000-000000000000'::uuid) LIMIT 1
                   ) n
               ), due AS MATERIALIZED (
                   SELECT o.row, o.message_id, o.contact_id, h.priority, h.api_key,
                          row_number() OVER (PARTITION BY h.priority, h.api_key ORDER BY o.next_at, o.message_id) AS turn
                   FROM heads h CROSS JOIN LATERAL (
                       SELECT ctid AS row, message_id, contact_id, next_at FROM outbox
                       WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch IS NULL AND priority = h.priority
                         AND COALESCE(api_key_id, '00000000-0000-0000-0000-000000000000'::uuid) = h.api_key
                         AND next_at <= $5 AND (expires_at IS NULL OR expires_at > $5)
                       ORDER BY next_at, message_id LIMIT $6
                   ) o
                   -- Round and round, beginning behind the key that had the last turn.
                   ORDER BY h.priority, turn, h.api_key <= $7, h.api_key LIMIT $6
               ), wanted AS MATERIALIZED (
                   SELECT row, message_id, contact_id, api_key,
                          row_number() OVER (ORDER BY priority, turn, api_key <= $7, api_key) AS place,
                          row_number() OVER (PARTITION BY contact_id ORDER BY priority, message_id) AS nth
                   FROM due
               ), pair AS MATERIALIZED (
                   -- LATERAL with LIMIT: one index look-up each.
                   SELECT p.contact_id, p.taken_until, p.promised_until
                   FROM (SELECT DISTINCT contact_id FROM due ORDER BY contact_id) d CROSS JOIN LATERAL (
                       SELECT contact_id, taken_until, promised_until FROM pair_pace
                       WHERE tenant_id = $1 AND channel_id = $2 AND contact_id = d.contact_id LIMIT 1 FOR UPDATE
                   ) p
               ), judged AS MATERIALIZED (
                   SELECT w.row, w.contact_id, w.api_key, w.place, p.promised_until,
                          GREATEST(p.taken_until, $5) + w.nth * interval '6 seconds' - interval '270 seconds' AS free_at
                   FROM wanted w LEFT JOIN pair p ON p.contact_id = w.contact_id
                   -- No fewer rows than without: only a number that the planner cannot know, so that it reckons with one row and goes
                   -- by ctid, whatever the tables were like when this was planned.
                   LIMIT $6
               ), later AS MATERIALIZED (
                   SELECT row, contact_id,
                          GREATEST(free_at, promised_until
                              + row_number() OVER (PARTITION BY contact_id ORDER BY free_at) * interval '6 seconds') AS at
                   FROM judged WHERE $9 AND free_at > $5
               ), claimed AS (
                   UPDATE outbox o SET sending_epoch = $4, attempts = attempts + 1
                   FROM judged j
                   WHERE o.ctid = j.row AND (NOT $9 OR j.free_at <= $5)
                     AND o.tenant_id = $1 AND o.channel_id = $2 AND o.sending_epoch IS NULL
                   RETURNING o.message_id, o.contact_id, o.attempts, o.expires_at, o.resent, j.place
               ), put_off AS (
                   UPDATE outbox o SET next_at = LEAST(l.at, o.expires_at)
                   FROM later l
                   WHERE o.ctid = l.row AND o.tenant_id = $1 AND o.channel_id = $2 AND o.sending_epoch IS NULL
                   RETURNING o.message_id
               ), charged AS (
                   INSERT INTO pair_pace AS p (tenant_id, channel_id, contact_id, taken_until, promised_until)
                   SELECT $1, $2, contact_id, $5 + sum(goes) * interval '6 seconds', max(promised) FROM (
                       SELECT contact_id, 1 AS goes, 'epoch'::timestamptz AS promised FROM claimed
                       UNION ALL SELECT contact_id, 0, at FROM later
                   ) both_kinds
                   WHERE $9 GROUP BY contact_id ORDER BY contact_id
                   ON CONFLICT (tenant_id, channel_id, contact_id) DO UPDATE
                   SET taken_until = GREATEST(p.taken_until, $5) + (EXCLUDED.taken_until - $5),
                       promised_until = GREATEST(p.promised_until, EXCLUDED.promised_until)
               ), taken AS (
                   INSERT INTO channel_pace AS p (tenant_id, channel_id, taken_until)
                   SELECT $1, $2, clock_timestamp() + n * interval '1 second' / per_second
                   FROM pace, (SELECT count(*) AS n FROM claimed) c WHERE n > 0 AND per_second > 0
                   ON CONFLICT (tenant_id, channel_id) DO UPDATE
                   SET taken_until = GREATEST(p.taken_until, clock_timestamp())
                           + (SELECT count(*) FROM claimed) * interval '1 second' / (SELECT per_second FROM pace)
                   RETURNING EXTRACT(EPOCH FROM taken_until - clock_timestamp())::float8 AS ahead
               )
               SELECT p.per_second AS "per_second!", (SELECT ahead FROM taken) AS ahead,
                      (SELECT count(*) FROM put_off) AS "put_off!",
                      (SELECT api_key FROM judged ORDER BY place DESC LIMIT 1) AS last_key,
                      c.message_id AS "message_id?", c.contact_id AS "contact_id?", c.attempts AS "attempts?", c.expires_at,
                      c.resent AS "resent?"
               FROM pace p LEFT JOIN claimed c ON true
               ORDER BY c.place"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            now,
            wanted.limit,
            wanted.after,
            wanted.per_second,
            wanted.pairs,
            USUAL_PACE,
        )
        .fetch_all(&self.data)
        .await?;
        let Some(first) = rows.first() else { return Ok(Claim::default()) };
        let messages = rows.iter().filter_map(|row| {
            let (message, contact) = (MessageId::from_uuid(row.message_id?), ContactId::from_uuid(row.contact_id?));
            let (attempts, expires_at, resent) = (row.attempts? - 1, row.expires_at, row.resent?);
            Some(ClaimedMessage { message, contact, attempts, expires_at, resent })
        });
        Ok(Claim {
            last_key: first.last_key,
            put_off: first.put_off,
            per_second: first.per_second,
            ahead: Duration::try_from_secs_f64(first.ahead.unwrap_or(0.0)).unwrap_or(Duration::ZERO),
            messages: messages.collect(),
        })
    }

    /// Messages that an earlier owner of the lane, or the mirror, marked without recording an answer, and those that are too late to be
    /// sent. At most [`OVERDUE`] of each. Lists of earlier owners ([`Store::list_on_the_wire`]) go with the last of their marks.
    pub async fn overdue_messages(&self, lane: OwnedLane, now: OffsetDateTime) -> Result<Vec<Overdue>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH overdue AS MATERIALIZED (
                   (SELECT message_id, part_day, sending_epoch, resent FROM outbox
                    WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch >= 0 AND sending_epoch < $3
                    ORDER BY sending_epoch LIMIT $6)
                   UNION ALL
                   (SELECT message_id, part_day, sending_epoch, resent FROM outbox
                    WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch = $4 AND next_at <= $5
                    ORDER BY next_at LIMIT $6)
                   UNION ALL
                   (SELECT message_id, part_day, sending_epoch, resent FROM outbox
                    WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch IS NULL AND expires_at <= $5
                    ORDER BY expires_at LIMIT $6)
               ), forgotten AS (
                   DELETE FROM on_the_wire w
                   WHERE tenant_id = $1 AND channel_id = $2 AND epoch < $3
                     AND NOT EXISTS (SELECT 1 FROM outbox
                                     WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch = w.epoch)
               )
               SELECT o.message_id AS "message_id!", m.contact_id, o.sending_epoch,
                      (m.on_doubt = 'resend' AND NOT o.resent) AS "resend!",
                      -- The mirror keeps no list, and marks when it sends.
                      COALESCE((SELECT o.message_id = ANY(w.messages) FROM on_the_wire w
                                WHERE w.tenant_id = $1 AND w.channel_id = $2 AND w.epoch = o.sending_epoch), true)
                          AS "may_be_sent!"
               FROM overdue o CROSS JOIN LATERAL (
                   SELECT contact_id, on_doubt FROM message
                   WHERE tenant_id = $1 AND part_day = o.part_day AND message_id = o.message_id LIMIT 1
               ) m"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.epoch,
            MIRROR_EPOCH,
            now,
            i64::try_from(OVERDUE).unwrap_or(i64::MAX),
        )
        .fetch_all(&self.data)
        .await?;
        let rows = rows.into_iter().map(|row| Overdue {
            message: MessageId::from_uuid(row.message_id),
            contact: ContactId::from_uuid(row.contact_id),
            mark: row.sending_epoch,
            resend: row.resend,
            may_be_sent: row.may_be_sent,
        });
        Ok(rows.collect())
    }

    /// Puts messages back: they were certainly not processed, or their application wants them sent again. Those that have another
    /// mark by now are left alone. What becomes too late before it is due again is looked at then. `per_second` as in [`Wanted`].
    pub async fn put_back_messages(
        &self,
        lane: OwnedLane,
        back: &[PutBack],
        per_second: Option<i32>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH back AS MATERIALIZED (
                 SELECT t.*, o.row
                 FROM UNNEST($3::uuid[], $4::int8[], $5::timestamptz[], $6::int2[], $7::bool[])
                     AS t (message_id, mark, until, unburnt, resend)
                 CROSS JOIN LATERAL (
                     SELECT ctid AS row FROM outbox
                     WHERE tenant_id = $1 AND channel_id = $2 AND message_id = t.message_id LIMIT 1
                 ) o
                 -- All of them; the planner reckons with one, as in a claim.
                 LIMIT cardinality($3)
             ), done AS (
                 UPDATE outbox o SET sending_epoch = NULL, next_at = LEAST(t.until, o.expires_at),
                        attempts = o.attempts - t.unburnt, resent = o.resent OR t.resend
                 FROM back t
                 WHERE o.ctid = t.row AND o.tenant_id = $1 AND o.channel_id = $2 AND o.sending_epoch = t.mark
                 RETURNING o.contact_id, t.unburnt
             ), pair AS MATERIALIZED (
                 SELECT p.contact_id, d.unsent
                 FROM (SELECT contact_id, sum(unburnt) AS unsent FROM done GROUP BY contact_id ORDER BY contact_id) d
                 CROSS JOIN LATERAL (
                     SELECT contact_id FROM pair_pace
                     WHERE tenant_id = $1 AND channel_id = $2 AND contact_id = d.contact_id LIMIT 1 FOR UPDATE
                 ) p
             ), channel_place AS (
                 -- Nor its channel's, as far as that is still to come.
                 UPDATE channel_pace p
                 SET taken_until = GREATEST(p.taken_until - d.unsent * interval '1 second' / c.per_second,
                                            LEAST(p.taken_until, clock_timestamp()))
                 FROM (SELECT sum(unburnt) AS unsent FROM done) d,
                      (SELECT COALESCE(pace_limit, $8::int, messages_per_second, $9) AS per_second
                       FROM channel WHERE tenant_id = $1 AND channel_id = $2) c
                 WHERE p.tenant_id = $1 AND p.channel_id = $2 AND d.unsent > 0 AND c.per_second > 0
             )
             -- What was not sent has not used its person's place. By key: a claim that was waited for has moved the row.
             UPDATE pair_pace p SET taken_until = p.taken_until - pair.unsent * interval '6 seconds'
             FROM pair
             WHERE p.tenant_id = $1 AND p.channel_id = $2 AND p.contact_id = pair.contact_id",
            lane.tenant.uuid(),
            lane.owner,
            &back.iter().map(|one| one.message.uuid()).collect::<Vec<_>>(),
            &back.iter().map(|one| one.mark).collect::<Vec<_>>(),
            &back.iter().map(|one| one.until).collect::<Vec<_>>(),
            &back.iter().map(|one| i16::from(one.unburnt)).collect::<Vec<_>>(),
            &back.iter().map(|one| one.resend).collect::<Vec<_>>(),
            per_second,
            USUAL_PACE,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Puts back what was marked for this owner by a claim whose answer was lost: everything with its mark that is not `in_hand` was
    /// never on the wire.
    pub async fn put_back_unseen(&self, lane: OwnedLane, in_hand: &[Uuid]) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE outbox SET sending_epoch = NULL, attempts = attempts - 1
             WHERE tenant_id = $1 AND channel_id = $2 AND sending_epoch = $3 AND message_id <> ALL($4)",
            lane.tenant.uuid(),
            lane.owner,
            lane.epoch,
            in_hand,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }
}
