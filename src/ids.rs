//! Typed identifiers. Ours are UUIDv7, made here from a passed time and before anything is sealed, because the id is
//! part of what a seal is bound to. Meta's are opaque strings that we never make.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// Last 60 bits handed out: milliseconds (48) and a counter (12), so that ids of one process never go backwards.
static LAST: AtomicU64 = AtomicU64::new(0);

/// How far ids may run ahead of the clock to stay in order: ten seconds. A clock that was further ahead and is put right is
/// believed, because the day in an id is where its row lies.
const FOLLOWED: u64 = 10_000 << 12;

/// The stamp after `last` for a clock that shows `floor`.
fn stamp_behind(last: u64, floor: u64) -> u64 {
    let next = last.saturating_add(1);
    if next.saturating_sub(floor) < FOLLOWED { floor.max(next) } else { floor }
}

/// Takes `count` stamps in a row for `now`, above every one that was taken before, unless the clock was set back by more than
/// [`FOLLOWED`]. Returns the first.
fn take_stamps(taken: &AtomicU64, now: OffsetDateTime, count: u64) -> u64 {
    let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let floor = millis << 12;
    let first = |last| stamp_behind(last, floor);
    let next = |last| Some(first(last).saturating_add(count.saturating_sub(1)));
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(floor, first)
}

/// The UUIDv7 (RFC 9562 §5.7, method 1: fixed-length counter) of a stamp.
fn v7_of(stamp: u64) -> Uuid {
    let mut bytes = [0u8; 16];
    crate::crypto::random::fill(&mut bytes[8..]);
    bytes[..6].copy_from_slice(&(stamp >> 12).to_be_bytes()[2..]);
    bytes[6..8].copy_from_slice(&(0x7000 | (stamp as u16 & 0x0fff)).to_be_bytes());
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

macro_rules! own_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id whose first 48 bits are the milliseconds of `now`.
            #[must_use]
            pub fn new(now: OffsetDateTime) -> Self {
                Self(v7_of(take_stamps(&LAST, now, 1)))
            }

            /// An id that was made before: read from a row or from a request.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The plain UUID, for SQL parameters and for seals.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// No id that was made at `at` or later is below this.
            #[must_use]
            pub fn lowest_of(at: OffsetDateTime) -> Self {
                Self(lowest_of(at))
            }

            /// When the id was made, to the second.
            #[must_use]
            pub fn made_at(self) -> OffsetDateTime {
                time_of(self.0)
            }

            /// The UTC day in which the id was made. Rows of partitioned tables are found by it.
            #[must_use]
            pub fn day(self) -> Date {
                time_of(self.0).date()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )+};
}

own_ids! {
    /// A Meta app as registered with us (not Meta's own app id).
    AppId,
    /// An API key of a calling application.
    ApiKeyId,
    /// An entry of the audit log.
    AuditEntryId,
    /// A business phone number and its credentials.
    ChannelId,
    /// Something that a person allowed or forbade.
    ConsentId,
    /// A person. Random to everyone but us; never derived from a number.
    ContactId,
    /// An internal application that receives events.
    EndpointId,
    /// A person to be forgotten.
    ErasureId,
    /// Something that happened.
    EventId,
    /// What is known of a person, written into one archive for them.
    ExportId,
    /// Data of a person that must stay.
    HoldId,
    /// What somebody asks about their data.
    PrivacyRequestId,
    /// A file. One that somebody sent has the id of the event that brought it.
    MediaId,
    /// A message that an application handed to us for Meta.
    MessageId,
    /// Events of the past that an endpoint is owed once more.
    ReplayId,
    /// The owner of everything.
    TenantId,
    /// One running gateway process.
    WorkerId,
}

impl EventId {
    /// New ids of a batch. They ascend whatever time others of this process make ids for meanwhile.
    pub fn ascending(now: OffsetDateTime, count: usize) -> impl Iterator<Item = Self> {
        let first = take_stamps(&LAST, now, count as u64);
        (first..).take(count).map(|stamp| Self(v7_of(stamp)))
    }
}

