//! What was handed over under an idempotency key, so that a repetition has no second effect.

use std::collections::{HashMap, HashSet};

use time::OffsetDateTime;

use super::{Connection, Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::ids::{MessageId, TenantId};

/// How long a key stands for its first request.
pub const KEPT: time::Duration = time::Duration::hours(24);

/// A request under a key, as keyed hashes.
#[derive(Debug)]
pub struct Claim {
    /// Of the API key and the idempotency key.
    pub key_hash: [u8; 16],
    /// Of everything that was asked for.
    pub request_hash: [u8; 16],
    /// The first message of the request.
    pub message: MessageId,
    /// What a repetition is answered, where that is more than the message.
    pub answer: Option<Sealed>,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claimed {
    /// Nobody had the key; whoever commits this transaction has it. The same request may claim it twice.
    New,
    /// The same was asked before, and gave this first message and this answer.
    Same(MessageId, Option<Sealed>),
    /// Something else was asked under the key.
    Other,
    /// Another transaction is at it.
    InProgress,
}

/// Claims keys, no two of them the same, in the transaction that stores what they stand for: both are there, or neither. What
/// became of each, in their order.
pub async fn claim(
    connection: &mut Connection,
    tenant: TenantId,
    claims: &[&Claim],
    now: OffsetDateTime,
) -> Result<Vec<Claimed>, StoreError> {
    let ours = lock(connection, claims).await?;
    let ours: Vec<&Claim> =
        claims.iter().zip(1..).filter(|(_, at)| ours.contains(at)).map(|(claim, _)| *claim).collect();
    let new = insert(connection, tenant, &ours, now).await?;
    let mut before = HashMap::new();
    if new.len() < ours.len() {
        let taken = ours.iter().filter(|claim| !new.contains(claim.key_hash.as_slice()));
        let taken: Vec<&[u8]> = taken.map(|claim| claim.key_hash.as_slice()).collect();
        before = find(connection, tenant, &taken, now).await?;
    }
    let verdict = |claim: &&Claim| {
        let key = claim.key_hash.as_slice();
        if new.contains(key) {
            return Claimed::New;
        }
        // Locked by another, or swept between two statements: the caller asks again and has it.
        let Some(before) = before.remove(key) else { return Claimed::InProgress };
        match before.request_hash == claim.request_hash {
            true if before.message == claim.message => Claimed::New,
            true => Claimed::Same(before.message, before.answer),
            false => Claimed::Other,
        }
    };
    Ok(claims.iter().map(verdict).collect())
}

/// Locks keys until the end of the transaction, and says which, counted from one. Without it, a second claim would wait for the
/// first one's commit.
async fn lock(connection: &mut Connection, claims: &[&Claim]) -> Result<HashSet<i64>, StoreError> {
    let number =
        |claim: &&Claim| i64::from_be_bytes(std::array::from_fn(|at| claim.key_hash.get(at).copied().unwrap_or(0)));
    let locks: Vec<i64> = claims.iter().map(number).collect();
    let ours = sqlx::query_scalar!(
        r#"SELECT at AS "at!" FROM UNNEST($1::int8[]) WITH ORDINALITY AS t (lock, at) WHERE pg_try_advisory_xact_lock(lock)"#,
        &locks,
    );
    Ok(ours.fetch_all(connection).await?.into_iter().collect())
}

/// The keys that nobody had, or not for a day.
async fn insert(
    connection: &mut Connection,
    tenant: TenantId,
    claims: &[&Claim],
    now: OffsetDateTime,
) -> Result<HashSet<Vec<u8>>, StoreError> {
    let new = sqlx::query_scalar!(
        "INSERT INTO idempotency (tenant_id, key_hash, request_hash, message_id, created_at, answer)
         SELECT $1, key_hash, request_hash, message_id, $6, answer
         FROM UNNEST($2::bytea[], $3::bytea[], $4::uuid[], $5::bytea[]) AS t (key_hash, request_hash, message_id, answer)
         ON CONFLICT (tenant_id, key_hash) DO UPDATE
         SET request_hash = EXCLUDED.request_hash, message_id = EXCLUDED.message_id, created_at = EXCLUDED.created_at,
             answer = EXCLUDED.answer
         WHERE idempotency.created_at < $7
         RETURNING key_hash",
        tenant.uuid(),
        &claims.iter().map(|claim| claim.key_hash.as_slice()).collect::<Vec<_>>() as _,
        &claims.iter().map(|claim| claim.request_hash.as_slice()).collect::<Vec<_>>() as _,
        &claims.iter().map(|claim| claim.message.uuid()).collect::<Vec<_>>(),
        &claims.iter().map(|claim| claim.answer.as_ref().map(Sealed::as_bytes)).collect::<Vec<_>>() as _,
        now,
        now - KEPT,
    );
    Ok(new.fetch_all(connection).await?.into_iter().collect())
}

struct Before {
    request_hash: Vec<u8>,
    message: MessageId,
    answer: Option<Sealed>,
}

async fn find(
    connection: &mut Connection,
    tenant: TenantId,
    keys: &[&[u8]],
    now: OffsetDateTime,
) -> Result<HashMap<Vec<u8>, Before>, StoreError> {
    let rows = sqlx::query!(
        "SELECT key_hash, request_hash, message_id, answer::bytea AS answer FROM idempotency
         WHERE tenant_id = $1 AND key_hash = ANY($2::bytea[]) AND created_at >= $3",
        tenant.uuid(),
        keys as _,
        now - KEPT,
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let message = MessageId::from_uuid(row.message_id);
        let answer = row.answer.map(Sealed::from_stored);
        (row.key_hash, Before { request_hash: row.request_hash, message, answer })
    });
    Ok(rows.collect())
}

/// Rows that one statement of [`Store::sweep_idempotency`] removes.
const SWEPT: i64 = 10_000;

impl Store {
    /// What a key stands for already, and is committed; `None`: nothing.
    pub async fn claimed_before(
        &self,
        tenant: TenantId,
        key_hash: [u8; 16],
        request_hash: [u8; 16],
        now: OffsetDateTime,
    ) -> Result<Option<Claimed>, StoreError> {
        let mut found = find(&mut self.connection().await?, tenant, &[&key_hash], now).await?;
        let claimed = |before: Before| {
            if before.request_hash == request_hash {
                Claimed::Same(before.message, before.answer)
            } else {
                Claimed::Other
            }
        };
        Ok(found.remove(key_hash.as_slice()).map(claimed))
    }

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
