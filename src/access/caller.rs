//! Who calls: an application with a valid API key.

use std::net::IpAddr;

use ipnet::IpNet;
use time::OffsetDateTime;
use uuid::Uuid;

use super::api_key::{self, Powers, Presented};
use super::{FieldClass, Permission, Permissions, Sight};
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
    /// What it sees of what it may read.
    pub sight: Sight,
    /// Channels it is confined to; empty: not confined.
    pub channels: Vec<ChannelId>,
    /// Networks that its key is used from; empty: all. Keys it makes are used from no other.
    pub cidrs: Vec<IpNet>,
    /// How many contacts it may be shown in an hour; `None`: no limit.
    pub budget: Option<u32>,
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
    /// Its key sees no fields of this class.
    #[error("the key sees no {} fields", .0.as_str())]
    Class(FieldClass),
    /// It would give more than its key sees.
    #[error("this shows more than the key itself may see")]
    Wider,
    /// Its key has a budget, and a key that it made would have another.
    #[error("a key with a budget makes no keys")]
    Budgeted,
}

/// Why nobody is there to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No key, or none that is valid, or not here; which of them is not told.
    #[error("there is no valid key")]
    Unknown,
    /// The key is valid, but locked.
    #[error("the key is locked")]
    Locked,
}

impl Refused {
    /// Why, in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unauthenticated",
            Self::Locked => "locked",
        }
    }
}

impl Denied {
    /// What was missing, in one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing(permission) => permission.as_str(),
            Self::Confined => "all_channels",
            Self::Class(_) => "field_class",
            Self::Wider => "sight",
            Self::Budgeted => "unlimited_reads",
        }
    }
}

impl Caller {
    /// The caller behind the text of a key that was sent from this address, as far as that is known.
    pub fn authenticate(
        snapshot: &Snapshot,
        text: &str,
        from: Option<IpAddr>,
        now: OffsetDateTime,
    ) -> Result<Self, Refused> {
        let presented = Presented::parse(text).ok_or(Refused::Unknown)?;
        let record = snapshot.api_key(presented.lookup()).filter(|record| presented.opens(record, now));
        match record.filter(|record| api_key::is_from_home(record, from)) {
            None => Err(Refused::Unknown),
            Some(record) if record.locked_at.is_some() => Err(Refused::Locked),
            Some(record) => Ok(Self::of(record)),
        }
    }

    /// Whoever is at the command line of the machine, and has its keys anyway.
    #[must_use]
    pub const fn operator(tenant: TenantId, permissions: Permissions) -> Self {
        Self {
            tenant,
            key: ApiKeyId::from_uuid(Uuid::nil()),
            permissions,
            sight: Sight::FULL,
            channels: Vec::new(),
            cidrs: Vec::new(),
            budget: None,
            expires_at: None,
        }
    }

    fn of(record: &ApiKey) -> Self {
        Self {
            tenant: record.tenant,
            key: record.id,
            permissions: Powers::of(record).permissions(),
            sight: api_key::sight(record),
            channels: record.channels.clone(),
            cidrs: record.cidrs.clone(),
            budget: record.budget,
            expires_at: Some(record.expires_at),
        }
    }

    /// The same caller as its key is now, for those who stay longer than a request. `None`: the key ended meanwhile.
    #[must_use]
    pub fn again(&self, snapshot: &Snapshot, now: OffsetDateTime) -> Option<Self> {
        let record = snapshot.api_key_by_id(self.tenant, self.key)?;
        (api_key::is_in_force(record, now) && record.locked_at.is_none()).then(|| Self::of(record))
    }

    /// Passes when the key has the permission.
    pub const fn require(&self, permission: Permission) -> Result<(), Denied> {
        if self.permissions.contains(permission) { Ok(()) } else { Err(Denied::Missing(permission)) }
    }

    /// Passes when the key sees fields of this class.
    pub fn require_class(&self, class: FieldClass) -> Result<(), Denied> {
        if self.sight.class >= class { Ok(()) } else { Err(Denied::Class(class)) }
    }

    /// Passes when the key itself sees this much.
    pub fn require_sight(&self, wanted: Sight) -> Result<(), Denied> {
        if self.sight.covers(wanted) { Ok(()) } else { Err(Denied::Wider) }
    }

    /// Passes when it may make a key that may do and see this much.
    pub fn may_give(&self, powers: Powers, sight: Sight) -> Result<(), Denied> {
        if let Some(missing) = self.permissions.lacks(powers.permissions()) {
            return Err(Denied::Missing(missing));
        }
        if self.budget.is_some() { Err(Denied::Budgeted) } else { self.require_sight(sight) }
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
        let permissions = [Permission::EventsRead].into_iter().collect();
        Caller { channels, ..Caller::operator(TenantId::DEFAULT, permissions) }
    }

    fn channel(number: u128) -> ChannelId {
        ChannelId::from_uuid(Uuid::from_u128(number))
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
