//! The key tree's rows. Wrapped keys only: this room cannot unwrap them.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::pool::Pool;
use super::{Store, StoreError};
use crate::ids::TenantId;

/// The one row that ties a database to a KMS secret.
#[derive(Debug)]
pub struct InstallationRow {
    /// Random; bound into the wrapped share.
    pub installation_id: Uuid,
    /// Which root.
    pub epoch: i64,
    /// Wrapped by the KMS.
    pub root_share: Vec<u8>,
    /// Wrapped by the root.
    pub root_check: Vec<u8>,
    /// When the epoch was last stepped.
    pub stepped_at: Option<OffsetDateTime>,
}

/// A key wrapped by the one above it.
#[derive(Debug, Clone)]
pub struct WrappedKeyRow {
    /// Its own id.
    pub id: Uuid,
    /// Id of the key that wraps it.
    pub parent: Uuid,
    /// 60 bytes.
    pub wrapped: Vec<u8>,
}

/// A wrapped data key and what it is for.
#[derive(Debug, Clone)]
pub struct DekRow {
    /// 0 system, 1 profile, 2 contact and month, 3 tenant and month; the others: docs/envelope.md.
    pub scope: i16,
    /// The contact or the tenant.
    pub subject: Uuid,
    /// First day of the month; of scopes 0 and 1, 1970-01-01 and a day more for each rotation.
    pub month: Date,
    /// In which bucket it lies.
    pub bucket: i16,
    /// The key itself.
    pub key: WrappedKeyRow,
    /// Whether it was forgotten and is there again, or should never have been made.
    pub standing: Standing,
}

/// Whether a data key that is in its table may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Sound,
    /// This very key was destroyed: somebody brought it back.
    Forgotten,
    /// It was made for a contact that was being forgotten at that moment. Nothing is sealed under it.
    TooLate,
}

/// A data key as its table has it.
pub(super) struct StoredDek {
    pub(super) scope: i16,
    pub(super) subject_id: Uuid,
    pub(super) month: Date,
    pub(super) dek_id: Uuid,
    pub(super) bucket: i16,
    pub(super) bucket_key_id: Uuid,
    pub(super) wrapped: Vec<u8>,
    pub(super) is_forgotten: bool,
    pub(super) is_too_late: bool,
}

impl From<StoredDek> for DekRow {
    fn from(row: StoredDek) -> Self {
        let key = WrappedKeyRow { id: row.dek_id, parent: row.bucket_key_id, wrapped: row.wrapped };
        let standing = match (row.is_forgotten, row.is_too_late) {
            (true, _) => Standing::Forgotten,
            (false, true) => Standing::TooLate,
            (false, false) => Standing::Sound,
        };
        Self { scope: row.scope, subject: row.subject_id, month: row.month, bucket: row.bucket, key, standing }
    }
}

impl Store {
    pub(super) fn key_pool(&self) -> &Pool {
        &self.keys
    }

    /// The installation, if the key schema has been used before.
    pub async fn find_installation(&self) -> Result<Option<InstallationRow>, StoreError> {
        let row = sqlx::query_as!(
            InstallationRow,
            "SELECT installation_id, epoch, root_share, root_check, stepped_at FROM waxseal_keys.installation"
        );
        Ok(row.fetch_optional(self.key_pool()).await?)
    }

