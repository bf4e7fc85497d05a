//! What a restore has to look at afterwards.

use uuid::Uuid;

use super::{Store, StoreError};

/// Something sealed, for a test of opening.
#[derive(Debug)]
pub struct SealedContent {
    /// Whose.
    pub tenant: Uuid,
    /// Of which event.
    pub event: Uuid,
    /// About whom.
    pub contact: Option<Uuid>,
    /// As it is stored.
    pub payload: Vec<u8>,
}

impl Store {
    /// Erasures that a restore began anew and whose rows are still there, but for those in `except`.
    pub async fn restored_erasures(&self, except: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT tenant_id, erasure_id FROM erasure
             WHERE basis = 'restored' AND state IN ('received', 'identity_checked', 'held', 'fenced', 'keys_destroyed')
               AND erasure_id <> ALL($1) ORDER BY erasure_id",
            except,
        );
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id, row.erasure_id)).collect())
    }

    /// Contents of the newest events.
    pub async fn some_content(&self, limit: i64) -> Result<Vec<SealedContent>, StoreError> {
        let rows = sqlx::query_as!(
            SealedContent,
            r#"SELECT e.tenant_id AS tenant, e.event_id AS event, e.contact_id AS contact, p.payload::bytea AS "payload!"
               FROM (SELECT tenant_id, part_day, event_id, contact_id FROM event ORDER BY part_day DESC LIMIT $1) e
               JOIN event_payload p USING (tenant_id, part_day, event_id)"#,
            limit,
        );
        Ok(rows.fetch_all(&self.data).await?)
    }
}
