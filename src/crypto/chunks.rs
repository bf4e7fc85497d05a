//! Suite 03 of the envelope: large content in chunks, by the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015). Each
//! chunk is bound to its number and to whether it is the last, so that none can be dropped, repeated or put elsewhere, and each
//! opens alone, so that a part can be read without the rest. Layout: `docs/envelope.md`.

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::context::Context;
use super::envelope::{LABEL, OpenError};
use super::keys::Dek;
use super::random;

/// Bytes of content in every chunk but the last.
pub const CHUNK: usize = 1 << CHUNK_LOG2;
/// Bytes before the first chunk.
pub const HEADER: usize = 76;
const CHUNK_LOG2: u8 = 16;
const SUITE_MEDIA: u8 = 0x03;
const BEGIN: [u8; 4] = [0x57, 0x01, SUITE_MEDIA, CHUNK_LOG2];
const ID_END: usize = 20;
const SALT_END: usize = 44;
const TAG: usize = 16;
const SEALED_CHUNK: usize = CHUNK + TAG;
const PREFIX: usize = 7;
const DERIVED: usize = 32 + PREFIX + 32;

struct DerivedLen;

impl KeyType for DerivedLen {
    fn len(&self) -> usize {
        DERIVED
    }
}

/// Key and nonces of one record.
struct Record {
    key: LessSafeKey,
    prefix: [u8; PREFIX],
    associated: Vec<u8>,
}

impl Record {
    /// `HKDF-Expand(dek, "waxseal/env/1" ‖ suite ‖ salt ‖ ctx, 71)`; also the commitment.
    fn derive(dek: &Dek, salt: &[u8], context: &Context) -> Option<(Self, [u8; 32])> {
        let encoded = context.encode();
        let prk = Prk::new_less_safe(HKDF_SHA256, dek.bytes());
        let info = [LABEL, &[SUITE_MEDIA], salt, &encoded];
        let mut out = Zeroizing::new([0; DERIVED]);
        prk.expand(&info, DerivedLen).ok()?.fill(out.as_mut_slice()).ok()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, out.get(..32)?).ok()?);
        let prefix = out.get(32..32 + PREFIX)?.try_into().ok()?;
        let commitment: [u8; 32] = out.get(32 + PREFIX..)?.try_into().ok()?;
        let associated = [&BEGIN, dek.id().as_bytes().as_slice(), salt, &commitment, &encoded].concat();
        Some((Self { key, prefix, associated }, commitment))
    }

    /// Prefix ‖ number of the chunk (4) ‖ 1 for the last and 0 for the others.
    fn nonce(&self, number: u32, is_last: bool) -> Option<Nonce> {
        let parts = [&self.prefix[..], &number.to_be_bytes(), &[u8::from(is_last)]].concat();
        Nonce::try_assume_unique_for_key(&parts).ok()
    }
}

/// Content has more chunks than can be counted: 256 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the content is too long to be sealed")]
pub struct TooLong;

/// Seals content that comes in pieces. Holds less than two chunks of it.
pub struct Sealer {
    record: Record,
    header: Vec<u8>,
    next: u32,
    waiting: Zeroizing<Vec<u8>>,
}

impl Sealer {
    /// Begins a record under `dek` for the place `context`.
    pub fn new(dek: &Dek, context: &Context) -> Result<Self, TooLong> {
        Self::with_salt(dek, context, &random::bytes())
    }

    fn with_salt(dek: &Dek, context: &Context, salt: &[u8; 24]) -> Result<Self, TooLong> {
        let (record, _) = Record::derive(dek, salt, context).ok_or(TooLong)?;
        let header = record.associated.get(..HEADER).ok_or(TooLong)?.to_vec();
        Ok(Self { record, header, next: 0, waiting: Zeroizing::new(Vec::with_capacity(CHUNK)) })
    }

