//! Changes of the settings: sealed here, stored, and read back at once.

use time::OffsetDateTime;
use uuid::Uuid;

use super::load::{LoadError, api_key_row};
use super::{ApiKey, App, Directory, Snapshot};
use crate::crypto::envelope;
use crate::domain::channel::Channel;
use crate::domain::endpoint::Endpoint;
use crate::ids::{ApiKeyId, AppId, ChannelId, EndpointId, TenantId};
use crate::keyring::{DekName, KeyringError, places};
use crate::store::StoreError;
use crate::store::audit_entries::NewAuditEntry;
use crate::store::settings::{AppRow, ChannelRow};

/// Statements that a request to remove an endpoint waits for.
const SWEPT_AT_ONCE: u32 = 5;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// A value is another row's, or the row is still in use.
    #[error("the value is taken or in use")]
    Conflict,
    /// Somebody changed the row after it was read.
    #[error("the setting was changed meanwhile; read it again")]
    Stale,
    /// Somebody removed the row after it was read.
    #[error("the setting was removed meanwhile")]
    Gone,
    /// The database, or the keys, are away.
    #[error("the change could not be stored")]
    Store(#[source] StoreError),
    /// The secret could not be sealed.
    #[error("the secret could not be sealed")]
    Keys(#[from] KeyringError),
    /// Stored, but not yet read back by this process.
    #[error("the change was stored but could not be read back")]
    Load(#[from] LoadError),
}

impl From<StoreError> for SaveError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::Conflict,
            other => Self::Store(other),
        }
    }
}

impl Directory {
    pub(super) async fn seal_text(
        &self,
        tenant: TenantId,
        table: &'static str,
        column: &'static str,
        row: Uuid,
        text: &str,
    ) -> Result<Vec<u8>, SaveError> {
        let key = self.keyring.one_for_sealing(tenant, DekName::system(tenant)).await?;
        Ok(envelope::seal(&key.dek, &places::setting(tenant.uuid(), table, column, row), text.as_bytes()).into_bytes())
    }

    /// Reads the settings back. For a change that was not `stored` because its row is not as it was read: says whether the
    /// row is still `there`.
    async fn settle(&self, stored: bool, there: impl Fn(&Snapshot) -> bool + Send) -> Result<(), SaveError> {
        let read_back = self.reload().await;
        if stored {
            return Ok(read_back?);
        }
        let there = read_back.is_err() || there(&self.snapshot());
        Err(if there { SaveError::Stale } else { SaveError::Gone })
    }

    /// Adds an app, or changes the one that was read.
    pub async fn save_app(&self, app: &App) -> Result<(), SaveError> {
        let (tenant, row) = (app.tenant, app.id.uuid());
        let seal = |column, text| self.seal_text(tenant, "meta_app", column, row, text);
        let previous_app_secret = match &app.previous_secret {
            Some(secret) => Some(seal("previous_app_secret", secret.expose()).await?),
            None => None,
        };
        let row = AppRow {
            tenant_id: tenant.uuid(),
            app_id: row,
            name: app.name.clone(),
            app_secret: seal("app_secret", app.secret.expose()).await?,
            previous_app_secret,
            verify_token: seal("verify_token", app.verify_token.expose()).await?,
            created_at: app.created_at,
            updated_at: self.clock.now(),
        };
        let stored = match app.changed_at {
            None => self.store.insert_app(&row).await.map(|()| true)?,
            Some(read) => self.store.update_app(&row, read).await?,
        };
        self.settle(stored, |snapshot| snapshot.app(tenant, app.id).is_some()).await
    }

    /// Removes an app. Returns whether there was one.
    pub async fn remove_app(&self, tenant: TenantId, app: AppId) -> Result<bool, SaveError> {
        let there = self.store.delete_app(tenant, app).await?;
        self.reload().await?;
        Ok(there)
    }

