//! What an actor reached in a time: sums over the audit log, for whoever has to say how far a breach went.

use uuid::Uuid;

use super::audit_reads::day_of;
use super::{Store, StoreError};
use crate::ids::{AuditEntryId, ContactId, TenantId};

/// Which entries.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Of this API key; nil: of operators and the gateway itself. `None`: of everybody.
    pub actor: Option<Uuid>,
    /// With this id or a later one.
    pub from: Uuid,
    /// Before this id.
    pub until: Uuid,
}

/// Entries of one action, or of all.
#[derive(Debug)]
pub struct ScopeRow {
    /// As in the entries. `None`: of all actions together.
    pub action: Option<String>,
    /// How many entries.
    pub entries: i64,
    /// How many people they are about, each counted once.
    pub contacts: i64,
    /// The first.
    pub first: AuditEntryId,
    /// The last.
    pub last: AuditEntryId,
}

impl Store {
    /// Sums of each action and of all of them. Nothing: there is no entry.
    pub async fn audit_scope(&self, tenant: TenantId, scope: Scope) -> Result<Vec<ScopeRow>, StoreError> {
        // Ten million people who were read are counted in memory, which one statement in years may take.
        let mut transaction = self.begin_reading(tenant).await?;
        sqlx::query!("SELECT set_config('work_mem', '256MB', true)").fetch_one(&mut *transaction).await?;
        let rows = sqlx::query!(
            r#"WITH entry AS MATERIALIZED (
                   SELECT part_day, entry_id, action FROM audit_entry
                   WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3 AND entry_id >= $4 AND entry_id < $5
                     AND ($6::uuid IS NULL OR actor_id = $6)
               ), person AS MATERIALIZED (
                   SELECT DISTINCT e.action, s.contact_id
                   FROM audit_subject s JOIN entry e ON e.part_day = s.part_day AND e.entry_id = s.entry_id
                   WHERE s.tenant_id = $1 AND s.part_day BETWEEN $2 AND $3
               ), reached AS (
                   SELECT action, count(*) AS contacts FROM person GROUP BY action
                   UNION ALL SELECT NULL, count(*) FROM (SELECT DISTINCT contact_id FROM person) once
               ), summed AS (
                   SELECT action, count(*) AS entries, min(entry_id::text)::uuid AS first, max(entry_id::text)::uuid AS last
                   FROM entry GROUP BY GROUPING SETS ((action), ())
               )
               SELECT s.action AS "action?", s.entries AS "entries!", COALESCE(r.contacts, 0) AS "contacts!",
                      s.first AS "first!", s.last AS "last!"
               FROM summed s LEFT JOIN reached r ON r.action IS NOT DISTINCT FROM s.action
               WHERE s.entries > 0
               ORDER BY s.action NULLS FIRST"#,
            tenant.uuid(),
            day_of(scope.from),
            day_of(scope.until),
            scope.from,
            scope.until,
            scope.actor,
        );
        let rows = rows.fetch_all(&mut *transaction).await?.into_iter().map(|row| ScopeRow {
            action: row.action,
            entries: row.entries,
            contacts: row.contacts,
            first: AuditEntryId::from_uuid(row.first),
            last: AuditEntryId::from_uuid(row.last),
        });
        Ok(rows.collect())
    }

    /// The people whom those entries are about, by id, each once.
    pub async fn audit_scope_contacts(
        &self,
        tenant: TenantId,
        scope: Scope,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<ContactId>, StoreError> {
        let rows = sqlx::query_scalar!(
            r#"SELECT DISTINCT s.contact_id
               FROM audit_subject s JOIN audit_entry e USING (tenant_id, part_day, entry_id)
               WHERE s.tenant_id = $1 AND s.part_day BETWEEN $2 AND $3 AND s.entry_id >= $4 AND s.entry_id < $5
                 AND ($6::uuid IS NULL OR e.actor_id = $6) AND s.contact_id > $7
               ORDER BY s.contact_id LIMIT $8"#,
            tenant.uuid(),
            day_of(scope.from),
            day_of(scope.until),
            scope.from,
            scope.until,
            scope.actor,
            after,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?.into_iter().map(ContactId::from_uuid).collect())
    }
}
