//! The tree of the audit log: one row for the log, its tiles, its checkpoints. A step of the sequencer is one transaction.

use time::OffsetDateTime;
use uuid::Uuid;

use super::lanes::{self, Kind, OwnedLane};
use super::{Connection, Store, StoreError, Transaction};
use crate::ids::TenantId;

/// A log and its sealed key.
#[derive(Debug)]
pub struct AuditLogRow {
    /// Its name in checkpoints.
    pub origin: String,
    /// Public key, as verifiers read it.
    pub verifier_key: String,
    /// Sealed.
    pub signing_key: Vec<u8>,
}

/// How far the sequencer has come.
#[derive(Debug, Clone, Copy)]
pub struct AuditPlace {
    /// Leaves in the tree.
    pub size: i64,
    /// Transaction of the last of them; 0: none.
    pub xid: i64,
    /// Its id; nil: none.
    pub entry: Uuid,
}

/// An entry that is not in the tree yet.
#[derive(Debug)]
pub struct PendingEntry {
    /// Transaction.
    pub xid: i64,
    /// Id.
    pub entry_id: Uuid,
    /// Canonical bytes.
    pub entry: Vec<u8>,
    /// Salt.
    pub salt: Vec<u8>,
}

/// A tile: level, position, hashes one behind the other.
pub type TileRow = (i16, i64, Vec<u8>);

/// What one step adds.
#[derive(Debug)]
pub struct AuditStep {
    /// How far it came.
    pub place: AuditPlace,
    /// Entries, the first at `first`.
    pub entries: Vec<Uuid>,
    /// Index of the first of them.
    pub first: i64,
    /// Tiles that changed, whole.
    pub tiles: Vec<TileRow>,
    /// Bundles that changed, whole.
    pub bundles: Vec<(i64, Vec<u8>)>,
    /// The signed checkpoint.
    pub note: String,
    /// Whether it may be shown at once, or waits for witnesses.
    pub published: bool,
    /// When.
    pub at: OffsetDateTime,
}

impl Store {
    /// The log of a tenant, if it was founded.
    pub async fn find_audit_log(&self, tenant: TenantId) -> Result<Option<AuditLogRow>, StoreError> {
        let row = sqlx::query_as!(
            AuditLogRow,
            r#"SELECT origin, verifier_key, signing_key::bytea AS "signing_key!" FROM audit_log WHERE tenant_id = $1"#,
            tenant.uuid(),
        );
        Ok(row.fetch_optional(&self.data).await?)
    }

