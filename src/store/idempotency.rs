//! What was handed over under an idempotency key, so that a repetition has no second effect.

use time::OffsetDateTime;

use super::{Connection, Store, StoreError};
use crate::ids::{MessageId, TenantId};

/// How long a key stands for its first request.
pub const KEPT: time::Duration = time::Duration::hours(24);

/// A request under a key, as keyed hashes.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Of the API key and the idempotency key.
    pub key_hash: [u8; 16],
    /// Of everything that was asked for.
    pub request_hash: [u8; 16],
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// Nobody had the key; whoever commits this transaction has it.
    New,
    /// The same was asked before, and gave this message.
    Same(MessageId),
    /// Something else was asked under the key.
    Other,
    /// Another transaction is at it.
    InProgress,
}

/// Claims a key for `message`, in the transaction that stores it: both are there, or neither.
pub async fn claim(
    connection: &mut Connection,
    tenant: TenantId,
    claim: &Claim,
    message: MessageId,
    now: OffsetDateTime,
) -> Result<Claimed, StoreError> {
    // Held until the end of the transaction. Without it, a second claim would wait for the first one's commit.
    let lock = i64::from_be_bytes(std::array::from_fn(|at| claim.key_hash.get(at).copied().unwrap_or(0)));
    let ours = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "ours!""#, lock);
    if !ours.fetch_one(&mut *connection).await? {
        return Ok(Claimed::InProgress);
    }
    let claimed = sqlx::query_scalar!(
        "INSERT INTO idempotency (tenant_id, key_hash, request_hash, message_id, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (tenant_id, key_hash) DO UPDATE
         SET request_hash = EXCLUDED.request_hash, message_id = EXCLUDED.message_id, created_at = EXCLUDED.created_at
         WHERE idempotency.created_at < $6
         RETURNING message_id",
        tenant.uuid(),
        claim.key_hash.as_slice(),
        claim.request_hash.as_slice(),
        message.uuid(),
        now,
        now - KEPT,
    );
    if claimed.fetch_optional(&mut *connection).await?.is_some() {
        return Ok(Claimed::New);
    }
    let before = sqlx::query!(
        "SELECT request_hash, message_id FROM idempotency WHERE tenant_id = $1 AND key_hash = $2",
        tenant.uuid(),
        claim.key_hash.as_slice(),
    );
    // Swept between the two statements: the caller asks again and has it.
    let Some(before) = before.fetch_optional(&mut *connection).await? else { return Ok(Claimed::InProgress) };
    let is_same = before.request_hash == claim.request_hash;
    Ok(if is_same { Claimed::Same(MessageId::from_uuid(before.message_id)) } else { Claimed::Other })
}

/// Rows that one statement of [`Store::sweep_idempotency`] removes.
const SWEPT: i64 = 10_000;

impl Store {
    /// Forgets keys that are older than [`KEPT`], in statements of bounded size.
    pub async fn sweep_idempotency(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        loop {
            let swept = sqlx::query!(
                "DELETE FROM idempotency WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM idempotency WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
                now - KEPT,
                SWEPT,
            );
            if swept.execute(&self.janitor).await?.rows_affected() < SWEPT.unsigned_abs() {
                return Ok(());
            }
        }
    }
}
