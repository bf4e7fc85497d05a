//! Files an item: under which day, which keyed hashes, for whom. What dedupes it is decided here (docs/adr/0002-dedupe-zones.md).

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use time::{Date, OffsetDateTime};

use super::callback::Kept;
use crate::directory::Snapshot;
use crate::domain::channel::Channel;
use crate::domain::event::{Item, Subject};
use crate::domain::keeping::ContentClass;
use crate::domain::message::{parse_callback_data, with_kept_callback_data, with_own_callback_data};
use crate::ids::{MessageId, TenantId};
use crate::keyring::TenantKeys;
use crate::meta::minimise;

/// Days of age at which the partition of Meta's own day dedupes alone.
const FRESH_DAYS: i64 = 2;
/// The least age, below zero where our clock is slow, at which an event is filed under Meta's own day.
/// Partitions reach one day further ahead.
const SLOW_DAYS: i64 = -6;
/// Days of age up to which an event is filed under Meta's own day. Partitions reach one day further back.
const OWN_DAY_DAYS: i64 = 10;

/// Where an item goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) part_day: Date,
    pub(super) in_ledger: bool,
    /// Meta's own day where the event is not filed under it: a first copy that was fresh then lies there.
    pub(super) own_day: Option<Date>,
}

/// The partition of an event, and whether it needs the ledger besides.
pub(super) fn place(occurred_at: Option<OffsetDateTime>, today: Date) -> Place {
    let Some(own_day) = occurred_at.map(|at| at.to_offset(time::UtcOffset::UTC).date()) else {
        return Place { part_day: today, in_ledger: true, own_day: None };
    };
    match (today - own_day).whole_days() {
        -1..=FRESH_DAYS => Place { part_day: own_day, in_ledger: false, own_day: None },
        SLOW_DAYS..=-2 | 3..=OWN_DAY_DAYS => Place { part_day: own_day, in_ledger: true, own_day: None },
        _ => Place { part_day: today, in_ledger: true, own_day: Some(own_day) },
    }
}

/// What an item is about, hashed.
pub(super) fn subject(keys: &TenantKeys, item: &Item) -> [u8; 16] {
    match &item.subject {
        Subject::Message(wamid) => {
            let number = item.phone_number_id.as_ref().map_or("", |number| number.as_str());
            keys.message_subject(number, wamid.as_str())
        }
        Subject::Exact(bytes) => keys.events.hash(&[b"exact", bytes]),
    }
}

/// What is said of it, hashed: type, error code, and what else tells apart events of one subject.
pub(super) fn variant(keys: &TenantKeys, item: &Item) -> [u8; 8] {
    let code = item.error_code.unwrap_or(0).to_be_bytes();
    let more = item.variant.as_deref().unwrap_or_default();
    keys.events.hash(&[item.event_type.as_str().as_bytes(), &code, more.as_bytes()])
}

/// The channel of an item, when it is one of ours.
pub(super) fn channel<'s>(snapshot: &'s Snapshot, tenant: TenantId, item: &Item) -> Option<&'s Channel> {
    let number = item.phone_number_id.as_ref()?;
    snapshot.channel_by_number(tenant, number).map(AsRef::as_ref)
}

/// What is stored of an item: all of it, but that the callback data of an application's own message is as the application wrote it.
pub(super) fn content<'i>(item: &'i Item, kept: &Kept) -> Cow<'i, [u8]> {
    let Some(message) = message(item) else { return Cow::Borrowed(&item.envelope) };
    let whole = kept.get(&message).and_then(|own| with_kept_callback_data(&item.envelope, message, own));
    whole.map_or_else(|| with_own_callback_data(&item.envelope, message), Cow::Owned)
}

/// An item without what its channel does not keep. What it is recognised by was made of the whole before.
pub(super) fn minimised(item: &Item, snapshot: &Snapshot, tenant: TenantId, keys: &TenantKeys) -> Item {
    let mut item = item.clone();
    let Some(channel) = channel(snapshot, tenant, &item) else { return item };
    let policy = channel.door;
    // A name that goes before the message it came with cannot stay with the person.
    if let Some(person) = item.person.as_mut().filter(|_| snapshot.kept_by(channel, ContentClass::Names).is_some()) {
        person.name = None;
    }
    if policy.keeps_all() {
        return item;
    }
    let hash = |kind: &str, text: &str| HEXLOWER.encode(&keys.minimised(kind, text));
    if let Some(person) = &mut item.person {
        person.name = person.name.take().and_then(|name| minimise::name(&name, &policy, &hash));
    }
    // Whatever has a number of ours was read as JSON.
    if let Some(envelope) = minimise::minimise(&item.envelope, &policy, &hash) {
        item.envelope = envelope.into();
    }
    item
}

/// Our message that a status is about.
pub(super) fn message(item: &Item) -> Option<MessageId> {
    item.status.and(item.opaque.as_deref()).and_then(parse_callback_data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use time::Duration;
    use time::macros::{date, datetime};

    const FIRST: Date = date!(2026 - 11 - 22);

    #[test]
    fn an_event_without_a_time_of_its_own_is_filed_under_today() {
        assert_eq!(place(None, FIRST), Place { part_day: FIRST, in_ledger: true, own_day: None });
    }

    #[test]
    fn a_fresh_event_needs_no_ledger() {
        let late = datetime!(2026-11-22 23:59:59 +00:00);
        assert_eq!(place(Some(late), FIRST), Place { part_day: FIRST, in_ledger: false, own_day: None });
        let next = FIRST.next_day().unwrap();
        assert_eq!(place(Some(late), next), Place { part_day: FIRST, in_ledger: false, own_day: None });
    }

    proptest! {
        /// Whatever the age at first sight, the second sight meets the first: in the same partition, in the ledger, or by the
        /// look into the partition of Meta's own day. Meta redelivers for seven days; a signature is good for ever.
        #[test]
        fn a_replay_meets_its_first_copy_however_late(age in 0i64..400, later in 0i64..=400) {
            let occurred = FIRST.midnight().assume_utc() - Duration::days(age);
            let (first, second) = (place(Some(occurred), FIRST), place(Some(occurred), FIRST + Duration::days(later)));
            let looked_up = second.own_day == Some(first.part_day);
            prop_assert!(first.part_day == second.part_day || (first.in_ledger && second.in_ledger) || looked_up);
        }

        /// A clock that was up to six days slow and is put right does not make a second event of a redelivery.
        #[test]
        fn a_redelivery_meets_its_first_copy_when_a_slow_clock_was_put_right(slow in 0i64..=6, later in 0i64..=7) {
            let occurred = FIRST.midnight().assume_utc() + Duration::days(slow);
            let (first, second) = (place(Some(occurred), FIRST), place(Some(occurred), FIRST + Duration::days(slow + later)));
            prop_assert_eq!(first.part_day, second.part_day);
        }
    }
}
