//! Holds: whose data must stay, and must not be read in the ordinary way.

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::privacy_deeds::{self, NewDeed, Wished};
use super::settings::step_version;
use super::{Connection, Store, StoreError, Transaction};
use crate::ids::{HoldId, TenantId};

/// A hold as it is stored.
#[derive(Debug, Clone)]
pub struct HoldRow {
    /// Id.
    pub hold_id: Uuid,
    /// Whose data.
    pub contact_id: Uuid,
    /// `requested`, `active` or `released`.
    pub state: String,
    /// Sealed.
    pub reason: Vec<u8>,
    /// Who asked for it; nil: an operator.
    pub owner_id: Uuid,
    /// Who put it in force.
    pub approver_id: Option<Uuid>,
    /// When it was asked for.
    pub created_at: OffsetDateTime,
    /// Since when it is in force.
    pub active_at: Option<OffsetDateTime>,
    /// Until when.
    pub expires_at: OffsetDateTime,
    /// When it was taken back.
    pub ended_at: Option<OffsetDateTime>,
}

/// Whether one of these people is held. To be asked in the transaction that acts on it: whoever puts a hold in force locks the person.
pub(super) async fn any(
    connection: &mut Connection,
    tenant: TenantId,
    contacts: &[Uuid],
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let held = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT 1 FROM hold
               WHERE tenant_id = $1 AND contact_id = ANY($2) AND state = 'active' AND expires_at > $3
           ) AS "held!""#,
        tenant.uuid(),
        contacts,
        now,
    );
    Ok(held.fetch_one(connection).await?)
}

/// Commits a change with its entry, if there is one. Every process has the holds in memory, with the settings.
async fn commit_change(mut transaction: Transaction, changed: bool, entry: NewAuditEntry) -> Result<bool, StoreError> {
    if changed {
        audit_entries::insert(&mut transaction, &[entry]).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
    }
    Ok(changed)
}

