//! Keys of keyed hashes, wrapped: one for each tenant and purpose, in as many versions as there were rotations. None is ever removed: what a
//! version hashes is what the one before has made (docs/envelope.md).

use uuid::Uuid;

use super::{Store, StoreError};
use crate::ids::TenantId;

/// A wrapped key of keyed hashes.
#[derive(Debug)]
pub struct IndexKeyRow {
    /// From 1 on, without a gap.
    pub version: i16,
    /// Id of the KEK that wraps it.
    pub parent: Uuid,
    /// 60 bytes.
    pub wrapped: Vec<u8>,
}

impl Store {
    /// The keys of a purpose, the first version first.
    pub async fn find_index_keys(&self, tenant: TenantId, purpose: &str) -> Result<Vec<IndexKeyRow>, StoreError> {
        let rows = sqlx::query_as!(
            IndexKeyRow,
            "SELECT version, kek_id AS parent, wrapped FROM waxseal_keys.index_key
             WHERE tenant_id = $1 AND purpose = $2 ORDER BY version",
            tenant.uuid(),
            purpose,
        );
        Ok(rows.fetch_all(self.key_pool()).await?)
    }

    /// Adds a version unless another process was faster, or the KEK was replaced.
    pub async fn insert_index_key(
        &self,
        tenant: TenantId,
        (purpose, version): (&str, i16),
        kek: Uuid,
        wrapped: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH kek AS (
                 SELECT kek_id FROM waxseal_keys.tenant_kek WHERE tenant_id = $1 AND kek_id = $4 AND current FOR SHARE
             )
             INSERT INTO waxseal_keys.index_key (tenant_id, purpose, version, kek_id, wrapped)
             SELECT $1, $2, $3, kek.kek_id, $5 FROM kek
             ON CONFLICT DO NOTHING",
            tenant.uuid(),
            purpose,
            version,
            kek,
            wrapped,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// Tenants with keys of identifiers beyond the first version, and the newest.
    pub async fn newest_identifier_keys(&self) -> Result<Vec<(TenantId, i16)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT tenant_id, max(version) AS "version!" FROM waxseal_keys.index_key
               WHERE purpose = 'identifiers' AND version > 1 GROUP BY tenant_id"#
        );
        let rows = rows.fetch_all(self.key_pool()).await?;
        Ok(rows.into_iter().map(|row| (TenantId::from_uuid(row.tenant_id), row.version)).collect())
    }
}
