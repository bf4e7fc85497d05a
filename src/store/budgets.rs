//! Budgets of keys: how many contacts each was shown within the hour, counted for all processes together.

use time::{Duration, OffsetDateTime};

use super::audit_entries::{self, NewAuditEntry};
use super::settings::step_version;
use super::{Store, StoreError, events};
use crate::ids::{ApiKeyId, TenantId};
use crate::store::events::NewEvent;

/// A contact that was shown counts for so long.
pub const COUNTED: Duration = Duration::HOUR;

/// Rows that one statement of the sweep removes at most.
const SWEPT: i64 = 10_000;

/// What became of an attempt to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It is counted.
    Yes {
        /// How many contacts it may be shown beside these, before the oldest count no more.
        left: u32,
    },
    /// It would have been too much; nothing is counted.
    TooMuch,
    /// The key is locked, or gone.
    Locked,
}

impl Store {
    /// Counts that a key is shown these contacts, by their keyed hashes. One after the other for each key, of whichever process.
    pub async fn spend(
        &self,
        tenant: TenantId,
        key: ApiKeyId,
        contacts: &[[u8; 16]],
        budget: u32,
        now: OffsetDateTime,
    ) -> Result<Spent, StoreError> {
        let mut transaction = self.data.begin().await?;
        let free = sqlx::query_scalar!(
            "SELECT key_id FROM api_key WHERE tenant_id = $1 AND key_id = $2 AND locked_at IS NULL FOR UPDATE",
            tenant.uuid(),
            key.uuid(),
        );
        if free.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(Spent::Locked);
        }
        let contacts: Vec<&[u8]> = contacts.iter().map(<[u8; 16]>::as_slice).collect();
        sqlx::query!(
            "INSERT INTO key_read (tenant_id, key_id, contact_hash, seen_at)
             SELECT DISTINCT $1::uuid, $2::uuid, hash, $4::timestamptz FROM UNNEST($3::bytea[]) AS t (hash)
             ON CONFLICT (tenant_id, key_id, contact_hash) DO UPDATE SET seen_at = EXCLUDED.seen_at",
            tenant.uuid(),
            key.uuid(),
            &contacts as _,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        let counted = sqlx::query_scalar!(
            r#"SELECT count(*) AS "counted!" FROM key_read WHERE tenant_id = $1 AND key_id = $2 AND seen_at > $3"#,
            tenant.uuid(),
            key.uuid(),
            now - COUNTED,
        );
        let Ok(left) = u32::try_from(i64::from(budget) - counted.fetch_one(&mut *transaction).await?) else {
            return Ok(Spent::TooMuch);
        };
        transaction.commit().await?;
        Ok(Spent::Yes { left })
    }

    /// Locks a key, and stores the event and the entry of the audit log that say so. Returns whether it was not locked before.
    pub async fn lock_api_key(
        &self,
        tenant: TenantId,
        key: ApiKeyId,
        told: NewEvent,
        entry: NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let locked = sqlx::query!(
            "UPDATE api_key SET locked_at = $3 WHERE tenant_id = $1 AND key_id = $2 AND locked_at IS NULL",
            tenant.uuid(),
            key.uuid(),
            now,
        );
        if locked.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        events::insert_batch(&mut transaction, tenant, &[told], now).await?;
        audit_entries::insert(&mut transaction, &[entry]).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Unlocks a key and forgets what it has spent. Returns whether it was locked.
    pub async fn unlock_api_key(&self, tenant: TenantId, key: ApiKeyId) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let unlocked = sqlx::query!(
            "UPDATE api_key SET locked_at = NULL WHERE tenant_id = $1 AND key_id = $2 AND locked_at IS NOT NULL",
            tenant.uuid(),
            key.uuid(),
        );
        let was_locked = unlocked.execute(&mut *transaction).await?.rows_affected() == 1;
        let forget =
            sqlx::query!("DELETE FROM key_read WHERE tenant_id = $1 AND key_id = $2", tenant.uuid(), key.uuid());
        forget.execute(&mut *transaction).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(was_locked)
    }

    /// Forgets, of all tenants, what counts no more: the oldest first, in at most `batches` statements of 10,000 rows. Nobody who
    /// spends at the moment waits for it.
    pub async fn sweep_key_reads(&self, now: OffsetDateTime, batches: u32) -> Result<(), StoreError> {
        for _ in 0..batches {
            let swept = sqlx::query!(
                "DELETE FROM key_read WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM key_read WHERE seen_at <= $1 ORDER BY seen_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
                now - COUNTED,
                SWEPT,
            );
            if swept.execute(&self.janitor).await?.rows_affected() < SWEPT.unsigned_abs() {
                break;
            }
        }
        Ok(())
    }
}
