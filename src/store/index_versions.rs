//! By which version of the key the hashes of identifiers are made, and how far those of before have been rehashed.
//!
//! Whoever adds identifiers reads the version in their transaction, before anything else of this kind, and holds it. It is stepped under a lock
//! that waits for all of them: from then on nobody adds a hash of before, so that one walk finds them all.

use time::OffsetDateTime;

use super::audit_entries::{self, NewAuditEntry};
use super::contacts::IdentifierHash;
use super::{Connection, Store, StoreError, Transaction};
use crate::ids::TenantId;

/// Which versions hashes of identifiers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexVersions {
    /// New ones are made by this.
    pub new: i16,
    /// The least that some may still have.
    pub oldest: i16,
}

impl IndexVersions {
    const FIRST: Self = Self { new: 1, oldest: 1 };

    fn of_row(new: i16, is_walking: bool) -> Self {
        Self { new, oldest: if is_walking { 1 } else { new } }
    }

    /// Whether all of the others are among these.
    #[must_use]
    pub const fn covers(self, others: Self) -> bool {
        self.oldest <= others.oldest && others.new <= self.new
    }

    /// Whether hashes of before are still there.
    #[must_use]
    pub const fn is_walking(self) -> bool {
        self.oldest < self.new
    }
}

/// A walk through all identifiers.
#[derive(Debug, Clone)]
pub struct Rehashing {
    /// The version that they get.
    pub version: i16,
    /// What was looked at last: its kind, 0 before the first.
    pub kind: i16,
    /// The same: its hash.
    pub hash: Vec<u8>,
    /// How many were rehashed so far.
    pub rehashed: i64,
    /// When it began.
    pub started_at: OffsetDateTime,
    passed_over: i64,
}

impl Rehashing {
    /// How much of the present kind is done, in hundredths: hashes are spread evenly.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let first = self.hash.first().copied().unwrap_or(0);
        u8::try_from(u32::from(first) * 100 / 255).unwrap_or(100)
    }
}

/// Identifiers that a walk looks at next, in a transaction that keeps other walks away.
#[derive(Debug)]
pub struct RehashPage {
    /// How far the walk has come.
    pub walk: Rehashing,
    /// Each with the version of its hash; those of the new one are among them.
    pub rows: Vec<(IdentifierHash, i16)>,
    transaction: Transaction,
}

/// An identifier, and what its hash becomes.
pub type Rehashed = (IdentifierHash, [u8; 16]);

/// How long everybody who adds identifiers waits at most for the version to be stepped: it is tried again later.
const STEP_WITHIN: &str = "SET LOCAL lock_timeout = '2s'";

/// The versions, to be held until the transaction is over.
pub async fn hold(connection: &mut Connection, tenant: TenantId) -> Result<IndexVersions, StoreError> {
    let row = sqlx::query!(
        r#"SELECT version, ended_at IS NULL AS "is_walking!" FROM index_version WHERE tenant_id = $1 FOR KEY SHARE"#,
        tenant.uuid(),
    );
    let row = row.fetch_optional(connection).await?;
    Ok(row.map_or(IndexVersions::FIRST, |row| IndexVersions::of_row(row.version, row.is_walking)))
}

/// The versions as they are at this moment.
pub async fn find(connection: &mut Connection, tenant: TenantId) -> Result<IndexVersions, StoreError> {
    let row = sqlx::query!(
        r#"SELECT version, ended_at IS NULL AS "is_walking!" FROM index_version WHERE tenant_id = $1"#,
        tenant.uuid(),
    );
    let row = row.fetch_optional(connection).await?;
    Ok(row.map_or(IndexVersions::FIRST, |row| IndexVersions::of_row(row.version, row.is_walking)))
}

impl Store {
    /// The versions as they are at this moment.
    pub async fn index_versions(&self, tenant: TenantId) -> Result<IndexVersions, StoreError> {
        find(&mut self.connection().await?, tenant).await
    }

