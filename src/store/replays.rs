//! Replays: which there are and how far they have come. `replay_steps.rs` moves them.

use time::{Date, Duration, OffsetDateTime};
use uuid::Uuid;

use super::lanes::{self, Kind};
use super::partitions::{DAYS_AHEAD, DAYS_BACK};
use super::{Connection, Store, StoreError};
use crate::ids::{ContactId, EndpointId, EventId, ReplayId, TenantId};

/// A replay as it is stored.
#[derive(Debug, Clone)]
pub struct ReplayRow {
    /// Id.
    pub replay_id: Uuid,
    /// To whom.
    pub endpoint_id: Uuid,
    /// `running`, `done`, `cancelled` or `failed`.
    pub state: String,
    /// Which events; `None`: those of a span.
    pub event_ids: Option<Vec<Uuid>>,
    /// Received at this time or later.
    pub since: Option<OffsetDateTime>,
    /// Received before this time.
    pub until: Option<OffsetDateTime>,
    /// Names of types, or prefixes of them. Empty: all.
    pub event_types: Vec<String>,
    /// Empty: all.
    pub channel_ids: Vec<Uuid>,
    /// About this person.
    pub contact_id: Option<Uuid>,
    /// The event that was reached.
    pub at_event: Option<Uuid>,
    /// Events found so far.
    pub counted: i64,
    /// Of these, were not waiting already.
    pub inserted: i64,
    /// When it was asked for.
    pub created_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
}

/// What an event must be to be replayed. `None` leaves out none.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Exact types.
    pub types: Option<Vec<String>>,
    /// Channels.
    pub channels: Option<Vec<Uuid>>,
    /// A person, under every id that turned out to be theirs.
    pub contacts: Option<Vec<Uuid>>,
}

/// Where an event lies.
#[derive(Debug, Clone, Copy)]
pub struct EventPlace {
    /// Id.
    pub event_id: Uuid,
    /// Partition.
    pub part_day: Date,
    /// Transaction number.
    pub xid: i64,
    /// Person, when it is about one.
    pub contact_id: Option<Uuid>,
}

/// The partitions in which events lie that were received on these days.
pub(super) fn partitions_of(first: Date, last: Date) -> (Date, Date) {
    let back = first.checked_sub(Duration::days(DAYS_BACK)).unwrap_or(Date::MIN);
    (back, last.checked_add(Duration::days(DAYS_AHEAD)).unwrap_or(Date::MAX))
}

