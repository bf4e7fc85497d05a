//! Rotation of the data keys that no month ends: newer keys beside those of before, how far the walk has come, and the end of those of before
//! (docs/adr/0022).

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::forgotten::{lock_bucket, touch};
use super::keys::{DekRow, StoredDek};
use super::{Store, StoreError};
use crate::ids::TenantId;

/// Keys that are replaced in one transaction.
const BATCH: i64 = 200;

/// A rotation, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRotation {
    /// What is next: `keys` to be made, `content` to be sealed anew, `rests` until nobody uses a key of before, or it is `over`.
    pub state: String,
    /// Whose key was replaced last.
    pub scope: i16,
    /// The same: the contact or the tenant.
    pub subject_id: Uuid,
    /// The last contact whose key is replaced: who comes later has a new one.
    pub until: Uuid,
    /// The column that is looked at.
    pub place: i16,
    /// The row that was looked at last.
    pub behind: Uuid,
    /// The same, where two columns are its key.
    pub and_behind: Uuid,
    /// Keys that were replaced.
    pub made: i64,
    /// Values that were sealed anew.
    pub resealed: i64,
    /// Keys of before that stay.
    pub kept: i64,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// Since when nothing was found under keys of before.
    pub rests_from: OffsetDateTime,
}

/// Where a walk through content goes on, and how much it has done on the way there.
#[derive(Debug, Clone, Copy)]
pub struct Onward {
    /// The column.
    pub place: i16,
    /// The row that was looked at last.
    pub behind: (Uuid, Uuid),
    /// Values that were sealed anew.
    pub resealed: i64,
}

impl Store {
    /// The tenant's rotation; none: there is none.
    pub async fn find_data_rotation(&self, tenant: TenantId) -> Result<Option<DataRotation>, StoreError> {
        let row = sqlx::query_as!(
            DataRotation,
            "SELECT state, scope, subject_id, until, place, behind, and_behind, made, resealed, kept, started_at, rests_from
             FROM waxseal_keys.data_rotation WHERE tenant_id = $1",
            tenant.uuid(),
        );
        Ok(row.fetch_optional(self.key_pool()).await?)
    }

