//! Contacts and the keyed hashes that find them.

use time::OffsetDateTime;
use uuid::Uuid;

use super::settings::step_version;
use super::{Connection, Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::ids::{ContactId, TenantId};

/// Kind and keyed hash of one identifier.
pub type IdentifierHash = (i16, [u8; 16]);

fn columns(identifiers: &[IdentifierHash]) -> (Vec<i16>, Vec<&[u8]>) {
    identifiers.iter().map(|(kind, hash)| (*kind, hash.as_slice())).unzip()
}

/// Whose identifiers these are, as far as known.
pub async fn find_identifiers(
    connection: &mut Connection,
    tenant: TenantId,
    identifiers: &[IdentifierHash],
) -> Result<Vec<(IdentifierHash, ContactId)>, StoreError> {
    let (kinds, hashes) = columns(identifiers);
    let rows = sqlx::query!(
        // LATERAL with LIMIT: one index look-up each. A plain join may be planned to read every person of the tenant.
        "SELECT i.kind, i.hash, i.contact_id
         FROM UNNEST($2::int2[], $3::bytea[]) AS wanted (kind, hash)
         CROSS JOIN LATERAL (
             SELECT * FROM contact_identifier c
             WHERE c.tenant_id = $1 AND c.kind = wanted.kind AND c.hash = wanted.hash LIMIT 1
         ) i",
        tenant.uuid(),
        &kinds,
        &hashes as _,
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().filter_map(|row| {
        let hash = <[u8; 16]>::try_from(row.hash).ok()?;
        Some(((row.kind, hash), ContactId::from_uuid(row.contact_id)))
    });
    Ok(rows.collect())
}

/// Claims identifiers for contacts, in the order of their hashes, which are made by the version in force. Returns what was free; the rest
/// belongs to somebody else by now, maybe of another process that committed while this one waited.
pub async fn claim_identifiers(
    connection: &mut Connection,
    tenant: TenantId,
    version: i16,
    claims: &[(IdentifierHash, ContactId)],
) -> Result<Vec<IdentifierHash>, StoreError> {
    let identifiers: Vec<IdentifierHash> = claims.iter().map(|(identifier, _)| *identifier).collect();
    let (kinds, hashes) = columns(&identifiers);
    let contacts: Vec<Uuid> = claims.iter().map(|(_, contact)| contact.uuid()).collect();
    let rows = sqlx::query!(
        "INSERT INTO contact_identifier (tenant_id, kind, hash, contact_id, version)
         SELECT $1, *, $5 FROM UNNEST($2::int2[], $3::bytea[], $4::uuid[])
         ON CONFLICT DO NOTHING
         RETURNING kind, hash",
        tenant.uuid(),
        &kinds,
        &hashes as _,
        &contacts,
        version,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.kind, <[u8; 16]>::try_from(row.hash).ok()?))).collect())
}

/// One identifier by every hash that it may have: the last is made by the version in force.
#[derive(Debug)]
pub struct Name {
    /// Its kind.
    pub kind: i16,
    /// The version in force.
    pub version: i16,
    /// The hash by that version.
    pub hash: [u8; 16],
    /// All of them, that one included.
    pub every: Vec<[u8; 16]>,
}

impl Name {
    fn hashes(&self) -> Vec<&[u8]> {
        self.every.iter().map(<[u8; 16]>::as_slice).collect()
    }
}

