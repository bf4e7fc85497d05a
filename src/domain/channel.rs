//! Channels: business phone numbers and what we need to act for them.

use time::OffsetDateTime;

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
    /// What is done with the files that people send to it.
    pub media: MediaMode,
    /// When what this was read from was last changed; `None`: not stored yet. A change of anything newer is refused.
    pub changed_at: Option<OffsetDateTime>,
}
