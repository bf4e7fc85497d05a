//! Lanes: who may work on which queue. A lease is a promise of time, so it is kept by the one clock that all processes
//! share, Postgres's; correctness rests on the epoch alone.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::{TenantId, WorkerId};

/// Whose queue it is. The number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Kind {
    /// Events owed to an endpoint.
    Endpoint = 1,
    /// Messages owed to Meta through a channel.
    Channel = 2,
    /// Events that an endpoint is to be owed once more.
    Replay = 3,
    /// Entries of the audit log that are not in its tree yet; the owner is the tenant.
    Audit = 4,
    /// A person to be forgotten; the owner is the erasure.
    Privacy = 5,
    /// Files that people sent through a channel.
    Media = 6,
    /// What is known of a person, on its way into an archive; the owner is the export.
    Export = 7,
}

impl Kind {
    const fn of(number: i16) -> Self {
        match number {
            2 => Self::Channel,
            3 => Self::Replay,
            4 => Self::Audit,
            5 => Self::Privacy,
            6 => Self::Media,
            7 => Self::Export,
            _ => Self::Endpoint,
        }
    }
}

/// A lane that this process owns, and since which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnedLane {
    /// Owner of everything in it.
    pub tenant: TenantId,
    /// What is in it.
    pub kind: Kind,
    /// The endpoint, channel, replay or tenant.
    pub owner: Uuid,
    /// Part of it.
    pub shard: i16,
    /// Every write carries it; a later owner has a higher one.
    pub epoch: i64,
}

/// A lane that was just taken, and what its last owner knew of it.
#[derive(Debug, Clone, Copy)]
pub struct ClaimedLane {
    /// The lane.
    pub lane: OwnedLane,
    /// Since when its endpoint accepts nothing.
    pub failing_since: Option<OffsetDateTime>,
    /// Whether its last owner never gave it back.
    pub taken_over: bool,
}

/// How the lanes are shared at this moment.
#[derive(Debug, Clone, Copy)]
pub struct Census {
    /// Processes that are alive and stay.
    pub workers: i64,
    /// All lanes.
    pub lanes: i64,
    /// Those that the asking process owns by the table.
    pub ours: i64,
    /// Those that nobody owns, or whose owner's lease has run out.
    pub free: i64,
}

impl Census {
    /// The most lanes that one process holds.
    #[must_use]
    pub fn fair_share(self) -> usize {
        usize::try_from(self.lanes.max(0).unsigned_abs().div_ceil(self.workers.max(1).unsigned_abs()))
            .unwrap_or(usize::MAX)
    }
}