    /// What stands before the chunks.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Takes more content. Gives the chunks that are full, sealed. A full chunk waits until more comes: it may be the last.
    pub fn push(&mut self, mut content: &[u8]) -> Result<Vec<u8>, TooLong> {
        let mut out = Vec::new();
        while !content.is_empty() {
            if self.waiting.len() == CHUNK {
                self.seal(false, &mut out)?;
            }
            let (now, later) = content.split_at(content.len().min(CHUNK - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            content = later;
        }
        Ok(out)
    }

    /// Seals what is left, as the last chunk.
    pub fn finish(mut self) -> Result<Vec<u8>, TooLong> {
        let mut out = Vec::new();
        self.seal(true, &mut out)?;
        Ok(out)
    }

    fn seal(&mut self, is_last: bool, out: &mut Vec<u8>) -> Result<(), TooLong> {
        let nonce = self.record.nonce(self.next, is_last).ok_or(TooLong)?;
        let aad = Aad::from(&self.record.associated);
        let tag = self.record.key.seal_in_place_separate_tag(nonce, aad, &mut self.waiting).map_err(|_| TooLong)?;
        out.extend_from_slice(&self.waiting);
        out.extend_from_slice(tag.as_ref());
        self.waiting.clear();
        self.next = self.next.checked_add(1).ok_or(TooLong)?;
        Ok(())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} chunks)", self.next)
    }
}

/// Id of the data key that opens a record, out of its header.
#[must_use]
pub fn dek_id(header: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(header.get(4..ID_END)?).ok()
}

/// Opens the chunks of one record in any order.
pub struct Opener {
    record: Record,
    length: u64,
    last: u32,
}

impl Opener {
    /// For a record with this header, which is `stored` bytes long, the header included.
    pub fn new(dek: &Dek, context: &Context, header: &[u8], stored: u64) -> Result<Self, OpenError> {
        if header.len() != HEADER || !header.starts_with(&BEGIN) {
            return Err(OpenError::Malformed);
        }
        if dek_id(header) != Some(dek.id()) {
            return Err(OpenError::OtherKey);
        }
        let salt = header.get(ID_END..SALT_END).ok_or(OpenError::Malformed)?;
        let (record, commitment) = Record::derive(dek, salt, context).ok_or(OpenError::Malformed)?;
        let stated = header.get(SALT_END..).unwrap_or_default();
        if !bool::from(commitment.as_slice().ct_eq(stated)) {
            return Err(OpenError::Tampered);
        }
        let body = stored.checked_sub(HEADER as u64).ok_or(OpenError::Malformed)?;
        let chunks = body.div_ceil(SEALED_CHUNK as u64);
        let length = body.checked_sub(chunks * TAG as u64).ok_or(OpenError::Malformed)?;
        let last = chunks.checked_sub(1).and_then(|last| last.try_into().ok()).ok_or(OpenError::Malformed)?;
        Ok(Self { record, length, last })
    }

    /// Bytes of the content, if every chunk opens.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Number of the last chunk.
    #[must_use]
    pub const fn last(&self) -> u32 {
        self.last
    }

    /// Which chunk holds this byte of the content.
    #[must_use]
    pub fn chunk_of(&self, byte: u64) -> u32 {
        u32::try_from(byte / CHUNK as u64).unwrap_or(u32::MAX).min(self.last)
    }

    /// Where these chunks lie, from the first byte of the header on.
    #[must_use]
    pub fn place_of(&self, first: u32, last: u32) -> Range<u64> {
        let begin = |number: u64| HEADER as u64 + number * SEALED_CHUNK as u64;
        let end = HEADER as u64 + self.length + (u64::from(self.last) + 1) * TAG as u64;
        begin(first.into())..begin(u64::from(last) + 1).min(end)
    }

    /// Bytes of one chunk with its tag.
    #[must_use]
    pub fn stored_length(&self, number: u32) -> usize {
        let place = self.place_of(number, number);
        usize::try_from(place.end.saturating_sub(place.start)).unwrap_or(0)
    }

