//! What would go: counts, for whoever asks before.

use time::Date;
use uuid::Uuid;

use super::erasing_rows::IDEMPOTENCY;
use super::{Store, StoreError};
use crate::ids::TenantId;

/// That somebody agreed or refused who was forgotten since.
#[derive(Debug)]
pub struct ConsentProofRow {
    /// What for.
    pub purpose: String,
    /// `granted` or `withdrawn`.
    pub state: String,
    /// How it became known.
    pub source: String,
    /// Which wording.
    pub wording_version: Option<String>,
    /// When it was said.
    pub occurred_at: time::OffsetDateTime,
}

impl Store {
    /// How many rows about these people there are, by table: each of which an erasure removes some, but for what it does not count either.
    /// `reads`: the keyed hashes that stand for them in `key_read`.
    pub async fn count_person(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        reads: &[[u8; 16]],
        today: Date,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let reads: Vec<&[u8]> = reads.iter().map(<[u8; 16]>::as_slice).collect();
        let rows = sqlx::query!(
            r#"WITH said AS MATERIALIZED (
                   SELECT part_day, event_id FROM event WHERE tenant_id = $1 AND contact_id = ANY($2) AND status_rank IS NULL
                   UNION ALL
                   SELECT part_day, event_id FROM event WHERE tenant_id = $1 AND contact_id = ANY($2) AND status_rank IS NOT NULL
               ), ends AS MATERIALIZED (
                   SELECT endpoint_id FROM endpoint WHERE tenant_id = $1
               ), wrote AS MATERIALIZED (
                   SELECT part_day, channel_id, message_id FROM message WHERE tenant_id = $1 AND contact_id = ANY($2)
               ), counts AS (
                   SELECT 'contact' AS counted, count(*) AS there FROM contact WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'contact_identifier', count(*) FROM contact_identifier WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'service_window', count(*) FROM service_window WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'consent', count(*) FROM consent WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'notice', count(*) FROM notice WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'restriction', count(*) FROM restriction WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'export', count(*) FROM export WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'hold', count(*) FROM hold WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'event', count(*) FROM said
                   UNION ALL SELECT 'event_payload', count(*) FROM said CROSS JOIN LATERAL (
                       SELECT 1 FROM event_payload p
                       WHERE p.tenant_id = $1 AND p.part_day = said.part_day AND p.event_id = said.event_id LIMIT 1) x
                   UNION ALL SELECT 'delivery', count(*) FROM said CROSS JOIN ends CROSS JOIN LATERAL (
                       SELECT 1 FROM delivery d WHERE d.tenant_id = $1 AND d.endpoint_id = ends.endpoint_id AND d.shard = 0
                          AND d.event_id = said.event_id LIMIT 1) x
                   UNION ALL SELECT 'delivery_retry', count(*) FROM said CROSS JOIN ends CROSS JOIN LATERAL (
                       SELECT 1 FROM delivery_retry d WHERE d.tenant_id = $1 AND d.endpoint_id = ends.endpoint_id AND d.shard = 0
                          AND d.event_id = said.event_id LIMIT 1) x
                   UNION ALL SELECT 'delivery_dead', count(*) FROM said CROSS JOIN ends CROSS JOIN LATERAL (
                       SELECT 1 FROM delivery_dead d WHERE d.tenant_id = $1 AND d.endpoint_id = ends.endpoint_id
                          AND d.event_id = said.event_id LIMIT 1) x
                   UNION ALL SELECT 'media', count(*) FROM (
                       SELECT media_id FROM media WHERE tenant_id = $1 AND contact_id = ANY($2)
                       UNION SELECT m.media_id FROM said CROSS JOIN LATERAL (
                           SELECT media_id FROM media WHERE tenant_id = $1 AND media_id = said.event_id LIMIT 1) m) x
                   UNION ALL SELECT 'media_fetch', count(*) FROM said CROSS JOIN LATERAL (
                       SELECT 1 FROM media_fetch f WHERE f.tenant_id = $1 AND f.media_id = said.event_id LIMIT 1) x
                   UNION ALL SELECT 'attempt', count(*) FROM attempt a JOIN said ON said.event_id = a.event_id JOIN ends USING (endpoint_id)
                       WHERE a.tenant_id = $1 AND a.part_day >= said.part_day AND a.part_day >= (SELECT min(part_day) FROM said)
                   UNION ALL SELECT 'message', count(*) FROM wrote
                   UNION ALL SELECT 'outbox', count(*) FROM wrote CROSS JOIN LATERAL (
                       SELECT 1 FROM outbox o WHERE o.tenant_id = $1 AND o.channel_id = wrote.channel_id
                          AND o.message_id = wrote.message_id LIMIT 1) x
                   UNION ALL SELECT 'idempotency', count(*) FROM idempotency i JOIN wrote USING (message_id)
                       WHERE i.tenant_id = $1 AND wrote.part_day >= $4
                   UNION ALL SELECT 'pair_pace', count(*) FROM pair_pace WHERE tenant_id = $1 AND contact_id = ANY($2)
                       AND channel_id IN (SELECT owner_id FROM lane WHERE tenant_id = $1 AND kind = 2)
                   UNION ALL SELECT 'replay', count(*) FROM replay WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'passing', count(*) FROM passing WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'in_chat', count(*) FROM in_chat WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL SELECT 'key_read', count(*) FROM key_read WHERE tenant_id = $1 AND contact_hash = ANY($3)
                       AND key_id IN (SELECT key_id FROM api_key WHERE tenant_id = $1)
               )
               SELECT counted AS "counted!", there AS "there!" FROM counts WHERE there > 0 ORDER BY counted"#,
            tenant.uuid(),
            contacts,
            &reads as _,
            today - IDEMPOTENCY,
        );
        let rows = rows.fetch_all(&self.data).await?;
        let mut counts: Vec<(String, i64)> = rows.into_iter().map(|row| (row.counted, row.there)).collect();
        let ties = sqlx::query_scalar!(
            r#"SELECT count(*) AS "ties!" FROM audit_subject WHERE tenant_id = $1 AND contact_id = ANY($2)"#,
            tenant.uuid(),
            contacts,
        );
        // Whoever stores these may not read them.
        let ties = ties.fetch_one(self.reading(tenant)).await?;
        counts.extend((ties > 0).then(|| ("audit_subject".to_owned(), ties)));
        counts.sort_unstable();
        Ok(counts)
    }

    /// Whose these keyed hashes are, and the keyed hashes of these people.
    pub async fn identifiers_of(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<(i16, Vec<u8>)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT kind, hash FROM contact_identifier WHERE tenant_id = $1 AND contact_id = ANY($2)",
            tenant.uuid(),
            contacts,
        );
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.kind, row.hash)).collect())
    }

    /// Consent that stays proven under one of these hashes, newest first.
    pub async fn consent_proofs(
        &self,
        tenant: TenantId,
        person: &[[u8; 16]],
    ) -> Result<Vec<ConsentProofRow>, StoreError> {
        let person: Vec<&[u8]> = person.iter().map(<[u8; 16]>::as_slice).collect();
        let rows = sqlx::query_as!(
            ConsentProofRow,
            "SELECT purpose, state, source, wording_version, occurred_at FROM consent_proof WHERE tenant_id = $1 AND person = ANY($2)
             ORDER BY occurred_at DESC LIMIT 200",
            tenant.uuid(),
            &person as _,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }
}