/// Adds a lane unless it is there.
pub(super) async fn ensure(
    connection: &mut Connection,
    tenant: TenantId,
    kind: Kind,
    owner: Uuid,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO lane (tenant_id, kind, owner_id, shard) VALUES ($1, $2, $3, 0) ON CONFLICT DO NOTHING",
        tenant.uuid(),
        kind as i16,
        owner,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes the lanes of an owner; whoever works on them loses them.
pub(super) async fn remove(
    connection: &mut Connection,
    tenant: TenantId,
    kind: Kind,
    owner: Uuid,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM lane WHERE tenant_id = $1 AND kind = $2 AND owner_id = $3",
        tenant.uuid(),
        kind as i16,
        owner,
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Promises that `worker` is alive for `lease` from now. Returns false when the promise before had run out: its lanes
    /// may have been taken.
    pub async fn renew_lease(&self, worker: WorkerId, lease: Duration) -> Result<bool, StoreError> {
        let renewed = sqlx::query_scalar!(
            r#"WITH before AS (SELECT lease_until > now() AS alive FROM worker WHERE worker_id = $1)
               INSERT INTO worker (worker_id, started_at, lease_until)
               VALUES ($1, now(), now() + make_interval(secs => $2))
               ON CONFLICT (worker_id) DO UPDATE SET lease_until = EXCLUDED.lease_until
               RETURNING COALESCE((SELECT alive FROM before), true) AS "alive!""#,
            worker.uuid(),
            lease.as_secs_f64(),
        );
        Ok(renewed.fetch_one(&self.data).await?)
    }

    /// Says that `worker` was told to stop, so that others take a larger share at once.
    pub async fn announce_leaving(&self, worker: WorkerId) -> Result<(), StoreError> {
        sqlx::query!("UPDATE worker SET leaving = true WHERE worker_id = $1", worker.uuid())
            .execute(&self.data)
            .await?;
        Ok(())
    }

    /// Counts lanes and processes. Reads the whole table of lanes, which is small.
    pub async fn lane_census(&self, worker: WorkerId) -> Result<Census, StoreError> {
        let census = sqlx::query_as!(
            Census,
            r#"SELECT (SELECT count(*) FROM worker WHERE lease_until > now() AND NOT leaving) AS "workers!",
                      count(*) AS "lanes!",
                      count(*) FILTER (WHERE l.worker_id = $1) AS "ours!",
                      count(*) FILTER (WHERE w.worker_id IS NULL OR w.lease_until < now()) AS "free!"
               FROM lane l LEFT JOIN worker w ON w.worker_id = l.worker_id"#,
            worker.uuid(),
        );
        Ok(census.fetch_one(&self.data).await?)
    }

    /// Takes lanes that nobody owns or whose owner's lease has run out. A lane that is ours and not `in_hand` is one of them:
    /// it was taken by a claim whose answer was lost, or could not be given back while the database was away.
    pub async fn claim_lanes(
        &self,
        worker: WorkerId,
        in_hand: &[OwnedLane],
        limit: i64,
    ) -> Result<Vec<ClaimedLane>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH free AS (
                   SELECT l.tenant_id, l.kind, l.owner_id, l.shard, l.worker_id, l.epoch AS seen_epoch
                   FROM lane l LEFT JOIN worker w ON w.worker_id = l.worker_id
                   WHERE w.worker_id IS NULL OR w.lease_until < now()
                      OR (l.worker_id = $1 AND (l.kind, l.owner_id, l.shard) NOT IN (
                             SELECT * FROM UNNEST($5::int2[], $3::uuid[], $4::int2[])))
                   ORDER BY l.tenant_id, l.kind, l.owner_id, l.shard
                   LIMIT $2
               )
               UPDATE lane SET worker_id = $1, epoch = epoch + 1
               FROM free
               WHERE lane.tenant_id = free.tenant_id AND lane.kind = free.kind
                 AND lane.owner_id = free.owner_id AND lane.shard = free.shard
                 -- Of two that see the same lane free, the second finds another epoch than it read.
                 AND lane.epoch = free.seen_epoch
               RETURNING lane.tenant_id, lane.kind, lane.owner_id, lane.shard, lane.epoch, lane.failing_since,
                         free.worker_id AS "silent?""#,
            worker.uuid(),
            limit,
            &in_hand.iter().map(|lane| lane.owner).collect::<Vec<_>>(),
            &in_hand.iter().map(|lane| lane.shard).collect::<Vec<_>>(),
            &in_hand.iter().map(|lane| lane.kind as i16).collect::<Vec<_>>(),
        )
        .fetch_all(&self.data)
        .await?;
        let claimed = rows.into_iter().map(|row| {
            let kind = Kind::of(row.kind);
            let (tenant, owner) = (TenantId::from_uuid(row.tenant_id), row.owner_id);
            let lane = OwnedLane { tenant, kind, owner, shard: row.shard, epoch: row.epoch };
            let taken_over = row.silent.is_some_and(|silent| silent != worker.uuid());
            ClaimedLane { lane, failing_since: row.failing_since, taken_over }
        });
        Ok(claimed.collect())
    }

    /// Gives back everything that `worker` owns, so that others need not wait for its lease to run out.
    pub async fn release_lanes(&self, worker: WorkerId) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH released AS (UPDATE lane SET worker_id = NULL WHERE worker_id = $1)
             DELETE FROM worker WHERE worker_id = $1",
            worker.uuid(),
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Gives back some lanes, unless somebody else owns them by now.
    pub async fn release_some_lanes(&self, lanes: &[OwnedLane]) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE lane SET worker_id = NULL
             FROM UNNEST($1::uuid[], $2::int2[], $3::uuid[], $4::int2[], $5::int8[]) AS t (tenant_id, kind, owner_id, shard, epoch)
             WHERE lane.tenant_id = t.tenant_id AND lane.kind = t.kind AND lane.owner_id = t.owner_id
               AND lane.shard = t.shard AND lane.epoch = t.epoch",
            &lanes.iter().map(|lane| lane.tenant.uuid()).collect::<Vec<_>>(),
            &lanes.iter().map(|lane| lane.kind as i16).collect::<Vec<_>>(),
            &lanes.iter().map(|lane| lane.owner).collect::<Vec<_>>(),
            &lanes.iter().map(|lane| lane.shard).collect::<Vec<_>>(),
            &lanes.iter().map(|lane| lane.epoch).collect::<Vec<_>>(),
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Forgets processes that have been silent for a day.
    pub async fn sweep_workers(&self) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM worker WHERE lease_until < now() - interval '1 day'").execute(&self.janitor).await?;
        Ok(())
    }
}