    /// Opens one chunk.
    pub fn open(&self, number: u32, mut sealed: Vec<u8>) -> Result<Vec<u8>, OpenError> {
        let nonce = self.record.nonce(number, number == self.last).ok_or(OpenError::Malformed)?;
        let aad = Aad::from(&self.record.associated);
        let opened = self.record.key.open_in_place(nonce, aad, &mut sealed).map_err(|_| OpenError::Tampered)?;
        let length = opened.len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::random_key;
    use data_encoding::HEXLOWER;

    fn place(row: u128) -> Context {
        Context {
            tenant: Uuid::from_u128(1),
            table: "media",
            column: "object",
            row: Uuid::from_u128(row),
            contact: Uuid::from_u128(3),
        }
    }

    fn sealed(dek: &Dek, content: &[u8], piece: usize) -> Vec<u8> {
        let mut sealer = Sealer::new(dek, &place(2)).unwrap();
        let mut out = sealer.header().to_vec();
        for piece in content.chunks(piece) {
            out.extend(sealer.push(piece).unwrap());
        }
        out.extend(sealer.finish().unwrap());
        out
    }

    fn open_all(dek: &Dek, place: &Context, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let opener = Opener::new(dek, place, sealed.get(..HEADER).unwrap_or_default(), sealed.len() as u64)?;
        let mut out = Vec::new();
        for number in 0..=opener.last() {
            let at = opener.place_of(number, number);
            out.extend(opener.open(number, sealed[at.start as usize..at.end as usize].to_vec())?);
        }
        assert_eq!(out.len() as u64, opener.length());
        Ok(out)
    }

    #[test]
    fn what_is_sealed_in_pieces_opens_again_whatever_its_length() {
        let dek = Dek::generate();
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7] {
            let content: Vec<u8> = (0..length).map(|at| (at / 7) as u8).collect();
            for piece in [1000, CHUNK, 10 * CHUNK] {
                assert_eq!(open_all(&dek, &place(2), &sealed(&dek, &content, piece)).unwrap(), content, "{length}");
            }
        }
    }

    #[test]
    fn a_chunk_that_is_dropped_cut_repeated_or_moved_is_noticed() {
        let dek = Dek::generate();
        let whole = sealed(&dek, &vec![7; 2 * CHUNK + 100], CHUNK);
        let chunk = |number: usize| &whole[HEADER + number * SEALED_CHUNK..(HEADER + (number + 1) * SEALED_CHUNK)];
        let rest = &whole[HEADER + 2 * SEALED_CHUNK..];
        let forged = [
            whole[..HEADER + 2 * SEALED_CHUNK].to_vec(),
            whole[..HEADER + SEALED_CHUNK].to_vec(),
            whole[..whole.len() - 1].to_vec(),
            [&whole[..HEADER], chunk(1), chunk(0), rest].concat(),
            [&whole[..HEADER], chunk(0), chunk(0), rest].concat(),
            [&whole[..HEADER], chunk(0), rest].concat(),
            whole[..HEADER].to_vec(),
        ];
        for forged in forged {
            assert!(open_all(&dek, &place(2), &forged).is_err());
        }
    }

    #[test]
    fn a_record_opens_in_no_other_place_and_under_no_other_key() {
        let dek = Dek::generate();
        let whole = sealed(&dek, b"Moin", 4);
        assert_eq!(open_all(&dek, &place(9), &whole), Err(OpenError::Tampered));
        assert_eq!(open_all(&Dek::generate(), &place(2), &whole), Err(OpenError::OtherKey));
        let impostor = Dek::new(dek.id(), &random_key());
        assert_eq!(open_all(&impostor, &place(2), &whole), Err(OpenError::Tampered));
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(open_all(&dek, &place(2), &changed).is_err(), "byte {at}");
        }
    }

    /// `docs/envelope.md` says how it is made, and `tests/second_implementation.py` makes and opens it.
    #[test]
    fn the_golden_vector_never_changes() {
        let key: [u8; 32] = std::array::from_fn(|at| at as u8);
        let dek = Dek::new(Uuid::from_u128(0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00), &Zeroizing::new(key));
        let salt: [u8; 24] = std::array::from_fn(|at| 0xa0 + at as u8);
        let content: Vec<u8> = (0..CHUNK + 5).map(|at| (at % 251) as u8).collect();
        let mut sealer = Sealer::with_salt(&dek, &place(2), &salt).unwrap();
        let mut out = sealer.header().to_vec();
        out.extend(sealer.push(&content).unwrap());
        out.extend(sealer.finish().unwrap());
        // The header and the last chunk, and what sums up the chunk between them.
        let middle = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &out);
        let shown = format!(
            "{}\n{}\n{}\n",
            HEXLOWER.encode(&out[..HEADER]),
            HEXLOWER.encode(&out[HEADER + SEALED_CHUNK..]),
            HEXLOWER.encode(middle.as_ref())
        );
        assert_eq!(shown, include_str!("../../tests/vectors/chunks-v1.txt"));
    }
}
