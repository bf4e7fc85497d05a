//! Events: what happened, in words that do not change when Meta's do.

use std::fmt;

use bytes::Bytes;
use time::OffsetDateTime;

use super::consent::Said;
use super::person::Person;
use super::window::Opening;
use crate::ids::{PhoneNumberId, WabaId, Wamid};

macro_rules! event_types {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// The type of an event, as endpoints filter on it and the API shows it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[$doc])* $name),+ }

        impl EventType {
            /// Every type, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The type with this stable name.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

event_types! {
    /// A person (or a group member) wrote to the business: any message type, also order, button and reaction.
    MessageReceived = "message.received",
    /// A person edited a message (coexistence numbers).
    MessageEdited = "message.edited",
    /// A person withdrew a message (coexistence numbers).
    MessageRevoked = "message.revoked",
    /// The business wrote from the WhatsApp Business app or another client of the same number.
    MessageEcho = "message.echo",
    /// One old message out of a history synchronisation.
    MessageHistory = "message.history",
    /// Meta accepted a message that we sent (our own event).
    MessageAccepted = "message.accepted",
    /// Status: left Meta.
    MessageSent = "message.sent",
    /// Status: on the person's device.
    MessageDelivered = "message.delivered",
    /// Status: seen.
    MessageRead = "message.read",
    /// Status: a voice message was listened to.
    MessagePlayed = "message.played",
    /// Status, or our own event: will not arrive.
    MessageFailed = "message.failed",
    /// A status word that we do not know, or `deleted`.
    MessageStatus = "message.status",
    /// Meta reports an error that belongs to no message.
    MessageError = "message.error",
    /// The answer to a send was lost (our own event).
    MessageInDoubt = "message.in_doubt",
    /// A message was taken back while it waited (our own event).
    MessageCancelled = "message.cancelled",
    /// A message was too late to be sent, and was not (our own event).
    MessageExpired = "message.expired",
    /// A file that somebody sent has been fetched and can be read (our own event).
    MediaStored = "media.stored",
    /// A file that somebody sent is not to be had (our own event).
    MediaFailed = "media.failed",
    /// A person's number, id or identity key changed.
    ContactChanged = "contact.changed",
    /// Two contacts turned out to be one person (our own event).
    ContactMerged = "contact.merged",
    /// A person was erased: whoever was told of them has to forget them too (our own event, to every endpoint that may know them).
    ContactErased = "contact.erased",
    /// A person allowed or stopped marketing messages.
    ContactPreference = "contact.preference",
    /// A person allowed marketing messages or forbade them, by whichever way (our own event).
    ConsentChanged = "contact.consent_changed",
    /// In a while, a person can be sent templates alone (our own event, where `send.window_closing_minutes` asks for it).
    WindowClosing = "window.closing",
    /// An address-book entry of the WhatsApp Business app.
    ContactSynced = "contact.synced",
    /// A person followed a marketing message.
    MarketingClicked = "marketing.clicked",
    /// A call began, ended or changed, or has a status.
    CallUpdated = "call.updated",
    /// A group was created, deleted or changed; its members or settings changed.
    GroupUpdated = "group.updated",
    /// Traffic of a thread that another app or Meta's agent owns.
    Standby = "standby",
    /// A thread changed its owner.
    ThreadHandedOver = "thread.handed_over",
    /// A template's status, quality, components or category changed.
    TemplateUpdated = "template.updated",
    /// Quality, limit, name, username or settings of a channel changed.
    ChannelUpdated = "channel.updated",
    /// What Meta says of a number has changed: name, quality, limits, health (our own event).
    ChannelChanged = "channel.changed",
    /// A channel's access token ends soon, is not valid, or lacks a permission (our own event).
    TokenExpiring = "channel.token_expiring",
    /// The account was reviewed, restricted, banned, given a capability or shared.
    AccountUpdated = "account.updated",
    /// Two-step PIN of a number changed or was asked for.
    AccountSecurity = "account.security",
    /// A Flow's status or health changed.
    FlowUpdated = "flow.updated",
    /// A conversion event that Meta inferred from a chat.
    AdsConversion = "ads.conversion",
    /// A made-up event that somebody had sent to an endpoint to see whether it arrives (our own; neither stored nor repeated).
    EndpointTest = "endpoint.test",
    /// An endpoint has accepted nothing for ten minutes (our own event, never to the endpoint that it is about).
    EndpointFailing = "endpoint.failing",
    /// An endpoint that was failing accepts again (our own event).
    EndpointRecovered = "endpoint.recovered",
    /// An endpoint was disabled, because it answered 410 or failed for days (our own event).
    EndpointDisabled = "endpoint.disabled",
    /// Events that an endpoint was owed went with age before it took them; once a day (our own event, never to that endpoint).
    EndpointLeftBehind = "endpoint.left_behind",
    /// A key was about to be shown more contacts in an hour than it may, and is locked (our own event).
    ReadBudgetExceeded = "security.read_budget_exceeded",
    /// A decoy was opened: a contact that nobody has a reason to look at (our own event; to endpoints that name it alone).
    DecoyOpened = "security.decoy_opened",
    /// One key, or whoever has none, was refused many times within a minute (our own event).
    RefusedBurst = "security.refused_burst",
    /// Entries of the audit log have waited for minutes to be put into its tree (our own event).
    LogStalled = "security.log_stalled",
    /// A key that was destroyed is in the key tables again: they may have been restored from an old copy (our own event).
    ForgottenKeySeen = "security.forgotten_key_seen",
    /// A place of the epoch cell holds no share: with some more of them everything would be lost (our own event).
    CellPlaceLost = "security.cell_place_lost",
    /// What somebody asked about their data is to be answered within a week, or should have been; once a day (our own event).
    PrivacyRequestDue = "security.privacy_request_due",
    /// Something that we do not know. Kept with its exact JSON.
    Unrecognised = "unrecognised",
}

impl EventType {
    /// Whether it is kept from whoever did not ask for it by name: of a decoy, nobody shall learn by the way.
    #[must_use]
    pub const fn is_confidential(self) -> bool {
        matches!(self, Self::DecoyOpened)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What Meta says of a sent message. The order is the rank: a message is what the highest rank says, so that its
/// state cannot go backwards; `failed` stands beside the others, because Meta may report both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Status {
    /// A word we do not know, or `deleted`.
    Other = 0,
    /// Left Meta.
    Sent = 1,
    /// On the device.
    Delivered = 2,
    /// Seen.
    Read = 3,
    /// Listened to.
    Played = 4,
    /// Will not arrive.
    Failed = 9,
}

impl Status {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }

    /// From Meta's word.
    #[must_use]
    pub fn from_meta(word: &str) -> Self {
        match word {
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            "played" => Self::Played,
            "failed" => Self::Failed,
            _ => Self::Other,
        }
    }

    /// The number stored in `event.status_rank`.
    #[must_use]
    pub const fn rank(self) -> i16 {
        self as i16
    }

    /// From `event.status_rank`.
    #[must_use]
    pub const fn from_rank(rank: i16) -> Self {
        match rank {
            1 => Self::Sent,
            2 => Self::Delivered,
            3 => Self::Read,
            4 => Self::Played,
            9 => Self::Failed,
            _ => Self::Other,
        }
    }

    /// The event type that reports this status.
    #[must_use]
    pub const fn event_type(self) -> EventType {
        match self {
            Self::Other => EventType::MessageStatus,
            Self::Sent => EventType::MessageSent,
            Self::Delivered => EventType::MessageDelivered,
            Self::Read => EventType::MessageRead,
            Self::Played => EventType::MessagePlayed,
            Self::Failed => EventType::MessageFailed,
        }
    }
}

/// How the sealed JSON of an event of our own begins; Meta's begins otherwise.
pub const OWN_ENVELOPE: &str = r#"{"object":"waxseal","#;

/// The JSON of an event of our own, to be sealed. `details` is JSON and is taken as it is.
#[must_use]
pub fn own_envelope(details: &str) -> String {
    format!("{OWN_ENVELOPE}\"details\":{details}}}")
}

/// What an item is about, for dedupe. Two items with equal subject and variant are one event told twice.
#[derive(Clone, PartialEq, Eq)]
pub enum Subject {
    /// A message or call of a number; several events (statuses) may share it.
    Message(Wamid),
    /// Everything else: the exact bytes of the item, with field and entry id.
    Exact(Bytes),
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message(_) => "Message(…)",
            Self::Exact(_) => "Exact(…)",
        })
    }
}

