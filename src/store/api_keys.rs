//! Keys of calling applications.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::ids::{ApiKeyId, TenantId};

/// A stored key: its secret is here as a hash alone.
#[derive(Debug, Clone)]
pub struct ApiKeyRow {
    /// Owner.
    pub tenant_id: Uuid,
    /// Id.
    pub key_id: Uuid,
    /// The part of the key that finds the row; not secret.
    pub lookup: String,
    /// Free text.
    pub name: String,
    /// SHA-256 of the whole key.
    pub hash: Vec<u8>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Where; empty: everywhere.
    pub channel_ids: Vec<Uuid>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Until when.
    pub expires_at: Option<OffsetDateTime>,
    /// Set when it was taken back.
    pub revoked_at: Option<OffsetDateTime>,
}

impl Store {
    /// All keys of all tenants.
    pub async fn all_api_keys(&self) -> Result<Vec<ApiKeyRow>, StoreError> {
        let rows = sqlx::query_as!(
            ApiKeyRow,
            "SELECT tenant_id, key_id, lookup, name, hash, scopes, channel_ids, created_at, expires_at, revoked_at
             FROM api_key ORDER BY tenant_id, key_id"
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Adds a key.
    pub async fn insert_api_key(&self, row: &ApiKeyRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "INSERT INTO api_key (tenant_id, key_id, lookup, name, hash, scopes, channel_ids, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            row.tenant_id,
            row.key_id,
            row.lookup,
            row.name,
            row.hash,
            &row.scopes,
            &row.channel_ids,
            row.created_at,
            row.expires_at,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!("UPDATE settings_version SET version = version + 1").execute(&mut *transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Takes a key back. Returns whether it was valid until now.
    pub async fn revoke_api_key(
        &self,
        tenant: TenantId,
        key: ApiKeyId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE api_key SET revoked_at = $3 WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL",
            tenant.uuid(),
            key.uuid(),
            now,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!("UPDATE settings_version SET version = version + 1").execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
