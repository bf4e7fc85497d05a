//! Reads the settings and opens their secrets.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use uuid::Uuid;

use super::Directory;
use super::snapshot::{ApiKey, App, Snapshot};
use crate::crypto::context::Context;
use crate::crypto::envelope::{self, Sealed};
use crate::domain::channel::{Channel, MediaMode};
use crate::domain::door::DoorPolicy;
use crate::domain::field_class::FieldClass;
use crate::domain::keeping::KeepPolicy;
use crate::ids::{ApiKeyId, AppId, ChannelId, PhoneNumberId, TenantId, WabaId};
use crate::keyring::{KeyringError, places};
use crate::meta::signature::WebhookSecret;
use crate::secret::{AccessToken, AppSecret, VerifyToken};
use crate::store::StoreError;
use crate::store::api_keys::ApiKeyRow;
use crate::store::settings::{AppRow, ChannelRow};

/// Why the settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database.
    #[error("the settings could not be read")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the secrets of the settings could not be opened")]
    Keys(#[from] KeyringError),
    /// A stored value is not what was stored.
    #[error("a setting is damaged ({table}.{column}, row {row})")]
    Damaged {
        /// Where.
        table: &'static str,
        /// Where in it.
        column: &'static str,
        /// Which row.
        row: Uuid,
    },
}

impl LoadError {
    /// Whether the same settings may be readable later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Keys(error) => error.is_retryable(),
            Self::Damaged { .. } => false,
        }
    }
}

/// Leaves out a row that will not open later either, so that it does not hold back the others: a key that was taken back
/// must stop working whatever else is damaged.
fn unless_damaged<T>(table: &'static str, row: Uuid, opened: Result<T, LoadError>) -> Result<Option<T>, LoadError> {
    match opened {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            let column = if let LoadError::Damaged { column, .. } = error { Some(column) } else { None };
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(table, column, %row, cause, "a setting does not open and is left out");
            Ok(None)
        }
    }
}

impl Directory {
    /// Reads the settings if they changed. Called twice a second, and at once before and after a change made here. Rows
    /// that are damaged are left out; fails only for what may pass, or when the settings cannot be read at all.
    pub async fn reload(&self) -> Result<(), LoadError> {
        let version = self.store.settings_version().await?;
        if version == self.snapshot().version {
            return Ok(());
        }
        let (apps, channels) = (self.store.all_apps().await?, self.store.all_channels().await?);
        let (endpoints, keys) = (self.store.all_endpoints().await?, self.store.all_api_keys().await?);
        let mut snapshot = Snapshot { version, house: self.house, ..Snapshot::default() };
        for row in &apps {
            snapshot.apps.extend(unless_damaged("meta_app", row.app_id, self.open_app(row).await)?);
        }
        for row in &channels {
            let opened = unless_damaged("channel", row.channel_id, self.open_channel(row).await)?;
            let Some(mut channel) = opened else { continue };
            channel.token = channel.token.map(|token| proved(token, &apps, &snapshot.apps, channel.tenant));
            let parts_fields = !self.house.lives(&channel.retention, None).is_empty();
            snapshot.minimises |= parts_fields || !channel.door.keeps_all();
            snapshot.parts_fields |= parts_fields;
            let channel = Arc::new(channel);
            snapshot.by_number.insert((channel.tenant, channel.phone_number_id.clone()), channel.clone());
            snapshot.channels.insert(channel.id, channel);
        }
        for row in &endpoints {
            let opened = unless_damaged("endpoint", row.endpoint_id, self.open_endpoint(row).await)?;
            snapshot.endpoints.extend(opened.map(|endpoint| (endpoint.id, Arc::new(endpoint))));
        }
        snapshot.keys = keys.into_iter().filter_map(api_key).map(|key| (key.lookup.clone(), Arc::new(key))).collect();
        let decoys = self.store.all_decoys().await?.into_iter();
        snapshot.decoys = decoys.map(|(tenant, hash)| (TenantId::from_uuid(tenant), hash)).collect();
        let held = self.store.everyone_held(self.clock.now()).await?.into_iter();
        snapshot.held = held.map(|(tenant, contact, until)| ((TenantId::from_uuid(tenant), contact), until)).collect();
        let restricted = self.store.everyone_restricted().await?.into_iter();
        snapshot.restricted = restricted.map(|(tenant, contact)| (TenantId::from_uuid(tenant), contact)).collect();
        self.replace(snapshot);
        Ok(())
    }

    /// Tenants that have settings, so that their keys are at hand before the first webhook.
    #[must_use]
    pub fn tenants(&self) -> HashSet<TenantId> {
        self.snapshot().apps.iter().map(|app| app.tenant).collect()
    }

