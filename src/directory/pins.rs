//! The PIN of a number's two-step verification: sealed, opened for the calls that need it, and shown to nobody.

use time::{Duration, OffsetDateTime};

use super::{Directory, LoadError, SaveError};
use crate::ids::{ChannelId, TenantId};
use crate::keyring::places;
use crate::secret::Pin;

/// Who asked and has not said how it ended by then is dead: longer than any call of Meta's takes.
const GIVEN_UP: Duration = Duration::minutes(6);

/// A question to Meta that is under way.
#[derive(Debug)]
pub struct PinChange {
    tenant: TenantId,
    channel: ChannelId,
    asked_at: OffsetDateTime,
    pin: Pin,
    /// It was kept before: what is in doubt beside it stays so until Meta takes one.
    is_kept: bool,
}

impl Directory {
    /// The PINs that Meta may know, the likelier first. Of two, one was asked for and its answer was lost.
    pub async fn pins(&self, tenant: TenantId, channel: ChannelId) -> Result<Vec<Pin>, LoadError> {
        let Some(row) = self.store.pins(tenant, channel).await? else { return Ok(Vec::new()) };
        let mut pins = Vec::new();
        for (column, sealed) in [("pin", row.pin), ("pin_next", row.next)] {
            let Some(sealed) = sealed else { continue };
            let place = places::setting(tenant.uuid(), "channel", column, channel.uuid());
            pins.push(Pin::new(self.open_text(place, &sealed).await?));
        }
        Ok(pins)
    }

    /// Keeps a PIN that Meta is about to be asked to take, unless it `is_kept`. `None`: another is being asked for at this moment.
    pub async fn begin_pin(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        pin: Pin,
        is_kept: bool,
    ) -> Result<Option<PinChange>, SaveError> {
        let next = if is_kept {
            None
        } else {
            Some(self.seal_text(tenant, "channel", "pin_next", channel.uuid(), pin.expose()).await?)
        };
        // As Postgres keeps it: the time is what a change is known by.
        let now = self.clock.now();
        let asked_at = now.replace_nanosecond(now.nanosecond() / 1000 * 1000).unwrap_or(now);
        let begun = self.store.begin_pin((tenant, channel), next.as_deref(), (asked_at, asked_at - GIVEN_UP)).await?;
        Ok(begun.then_some(PinChange { tenant, channel, asked_at, pin, is_kept }))
    }

    /// Meta took it (`Some(true)`), or not, or nobody can say (`None`).
    pub async fn end_pin(&self, change: PinChange, taken: Option<bool>) -> Result<(), SaveError> {
        let PinChange { tenant, channel, asked_at, pin, is_kept } = change;
        if taken == Some(true) {
            let sealed = self.seal_text(tenant, "channel", "pin", channel.uuid(), pin.expose()).await?;
            return Ok(self.store.keep_pin((tenant, channel), asked_at, &sealed).await?);
        }
        Ok(self.store.end_pin((tenant, channel), asked_at, is_kept || taken.is_none()).await?)
    }
}
