//! How attempts ended, written in one statement that carries the lane's epoch: a worker that lost its lane writes nothing.

use time::OffsetDateTime;
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Store, StoreError};
use crate::ids::EventId;

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
    /// Length of the body that was sent.
    pub request_bytes: i32,
    /// Length of the body that was answered, as far as it was read.
    pub response_bytes: i32,
}

/// Where a delivery lies before the round: among first attempts, or among retries under this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// The event.
    pub event: EventId,
    /// As in `DueDelivery`.
    pub postponed_to: Option<OffsetDateTime>,
}

/// To be tried again.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// Which.
    pub owed: Owed,
    /// When.
    pub at: OffsetDateTime,
    /// Attempts that this round adds: 0 or 1.
    pub attempts: i16,
}

/// Given up.
#[derive(Debug, Clone, Copy)]
pub struct Dead {
    /// Which.
    pub owed: Owed,
    /// A word from the list that the table holds.
    pub reason: &'static str,
    /// Attempts that this round adds: 0 or 1.
    pub attempts: i16,
    /// What the last attempt came to.
    pub last_class: Option<&'static str>,
    /// And its status.
    pub last_status: Option<i16>,
}

/// How a round of attempts ended.
#[derive(Debug, Default)]
pub struct Round {
    /// Delivered: owed no longer.
    pub done: Vec<Owed>,
    /// To be tried again.
    pub again: Vec<Again>,
    /// Given up, and why.
    pub dead: Vec<Dead>,
    /// Attempts that did not end in 2xx.
    pub attempts: Vec<AttemptRow>,
    /// Since when the endpoint fails, where that changed.
    pub failing_since: Option<Option<OffsetDateTime>>,
}

impl Round {
    /// Whether there is nothing to record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.done.is_empty() && self.again.is_empty() && self.dead.is_empty() && self.failing_since.is_none()
    }

    /// Everything that the round is about.
    pub fn events(&self) -> impl Iterator<Item = EventId> {
        self.leaving().map(|owed| owed.event)
    }

    fn leaving(&self) -> impl Iterator<Item = Owed> {
        let again = self.again.iter().map(|again| again.owed);
        self.done.iter().copied().chain(again).chain(self.dead.iter().map(|dead| dead.owed))
    }

    /// Whether all it says is that first attempts succeeded: nearly every round.
    fn is_plain(&self) -> bool {
        let first = self.done.iter().all(|owed| owed.postponed_to.is_none());
        first
            && self.again.is_empty()
            && self.dead.is_empty()
            && self.attempts.is_empty()
            && self.failing_since.is_none()
    }
}

impl Store {
    /// Records a round in one statement. Returns false when the lane belongs to somebody else by now: nothing was written.
    pub async fn finish_round(&self, lane: OwnedLane, round: &Round, now: OffsetDateTime) -> Result<bool, StoreError> {
        if round.is_plain() {
            self.finish_plain_round(lane, round).await
        } else {
            self.finish_mixed_round(lane, round, now).await
        }
    }