/// Gives one identifier to a contact, whoever had it before: a username that was taken over.
pub async fn reassign_identifier(
    connection: &mut Connection,
    tenant: TenantId,
    name: &Name,
    contact: ContactId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH found AS (
             UPDATE contact_identifier SET contact_id = $5
             WHERE tenant_id = $1 AND kind = $2 AND hash = ANY($3) RETURNING 1
         )
         INSERT INTO contact_identifier (tenant_id, kind, hash, contact_id, version)
         SELECT $1, $2, $4, $5, $6 WHERE NOT EXISTS (SELECT 1 FROM found)
         ON CONFLICT (tenant_id, kind, hash) DO UPDATE SET contact_id = EXCLUDED.contact_id",
        tenant.uuid(),
        name.kind,
        &name.hashes() as _,
        name.hash.as_slice(),
        contact.uuid(),
        name.version,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets an identifier that a contact gave up: a number that somebody else may get tomorrow.
pub async fn release_identifier(
    connection: &mut Connection,
    tenant: TenantId,
    name: &Name,
    contact: ContactId,
) -> Result<(), StoreError> {
    sqlx::query!(
        "DELETE FROM contact_identifier WHERE tenant_id = $1 AND kind = $2 AND hash = ANY($3) AND contact_id = $4",
        tenant.uuid(),
        name.kind,
        &name.hashes() as _,
        contact.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A contact's row with its sealed profile.
#[derive(Debug)]
pub struct NewContact {
    /// Id, which the seal is bound to.
    pub contact: ContactId,
    /// Sealed under the contact's own key.
    pub profile: Sealed,
    /// Keyed hash of what the profile was made from.
    pub profile_mac: [u8; 8],
}

/// Adds contacts or replaces their profiles.
pub async fn upsert_contacts(
    connection: &mut Connection,
    tenant: TenantId,
    contacts: &[NewContact],
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = contacts.iter().map(|row| row.contact.uuid()).collect();
    let profiles: Vec<&[u8]> = contacts.iter().map(|row| row.profile.as_bytes()).collect();
    let macs: Vec<&[u8]> = contacts.iter().map(|row| row.profile_mac.as_slice()).collect();
    sqlx::query!(
        "INSERT INTO contact (tenant_id, contact_id, profile, profile_mac, created_at, updated_at)
         SELECT $1, t.contact_id, t.profile, t.profile_mac, $5, $5
         FROM UNNEST($2::uuid[], $3::bytea[], $4::bytea[]) AS t (contact_id, profile, profile_mac)
         ON CONFLICT (tenant_id, contact_id)
         DO UPDATE SET profile = EXCLUDED.profile, profile_mac = EXCLUDED.profile_mac, updated_at = EXCLUDED.updated_at",
        tenant.uuid(),
        &ids,
        &profiles as _,
        &macs as _,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes `gone` a part of `kept`: its identifiers move, its row points there. Where one of both is restricted or held, every process is to
/// know that the other is too; the rows stay where they are, because their reasons are sealed for them.
pub async fn merge(
    connection: &mut Connection,
    tenant: TenantId,
    gone: ContactId,
    kept: ContactId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "WITH moved AS (
             UPDATE contact_identifier SET contact_id = $3 WHERE tenant_id = $1 AND contact_id = $2
         )
         UPDATE contact SET merged_into = $3, updated_at = $4
         WHERE tenant_id = $1 AND (contact_id = $2 OR merged_into = $2)",
        tenant.uuid(),
        gone.uuid(),
        kept.uuid(),
        now,
    )
    .execute(&mut *connection)
    .await?;
    let watched = sqlx::query_scalar!(
        r#"WITH everyone AS (
               SELECT contact_id FROM contact WHERE tenant_id = $1 AND merged_into = $2 UNION ALL SELECT $2
           )
           SELECT EXISTS (SELECT 1 FROM restriction WHERE tenant_id = $1 AND contact_id IN (SELECT contact_id FROM everyone))
               OR EXISTS (SELECT 1 FROM hold WHERE tenant_id = $1 AND contact_id IN (SELECT contact_id FROM everyone)
                                               AND state = 'active') AS "watched!""#,
        tenant.uuid(),
        kept.uuid(),
    );
    // A statement of its own: whoever restricts or holds has locked the person, and was first.
    if watched.fetch_one(&mut *connection).await? {
        step_version(connection).await?;
    }
    Ok(())
}

/// Replaces a profile that was read at that time, and says nothing of what Meta shows. False: it was changed meanwhile, or the person is
/// being erased.
pub async fn correct(
    connection: &mut Connection,
    tenant: TenantId,
    (contact, read_at): (ContactId, OffsetDateTime),
    profile: &Sealed,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE contact SET profile = $4::bytea, updated_at = $5
         WHERE tenant_id = $1 AND contact_id = $2 AND updated_at = $3 AND NOT EXISTS (
             SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = contact.contact_id)",
        tenant.uuid(),
        contact.uuid(),
        read_at,
        profile.as_bytes(),
        now,
    );
    Ok(done.execute(connection).await?.rows_affected() == 1)
}

/// A stored contact.
#[derive(Debug)]
pub struct ContactRow {
    /// Id.
    pub contact_id: Uuid,
    /// Sealed profile.
    pub profile: Vec<u8>,
    /// Keyed hash of what it was made from.
    pub profile_mac: Vec<u8>,
    /// Set when the contact is now part of another.
    pub merged_into: Option<Uuid>,
    /// First seen.
    pub created_at: OffsetDateTime,
    /// Profile last changed.
    pub updated_at: OffsetDateTime,
}

/// The contacts with these ids.
pub async fn find_contacts(
    connection: &mut Connection,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<ContactRow>, StoreError> {
    let rows = sqlx::query_as!(
        ContactRow,
        r#"SELECT contact_id, profile::bytea AS "profile!", profile_mac, merged_into, created_at, updated_at
           FROM contact WHERE tenant_id = $1 AND contact_id = ANY($2)"#,
        tenant.uuid(),
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

impl Store {
    /// A page of contacts that are not merged into others, newest first, older than `before`.
    pub async fn page_of_contacts(
        &self,
        tenant: TenantId,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<ContactRow>, StoreError> {
        let rows = sqlx::query_as!(
            ContactRow,
            r#"SELECT contact_id, profile::bytea AS "profile!", profile_mac, merged_into, created_at, updated_at
               FROM contact WHERE tenant_id = $1 AND contact_id < $2 AND merged_into IS NULL
               ORDER BY contact_id DESC LIMIT $3"#,
            tenant.uuid(),
            before,
            limit,
        )
        .fetch_all(self.reading(tenant))
        .await?;
        Ok(rows)
    }

    /// One contact.
    pub async fn find_contact(&self, tenant: TenantId, contact: ContactId) -> Result<Option<ContactRow>, StoreError> {
        let mut connection = self.reading_connection(tenant).await?;
        Ok(find_contacts(&mut connection, tenant, &[contact.uuid()]).await?.pop())
    }

    /// Which of these contacts, or of those merged into them, wrote or were written to through one of the channels.
    /// Serves callers that are confined to channels, because a contact itself belongs to none.
    pub async fn contacts_met_in(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        channels: &[Uuid],
    ) -> Result<Vec<Uuid>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"WITH people AS (
                   SELECT contact_id AS shown, contact_id AS met FROM contact
                   WHERE tenant_id = $1 AND contact_id = ANY($2)
                   UNION ALL
                   SELECT merged_into, contact_id FROM contact WHERE tenant_id = $1 AND merged_into = ANY($2)
               )
               SELECT DISTINCT shown AS "shown!" FROM people
               WHERE EXISTS (
                   SELECT 1 FROM event e
                   WHERE e.tenant_id = $1 AND e.contact_id = met AND e.status_rank IS NULL AND e.channel_id = ANY($3)
               ) OR EXISTS (
                   SELECT 1 FROM message m WHERE m.tenant_id = $1 AND m.contact_id = met AND m.channel_id = ANY($3)
               )"#,
            tenant.uuid(),
            contacts,
            channels,
        );
        Ok(ids.fetch_all(self.reading(tenant)).await?)
    }

    /// The contact itself and everyone who was merged into it.
    pub async fn find_merged(&self, tenant: TenantId, contact: ContactId) -> Result<Vec<Uuid>, StoreError> {
        let mut ids = sqlx::query_scalar!(
            "SELECT contact_id FROM contact WHERE tenant_id = $1 AND merged_into = $2",
            tenant.uuid(),
            contact.uuid(),
        )
        .fetch_all(self.reading(tenant))
        .await?;
        ids.push(contact.uuid());
        Ok(ids)
    }
}

/// Which of these contacts have a business-scoped user id.
pub async fn with_bsuid(
    connection: &mut Connection,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<Vec<ContactId>, StoreError> {
    let rows = sqlx::query_scalar!(
        "SELECT DISTINCT contact_id FROM contact_identifier WHERE tenant_id = $1 AND contact_id = ANY($2) AND kind = 2",
        tenant.uuid(),
        ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(ContactId::from_uuid).collect())
}
