//! Data keys that were destroyed: their rows are gone, and what is left is a value that cannot be turned back, a mark on
//! their buckets, and the contacts for whom no key is ever made again.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::{Store, StoreError, Transaction};
use crate::ids::TenantId;

/// A destroyed key: its id, and a value that whoever has the key could compute.
pub type CheckValue = (Uuid, Vec<u8>);

/// Which keys of one bucket are destroyed.
#[derive(Debug, Clone, Copy)]
pub struct OldMonths<'a> {
    /// The bucket.
    pub bucket: i16,
    /// Keys of months before this one, given by its first day.
    pub before: Date,
    /// Whose keys stay.
    pub except: &'a [Uuid],
}

impl Store {
    /// Destroys a contact's keys and marks their bucket. `keys` are all that there are: false, and nothing is changed, when others are found.
    /// Again and again does no harm.
    pub async fn forget_subject(
        &self,
        tenant: TenantId,
        subject: Uuid,
        bucket: i16,
        keys: &[CheckValue],
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.key_pool().begin().await?;
        lock_bucket(&mut transaction, tenant, bucket).await?;
        let mut gone: Vec<Uuid> = sqlx::query_scalar!(
            "DELETE FROM waxseal_keys.dek WHERE tenant_id = $1 AND scope IN (1, 2, 4, 6, 8) AND subject_id = $2 RETURNING dek_id",
            tenant.uuid(),
            subject,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let (mut ids, checks): (Vec<Uuid>, Vec<Vec<u8>>) = keys.iter().cloned().unzip();
        let traced = ids.clone();
        gone.sort_unstable();
        ids.sort_unstable();
        if gone != ids {
            return Ok(false);
        }
        // Where there was no key, there is nothing that an old copy could give back.
        sqlx::query!(
            "INSERT INTO waxseal_keys.forgotten_subject AS s (tenant_id, subject_id, bucket, forgotten_at, epoch)
             SELECT $1, $2, $3, $4, CASE WHEN $5 THEN NULL ELSE i.epoch END FROM waxseal_keys.installation i
             ON CONFLICT (tenant_id, subject_id) DO UPDATE SET replaced = false, epoch = NULL WHERE $5",
            tenant.uuid(),
            subject,
            bucket,
            now,
            !gone.is_empty(),
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "INSERT INTO waxseal_keys.forgotten_key (tenant_id, dek_id, subject_id, check_value, forgotten_at)
             SELECT $1, gone.id, $2, gone.check_value, $3 FROM UNNEST($4::uuid[], $5::bytea[]) AS gone (id, check_value)
             ON CONFLICT DO NOTHING",
            tenant.uuid(),
            subject,
            now,
            &traced,
            &checks,
        )
        .execute(&mut *transaction)
        .await?;
        touch(&mut transaction, tenant, bucket, gone.len(), now).await?;
        Self::commit(transaction).await?;
        Ok(true)
    }

    /// The data keys of a contact.
    pub async fn deks_of(&self, tenant: TenantId, subject: Uuid) -> Result<Vec<(i16, Date, Uuid)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT scope, month, dek_id FROM waxseal_keys.dek WHERE tenant_id = $1 AND scope IN (1, 2, 4, 6, 8) AND subject_id = $2",
            tenant.uuid(),
            subject,
        )
        .fetch_all(self.key_pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.scope, row.month, row.dek_id)).collect())
    }

    /// What is left of a contact's destroyed keys, by their ids.
    pub async fn forgotten_keys_of(&self, tenant: TenantId, subject: Uuid) -> Result<Vec<CheckValue>, StoreError> {
        let rows = sqlx::query!(
            "SELECT dek_id, check_value FROM waxseal_keys.forgotten_key WHERE tenant_id = $1 AND subject_id = $2 ORDER BY dek_id",
            tenant.uuid(),
            subject,
        )
        .fetch_all(self.key_pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.dek_id, row.check_value)).collect())
    }

    /// Which of these are forgotten, each with the epoch from which on no copy of before opens its keys, when it has come.
    pub async fn forgotten_among(
        &self,
        tenant: TenantId,
        subjects: &[Uuid],
    ) -> Result<Vec<(Uuid, Option<i64>)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT subject_id, epoch FROM waxseal_keys.forgotten_subject WHERE tenant_id = $1 AND subject_id = ANY($2)",
            tenant.uuid(),
            subjects,
        )
        .fetch_all(self.key_pool())
        .await?;
        Ok(rows.into_iter().map(|row| (row.subject_id, row.epoch)).collect())
    }

    /// Buckets with keys of months before this one. Reads every such key: for once a day.
    pub async fn buckets_with_old_months(&self, tenant: TenantId, before: Date) -> Result<Vec<i16>, StoreError> {
        let rows = sqlx::query_scalar!(
            "SELECT DISTINCT bucket FROM waxseal_keys.dek WHERE tenant_id = $1 AND scope IN (2, 3) AND month < $2 ORDER BY bucket",
            tenant.uuid(),
            before,
        );
        Ok(rows.fetch_all(self.key_pool()).await?)
    }

    /// Destroys the keys of old months in one bucket, and marks it. Returns how many there were.
    pub async fn forget_old_months(
        &self,
        tenant: TenantId,
        which: OldMonths<'_>,
        now: OffsetDateTime,
    ) -> Result<usize, StoreError> {
        let mut transaction = self.key_pool().begin().await?;
        lock_bucket(&mut transaction, tenant, which.bucket).await?;
        let gone = sqlx::query!(
            "DELETE FROM waxseal_keys.dek
             WHERE tenant_id = $1 AND bucket = $2 AND scope IN (2, 3) AND month < $3 AND subject_id <> ALL($4)",
            tenant.uuid(),
            which.bucket,
            which.before,
            which.except,
        )
        .execute(&mut *transaction)
        .await?;
        let gone = usize::try_from(gone.rows_affected()).unwrap_or(usize::MAX);
        touch(&mut transaction, tenant, which.bucket, gone, now).await?;
        Self::commit(transaction).await?;
        Ok(gone)
    }
}

