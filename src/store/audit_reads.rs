//! The audit log as it is read: lists, places, tiles, checkpoints.

use time::Date;
use uuid::Uuid;

use super::audit_tree::{self, TileRow};
use super::{Store, StoreError};
use crate::ids::{AuditEntryId, TenantId};

/// Which entries. `None`: all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this API key.
    pub actor: Option<Uuid>,
    /// Of these actions.
    pub actions: Option<Vec<String>>,
    /// About any of these contacts.
    pub contacts: Option<Vec<Uuid>>,
    /// With this id or a later one.
    pub from: Option<Uuid>,
}

/// An entry and where it stands.
#[derive(Debug)]
pub struct AuditEntryRow {
    /// Id.
    pub entry_id: Uuid,
    /// As in the entry.
    pub actor_id: Uuid,
    /// As in the entry.
    pub action: String,
    /// Canonical bytes.
    pub entry: Vec<u8>,
    /// Salt.
    pub salt: Vec<u8>,
    /// Where it stands in the tree; absent: nowhere yet.
    pub leaf_index: Option<i64>,
}

/// A published head.
#[derive(Debug)]
pub struct CheckpointRow {
    /// Leaves.
    pub size: i64,
    /// Signed note.
    pub note: String,
}

impl Store {
    /// Entries, newest first, older than `before`.
    pub async fn page_of_audit_entries(
        &self,
        tenant: TenantId,
        before: Uuid,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<AuditEntryRow>, StoreError> {
        let from = filter.from.unwrap_or(Uuid::nil());
        let rows = sqlx::query_as!(
            AuditEntryRow,
            r#"SELECT e.entry_id, e.actor_id, e.action, e.entry, e.salt, l.leaf_index AS "leaf_index?"
               FROM audit_entry e LEFT JOIN LATERAL (
                   -- LATERAL with LIMIT: one index look-up each.
                   SELECT leaf_index FROM audit_leaf WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id LIMIT 1
               ) l ON true
               WHERE e.tenant_id = $1 AND e.part_day BETWEEN $2 AND $3 AND e.entry_id < $4 AND e.entry_id >= $5
                 AND ($6::uuid IS NULL OR e.actor_id = $6)
                 AND ($7::text[] IS NULL OR e.action = ANY($7))
                 AND ($8::uuid[] IS NULL OR EXISTS (
                     SELECT 1 FROM audit_subject s
                     WHERE s.tenant_id = e.tenant_id AND s.part_day = e.part_day AND s.contact_id = ANY($8)
                       AND s.entry_id = e.entry_id))
               ORDER BY e.part_day DESC, e.entry_id DESC
               LIMIT $9"#,
            tenant.uuid(),
            day_of(from),
            day_of(before),
            before,
            from,
            filter.actor,
            filter.actions.as_deref(),
            filter.contacts.as_deref(),
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// One entry.
    pub async fn find_audit_entry(
        &self,
        tenant: TenantId,
        entry: AuditEntryId,
    ) -> Result<Option<AuditEntryRow>, StoreError> {
        let row = sqlx::query_as!(
            AuditEntryRow,
            r#"SELECT e.entry_id, e.actor_id, e.action, e.entry, e.salt, l.leaf_index AS "leaf_index?"
               FROM audit_entry e LEFT JOIN LATERAL (
                   -- LATERAL with LIMIT: one index look-up each.
                   SELECT leaf_index FROM audit_leaf WHERE tenant_id = e.tenant_id AND entry_id = e.entry_id LIMIT 1
               ) l ON true
               WHERE e.tenant_id = $1 AND e.part_day = $2 AND e.entry_id = $3"#,
            tenant.uuid(),
            entry.day(),
            entry.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }

    /// The entries that stand from one index up to, and without, another, in their order, as far as they are still kept.
    pub async fn audit_entries_between(
        &self,
        tenant: TenantId,
        from: i64,
        end: i64,
    ) -> Result<Vec<AuditEntryRow>, StoreError> {
        let leaves = sqlx::query!(
            "SELECT leaf_index, entry_id FROM audit_leaf WHERE tenant_id = $1 AND leaf_index >= $2 AND leaf_index < $3",
            tenant.uuid(),
            from,
            end,
        );
        let leaves = leaves.fetch_all(self.reading(tenant)).await?;
        let ids: Vec<AuditEntryId> = leaves.iter().map(|leaf| AuditEntryId::from_uuid(leaf.entry_id)).collect();
        let rows = sqlx::query_as!(
            AuditEntryRow,
            r#"SELECT e.entry_id, e.actor_id, e.action, e.entry, e.salt, l.leaf_index AS "leaf_index?"
               FROM UNNEST($2::int8[], $3::date[], $4::uuid[]) AS l (leaf_index, part_day, entry_id)
               -- LATERAL with LIMIT: one index look-up each, in one partition.
               CROSS JOIN LATERAL (
                   SELECT entry_id, actor_id, action, entry, salt FROM audit_entry
                   WHERE tenant_id = $1 AND part_day = l.part_day AND entry_id = l.entry_id LIMIT 1
               ) e
               ORDER BY l.leaf_index"#,
            tenant.uuid(),
            &leaves.iter().map(|leaf| leaf.leaf_index).collect::<Vec<_>>(),
            &ids.iter().map(|id| id.day()).collect::<Vec<_>>(),
            &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// Which entry stands at an index.
    pub async fn find_audit_leaf(&self, tenant: TenantId, index: i64) -> Result<Option<AuditEntryId>, StoreError> {
        let entry = sqlx::query_scalar!(
            "SELECT entry_id FROM audit_leaf WHERE tenant_id = $1 AND leaf_index = $2",
            tenant.uuid(),
            index,
        );
        Ok(entry.fetch_optional(self.reading(tenant)).await?.map(AuditEntryId::from_uuid))
    }

    /// Where an entry stands, also one that was dropped with age.
    pub async fn find_audit_index(&self, tenant: TenantId, entry: AuditEntryId) -> Result<Option<i64>, StoreError> {
        let index = sqlx::query_scalar!(
            "SELECT leaf_index FROM audit_leaf WHERE tenant_id = $1 AND entry_id = $2",
            tenant.uuid(),
            entry.uuid(),
        );
        Ok(index.fetch_optional(&self.data).await?)
    }

    /// Below which index entries may have been dropped with age.
    pub async fn audit_pruned(&self, tenant: TenantId) -> Result<i64, StoreError> {
        let pruned = sqlx::query_scalar!("SELECT pruned FROM audit_log WHERE tenant_id = $1", tenant.uuid());
        Ok(pruned.fetch_optional(&self.data).await?.unwrap_or(0))
    }

    /// The newest published checkpoint of at most `size` leaves.
    pub async fn find_audit_checkpoint(
        &self,
        tenant: TenantId,
        size: i64,
    ) -> Result<Option<CheckpointRow>, StoreError> {
        let row = sqlx::query_as!(
            CheckpointRow,
            "SELECT size, note FROM audit_checkpoint WHERE tenant_id = $1 AND size <= $2 AND published
             ORDER BY size DESC LIMIT 1",
            tenant.uuid(),
            size,
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }

    /// Tiles at these places, as far as they are there.
    pub async fn audit_tiles(
        &self,
        tenant: TenantId,
        levels: &[i16],
        indexes: &[i64],
    ) -> Result<Vec<TileRow>, StoreError> {
        audit_tree::tiles(&mut self.reading_connection(tenant).await?, tenant, levels, indexes).await
    }

    /// A bundle.
    pub async fn audit_bundle(&self, tenant: TenantId, index: i64) -> Result<Option<Vec<u8>>, StoreError> {
        audit_tree::bundle(&mut self.reading_connection(tenant).await?, tenant, index).await
    }
}

/// The day inside an id, as far as Postgres has such days.
pub(super) fn day_of(id: Uuid) -> Date {
    const FIRST: Date = time::macros::date!(1970 - 01 - 01);
    const LAST: Date = time::macros::date!(9999 - 12 - 31);
    if id == Uuid::max() {
        return LAST;
    }
    AuditEntryId::from_uuid(id).day().clamp(FIRST, LAST)
}
