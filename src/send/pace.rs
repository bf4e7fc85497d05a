//! How fast: what Meta allows a channel and a person, and what is done when Meta says that it was too fast all the same. The places
//! are kept in Postgres (`store::pace`), so that all processes together keep the limits.

use std::time::Duration;

use time::OffsetDateTime;

use super::Sender;
use crate::domain::channel::Channel;
use crate::ids::ContactId;
use crate::store::StoreError;
use crate::store::pace::Turn;
use crate::telemetry;

/// What the operator set.
#[derive(Debug, Clone, Copy)]
pub struct Pacing {
    /// Messages a second through one channel; `None`: as Meta reports, 0: no limit.
    pub per_second: Option<i32>,
    /// Whether what one person gets is paced: one message in six seconds, 45 of them borrowed from later.
    pub pairs: bool,
}

/// How long the mirror's caller waits for its turn before it is refused as Meta would.
const PATIENCE: Duration = Duration::from_millis(500);

/// Codes by which Meta says that a channel, its account or its app is too fast (Cloud API error reference, "Throttling errors").
pub(super) const CHANNEL_TOO_FAST: i32 = 130_429;
const ACCOUNT_TOO_FAST: [i32; 3] = [4, 80_007, 80_008];
/// One person gets too many.
pub(super) const PAIR_TOO_FAST: i32 = 131_056;

/// What was too fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooFast {
    /// The channel, or the account or app that it belongs to.
    Channel,
    /// The messages to one person.
    Pair,
}

impl TooFast {
    /// What a code of Meta's says of it.
    pub(super) fn of(code: Option<i32>) -> Option<Self> {
        match code? {
            PAIR_TOO_FAST => Some(Self::Pair),
            code if code == CHANNEL_TOO_FAST || ACCOUNT_TOO_FAST.contains(&code) => Some(Self::Channel),
            _ => None,
        }
    }
}

/// A limit of Meta's that a request would have exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited {
    /// Meta's code.
    pub code: i32,
    /// When it is worth trying again.
    pub retry_after: Duration,
}

/// Why a request does not go now.
pub(super) enum NoTurn {
    Limited(Limited),
    Unavailable,
}

impl From<StoreError> for NoTurn {
    fn from(_: StoreError) -> Self {
        Self::Unavailable
    }
}

fn limited(code: i32, kind: &'static str, retry_after: Duration) -> NoTurn {
    metrics::counter!(telemetry::SEND_LIMITED, "kind" => kind).increment(1);
    NoTurn::Limited(Limited { code, retry_after })
}

impl Sender {
    /// Waits for the turn of a request that somebody waits for. `None` of `contact`: to nobody, or to somebody new.
    pub(super) async fn wait_for_turn(&self, channel: &Channel, contact: Option<ContactId>) -> Result<(), NoTurn> {
        let (place, now) = ((channel.tenant, channel.id), self.clock.now());
        let contact = contact.filter(|_| self.pacing.pairs);
        if let Some(contact) = contact
            && let Turn::Refused(retry_after) = self.store.take_pair(place, contact, now).await?
        {
            return Err(limited(PAIR_TOO_FAST, "pair", retry_after));
        }
        match self.store.take_turn(place, self.pacing.per_second, PATIENCE, now).await {
            Ok(Turn::In(ahead)) => {
                if !ahead.is_zero() {
                    tokio::time::sleep(ahead).await;
                }
                Ok(())
            }
            refused => {
                if let Some(contact) = contact {
                    self.give_pair_back(channel, contact).await;
                }
                match refused? {
                    Turn::Refused(retry_after) => Err(limited(CHANNEL_TOO_FAST, "channel", retry_after)),
                    Turn::In(_) => Ok(()),
                }
            }
        }
    }

    /// The first message to somebody new: it counts, and nothing can stand in its way.
    pub(super) async fn note_first(&self, channel: &Channel, contact: ContactId) {
        if self.pacing.pairs
            && let Err(error) = self.store.take_pair((channel.tenant, channel.id), contact, self.clock.now()).await
        {
            tracing::debug!(channel = %channel.id, error = %error, "a place could not be taken");
        }
    }

    /// Nothing was sent to this person. Where that cannot be said, they wait six seconds longer.
    pub(super) async fn give_pair_back(&self, channel: &Channel, contact: ContactId) {
        if self.pacing.pairs
            && let Err(error) = self.store.return_pair((channel.tenant, channel.id), contact).await
        {
            tracing::debug!(channel = %channel.id, error = %error, "a place could not be given back");
        }
    }

    /// Meta said that something was too fast: all processes wait. Until when.
    pub(super) async fn slow_down(
        &self,
        channel: &Channel,
        contact: ContactId,
        what: TooFast,
        asked: Option<Duration>,
    ) -> OffsetDateTime {
        let (place, now) = ((channel.tenant, channel.id), self.clock.now());
        let (kind, until) = match what {
            TooFast::Channel => ("channel", self.store.slow_channel(place, asked, now).await),
            TooFast::Pair => ("pair", self.store.slow_pair(place, contact, now).await),
        };
        metrics::counter!(telemetry::SEND_SLOWED, "kind" => kind).increment(1);
        until.unwrap_or_else(|error| {
            tracing::warn!(channel = %channel.id, error = %error, "that a channel must slow down could not be recorded");
            now + time::Duration::SECOND
        })
    }
}
