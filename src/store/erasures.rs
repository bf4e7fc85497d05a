//! Erasures: what was asked for, and how far each has come. Every step is an update from the state before, together with its entry
//! in the audit log: two processes that are at it do it once. `erasing.rs` removes the rows.

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::erasure_proofs::{self, NewIdentity};
use super::events::{self, NewEvent};
use super::lanes::{self, Kind};
use super::{Store, StoreError, Transaction, privacy_requests};
use crate::ids::{EndpointId, ErasureId, PrivacyRequestId, TenantId};

/// What is asked for.
#[derive(Debug)]
pub struct NewErasure<'a> {
    /// Id.
    pub id: ErasureId,
    /// Every id of the person.
    pub contacts: &'a [Uuid],
    /// Salted.
    pub commitment: [u8; 32],
    /// `contact_id`, `phone`, `user_id` or `username`.
    pub asked_by: &'static str,
    /// A word from a closed list.
    pub basis: &'static str,
    /// Sealed.
    pub reference: Option<&'a [u8]>,
    /// The API key; nil: an operator.
    pub actor: Uuid,
    /// Whether the epoch is stepped for it.
    pub step_now: bool,
    /// The request that ends with it.
    pub request: Option<PrivacyRequestId>,
    /// How the person was known to be who they said.
    pub identity: Option<NewIdentity<'a>>,
}

/// What came of storing an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is worked on from now.
    Done,
    /// One of the contacts is being erased already.
    UnderWay,
    /// Its request is not open, is about something else, or has an erasure.
    NoRequest,
}

/// An erasure as it is stored.
#[derive(Debug, Clone)]
pub struct ErasureRow {
    /// Id.
    pub erasure_id: Uuid,
    /// How far it is.
    pub state: String,
    /// Whom; empty once certified.
    pub contact_ids: Vec<Uuid>,
    /// Through which numbers they were met.
    pub channel_ids: Vec<Uuid>,
    /// To the person.
    pub commitment: Vec<u8>,
    /// By what the person was named.
    pub asked_by: String,
    /// Why.
    pub basis: String,
    /// Of the case.
    pub reference: Option<Vec<u8>>,
    /// Who asked.
    pub actor_id: Uuid,
    /// Whether the epoch is stepped for it.
    pub step_now: bool,
    /// Check values of the keys that were destroyed, 32 bytes each.
    pub key_checks: Vec<u8>,
    /// Of the keys, when they were destroyed.
    pub epoch_before: Option<i64>,
    /// From which on no copy of before opens them.
    pub epoch_after: Option<i64>,
    /// Places of the epoch cell that were written.
    pub places_written: Option<i16>,
    /// Places there are.
    pub places: Option<i16>,
    /// `contact.erased`.
    pub event_id: Option<Uuid>,
    /// When it was asked for.
    pub created_at: OffsetDateTime,
    /// From when on nothing was stored about the person.
    pub fenced_at: Option<OffsetDateTime>,
    /// When the keys were destroyed.
    pub keys_destroyed_at: Option<OffsetDateTime>,
    /// When the rows were removed.
    pub rows_removed_at: Option<OffsetDateTime>,
    /// When no older copy of the keys opened them any more.
    pub epoch_stepped_at: Option<OffsetDateTime>,
    /// When everybody had been told.
    pub downstream_at: Option<OffsetDateTime>,
    /// When the certificate was written.
    pub certified_at: Option<OffsetDateTime>,
    /// The certificate.
    pub certificate: Option<String>,
    /// The entry that commits to it.
    pub entry_id: Option<Uuid>,
}

/// Whether an endpoint was told.
#[derive(Debug, Clone)]
pub struct ReceiptRow {
    /// Which.
    pub endpoint_id: Uuid,
    /// `pending`, `acknowledged`, `dead`, `removed`, `cannot_be_told`, `disabled` or `other_channels`.
    pub state: String,
    /// Since when it is more than pending.
    pub settled_at: Option<OffsetDateTime>,
}

