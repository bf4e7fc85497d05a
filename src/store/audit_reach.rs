//! What else has to be told of a breach: what endpoints were sent.

use uuid::Uuid;

use super::audit_reads::day_of;
use super::audit_scope::Scope;
use super::{Store, StoreError};
use crate::ids::{EndpointId, TenantId};

/// What an endpoint was sent.
#[derive(Debug)]
pub struct SentRow {
    /// Which; perhaps one that is removed by now.
    pub endpoint: EndpointId,
    /// How many events, as the log sums them; one that was sent again counts again.
    pub events: i64,
}

impl Store {
    /// What each endpoint was sent in that time, whoever is asked about: the most first. Object and count are read where the canonical
    /// bytes of an entry have them (docs/audit.md).
    pub async fn audit_scope_endpoints(&self, tenant: TenantId, scope: Scope) -> Result<Vec<SentRow>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT encode(substring(entry FROM 63 FOR 16), 'hex')::uuid AS "endpoint!",
                      sum((get_byte(entry, 94)::bigint << 24) + (get_byte(entry, 95) << 16) + (get_byte(entry, 96) << 8)
                          + get_byte(entry, 97))::bigint AS "events!"
               FROM audit_entry
               WHERE tenant_id = $1 AND part_day BETWEEN $2 AND $3 AND entry_id >= $4 AND entry_id < $5
                 AND action = 'events.delivered' AND octet_length(entry) >= 98
               GROUP BY 1 ORDER BY 2 DESC, 1"#,
            tenant.uuid(),
            day_of(scope.from),
            day_of(scope.until),
            scope.from,
            scope.until,
        );
        let rows = rows.fetch_all(self.reading(tenant)).await?.into_iter();
        let sent = |endpoint: Uuid, events| SentRow { endpoint: EndpointId::from_uuid(endpoint), events };
        Ok(rows.map(|row| sent(row.endpoint, row.events)).collect())
    }
}
