//! Who calls: an application with a valid API key.

use time::OffsetDateTime;

use super::api_key::{self, Presented};
use super::{Permission, Permissions};
use crate::directory::{ApiKey, Snapshot};
use crate::ids::{ApiKeyId, ChannelId, TenantId};

/// An application that proved who it is, and what it may do.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose data it may ask for.
    pub tenant: TenantId,
    /// The key it showed.
    pub key: ApiKeyId,
    /// What it may do.
    pub permissions: Permissions,
    /// Channels it is confined to; empty: not confined.
    pub channels: Vec<ChannelId>,
    /// When its key ends. A key it makes ends no later.
    pub expires_at: Option<OffsetDateTime>,
}

/// Why a caller is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Denied {
    /// Its key lacks this permission.
    #[error("the key lacks the permission {0}")]
    Missing(Permission),
    /// Its key is confined to channels, and this belongs to none.
    #[error("the key is confined to channels")]
    Confined,
}

impl Denied {
    /// What was missing, in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing(permission) => permission.as_str(),
            Self::Confined => "all_channels",
        }
    }
}

impl Caller {
    /// The caller behind the text of a key. `None` for texts that are no key, unknown keys and keys that ended; which of them
    /// it was is not told.
    #[must_use]
    pub fn authenticate(snapshot: &Snapshot, text: &str, now: OffsetDateTime) -> Option<Self> {
        let presented = Presented::parse(text)?;
        let record = snapshot.api_key(presented.lookup()).filter(|record| presented.opens(record, now))?;
        Some(Self::of(record))
    }

    fn of(record: &ApiKey) -> Self {
        Self {
            tenant: record.tenant,
            key: record.id,
            permissions: Permissions::of_scopes(record.scopes.iter().map(String::as_str)),
            channels: record.channels.clone(),
            expires_at: record.expires_at,
        }
    }

    /// The same caller as its key is now, for those who stay longer than a request. `None`: the key ended meanwhile.
    #[must_use]
    pub fn again(&self, snapshot: &Snapshot, now: OffsetDateTime) -> Option<Self> {
        let record = snapshot.api_key_by_id(self.tenant, self.key)?;
        api_key::is_in_force(record, now).then(|| Self::of(record))
    }

    /// Passes when the key has the permission.
    pub const fn require(&self, permission: Permission) -> Result<(), Denied> {
        if self.permissions.contains(permission) { Ok(()) } else { Err(Denied::Missing(permission)) }
    }

    /// Passes when the key is for the whole tenant: for what belongs to no channel.
    pub const fn require_unconfined(&self) -> Result<(), Denied> {
        if self.channels.is_empty() { Ok(()) } else { Err(Denied::Confined) }
    }

    /// Whether it may see and use this channel, as far as its confinement goes.
    #[must_use]
    pub fn may_use(&self, channel: ChannelId) -> bool {
        self.channels.is_empty() || self.channels.contains(&channel)
    }

    /// Whether it may see what is filtered on these channels, where none means all.
    #[must_use]
    pub fn covers(&self, channels: &[ChannelId]) -> bool {
        self.channels.is_empty() || (!channels.is_empty() && channels.iter().all(|channel| self.may_use(*channel)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(channels: Vec<ChannelId>) -> Caller {
        let now = time::macros::datetime!(2026-11-22 12:00 UTC);
        let permissions = [Permission::EventsRead].into_iter().collect();
        Caller { tenant: TenantId::DEFAULT, key: ApiKeyId::new(now), permissions, channels, expires_at: None }
    }

    fn channel(number: u128) -> ChannelId {
        ChannelId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn a_missing_permission_is_named() {
        assert_eq!(caller(Vec::new()).require(Permission::EventsRead), Ok(()));
        let denied = caller(Vec::new()).require(Permission::KeysManage);
        assert_eq!(denied, Err(Denied::Missing(Permission::KeysManage)));
        assert_eq!(denied.unwrap_err().to_string(), "the key lacks the permission keys:manage");
    }

    #[test]
    fn a_confined_caller_uses_its_channels_alone() {
        let (free, confined) = (caller(Vec::new()), caller(vec![channel(1), channel(2)]));
        assert!(free.may_use(channel(3)) && confined.may_use(channel(1)) && !confined.may_use(channel(3)));
        assert_eq!((free.require_unconfined(), confined.require_unconfined()), (Ok(()), Err(Denied::Confined)));
        assert!(free.covers(&[]) && free.covers(&[channel(3)]) && confined.covers(&[channel(2)]));
        assert!(!confined.covers(&[]) && !confined.covers(&[channel(1), channel(3)]));
    }
}