impl Store {
    /// Stores an erasure, to be worked on from now.
    pub async fn insert_erasure(
        &self,
        tenant: TenantId,
        new: &NewErasure<'_>,
        entry: NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<Inserted, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        // Two requests for one person meet here.
        sqlx::query!(
            "SELECT 1 AS one FROM contact WHERE tenant_id = $1 AND contact_id = ANY($2) ORDER BY contact_id FOR UPDATE",
            tenant.uuid(),
            new.contacts,
        )
        .fetch_all(&mut *transaction)
        .await?;
        let done = sqlx::query!(
            "INSERT INTO erasure (tenant_id, erasure_id, state, contact_ids, commitment, asked_by, basis, reference, actor_id,
                                  step_now, created_at)
             SELECT $1, $2, 'received', $3, $4, $5, $6, $7::bytea, $8, $9, $10
             WHERE NOT EXISTS (SELECT 1 FROM erasure WHERE tenant_id = $1 AND state <> 'certified' AND contact_ids && $3)",
            tenant.uuid(),
            new.id.uuid(),
            new.contacts,
            new.commitment.as_slice(),
            new.asked_by,
            new.basis,
            new.reference,
            new.actor,
            new.step_now,
            now,
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(Inserted::UnderWay);
        }
        if let Some(request) = new.request
            && !privacy_requests::join_erasure(&mut transaction, tenant, request, new.id).await?
        {
            return Ok(Inserted::NoRequest);
        }
        if let Some(identity) = &new.identity {
            erasure_proofs::keep_identity(&mut transaction, tenant, new.id, identity, now).await?;
        }
        lanes::ensure(&mut transaction, tenant, Kind::Privacy, new.id.uuid()).await?;
        audit_entries::insert(&mut transaction, &[entry]).await?;
        transaction.commit().await?;
        Ok(Inserted::Done)
    }

    /// One erasure.
    pub async fn find_erasure(&self, tenant: TenantId, id: ErasureId) -> Result<Option<ErasureRow>, StoreError> {
        let row = sqlx::query_as!(
            ErasureRow,
            "SELECT erasure_id, state, contact_ids, channel_ids, commitment, asked_by, basis, reference::bytea AS reference,
                    actor_id, step_now, key_checks, epoch_before, epoch_after, places_written, places, event_id, created_at,
                    fenced_at, keys_destroyed_at, rows_removed_at, epoch_stepped_at, downstream_at, certified_at, certificate,
                    entry_id
             FROM erasure WHERE tenant_id = $1 AND erasure_id = $2",
            tenant.uuid(),
            id.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }

    /// Erasures, newest first, older than `before`.
    pub async fn page_of_erasures(
        &self,
        tenant: TenantId,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<ErasureRow>, StoreError> {
        let rows = sqlx::query_as!(
            ErasureRow,
            "SELECT erasure_id, state, contact_ids, channel_ids, commitment, asked_by, basis, reference::bytea AS reference,
                    actor_id, step_now, key_checks, epoch_before, epoch_after, places_written, places, event_id, created_at,
                    fenced_at, keys_destroyed_at, rows_removed_at, epoch_stepped_at, downstream_at, certified_at, certificate,
                    entry_id
             FROM erasure WHERE tenant_id = $1 AND erasure_id < $2 ORDER BY erasure_id DESC LIMIT $3",
            tenant.uuid(),
            before,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// How many rows of each table went, by its name.
    pub async fn counts_of_erasure(&self, tenant: TenantId, id: ErasureId) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT counted, removed FROM erasure_count
             WHERE tenant_id = $1 AND erasure_id = $2 AND counted <> 'left_at_meta' ORDER BY counted",
            tenant.uuid(),
            id.uuid(),
        );
        let rows = rows.fetch_all(self.reading(tenant)).await?;
        Ok(rows.into_iter().map(|row| (row.counted, row.removed)).collect())
    }

    /// Who has to be told, and whether they were.
    pub async fn receipts_of_erasure(&self, tenant: TenantId, id: ErasureId) -> Result<Vec<ReceiptRow>, StoreError> {
        let rows = sqlx::query_as!(
            ReceiptRow,
            "SELECT endpoint_id, state, settled_at FROM erasure_receipt
             WHERE tenant_id = $1 AND erasure_id = $2 ORDER BY endpoint_id",
            tenant.uuid(),
            id.uuid(),
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// Settles receipts by what the endpoints are still owed: what was taken is owed no longer. Those that died may be redriven, and
    /// are looked at again. Returns how many are pending.
    pub async fn settle_receipts(
        &self,
        tenant: TenantId,
        id: ErasureId,
        now: OffsetDateTime,
    ) -> Result<i64, StoreError> {
        let pending = sqlx::query_scalar!(
            r#"WITH seen AS (
                   SELECT r.endpoint_id, CASE
                       WHEN NOT EXISTS (SELECT 1 FROM endpoint p WHERE p.tenant_id = $1 AND p.endpoint_id = r.endpoint_id) THEN 'removed'
                       WHEN EXISTS (SELECT 1 FROM delivery_dead d
                                    WHERE d.tenant_id = $1 AND d.endpoint_id = r.endpoint_id AND d.event_id = e.event_id) THEN 'dead'
                       WHEN EXISTS (SELECT 1 FROM delivery d WHERE d.tenant_id = $1 AND d.endpoint_id = r.endpoint_id AND d.shard = 0
                                      AND d.event_id = e.event_id)
                         OR EXISTS (SELECT 1 FROM delivery_retry d WHERE d.tenant_id = $1 AND d.endpoint_id = r.endpoint_id
                                      AND d.shard = 0 AND d.event_id = e.event_id) THEN 'pending'
                       ELSE 'acknowledged' END AS state
                   FROM erasure_receipt r JOIN erasure e USING (tenant_id, erasure_id)
                   WHERE r.tenant_id = $1 AND r.erasure_id = $2 AND r.state IN ('pending', 'dead') AND e.event_id IS NOT NULL
               ), settled AS (
                   UPDATE erasure_receipt r SET state = seen.state, settled_at = CASE WHEN seen.state = 'pending' THEN NULL ELSE $3::timestamptz END
                   FROM seen
                   WHERE r.tenant_id = $1 AND r.erasure_id = $2 AND r.endpoint_id = seen.endpoint_id AND r.state <> seen.state
               )
               SELECT count(*) FILTER (WHERE state = 'pending') AS "pending!" FROM seen"#,
            tenant.uuid(),
            id.uuid(),
            now,
        );
        Ok(pending.fetch_one(&self.data).await?)
    }

    /// Takes one from a state to the next, with the entry that says so, and whatever else `moving` brings. False: somebody else was
    /// faster.
    pub async fn move_erasure(
        &self,
        tenant: TenantId,
        id: ErasureId,
        moving: Moving<'_>,
        entry: NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        if !step(&mut transaction, tenant, id, &moving, now).await? {
            return Ok(false);
        }
        if let Some(telling) = &moving.telling {
            tell(&mut transaction, tenant, id, telling, now).await?;
        }
        if let Some((certificate, entry)) = moving.certificate {
            erasure_proofs::certify(&mut transaction, tenant, id, certificate, entry).await?;
            privacy_requests::close_with_erasure(&mut transaction, tenant, id, now).await?;
        }
        audit_entries::insert(&mut transaction, &[entry]).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Erasures that are under way, for the metrics.
    pub async fn running_erasures(&self) -> Result<i64, StoreError> {
        let running = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM erasure WHERE state <> 'certified'"#);
        Ok(running.fetch_one(&self.data).await?)
    }
}

/// A step.
#[derive(Debug, Default)]
pub struct Moving<'a> {
    /// From which state.
    pub from: &'static str,
    /// To which.
    pub to: &'static str,
    /// Check values of keys that were destroyed, to be added to those before.
    pub key_checks: Option<&'a [u8]>,
    /// The epoch of these keys.
    pub epoch_before: Option<i64>,
    /// The epoch since.
    pub epoch_after: Option<i64>,
    /// Places of the cell that were written, and that there are.
    pub places: Option<(i16, i16)>,
    /// Whom to tell.
    pub telling: Option<Telling<'a>>,
    /// What was certified, and the entry that commits to it.
    pub certificate: Option<(&'a str, Uuid)>,
}

/// Whom to tell of an erasure.
#[derive(Debug)]
pub struct Telling<'a> {
    /// What; owed to all who can be told.
    pub event: &'a NewEvent,
    /// Those who are not told, and why; a word of the table's list.
    pub others: &'a [(EndpointId, &'static str)],
}

