//! Keys of calling applications.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::settings::step_version;
use super::{Connection, Store, StoreError};
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
    /// What it may do, by one word.
    pub role: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// What it sees.
    pub field_class: String,
    /// Whether names and numbers are in clear.
    pub unmasked: bool,
    /// Where; empty: everywhere.
    pub channel_ids: Vec<Uuid>,
    /// From where; empty: from everywhere.
    pub cidrs: Vec<String>,
    /// Contacts in an hour.
    pub budget: Option<i32>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Until when.
    pub expires_at: OffsetDateTime,
    /// Set when it was taken back.
    pub revoked_at: Option<OffsetDateTime>,
    /// Set when its budget was exceeded.
    pub locked_at: Option<OffsetDateTime>,
    /// The key in whose place it is.
    pub rotated_from: Option<Uuid>,
}

impl Store {
    /// All keys of all tenants.
    pub async fn all_api_keys(&self) -> Result<Vec<ApiKeyRow>, StoreError> {
        let rows = sqlx::query_as!(
            ApiKeyRow,
            "SELECT tenant_id, key_id, lookup, name, hash, role, scopes, field_class, unmasked, channel_ids, cidrs, budget,
                    created_at, expires_at, revoked_at, locked_at, rotated_from
             FROM api_key ORDER BY tenant_id, key_id"
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Adds a key.
    pub async fn insert_api_key(&self, row: &ApiKeyRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        insert(&mut transaction, row).await?;
        step_version(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Adds a key in the place of another, which ends at `old_ends` or before. False, and nothing is done: the other is not
    /// valid, or it and a second of its line are.
    pub async fn rotate_api_key(
        &self,
        row: &ApiKeyRow,
        old_ends: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        // Who comes second waits here, and then sees what the first did.
        sqlx::query!(
            "SELECT key_id FROM api_key WHERE tenant_id = $1 AND key_id = $2 FOR UPDATE",
            row.tenant_id,
            row.rotated_from,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let done = sqlx::query!(
            "UPDATE api_key old SET expires_at = LEAST(expires_at, $3)
             WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL AND expires_at > $4 AND NOT EXISTS (
                 SELECT 1 FROM api_key other
                 WHERE other.tenant_id = $1 AND (other.rotated_from = $2 OR other.key_id = old.rotated_from)
                   AND other.revoked_at IS NULL AND other.expires_at > $4)",
            row.tenant_id,
            row.rotated_from,
            old_ends,
            now,
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        insert(&mut transaction, row).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Takes a key back. Returns whether it was valid until now. As much is done for a key that is not there.
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
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a key back that somebody reported, and stores the entry of the audit log that says so. Returns whether it was valid
    /// until now. As much is done for a key that is not there, but for the row of the entry.
    pub async fn report_api_key(
        &self,
        entry: NewAuditEntry,
        key: ApiKeyId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE api_key SET revoked_at = $3 WHERE tenant_id = $1 AND key_id = $2 AND revoked_at IS NULL",
            entry.tenant.uuid(),
            key.uuid(),
            now,
        );
        let was_valid = done.execute(&mut *transaction).await?.rows_affected() == 1;
        let entries: &[NewAuditEntry] = if was_valid { &[entry] } else { &[] };
        audit_entries::insert(&mut transaction, entries).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(was_valid)
    }

    /// Notes the day on which a key was last used. No process holds it in memory, so that nothing is read anew for it.
    pub async fn note_use_of_api_key(&self, tenant: TenantId, key: ApiKeyId, day: Date) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE api_key SET last_used_on = $3
             WHERE tenant_id = $1 AND key_id = $2 AND (last_used_on IS NULL OR last_used_on < $3)",
            tenant.uuid(),
            key.uuid(),
            day,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// The day on which each key of a tenant was last used, of those that ever were.
    pub async fn uses_of_api_keys(&self, tenant: TenantId) -> Result<Vec<(Uuid, Date)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT key_id, last_used_on AS "day!" FROM api_key WHERE tenant_id = $1 AND last_used_on IS NOT NULL"#,
            tenant.uuid(),
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?.into_iter().map(|row| (row.key_id, row.day)).collect())
    }
}

async fn insert(connection: &mut Connection, row: &ApiKeyRow) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO api_key (tenant_id, key_id, lookup, name, hash, role, scopes, field_class, unmasked, channel_ids,
                              cidrs, budget, created_at, expires_at, rotated_from)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        row.tenant_id,
        row.key_id,
        row.lookup,
        row.name,
        row.hash,
        row.role,
        &row.scopes,
        row.field_class,
        row.unmasked,
        &row.channel_ids,
        &row.cidrs,
        row.budget,
        row.created_at,
        row.expires_at,
        row.rotated_from,
    )
    .execute(connection)
    .await?;
    Ok(())
}
