//! Entries of the audit log: inserted by many, changed by nobody.

use std::borrow::Borrow;

use time::Date;
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::{AuditEntryId, TenantId};

/// An entry to be stored.
#[derive(Debug, Clone)]
pub struct NewAuditEntry {
    /// Whose log.
    pub tenant: TenantId,
    /// Id; the day inside it is the partition.
    pub id: AuditEntryId,
    /// The API key; nil: none.
    pub actor: Uuid,
    /// Name of the action.
    pub action: String,
    /// Canonical bytes.
    pub entry: Vec<u8>,
    /// Hides the entry in its leaf.
    pub salt: [u8; 32],
    /// Contacts that it is about, each once.
    pub subjects: Vec<Uuid>,
}

fn column<'e, T>(entries: &'e [impl Borrow<NewAuditEntry>], field: impl Fn(&'e NewAuditEntry) -> T) -> Vec<T> {
    entries.iter().map(|entry| field(entry.borrow())).collect()
}

impl Store {
    /// Stores entries of any tenants in one transaction. When this returns `Ok`, they are committed. Those that are there
    /// already stay as they are, so that it may be repeated.
    pub async fn insert_audit_entries(&self, entries: &[NewAuditEntry]) -> Result<(), StoreError> {
        insert(&mut self.connection().await?, entries).await
    }
}

/// Tenant, day, contact and entry, of each contact that an entry is about.
pub(super) fn subjects<E: Borrow<NewAuditEntry>>(entries: &[E]) -> Vec<(Uuid, Date, Uuid, Uuid)> {
    let of_entry = |entry: &NewAuditEntry| {
        let of = |contact: &Uuid| (entry.tenant.uuid(), entry.id.day(), *contact, entry.id.uuid());
        entry.subjects.iter().map(of).collect::<Vec<_>>()
    };
    entries.iter().map(Borrow::borrow).flat_map(of_entry).collect()
}

/// The same inside a transaction, or as one: together with what the entries tell of. The partitions of today must be there.
pub async fn insert<E: Borrow<NewAuditEntry>>(connection: &mut Connection, entries: &[E]) -> Result<(), StoreError> {
    let links = subjects(entries);
    sqlx::query!(
            r#"WITH entries AS (
                   INSERT INTO audit_entry (tenant_id, part_day, entry_id, actor_id, action, entry, salt)
                   SELECT * FROM UNNEST($1::uuid[], $2::date[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[])
                   ON CONFLICT DO NOTHING
               )
               INSERT INTO audit_subject (tenant_id, part_day, contact_id, entry_id)
               SELECT * FROM UNNEST($8::uuid[], $9::date[], $10::uuid[], $11::uuid[])
               ON CONFLICT DO NOTHING"#,
            &column(entries, |e| e.tenant.uuid()),
            &column(entries, |e| e.id.day()),
            &column(entries, |e| e.id.uuid()),
            &column(entries, |e| e.actor),
            &column(entries, |e| e.action.as_str()) as _,
            &column(entries, |e| e.entry.as_slice()) as _,
            &column(entries, |e| e.salt.as_slice()) as _,
            &links.iter().map(|link| link.0).collect::<Vec<_>>(),
            &links.iter().map(|link| link.1).collect::<Vec<_>>(),
            &links.iter().map(|link| link.2).collect::<Vec<_>>(),
            &links.iter().map(|link| link.3).collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
    Ok(())
}
