//! Channels: business phone numbers and what we need to act for them.

use std::num::NonZeroU32;

use time::{Duration, OffsetDateTime};

use super::door::DoorPolicy;
use super::keeping::KeepPolicy;
use crate::ids::{ChannelId, PhoneNumberId, TenantId, WabaId};
use crate::secret::AccessToken;

/// What is done with the files that people send to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MediaMode {
    /// They are fetched at once and kept.
    #[default]
    Store,
    /// Nothing is kept: who asks for one gets it from Meta, as long as Meta has it.
    Proxy,
    /// They are left at Meta.
    Never,
}

impl MediaMode {
    /// Every mode, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Store, Self::Proxy, Self::Never];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Proxy => "proxy",
            Self::Never => "never",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// One business phone number.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Owner.
    pub tenant: TenantId,
    /// Id.
    pub id: ChannelId,
    /// Meta's id of the number.
    pub phone_number_id: PhoneNumberId,
    /// Meta's id of the account.
    pub waba_id: WabaId,
    /// Free text.
    pub name: String,
    /// Without one the channel receives, but cannot send.
    pub token: Option<AccessToken>,
    /// Messages that leave through it in a second, when the operator set that for this channel.
    pub per_second: Option<NonZeroU32>,
    /// What is done with the files that people send to it.
    pub media: MediaMode,
    /// What of people's data is left out before it is stored.
    pub door: DoorPolicy,
    /// Its own rules for how long what is said through it is kept; those in force are in [`super::keeping::HouseRules::in_force`].
    pub retention: KeepPolicy,
    /// When what this was read from was last changed; `None`: not stored yet. A change of anything newer is refused.
    pub changed_at: Option<OffsetDateTime>,
}

/// Messages that Meta lets a number send in a second, unless it says otherwise (Cloud API, "Throughput").
pub const USUAL_PACE: i32 = 80;
/// The most that may be set.
pub const FASTEST: u32 = 100_000;

/// How fast a channel sends.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Messages a second; 0: no limit.
    pub per_second: i32,
    /// Nothing goes before: Meta said that it was too fast.
    pub slowed_until: Option<OffsetDateTime>,
}

impl Pace {
    /// About when a message is sent that falls due at `due_at` and has so many before it.
    #[must_use]
    pub fn reaches(self, before: i64, due_at: OffsetDateTime, now: OffsetDateTime) -> OffsetDateTime {
        let from = due_at.max(now).max(self.slowed_until.unwrap_or(now));
        match self.per_second {
            ..=0 => from,
            per_second => from + Duration::seconds(before) / per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_message_is_reached_after_those_before_it_and_not_while_the_channel_is_slowed_down() {
        let now = datetime!(2026-11-23 12:00 UTC);
        let pace = |per_second, slowed_until| Pace { per_second, slowed_until };
        assert_eq!(pace(20, None).reaches(100, now, now), now + Duration::seconds(5));
        assert_eq!(pace(0, None).reaches(100, now - Duration::HOUR, now), now);
        assert_eq!(pace(20, None).reaches(0, now + Duration::HOUR, now), now + Duration::HOUR);
        let slowed = Some(now + Duration::MINUTE);
        assert_eq!(pace(20, slowed).reaches(20, now, now), now + Duration::MINUTE + Duration::SECOND);
    }
}
