//! The canonical bytes of an entry (docs/audit.md): one form for each, so that a commitment to the bytes is one to the entry.

use time::OffsetDateTime;
use uuid::Uuid;

use super::act::{Act, Actor, ActorKind, Decision, Object};
use super::entry::Entry;
use super::subjects::Subjects;
use crate::ids::{AuditEntryId, TenantId};

/// `WXA` and the version of the format.
const MAGIC: [u8; 4] = *b"WXA\x01";
/// Longest text in an entry. No list of ours comes near.
const LONGEST_TEXT: usize = 512;

/// Writes an entry.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let act = &entry.act;
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(entry.id.uuid().as_bytes());
    bytes.extend_from_slice(&millis(entry.at).to_be_bytes());
    bytes.extend_from_slice(act.tenant.uuid().as_bytes());
    bytes.push(act.actor.kind as u8);
    bytes.extend_from_slice(act.actor.id.as_bytes());
    bytes.push(act.decision as u8);
    bytes.extend_from_slice(act.object.id.as_bytes());
    bytes.extend_from_slice(act.channel.as_bytes());
    bytes.extend_from_slice(&act.count.to_be_bytes());
    bytes.extend_from_slice(&entry.subjects.count.to_be_bytes());
    bytes.extend_from_slice(&entry.subjects.commitment);
    for text in texts(act) {
        let text = text.get(..LONGEST_TEXT).unwrap_or(text);
        bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The texts in the order of the format.
fn texts(act: &Act) -> [&str; 6] {
    [&act.action, &act.object.class, &act.purpose, &act.reason, &act.request, &act.details]
}

fn millis(at: OffsetDateTime) -> u64 {
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// Reads an entry. `None`: these are not the canonical bytes of any.
pub(super) fn decode(bytes: &[u8]) -> Option<Entry> {
    let mut rest = Rest(bytes);
    if rest.array()? != MAGIC {
        return None;
    }
    let id = AuditEntryId::from_uuid(rest.uuid()?);
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(u64::from_be_bytes(rest.array()?)) * 1_000_000);
    let tenant = TenantId::from_uuid(rest.uuid()?);
    let actor = Actor { kind: ActorKind::of(rest.byte()?)?, id: rest.uuid()? };
    let decision = Decision::of(rest.byte()?)?;
    let (object, channel) = (rest.uuid()?, rest.uuid()?);
    let count = u32::from_be_bytes(rest.array()?);
    let subjects = Subjects { count: u32::from_be_bytes(rest.array()?), commitment: rest.array()? };
    let (action, class, purpose) = (rest.text()?.into(), rest.text()?.into(), rest.text()?.into());
    let (reason, request, details) = (rest.text()?.into(), rest.text()?, rest.text()?);
    let object = Object { class, id: object };
    let act = Act { tenant, actor, action, object, channel, purpose, reason, request, details, decision, count };
    rest.0.is_empty().then_some(Entry { id, at: at.ok()?, act, subjects })
}

/// What is still to be read.
struct Rest<'b>(&'b [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn uuid(&mut self) -> Option<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let (text, rest) = self.0.split_at_checked(length).filter(|_| length <= LONGEST_TEXT)?;
        self.0 = rest;
        let is_plain = text.iter().all(u8::is_ascii_graphic);
        is_plain.then(|| String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Action;
    use crate::ids::ApiKeyId;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;
    use time::macros::datetime;

    fn entry() -> Entry {
        let id = |number: u128| Uuid::from_u128(number << 64 | 0x8000_0000_0000_0000 | number);
        let actor = Actor::key(ApiKeyId::from_uuid(id(2)));
        let mut act = Act::new(TenantId::from_uuid(id(1)), actor, Action::ContactsRead, Object::one("contact", id(3)));
        act.purpose = "application".into();
        act.request = "0123456789abcdef0123456789abcdef".into();
        Entry {
            id: AuditEntryId::from_uuid(id(4)),
            at: datetime!(2026-11-22 12:00:00.123 UTC),
            act,
            subjects: Subjects { count: 1, commitment: [0xab; 32] },
        }
    }

    /// docs/audit.md shows the same bytes.
    #[test]
    fn the_bytes_are_those_of_the_documentation() {
        let bytes = encode(&entry());
        let expected = include_str!("../../tests/vectors/audit-entry-v1.hex");
        assert_eq!(HEXLOWER.encode(&bytes), expected.trim());
        assert_eq!(decode(&bytes), Some(entry()));
        assert_eq!(HEXLOWER.encode(&entry().commitment(&[7; 32])), expected_commitment());
    }

    fn expected_commitment() -> &'static str {
        include_str!("../../tests/vectors/audit-commitment-v1.hex").trim()
    }

    #[test]
    fn cut_lengthened_and_unprintable_bytes_are_no_entry() {
        let bytes = encode(&entry());
        assert!((0..bytes.len()).all(|end| decode(&bytes[..end]).is_none()));
        assert_eq!(decode(&[bytes.as_slice(), b"x"].concat()), None);
        let mut act = entry();
        act.act.details = "two words".into();
        assert_eq!(decode(&encode(&act)), None);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_written_the_same(at in 0_usize..200, byte: u8) {
            let mut bytes = encode(&entry());
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Some(read) = decode(&bytes) {
                prop_assert_eq!(encode(&read), bytes);
            }
        }
    }
}