    /// A round of successes does not wait for the disk (docs/adr/0006-no-fsync-for-deliveries.md).
    async fn finish_plain_round(&self, lane: OwnedLane, round: &Round) -> Result<bool, StoreError> {
        let fenced = sqlx::query_scalar!(
            r#"WITH fence AS (
                   SELECT 1 FROM lane
                   WHERE tenant_id = $1 AND kind = 1 AND owner_id = $2 AND shard = $3 AND epoch = $4
                   FOR SHARE
               ), gone AS (
                   -- One index look-up each: a plain condition may be planned to read all that waits.
                   DELETE FROM delivery WHERE EXISTS (SELECT 1 FROM fence) AND ctid = ANY(ARRAY(
                       SELECT d.ctid FROM UNNEST($5::uuid[]) AS t (event_id) CROSS JOIN LATERAL (
                           SELECT r.ctid FROM delivery r
                           WHERE (r.tenant_id, r.endpoint_id, r.shard, r.event_id) = ($1, $2, $3, t.event_id) LIMIT 1) d))
               )
               SELECT EXISTS (SELECT 1 FROM fence) AS "fenced!"
               WHERE set_config('synchronous_commit', 'off', true) = 'off'"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            &round.done.iter().map(|owed| owed.event.uuid()).collect::<Vec<_>>(),
        );
        Ok(fenced.fetch_one(&self.data).await?)
    }

    async fn finish_mixed_round(
        &self,
        lane: OwnedLane,
        round: &Round,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let uuid = |owed: &Owed| owed.event.uuid();
        let (retried, fresh): (Vec<Owed>, Vec<Owed>) = round.leaving().partition(|owed| owed.postponed_to.is_some());
        let (again, dead, attempts) = (&round.again, &round.dead, &round.attempts);
        let fenced = sqlx::query_scalar!(
            r#"WITH fence AS (
                SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 1 AND owner_id = $2 AND shard = $3 AND epoch = $4 FOR SHARE
            ), tried AS (
                DELETE FROM delivery WHERE EXISTS (SELECT 1 FROM fence) AND ctid = ANY(ARRAY(
                    SELECT d.ctid FROM UNNEST($6::uuid[]) AS t (event_id) CROSS JOIN LATERAL (SELECT r.ctid FROM delivery r
                        WHERE (r.tenant_id, r.endpoint_id, r.shard, r.event_id) = ($1, $2, $3, t.event_id) LIMIT 1) d))
                RETURNING event_id, part_day, event_xid, contact_id, 0::int2 AS attempts
            ), retried AS (
                -- One index look-up each: a plain join may be planned to read all that waits.
                DELETE FROM delivery_retry WHERE EXISTS (SELECT 1 FROM fence) AND ctid = ANY(ARRAY(
                    SELECT d.ctid FROM UNNEST($7::uuid[], $8::timestamptz[]) AS t (event_id, next_at) CROSS JOIN LATERAL (
                        SELECT r.ctid FROM delivery_retry r WHERE (r.tenant_id, r.endpoint_id, r.shard, r.next_at, r.event_id)
                            = ($1, $2, $3, t.next_at, t.event_id) LIMIT 1) d))
                RETURNING event_id, part_day, event_xid, contact_id, attempts
            ), leaving AS (
                SELECT * FROM tried UNION ALL SELECT * FROM retried
            ), postponed AS (
                INSERT INTO delivery_retry
                    (tenant_id, endpoint_id, shard, next_at, event_id, part_day, event_xid, contact_id, attempts)
                SELECT $1, $2, $3, t.next_at, event_id, part_day, event_xid, contact_id, attempts + t.more
                FROM UNNEST($9::uuid[], $10::timestamptz[], $25::int2[]) AS t (event_id, next_at, more) JOIN leaving USING (event_id)
            ), buried AS (
                INSERT INTO delivery_dead (tenant_id, endpoint_id, event_id, part_day, event_xid, contact_id, attempts,
                                           last_class, last_status, reason, died_at)
                SELECT $1, $2, event_id, part_day, event_xid, contact_id, attempts + t.more, t.class, t.status, t.reason, $5
                FROM UNNEST($11::uuid[], $12::text[], $13::int2[], $14::text[], $15::int2[])
                    AS t (event_id, reason, more, class, status)
                JOIN leaving USING (event_id)
                -- Dead once before, and redriven.
                ON CONFLICT (tenant_id, endpoint_id, event_id) DO UPDATE
                SET attempts = EXCLUDED.attempts, last_class = EXCLUDED.last_class, last_status = EXCLUDED.last_status,
                    reason = EXCLUDED.reason, died_at = EXCLUDED.died_at
            ), logged AS (
                INSERT INTO attempt (tenant_id, part_day, endpoint_id, event_id, number, class, http_status, millis,
                                     request_bytes, response_bytes, at)
                SELECT $1, ($5::timestamptz AT TIME ZONE 'UTC')::date, $2, t.*, $5
                FROM UNNEST($16::uuid[], $17::int2[], $18::text[], $19::int2[], $20::int4[], $23::int4[], $24::int4[]) AS t
                WHERE EXISTS (SELECT 1 FROM fence)
                ON CONFLICT DO NOTHING
            ), health AS (
                UPDATE lane SET failing_since = $22
                WHERE tenant_id = $1 AND kind = 1 AND owner_id = $2 AND shard = $3 AND epoch = $4 AND $21
            )
            SELECT EXISTS (SELECT 1 FROM fence) AS "fenced!"
            "#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            now,
            &fresh.iter().map(uuid).collect::<Vec<_>>(),
            &retried.iter().map(uuid).collect::<Vec<_>>(),
            &retried.iter().filter_map(|owed| owed.postponed_to).collect::<Vec<OffsetDateTime>>(),
            &again.iter().map(|again| uuid(&again.owed)).collect::<Vec<_>>(),
            &again.iter().map(|again| again.at).collect::<Vec<_>>(),
            &dead.iter().map(|dead| uuid(&dead.owed)).collect::<Vec<Uuid>>(),
            &dead.iter().map(|dead| dead.reason).collect::<Vec<_>>() as _,
            &dead.iter().map(|dead| dead.attempts).collect::<Vec<_>>(),
            &dead.iter().map(|dead| dead.last_class).collect::<Vec<_>>() as _,
            &dead.iter().map(|dead| dead.last_status).collect::<Vec<_>>() as _,
            &attempts.iter().map(|row| row.event.uuid()).collect::<Vec<_>>(),
            &attempts.iter().map(|row| row.number).collect::<Vec<_>>(),
            &attempts.iter().map(|row| row.class).collect::<Vec<_>>() as _,
            &attempts.iter().map(|row| row.http_status).collect::<Vec<_>>() as _,
            &attempts.iter().map(|row| row.millis).collect::<Vec<_>>(),
            round.failing_since.is_some(),
            round.failing_since.flatten(),
            &attempts.iter().map(|row| row.request_bytes).collect::<Vec<_>>(),
            &attempts.iter().map(|row| row.response_bytes).collect::<Vec<_>>(),
            &again.iter().map(|again| again.attempts).collect::<Vec<_>>(),
        )
        .fetch_one(&self.data)
        .await?;
        Ok(fenced)
    }
}
