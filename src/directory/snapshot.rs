//! All settings at one moment, with their secrets opened. Replaced whole, never changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ipnet::IpNet;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::channel::Channel;
use crate::domain::endpoint::{Endpoint, State};
use crate::domain::event::EventType;
use crate::domain::field_class::FieldClass;
use crate::domain::keeping::{ContentClass, HouseRules, Keep};
use crate::ids::{ApiKeyId, AppId, ChannelId, ContactId, EndpointId, PhoneNumberId, TenantId};
use crate::meta::signature::WebhookSecret;
use crate::secret::{AppSecret, VerifyToken};

/// A Meta app whose webhooks we accept.
#[derive(Debug, Clone)]
pub struct App {
    /// Owner.
    pub tenant: TenantId,
    /// Id.
    pub id: AppId,
    /// Free text.
    pub name: String,
    /// Signs new webhooks.
    pub secret: AppSecret,
    /// Signed them before the last rotation; still accepted.
    pub previous_secret: Option<AppSecret>,
    /// What Meta repeats in the GET handshake.
    pub verify_token: VerifyToken,
    /// Both secrets, prepared for the hot path.
    pub(super) prepared: Vec<WebhookSecret>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// When what this was read from was last changed; `None`: not stored yet. A change of anything newer is refused.
    pub changed_at: Option<OffsetDateTime>,
}

impl App {
    /// An app with one secret.
    #[must_use]
    pub fn new(
        tenant: TenantId,
        id: AppId,
        name: String,
        secret: AppSecret,
        verify_token: VerifyToken,
        created_at: OffsetDateTime,
    ) -> Self {
        let (previous_secret, prepared, changed_at) = (None, Vec::new(), None);
        Self { tenant, id, name, secret, previous_secret, verify_token, prepared, created_at, changed_at }
    }

    /// The same app under a new secret. The old one is still accepted: Meta does not sign with both.
    #[must_use]
    pub fn rotated(&self, secret: AppSecret) -> Self {
        let previous_secret = Some(self.secret.clone());
        Self { secret, previous_secret, prepared: Vec::new(), ..self.clone() }
    }
}

/// What a calling application may do.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Owner.
    pub tenant: TenantId,
    /// Id.
    pub id: ApiKeyId,
    /// Free text.
    pub name: String,
    /// The public part, by which the key is found.
    pub lookup: String,
    /// SHA-256 of the whole key.
    pub hash: [u8; 32],
    /// Name of its role; `None`: it has scopes.
    pub role: Option<String>,
    /// Names of scopes.
    pub scopes: Vec<String>,
    /// The highest class of fields it was given.
    pub field_class: FieldClass,
    /// Whether it was given to see names and numbers in clear.
    pub unmasked: bool,
    /// Channels it is confined to; empty: all.
    pub channels: Vec<ChannelId>,
    /// Networks it may be used from; empty: all.
    pub cidrs: Vec<IpNet>,
    /// How many contacts it may be shown in an hour; `None`: no limit.
    pub budget: Option<u32>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Until when.
    pub expires_at: OffsetDateTime,
    /// Set when it was taken back.
    pub revoked_at: Option<OffsetDateTime>,
    /// Set when its budget was exceeded; it does nothing until it is unlocked.
    pub locked_at: Option<OffsetDateTime>,
    /// The key in whose place it is.
    pub rotated_from: Option<ApiKeyId>,
}

/// Everything an operator set up.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Version of the settings in the database that this was read at.
    pub version: i64,
    /// Whether a channel leaves something out of what comes in: none of the others pays for it.
    pub minimises: bool,
    /// Whether fields of what a channel receives live for a shorter time than the rest: none of the others pays for it.
    pub parts_fields: bool,
    /// For how long what is kept, where a channel says nothing.
    pub house: HouseRules,
    /// In the order of their ids.
    pub apps: Vec<App>,
    pub(super) channels: HashMap<ChannelId, Arc<Channel>>,
    pub(super) by_number: HashMap<(TenantId, PhoneNumberId), Arc<Channel>>,
    pub(super) endpoints: HashMap<EndpointId, Arc<Endpoint>>,
    pub(super) keys: HashMap<String, Arc<ApiKey>>,
    pub(super) decoys: HashSet<(TenantId, [u8; 16])>,
    pub(super) held: HashMap<(TenantId, Uuid), OffsetDateTime>,
    pub(super) restricted: HashSet<(TenantId, Uuid)>,
}

impl Snapshot {
    /// Every secret a webhook may be signed with, and the tenant it speaks for.
    pub fn webhook_secrets(&self) -> impl Iterator<Item = (TenantId, &WebhookSecret)> {
        self.apps.iter().flat_map(|app| app.prepared.iter().map(move |secret| (app.tenant, secret)))
    }

    /// An app by its id.
    #[must_use]
    pub fn app(&self, tenant: TenantId, id: AppId) -> Option<&App> {
        self.apps.iter().find(|app| app.tenant == tenant && app.id == id)
    }

    /// A channel by its id.
    #[must_use]
    pub fn channel(&self, tenant: TenantId, id: ChannelId) -> Option<&Arc<Channel>> {
        self.channels.get(&id).filter(|channel| channel.tenant == tenant)
    }

