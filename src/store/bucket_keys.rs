//! Replacing the key of a bucket: everything below it is wrapped anew, in one transaction that nobody who makes a key there can overtake.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::keys::{DekRow, Standing, WrappedKeyRow};
use super::{Store, StoreError, Transaction};
use crate::ids::TenantId;

/// A locked bucket: its key and what that wraps.
#[derive(Debug)]
pub struct LockedBucket {
    /// Holds the locks.
    pub transaction: Transaction,
    /// The tenant's KEK at this moment.
    pub kek: Uuid,
    /// The key of the bucket.
    pub key: WrappedKeyRow,
    /// What it wraps, but for keys that should not be there.
    pub deks: Vec<DekRow>,
}

/// What takes the place of a bucket's key.
#[derive(Debug)]
pub struct NewBucket {
    /// The key, under the tenant's KEK.
    pub key: WrappedKeyRow,
    /// The ids of what it wraps.
    pub deks: Vec<Uuid>,
    /// Each of them, wrapped by it.
    pub wrapped: Vec<Vec<u8>>,
}

/// What a bucket wraps, as its table has it.
struct Below {
    scope: i16,
    subject_id: Uuid,
    month: Date,
    dek_id: Uuid,
    wrapped: Vec<u8>,
}

impl Store {
    /// Buckets from which something was forgotten since their key was made.
    pub async fn touched_buckets(&self) -> Result<Vec<(TenantId, i16)>, StoreError> {
        let rows = sqlx::query!("SELECT tenant_id, bucket FROM waxseal_keys.touched_bucket ORDER BY tenant_id, bucket");
        let rows = rows.fetch_all(self.key_pool()).await?;
        Ok(rows.into_iter().map(|row| (TenantId::from_uuid(row.tenant_id), row.bucket)).collect())
    }

    /// Locks a bucket for its replacement. `None`: there is no such bucket, or no tenant.
    pub async fn lock_bucket(&self, tenant: TenantId, bucket: i16) -> Result<Option<LockedBucket>, StoreError> {
        let mut transaction = self.key_pool().begin().await?;
        let kek = sqlx::query_scalar!(
            "SELECT kek_id FROM waxseal_keys.tenant_kek WHERE tenant_id = $1 AND current FOR SHARE",
            tenant.uuid(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let key = sqlx::query!(
            "SELECT bucket_key_id, kek_id, wrapped FROM waxseal_keys.bucket_key WHERE tenant_id = $1 AND bucket = $2 FOR UPDATE",
            tenant.uuid(),
            bucket,
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let (Some(kek), Some(key)) = (kek, key) else { return Ok(None) };
        let key = WrappedKeyRow { id: key.bucket_key_id, parent: key.kek_id, wrapped: key.wrapped };
        // What was made while a contact was being forgotten has no place here.
        sqlx::query!(
            "DELETE FROM waxseal_keys.dek d USING waxseal_keys.forgotten_subject f
             WHERE d.tenant_id = $1 AND d.bucket = $2 AND f.tenant_id = $1 AND f.subject_id = d.subject_id",
            tenant.uuid(),
            bucket,
        )
        .execute(&mut *transaction)
        .await?;
        let below = sqlx::query_as!(
            Below,
            "SELECT scope, subject_id, month, dek_id, wrapped FROM waxseal_keys.dek
             WHERE tenant_id = $1 AND bucket = $2 AND bucket_key_id = $3",
            tenant.uuid(),
            bucket,
            key.id,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let row = |below: Below| DekRow {
            scope: below.scope,
            subject: below.subject_id,
            month: below.month,
            bucket,
            key: WrappedKeyRow { id: below.dek_id, parent: key.id, wrapped: below.wrapped },
            standing: Standing::Sound,
        };
        let deks = below.into_iter().map(row).collect();
        Ok(Some(LockedBucket { transaction, kek, key, deks }))
    }

    /// Puts the new key in its place, and hands the mark of the bucket on to its tenant, whose KEK is next.
    pub async fn replace_bucket(
        &self,
        mut transaction: Transaction,
        tenant: TenantId,
        bucket: i16,
        new: &NewBucket,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE waxseal_keys.bucket_key SET bucket_key_id = $3, kek_id = $4, wrapped = $5, made_at = $6
             WHERE tenant_id = $1 AND bucket = $2",
            tenant.uuid(),
            bucket,
            new.key.id,
            new.key.parent,
            new.key.wrapped,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "UPDATE waxseal_keys.dek d SET bucket_key_id = $2, wrapped = new.wrapped
             FROM UNNEST($3::uuid[], $4::bytea[]) AS new (id, wrapped) WHERE d.tenant_id = $1 AND d.dek_id = new.id",
            tenant.uuid(),
            new.key.id,
            &new.deks,
            &new.wrapped,
        )
        .execute(&mut *transaction)
        .await?;
        hand_on(&mut transaction, tenant, bucket, now).await?;
        Self::commit(transaction).await
    }
}

async fn hand_on(
    transaction: &mut Transaction,
    tenant: TenantId,
    bucket: i16,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH mark AS (DELETE FROM waxseal_keys.touched_bucket WHERE tenant_id = $1 AND bucket = $2 RETURNING keys, since)
         INSERT INTO waxseal_keys.touched_tenant AS t (tenant_id, keys, since)
         SELECT $1, COALESCE(sum(keys), 0), COALESCE(min(since), $3) FROM mark
         ON CONFLICT (tenant_id) DO UPDATE SET keys = t.keys + EXCLUDED.keys, since = LEAST(t.since, EXCLUDED.since)",
        tenant.uuid(),
        bucket,
        now,
    )
    .execute(&mut **transaction)
    .await?;
    sqlx::query!(
        "UPDATE waxseal_keys.forgotten_subject SET replaced = true
         WHERE tenant_id = $1 AND bucket = $2 AND epoch IS NULL AND NOT replaced",
        tenant.uuid(),
        bucket,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
