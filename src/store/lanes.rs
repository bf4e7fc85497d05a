//! Lanes: who may work on which queue. A lease is a promise of time, so it is kept by the one clock that all processes
//! share, Postgres's; correctness rests on the epoch alone.

use std::time::Duration;

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
}

impl Kind {
    const fn of(number: i16) -> Self {
        match number {
            2 => Self::Channel,
            3 => Self::Replay,
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
    /// The endpoint, channel or replay.
    pub owner: Uuid,
    /// Part of it.
    pub shard: i16,
    /// Every write carries it; a later owner has a higher one.
    pub epoch: i64,
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

    /// Takes lanes that nobody owns or whose owner's lease has run out. A lane that is ours and not `in_hand` is one of them:
    /// it was taken by a claim whose answer was lost, or could not be given back while the database was away.
    pub async fn claim_lanes(
        &self,
        worker: WorkerId,
        in_hand: &[OwnedLane],
        limit: i64,
    ) -> Result<Vec<OwnedLane>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH free AS (
                   SELECT l.tenant_id, l.kind, l.owner_id, l.shard, l.epoch AS seen_epoch
                   FROM lane l LEFT JOIN worker w ON w.worker_id = l.worker_id
                   WHERE w.worker_id IS NULL OR w.lease_until < now()
                      OR (l.worker_id = $1 AND (l.owner_id, l.shard) NOT IN (SELECT * FROM UNNEST($3::uuid[], $4::int2[])))
                   ORDER BY l.tenant_id, l.kind, l.owner_id, l.shard
                   LIMIT $2
               )
               UPDATE lane SET worker_id = $1, epoch = epoch + 1
               FROM free
               WHERE lane.tenant_id = free.tenant_id AND lane.kind = free.kind
                 AND lane.owner_id = free.owner_id AND lane.shard = free.shard
                 -- Of two that see the same lane free, the second finds another epoch than it read.
                 AND lane.epoch = free.seen_epoch
               RETURNING lane.tenant_id, lane.kind, lane.owner_id, lane.shard, lane.epoch"#,
            worker.uuid(),
            limit,
            &in_hand.iter().map(|lane| lane.owner).collect::<Vec<_>>(),
            &in_hand.iter().map(|lane| lane.shard).collect::<Vec<_>>(),
        )
        .fetch_all(&self.data)
        .await?;
        let lane = |kind, tenant, owner, shard, epoch| OwnedLane { tenant, kind, owner, shard, epoch };
        Ok(rows
            .into_iter()
            .map(|row| lane(Kind::of(row.kind), TenantId::from_uuid(row.tenant_id), row.owner_id, row.shard, row.epoch))
            .collect())
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

    /// Gives back one lane, unless somebody else owns it by now.
    pub async fn release_lane(&self, lane: OwnedLane) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE lane SET worker_id = NULL WHERE tenant_id = $1 AND kind = $2 AND owner_id = $3 AND shard = $4 AND epoch = $5",
            lane.tenant.uuid(),
            lane.kind as i16,
            lane.owner,
            lane.shard,
            lane.epoch,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Forgets processes that have been silent for a day.
    pub async fn sweep_workers(&self) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM worker WHERE lease_until < now() - interval '1 day'").execute(&self.data).await?;
        Ok(())
    }
}
