//! How a replay moves: finds its beginning, then goes through the events in the order of their commits, a bounded number at a
//! time. The row of the replay is locked for the length of a step, and what is owed anew and the place reached are one commit:
//! whoever goes on, after a kill too, begins exactly behind the last event of the step before. The lane alone would not do,
//! because a worker that lost it may still be in the middle of a step.

use time::{Date, Duration, OffsetDateTime};
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::replays::{EventPlace, ReplayRow, Selection, partitions_of};
use super::{Connection, Store, StoreError};
use crate::ids::{EventId, TenantId};

/// How far the time inside an event's id may be from the time it was received at: the clocks are the same, asked at different
/// moments.
const ID_SLACK: Duration = Duration::minutes(5);

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There may be more.
    Moved {
        /// Events that are owed anew.
        inserted: i64,
    },
    /// That was the last one.
    Done {
        /// Events that are owed anew.
        inserted: i64,
    },
    /// Nothing was done: the replay has ended, or the lane is somebody else's.
    Over,
}

/// Received in this span: from the first to before the second.
pub type Span = (OffsetDateTime, OffsetDateTime);

/// The ids that events of a span may have, and the partitions in which they lie.
fn reach((since, until): Span) -> ((Uuid, Uuid), (Date, Date)) {
    let earlier = since.checked_sub(ID_SLACK).unwrap_or(since);
    let later = until.checked_add(ID_SLACK).unwrap_or(until);
    let ids = (EventId::lowest_of(earlier).uuid(), EventId::lowest_of(later).uuid());
    (ids, partitions_of(earlier.date(), later.date()))
}

