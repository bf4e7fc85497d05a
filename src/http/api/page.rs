//! Pages: `{data, next_cursor, has_more}`, and the cursors between them. A cursor is opaque and of no use in another list.

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::views::EventCursor;
pub(super) use crate::access::views::one_more;

/// Items of a page when the caller does not say.
pub(super) const DEFAULT_LIMIT: usize = 50;
/// Items of a page at most.
pub(super) const MAX_LIMIT: usize = 200;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// At most `limit` items. A key that is confined to channels may get fewer although there is more.
    pub(super) data: Vec<T>,
    /// To be given as `cursor` to get what follows. The events list gives one also when there is no more yet.
    pub(super) next_cursor: Option<String>,
    /// Whether there is more now.
    pub(super) has_more: bool,
}

/// Something that a cursor can point at. Its text is one letter for the list, the place, and a CRC-32 against typos.
pub(super) trait Cursor: Sized {
    /// Which list.
    const LIST: u8;
    /// The place, in bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// The place of these bytes.
    fn of_bytes(bytes: &[u8]) -> Option<Self>;

    /// For `next_cursor`.
    fn to_text(&self) -> String {
        let mut bytes = vec![Self::LIST];
        bytes.extend(self.to_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        BASE64URL_NOPAD.encode(&bytes)
    }

    /// From `cursor`. `None` for everything that this list did not give out.
    fn of_text(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        let (list, place) = body.split_first()?;
        let is_ours = *list == Self::LIST && crc32fast::hash(body).to_be_bytes() == *sum;
        is_ours.then(|| Self::of_bytes(place)).flatten()
    }
}

impl Cursor for EventCursor {
    const LIST: u8 = b'e';

    fn to_bytes(&self) -> Vec<u8> {
        [&self.xid.to_be_bytes()[..], self.event.as_bytes()].concat()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (xid, event) = bytes.split_first_chunk::<8>()?;
        Some(Self { xid: i64::from_be_bytes(*xid), event: Uuid::from_slice(event).ok()? })
    }
}

macro_rules! id_cursors {
    ($($(#[$doc:meta])* $name:ident = $list:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $name(pub(super) Uuid);

        impl Cursor for $name {
            const LIST: u8 = $list;

            fn to_bytes(&self) -> Vec<u8> {
                self.0.as_bytes().to_vec()
            }

            fn of_bytes(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }
        }
    )+};
}

id_cursors! {
    /// In the list of contacts, newest first.
    ContactCursor = b'c',
    /// In a conversation, newest first.
    EntryCursor = b'm',
    /// In a list of settings, oldest first.
    SettingCursor = b's',
    /// In the audit log, newest first.
    AuditCursor = b'u',
    /// In the list of files, newest first.
    MediaCursor = b'f',
    /// In a list of replays, newest first.
    ReplayCursor = b'r',
    /// In the list of messages, newest first.
    MessageCursor = b'o',
    /// In a list of contacts whom audit entries are about, by their ids.
    ScopeCursor = b'p',
    /// In the list of erasures, newest first.
    ErasureCursor = b'x',
    /// In the list of holds, newest first.
    HoldCursor = b'h',
    /// In the list of requests about data, newest first.
    PrivacyRequestCursor = b'q',
    /// In the list of restrictions, by contact.
    RestrictionCursor = b't',
    /// In the list of exports, newest first.
    ExportCursor = b'y',
}

macro_rules! time_cursors {
    ($($(#[$doc:meta])* $name:ident = $list:literal),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $name(pub(super) (OffsetDateTime, Uuid));

        impl Cursor for $name {
            const LIST: u8 = $list;

            fn to_bytes(&self) -> Vec<u8> {
                let (at, id) = self.0;
                [&at.unix_timestamp_nanos().to_be_bytes()[..], id.as_bytes()].concat()
            }

            fn of_bytes(bytes: &[u8]) -> Option<Self> {
                let (at, id) = bytes.split_first_chunk::<16>()?;
                let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from_be_bytes(*at)).ok()?;
                Some(Self((at, Uuid::from_slice(id).ok()?)))
            }
        }
    )+};
}

time_cursors! {
    /// In a list of dead letters, newest first.
    DeadLetterCursor = b'd',
    /// In a list of attempts, newest first.
    AttemptCursor = b'a',
}

/// A page of rows, of which there is one more than wanted when there is more.
pub(super) fn of_rows<R, T: From<R>, C: Cursor>(mut rows: Vec<R>, limit: usize, place: impl Fn(&R) -> C) -> Page<T> {
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    of_shown(rows, has_more, place)
}

/// A page of these rows.
pub(super) fn of_shown<R, T: From<R>, C: Cursor>(rows: Vec<R>, has_more: bool, place: impl Fn(&R) -> C) -> Page<T> {
    let next_cursor = rows.last().filter(|_| has_more).map(|last| place(last).to_text());
    Page { data: rows.into_iter().map(T::from).collect(), next_cursor, has_more }
}

/// A page of settings, which are in memory whole: `all` is ordered by `id`, oldest first.
pub(super) fn of_settings<T>(
    all: impl IntoIterator<Item = T>,
    id: impl Fn(&T) -> Uuid,
    after: Option<SettingCursor>,
    limit: usize,
) -> Page<T> {
    let mut rest = all.into_iter().filter(|item| after.is_none_or(|after| id(item) > after.0));
    let data: Vec<T> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    let next_cursor = data.last().filter(|_| has_more).map(|last| SettingCursor(id(last)).to_text());
    Page { data, next_cursor, has_more }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went_out(xid: i64, id: u128) {
            let event = EventCursor { xid, event: Uuid::from_u128(id) };
            prop_assert_eq!(EventCursor::of_text(&event.to_text()), Some(event));
            let contact = ContactCursor(Uuid::from_u128(id));
            prop_assert_eq!(ContactCursor::of_text(&contact.to_text()), Some(contact));
            let at = OffsetDateTime::UNIX_EPOCH + time::Duration::microseconds(xid / 1_000_000);
            let letter = DeadLetterCursor((at, Uuid::from_u128(id)));
            prop_assert_eq!(DeadLetterCursor::of_text(&letter.to_text()), Some(letter));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = EventCursor::of_text(&text);
        }
    }

    #[test]
    fn a_cursor_of_another_list_or_with_a_typo_is_none() {
        let text = ContactCursor(Uuid::from_u128(7)).to_text();
        assert_eq!(EntryCursor::of_text(&text), None);
        assert_eq!(EventCursor::of_text(&text), None);
        assert_eq!(ContactCursor::of_text(&text.replace('A', "B")), None);
        assert_eq!(ContactCursor::of_text(""), None);
    }

    #[test]
    fn settings_are_paged_from_the_oldest_to_the_last() {
        let all = || (1..=5).map(Uuid::from_u128);
        let first = of_settings(all(), |id| *id, None, 2);
        assert_eq!((first.data.len(), first.has_more), (2, true));
        let second = of_settings(all(), |id| *id, SettingCursor::of_text(&first.next_cursor.unwrap()), 3);
        assert_eq!(second.data, [3, 4, 5].map(Uuid::from_u128));
        assert_eq!((second.next_cursor, second.has_more), (None, false));
    }
}
