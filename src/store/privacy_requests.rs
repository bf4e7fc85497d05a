//! Requests of people about their data, and by when they are to be answered.

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::{Store, StoreError, Transaction};
use crate::ids::{ErasureId, PrivacyRequestId, TenantId};

/// A request as it is stored.
#[derive(Debug, Clone)]
pub struct PrivacyRequestRow {
    /// Id.
    pub request_id: Uuid,
    /// What is asked for; a word of the table's list.
    pub kind: String,
    /// By which law; a word of the table's list.
    pub law: String,
    /// `open`, `done` or `refused`.
    pub state: String,
    /// Whose data.
    pub contact_id: Option<Uuid>,
    /// Sealed; of the case.
    pub reference: Option<Vec<u8>>,
    /// Sealed; why it takes longer, or was refused.
    pub reason: Option<Vec<u8>>,
    /// Who entered it; nil: an operator.
    pub actor_id: Uuid,
    /// The erasure that was begun for it.
    pub erasure_id: Option<Uuid>,
    /// When it came.
    pub received_at: OffsetDateTime,
    /// By when it is to be answered.
    pub due_at: OffsetDateTime,
    /// When it was given longer.
    pub extended_at: Option<OffsetDateTime>,
    /// When it was answered.
    pub closed_at: Option<OffsetDateTime>,
}

/// A change of an open request.
#[derive(Debug)]
pub enum RequestChange<'a> {
    /// It takes until then, for the sealed reason.
    Extend(OffsetDateTime, &'a [u8]),
    /// It is over, in this state, perhaps for a sealed reason.
    Close(&'a str, Option<&'a [u8]>),
}

/// Open requests that want somebody's eye.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRequest {
    /// Owner.
    pub tenant_id: Uuid,
    /// Id.
    pub request_id: Uuid,
    /// What is asked for.
    pub kind: String,
    /// By which law.
    pub law: String,
    /// By when.
    pub due_at: OffsetDateTime,
}

