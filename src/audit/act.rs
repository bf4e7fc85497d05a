//! What somebody did or wanted to do, in words of closed lists and ids of ours.

use std::borrow::Cow;

use uuid::Uuid;

use crate::ids::{ApiKeyId, ChannelId, TenantId};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// What is done. The names are part of the format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action { $($(#[$doc])* $name),+ }

        impl Action {
            /// Every action, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

actions! {
    /// Events were read.
    EventsRead = "events.read",
    /// Names and identifiers of contacts were read.
    ContactsRead = "contacts.read",
    /// A contact was shown in clear to somebody who sees it masked.
    ContactRevealed = "contact.revealed",
    /// What a contact is called was put right; `details` names what.
    ContactCorrected = "contact.corrected",
    /// What a contact allowed or forbade was recorded.
    ConsentRecorded = "consent.recorded",
    /// Messages were read, both ways.
    MessagesRead = "messages.read",
    /// The audit log was read.
    AuditRead = "audit.read",
    /// The oldest entries are dropped with age; `details` says below which index.
    AuditPruned = "audit.pruned",
    /// Something was asked for without the permission; `details` names it.
    AccessRefused = "access.refused",
    /// A decoy was opened.
    DecoyOpened = "decoy.opened",
    /// A contact was made a decoy; which is not said.
    DecoyMarked = "decoy.marked",
    /// A contact is no decoy any more; which is not said.
    DecoyUnmarked = "decoy.unmarked",
    /// A message was handed over for Meta.
    MessageSent = "message.sent",
    /// A message that waited was taken back.
    MessageCancelled = "message.cancelled",
    /// A file was looked up or downloaded, here or at Meta.
    MediaRead = "media.read",
    /// A file was handed over, to be sent.
    MediaUploaded = "media.uploaded",
    /// A file was deleted, here and at Meta.
    MediaDeleted = "media.deleted",
    /// A link to a file was made that is good for a while and needs no key.
    MediaLinked = "media.linked",
    /// Meta's list of people whom a number blocks was read.
    BlocksRead = "blocks.read",
    /// Something was asked of Meta that changes something there; `details` names the call.
    GraphChanged = "graph.changed",
    /// An API key was made.
    KeyCreated = "key.created",
    /// An API key was made in the place of another.
    KeyRotated = "key.rotated",
    /// An API key was locked, because it was about to be shown more contacts than it may.
    KeyLocked = "key.locked",
    /// An API key was unlocked.
    KeyUnlocked = "key.unlocked",
    /// An API key was taken back.
    KeyRevoked = "key.revoked",
    /// An API key was reported as leaked, and taken back.
    KeyReported = "key.reported",
    /// A Meta app was added.
    AppCreated = "app.created",
    /// A Meta app was changed.
    AppChanged = "app.changed",
    /// A Meta app was removed.
    AppRemoved = "app.removed",
    /// A channel was added.
    ChannelCreated = "channel.created",
    /// A channel was changed.
    ChannelChanged = "channel.changed",
    /// A channel was removed.
    ChannelRemoved = "channel.removed",
    /// Templates were read anew because somebody asked for it.
    TemplatesSynced = "templates.synced",
    /// An endpoint was added.
    EndpointCreated = "endpoint.created",
    /// An endpoint was changed.
    EndpointChanged = "endpoint.changed",
    /// An endpoint was given a new secret.
    SecretRotated = "endpoint.secret_rotated",
    /// A made-up event was sent to an endpoint.
    EndpointTested = "endpoint.tested",
    /// An endpoint was removed.
    EndpointRemoved = "endpoint.removed",
    /// Dead letters are delivered after all.
    DeadLettersRedriven = "dead_letters.redriven",
    /// Dead letters were forgotten.
    DeadLettersPurged = "dead_letters.purged",
    /// Events of the past are delivered once more.
    ReplayCreated = "replay.created",
    /// A replay was ended.
    ReplayCancelled = "replay.cancelled",
    /// Somebody looked what the erasure of a person would remove.
    ErasurePreviewed = "erasure.previewed",
    /// The erasure of a person was asked for.
    ErasureRequested = "erasure.requested",
    /// The case that an erasure belongs to was read.
    ErasureRead = "erasure.read",
    /// An erasure has to wait, because somebody holds the data.
    ErasureHeld = "erasure.held",
    /// An erasure went a step further; `details` names it.
    ErasureMoved = "erasure.moved",
    /// An erasure is over; `details` is the SHA-256 of its certificate.
    ErasureCertified = "erasure.certified",
    /// Somebody looked whether consent of a forgotten person is proven.
    ConsentProofRead = "consent_proof.read",
    /// A hold was asked for.
    HoldRequested = "hold.requested",
    /// A hold was put in force.
    HoldApproved = "hold.approved",
    /// A hold was taken back.
    HoldReleased = "hold.released",
    /// A contact's data are no longer used.
    ContactRestricted = "contact.restricted",
    /// They are used again.
    RestrictionLifted = "restriction.lifted",
    /// Why somebody's data are not used was read.
    RestrictionsRead = "restrictions.read",
    /// What is known of a person was asked for, as an archive for them.
    ExportRequested = "export.requested",
    /// That archive was written.
    ExportMade = "export.made",
    /// It was fetched.
    ExportRead = "export.read",
    /// A link to it was made that is good for a while and needs no key.
    ExportLinked = "export.linked",
    /// It was removed, because its time was over.
    ExportRemoved = "export.removed",
    /// Why somebody's data are held was read.
    HoldsRead = "holds.read",
    /// What somebody asks about their data was entered; `details` says what, and by which law.
    PrivacyRequestEntered = "privacy_request.entered",
    /// What somebody asked about their data was read.
    PrivacyRequestsRead = "privacy_requests.read",
    /// A request about data was given the time that its law allows at last.
    PrivacyRequestExtended = "privacy_request.extended",
    /// A request about data ended; `details` says how.
    PrivacyRequestClosed = "privacy_request.closed",
    /// What was older than is kept was removed, and how old the oldest is that is there; `details` names the classes.
    RetentionAttested = "retention.attested",
    /// What is stored was compared with what the log said of it before, and said anew; `details` commits to it.
    RowsAttested = "rows.attested",
    /// Somebody takes what is stored for right, whatever the log said of it before.
    RowsAccepted = "rows.accepted",
    /// The controls of privacy and security are about to be measured, and some of what is stored is opened for it and shown to nobody.
    PostureMeasured = "posture.measured",
    /// How they were found: `details` names those that are red, the count is of all.
    PostureFound = "posture.found",
    /// An application was told how the controls stand.
    PostureTold = "posture.told",
    /// An application was told the record of processing.
    RecordTold = "record.told",
    /// The key epoch was stepped; `details` says from which to which, and how many of the places of the cell were written.
    KeysStepped = "keys.stepped",
    /// Keys of the key tree are about to be replaced; `details` says of which level.
    KeysRotated = "keys.rotated",
    /// Every identifier is found by another key; the count is of those that were brought forward, and `details` says from which version to which.
    KeysIndexRotated = "keys.index_rotated",
    /// The root share is about to be wrapped under another KMS secret.
    KeysRewrapped = "keys.rewrapped",
    /// The database was marked as belonging to the region that the configuration names.
    RegionMarked = "region.marked",
    /// A backup is about to be made; `details` says of what.
    BackupMade = "backup.made",
    /// A backup is whole and on the disk; `details` says of what, and `apart` where the keys went to a folder of their own. The count is of recipients.
    BackupFinished = "backup.finished",
    /// A backup was restored somewhere else, opened as it should, and was thrown away.
    BackupDrilled = "backup.drilled",
    /// This installation was restored from a backup.
    BackupRestored = "backup.restored",
    /// Events came in and were sealed; a sum of some seconds.
    EventsStored = "events.stored",
    /// Events were opened and handed to an endpoint; a sum of some seconds.
    EventsDelivered = "events.delivered",
}

/// What sort of actor. The number is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ActorKind {
    /// An application with an API key.
    Key = 1,
    /// Somebody at the command line.
    Operator = 2,
    /// The gateway itself, unasked.
    Gateway = 3,
}

