//! Restrictions: whose data are kept and not used.

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::erasing::cancel_waiting;
use super::privacy_deeds::{self, NewDeed, Wished};
use super::row_marks::{self, CountedRow, NO_DAY, SealRemoval};
use super::settings::step_version;
use super::{Store, StoreError};
use crate::ids::{ContactId, TenantId};

/// A restriction as it is stored.
#[derive(Debug, Clone)]
pub struct RestrictionRow {
    /// Whose data.
    pub contact_id: Uuid,
    /// Sealed.
    pub reason: Vec<u8>,
    /// Who asked for it; nil: an operator.
    pub actor_id: Uuid,
    /// Since when.
    pub created_at: OffsetDateTime,
}

impl Store {
    /// Puts a restriction in force, or gives it another reason, and takes back what waits to be sent; perhaps for a request.
    pub async fn restrict(
        &self,
        tenant: TenantId,
        new: &RestrictionRow,
        (everyone, deed): (&[Uuid], Option<&NewDeed<'_>>),
        entry: NewAuditEntry,
    ) -> Result<Wished, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        // Whoever erases has locked the person: one of both is first.
        let there = sqlx::query!(
            "SELECT 1 AS one FROM contact c WHERE tenant_id = $1 AND contact_id = $2 AND NOT EXISTS (
                 SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = c.contact_id)
             FOR UPDATE OF c",
            tenant.uuid(),
            new.contact_id,
        );
        if there.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(Wished::Erased);
        }
        // Once more: whoever waited for the lock above saw the fence as it was before.
        let done = sqlx::query!(
            "INSERT INTO restriction (tenant_id, contact_id, reason, actor_id, created_at) SELECT $1, $2, $3::bytea, $4, $5
             WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = $2)
             ON CONFLICT (tenant_id, contact_id) DO UPDATE SET reason = EXCLUDED.reason, actor_id = EXCLUDED.actor_id",
            tenant.uuid(),
            new.contact_id,
            new.reason,
            new.actor_id,
            new.created_at,
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(Wished::Erased);
        }
        if let Some(deed) = deed
            && !privacy_deeds::join(&mut transaction, tenant, deed, new.created_at).await?
        {
            return Ok(Wished::NoRequest);
        }
        cancel_waiting(&mut transaction, tenant, everyone, new.created_at).await?;
        audit_entries::insert(&mut transaction, &[entry]).await?;
        // Every process has them in memory, with the settings.
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Wished::Done)
    }

    /// Lifts the restrictions of a person, by whichever of their ids, and notes which. False: there was none.
    pub async fn lift_restriction(
        &self,
        tenant: TenantId,
        (everyone, seal): (&[Uuid], &dyn SealRemoval),
        entry: NewAuditEntry,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        // The same facts as in `marked_settings::settings`.
        let lifted = sqlx::query_as!(
            CountedRow,
            r#"DELETE FROM restriction WHERE tenant_id = $1 AND contact_id = ANY($2)
               RETURNING contact_id AS "id!", jsonb_build_array(actor_id, extract(epoch FROM created_at))::text AS "facts!""#,
            tenant.uuid(),
            everyone,
        );
        let lifted = lifted.fetch_all(&mut *transaction).await?;
        if lifted.is_empty() {
            return Ok(false);
        }
        row_marks::note_removed(&mut transaction, tenant, ("restriction", NO_DAY), &lifted, seal).await?;
        audit_entries::insert(&mut transaction, &[entry]).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Restrictions, by the ids of the contacts, behind `after`.
    pub async fn page_of_restrictions(
        &self,
        tenant: TenantId,
        after: ContactId,
        limit: i64,
    ) -> Result<Vec<RestrictionRow>, StoreError> {
        let rows = sqlx::query_as!(
            RestrictionRow,
            r#"SELECT contact_id, reason::bytea AS "reason!", actor_id, created_at FROM restriction
               WHERE tenant_id = $1 AND contact_id > $2 ORDER BY contact_id LIMIT $3"#,
            tenant.uuid(),
            after.uuid(),
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// Everybody whose data are not used, of all tenants, under every id that turned out to be theirs.
    pub async fn everyone_restricted(&self) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH people AS (
                   SELECT r.tenant_id, COALESCE(c.merged_into, r.contact_id) AS kept
                   FROM restriction r LEFT JOIN contact c ON c.tenant_id = r.tenant_id AND c.contact_id = r.contact_id
               )
               SELECT tenant_id AS "tenant_id!", kept AS "contact_id!" FROM people
               UNION
               SELECT c.tenant_id, c.contact_id FROM people p JOIN contact c
                 ON c.tenant_id = p.tenant_id AND c.merged_into = p.kept"#
        );
        let rows = rows.fetch_all(&self.data).await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id, row.contact_id)).collect())
    }
}
