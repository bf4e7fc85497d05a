//! Channels: business phone numbers and what we need to act for them.

use time::OffsetDateTime;

use crate::ids::{ChannelId, PhoneNumberId, TenantId, WabaId};
use crate::secret::AccessToken;

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
    /// When what this was read from was last changed; `None`: not stored yet. A change of anything newer is refused.
    pub changed_at: Option<OffsetDateTime>,
}
