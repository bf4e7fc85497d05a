//! Removes what is stored about a person. First a fence, behind which nothing more is stored; then, when nobody is left who began before
//! it, the rows, day by day. How many went is counted in the transaction that removes them.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::{Connection, Store, StoreError, Transaction};
use crate::ids::{ErasureId, TenantId};

/// Merges that are followed: each round somebody must have merged the person meanwhile.
const ROUNDS: usize = 8;

/// Keyed hashes that stand for the person where no id does.
#[derive(Debug, Default)]
pub struct Traces {
    /// In `decoy`.
    pub decoys: Vec<[u8; 16]>,
    /// In `key_read`.
    pub reads: Vec<[u8; 16]>,
    /// Under which their consent stays proven: nobody is found by them who does not show a number or id.
    pub proofs: Vec<[u8; 16]>,
}

/// What became of an attempt to fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fence {
    /// Nothing is stored about the person from here on.
    Up,
    /// Somebody holds the person's data.
    Held,
    /// Another process was faster.
    Elsewhere,
}

/// The entries of which one is left.
#[derive(Debug)]
pub struct FenceEntries {
    /// When it is up.
    pub up: NewAuditEntry,
    /// When the data are held.
    pub held: NewAuditEntry,
}

/// Every id of a person, locked, so that nobody merges them meanwhile.
async fn everyone(transaction: &mut Transaction, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let mut known = contacts.to_vec();
    for _ in 0..ROUNDS {
        let rows = sqlx::query!(
            "SELECT contact_id, merged_into FROM contact
             WHERE tenant_id = $1 AND (contact_id = ANY($2) OR merged_into = ANY($2)) ORDER BY contact_id FOR UPDATE",
            tenant.uuid(),
            &known,
        )
        .fetch_all(&mut **transaction)
        .await?;
        let before = known.len();
        known.extend(rows.iter().map(|row| row.contact_id).chain(rows.iter().filter_map(|row| row.merged_into)));
        known.sort_unstable();
        known.dedup();
        if known.len() == before {
            break;
        }
    }
    Ok(known)
}

