//! What the door hands out: stored things with their content opened. Plaintext in them is wiped when they are dropped.

use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::directory::profile::Profile;
use crate::domain::event::Status;
use crate::domain::message::Priority;
use crate::ids::{ChannelId, ContactId, EventId, MessageId};

/// Content that was sealed.
pub enum Content {
    /// The exact bytes that were sealed.
    Opened(Zeroizing<Vec<u8>>),
    /// Its key or the content itself was erased, or dropped with age.
    Erased,
    /// It is there and does not open: changed, moved, or its key is damaged. Logged as an error where it is found.
    Damaged,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opened(_) => "Opened(…)",
            Self::Erased => "Erased",
            Self::Damaged => "Damaged",
        })
    }
}

/// One page of things.
#[derive(Debug)]
pub struct Page<T, C> {
    /// At most as many as were asked for; a caller confined to channels, or one with a rare filter, may see fewer.
    pub items: Vec<T>,
    /// Where the next page begins. For events also when there is no more yet; otherwise present together with `has_more`.
    pub next: Option<C>,
    /// Whether there is more now.
    pub has_more: bool,
}

/// How many rows to ask for: one more than wanted tells whether there is more.
#[must_use]
pub fn one_more(limit: usize) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}

/// A place in the order of commits. Nothing that commits later is ever before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCursor {
    /// Transaction number.
    pub xid: i64,
    /// Within the transaction.
    pub event: Uuid,
}

/// An event.
#[derive(Debug)]
pub struct EventView {
    /// Id.
    pub id: EventId,
    /// Where it stands in the order of commits: whoever goes on from here has seen it.
    pub place: EventCursor,
    /// Stable name of the type.
    pub event_type: String,
    /// Channel, when it is one of ours.
    pub channel: Option<ChannelId>,
    /// Meta's id of that channel's number.
    pub phone_number_id: Option<String>,
    /// Person, when it is about one.
    pub contact: Option<ContactId>,
    /// Our message, when it is about one.
    pub message: Option<MessageId>,
    /// Meta's error code.
    pub error_code: Option<i32>,
    /// Meta's time, or ours.
    pub occurred_at: OffsetDateTime,
    /// Ours.
    pub received_at: OffsetDateTime,
    /// Meta's envelope around this item alone, or our own.
    pub content: Content,
}

/// A person.
#[derive(Debug)]
pub struct ContactView {
    /// Id.
    pub id: ContactId,
    /// What Meta calls the person. `None`: erased, or does not open.
    pub profile: Option<Profile>,
    /// Set when this contact turned out to be part of another.
    pub merged_into: Option<ContactId>,
    /// First seen.
    pub created_at: OffsetDateTime,
    /// Profile last changed.
    pub updated_at: OffsetDateTime,
}

/// What Meta said of a message.
#[derive(Debug)]
pub struct StatusView {
    /// The status.
    pub status: Status,
    /// Meta's error code, of `failed`.
    pub error_code: Option<i32>,
    /// Meta's time.
    pub occurred_at: OffsetDateTime,
    /// The status as Meta reported it; of failed ones alone.
    pub content: Option<Content>,
}

/// Where a message stands that waits.
#[derive(Debug, Clone, Copy)]
pub struct QueueView {
    /// Messages that go before it; [`crate::store::queued::FURTHEST`] also stands for more.
    pub position: i64,
    /// About when it is sent.
    pub estimated_send_at: OffsetDateTime,
}

/// A message that an application handed to us for Meta.
#[derive(Debug)]
pub struct MessageView {
    /// Id.
    pub id: MessageId,
    /// Through which number.
    pub channel: ChannelId,
    /// To whom.
    pub contact: ContactId,
    /// `api` or `mirror`.
    pub origin: String,
    /// `text`, `template`, …
    pub kind: String,
    /// How far it has come, by [`crate::domain::message::state`].
    pub state: &'static str,
    /// Meta's error code, from its answer or from a failed status.
    pub error_code: Option<i32>,
    /// In the order of Meta's time.
    pub statuses: Vec<StatusView>,
    /// What was asked of Meta.
    pub request: Content,
    /// What Meta answered; absent before it did.
    pub answer: Option<Content>,
    /// Taken from the application.
    pub created_at: OffsetDateTime,
    /// Accepted or given up.
    pub settled_at: Option<OffsetDateTime>,
    /// Before or after what else waits.
    pub priority: Priority,
    /// Not to be sent before.
    pub send_at: Option<OffsetDateTime>,
    /// Not to be sent after.
    pub expires_at: Option<OffsetDateTime>,
    /// Where it stands, when it waits and was looked at alone.
    pub queue: Option<QueueView>,
}

/// Something in the conversation with a contact.
#[derive(Debug)]
pub enum Entry {
    /// From the contact, or about it.
    In(Box<EventView>),
    /// To the contact.
    Out(Box<MessageView>),
}

impl Entry {
    /// The id, whose order is the order of the conversation.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::In(event) => event.id.uuid(),
            Self::Out(message) => message.id.uuid(),
        }
    }
}