impl From<EventId> for MediaId {
    fn from(event: EventId) -> Self {
        Self(event.0)
    }
}

impl MediaId {
    /// The event that brought it, if somebody sent it.
    #[must_use]
    pub const fn event(self) -> EventId {
        EventId(self.0)
    }
}

impl TenantId {
    /// The one tenant of a single-company installation.
    pub const DEFAULT: Self = Self(Uuid::from_u128(0x0000_0000_0000_7000_8000_0000_0000_0001));
}

/// The least UUIDv7 of a time.
fn lowest_of(at: OffsetDateTime) -> Uuid {
    let millis = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    Uuid::from_u64_pair(millis << 16 | 0x7000, 0x8000_0000_0000_0000)
}

/// The time inside a UUIDv7.
fn time_of(id: Uuid) -> OffsetDateTime {
    let mut millis = [0u8; 8];
    millis[2..].copy_from_slice(&id.as_bytes()[..6]);
    let seconds = i64::try_from(u64::from_be_bytes(millis) / 1000).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

macro_rules! meta_ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Takes Meta's text as it is.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Meta's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )+};
}

meta_ids! {
    /// Meta's id of a business phone number. Not the number itself; readable in rows and logs.
    PhoneNumberId,
    /// Meta's id of a WhatsApp Business Account.
    WabaId,
    /// Meta's id of a message. Contains a phone number in base64: sealed, looked up by keyed hash, never printed.
    Wamid,
}

impl fmt::Debug for PhoneNumberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumberId({})", self.0)
    }
}

impl fmt::Debug for WabaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WabaId({})", self.0)
    }
}

impl fmt::Debug for Wamid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wamid(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn ids_of_one_process_ascend_even_within_a_millisecond_and_when_the_clock_steps_back() {
        // Stamps of its own: other tests make ids for other times in this process.
        let (taken, now) = (AtomicU64::new(0), datetime!(2026-11-22 12:00 UTC));
        let new = |now| v7_of(take_stamps(&taken, now, 1));
        let mut last = new(now);
        for step in 0..10_000 {
            let next = new(now - time::Duration::milliseconds(step % 7));
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn ids_of_one_batch_ascend_even_when_others_make_ids_for_another_time_meanwhile() {
        let now = datetime!(2026-11-22 12:00 UTC);
        let mut last = None;
        for id in EventId::ascending(now, 5_000) {
            let other = EventId::new(now + time::Duration::minutes(1));
            assert!(Some(id) > last && other > id);
            last = Some(id);
        }
        assert_eq!(EventId::ascending(now, 0).count(), 0);
    }

    #[test]
    fn after_a_clock_that_ran_weeks_ahead_is_put_right_ids_are_of_today_again() {
        let now = 1_795_000_000_000 << 12;
        assert_eq!(stamp_behind(now - 7, now), now);
        assert_eq!(stamp_behind(now + 7, now), now + 8);
        assert_eq!(stamp_behind(now + ((40 * 86_400_000) << 12), now), now);
    }

    #[test]
    fn an_id_knows_its_version_variant_and_day() {
        let id = MessageId::new(datetime!(2031-02-03 23:59:59.999 UTC));
        assert_eq!(id.uuid().get_version_num(), 7);
        assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
        assert_eq!(id.day(), time::macros::date!(2031 - 02 - 03));
    }

    #[test]
    fn no_id_is_below_the_lowest_of_its_time() {
        let at = datetime!(2031-02-03 23:59:59.999 UTC);
        assert!(EventId::lowest_of(at) < EventId::new(at));
        assert!(EventId::lowest_of(at + time::Duration::milliseconds(1)) > EventId::new(at));
        assert_eq!(EventId::lowest_of(at).made_at(), datetime!(2031-02-03 23:59:59 UTC));
    }

    #[test]
    fn a_wamid_never_prints_itself() {
        assert_eq!(format!("{:?}", Wamid::new("wamid.HBgLMTY1MDM4Nzk0MzkV")), "Wamid(…)");
    }
}