/// Adds to what an erasure has removed of a table.
pub(super) async fn count(
    connection: &mut Connection,
    tenant: TenantId,
    erasure: ErasureId,
    table: &str,
    rows: u64,
) -> Result<(), StoreError> {
    if rows == 0 {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO erasure_count (tenant_id, erasure_id, counted, removed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id, erasure_id, counted) DO UPDATE SET removed = erasure_count.removed + EXCLUDED.removed",
        tenant.uuid(),
        erasure.uuid(),
        table,
        i64::try_from(rows).unwrap_or(i64::MAX),
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// Puts the fence up, unless somebody holds the person's data: their numbers and ids stand for nobody any more, what waits to be
    /// sent to them is cancelled, and every statement that stores something looks at the fence.
    pub async fn fence_erasure(
        &self,
        tenant: TenantId,
        id: ErasureId,
        traces: &Traces,
        entries: FenceEntries,
        now: OffsetDateTime,
    ) -> Result<Fence, StoreError> {
        self.ensure_partitions(entries.up.id.day()).await?;
        let mut transaction = self.begin().await?;
        let asked = sqlx::query_scalar!(
            "SELECT contact_ids FROM erasure
             WHERE tenant_id = $1 AND erasure_id = $2 AND state IN ('identity_checked', 'held') FOR UPDATE",
            tenant.uuid(),
            id.uuid(),
        );
        let Some(asked) = asked.fetch_optional(&mut *transaction).await? else { return Ok(Fence::Elsewhere) };
        let contacts = everyone(&mut transaction, tenant, &asked).await?;
        if super::holds::any(&mut transaction, tenant, &contacts, now).await? {
            let held = sqlx::query!(
                "UPDATE erasure SET state = 'held' WHERE tenant_id = $1 AND erasure_id = $2 AND state = 'identity_checked'",
                tenant.uuid(),
                id.uuid(),
            );
            if held.execute(&mut *transaction).await?.rows_affected() == 1 {
                audit_entries::insert(&mut transaction, &[entries.held]).await?;
                transaction.commit().await?;
            }
            return Ok(Fence::Held);
        }
        sqlx::query!(
            "INSERT INTO erased_contact (tenant_id, contact_id, erased_at)
             SELECT $1, one, $3 FROM UNNEST($2::uuid[]) AS t (one) ON CONFLICT DO NOTHING",
            tenant.uuid(),
            &contacts,
            now,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "UPDATE erasure SET state = 'fenced', fenced_at = $3, contact_ids = $4, channel_ids = ARRAY(
                 SELECT DISTINCT channel_id FROM (
                     SELECT channel_id FROM service_window WHERE tenant_id = $1 AND contact_id = ANY($4)
                     UNION ALL
                     SELECT channel_id FROM event WHERE tenant_id = $1 AND contact_id = ANY($4) AND status_rank IS NULL
                     UNION ALL
                     SELECT channel_id FROM message WHERE tenant_id = $1 AND contact_id = ANY($4)
                 ) met WHERE channel_id IS NOT NULL)
             WHERE tenant_id = $1 AND erasure_id = $2",
            tenant.uuid(),
            id.uuid(),
            now,
            &contacts,
        )
        .execute(&mut *transaction)
        .await?;
        forget_traces(&mut transaction, tenant, id, &contacts, traces, now).await?;
        let cancelled = cancel_waiting(&mut transaction, tenant, &contacts, now).await?;
        count(&mut transaction, tenant, id, "outbox", cancelled).await?;
        audit_entries::insert(&mut transaction, &[entries.up]).await?;
        transaction.commit().await?;
        Ok(Fence::Up)
    }

    /// Puts the fence up again around contacts that a restored copy brought back: they are found by nobody, and nothing is stored about
    /// them.
    pub async fn fence_again(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH nameless AS (
                 DELETE FROM contact_identifier WHERE tenant_id = $1 AND contact_id = ANY($2)
             )
             INSERT INTO erased_contact (tenant_id, contact_id, erased_at)
             SELECT $1, one, $3 FROM UNNEST($2::uuid[]) AS t (one) ON CONFLICT DO NOTHING",
            tenant.uuid(),
            contacts,
            now,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// The transactions that may have looked before the fence was up: whoever stores something about a person holds one of these locks
    /// from before it looks until it has committed.
    pub async fn storing_transactions(&self) -> Result<Vec<String>, StoreError> {
        let storing = sqlx::query_scalar!(
            r#"SELECT DISTINCT virtualtransaction AS "transaction!" FROM pg_locks
               WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND relation IN (to_regclass('event'), to_regclass('message'), to_regclass('consent'), to_regclass('contact'),
                                  to_regclass('media'), to_regclass('export'), to_regclass('notice'), to_regclass('hold'),
                                  to_regclass('restriction'), to_regclass('privacy_request'))"#
        );
        Ok(storing.fetch_all(&self.data).await?)
    }

    /// Whether a request to one of these people may be on the wire.
    pub async fn is_sending_to(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<bool, StoreError> {
        let sending = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT 1 FROM message m CROSS JOIN LATERAL (
                       SELECT 1 FROM outbox o
                       WHERE o.tenant_id = $1 AND o.channel_id = m.channel_id AND o.message_id = m.message_id LIMIT 1
                   ) o
                   WHERE m.tenant_id = $1 AND m.contact_id = ANY($2) AND m.state = 'queued'
               ) AS "sending!""#,
            tenant.uuid(),
            contacts,
        );
        Ok(sending.fetch_one(&self.data).await?)
    }
}

/// Numbers, ids and keyed hashes. What somebody agreed to stays proven, under a hash that leads nowhere.
async fn forget_traces(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: ErasureId,
    contacts: &[Uuid],
    traces: &Traces,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let proofs: Vec<&[u8]> = traces.proofs.iter().map(<[u8; 16]>::as_slice).collect();
    sqlx::query!(
        "INSERT INTO consent_proof (tenant_id, person, proof_id, purpose, state, source, occurred_at, kept_until, wording_version)
         SELECT $1, person, gen_random_uuid(), purpose, state, source, occurred_at,
                (($4::timestamptz + interval '3 years') AT TIME ZONE 'UTC')::date, wording_version
         FROM consent CROSS JOIN UNNEST($3::bytea[]) AS t (person)
         WHERE tenant_id = $1 AND contact_id = ANY($2)",
        tenant.uuid(),
        contacts,
        &proofs as _,
        now,
    )
    .execute(&mut **transaction)
    .await?;
    let named = sqlx::query!(
        "DELETE FROM contact_identifier WHERE tenant_id = $1 AND contact_id = ANY($2)",
        tenant.uuid(),
        contacts,
    );
    let named = named.execute(&mut **transaction).await?.rows_affected();
    count(transaction, tenant, id, "contact_identifier", named).await?;
    let decoys: Vec<&[u8]> = traces.decoys.iter().map(<[u8; 16]>::as_slice).collect();
    let decoys =
        sqlx::query!("DELETE FROM decoy WHERE tenant_id = $1 AND contact_hash = ANY($2)", tenant.uuid(), &decoys as _,);
    // Not counted: it would tell that there was one.
    decoys.execute(&mut **transaction).await?;
    let reads: Vec<&[u8]> = traces.reads.iter().map(<[u8; 16]>::as_slice).collect();
    let reads = sqlx::query!(
        "DELETE FROM key_read WHERE tenant_id = $1 AND key_id IN (SELECT key_id FROM api_key WHERE tenant_id = $1)
           AND contact_hash = ANY($2)",
        tenant.uuid(),
        &reads as _,
    );
    let reads = reads.execute(&mut **transaction).await?.rows_affected();
    count(transaction, tenant, id, "key_read", reads).await?;
    let replays = sqlx::query_scalar!(
        r#"WITH gone AS (
               DELETE FROM replay WHERE tenant_id = $1 AND contact_id = ANY($2) RETURNING replay_id
           ), lanes AS (
               DELETE FROM lane USING gone WHERE tenant_id = $1 AND kind = 3 AND owner_id = gone.replay_id
           )
           SELECT count(*) AS "count!" FROM gone"#,
        tenant.uuid(),
        contacts,
    );
    let replays = replays.fetch_one(&mut **transaction).await?;
    count(transaction, tenant, id, "replay", replays.unsigned_abs()).await
}