    /// From the commit on, hashes are made by `version`, which follows the present one. Waits for those who add some by the present one, and lets
    /// nobody begin meanwhile. False: the present one is another, or hashes of before are still there.
    pub async fn step_index_version(
        &self,
        tenant: TenantId,
        version: i16,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        transaction.run(STEP_WITHIN).await?;
        // Not the row: those who share it would be let in one after the other while this waits. The lock of a table is given in turn.
        sqlx::query!("LOCK TABLE index_version IN EXCLUSIVE MODE").execute(&mut *transaction).await?;
        let done = sqlx::query!(
            "INSERT INTO index_version (tenant_id, version, next_kind, next_hash, rehashed, passed_over, started_at)
             SELECT $1, $2::int2, 0, '', 0, 0, $3
             WHERE $2::int2 = 2 OR EXISTS (SELECT 1 FROM index_version WHERE tenant_id = $1)
             ON CONFLICT (tenant_id) DO UPDATE
             SET version = EXCLUDED.version, next_kind = 0, next_hash = '', rehashed = 0, passed_over = 0,
                 started_at = EXCLUDED.started_at, ended_at = NULL
             WHERE index_version.version + 1 = EXCLUDED.version AND index_version.ended_at IS NOT NULL",
            tenant.uuid(),
            version,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// The walk that is under way.
    pub async fn find_rehashing(&self, tenant: TenantId) -> Result<Option<Rehashing>, StoreError> {
        let walk = sqlx::query_as!(
            Rehashing,
            "SELECT version, next_kind AS kind, next_hash AS hash, rehashed, started_at, passed_over
             FROM index_version WHERE tenant_id = $1 AND ended_at IS NULL",
            tenant.uuid(),
        );
        Ok(walk.fetch_optional(&self.data).await?)
    }

    /// What the walk looks at next; none: there is no walk.
    pub async fn page_to_rehash(&self, tenant: TenantId, limit: i64) -> Result<Option<RehashPage>, StoreError> {
        let mut transaction = self.data.begin().await?;
        let walk = sqlx::query_as!(
            Rehashing,
            "SELECT version, next_kind AS kind, next_hash AS hash, rehashed, started_at, passed_over
             FROM index_version WHERE tenant_id = $1 AND ended_at IS NULL FOR NO KEY UPDATE",
            tenant.uuid(),
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(walk) = walk else { return Ok(None) };
        let rows = sqlx::query!(
            "SELECT kind, hash, version FROM contact_identifier
             WHERE tenant_id = $1 AND (kind, hash) > ($2::int2, $3::bytea) ORDER BY kind, hash LIMIT $4",
            tenant.uuid(),
            walk.kind,
            walk.hash,
            limit,
        )
        .fetch_all(&mut *transaction)
        .await?;
        // The length is checked by the table.
        let rows = rows.into_iter().filter_map(|row| Some(((row.kind, row.hash.try_into().ok()?), row.version)));
        Ok(Some(RehashPage { walk, rows: rows.collect(), transaction }))
    }

    /// Rehashes, and goes on behind this page; behind the last one, from the beginning when some were passed over. True: nothing of before is left.
    /// [`StoreError::Conflict`]: an identifier is there under both hashes ([`Self::drop_doubles`]).
    pub async fn rehash(&self, tenant: TenantId, page: RehashPage, new: &[Rehashed]) -> Result<bool, StoreError> {
        let RehashPage { walk, rows, mut transaction } = page;
        let Some(((kind, hash), _)) = rows.last() else {
            if walk.passed_over > 0 {
                begin_anew(&mut transaction, tenant).await?;
            }
            transaction.commit().await?;
            return Ok(walk.passed_over == 0);
        };
        let done = change(&mut transaction, tenant, walk.version, new).await?;
        let passed_over = i64::try_from(new.len()).unwrap_or(i64::MAX).saturating_sub(done);
        sqlx::query!(
            "UPDATE index_version SET next_kind = $2, next_hash = $3, rehashed = rehashed + $4, passed_over = passed_over + $5
             WHERE tenant_id = $1",
            tenant.uuid(),
            kind,
            hash.as_slice(),
            done,
            passed_over,
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(false)
    }

    /// Removes those of before that are there under their new hash too, which is the one that was found since. A process of a release that
    /// knows no versions may have left them. Returns how many.
    pub async fn drop_doubles(&self, tenant: TenantId, new: &[Rehashed]) -> Result<u64, StoreError> {
        let (kinds, before, after) = columns(new);
        let done = sqlx::query!(
            "DELETE FROM contact_identifier c USING UNNEST($2::int2[], $3::bytea[], $4::bytea[]) AS new (kind, before, after)
             WHERE c.tenant_id = $1 AND c.kind = new.kind AND c.hash = new.before
               AND EXISTS (SELECT 1 FROM contact_identifier o WHERE o.tenant_id = $1 AND o.kind = new.kind AND o.hash = new.after)",
            tenant.uuid(),
            &kinds,
            &before as _,
            &after as _,
        );
        Ok(done.execute(&self.data).await?.rows_affected())
    }

    /// Nothing of before is left, and the log has it. False: somebody else was faster.
    pub async fn end_rehashing(
        &self,
        tenant: TenantId,
        version: i16,
        entry: &NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(now.date()).await?;
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE index_version SET ended_at = $3 WHERE tenant_id = $1 AND version = $2 AND ended_at IS NULL",
            tenant.uuid(),
            version,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() != 1 {
            return Ok(false);
        }
        audit_entries::insert(&mut transaction, &[entry]).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

fn columns(new: &[Rehashed]) -> (Vec<i16>, Vec<&[u8]>, Vec<&[u8]>) {
    let before = new.iter().map(|((_, before), _)| before.as_slice()).collect();
    let after = new.iter().map(|(_, after)| after.as_slice()).collect();
    (new.iter().map(|((kind, _), _)| *kind).collect(), before, after)
}

async fn begin_anew(connection: &mut Connection, tenant: TenantId) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE index_version SET next_kind = 0, next_hash = '', passed_over = 0 WHERE tenant_id = $1",
        tenant.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns how many rows were changed. The rest is gone, or somebody changes it at this moment: who waits for one while it holds others may
/// be waited for.
async fn change(
    connection: &mut Connection,
    tenant: TenantId,
    version: i16,
    new: &[Rehashed],
) -> Result<i64, StoreError> {
    if new.is_empty() {
        return Ok(0);
    }
    let (kinds, before, after) = columns(new);
    let done = sqlx::query!(
        "WITH free AS (
             SELECT found.place, new.after
             FROM UNNEST($2::int2[], $3::bytea[], $4::bytea[]) AS new (kind, before, after)
             CROSS JOIN LATERAL (
                 SELECT c.ctid AS place FROM contact_identifier c
                 WHERE c.tenant_id = $1 AND c.kind = new.kind AND c.hash = new.before LIMIT 1 FOR UPDATE SKIP LOCKED
             ) found
         )
         UPDATE contact_identifier i SET hash = free.after, version = $5 FROM free WHERE i.ctid = free.place AND i.tenant_id = $1",
        tenant.uuid(),
        &kinds,
        &before as _,
        &after as _,
        version,
    );
    let done = done.execute(connection).await?.rows_affected();
    Ok(i64::try_from(done).unwrap_or(i64::MAX))
}
