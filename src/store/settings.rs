//! What an operator sets up: apps, channels and endpoints. Read whole; every change steps the version.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::ids::{AppId, ChannelId, EndpointId, TenantId};

/// A Meta app.
#[derive(Debug)]
pub struct AppRow {
    /// Owner.
    pub tenant_id: Uuid,
    /// Id.
    pub app_id: Uuid,
    /// Free text.
    pub name: String,
    /// Sealed.
    pub app_secret: Vec<u8>,
    /// Sealed; still accepted.
    pub previous_app_secret: Option<Vec<u8>>,
    /// Sealed.
    pub verify_token: Vec<u8>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Last change.
    pub updated_at: OffsetDateTime,
}

/// A channel.
#[derive(Debug)]
pub struct ChannelRow {
    /// Owner.
    pub tenant_id: Uuid,
    /// Id.
    pub channel_id: Uuid,
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// Meta's id of the account.
    pub waba_id: String,
    /// Free text.
    pub name: String,
    /// Sealed; absent: cannot send.
    pub access_token: Option<Vec<u8>>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Last change.
    pub updated_at: OffsetDateTime,
}

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
    /// `standard` or `meta`.
    pub format: String,
    /// Empty: all.
    pub event_types: Vec<String>,
    /// Empty: all.
    pub channel_ids: Vec<Uuid>,
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

/// Every change ends here, in the same transaction.
async fn step_version(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query!("UPDATE settings_version SET version = version + 1").execute(connection).await?;
    Ok(())
}