    /// Adds a channel, or changes the one that was read.
    pub async fn save_channel(&self, channel: &Channel) -> Result<(), SaveError> {
        let (tenant, row) = (channel.tenant, channel.id.uuid());
        let access_token = match &channel.token {
            Some(token) => Some(self.seal_text(tenant, "channel", "access_token", row, token.expose()).await?),
            None => None,
        };
        let now = self.clock.now();
        let row = ChannelRow {
            tenant_id: tenant.uuid(),
            channel_id: row,
            phone_number_id: channel.phone_number_id.as_str().to_owned(),
            waba_id: channel.waba_id.as_str().to_owned(),
            name: channel.name.clone(),
            access_token,
            pace_limit: channel.per_second.and_then(|limit| i32::try_from(limit.get()).ok()),
            media_mode: channel.media.as_str().to_owned(),
            minimise: channel.door.words(),
            retention: channel.retention.words(),
            created_at: now,
            updated_at: now,
        };
        let stored = match channel.changed_at {
            None => self.store.insert_channel(&row).await.map(|()| true)?,
            Some(read) => self.store.update_channel(&row, read).await?,
        };
        self.settle(stored, |snapshot| snapshot.channel(tenant, channel.id).is_some()).await
    }

    /// Removes a channel. Returns whether there was one; a conflict while messages are owed through it.
    pub async fn remove_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<bool, SaveError> {
        let there = self.store.delete_channel(tenant, channel).await?;
        self.reload().await?;
        Ok(there)
    }

    /// Adds an endpoint, or changes the one that was read.
    pub async fn save_endpoint(&self, endpoint: &Endpoint) -> Result<(), SaveError> {
        let (tenant, id) = (endpoint.tenant, endpoint.id);
        let row = self.endpoint_row(endpoint).await?;
        let stored = match endpoint.changed_at {
            None => self.store.insert_endpoint(&row).await.map(|()| true)?,
            Some(read) => self.store.update_endpoint(&row, read).await?,
        };
        self.settle(stored, |snapshot| snapshot.endpoint(tenant, id).is_some()).await
    }

    /// Removes an endpoint and what it is owed. Returns whether there was one. When it is owed very much, the rest goes
    /// with the regular sweeps.
    pub async fn remove_endpoint(&self, tenant: TenantId, endpoint: EndpointId) -> Result<bool, SaveError> {
        let there = self.store.delete_endpoint(tenant, endpoint).await?;
        if let Err(error) = self.store.sweep_orphans(SWEPT_AT_ONCE).await {
            tracing::warn!(%error, "what a removed endpoint was owed is still there; it is swept later");
        }
        self.reload().await?;
        Ok(there)
    }

    /// Adds an API key.
    pub async fn save_api_key(&self, key: ApiKey) -> Result<(), SaveError> {
        self.store.insert_api_key(&api_key_row(key)).await?;
        Ok(self.reload().await?)
    }

    /// Adds a key in the place of the one it is rotated from, which ends at `old_ends` or before. A conflict when that one is
    /// not valid, or when two of them are already.
    pub async fn rotate_api_key(&self, key: ApiKey, old_ends: OffsetDateTime) -> Result<(), SaveError> {
        let done = self.store.rotate_api_key(&api_key_row(key), old_ends, self.clock.now()).await?;
        self.reload().await?;
        if done { Ok(()) } else { Err(SaveError::Conflict) }
    }

    /// Unlocks an API key, whose budget is whole again. Returns whether it was locked.
    pub async fn unlock_api_key(&self, tenant: TenantId, key: ApiKeyId) -> Result<bool, SaveError> {
        let was_locked = self.store.unlock_api_key(tenant, key).await?;
        self.reload().await?;
        Ok(was_locked)
    }

    /// Takes an API key back that somebody reported, with the entry of the audit log that says so. Returns whether it was valid
    /// until now.
    pub async fn report_api_key(&self, entry: NewAuditEntry, key: ApiKeyId) -> Result<bool, SaveError> {
        let was_valid = self.store.report_api_key(entry, key, self.clock.now()).await?;
        self.reload().await?;
        Ok(was_valid)
    }

    /// Takes an API key back. Returns whether it was valid until now.
    pub async fn revoke_api_key(&self, tenant: TenantId, key: ApiKeyId) -> Result<bool, SaveError> {
        let was_valid = self.store.revoke_api_key(tenant, key, self.clock.now()).await?;
        self.reload().await?;
        Ok(was_valid)
    }
}