impl ActorKind {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Operator => "operator",
            Self::Gateway => "gateway",
        }
    }

    pub(super) const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Key),
            2 => Some(Self::Operator),
            3 => Some(Self::Gateway),
            _ => None,
        }
    }
}

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Actor {
    /// What sort.
    pub kind: ActorKind,
    /// Which; nil where there is but one.
    pub id: Uuid,
}

impl Actor {
    /// Somebody at the command line.
    pub const OPERATOR: Self = Self { kind: ActorKind::Operator, id: Uuid::nil() };
    /// The gateway itself.
    pub const GATEWAY: Self = Self { kind: ActorKind::Gateway, id: Uuid::nil() };

    /// The application with this key.
    #[must_use]
    pub const fn key(key: ApiKeyId) -> Self {
        Self { kind: ActorKind::Key, id: key.uuid() }
    }
}

/// Whether it was let happen. The number is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Decision {
    /// It was.
    Allowed = 1,
    /// It was not.
    Refused = 2,
}

impl Decision {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Refused => "refused",
        }
    }

    pub(super) const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Allowed),
            2 => Some(Self::Refused),
            _ => None,
        }
    }
}

/// To what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Object {
    /// Which sort of thing, as paths of the API have it: `contact`, `endpoint`.
    pub class: Cow<'static, str>,
    /// Which one; nil: several, or none in particular.
    pub id: Uuid,
}