impl Store {
    /// Deliveries that wait for an endpoint, counted up to `limit`.
    pub async fn waiting_deliveries(&self, tenant: TenantId, endpoint: Uuid, limit: i64) -> Result<i64, StoreError> {
        let waiting = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM (
                   SELECT 1 FROM delivery WHERE tenant_id = $1 AND endpoint_id = $2 LIMIT $3
               ) waiting"#,
            tenant.uuid(),
            endpoint,
            limit,
        );
        Ok(waiting.fetch_one(self.reading(tenant)).await?)
    }

    /// How many events of this span would be replayed now. The caller chooses spans that are counted in time.
    pub async fn count_replayable(
        &self,
        tenant: TenantId,
        span: Span,
        selection: &Selection,
    ) -> Result<i64, StoreError> {
        let ((first_id, last_id), (first_day, last_day)) = reach(span);
        let count = sqlx::query_scalar!(
            r#"SELECT count(*) AS "count!" FROM event
               WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3 AND event_id >= $4 AND event_id < $5
                 AND received_at >= $6 AND received_at < $7
                 AND ($8::text[] IS NULL OR type = ANY($8))
                 AND ($9::uuid[] IS NULL OR channel_id = ANY($9))
                 AND ($10::uuid[] IS NULL OR contact_id = ANY($10))"#,
            tenant.uuid(),
            first_day,
            last_day,
            first_id,
            last_id,
            span.0,
            span.1,
            selection.types.as_deref(),
            selection.channels.as_deref(),
            selection.contacts.as_deref(),
        );
        Ok(count.fetch_one(self.reading(tenant)).await?)
    }

    /// How many of these events would be replayed now.
    pub async fn count_replayable_events(
        &self,
        tenant: TenantId,
        ids: &[Uuid],
        selection: &Selection,
    ) -> Result<i64, StoreError> {
        let places = self.find_events(tenant, ids).await?;
        let mut connection = self.reading_connection(tenant).await?;
        Ok(number(matching(&mut connection, tenant, &places, selection).await?.len()))
    }

    /// The first transaction that stored an event of this span, and the one behind the last. The caller chooses spans that are
    /// read in time. Nothing is taken for granted about the order of times, because a clock may have been set.
    pub async fn transactions_of(&self, tenant: TenantId, span: Span) -> Result<Option<(i64, i64)>, StoreError> {
        let ((first_id, last_id), (first_day, last_day)) = reach(span);
        let row = sqlx::query!(
            // As text and numbers, lest the planner walks the whole of event_in_commit_order to find the least.
            r#"SELECT min(xid::text::bigint) AS first, max(xid::text::bigint) + 1 AS behind FROM event
               WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3 AND event_id >= $4 AND event_id < $5"#,
            tenant.uuid(),
            first_day,
            last_day,
            first_id,
            last_id,
        )
        .fetch_one(self.reading(tenant))
        .await?;
        Ok(row.first.zip(row.behind))
    }

    /// Has a replay begin at one transaction and end before another, or be done when there is nothing in its span.
    pub async fn begin_replay(
        &self,
        lane: OwnedLane,
        transactions: Option<(i64, i64)>,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let Some((first, behind)) = transactions else {
            let id = crate::ids::ReplayId::from_uuid(lane.owner);
            return self.end_replay(lane.tenant, id, "done", now).await;
        };
        sqlx::query!(
            "UPDATE replay SET at_xid = $3::bigint::text::xid8, at_event = $4,
                    end_xid = CASE WHEN end_xid < $5::bigint::text::xid8 THEN end_xid ELSE $5::bigint::text::xid8 END
             WHERE tenant_id = $1 AND replay_id = $2 AND state = 'running' AND at_xid IS NULL",
            lane.tenant.uuid(),
            lane.owner,
            first,
            Uuid::nil(),
            behind,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Looks at the next `limit` events and has the endpoint owe those that are selected.
    pub async fn step_replay(
        &self,
        lane: OwnedLane,
        selection: &Selection,
        limit: i64,
        now: OffsetDateTime,
    ) -> Result<Step, StoreError> {
        let mut transaction = self.data.begin().await?;
        let Some(replay) = lock(&mut transaction, lane).await? else { return Ok(Step::Over) };
        let (Some(span), Some(place)) = (replay.since.zip(replay.until), replay.at_xid.zip(replay.at_event)) else {
            return Ok(Step::Over);
        };
        let (_, (first_day, last_day)) = reach(span);
        let looked_at = sqlx::query_as!(
            Candidate,
            r#"SELECT event_id, part_day, xid::text::bigint AS "xid!", contact_id,
                      received_at >= $7 AND received_at < $8
                      AND ($9::text[] IS NULL OR type = ANY($9))
                      AND ($10::uuid[] IS NULL OR COALESCE(channel_id = ANY($10), false))
                      AND ($11::uuid[] IS NULL OR COALESCE(contact_id = ANY($11), false))
                      -- Whose data are restricted, of them nothing is delivered.
                      AND NOT EXISTS (
                          SELECT 1 FROM restriction r WHERE r.tenant_id = $1 AND r.contact_id IN (
                              event.contact_id,
                              (SELECT c.merged_into FROM contact c WHERE c.tenant_id = $1 AND c.contact_id = event.contact_id)))
                      AS "selected!"
               FROM event
               WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3
                 AND (xid, event_id) > ($4::bigint::text::xid8, $5) AND xid < $6::bigint::text::xid8
               ORDER BY xid, event_id
               LIMIT $12"#,
            lane.tenant.uuid(),
            first_day,
            last_day,
            place.0,
            place.1,
            replay.end_xid,
            span.0,
            span.1,
            selection.types.as_deref(),
            selection.channels.as_deref(),
            selection.contacts.as_deref(),
            limit,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let done = number(looked_at.len()) < limit;
        let reached = looked_at.last().map_or(place, |last| (last.xid, last.event_id));
        let selected: Vec<EventPlace> = looked_at.into_iter().filter_map(Candidate::place).collect();
        let inserted = insert(&mut transaction, lane.tenant, replay.endpoint_id, &selected).await?;
        sqlx::query!(
            "WITH over AS (DELETE FROM lane WHERE tenant_id = $1 AND kind = 3 AND owner_id = $2 AND $7)
             UPDATE replay SET at_xid = $3::bigint::text::xid8, at_event = $4, counted = counted + $5, inserted = inserted + $6,
                    state = CASE WHEN $7 THEN 'done' ELSE state END, ended_at = CASE WHEN $7 THEN $8::timestamptz END
             WHERE tenant_id = $1 AND replay_id = $2",
            lane.tenant.uuid(),
            lane.owner,
            reached.0,
            reached.1,
            number(selected.len()),
            inserted,
            done,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(if done { Step::Done { inserted } } else { Step::Moved { inserted } })
    }
}

struct Candidate {
    event_id: Uuid,
    part_day: Date,
    xid: i64,
    contact_id: Option<Uuid>,
    selected: bool,
}

impl Candidate {
    fn place(self) -> Option<EventPlace> {
        let Self { event_id, part_day, xid, contact_id, selected } = self;
        selected.then_some(EventPlace { event_id, part_day, xid, contact_id })
    }
}

struct Locked {
    endpoint_id: Uuid,
    since: Option<OffsetDateTime>,
    until: Option<OffsetDateTime>,
    end_xid: i64,
    at_xid: Option<i64>,
    at_event: Option<Uuid>,
}

/// A length as Postgres counts.
fn number(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Waits for whoever is in the middle of a step. `None` when there is nothing to do for the owner of this lane.
async fn lock(connection: &mut Connection, lane: OwnedLane) -> Result<Option<Locked>, StoreError> {
    let row = sqlx::query_as!(
        Locked,
        r#"SELECT endpoint_id, since, until, end_xid::text::bigint AS "end_xid!", at_xid::text::bigint AS at_xid, at_event
           FROM replay
           WHERE tenant_id = $1 AND replay_id = $2 AND state = 'running' AND EXISTS (
               SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 3 AND owner_id = $2 AND shard = 0 AND epoch = $3)
           FOR UPDATE"#,
        lane.tenant.uuid(),
        lane.owner,
        lane.epoch,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}

/// Has an endpoint owe these events, as far as they are selected. Returns how many are, and how many were not waiting already.
pub(super) async fn owe(
    connection: &mut Connection,
    tenant: TenantId,
    replay: &ReplayRow,
    places: &[EventPlace],
    selection: &Selection,
) -> Result<(i64, i64), StoreError> {
    let chosen = matching(connection, tenant, places, selection).await?;
    let selected: Vec<EventPlace> = places.iter().filter(|place| chosen.contains(&place.event_id)).copied().collect();
    let inserted = insert(connection, tenant, replay.endpoint_id, &selected).await?;
    Ok((number(selected.len()), inserted))
}

/// Which of these events are selected.
async fn matching(
    connection: &mut Connection,
    tenant: TenantId,
    places: &[EventPlace],
    selection: &Selection,
) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        r#"SELECT e.event_id FROM UNNEST($2::date[], $3::bigint[], $4::uuid[]) AS t (part_day, xid, event_id)
           -- LATERAL with LIMIT: one index look-up each.
           CROSS JOIN LATERAL (
               SELECT * FROM event
               WHERE tenant_id = $1 AND part_day = t.part_day AND xid = t.xid::text::xid8 AND event_id = t.event_id LIMIT 1
           ) e
           WHERE ($5::text[] IS NULL OR e.type = ANY($5))
             AND ($6::uuid[] IS NULL OR e.channel_id = ANY($6))
             AND ($7::uuid[] IS NULL OR e.contact_id = ANY($7))
             AND NOT EXISTS (
                 SELECT 1 FROM restriction r WHERE r.tenant_id = $1 AND r.contact_id IN (
                     e.contact_id, (SELECT c.merged_into FROM contact c WHERE c.tenant_id = $1 AND c.contact_id = e.contact_id)))"#,
        tenant.uuid(),
        &places.iter().map(|place| place.part_day).collect::<Vec<_>>(),
        &places.iter().map(|place| place.xid).collect::<Vec<_>>(),
        &places.iter().map(|place| place.event_id).collect::<Vec<_>>(),
        selection.types.as_deref(),
        selection.channels.as_deref(),
        selection.contacts.as_deref(),
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

/// What waits already, for its first attempt or for another one, stays as it is; what was given up is dead no longer.
async fn insert(
    connection: &mut Connection,
    tenant: TenantId,
    endpoint: Uuid,
    places: &[EventPlace],
) -> Result<i64, StoreError> {
    let inserted = sqlx::query_scalar!(
        r#"WITH owed AS (
               INSERT INTO delivery (tenant_id, endpoint_id, shard, event_id, part_day, event_xid, contact_id)
               SELECT $1, $2, 0, t.event_id, t.part_day, t.xid::text::xid8, t.contact_id
               FROM UNNEST($3::uuid[], $4::date[], $5::bigint[], $6::uuid[]) AS t (event_id, part_day, xid, contact_id)
               WHERE NOT EXISTS (
                   SELECT 1 FROM delivery_retry r
                   WHERE r.tenant_id = $1 AND r.endpoint_id = $2 AND r.shard = 0 AND r.event_id = t.event_id)
               ON CONFLICT DO NOTHING
               RETURNING event_id
           ), raised AS (
               DELETE FROM delivery_dead d USING owed
               WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.event_id = owed.event_id
           )
           SELECT count(*) AS "count!" FROM owed"#,
        tenant.uuid(),
        endpoint,
        &places.iter().map(|place| place.event_id).collect::<Vec<_>>(),
        &places.iter().map(|place| place.part_day).collect::<Vec<_>>(),
        &places.iter().map(|place| place.xid).collect::<Vec<_>>(),
        &places.iter().map(|place| place.contact_id).collect::<Vec<_>>() as _,
    )
    .fetch_one(connection)
    .await?;
    Ok(inserted)
}
