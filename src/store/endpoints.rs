//! Endpoints, as an operator sets them up. Read whole; every change steps the version of the settings.

use time::OffsetDateTime;
use uuid::Uuid;

use super::events::{self, NewEvent};
use super::settings::{end_update, step_version};
use super::{Store, StoreError};
use crate::domain::endpoint::DisabledReason;
use crate::ids::{EndpointId, TenantId};

/// An endpoint.
#[derive(Debug)]
pub struct EndpointRow {
    /// Owner.
    pub tenant_id: Uuid,
    /// Id.
    pub endpoint_id: Uuid,
    /// Free text.
    pub name: String,
    /// Sealed.
    pub url: Vec<u8>,
    /// Host alone, for operators and logs.
    pub url_host: String,
    /// How it wants its events.
    pub format: String,
    /// Empty: all.
    pub event_types: Vec<String>,
    /// Empty: all.
    pub channel_ids: Vec<Uuid>,
    /// Absent: both.
    pub direction: Option<String>,
    /// How much it is shown.
    pub fields: String,
    /// Whether contacts have ids of their own there.
    pub pseudonymous: bool,
    /// In what order.
    pub ordering: String,
    /// Failed attempts after which a contact's later events go on.
    pub skip_after: Option<i16>,
    /// Absent: no limit.
    pub max_per_second: Option<i32>,
    /// Absent: as configured.
    pub max_in_flight: Option<i16>,
    /// Absent: as configured.
    pub timeout_ms: Option<i32>,
    /// Sealed; absent: none.
    pub options: Option<Vec<u8>>,
    /// Sealed; signs too until `previous_secret_until`.
    pub previous_signing_secret: Option<Vec<u8>>,
    /// Until when.
    pub previous_secret_until: Option<OffsetDateTime>,
    /// Sealed.
    pub signing_secret: Vec<u8>,
    /// `active`, `paused` or `disabled`.
    pub state: String,
    /// `gone`: answered 410.
    pub disabled_reason: Option<String>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Last change.
    pub updated_at: OffsetDateTime,
}

impl Store {
    /// All endpoints of all tenants.
    pub async fn all_endpoints(&self) -> Result<Vec<EndpointRow>, StoreError> {
        let rows = sqlx::query_as!(
            EndpointRow,
            r#"SELECT tenant_id, endpoint_id, name, url::bytea AS "url!", url_host, format, event_types, channel_ids,
                      direction, fields, pseudonymous, ordering, skip_after, max_per_second, max_in_flight, timeout_ms,
                      options::bytea AS "options?", previous_signing_secret::bytea AS "previous_signing_secret?",
                      previous_secret_until, signing_secret::bytea AS "signing_secret!", state, disabled_reason, created_at, updated_at
               FROM endpoint ORDER BY tenant_id, endpoint_id"#
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Adds an endpoint with its lane.
    pub async fn insert_endpoint(&self, row: &EndpointRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "INSERT INTO endpoint (tenant_id, endpoint_id, name, url, url_host, format, event_types, channel_ids, direction, fields,
                                   pseudonymous, ordering, skip_after, max_per_second, max_in_flight, timeout_ms, options,
                                   previous_signing_secret, previous_secret_until, signing_secret, state, disabled_reason,
                                   created_at, updated_at)
             VALUES ($1, $2, $3, $4::bytea, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::bytea, $18::bytea, $19,
                     $20::bytea, $21, $22, $23, $24)",
            row.tenant_id,
            row.endpoint_id,
            row.name,
            row.url,
            row.url_host,
            row.format,
            &row.event_types,
            &row.channel_ids,
            row.direction,
            row.fields,
            row.pseudonymous,
            row.ordering,
            row.skip_after,
            row.max_per_second,
            row.max_in_flight,
            row.timeout_ms,
            row.options,
            row.previous_signing_secret,
            row.previous_secret_until,
            row.signing_secret,
            row.state,
            row.disabled_reason,
            row.created_at,
            row.updated_at,
        )
        .execute(&mut *transaction)
        .await?;
        super::lanes::ensure(
            &mut transaction,
            TenantId::from_uuid(row.tenant_id),
            super::lanes::Kind::Endpoint,
            row.endpoint_id,
        )
        .await?;
        step_version(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Replaces the values of an endpoint but its format, as [`Store::update_app`] does.
    pub async fn update_endpoint(&self, row: &EndpointRow, read: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE endpoint
             SET name = $4, url = $5::bytea, url_host = $6, event_types = $7, channel_ids = $8, direction = $9, fields = $10,
                 pseudonymous = $11, ordering = $12, skip_after = $13, max_per_second = $14, max_in_flight = $15,
                 timeout_ms = $16, options = $17::bytea, previous_signing_secret = $18::bytea, previous_secret_until = $19,
                 signing_secret = $20::bytea, state = $21, disabled_reason = $22,
                 updated_at = GREATEST($23, updated_at + interval '1 microsecond')
             WHERE tenant_id = $1 AND endpoint_id = $2 AND updated_at = $3",
            row.tenant_id,
            row.endpoint_id,
            read,
            row.name,
            row.url,
            row.url_host,
            &row.event_types,
            &row.channel_ids,
            row.direction,
            row.fields,
            row.pseudonymous,
            row.ordering,
            row.skip_after,
            row.max_per_second,
            row.max_in_flight,
            row.timeout_ms,
            row.options,
            row.previous_signing_secret,
            row.previous_secret_until,
            row.signing_secret,
            row.state,
            row.disabled_reason,
            row.updated_at,
        )
        .execute(&mut *transaction)
        .await?;
        end_update(transaction, done.rows_affected()).await
    }

    /// Removes an endpoint, its lane and its replays. What it is still owed may be millions of rows, too many for one statement; it is
    /// left to [`Store::sweep_orphans`].
    pub async fn delete_endpoint(&self, tenant: TenantId, endpoint: EndpointId) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "DELETE FROM endpoint WHERE tenant_id = $1 AND endpoint_id = $2",
            tenant.uuid(),
            endpoint.uuid()
        )
        .execute(&mut *transaction)
        .await?;
        super::lanes::remove(&mut transaction, tenant, super::lanes::Kind::Endpoint, endpoint.uuid()).await?;
        super::replays::remove(&mut transaction, tenant, endpoint).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stops deliveries to an endpoint, and tells the others in the same commit. Returns whether it was active; if not, nothing
    /// is written.
    pub async fn disable_endpoint(
        &self,
        tenant: TenantId,
        endpoint: EndpointId,
        reason: DisabledReason,
        told: NewEvent,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE endpoint SET state = 'disabled', disabled_reason = $3,
                    updated_at = GREATEST($4, updated_at + interval '1 microsecond')
             WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'active'",
            tenant.uuid(),
            endpoint.uuid(),
            reason.as_str(),
            now,
        )
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        events::insert_batch(&mut transaction, tenant, &[told], now).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