    /// Begins a rotation, unless there is one.
    pub async fn begin_data_rotation(&self, tenant: TenantId, now: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO waxseal_keys.data_rotation
                 (tenant_id, state, scope, subject_id, until, place, behind, and_behind, made, resealed, kept, started_at, rests_from)
             SELECT $1, 'keys', -1, $2, COALESCE((SELECT subject_id FROM waxseal_keys.dek WHERE tenant_id = $1 AND scope = 1
                                                  ORDER BY subject_id DESC LIMIT 1), $2), 0, $2, $2, 0, 0, 0, $3, $3
             ON CONFLICT DO NOTHING",
            tenant.uuid(),
            Uuid::nil(),
            now,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// The keys that are to be replaced next: of each name the newest.
    pub async fn deks_to_replace(&self, tenant: TenantId, walk: &DataRotation) -> Result<Vec<DekRow>, StoreError> {
        let rows = sqlx::query_as!(
            StoredDek,
            r#"SELECT DISTINCT ON (d.scope, d.subject_id)
                    d.scope, d.subject_id, d.month, d.dek_id, d.bucket, d.bucket_key_id, d.wrapped,
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_key f
                            WHERE f.tenant_id = $1 AND f.dek_id = d.dek_id) AS "is_forgotten!",
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_subject f
                            WHERE f.tenant_id = $1 AND f.subject_id = d.subject_id) AS "is_too_late!"
             FROM waxseal_keys.dek d
             WHERE d.tenant_id = $1 AND d.scope < 2 AND (d.scope, d.subject_id) > ($2, $3) AND (d.scope = 0 OR d.subject_id <= $4)
             ORDER BY d.scope, d.subject_id, d.month DESC LIMIT $5"#,
            tenant.uuid(),
            walk.scope,
            walk.subject_id,
            walk.until,
            BATCH,
        );
        Ok(rows.fetch_all(self.key_pool()).await?.into_iter().map(DekRow::from).collect())
    }

    /// Adds newer keys and notes that the walk has come to `(scope, subject)`, both or neither. False, and nothing is changed: the walk is
    /// elsewhere, a bucket key was replaced, or somebody was forgotten. `made`: how many of them take the place of others.
    pub async fn insert_newer_deks(
        &self,
        tenant: TenantId,
        (walk, to): (&DataRotation, (i16, Uuid)),
        (rows, made): (&[DekRow], i64),
    ) -> Result<bool, StoreError> {
        let mut transaction = self.key_pool().begin().await?;
        let moved = sqlx::query!(
            "UPDATE waxseal_keys.data_rotation SET scope = $4, subject_id = $5, made = made + $6
             WHERE tenant_id = $1 AND state = 'keys' AND scope = $2 AND subject_id = $3",
            tenant.uuid(),
            walk.scope,
            walk.subject_id,
            to.0,
            to.1,
            made,
        );
        if moved.execute(&mut *transaction).await?.rows_affected() != 1 {
            return Ok(false);
        }
        let scopes: Vec<i16> = rows.iter().map(|row| row.scope).collect();
        let subjects: Vec<Uuid> = rows.iter().map(|row| row.subject).collect();
        let months: Vec<Date> = rows.iter().map(|row| row.month).collect();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.key.id).collect();
        let buckets: Vec<i16> = rows.iter().map(|row| row.bucket).collect();
        let parents: Vec<Uuid> = rows.iter().map(|row| row.key.parent).collect();
        let wrapped: Vec<Vec<u8>> = rows.iter().map(|row| row.key.wrapped.clone()).collect();
        let done = sqlx::query!(
            "WITH parent AS (
                 SELECT bucket, bucket_key_id FROM waxseal_keys.bucket_key WHERE tenant_id = $1 AND bucket = ANY($6)
                 ORDER BY bucket FOR SHARE
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
        );
        let added = done.execute(&mut *transaction).await?.rows_affected();
        if usize::try_from(added) != Ok(rows.len()) {
            return Ok(false);
        }
        Self::commit(transaction).await?;
        Ok(true)
    }

    /// Every key is there: content is next.
    pub async fn go_on_to_content(&self, tenant: TenantId, walk: &DataRotation) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE waxseal_keys.data_rotation SET state = 'content'
             WHERE tenant_id = $1 AND state = 'keys' AND scope = $2 AND subject_id = $3",
            tenant.uuid(),
            walk.scope,
            walk.subject_id,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// The walk through content has come further, unless another process was faster. What it has sealed anew is counted all the same.
    pub async fn content_at(&self, tenant: TenantId, walk: &DataRotation, to: Onward) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE waxseal_keys.data_rotation r SET resealed = resealed + $8,
                 place = CASE WHEN is_here THEN $5 ELSE r.place END,
                 behind = CASE WHEN is_here THEN $6 ELSE r.behind END,
                 and_behind = CASE WHEN is_here THEN $7 ELSE r.and_behind END
             FROM (SELECT tenant_id, (place, behind, and_behind) = ($2, $3, $4) AS is_here
                   FROM waxseal_keys.data_rotation WHERE tenant_id = $1 FOR UPDATE) AS at
             WHERE r.tenant_id = $1 AND at.tenant_id = r.tenant_id",
            tenant.uuid(),
            walk.place,
            walk.behind,
            walk.and_behind,
            to.place,
            to.behind.0,
            to.behind.1,
            to.resealed,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// Something was sealed anew until now, or is about to be looked for: it rests from now on. `resealed`: values since the last time.
    pub async fn rest_data_rotation(
        &self,
        tenant: TenantId,
        resealed: i64,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE waxseal_keys.data_rotation SET state = 'rests', rests_from = $2, resealed = resealed + $3
             WHERE tenant_id = $1 AND state IN ('content', 'rests')",
            tenant.uuid(),
            now,
            resealed,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// Takes the end of a rotation upon oneself, when it stands as it was seen: it rests from now on, so that nobody else does so meanwhile.
    /// Returns how it stands then; none: somebody was faster.
    pub async fn claim_data_rotation(
        &self,
        tenant: TenantId,
        was: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Option<OffsetDateTime>, StoreError> {
        let claimed = sqlx::query_scalar!(
            "UPDATE waxseal_keys.data_rotation SET rests_from = $3
             WHERE tenant_id = $1 AND state = 'rests' AND rests_from = $2 RETURNING rests_from",
            tenant.uuid(),
            was,
            now,
        );
        Ok(claimed.fetch_optional(self.key_pool()).await?)
    }

    /// All keys of a name, the newest first.
    pub async fn generations_of(
        &self,
        tenant: TenantId,
        (scope, subject): (i16, Uuid),
    ) -> Result<Vec<DekRow>, StoreError> {
        let rows = sqlx::query_as!(
            StoredDek,
            r#"SELECT d.scope, d.subject_id, d.month, d.dek_id, d.bucket, d.bucket_key_id, d.wrapped,
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_key f
                            WHERE f.tenant_id = $1 AND f.dek_id = d.dek_id) AS "is_forgotten!",
                    EXISTS (SELECT 1 FROM waxseal_keys.forgotten_subject f
                            WHERE f.tenant_id = $1 AND f.subject_id = d.subject_id) AS "is_too_late!"
             FROM waxseal_keys.dek d WHERE d.tenant_id = $1 AND d.scope = $2 AND d.subject_id = $3 ORDER BY d.month DESC"#,
            tenant.uuid(),
            scope,
            subject,
        );
        Ok(rows.fetch_all(self.key_pool()).await?.into_iter().map(DekRow::from).collect())
    }

    /// Data keys that archives of exports lie under.
    pub async fn deks_of_exports(&self, tenant: TenantId) -> Result<Vec<Uuid>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"SELECT DISTINCT dek_id AS "dek_id!" FROM export WHERE tenant_id = $1 AND dek_id IS NOT NULL AND state = 'ready'"#,
            tenant.uuid(),
        );
        Ok(ids.fetch_all(&self.data).await?)
    }

    /// Buckets with keys that a newer one has taken the place of. Reads every key of profiles: for the end of a rotation.
    pub async fn buckets_with_replaced(&self, tenant: TenantId) -> Result<Vec<i16>, StoreError> {
        let rows = sqlx::query_scalar!(
            r#"SELECT DISTINCT d.bucket AS "bucket!" FROM waxseal_keys.dek d
               WHERE d.tenant_id = $1 AND d.scope < 2
                 AND EXISTS (SELECT 1 FROM waxseal_keys.dek n WHERE n.tenant_id = $1 AND n.scope = d.scope
                               AND n.subject_id = d.subject_id AND n.month > d.month)
               ORDER BY 1"#,
            tenant.uuid(),
        );
        Ok(rows.fetch_all(self.key_pool()).await?)
    }

    /// Destroys the keys of one bucket that a newer one has taken the place of, and marks it. Returns how many there were.
    pub async fn forget_replaced(
        &self,
        tenant: TenantId,
        (bucket, kept): (i16, &[Uuid]),
        now: OffsetDateTime,
    ) -> Result<usize, StoreError> {
        let mut transaction = self.key_pool().begin().await?;
        lock_bucket(&mut transaction, tenant, bucket).await?;
        let gone = sqlx::query!(
            "DELETE FROM waxseal_keys.dek d
             WHERE d.tenant_id = $1 AND d.bucket = $2 AND d.scope < 2 AND d.dek_id <> ALL($3)
               AND EXISTS (SELECT 1 FROM waxseal_keys.dek n WHERE n.tenant_id = $1 AND n.scope = d.scope
                             AND n.subject_id = d.subject_id AND n.month > d.month)",
            tenant.uuid(),
            bucket,
            kept,
        );
        let gone = usize::try_from(gone.execute(&mut *transaction).await?.rows_affected()).unwrap_or(usize::MAX);
        touch(&mut transaction, tenant, bucket, gone, now).await?;
        Self::commit(transaction).await?;
        Ok(gone)
    }

    /// The keys of before are destroyed, but for so many.
    pub async fn end_data_rotation(&self, tenant: TenantId, kept: i64) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE waxseal_keys.data_rotation SET state = 'over', kept = $2 WHERE tenant_id = $1 AND state = 'rests'",
            tenant.uuid(),
            kept,
        )
        .execute(self.key_pool())
        .await?;
        Ok(())
    }

    /// The audit log has the entry of its end.
    pub async fn drop_data_rotation(&self, tenant: TenantId) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM waxseal_keys.data_rotation WHERE tenant_id = $1 AND state = 'over'", tenant.uuid())
            .execute(self.key_pool())
            .await?;
        Ok(())
    }
}