/// One thing out of Meta's POST, cut so that it can stand alone.
#[derive(Clone)]
pub struct Item {
    /// What happened.
    pub event_type: EventType,
    /// The WhatsApp Business Account it belongs to, when Meta says so.
    pub waba_id: Option<WabaId>,
    /// The business number it belongs to, when Meta says so.
    pub phone_number_id: Option<PhoneNumberId>,
    /// The person it is about. `None` for account matters and groups.
    pub person: Option<Person>,
    /// What dedupe is keyed on.
    pub subject: Subject,
    /// What else tells apart events of one subject, beside type, status and error code; part of the dedupe variant.
    /// The event of a call, the member of a group whose status this is, a status word that we do not know, the type of
    /// an old message. May hold a phone number: to be hashed, never stored or shown.
    pub variant: Option<String>,
    /// Set for statuses alone.
    pub status: Option<Status>,
    /// Meta's error code, of a failed status or a message-less error.
    pub error_code: Option<i32>,
    /// `biz_opaque_callback_data` of a status: ours, when it parses as one of our ids.
    pub opaque: Option<String>,
    /// Whether it is a message with a file that Meta keeps for a few days.
    pub has_media: bool,
    /// Meta's own time of the event.
    pub occurred_at: Option<OffsetDateTime>,
    /// Whether the person may be written to freely for a while because of it.
    pub opens: Option<Opening>,
    /// What it may tell of consent.
    pub said: Option<Said>,
    /// Meta's envelope with this item alone: `{"object":…,"entry":[{…,"changes":[{…}]}]}`. When the POST held nothing
    /// else, these are the very bytes Meta sent.
    pub envelope: Bytes,
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("event_type", &self.event_type)
            .field("bytes", &self.envelope.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name() {
        for &event_type in EventType::ALL {
            assert_eq!(EventType::parse(event_type.as_str()), Some(event_type));
        }
    }

    #[test]
    fn statuses_rank_as_a_message_travels() {
        assert!(Status::Sent < Status::Delivered && Status::Delivered < Status::Read && Status::Read < Status::Played);
        for status in [Status::Other, Status::Sent, Status::Delivered, Status::Read, Status::Played, Status::Failed] {
            assert_eq!(Status::from_rank(status.rank()), status);
        }
    }
}
