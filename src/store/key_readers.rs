//! What the living processes can read, and the root share that is to take the place of the present one when all of them can.

use time::OffsetDateTime;

use super::{Store, StoreError};
use crate::ids::WorkerId;

/// A living process that others wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The process.
    pub worker: WorkerId,
    /// When it started.
    pub started_at: OffsetDateTime,
}

impl Store {
    /// Says what this process can read. Nothing is said of one whose lease was never begun.
    pub async fn report_readable(&self, worker: WorkerId, words: &[String]) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE worker SET reads = $2 WHERE worker_id = $1 AND reads IS DISTINCT FROM $2",
            worker.uuid(),
            words,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Living processes that do not say that they can read this. Those that are about to stop still read.
    pub async fn workers_without(&self, word: &str) -> Result<Vec<Reader>, StoreError> {
        let rows = sqlx::query!(
            "SELECT worker_id, started_at FROM worker
             WHERE lease_until > now() AND NOT COALESCE($1 = ANY (reads), false) ORDER BY started_at",
            word,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter();
        Ok(rows.map(|row| Reader { worker: WorkerId::from_uuid(row.worker_id), started_at: row.started_at }).collect())
    }

    /// The root share in force, and the one that is to take its place.
    pub async fn shares(&self) -> Result<Option<(Vec<u8>, Option<Vec<u8>>)>, StoreError> {
        let row = sqlx::query!("SELECT root_share, next_share FROM waxseal_keys.installation");
        Ok(row.fetch_optional(self.key_pool()).await?.map(|row| (row.root_share, row.next_share)))
    }

    /// Proposes another wrapping of the same root share; false when that was replaced meanwhile.
    pub async fn propose_share(&self, present: &[u8], next: &[u8]) -> Result<bool, StoreError> {
        let done =
            sqlx::query!("UPDATE waxseal_keys.installation SET next_share = $2 WHERE root_share = $1", present, next,);
        Ok(done.execute(self.key_pool()).await?.rows_affected() == 1)
    }

    /// Puts the proposed wrapping in the place of the present one; false when either was replaced meanwhile.
    pub async fn promote_share(&self, present: &[u8], next: &[u8]) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE waxseal_keys.installation SET root_share = $2, next_share = NULL
             WHERE root_share = $1 AND next_share = $2",
            present,
            next,
        );
        Ok(done.execute(self.key_pool()).await?.rows_affected() == 1)
    }
}