/// What waits its turn to be sent is not sent. What may be on the wire is left to its lane. Returns how many messages there were.
pub(super) async fn cancel_waiting(
    transaction: &mut Transaction,
    tenant: TenantId,
    contacts: &[Uuid],
    now: OffsetDateTime,
) -> Result<u64, StoreError> {
    let mut cancelled = 0;
    let waiting = sqlx::query!(
        "SELECT channel_id, part_day, message_id FROM message
         WHERE tenant_id = $1 AND contact_id = ANY($2) AND state = 'queued'",
        tenant.uuid(),
        contacts,
    );
    for one in waiting.fetch_all(&mut **transaction).await? {
        let done = sqlx::query!(
            "WITH gone AS (
                 DELETE FROM outbox
                 WHERE tenant_id = $1 AND channel_id = $2 AND message_id = $4 AND sending_epoch IS NULL RETURNING message_id
             )
             UPDATE message SET state = 'cancelled', settled_at = $5
             WHERE tenant_id = $1 AND part_day = $3 AND message_id IN (SELECT message_id FROM gone) AND state = 'queued'",
            tenant.uuid(),
            one.channel_id,
            one.part_day,
            one.message_id,
            now,
        );
        cancelled += done.execute(&mut **transaction).await?.rows_affected();
    }
    Ok(cancelled)
}

impl Store {
    /// The days of which something about these people is stored.
    pub async fn days_of(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<Date>, StoreError> {
        let days = sqlx::query_scalar!(
            r#"SELECT DISTINCT part_day AS "day!" FROM (
                   SELECT part_day FROM event WHERE tenant_id = $1 AND contact_id = ANY($2) AND status_rank IS NULL
                   UNION ALL
                   SELECT part_day FROM event WHERE tenant_id = $1 AND contact_id = ANY($2) AND status_rank IS NOT NULL
                   UNION ALL
                   SELECT part_day FROM message WHERE tenant_id = $1 AND contact_id = ANY($2)
               ) days ORDER BY 1"#,
            tenant.uuid(),
            contacts,
        );
        Ok(days.fetch_all(self.reading(tenant)).await?)
    }

    /// The files of a person's events of one day, kept or on their way.
    pub async fn media_of_day(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
        day: Date,
    ) -> Result<Vec<(Uuid, Option<Uuid>)>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH said AS MATERIALIZED (
                   SELECT event_id FROM event
                   WHERE tenant_id = $1 AND part_day = $3 AND contact_id = ANY($2) AND status_rank IS NULL
               )
               SELECT m.media_id AS "media_id!", m.contact_id FROM said CROSS JOIN LATERAL (
                   SELECT media_id, contact_id FROM media WHERE tenant_id = $1 AND media_id = said.event_id
                   UNION ALL
                   SELECT media_id, contact_id FROM media_fetch WHERE tenant_id = $1 AND media_id = said.event_id
                   LIMIT 1
               ) m"#,
            tenant.uuid(),
            contacts,
            day,
        );
        let rows = rows.fetch_all(self.reading(tenant)).await?;
        Ok(rows.into_iter().map(|row| (row.media_id, row.contact_id)).collect())
    }
}
