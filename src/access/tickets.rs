//! Leave to fetch one file of Meta's for a few minutes: what stands in the link that a lookup gives.

use subtle::ConstantTimeEq;
use time::Duration;

use crate::clock::SharedClock;
use crate::ids::{ChannelId, TenantId};
use crate::keyring::{Keyring, KeyringError};

/// As long as Meta's own links last.
const LIFE: Duration = Duration::minutes(5);

/// Leave for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Unix seconds; it is over then.
    pub ends: i64,
    /// 64 hexadecimal digits, which only the tenant's key gives.
    pub seal: String,
}

/// Issues tickets and looks at them. They are stored nowhere.
#[derive(Debug, Clone)]
pub struct Tickets {
    keyring: Keyring,
    clock: SharedClock,
}

impl Tickets {
    /// Tickets under the keys of the tenants.
    #[must_use]
    pub const fn new(keyring: Keyring, clock: SharedClock) -> Self {
        Self { keyring, clock }
    }

    /// Leave to fetch this file through this channel.
    pub async fn issue(&self, tenant: TenantId, channel: ChannelId, file: &str) -> Result<Ticket, KeyringError> {
        let ends = (self.clock.now() + LIFE).unix_timestamp();
        Ok(Ticket { ends, seal: self.seal(tenant, channel, file, ends).await? })
    }

    /// Whether it is leave to fetch this file through this channel, and not over.
    pub async fn is_good(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        file: &str,
        ticket: &Ticket,
    ) -> Result<bool, KeyringError> {
        let expected = self.seal(tenant, channel, file, ticket.ends).await?;
        let is_ours: bool = expected.as_bytes().ct_eq(ticket.seal.as_bytes()).into();
        Ok(is_ours && self.clock.now().unix_timestamp() < ticket.ends)
    }

    /// Under the key of what applications ask for; the first part keeps it apart from everything else that is hashed under it.
    async fn seal(&self, tenant: TenantId, channel: ChannelId, file: &str, ends: i64) -> Result<String, KeyringError> {
        let keys = self.keyring.tenant(tenant).await?;
        let (channel, ends) = (channel.uuid(), ends.to_be_bytes());
        let hash: [u8; 32] =
            keys.requests.hash(&[b"file ticket", channel.as_bytes(), file.as_bytes(), ends.as_slice()]);
        Ok(data_encoding::HEXLOWER.encode(&hash))
    }
}