impl Store {
    /// Events by their ids, at most 1,000. Unknown ones are left out.
    pub async fn find_events(&self, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<EventPlace>, StoreError> {
        let days = || ids.iter().map(|id| EventId::from_uuid(*id).day());
        let (Some(first), Some(last)) = (days().min(), days().max()) else { return Ok(Vec::new()) };
        let (first, last) = partitions_of(first, last);
        let rows = sqlx::query_as!(
            EventPlace,
            r#"SELECT event_id, part_day, xid::text::bigint AS "xid!", contact_id FROM event
               WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3 AND event_id = ANY($4)"#,
            tenant.uuid(),
            first,
            last,
            ids,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }

    /// A contact under every id that turned out to be theirs.
    pub async fn every_id_of(&self, tenant: TenantId, contact: ContactId) -> Result<Vec<Uuid>, StoreError> {
        let found = self.find_contact(tenant, contact).await?;
        let kept = found.and_then(|row| row.merged_into).map_or(contact, ContactId::from_uuid);
        self.find_merged(tenant, kept).await
    }

    /// Stores a replay of a span, to be worked on from now.
    pub async fn insert_replay(&self, tenant: TenantId, replay: &ReplayRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        insert(&mut transaction, tenant, replay).await?;
        lanes::ensure(&mut transaction, tenant, Kind::Replay, replay.replay_id).await?;
        Ok(transaction.commit().await?)
    }

    /// Stores a replay of single events, which is done at once. Returns it with its counts.
    pub async fn insert_done_replay(
        &self,
        tenant: TenantId,
        mut replay: ReplayRow,
        selection: &Selection,
    ) -> Result<ReplayRow, StoreError> {
        let ids = replay.event_ids.clone().unwrap_or_default();
        let places = self.find_events(tenant, &ids).await?;
        let mut transaction = self.data.begin().await?;
        let (counted, inserted) =
            super::replay_steps::owe(&mut transaction, tenant, &replay, &places, selection).await?;
        (replay.counted, replay.inserted) = (counted, inserted);
        insert(&mut transaction, tenant, &replay).await?;
        transaction.commit().await?;
        Ok(replay)
    }

    /// Replays of an endpoint, newest first, older than `before`.
    pub async fn page_of_replays(
        &self,
        (tenant, endpoint): (TenantId, EndpointId),
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<ReplayRow>, StoreError> {
        let rows = sqlx::query_as!(
            ReplayRow,
            "SELECT replay_id, endpoint_id, state, event_ids, since, until, event_types, channel_ids, contact_id, at_event,
                    counted, inserted, created_at, ended_at
             FROM replay WHERE tenant_id = $1 AND endpoint_id = $2 AND replay_id < $3
             ORDER BY replay_id DESC LIMIT $4",
            tenant.uuid(),
            endpoint.uuid(),
            before,
            limit,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }

    /// One replay.
    pub async fn find_replay(&self, tenant: TenantId, replay: ReplayId) -> Result<Option<ReplayRow>, StoreError> {
        let row = sqlx::query_as!(
            ReplayRow,
            "SELECT replay_id, endpoint_id, state, event_ids, since, until, event_types, channel_ids, contact_id, at_event,
                    counted, inserted, created_at, ended_at
             FROM replay WHERE tenant_id = $1 AND replay_id = $2",
            tenant.uuid(),
            replay.uuid(),
        )
        .fetch_optional(self.reading(tenant))
        .await?;
        Ok(row)
    }

    /// Ends a replay before its time, with `state` as the word for it. One that has ended stays as it is.
    pub async fn end_replay(
        &self,
        tenant: TenantId,
        replay: ReplayId,
        state: &str,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "UPDATE replay SET state = $3, ended_at = $4 WHERE tenant_id = $1 AND replay_id = $2 AND state = 'running'",
            tenant.uuid(),
            replay.uuid(),
            state,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        lanes::remove(&mut transaction, tenant, Kind::Replay, replay.uuid()).await?;
        Ok(transaction.commit().await?)
    }

    /// For the metrics.
    pub async fn running_replays(&self) -> Result<i64, StoreError> {
        let running = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM replay WHERE state = 'running'"#);
        Ok(running.fetch_one(&self.data).await?)
    }

    /// Forgets replays that ended before this time.
    pub async fn sweep_replays(&self, before: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM replay WHERE ended_at < $1", before).execute(&self.janitor).await?;
        Ok(())
    }
}

/// Removes the replays of an endpoint that goes, and their lanes.
pub(super) async fn remove(
    connection: &mut Connection,
    tenant: TenantId,
    endpoint: EndpointId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH gone AS (DELETE FROM replay WHERE tenant_id = $1 AND endpoint_id = $2 RETURNING replay_id)
         DELETE FROM lane USING gone WHERE tenant_id = $1 AND kind = 3 AND owner_id = gone.replay_id",
        tenant.uuid(),
        endpoint.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(connection: &mut Connection, tenant: TenantId, replay: &ReplayRow) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO replay (tenant_id, replay_id, endpoint_id, state, event_ids, since, until, event_types, channel_ids,
                             contact_id, end_xid, counted, inserted, created_at, ended_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, pg_snapshot_xmax(pg_current_snapshot()), $11, $12, $13, $14)",
        tenant.uuid(),
        replay.replay_id,
        replay.endpoint_id,
        replay.state,
        replay.event_ids.as_deref(),
        replay.since,
        replay.until,
        &replay.event_types,
        &replay.channel_ids,
        replay.contact_id,
        replay.counted,
        replay.inserted,
        replay.created_at,
        replay.ended_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