impl Object {
    /// One thing.
    #[must_use]
    pub const fn one(class: &'static str, id: Uuid) -> Self {
        Self { class: Cow::Borrowed(class), id }
    }

    /// Several things, or none in particular.
    #[must_use]
    pub const fn several(class: &'static str) -> Self {
        Self::one(class, Uuid::nil())
    }
}

/// Something that is done, as far as it is told. Texts are words of ours, never what somebody typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Act {
    /// In whose data.
    pub tenant: TenantId,
    /// Who.
    pub actor: Actor,
    /// What: the name of an [`Action`], of this release or another.
    pub action: Cow<'static, str>,
    /// To what.
    pub object: Object,
    /// In which channel alone; nil: not one alone.
    pub channel: Uuid,
    /// Why: the name of a purpose.
    pub purpose: Cow<'static, str>,
    /// A reason code, where one is asked for; may be empty.
    pub reason: Cow<'static, str>,
    /// The request's id, hexadecimal; empty where there is none.
    pub request: String,
    /// Which members were changed, or which permission was missing: words between commas.
    pub details: String,
    /// Whether it was let happen.
    pub decision: Decision,
    /// How many things.
    pub count: u32,
}

impl Act {
    /// Something that is allowed, once, for no request.
    #[must_use]
    pub const fn new(tenant: TenantId, actor: Actor, action: Action, object: Object) -> Self {
        Self {
            tenant,
            actor,
            action: Cow::Borrowed(action.as_str()),
            object,
            channel: Uuid::nil(),
            purpose: Cow::Borrowed("operation"),
            reason: Cow::Borrowed(""),
            request: String::new(),
            details: String::new(),
            decision: Decision::Allowed,
            count: 1,
        }
    }

    /// The same in one channel.
    #[must_use]
    pub const fn in_channel(mut self, channel: Option<ChannelId>) -> Self {
        if let Some(channel) = channel {
            self.channel = channel.uuid();
        }
        self
    }

    /// The same for so many things.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.count = u32::try_from(count).unwrap_or(u32::MAX);
        self
    }

    /// The same with these words.
    #[must_use]
    pub fn with(mut self, details: &[&str]) -> Self {
        self.details = details.join(",");
        self
    }
}