    /// Makes this the installation unless there is one already. Returns whether it was made.
    pub async fn insert_installation(&self, row: &InstallationRow, now: OffsetDateTime) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "INSERT INTO waxseal_keys.installation (installation_id, epoch, root_share, root_check, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            row.installation_id,
            row.epoch,
            row.root_share,
            row.root_check,
            now,
        );
        Ok(done.execute(self.key_pool()).await?.rows_affected() == 1)
    }

    /// The tenant's current KEK, and the epoch of the root that wraps it; its parent is nil, the root.
    pub async fn find_tenant_kek(&self, tenant: TenantId) -> Result<Option<(WrappedKeyRow, i64)>, StoreError> {
        let row = sqlx::query!(
            "SELECT kek_id, epoch, wrapped FROM waxseal_keys.tenant_kek WHERE tenant_id = $1 AND current",
            tenant.uuid(),
        );
        let row = row.fetch_optional(self.key_pool()).await?;
        Ok(row.map(|row| (WrappedKeyRow { id: row.kek_id, parent: Uuid::nil(), wrapped: row.wrapped }, row.epoch)))
    }

    /// Adds the tenant's KEK unless another process was faster, or the root is no longer that of this epoch: whoever steps the epoch
    /// has locked the installation and waits for this, or this for it.
    pub async fn insert_tenant_kek(
        &self,
        tenant: TenantId,
        key: &WrappedKeyRow,
        epoch: i64,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH root AS (SELECT epoch FROM waxseal_keys.installation WHERE epoch = $3 FOR SHARE)
             INSERT INTO waxseal_keys.tenant_kek (tenant_id, kek_id, epoch, wrapped, current, created_at)
             SELECT $1, $2, root.epoch, $4, true, $5 FROM root
             ON CONFLICT DO NOTHING",
            tenant.uuid(),
            key.id,
            epoch,
            key.wrapped,
            now,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// The keys of these buckets, as far as they exist.
    pub async fn find_buckets(
        &self,
        tenant: TenantId,
        buckets: &[i16],
    ) -> Result<Vec<(i16, WrappedKeyRow)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT bucket, bucket_key_id, kek_id, wrapped FROM waxseal_keys.bucket_key
             WHERE tenant_id = $1 AND bucket = ANY($2)",
            tenant.uuid(),
            buckets,
        )
        .fetch_all(self.key_pool())
        .await?;
        let key = |id, parent, wrapped| WrappedKeyRow { id, parent, wrapped };
        Ok(rows.into_iter().map(|row| (row.bucket, key(row.bucket_key_id, row.kek_id, row.wrapped))).collect())
    }

    /// Adds bucket keys where there are none yet, as far as the KEK that wraps them is still the tenant's: else what was sealed below them
    /// would be lost with it.
    pub async fn insert_buckets(
        &self,
        tenant: TenantId,
        keys: &[(i16, WrappedKeyRow)],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let buckets: Vec<i16> = keys.iter().map(|(bucket, _)| *bucket).collect();
        let ids: Vec<Uuid> = keys.iter().map(|(_, key)| key.id).collect();
        let parents: Vec<Uuid> = keys.iter().map(|(_, key)| key.parent).collect();
        let wrapped: Vec<Vec<u8>> = keys.iter().map(|(_, key)| key.wrapped.clone()).collect();
        sqlx::query!(
            "WITH kek AS (SELECT kek_id FROM waxseal_keys.tenant_kek WHERE tenant_id = $1 AND current FOR SHARE)
             INSERT INTO waxseal_keys.bucket_key (tenant_id, bucket, bucket_key_id, kek_id, wrapped, made_at)
             SELECT $1, new.bucket, new.id, kek.kek_id, new.wrapped, $6
             FROM UNNEST($2::int2[], $3::uuid[], $4::uuid[], $5::bytea[]) AS new (bucket, id, kek_id, wrapped)
             JOIN kek USING (kek_id)
             ON CONFLICT DO NOTHING",
            tenant.uuid(),
            &buckets,
            &ids,
            &parents,
            &wrapped,
            now,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// The data keys with these names, as far as they exist; of those that are rotated, the newest.
    pub async fn find_deks(
        &self,
        tenant: TenantId,
        scopes: &[i16],
        subjects: &[Uuid],
        months: &[Date],
    ) -> Result<Vec<DekRow>, StoreError> {
        let rows = sqlx::query_as!(
            StoredDek,
            // LATERAL with LIMIT: one index look-up each. A plain join may be planned to read every key of the tenant.
            r#"SELECT d.scope, d.subject_id, d.month, d.dek_id, d.bucket, d.bucket_key_id, d.wrapped,
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_key f
                            WHERE f.tenant_id = $1 AND f.dek_id = d.dek_id) AS "is_forgotten!",
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_subject f
                            WHERE f.tenant_id = $1 AND f.subject_id = d.subject_id) AS "is_too_late!"
             FROM UNNEST($2::int2[], $3::uuid[], $4::date[]) AS wanted (scope, subject_id, month)
             CROSS JOIN LATERAL (
                 SELECT * FROM waxseal_keys.dek k
                 WHERE k.tenant_id = $1 AND k.scope = wanted.scope AND k.subject_id = wanted.subject_id
                   AND k.month BETWEEN wanted.month AND CASE WHEN wanted.scope < 2 THEN '9999-12-31' ELSE wanted.month END
                 ORDER BY k.month DESC LIMIT 1
             ) d"#,
            tenant.uuid(),
            scopes,
            subjects,
            months,
        )
        .fetch_all(self.key_pool())
        .await?;
        Ok(rows.into_iter().map(DekRow::from).collect())
    }

    /// The data keys with these ids, as far as they exist.
    pub async fn find_deks_by_id(&self, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<DekRow>, StoreError> {
        let rows = sqlx::query_as!(
            StoredDek,
            // As above.
            r#"SELECT d.scope, d.subject_id, d.month, d.dek_id, d.bucket, d.bucket_key_id, d.wrapped,
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_key f
                            WHERE f.tenant_id = $1 AND f.dek_id = d.dek_id) AS "is_forgotten!",
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_subject f
                            WHERE f.tenant_id = $1 AND f.subject_id = d.subject_id) AS "is_too_late!"
             FROM UNNEST($2::uuid[]) AS wanted (dek_id)
             CROSS JOIN LATERAL (
                 SELECT * FROM waxseal_keys.dek k WHERE k.tenant_id = $1 AND k.dek_id = wanted.dek_id LIMIT 1
             ) d"#,
            tenant.uuid(),
            ids,
        )
        .fetch_all(self.key_pool())
        .await?;
        Ok(rows.into_iter().map(DekRow::from).collect())
    }

    /// Adds data keys where there are none yet, as far as the bucket keys that wrap them are still those of their buckets, and nobody is
    /// forgotten to whom they belong.
    pub async fn insert_deks(&self, tenant: TenantId, rows: &[DekRow]) -> Result<(), StoreError> {
        let scopes: Vec<i16> = rows.iter().map(|row| row.scope).collect();
        let subjects: Vec<Uuid> = rows.iter().map(|row| row.subject).collect();
        let months: Vec<Date> = rows.iter().map(|row| row.month).collect();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.key.id).collect();
        let buckets: Vec<i16> = rows.iter().map(|row| row.bucket).collect();
        let parents: Vec<Uuid> = rows.iter().map(|row| row.key.parent).collect();
        let wrapped: Vec<Vec<u8>> = rows.iter().map(|row| row.key.wrapped.clone()).collect();
        sqlx::query!(
            "WITH parent AS (
                 SELECT bucket, bucket_key_id FROM waxseal_keys.bucket_key WHERE tenant_id = $1 AND bucket = ANY($6) FOR SHARE
             )
             INSERT INTO waxseal_keys.dek (tenant_id, scope, subject_id, month, dek_id, bucket, bucket_key_id, wrapped)
             SELECT $1, new.scope, new.subject_id, new.month, new.id, parent.bucket, parent.bucket_key_id, new.wrapped
             FROM UNNEST($2::int2[], $3::uuid[], $4::date[], $5::uuid[], $6::int2[], $7::uuid[], $8::bytea[])
                  AS new (scope, subject_id, month, id, bucket, bucket_key_id, wrapped)
             JOIN parent USING (bucket, bucket_key_id)
             WHERE NOT EXISTS (SELECT 1 FROM waxseal_keys.forgotten_subject f
                               WHERE f.tenant_id = $1 AND f.subject_id = new.subject_id)
             ON CONFLICT DO NOTHING",
            tenant.uuid(),
            &scopes,
            &subjects,
            &months,
            &ids,
            &buckets,
            &parents,
            &wrapped,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }
}