/// A key that lives for days: its scope, whose it is, and the day that it is named after.
pub type ShortLived = (i16, Uuid, Date);

impl Store {
    /// Buckets with keys whose last day is over by `today`, or of content that came before `passed`.
    pub async fn buckets_with_short_lived(
        &self,
        tenant: TenantId,
        today: Date,
        passed: Date,
    ) -> Result<Vec<i16>, StoreError> {
        let rows = sqlx::query_scalar!(
            "SELECT DISTINCT bucket FROM waxseal_keys.dek
             WHERE tenant_id = $1 AND scope >= 4 AND ((scope IN (4, 5) AND month <= $2) OR (scope IN (6, 7) AND month < $3)) ORDER BY bucket",
            tenant.uuid(),
            today,
            passed,
        );
        Ok(rows.fetch_all(self.key_pool()).await?)
    }

    /// Those keys of one bucket.
    pub async fn short_lived(
        &self,
        tenant: TenantId,
        bucket: i16,
        today: Date,
        passed: Date,
    ) -> Result<Vec<ShortLived>, StoreError> {
        let rows = sqlx::query!(
            "SELECT scope, subject_id, month FROM waxseal_keys.dek
             WHERE tenant_id = $1 AND bucket = $2 AND scope >= 4
               AND ((scope IN (4, 5) AND month <= $3) OR (scope IN (6, 7) AND month < $4))",
            tenant.uuid(),
            bucket,
            today,
            passed,
        );
        let rows = rows.fetch_all(self.key_pool()).await?;
        Ok(rows.into_iter().map(|row| (row.scope, row.subject_id, row.month)).collect())
    }

    /// Destroys these keys of one bucket, and marks it. Returns how many there were.
    pub async fn forget_short_lived(
        &self,
        tenant: TenantId,
        bucket: i16,
        keys: &[ShortLived],
        now: OffsetDateTime,
    ) -> Result<usize, StoreError> {
        let scopes: Vec<i16> = keys.iter().map(|key| key.0).collect();
        let subjects: Vec<Uuid> = keys.iter().map(|key| key.1).collect();
        let days: Vec<Date> = keys.iter().map(|key| key.2).collect();
        let mut transaction = self.key_pool().begin().await?;
        lock_bucket(&mut transaction, tenant, bucket).await?;
        let gone = sqlx::query!(
            "DELETE FROM waxseal_keys.dek
             WHERE tenant_id = $1 AND bucket = $2 AND scope >= 4
               AND (scope, subject_id, month) IN (SELECT * FROM UNNEST($3::int2[], $4::uuid[], $5::date[]))",
            tenant.uuid(),
            bucket,
            &scopes,
            &subjects,
            &days,
        );
        let gone = gone.execute(&mut *transaction).await?.rows_affected();
        let gone = usize::try_from(gone).unwrap_or(usize::MAX);
        touch(&mut transaction, tenant, bucket, gone, now).await?;
        Self::commit(transaction).await?;
        Ok(gone)
    }

    /// The first day on which a key is to be destroyed that lives for days; `None`: there is none.
    pub async fn soonest_last_day(&self, tenant: TenantId) -> Result<Option<Date>, StoreError> {
        let day = sqlx::query_scalar!(
            "SELECT min(month) FROM waxseal_keys.dek WHERE tenant_id = $1 AND scope >= 4 AND scope IN (4, 5)",
            tenant.uuid(),
        );
        Ok(day.fetch_one(self.key_pool()).await?)
    }
}

/// Whoever makes a key in this bucket has locked it too, and so comes before this or after it.
pub(super) async fn lock_bucket(
    transaction: &mut Transaction,
    tenant: TenantId,
    bucket: i16,
) -> Result<(), StoreError> {
    sqlx::query!(
        "SELECT bucket_key_id FROM waxseal_keys.bucket_key WHERE tenant_id = $1 AND bucket = $2 FOR UPDATE",
        tenant.uuid(),
        bucket,
    )
    .fetch_optional(&mut **transaction)
    .await?;
    Ok(())
}

/// Marks a bucket from which keys were destroyed.
pub(super) async fn touch(
    transaction: &mut Transaction,
    tenant: TenantId,
    bucket: i16,
    keys: usize,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    if keys == 0 {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO waxseal_keys.touched_bucket AS t (tenant_id, bucket, keys, since) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id, bucket) DO UPDATE SET keys = t.keys + EXCLUDED.keys",
        tenant.uuid(),
        bucket,
        i64::try_from(keys).unwrap_or(i64::MAX),
        now,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
