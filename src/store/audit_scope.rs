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

/// Entries of one action.
#[derive(Debug)]
pub struct ActionRow {
    /// As in the entries.
    pub action: String,
    /// How many entries.
    pub entries: i64,
    /// The first.
    pub first: AuditEntryId,
    /// The last.
    pub last: AuditEntryId,
    /// Its bit among those of people.
    pub bit: u128,
}

/// People whom the same actions reached.
#[derive(Debug, Clone, Copy)]
pub struct PeopleRow {
    /// The bits of those actions.
    pub actions: u128,
    /// How many people.
    pub people: i64,
}

/// What was reached.
#[derive(Debug, Default)]
pub struct ScopeSums {
    /// Each action of which there are entries.
    pub actions: Vec<ActionRow>,
    /// Everybody, once.
    pub people: Vec<PeopleRow>,
}

/// Bits in each of two numbers, of which the sign is none. There are fewer actions than both have.
const BITS: i64 = 63;
const _: () = assert!(ACTIONS_AT_MOST <= 2 * BITS);
/// How many actions there may ever be; `audit::Action` has a test for it.
pub const ACTIONS_AT_MOST: i64 = 120;

impl Store {
    /// Sums of each action, and of people by the actions that reached them.
    pub async fn audit_scope(&self, tenant: TenantId, scope: Scope) -> Result<ScopeSums, StoreError> {
        let mut transaction = self.begin_reading(tenant).await?;
        // Ten million times that somebody was read are counted in memory and in one pass, which one statement in years may take. What Postgres knows of
        // all days together is old or nothing: left to itself, it sorts them.
        sqlx::query!(
            "SELECT set_config('work_mem', '256MB', true) AS memory, set_config('enable_sort', 'off', true) AS sort"
        )
        .fetch_one(&mut *transaction)
        .await?;
        let rows = sqlx::query!(
            r#"WITH entry AS MATERIALIZED (
                   SELECT part_day, entry_id, action FROM audit_entry
                   WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3 AND entry_id >= $4 AND entry_id < $5
                     AND ($6::uuid IS NULL OR actor_id = $6)
               ), summed AS MATERIALIZED (
                   SELECT action, count(*) AS entries, min(entry_id::text)::uuid AS first, max(entry_id::text)::uuid AS last,
                          row_number() OVER () - 1 AS place
                   FROM entry GROUP BY action
               ), placed AS MATERIALIZED (
                   SELECT part_day, entry_id,
                          CASE WHEN place < $7 THEN 1::bigint << place::integer ELSE 0 END AS low,
                          CASE WHEN place < $7 THEN 0 ELSE 1::bigint << (place - $7)::integer END AS high
                   FROM entry JOIN summed USING (action)
               ), person AS (
                   SELECT bit_or(p.low) AS low, bit_or(p.high) AS high
                   FROM audit_subject s JOIN placed p ON p.part_day = s.part_day AND p.entry_id = s.entry_id
                   WHERE s.tenant_id = $1 AND s.part_day BETWEEN $2 AND $3
                   GROUP BY s.contact_id
               )
               SELECT action AS "action?", entries AS "count!", first AS "first?", last AS "last?", place AS "place?",
                      NULL::bigint AS "low?", NULL::bigint AS "high?"
               FROM summed
               UNION ALL SELECT NULL, count(*), NULL, NULL, NULL, low, high FROM person GROUP BY low, high"#,
            tenant.uuid(),
            day_of(scope.from),
            day_of(scope.until),
            scope.from,
            scope.until,
            scope.actor,
            BITS,
        );
        let mut sums = ScopeSums::default();
        for row in rows.fetch_all(&mut *transaction).await? {
            let bits = |number: Option<i64>| u128::from(number.unwrap_or(0).unsigned_abs());
            match (row.action, row.first, row.last) {
                (Some(action), Some(first), Some(last)) => sums.actions.push(ActionRow {
                    action,
                    entries: row.count,
                    first: AuditEntryId::from_uuid(first),
                    last: AuditEntryId::from_uuid(last),
                    bit: row.place.and_then(|place| u32::try_from(place).ok()).map_or(0, |place| 1 << place),
                }),
                _ => sums.people.push(PeopleRow { actions: bits(row.low) | bits(row.high) << BITS, people: row.count }),
            }
        }
        sums.actions.sort_by(|one, other| one.action.cmp(&other.action));
        Ok(sums)
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