    pub(super) async fn open_text(&self, context: Context, sealed: &[u8]) -> Result<String, LoadError> {
        let sealed = Sealed::from_stored(sealed.to_vec());
        let damaged = LoadError::Damaged { table: context.table, column: context.column, row: context.row };
        let Some(id) = sealed.dek_id() else { return Err(damaged) };
        let keys = self.keyring.for_opening(TenantId::from_uuid(context.tenant), [id]).await?;
        let key = keys.get(&id).ok_or(KeyringError::Gone)?;
        let Ok(bytes) = envelope::open(&key.dek, &context, &sealed) else { return Err(damaged) };
        String::from_utf8(bytes.to_vec()).map_err(|_| damaged)
    }

    async fn open_app(&self, row: &AppRow) -> Result<App, LoadError> {
        let at = |column| places::setting(row.tenant_id, "meta_app", column, row.app_id);
        let secret = AppSecret::new(self.open_text(at("app_secret"), &row.app_secret).await?);
        let previous_secret = match &row.previous_app_secret {
            Some(sealed) => Some(AppSecret::new(self.open_text(at("previous_app_secret"), sealed).await?)),
            None => None,
        };
        Ok(App {
            tenant: TenantId::from_uuid(row.tenant_id),
            id: AppId::from_uuid(row.app_id),
            name: row.name.clone(),
            verify_token: VerifyToken::new(self.open_text(at("verify_token"), &row.verify_token).await?),
            prepared: std::iter::once(&secret).chain(&previous_secret).map(WebhookSecret::new).collect(),
            secret,
            previous_secret,
            created_at: row.created_at,
            changed_at: Some(row.updated_at),
        })
    }

    async fn open_channel(&self, row: &ChannelRow) -> Result<Channel, LoadError> {
        let context = places::setting(row.tenant_id, "channel", "access_token", row.channel_id);
        let token = match &row.access_token {
            Some(sealed) => Some(AccessToken::new(self.open_text(context, sealed).await?)),
            None => None,
        };
        Ok(Channel {
            tenant: TenantId::from_uuid(row.tenant_id),
            id: ChannelId::from_uuid(row.channel_id),
            phone_number_id: PhoneNumberId::new(row.phone_number_id.clone()),
            waba_id: WabaId::new(row.waba_id.clone()),
            name: row.name.clone(),
            token,
            per_second: row.pace_limit.and_then(|limit| u32::try_from(limit).ok()).and_then(NonZeroU32::new),
            // A word of a later release: what it asks for is not known, and nothing is kept that should not be.
            media: MediaMode::parse(&row.media_mode).unwrap_or(MediaMode::Never),
            door: DoorPolicy::of_words(&row.minimise),
            retention: KeepPolicy::of_words(&row.retention),
            changed_at: Some(row.updated_at),
        })
    }
}

/// The token with its proof, when the tenant has one app alone: of several nobody has said which one the token is of, and Meta
/// refuses a wrong proof. Rows count, because one that does not open is an app all the same.
fn proved(token: AccessToken, rows: &[AppRow], apps: &[App], tenant: TenantId) -> AccessToken {
    let is_only = rows.iter().filter(|row| row.tenant_id == tenant.uuid()).count() == 1;
    let app = apps.iter().find(|app| app.tenant == tenant).filter(|_| is_only);
    match app.and_then(|app| app.prepared.first()).and_then(|secret| secret.proof_of(&token)) {
        Some(proof) => token.proved(proof),
        None => token,
    }
}

/// `None`: a value that this release does not know, so that nobody knows what the key may do.
fn api_key(row: ApiKeyRow) -> Option<ApiKey> {
    let cidrs = row.cidrs.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?;
    Some(ApiKey {
        tenant: TenantId::from_uuid(row.tenant_id),
        id: ApiKeyId::from_uuid(row.key_id),
        name: row.name,
        lookup: row.lookup,
        hash: <[u8; 32]>::try_from(row.hash).ok()?,
        role: row.role,
        scopes: row.scopes,
        field_class: FieldClass::parse(&row.field_class)?,
        unmasked: row.unmasked,
        channels: row.channel_ids.into_iter().map(ChannelId::from_uuid).collect(),
        cidrs,
        budget: row.budget.and_then(|budget| u32::try_from(budget).ok()),
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        locked_at: row.locked_at,
        rotated_from: row.rotated_from.map(ApiKeyId::from_uuid),
    })
}

/// What is stored of a key.
pub(super) fn api_key_row(key: ApiKey) -> ApiKeyRow {
    ApiKeyRow {
        tenant_id: key.tenant.uuid(),
        key_id: key.id.uuid(),
        lookup: key.lookup,
        name: key.name,
        hash: key.hash.to_vec(),
        role: key.role,
        scopes: key.scopes,
        field_class: key.field_class.as_str().to_owned(),
        unmasked: key.unmasked,
        channel_ids: key.channels.into_iter().map(ChannelId::uuid).collect(),
        cidrs: key.cidrs.iter().map(ToString::to_string).collect(),
        budget: key.budget.map(|budget| i32::try_from(budget).unwrap_or(i32::MAX)),
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
        locked_at: key.locked_at,
        rotated_from: key.rotated_from.map(ApiKeyId::uuid),
    }
}