async fn step(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: ErasureId,
    moving: &Moving<'_>,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let (written, places) = moving.places.unzip();
    let done = sqlx::query!(
        "UPDATE erasure SET state = $4,
                key_checks = key_checks || COALESCE($6::bytea, ''), epoch_before = COALESCE($7, epoch_before),
                epoch_after = COALESCE($8, epoch_after), places_written = COALESCE($9, places_written),
                places = COALESCE($10, places),
                keys_destroyed_at = CASE WHEN $4 = 'keys_destroyed' THEN $5 ELSE keys_destroyed_at END,
                rows_removed_at = CASE WHEN $4 = 'rows_removed' THEN $5 ELSE rows_removed_at END,
                epoch_stepped_at = CASE WHEN $4 = 'epoch_stepped' THEN $5 ELSE epoch_stepped_at END,
                downstream_at = CASE WHEN $4 = 'downstream_done' THEN $5 ELSE downstream_at END,
                certified_at = CASE WHEN $4 = 'certified' THEN $5 END
         WHERE tenant_id = $1 AND erasure_id = $2 AND state = $3",
        tenant.uuid(),
        id.uuid(),
        moving.from,
        moving.to,
        now,
        moving.key_checks,
        moving.epoch_before,
        moving.epoch_after,
        written,
        places,
    );
    Ok(done.execute(&mut **transaction).await?.rows_affected() == 1)
}

async fn tell(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: ErasureId,
    telling: &Telling<'_>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    events::insert_batch(transaction, tenant, std::slice::from_ref(telling.event), now).await?;
    let told = telling.event.owed_to.iter().map(|(endpoint, _)| (endpoint.uuid(), "pending"));
    let all = told.chain(telling.others.iter().map(|(endpoint, why)| (endpoint.uuid(), *why)));
    let (endpoints, states): (Vec<Uuid>, Vec<&str>) = all.unzip();
    sqlx::query!(
        "WITH told AS (
             UPDATE erasure SET event_id = $5 WHERE tenant_id = $1 AND erasure_id = $2
         )
         INSERT INTO erasure_receipt (tenant_id, erasure_id, endpoint_id, state)
         SELECT $1, $2, * FROM UNNEST($3::uuid[], $4::text[]) ON CONFLICT DO NOTHING",
        tenant.uuid(),
        id.uuid(),
        &endpoints,
        &states as _,
        telling.event.event_id.uuid(),
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
