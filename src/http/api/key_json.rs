//! API keys as the API reads and shows them.

use std::collections::HashMap;

use ipnet::IpNet;
use serde::Serialize;
use serde_json::value::RawValue;
use time::{Date, OffsetDateTime};
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{Faults, Field, request};
use super::fields::{Name, PermissionText, value};
use crate::access::api_key::{self, Powers};
use crate::access::{FieldClass, Role};
use crate::directory::ApiKey;
use crate::ids::{ApiKeyId, ChannelId};

/// `owner`, `admin`, `agent`, `auditor`, `privacy_officer` or `service`: what each may do is in `docs/access.md`.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = String, pattern = "^(owner|admin|agent|auditor|privacy_officer|service)$")]
pub(super) struct RoleText(pub(super) Role);

impl Field for RoleText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let expected = "owner, admin, agent, auditor, privacy_officer or service";
        Role::parse(&text).map(Self).or_else(|| faults.note(at, "choice", expected))
    }
}

/// `public`: ids, types, times. `internal`: settings, states, codes. `personal`: names and numbers. `sensitive`: content.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = String, pattern = "^(public|internal|personal|sensitive)$")]
pub(super) struct FieldClassText(pub(super) FieldClass);

impl Field for FieldClassText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let class = FieldClass::parse(&text).map(Self);
        class.or_else(|| faults.note(at, "choice", "public, internal, personal or sensitive"))
    }
}

/// A network, or one address: `10.1.0.0/16`, `2001:db8::/32`, `192.0.2.7`.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = String, example = "10.1.0.0/16")]
pub(super) struct NetworkText(pub(super) IpNet);

impl Field for NetworkText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let network = api_key::network(&text).map(Self);
        network.or_else(|| faults.note(at, "network", "a network such as 10.1.0.0/16, or an address"))
    }
}

/// Different contacts within an hour.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = u32, minimum = 1, maximum = 1_000_000)]
pub(super) struct ContactsPerHour(pub(super) u32);

impl Field for ContactsPerHour {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let expected = "a whole number from 1 to 1000000";
        let number: u32 = value(json, at, faults, expected)?;
        if (1..=1_000_000).contains(&number) { Some(Self(number)) } else { faults.note(at, "range", expected) }
    }
}

/// Hours.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = u32, minimum = 0, maximum = 168)]
pub(super) struct GraceHours(pub(super) u32);

impl Field for GraceHours {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let expected = "a whole number from 0 to 168";
        let number: u32 = value(json, at, faults, expected)?;
        if number <= 168 { Some(Self(number)) } else { faults.note(at, "range", expected) }
    }
}

request! {
    /// A new API key: with a role, or with permissions. In nothing more than its maker's own.
    NewKey {
        /// Which application it is for.
        name: Name,
        /// What it may do, by one word.
        role: Option<RoleText>,
        /// What it may do, one by one.
        permissions: Option<Vec<PermissionText>>,
        /// The highest class of fields that it sees; absent: as much as its role and its maker allow.
        field_class: Option<FieldClassText>,
        /// Whether it sees names and numbers in clear; false when absent.
        unmasked: Option<bool>,
        /// Channels it is confined to; absent or empty: all that the maker may use.
        channel_ids: Option<Vec<ChannelId>>,
        /// Networks it may be used from; absent or empty: all that the maker's may be used from.
        cidrs: Option<Vec<NetworkText>>,
        /// How many different contacts it may be shown within an hour. The request that would be too much is refused and locks the
        /// key. Absent: no limit.
        contacts_per_hour: Option<ContactsPerHour>,
        /// Until when it is valid: a year at most, and when absent.
        expires_at: Option<OffsetDateTime>,
    }
}

request! {
    /// How a key is rotated.
    Rotation {
        /// How long the old key stays valid beside the new one; 24 when absent.
        grace_hours: Option<GraceHours>,
    }
}

/// An API key. Its secret part is never shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct KeyJson {
    pub(super) id: ApiKeyId,
    name: String,
    /// How the key begins, to tell which one it is.
    prefix: String,
    /// Its role; null: it has permissions of its own.
    role: Option<String>,
    /// What it may do, by its role or by itself.
    permissions: Vec<String>,
    /// The highest class of fields that it sees.
    field_class: &'static str,
    /// Whether it sees names and numbers in clear.
    unmasked: bool,
    /// Channels it is confined to; empty: all.
    channel_ids: Vec<ChannelId>,
    /// Networks it may be used from; empty: all.
    cidrs: Vec<String>,
    /// How many different contacts it may be shown within an hour; null: no limit.
    contacts_per_hour: Option<u32>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    expires_at: OffsetDateTime,
    /// Set when it was taken back.
    #[serde(with = "time::serde::rfc3339::option")]
    revoked_at: Option<OffsetDateTime>,
    /// Set when its budget was exceeded: it does nothing until it is unlocked.
    #[serde(with = "time::serde::rfc3339::option")]
    locked_at: Option<OffsetDateTime>,
    /// The key in whose place it is.
    rotated_from: Option<ApiKeyId>,
    /// The day (UTC) on which it was last used, as far as that is known yet; null: never.
    #[schema(value_type = Option<String>, format = Date)]
    last_used_on: Option<String>,
}

impl KeyJson {
    /// A key, and when it was used.
    pub(super) fn new(key: &ApiKey, uses: &HashMap<Uuid, Date>) -> Self {
        let sight = api_key::sight(key);
        Self {
            id: key.id,
            name: key.name.clone(),
            prefix: api_key::prefix(&key.lookup),
            role: key.role.clone(),
            permissions: Powers::of(key).permissions().scopes(),
            field_class: sight.class.as_str(),
            unmasked: sight.unmasked,
            channel_ids: key.channels.clone(),
            cidrs: key.cidrs.iter().map(ToString::to_string).collect(),
            contacts_per_hour: key.budget,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            locked_at: key.locked_at,
            rotated_from: key.rotated_from,
            last_used_on: uses.get(&key.id.uuid()).map(ToString::to_string),
        }
    }
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = CreatedApiKey)]
pub(super) struct CreatedKey {
    pub(super) id: ApiKeyId,
    /// The key itself. Shown this once.
    pub(super) key: String,
}
