//! A step of the key epoch: everything that hangs from the root is wrapped anew, in one transaction that holds the installation.

use time::OffsetDateTime;
use uuid::Uuid;

use super::keys::{InstallationRow, WrappedKeyRow};
use super::{Store, StoreError, Transaction};
use crate::ids::TenantId;

/// The KEK of a tenant, and whether something was forgotten below it.
#[derive(Debug)]
pub struct TenantAtStep {
    /// Whose.
    pub tenant: TenantId,
    /// Its KEK, under the root.
    pub kek: WrappedKeyRow,
    /// Forgotten keys below it since the last step; `None`: nothing below it was replaced.
    pub touched: Option<i64>,
}

/// A key of keyed hashes.
#[derive(Debug)]
pub struct IndexKeyAtStep {
    /// What for.
    pub purpose: String,
    /// Which of that purpose.
    pub version: i16,
    /// 60 bytes.
    pub wrapped: Vec<u8>,
}

/// What a KEK wraps, wrapped anew.
#[derive(Debug, Default)]
pub struct BelowKek {
    /// Bucket keys by their numbers.
    pub buckets: Vec<(i16, Vec<u8>)>,
    /// Index keys.
    pub index: Vec<IndexKeyAtStep>,
}

/// What a step came to, for those who look later.
#[derive(Debug, Clone)]
pub struct EpochStepRow {
    /// The new epoch.
    pub epoch: i64,
    /// When.
    pub stepped_at: OffsetDateTime,
    /// Keys that were forgotten since the step before.
    pub keys_forgotten: i64,
    /// Tenants with another KEK.
    pub tenants: i32,
    /// Places of the cell that were written.
    pub places_written: i16,
    /// Places that there are.
    pub places: i16,
}

impl Store {
    /// Begins a step: locks the installation, so that nobody else takes one, and allows for the time that files take.
    pub async fn begin_epoch_step(&self) -> Result<Option<(Transaction, InstallationRow)>, StoreError> {
        let mut transaction = self.key_pool().begin().await?;
        sqlx::query!("SET LOCAL idle_in_transaction_session_timeout = '60s'").execute(&mut *transaction).await?;
        let row = sqlx::query_as!(
            InstallationRow,
            "SELECT installation_id, epoch, root_share, root_check, stepped_at FROM waxseal_keys.installation FOR UPDATE"
        )
        .fetch_optional(&mut *transaction)
        .await?;
        Ok(row.map(|row| (transaction, row)))
    }

    /// Every tenant's KEK, locked: nobody makes a bucket below it until the step is over.
    pub async fn tenants_at_step(&self, transaction: &mut Transaction) -> Result<Vec<TenantAtStep>, StoreError> {
        sqlx::query!("SELECT kek_id FROM waxseal_keys.tenant_kek WHERE current ORDER BY tenant_id FOR UPDATE")
            .fetch_all(&mut **transaction)
            .await?;
        // A statement of its own, behind the lock: it sees the marks of those whom the lock waited for.
        let rows = sqlx::query!(
            r#"SELECT k.tenant_id, k.kek_id, k.wrapped, t.keys AS "keys?"
               FROM waxseal_keys.tenant_kek k LEFT JOIN waxseal_keys.touched_tenant t USING (tenant_id)
               WHERE k.current ORDER BY k.tenant_id"#
        )
        .fetch_all(&mut **transaction)
        .await?;
        let row = |tenant, id, wrapped, touched| TenantAtStep {
            tenant: TenantId::from_uuid(tenant),
            kek: WrappedKeyRow { id, parent: Uuid::nil(), wrapped },
            touched,
        };
        Ok(rows.into_iter().map(|one| row(one.tenant_id, one.kek_id, one.wrapped, one.keys)).collect())
    }