    /// A channel by Meta's id of its number.
    #[must_use]
    pub fn channel_by_number(&self, tenant: TenantId, number: &PhoneNumberId) -> Option<&Arc<Channel>> {
        self.by_number.get(&(tenant, number.clone()))
    }

    /// For how long a channel keeps what is said through it; `None`: as all do.
    #[must_use]
    pub fn kept(&self, tenant: TenantId, channel: Option<ChannelId>, class: ContentClass) -> Option<Keep> {
        self.kept_by(self.channel(tenant, channel?)?, class)
    }

    /// The same, of a channel that is at hand.
    #[must_use]
    pub fn kept_by(&self, channel: &Channel, class: ContentClass) -> Option<Keep> {
        self.house.in_force(&channel.retention, class).map(|(rule, _)| rule)
    }

    /// Whether Meta's id is that of a number or an account of anybody here.
    #[must_use]
    pub fn is_listed(&self, id: &str) -> bool {
        self.channels.values().any(|channel| channel.phone_number_id.as_str() == id || channel.waba_id.as_str() == id)
    }

    /// The channels of all tenants.
    pub fn all_channels(&self) -> impl Iterator<Item = &Arc<Channel>> {
        self.channels.values()
    }

    /// The channels of a tenant, oldest first.
    #[must_use]
    pub fn channels_of(&self, tenant: TenantId) -> Vec<&Arc<Channel>> {
        let mut channels: Vec<_> = self.channels.values().filter(|channel| channel.tenant == tenant).collect();
        channels.sort_by_key(|channel| channel.id);
        channels
    }

    /// An endpoint by its id.
    #[must_use]
    pub fn endpoint(&self, tenant: TenantId, id: EndpointId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&id).filter(|endpoint| endpoint.tenant == tenant)
    }

    /// The endpoints of a tenant, oldest first.
    #[must_use]
    pub fn endpoints_of(&self, tenant: TenantId) -> Vec<&Arc<Endpoint>> {
        let mut endpoints: Vec<_> = self.endpoints.values().filter(|endpoint| endpoint.tenant == tenant).collect();
        endpoints.sort_by_key(|endpoint| endpoint.id);
        endpoints
    }

    /// The endpoints that are told of such an event, each with the shard of its lane.
    #[must_use]
    pub fn owed_to(
        &self,
        tenant: TenantId,
        event_type: EventType,
        channel: Option<ChannelId>,
    ) -> Vec<(EndpointId, i16)> {
        let receivers = self.endpoints.values().filter(|one| one.tenant == tenant && one.state != State::Disabled);
        receivers.filter(|one| one.filter.matches(event_type, channel)).map(|one| (one.id, 0)).collect()
    }

    /// Whether the tenant has decoys at all. None of the others pays for those who have.
    #[must_use]
    pub fn has_decoys(&self, tenant: TenantId) -> bool {
        self.decoys.iter().any(|(owner, _)| *owner == tenant)
    }

    /// Whether a contact is a decoy, by the hash of its id.
    #[must_use]
    pub fn is_decoy(&self, tenant: TenantId, contact: [u8; 16]) -> bool {
        self.decoys.contains(&(tenant, contact))
    }

    /// Whether somebody's data are held now.
    #[must_use]
    pub fn is_held(&self, tenant: TenantId, contact: &Uuid, now: OffsetDateTime) -> bool {
        self.held.get(&(tenant, *contact)).is_some_and(|until| *until > now)
    }

    /// Whether somebody's data are kept and not used.
    #[must_use]
    pub fn is_restricted(&self, tenant: TenantId, contact: ContactId) -> bool {
        !self.restricted.is_empty() && self.restricted.contains(&(tenant, contact.uuid()))
    }

    /// Everybody whose data are kept and not used.
    pub fn restricted_of(&self, tenant: TenantId) -> impl Iterator<Item = Uuid> + '_ {
        self.restricted.iter().filter(move |(owner, _)| *owner == tenant).map(|(_, contact)| *contact)
    }

    /// The same endpoints as [`Self::owed_to`], of something about this contact: none where it is restricted.
    #[must_use]
    pub fn owed_about(
        &self,
        (tenant, contact): (TenantId, Option<ContactId>),
        event_type: EventType,
        channel: Option<ChannelId>,
    ) -> Vec<(EndpointId, i16)> {
        let is_restricted = contact.is_some_and(|contact| self.is_restricted(tenant, contact));
        if is_restricted { Vec::new() } else { self.owed_to(tenant, event_type, channel) }
    }

    /// An API key by its public part. Whether it is valid is for the caller to see.
    #[must_use]
    pub fn api_key(&self, lookup: &str) -> Option<&Arc<ApiKey>> {
        self.keys.get(lookup)
    }

    /// An API key by its id. Whether it is valid is for the caller to see.
    #[must_use]
    pub fn api_key_by_id(&self, tenant: TenantId, id: ApiKeyId) -> Option<&Arc<ApiKey>> {
        self.keys.values().find(|key| key.tenant == tenant && key.id == id)
    }

    /// The API keys of a tenant, oldest first.
    #[must_use]
    pub fn api_keys_of(&self, tenant: TenantId) -> Vec<&Arc<ApiKey>> {
        let mut keys: Vec<_> = self.keys.values().filter(|key| key.tenant == tenant).collect();
        keys.sort_by_key(|key| key.id);
        keys
    }
}