impl Store {
    /// Stepped by every change of apps, channels, endpoints and API keys.
    pub async fn settings_version(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar!("SELECT version FROM settings_version").fetch_one(&self.data).await?)
    }

    /// Makes sure the tenant exists.
    pub async fn ensure_tenant(&self, tenant: TenantId, name: &str, now: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO tenant (tenant_id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            tenant.uuid(),
            name,
            now,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// All apps of all tenants.
    pub async fn all_apps(&self) -> Result<Vec<AppRow>, StoreError> {
        let rows = sqlx::query_as!(
            AppRow,
            r#"SELECT tenant_id, app_id, name, app_secret::bytea AS "app_secret!",
                      previous_app_secret::bytea AS previous_app_secret, verify_token::bytea AS "verify_token!",
                      created_at, updated_at
               FROM meta_app ORDER BY tenant_id, app_id"#
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Adds an app or replaces its values.
    pub async fn upsert_app(&self, row: &AppRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "INSERT INTO meta_app (tenant_id, app_id, name, app_secret, previous_app_secret, verify_token, created_at, updated_at)
             VALUES ($1, $2, $3, $4::bytea, $5::bytea, $6::bytea, $7, $8)
             ON CONFLICT (tenant_id, app_id) DO UPDATE
             SET name = EXCLUDED.name, app_secret = EXCLUDED.app_secret, previous_app_secret = EXCLUDED.previous_app_secret,
                 verify_token = EXCLUDED.verify_token, updated_at = EXCLUDED.updated_at",
            row.tenant_id,
            row.app_id,
            row.name,
            row.app_secret,
            row.previous_app_secret,
            row.verify_token,
            row.created_at,
            row.updated_at,
        )
        .execute(&mut *transaction)
        .await?;
        step_version(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes an app. Returns whether there was one.
    pub async fn delete_app(&self, tenant: TenantId, app: AppId) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!("DELETE FROM meta_app WHERE tenant_id = $1 AND app_id = $2", tenant.uuid(), app.uuid())
            .execute(&mut *transaction)
            .await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// All channels of all tenants.
    pub async fn all_channels(&self) -> Result<Vec<ChannelRow>, StoreError> {
        let rows = sqlx::query_as!(
            ChannelRow,
            "SELECT tenant_id, channel_id, phone_number_id, waba_id, name, access_token::bytea AS access_token, created_at, updated_at
             FROM channel ORDER BY tenant_id, channel_id"
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Adds a channel with its lane, or replaces its values. A `phone_number_id` of another channel is a conflict.
    pub async fn upsert_channel(&self, row: &ChannelRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "INSERT INTO channel (tenant_id, channel_id, phone_number_id, waba_id, name, access_token, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6::bytea, $7, $8)
             ON CONFLICT (tenant_id, channel_id) DO UPDATE
             SET waba_id = EXCLUDED.waba_id, name = EXCLUDED.name, access_token = EXCLUDED.access_token,
                 updated_at = EXCLUDED.updated_at",
            row.tenant_id,
            row.channel_id,
            row.phone_number_id,
            row.waba_id,
            row.name,
            row.access_token,
            row.created_at,
            row.updated_at,
        )
        .execute(&mut *transaction)
        .await?;
        super::lanes::ensure(
            &mut transaction,
            TenantId::from_uuid(row.tenant_id),
            super::lanes::Kind::Channel,
            row.channel_id,
        )
        .await?;
        step_version(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Removes a channel and its lane. Messages still owed to Meta are a conflict.
    pub async fn delete_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let owed = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE tenant_id = $1 AND channel_id = $2) AS "owed!""#,
            tenant.uuid(),
            channel.uuid(),
        )
        .fetch_one(&mut *transaction)
        .await?;
        if owed {
            return Err(StoreError::Conflict);
        }
        let done =
            sqlx::query!("DELETE FROM channel WHERE tenant_id = $1 AND channel_id = $2", tenant.uuid(), channel.uuid())
                .execute(&mut *transaction)
                .await?;
        super::lanes::remove(&mut transaction, tenant, super::lanes::Kind::Channel, channel.uuid()).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// All endpoints of all tenants.
    pub async fn all_endpoints(&self) -> Result<Vec<EndpointRow>, StoreError> {
        let rows = sqlx::query_as!(
            EndpointRow,
            r#"SELECT tenant_id, endpoint_id, name, url::bytea AS "url!", url_host, format, event_types, channel_ids,
                      signing_secret::bytea AS "signing_secret!", state, disabled_reason, created_at, updated_at
               FROM endpoint ORDER BY tenant_id, endpoint_id"#
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Adds an endpoint with its lane, or replaces its values.
    pub async fn upsert_endpoint(&self, row: &EndpointRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "INSERT INTO endpoint (tenant_id, endpoint_id, name, url, url_host, format, event_types, channel_ids, signing_secret,
                                   state, disabled_reason, created_at, updated_at)
             VALUES ($1, $2, $3, $4::bytea, $5, $6, $7, $8, $9::bytea, $10, $11, $12, $13)
             ON CONFLICT (tenant_id, endpoint_id) DO UPDATE
             SET name = EXCLUDED.name, url = EXCLUDED.url, url_host = EXCLUDED.url_host, format = EXCLUDED.format,
                 event_types = EXCLUDED.event_types, channel_ids = EXCLUDED.channel_ids,
                 signing_secret = EXCLUDED.signing_secret, state = EXCLUDED.state,
                 disabled_reason = EXCLUDED.disabled_reason, updated_at = EXCLUDED.updated_at",
            row.tenant_id,
            row.endpoint_id,
            row.name,
            row.url,
            row.url_host,
            row.format,
            &row.event_types,
            &row.channel_ids,
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

    /// Removes an endpoint, its lane and what it is still owed.
    pub async fn delete_endpoint(&self, tenant: TenantId, endpoint: EndpointId) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "DELETE FROM endpoint WHERE tenant_id = $1 AND endpoint_id = $2",
            tenant.uuid(),
            endpoint.uuid()
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!("DELETE FROM delivery WHERE tenant_id = $1 AND endpoint_id = $2", tenant.uuid(), endpoint.uuid())
            .execute(&mut *transaction)
            .await?;
        super::lanes::remove(&mut transaction, tenant, super::lanes::Kind::Endpoint, endpoint.uuid()).await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stops deliveries to an endpoint that answered 410. Returns whether it was active.
    pub async fn disable_endpoint(
        &self,
        tenant: TenantId,
        endpoint: EndpointId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE endpoint SET state = 'disabled', disabled_reason = 'gone', updated_at = $3
             WHERE tenant_id = $1 AND endpoint_id = $2 AND state = 'active'",
            tenant.uuid(),
            endpoint.uuid(),
            now,
        )
        .execute(&mut *transaction)
        .await?;
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