impl Store {
    /// Stores what is asked for, perhaps for a request.
    pub async fn insert_hold(
        &self,
        tenant: TenantId,
        new: &HoldRow,
        deed: Option<&NewDeed<'_>>,
        entry: NewAuditEntry,
    ) -> Result<Wished, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        let done = sqlx::query!(
            "INSERT INTO hold (tenant_id, hold_id, contact_id, state, reason, owner_id, created_at, expires_at)
             SELECT $1, $2, $3, 'requested', $4::bytea, $5, $6, $7
             WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = $3)",
            tenant.uuid(),
            new.hold_id,
            new.contact_id,
            new.reason,
            new.owner_id,
            new.created_at,
            new.expires_at,
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(Wished::Erased);
        }
        if let Some(deed) = deed
            && !privacy_deeds::join(&mut transaction, tenant, deed, new.created_at).await?
        {
            return Ok(Wished::NoRequest);
        }
        audit_entries::insert(&mut transaction, &[entry]).await?;
        transaction.commit().await?;
        Ok(Wished::Done)
    }

    /// Puts a hold in force, for somebody other than who asked for it: a key that was made in the place of theirs, or whose place theirs
    /// took, is no other. False: it is no longer asked for, or the person is being erased or gone.
    pub async fn approve_hold(
        &self,
        tenant: TenantId,
        (id, approver): (HoldId, Uuid),
        entry: NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        // Whoever erases has locked the person: one of both is first.
        let there = sqlx::query!(
            "SELECT 1 AS one FROM contact c JOIN hold h USING (tenant_id, contact_id)
             WHERE h.tenant_id = $1 AND h.hold_id = $2 AND NOT EXISTS (
                 SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = c.contact_id)
             FOR UPDATE OF c",
            tenant.uuid(),
            id.uuid(),
        );
        if there.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(false);
        }
        let done = sqlx::query!(
            "WITH RECURSIVE line (key_id, rotated_from) AS (
                 SELECT key_id, rotated_from FROM api_key WHERE tenant_id = $1 AND key_id = $3
                 UNION
                 SELECT k.key_id, k.rotated_from FROM line l JOIN api_key k
                   ON k.tenant_id = $1 AND (k.rotated_from = l.key_id OR k.key_id = l.rotated_from)
             )
             UPDATE hold SET state = 'active', approver_id = $3, active_at = $4
             WHERE tenant_id = $1 AND hold_id = $2 AND state = 'requested' AND expires_at > $4
               AND owner_id <> $3 AND owner_id NOT IN (SELECT key_id FROM line)
               AND NOT EXISTS (SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = hold.contact_id)",
            tenant.uuid(),
            id.uuid(),
            approver,
            now,
        );
        let changed = done.execute(&mut *transaction).await?.rows_affected() == 1;
        commit_change(transaction, changed, entry).await
    }

    /// Takes a hold back. False: it was before.
    pub async fn release_hold(
        &self,
        tenant: TenantId,
        id: HoldId,
        entry: NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        let done = sqlx::query!(
            "UPDATE hold SET state = 'released', ended_at = $3 WHERE tenant_id = $1 AND hold_id = $2 AND state <> 'released'",
            tenant.uuid(),
            id.uuid(),
            now,
        );
        let changed = done.execute(&mut *transaction).await?.rows_affected() == 1;
        commit_change(transaction, changed, entry).await
    }

    /// One hold.
    pub async fn find_hold(&self, tenant: TenantId, id: HoldId) -> Result<Option<HoldRow>, StoreError> {
        let row = sqlx::query_as!(
            HoldRow,
            r#"SELECT hold_id, contact_id, state, reason::bytea AS "reason!", owner_id, approver_id, created_at, active_at,
                      expires_at, ended_at
               FROM hold WHERE tenant_id = $1 AND hold_id = $2"#,
            tenant.uuid(),
            id.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }

    /// Holds, newest first, older than `before`.
    pub async fn page_of_holds(&self, tenant: TenantId, before: Uuid, limit: i64) -> Result<Vec<HoldRow>, StoreError> {
        let rows = sqlx::query_as!(
            HoldRow,
            r#"SELECT hold_id, contact_id, state, reason::bytea AS "reason!", owner_id, approver_id, created_at, active_at,
                      expires_at, ended_at
               FROM hold WHERE tenant_id = $1 AND hold_id < $2 ORDER BY hold_id DESC LIMIT $3"#,
            tenant.uuid(),
            before,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// Which of these people are held, by whichever of their ids.
    pub async fn held_among(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        now: OffsetDateTime,
    ) -> Result<Vec<Uuid>, StoreError> {
        let held = sqlx::query_scalar!(
            r#"SELECT DISTINCT asked AS "asked!" FROM UNNEST($2::uuid[]) AS t (asked)
               WHERE EXISTS (SELECT 1 FROM hold WHERE tenant_id = $1 AND state = 'active' AND expires_at > $3)
                 AND EXISTS (
                   SELECT 1 FROM hold h
                   WHERE h.tenant_id = $1 AND h.state = 'active' AND h.expires_at > $3 AND h.contact_id IN (
                       SELECT asked
                       UNION ALL SELECT c.merged_into FROM contact c WHERE c.tenant_id = $1 AND c.contact_id = asked
                       UNION ALL SELECT c.contact_id FROM contact c WHERE c.tenant_id = $1 AND c.merged_into = asked
                       UNION ALL SELECT s.contact_id FROM contact c JOIN contact s
                                   ON s.tenant_id = $1 AND s.merged_into = c.merged_into
                                 WHERE c.tenant_id = $1 AND c.contact_id = asked))"#,
            tenant.uuid(),
            contacts,
            now,
        );
        Ok(held.fetch_all(self.reading(tenant)).await?)
    }

    /// Everybody who is held, of all tenants, under every id that turned out to be theirs, and until when.
    pub async fn everyone_held(&self, now: OffsetDateTime) -> Result<Vec<(Uuid, Uuid, OffsetDateTime)>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH held AS (
                   SELECT h.tenant_id, COALESCE(c.merged_into, h.contact_id) AS kept, h.expires_at
                   FROM hold h LEFT JOIN contact c ON c.tenant_id = h.tenant_id AND c.contact_id = h.contact_id
                   WHERE h.state = 'active' AND h.expires_at > $1
               )
               SELECT tenant_id AS "tenant_id!", contact_id AS "contact_id!", max(expires_at) AS "until!" FROM (
                   SELECT tenant_id, kept AS contact_id, expires_at FROM held
                   UNION ALL
                   SELECT c.tenant_id, c.contact_id, h.expires_at FROM held h JOIN contact c
                     ON c.tenant_id = h.tenant_id AND c.merged_into = h.kept
               ) ids GROUP BY tenant_id, contact_id"#,
            now,
        );
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id, row.contact_id, row.until)).collect())
    }
}
