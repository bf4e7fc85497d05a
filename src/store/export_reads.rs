//! What an export reads that nobody else does: how much there is of a person, their files, and what the audit log ties to them.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::audit_reads::AuditEntryRow;
use super::{Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::ids::{ContactId, EventId, MediaId, TenantId};

/// A file that is kept about a person.
#[derive(Debug)]
pub struct KeptFile {
    /// Which.
    pub media: MediaId,
    /// Whom it is about.
    pub contact: ContactId,
    /// `in` or `out`.
    pub direction: String,
    /// Its length.
    pub bytes: Option<i64>,
    /// Its type and name; it also names the key that opens the file.
    pub details: Option<Sealed>,
    /// When it was kept.
    pub settled_at: OffsetDateTime,
}

impl Store {
    /// How many events and messages, and how many files, there are about these people, made before the ids of `before`.
    pub async fn size_of_export(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        before: Uuid,
    ) -> Result<(i64, i64), StoreError> {
        let row = sqlx::query!(
            r#"SELECT (SELECT count(*) FROM event
                       WHERE tenant_id = $1 AND contact_id = ANY($2) AND status_rank IS NULL AND event_id < $3)
                      + (SELECT count(*) FROM message WHERE tenant_id = $1 AND contact_id = ANY($2) AND message_id < $3) AS "said!",
                      (SELECT count(*) FROM media WHERE tenant_id = $1 AND contact_id = ANY($2) AND state = 'stored' AND media_id < $3)
                      AS "files!""#,
            tenant.uuid(),
            contacts,
            before,
        );
        let row = row.fetch_one(self.reading(tenant)).await?;
        Ok((row.said, row.files))
    }

    /// Whether Meta has told since then that a number, id or identity key of these people changed. What we put right ourselves came through
    /// no channel.
    pub async fn identity_changed_since(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        since: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let changed = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT 1 FROM event
                   WHERE tenant_id = $1 AND contact_id = ANY($2) AND status_rank IS NULL AND event_id >= $3 AND part_day >= $4
                     AND type = 'contact.changed' AND channel_id IS NOT NULL
               ) AS "changed!""#,
            tenant.uuid(),
            contacts,
            EventId::lowest_of(since).uuid(),
            since.date().saturating_sub(time::Duration::days(11)),
        );
        Ok(changed.fetch_one(self.reading(tenant)).await?)
    }

    /// The files that are kept about these people, newest first, older than `before`.
    pub async fn kept_files_of(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<KeptFile>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT media_id, contact_id AS "contact_id!", direction, bytes, details::bytea AS "details?", settled_at
               FROM media
               WHERE tenant_id = $1 AND contact_id = ANY($2) AND state = 'stored' AND media_id < $3
               ORDER BY media_id DESC LIMIT $4"#,
            tenant.uuid(),
            contacts,
            before,
            limit,
        );
        let rows = rows.fetch_all(self.reading(tenant)).await?.into_iter().map(|row| KeptFile {
            media: MediaId::from_uuid(row.media_id),
            contact: ContactId::from_uuid(row.contact_id),
            direction: row.direction,
            bytes: row.bytes,
            details: row.details.map(Sealed::from_stored),
            settled_at: row.settled_at,
        });
        Ok(rows.collect())
    }

    /// The entries of one day that are about these people, oldest first: a page behind `after`.
    pub async fn audit_entries_about(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        (day, after): (Date, Uuid),
        limit: i64,
    ) -> Result<Vec<AuditEntryRow>, StoreError> {
        let rows = sqlx::query_as!(
            AuditEntryRow,
            r#"SELECT e.entry_id, e.actor_id, e.action, e.entry, e.salt, NULL::bigint AS "leaf_index?"
               FROM (
                   SELECT DISTINCT entry_id FROM audit_subject
                   WHERE tenant_id = $1 AND part_day = $2 AND contact_id = ANY($3) AND entry_id > $4
                   ORDER BY entry_id LIMIT $5
               ) s CROSS JOIN LATERAL (
                   -- LATERAL with LIMIT: one index look-up each, in one partition.
                   SELECT entry_id, actor_id, action, entry, salt FROM audit_entry
                   WHERE tenant_id = $1 AND part_day = $2 AND entry_id = s.entry_id LIMIT 1
               ) e ORDER BY e.entry_id"#,
            tenant.uuid(),
            day,
            contacts,
            after,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }
}