impl Store {
    /// Enters a request.
    pub async fn insert_privacy_request(
        &self,
        tenant: TenantId,
        new: &PrivacyRequestRow,
        entry: NewAuditEntry,
    ) -> Result<(), StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        // Nothing is stored about whom an erasure has fenced off: the request stands without them then, and without what may name them.
        sqlx::query!(
            "WITH whom AS (
                 SELECT contact_id FROM contact c WHERE tenant_id = $1 AND contact_id = $5::uuid AND NOT EXISTS (
                     SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = $5) FOR KEY SHARE
             )
             INSERT INTO privacy_request (tenant_id, request_id, kind, law, state, contact_id, reference, actor_id, received_at, due_at)
             SELECT $1, $2, $3, $4, 'open', (SELECT contact_id FROM whom),
                    CASE WHEN $5 IS NULL OR EXISTS (SELECT 1 FROM whom) THEN $6::bytea END, $7, $8, $9",
            tenant.uuid(),
            new.request_id,
            new.kind,
            new.law,
            new.contact_id,
            new.reference,
            new.actor_id,
            new.received_at,
            new.due_at,
        )
        .execute(&mut *transaction)
        .await?;
        audit_entries::insert(&mut transaction, &[entry]).await?;
        Ok(transaction.commit().await?)
    }

    /// Changes an open request. False: it is not open, or was given longer before, or its time is over.
    pub async fn change_privacy_request(
        &self,
        tenant: TenantId,
        id: PrivacyRequestId,
        change: &RequestChange<'_>,
        entry: NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        let done = match change {
            RequestChange::Extend(until, reason) => {
                sqlx::query!(
                    "UPDATE privacy_request SET due_at = $3, extended_at = $4, reason = $5::bytea
                     WHERE tenant_id = $1 AND request_id = $2 AND state = 'open' AND extended_at IS NULL AND due_at >= $4",
                    tenant.uuid(),
                    id.uuid(),
                    *until,
                    now,
                    *reason,
                )
                .execute(&mut *transaction)
                .await?
            }
            RequestChange::Close(state, reason) => {
                sqlx::query!(
                    "UPDATE privacy_request SET state = $3, closed_at = $4, reason = COALESCE($5::bytea, reason::bytea)
                     WHERE tenant_id = $1 AND request_id = $2 AND state = 'open'",
                    tenant.uuid(),
                    id.uuid(),
                    *state,
                    now,
                    *reason,
                )
                .execute(&mut *transaction)
                .await?
            }
        };
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        audit_entries::insert(&mut transaction, &[entry]).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// One request.
    pub async fn find_privacy_request(
        &self,
        tenant: TenantId,
        id: PrivacyRequestId,
    ) -> Result<Option<PrivacyRequestRow>, StoreError> {
        let row = sqlx::query_as!(
            PrivacyRequestRow,
            r#"SELECT request_id, kind, law, state, contact_id, reference::bytea AS reference, reason::bytea AS reason, actor_id, erasure_id,
                      received_at, due_at, extended_at, closed_at
               FROM privacy_request WHERE tenant_id = $1 AND request_id = $2"#,
            tenant.uuid(),
            id.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }

    /// Requests, newest first, entered before `before`; `state`: of this state alone.
    pub async fn page_of_privacy_requests(
        &self,
        tenant: TenantId,
        before: Uuid,
        state: Option<&str>,
        limit: i64,
    ) -> Result<Vec<PrivacyRequestRow>, StoreError> {
        let rows = sqlx::query_as!(
            PrivacyRequestRow,
            r#"SELECT request_id, kind, law, state, contact_id, reference::bytea AS reference, reason::bytea AS reason, actor_id, erasure_id,
                      received_at, due_at, extended_at, closed_at
               FROM privacy_request WHERE tenant_id = $1 AND request_id < $2 AND ($3::text IS NULL OR state = $3)
               ORDER BY request_id DESC LIMIT $4"#,
            tenant.uuid(),
            before,
            state,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// How many requests are open, fall due before `soon`, and should have been answered before `now`; of all tenants.
    pub async fn count_privacy_requests(
        &self,
        now: OffsetDateTime,
        soon: OffsetDateTime,
    ) -> Result<(i64, i64, i64), StoreError> {
        let row = sqlx::query!(
            r#"SELECT count(*) AS "open!", count(*) FILTER (WHERE due_at >= $1 AND due_at < $2) AS "soon!",
                      count(*) FILTER (WHERE due_at < $1) AS "overdue!"
               FROM privacy_request WHERE state = 'open'"#,
            now,
            soon,
        );
        let row = row.fetch_one(&self.data).await?;
        Ok((row.open, row.soon, row.overdue))
    }

    /// Open requests that fall due before `soon`, of all tenants, the most urgent first: a page behind a place.
    pub async fn due_privacy_requests(
        &self,
        soon: OffsetDateTime,
        (due_at, id): (OffsetDateTime, Uuid),
        limit: i64,
    ) -> Result<Vec<DueRequest>, StoreError> {
        let rows = sqlx::query_as!(
            DueRequest,
            "SELECT tenant_id, request_id, kind, law, due_at FROM privacy_request
             WHERE state = 'open' AND due_at < $1 AND (due_at, request_id) > ($3, $4) ORDER BY due_at, request_id LIMIT $2",
            soon,
            limit,
            due_at,
            id,
        );
        Ok(rows.fetch_all(&self.data).await?)
    }
}

/// Joins an erasure to the request that it is made for. False: that is not open, or has another.
pub(super) async fn join_erasure(
    transaction: &mut Transaction,
    tenant: TenantId,
    id: PrivacyRequestId,
    erasure: ErasureId,
) -> Result<bool, StoreError> {
    let done = sqlx::query!(
        "UPDATE privacy_request SET erasure_id = $3
         WHERE tenant_id = $1 AND request_id = $2 AND state = 'open' AND kind = 'erasure' AND erasure_id IS NULL",
        tenant.uuid(),
        id.uuid(),
        erasure.uuid(),
    );
    Ok(done.execute(&mut **transaction).await?.rows_affected() == 1)
}

/// The request that an erasure was made for is answered with it.
pub(super) async fn close_with_erasure(
    transaction: &mut Transaction,
    tenant: TenantId,
    erasure: ErasureId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE privacy_request SET state = 'done', closed_at = $3
         WHERE tenant_id = $1 AND erasure_id = $2 AND state = 'open'",
        tenant.uuid(),
        erasure.uuid(),
        now,
    )
    .execute(&mut **transaction)
    .await?;
    Ok(())
}
