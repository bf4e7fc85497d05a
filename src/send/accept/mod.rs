//! Accepting: the messages of many requests share a transaction, and each request is answered when that has committed.

mod queue;
mod write;

pub use queue::Accepting;

use time::OffsetDateTime;

use super::order::Terms;
use super::queue::QueueError;
use crate::crypto::envelope::Sealed;
use crate::domain::keeping::Keep;
use crate::domain::person::Person;
use crate::ids::{ApiKeyId, ChannelId, ContactId, MessageId, TenantId};
use crate::store::audit_entries::NewAuditEntry;
use crate::store::idempotency::Claim;

/// A message that may be stored.
pub struct Ready {
    pub(super) message: MessageId,
    pub(super) channel: ChannelId,
    pub(super) recipient: Person,
    pub(super) origin: &'static str,
    pub(super) kind: &'static str,
    /// The JSON for Meta.
    pub(super) body: String,
    /// That of the template that stands in for it.
    pub(super) fallback: Option<String>,
    pub(super) next_at: OffsetDateTime,
    pub(super) on_the_wire: bool,
    pub(super) terms: Terms,
    pub(super) key: Option<ApiKeyId>,
    /// The rule of its channel.
    pub(super) kept: Option<Keep>,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({})", self.message)
    }
}

impl Ready {
    /// Its id.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.message
    }

    /// Its channel and the rank of its priority, when it may go at once.
    pub(super) fn falls_due(&self, now: OffsetDateTime) -> Option<(ChannelId, usize)> {
        let rank = usize::try_from(self.terms.priority.rank()).unwrap_or(0);
        (self.next_at <= now).then_some((self.channel, rank))
    }
}

/// The messages of one request: all of them are stored, or none.
pub(super) struct Parcel {
    pub(super) tenant: TenantId,
    pub(super) messages: Vec<Ready>,
    pub(super) claim: Option<Claim>,
    /// Tells of them in the audit log, and is committed with them, also where the same was handed over before. `None`: somebody
    /// else has seen to it.
    pub(super) entry: Option<NewAuditEntry>,
}

impl Parcel {
    /// What it takes in memory, roughly.
    fn bytes(&self) -> usize {
        let text = |one: &Ready| one.body.len() + one.fallback.as_ref().map_or(0, String::len);
        self.messages.iter().map(|one| size_of::<Ready>() + text(one)).sum()
    }
}

/// What became of a parcel.
pub(super) enum Stored {
    /// It is committed. To whom its messages go, in their order.
    Now(Vec<ContactId>),
    /// The same was handed over before, under the same key: the first of its messages, and what was answered.
    Before(MessageId, Option<Sealed>),
}

type Answer = Result<Stored, QueueError>;
