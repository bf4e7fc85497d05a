//! What an operator sets up: apps and channels. Read whole; every change steps the version.

use time::OffsetDateTime;
use uuid::Uuid;

use super::lanes::Kind;
use super::{Connection, Store, StoreError, Transaction};
use crate::ids::{AppId, ChannelId, TenantId};

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
    /// Messages a second that the operator set.
    pub pace_limit: Option<i32>,
    /// What is done with files that people send; a word of the table's list.
    pub media_mode: String,
    /// What of people's data is left out; words of the table's list.
    pub minimise: Vec<String>,
    /// For how long what is said through it is kept; words such as `received:7`.
    pub retention: Vec<String>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Last change.
    pub updated_at: OffsetDateTime,
}

/// Every change ends here, in the same transaction.
pub(super) async fn step_version(connection: &mut Connection) -> Result<(), StoreError> {
    sqlx::query!("UPDATE settings_version SET version = version + 1").execute(connection).await?;
    Ok(())
}

/// Ends a change of one row. Nothing is committed when no row was as it had been read.
pub(super) async fn end_update(mut transaction: Transaction, rows: u64) -> Result<bool, StoreError> {
    if rows == 0 {
        return Ok(false);
    }
    step_version(&mut transaction).await?;
    transaction.commit().await?;
    Ok(true)
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

    /// Adds an app.
    pub async fn insert_app(&self, row: &AppRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "INSERT INTO meta_app (tenant_id, app_id, name, app_secret, previous_app_secret, verify_token, created_at, updated_at)
             VALUES ($1, $2, $3, $4::bytea, $5::bytea, $6::bytea, $7, $8)",
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

    /// Replaces the values of an app, if its `updated_at` is still `read`. Returns whether it was. Every change steps
    /// `updated_at`, by a microsecond at least, so that no two states of a row share one.
    pub async fn update_app(&self, row: &AppRow, read: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE meta_app
             SET name = $4, app_secret = $5::bytea, previous_app_secret = $6::bytea, verify_token = $7::bytea,
                 updated_at = GREATEST($8, updated_at + interval '1 microsecond')
             WHERE tenant_id = $1 AND app_id = $2 AND updated_at = $3",
            row.tenant_id,
            row.app_id,
            read,
            row.name,
            row.app_secret,
            row.previous_app_secret,
            row.verify_token,
            row.updated_at,
        )
        .execute(&mut *transaction)
        .await?;
        end_update(transaction, done.rows_affected()).await
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
            "SELECT tenant_id, channel_id, phone_number_id, waba_id, name, access_token::bytea AS access_token, pace_limit, media_mode,
                    minimise, retention, created_at, updated_at
             FROM channel ORDER BY tenant_id, channel_id"
        );
        Ok(rows.fetch_all(&self.data).await?)
    }

    /// Adds a channel with its lane. A `phone_number_id` of another channel is a conflict.
    pub async fn insert_channel(&self, row: &ChannelRow) -> Result<(), StoreError> {
        let mut transaction = self.data.begin().await?;
        sqlx::query!(
            "INSERT INTO channel (tenant_id, channel_id, phone_number_id, waba_id, name, access_token, pace_limit, media_mode, minimise, created_at,
                                  updated_at, retention)
             VALUES ($1, $2, $3, $4, $5, $6::bytea, $7, $8, $9, $10, $11, $12)",
            row.tenant_id,
            row.channel_id,
            row.phone_number_id,
            row.waba_id,
            row.name,
            row.access_token,
            row.pace_limit,
            row.media_mode,
            &row.minimise,
            row.created_at,
            row.updated_at,
            &row.retention,
        )
        .execute(&mut *transaction)
        .await?;
        for kind in [Kind::Channel, Kind::Media] {
            super::lanes::ensure(&mut transaction, TenantId::from_uuid(row.tenant_id), kind, row.channel_id).await?;
        }
        step_version(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// Replaces the values of a channel but its number, as [`Store::update_app`] does.
    pub async fn update_channel(&self, row: &ChannelRow, read: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done = sqlx::query!(
            "UPDATE channel
             SET waba_id = $4, name = $5, access_token = $6::bytea, media_mode = $7, pace_limit = $9, minimise = $10, retention = $11,
                 updated_at = GREATEST($8, updated_at + interval '1 microsecond')
             WHERE tenant_id = $1 AND channel_id = $2 AND updated_at = $3",
            row.tenant_id,
            row.channel_id,
            read,
            row.waba_id,
            row.name,
            row.access_token,
            row.media_mode,
            row.updated_at,
            row.pace_limit,
            &row.minimise,
            &row.retention,
        )
        .execute(&mut *transaction)
        .await?;
        end_update(transaction, done.rows_affected()).await
    }

    /// Removes a channel and its lane. Messages still owed to Meta are a conflict: looked for after the deletion, which
    /// waits for whoever holds the channel, so that what they committed is seen.
    pub async fn delete_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<bool, StoreError> {
        let mut transaction = self.data.begin().await?;
        let done =
            sqlx::query!("DELETE FROM channel WHERE tenant_id = $1 AND channel_id = $2", tenant.uuid(), channel.uuid())
                .execute(&mut *transaction)
                .await?;
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
        // Without its token nothing can be fetched any more.
        sqlx::query!(
            "DELETE FROM media_fetch WHERE tenant_id = $1 AND channel_id = $2",
            tenant.uuid(),
            channel.uuid(),
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "DELETE FROM on_the_wire WHERE tenant_id = $1 AND channel_id = $2",
            tenant.uuid(),
            channel.uuid(),
        )
        .execute(&mut *transaction)
        .await?;
        // Meta forgets them by itself.
        sqlx::query!(
            "DELETE FROM media_at_meta WHERE tenant_id = $1 AND channel_id = $2",
            tenant.uuid(),
            channel.uuid(),
        )
        .execute(&mut *transaction)
        .await?;
        for kind in [Kind::Channel, Kind::Media] {
            super::lanes::remove(&mut transaction, tenant, kind, channel.uuid()).await?;
        }
        step_version(&mut transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }
}