    /// Founds a log, unless somebody was faster, and sees to it that it has a lane.
    pub async fn found_audit_log(
        &self,
        tenant: TenantId,
        row: &AuditLogRow,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query!(
            "INSERT INTO audit_log (tenant_id, origin, verifier_key, signing_key, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            tenant.uuid(),
            row.origin,
            row.verifier_key,
            row.signing_key as _,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        lanes::ensure(&mut transaction, tenant, Kind::Audit, tenant.uuid()).await?;
        Self::commit(transaction).await
    }

    /// Begins a step: locks the log, so that no other owner of its lane takes one. `None`: the lane is another's.
    pub async fn begin_audit_step(&self, lane: OwnedLane) -> Result<Option<(Transaction, AuditPlace)>, StoreError> {
        let mut transaction = self.begin().await?;
        let place = sqlx::query_as!(
            AuditPlace,
            r#"SELECT l.size, COALESCE(l.at_xid::text::bigint, 0) AS "xid!",
                      COALESCE(l.at_entry, '00000000-0000-0000-0000-000000000000') AS "entry!"
               FROM audit_log l
               WHERE l.tenant_id = $1
                 AND EXISTS (SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 4 AND owner_id = $1 AND shard = 0 AND epoch = $2)
               FOR UPDATE OF l"#,
            lane.tenant.uuid(),
            lane.epoch,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        Ok(place.map(|place| (transaction, place)))
    }
}

/// The next entries in commit order behind a place. Those of transactions that may still be open are left for the next step, so
/// that none is skipped.
pub async fn pending(
    connection: &mut Connection,
    tenant: TenantId,
    place: AuditPlace,
    limit: u32,
) -> Result<Vec<PendingEntry>, StoreError> {
    let rows = sqlx::query_as!(
        PendingEntry,
        r#"SELECT xid::text::bigint AS "xid!", entry_id, entry, salt FROM audit_entry
           WHERE tenant_id = $1 AND (xid, entry_id) > ($2::bigint::text::xid8, $3)
             AND xid < pg_snapshot_xmin(pg_current_snapshot())
           ORDER BY xid, entry_id
           LIMIT $4"#,
        tenant.uuid(),
        place.xid,
        place.entry,
        i64::from(limit),
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Tiles at these places, as far as they are there.
pub async fn tiles(
    connection: &mut Connection,
    tenant: TenantId,
    levels: &[i16],
    indexes: &[i64],
) -> Result<Vec<TileRow>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT t.level, t.tile_index, t.hashes FROM UNNEST($2::int2[], $3::int8[]) AS wanted (level, tile_index)
           -- LATERAL with LIMIT: one index look-up each.
           CROSS JOIN LATERAL (
               SELECT level, tile_index, hashes FROM audit_tile
               WHERE tenant_id = $1 AND level = wanted.level AND tile_index = wanted.tile_index LIMIT 1
           ) t"#,
        tenant.uuid(),
        levels,
        indexes,
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| (row.level, row.tile_index, row.hashes)).collect())
}

/// A bundle.
pub async fn bundle(connection: &mut Connection, tenant: TenantId, index: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let found = sqlx::query_scalar!(
        "SELECT commitments FROM audit_bundle WHERE tenant_id = $1 AND bundle_index = $2",
        tenant.uuid(),
        index,
    );
    Ok(found.fetch_optional(connection).await?)
}

/// The checkpoint of a tree of this size.
pub async fn checkpoint(
    connection: &mut Connection,
    tenant: TenantId,
    size: i64,
) -> Result<Option<String>, StoreError> {
    let note = sqlx::query_scalar!(
        "SELECT note FROM audit_checkpoint WHERE tenant_id = $1 AND size = $2",
        tenant.uuid(),
        size
    );
    Ok(note.fetch_optional(connection).await?)
}

/// Writes a step. The caller commits.
pub async fn write(connection: &mut Connection, tenant: TenantId, step: &AuditStep) -> Result<(), StoreError> {
    let indexes: Vec<i64> = (step.first..).take(step.entries.len()).collect();
    sqlx::query!(
        r#"WITH leaves AS (
               INSERT INTO audit_leaf (tenant_id, leaf_index, entry_id)
               SELECT $1, * FROM UNNEST($2::int8[], $3::uuid[])
           ), tiles AS (
               INSERT INTO audit_tile (tenant_id, level, tile_index, hashes)
               SELECT $1, * FROM UNNEST($4::int2[], $5::int8[], $6::bytea[])
               ON CONFLICT (tenant_id, level, tile_index) DO UPDATE SET hashes = EXCLUDED.hashes
           ), bundles AS (
               INSERT INTO audit_bundle (tenant_id, bundle_index, commitments)
               SELECT $1, * FROM UNNEST($7::int8[], $8::bytea[])
               ON CONFLICT (tenant_id, bundle_index) DO UPDATE SET commitments = EXCLUDED.commitments
           ), checkpoint AS (
               INSERT INTO audit_checkpoint (tenant_id, size, note, published, made_at) VALUES ($1, $9, $10, $11, $12)
           )
           UPDATE audit_log SET size = $9, at_xid = $13::bigint::text::xid8, at_entry = $14, stepped_at = $12
           WHERE tenant_id = $1"#,
        tenant.uuid(),
        &indexes,
        &step.entries,
        &step.tiles.iter().map(|tile| tile.0).collect::<Vec<_>>(),
        &step.tiles.iter().map(|tile| tile.1).collect::<Vec<_>>(),
        &step.tiles.iter().map(|tile| tile.2.as_slice()).collect::<Vec<_>>() as _,
        &step.bundles.iter().map(|bundle| bundle.0).collect::<Vec<_>>(),
        &step.bundles.iter().map(|bundle| bundle.1.as_slice()).collect::<Vec<_>>() as _,
        step.place.size,
        step.note,
        step.published,
        step.at,
        step.place.xid,
        step.place.entry,
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// The oldest entry of any tenant that is in no tree yet; its id tells since when. `None`: all are in.
    pub async fn audit_backlog(&self) -> Result<Option<Uuid>, StoreError> {
        let oldest = sqlx::query_scalar!(
            r#"SELECT e.entry_id AS "entry_id?" FROM audit_log l
               CROSS JOIN LATERAL (
                   SELECT entry_id FROM audit_entry
                   WHERE tenant_id = l.tenant_id
                     AND (xid, entry_id) > (COALESCE(l.at_xid, '0'::xid8), COALESCE(l.at_entry, '00000000-0000-0000-0000-000000000000'))
                   ORDER BY xid, entry_id LIMIT 1
               ) e
               ORDER BY 1 LIMIT 1"#
        );
        Ok(oldest.fetch_optional(&self.data).await?.flatten())
    }
}
