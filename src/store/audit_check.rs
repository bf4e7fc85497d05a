//! The audit log read as a whole, in one snapshot, for whoever checks it.

use uuid::Uuid;

use super::audit_tree::AuditPlace;
use super::{Connection, Store, StoreError, Transaction};
use crate::ids::{AuditEntryId, TenantId};

/// What the log's own row says.
#[derive(Debug)]
pub struct AuditState {
    /// How far the sequencer came.
    pub place: AuditPlace,
    /// Entries below this index may have been dropped.
    pub pruned: i64,
    /// The entry that says so; nil: none.
    pub pruned_by: Uuid,
}

/// A place in the tree, and the entry that is stored for it.
#[derive(Debug)]
pub struct StandingEntry {
    /// Where.
    pub leaf_index: i64,
    /// Id.
    pub entry_id: Uuid,
    /// The row; absent: there is none.
    pub row: Option<StoredEntry>,
}

/// An entry as it is stored.
#[derive(Debug)]
pub struct StoredEntry {
    /// Transaction.
    pub xid: i64,
    /// As in the entry.
    pub actor_id: Uuid,
    /// As in the entry.
    pub action: String,
    /// Canonical bytes.
    pub entry: Vec<u8>,
    /// Salt.
    pub salt: Vec<u8>,
}

/// How much is stored in all.
#[derive(Debug, PartialEq, Eq)]
pub struct AuditCounts {
    /// Rows that say what stands where.
    pub leaves: i64,
    /// Tiles of all levels.
    pub tiles: i64,
    /// Bundles.
    pub bundles: i64,
    /// Checkpoints of larger trees than the log's.
    pub beyond: i64,
    /// Entries that the sequencer has passed.
    pub entries: i64,
}

impl Store {
    /// A transaction that sees one moment and changes nothing.
    pub async fn begin_snapshot(&self) -> Result<Transaction, StoreError> {
        let mut transaction = self.begin().await?;
        let set = sqlx::query!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        set.execute(&mut *transaction).await?;
        Ok(transaction)
    }
}

/// The log's own row.
pub async fn state(connection: &mut Connection, tenant: TenantId) -> Result<Option<AuditState>, StoreError> {
    let row = sqlx::query!(
        r#"SELECT size, COALESCE(at_xid::text::bigint, 0) AS "xid!", pruned,
                  COALESCE(at_entry, '00000000-0000-0000-0000-000000000000') AS "entry!",
                  COALESCE(pruned_by, '00000000-0000-0000-0000-000000000000') AS "pruned_by!"
           FROM audit_log WHERE tenant_id = $1"#,
        tenant.uuid(),
    );
    Ok(row.fetch_optional(connection).await?.map(|row| AuditState {
        place: AuditPlace { size: row.size, xid: row.xid, entry: row.entry },
        pruned: row.pruned,
        pruned_by: row.pruned_by,
    }))
}

/// What stands from one index up to, and without, another, in order.
pub async fn standing(
    connection: &mut Connection,
    tenant: TenantId,
    from: i64,
    end: i64,
) -> Result<Vec<StandingEntry>, StoreError> {
    let leaves = sqlx::query!(
        "SELECT leaf_index, entry_id FROM audit_leaf WHERE tenant_id = $1 AND leaf_index >= $2 AND leaf_index < $3
         ORDER BY leaf_index",
        tenant.uuid(),
        from,
        end,
    );
    let leaves = leaves.fetch_all(&mut *connection).await?;
    let ids: Vec<AuditEntryId> = leaves.iter().map(|leaf| AuditEntryId::from_uuid(leaf.entry_id)).collect();
    let rows = sqlx::query!(
        r#"SELECT l.place AS "place!", e.xid::text::bigint AS "xid!", e.actor_id, e.action, e.entry, e.salt
           FROM UNNEST($2::date[], $3::uuid[]) WITH ORDINALITY AS l (part_day, entry_id, place)
           -- LATERAL with LIMIT: one index look-up each, in one partition.
           CROSS JOIN LATERAL (
               SELECT xid, actor_id, action, entry, salt FROM audit_entry
               WHERE tenant_id = $1 AND part_day = l.part_day AND entry_id = l.entry_id LIMIT 1
           ) e"#,
        tenant.uuid(),
        &ids.iter().map(|id| id.day()).collect::<Vec<_>>(),
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    );
    let standing = leaves.into_iter().map(|leaf| (leaf.leaf_index, leaf.entry_id));
    let mut all: Vec<StandingEntry> =
        standing.map(|(leaf_index, entry_id)| StandingEntry { leaf_index, entry_id, row: None }).collect();
    for row in rows.fetch_all(connection).await? {
        let stored =
            StoredEntry { xid: row.xid, actor_id: row.actor_id, action: row.action, entry: row.entry, salt: row.salt };
        // Ordinality counts from one.
        if let Some(one) = usize::try_from(row.place - 1).ok().and_then(|at| all.get_mut(at)) {
            one.row = Some(stored);
        }
    }
    Ok(all)
}

/// The bytes of an entry, in the tree or not.
pub async fn entry(
    connection: &mut Connection,
    tenant: TenantId,
    entry: AuditEntryId,
) -> Result<Option<Vec<u8>>, StoreError> {
    let bytes = sqlx::query_scalar!(
        "SELECT entry FROM audit_entry WHERE tenant_id = $1 AND part_day = $2 AND entry_id = $3",
        tenant.uuid(),
        entry.day(),
        entry.uuid(),
    );
    Ok(bytes.fetch_optional(connection).await?)
}

/// Bundles from one up to, and without, another, in order.
pub async fn bundles(
    connection: &mut Connection,
    tenant: TenantId,
    from: i64,
    end: i64,
) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT bundle_index, commitments FROM audit_bundle
         WHERE tenant_id = $1 AND bundle_index >= $2 AND bundle_index < $3 ORDER BY bundle_index",
        tenant.uuid(),
        from,
        end,
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| (row.bundle_index, row.commitments)).collect())
}

/// Checkpoints of trees larger than one size and not larger than another, in order.
pub async fn checkpoints(
    connection: &mut Connection,
    tenant: TenantId,
    above: i64,
    up_to: i64,
) -> Result<Vec<(i64, String)>, StoreError> {
    let rows = sqlx::query!(
        "SELECT size, note FROM audit_checkpoint WHERE tenant_id = $1 AND size > $2 AND size <= $3 ORDER BY size",
        tenant.uuid(),
        above,
        up_to,
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(|row| (row.size, row.note)).collect())
}

/// How much there is in all, by what the sequencer has passed.
pub async fn counts(
    connection: &mut Connection,
    tenant: TenantId,
    place: AuditPlace,
) -> Result<AuditCounts, StoreError> {
    let row = sqlx::query_as!(
        AuditCounts,
        r#"SELECT (SELECT count(*) FROM audit_leaf WHERE tenant_id = $1) AS "leaves!",
                  (SELECT count(*) FROM audit_tile WHERE tenant_id = $1) AS "tiles!",
                  (SELECT count(*) FROM audit_bundle WHERE tenant_id = $1) AS "bundles!",
                  (SELECT count(*) FROM audit_checkpoint WHERE tenant_id = $1 AND (size > $2 OR size <= 0)) AS "beyond!",
                  (SELECT count(*) FROM audit_entry
                   WHERE tenant_id = $1 AND (xid, entry_id) <= ($3::bigint::text::xid8, $4)) AS "entries!""#,
        tenant.uuid(),
        place.size,
        place.xid,
        place.entry,
    );
    Ok(row.fetch_one(connection).await?)
}