    /// The bucket keys of a tenant, by their numbers.
    pub async fn buckets_at_step(
        &self,
        transaction: &mut Transaction,
        tenant: TenantId,
    ) -> Result<Vec<(i16, WrappedKeyRow)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT bucket, bucket_key_id, kek_id, wrapped FROM waxseal_keys.bucket_key WHERE tenant_id = $1 ORDER BY bucket",
            tenant.uuid(),
        )
        .fetch_all(&mut **transaction)
        .await?;
        let key = |id, parent, wrapped| WrappedKeyRow { id, parent, wrapped };
        Ok(rows.into_iter().map(|row| (row.bucket, key(row.bucket_key_id, row.kek_id, row.wrapped))).collect())
    }

    /// The index keys of a tenant, in all their versions.
    pub async fn index_keys_at_step(
        &self,
        transaction: &mut Transaction,
        tenant: TenantId,
    ) -> Result<Vec<IndexKeyAtStep>, StoreError> {
        let rows = sqlx::query_as!(
            IndexKeyAtStep,
            "SELECT purpose, version, wrapped FROM waxseal_keys.index_key WHERE tenant_id = $1 ORDER BY purpose, version",
            tenant.uuid(),
        );
        Ok(rows.fetch_all(&mut **transaction).await?)
    }

    /// A KEK that stays what it is, under the new root.
    pub async fn rewrap_kek(
        &self,
        transaction: &mut Transaction,
        tenant: TenantId,
        wrapped: &[u8],
        epoch: i64,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE waxseal_keys.tenant_kek SET wrapped = $2, epoch = $3 WHERE tenant_id = $1 AND current",
            tenant.uuid(),
            wrapped,
            epoch,
        )
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Another KEK in the place of the tenant's, with what it wraps.
    pub async fn replace_kek(
        &self,
        transaction: &mut Transaction,
        tenant: TenantId,
        kek: &WrappedKeyRow,
        below: &BelowKek,
        (epoch, now): (i64, OffsetDateTime),
    ) -> Result<(), StoreError> {
        // In place: whoever waits for the lock of the row finds the new KEK and not that there is none.
        sqlx::query!(
            "UPDATE waxseal_keys.tenant_kek SET kek_id = $2, epoch = $3, wrapped = $4, created_at = $5
             WHERE tenant_id = $1 AND current",
            tenant.uuid(),
            kek.id,
            epoch,
            kek.wrapped,
            now,
        )
        .execute(&mut **transaction)
        .await?;
        let (numbers, wrapped): (Vec<i16>, Vec<Vec<u8>>) = below.buckets.iter().cloned().unzip();
        sqlx::query!(
            "UPDATE waxseal_keys.bucket_key b SET kek_id = $2, wrapped = new.wrapped
             FROM UNNEST($3::int2[], $4::bytea[]) AS new (bucket, wrapped) WHERE b.tenant_id = $1 AND b.bucket = new.bucket",
            tenant.uuid(),
            kek.id,
            &numbers,
            &wrapped,
        )
        .execute(&mut **transaction)
        .await?;
        let purposes: Vec<&str> = below.index.iter().map(|key| key.purpose.as_str()).collect();
        let versions: Vec<i16> = below.index.iter().map(|key| key.version).collect();
        let wrapped: Vec<&[u8]> = below.index.iter().map(|key| key.wrapped.as_slice()).collect();
        sqlx::query!(
            "UPDATE waxseal_keys.index_key i SET kek_id = $2, wrapped = new.wrapped
             FROM UNNEST($3::text[], $4::int2[], $5::bytea[]) AS new (purpose, version, wrapped)
             WHERE i.tenant_id = $1 AND i.purpose = new.purpose AND i.version = new.version",
            tenant.uuid(),
            kek.id,
            &purposes as _,
            &versions,
            &wrapped as _,
        )
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Places of the cell that the step to this epoch wrote, and that there were; both 0 without a cell. `None`: there was no such step.
    pub async fn places_of_step(&self, epoch: i64) -> Result<Option<(i16, i16)>, StoreError> {
        let row = sqlx::query!("SELECT places_written, places FROM waxseal_keys.epoch_step WHERE epoch = $1", epoch);
        let row = row.fetch_optional(self.key_pool()).await?;
        Ok(row.map(|row| (row.places_written, row.places)))
    }

    /// Puts the new root in its place; false when it is not the one after the root in force. The caller commits.
    pub async fn finish_epoch_step(
        &self,
        transaction: &mut Transaction,
        root: (&[u8], &[u8]),
        step: &EpochStepRow,
    ) -> Result<bool, StoreError> {
        let (share, check) = root;
        let done = sqlx::query!(
            "UPDATE waxseal_keys.installation
             SET epoch = $1, root_share = $2, root_check = $3, stepped_at = $4, next_share = NULL WHERE epoch + 1 = $1",
            step.epoch,
            share,
            check,
            step.stepped_at,
        )
        .execute(&mut **transaction)
        .await?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query!("DELETE FROM waxseal_keys.touched_tenant").execute(&mut **transaction).await?;
        sqlx::query!(
            "UPDATE waxseal_keys.forgotten_subject SET epoch = $1 WHERE epoch IS NULL AND replaced",
            step.epoch,
        )
        .execute(&mut **transaction)
        .await?;
        sqlx::query!(
            "INSERT INTO waxseal_keys.epoch_step (epoch, stepped_at, keys_forgotten, tenants, places_written, places)
             VALUES ($1, $2, $3, $4, $5, $6)",
            step.epoch,
            step.stepped_at,
            step.keys_forgotten,
            step.tenants,
            step.places_written,
            step.places,
        )
        .execute(&mut **transaction)
        .await?;
        Ok(true)
    }

    /// Since when something waits for a step.
    pub async fn waits_for_step_since(&self) -> Result<Option<OffsetDateTime>, StoreError> {
        let since = sqlx::query_scalar!(
            "SELECT min(since) FROM (SELECT since FROM waxseal_keys.touched_bucket
                                     UNION ALL SELECT since FROM waxseal_keys.touched_tenant) AS waiting"
        );
        Ok(since.fetch_one(self.key_pool()).await?)
    }

    /// Steps of which the audit log has no entry yet.
    pub async fn unnoted_steps(&self) -> Result<Vec<EpochStepRow>, StoreError> {
        let rows = sqlx::query_as!(
            EpochStepRow,
            "SELECT epoch, stepped_at, keys_forgotten, tenants, places_written, places
             FROM waxseal_keys.epoch_step WHERE noted_at IS NULL ORDER BY epoch LIMIT 100"
        );
        Ok(rows.fetch_all(self.key_pool()).await?)
    }

    /// The audit log has the entry of this step.
    pub async fn note_step(&self, epoch: i64, now: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE waxseal_keys.epoch_step SET noted_at = $2 WHERE epoch = $1 AND noted_at IS NULL",
            epoch,
            now,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }
}
