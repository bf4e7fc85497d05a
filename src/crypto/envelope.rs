//! Envelope v1: the one format of everything sealed. Each record has a key of its own, derived from a data key and a random
//! salt, so that no nonce can repeat; a commitment, so that it opens under one key only; and a context, so that it opens in
//! one place only. Layout and derivation: `docs/envelope.md`.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::context::Context;
use super::keys::Dek;
use super::random;
use crate::telemetry;

const MAGIC: [u8; 2] = [0x57, 0x01];
const SUITE_FIELD: u8 = 0x01;
const FLAG_PADDED: u8 = 0x01;
pub(super) const LABEL: &[u8] = b"waxseal/env/1";

const SALT: usize = 20;
const COMMITMENT: usize = 44;
const BODY: usize = 76;
const TAG: usize = 16;
/// Header and tag: what an envelope is longer than its padded content, in bytes.
pub const OVERHEAD: usize = BODY + TAG;
/// Content is padded to a multiple of this below [`PADME_FROM`] bytes.
const PAD_STEP: usize = 64;
const PADME_FROM: usize = 1024;

/// A sealed value. The only thing that content columns accept, in Rust and in Postgres.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Bytes that were read from a sealed column. Nothing is checked before [`open`].
    #[must_use]
    pub const fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes to store, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Id of the data key that opens it.
    #[must_use]
    pub fn dek_id(&self) -> Option<Uuid> {
        Uuid::from_slice(self.0.get(4..SALT)?).ok()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Why an envelope did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not an envelope that this version knows.
    #[error("not an envelope of a known version")]
    Malformed,
    /// Sealed under another data key than the one at hand.
    #[error("sealed under another key")]
    OtherKey,
    /// Changed, cut, or moved from another place.
    #[error("the envelope was changed or moved")]
    Tampered,
}

/// Key, nonce and commitment of one record.
struct RecordKeys(Zeroizing<[u8; 76]>);

struct RecordKeysLen;

impl KeyType for RecordKeysLen {
    fn len(&self) -> usize {
        76
    }
}

impl RecordKeys {
    /// `HKDF-Expand(dek, "waxseal/env/1" ‖ suite ‖ salt ‖ ctx, 76)`. The data key is uniformly random, so that the
    /// extraction step of HKDF is not needed (RFC 5869 §3.3).
    fn derive(dek: &Dek, salt: &[u8], context: &[u8]) -> Option<Self> {
        let prk = Prk::new_less_safe(HKDF_SHA256, dek.bytes());
        let info = [LABEL, &[SUITE_FIELD], salt, context];
        let mut out = Zeroizing::new([0; 76]);
        prk.expand(&info, RecordKeysLen).ok()?.fill(out.as_mut_slice()).ok()?;
        Some(Self(out))
    }

    fn cipher(&self) -> Option<(LessSafeKey, Nonce)> {
        let key = UnboundKey::new(&AES_256_GCM, self.0.get(..32)?).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(self.0.get(32..44)?).ok()?;
        Some((LessSafeKey::new(key), nonce))
    }

    fn commitment(&self) -> &[u8] {
        self.0.get(44..).unwrap_or_default()
    }
}

/// Seals `content` under `dek` for the place `context`.
///
/// # Panics
/// Never in practice: AES-256-GCM refuses only content above 64 GiB.
#[must_use]
pub fn seal(dek: &Dek, context: &Context, content: &[u8]) -> Sealed {
    seal_with_salt(dek, context, content, &random::bytes())
}

#[expect(clippy::expect_used, reason = "lengths are constants; content is in memory and far below the limit of GCM")]
fn seal_with_salt(dek: &Dek, context: &Context, content: &[u8], salt: &[u8; 24]) -> Sealed {
    let encoded = context.encode();
    let record = RecordKeys::derive(dek, salt, &encoded).expect("76 bytes are within HKDF's limit");
    let (cipher, nonce) = record.cipher().expect("the derived lengths are those of AES-256-GCM");
    let padded = padded_len(content.len());
    let mut out = Vec::with_capacity(BODY + padded + TAG);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[SUITE_FIELD, FLAG_PADDED]);
    out.extend_from_slice(dek.id().as_bytes());
    out.extend_from_slice(salt);
    out.extend_from_slice(record.commitment());
    let aad = [out.as_slice(), encoded.as_slice()].concat();
    out.extend_from_slice(content);
    out.push(0x80);
    out.resize(BODY + padded, 0);
    let (_, body) = out.split_at_mut(BODY);
    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(aad), body).expect("within the limit of GCM");
    out.extend_from_slice(tag.as_ref());
    Sealed(out)
}

/// Opens what [`seal`] made under the same key for the same place. The content is wiped when dropped.
pub fn open(dek: &Dek, context: &Context, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    opened(dek, context, sealed).inspect_err(|_| {
        telemetry::count_damaged(format!("{}.{}", context.table, context.column));
    })
}

fn opened(dek: &Dek, context: &Context, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let bytes = sealed.0.as_slice();
    let (header, body) = bytes.split_at_checked(BODY).ok_or(OpenError::Malformed)?;
    if body.len() < TAG || header.get(..4) != Some(&[MAGIC[0], MAGIC[1], SUITE_FIELD, FLAG_PADDED]) {
        return Err(OpenError::Malformed);
    }
    if sealed.dek_id() != Some(dek.id()) {
        return Err(OpenError::OtherKey);
    }
    let encoded = context.encode();
    let salt = header.get(SALT..COMMITMENT).ok_or(OpenError::Malformed)?;
    let record = RecordKeys::derive(dek, salt, &encoded).ok_or(OpenError::Malformed)?;
    let stored_commitment = header.get(COMMITMENT..).ok_or(OpenError::Malformed)?;
    if !bool::from(record.commitment().ct_eq(stored_commitment)) {
        return Err(OpenError::Tampered);
    }
    let (cipher, nonce) = record.cipher().ok_or(OpenError::Malformed)?;
    let aad = [header, encoded.as_slice()].concat();
    let mut content = Zeroizing::new(body.to_vec());
    let padded =
        cipher.open_in_place(nonce, Aad::from(aad), content.as_mut_slice()).map_err(|_| OpenError::Tampered)?;
    let end = padded.iter().rposition(|&byte| byte != 0).filter(|&at| padded.get(at) == Some(&0x80));
    content.truncate(end.ok_or(OpenError::Tampered)?);
    Ok(content)
}

/// Length of content and padding: at least one byte more than the content, so that the padding is always there to remove.
/// Multiples of 64 hide the length of short texts; above 1 KiB Padmé (PURBs, Nikitin et al. 2019) costs at most 12 %.
fn padded_len(content: usize) -> usize {
    let least = content + 1;
    if least <= PADME_FROM {
        return least.next_multiple_of(PAD_STEP);
    }
    let exponent = least.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    least.next_multiple_of(1 << (exponent - kept_bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::random_key;
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    fn place(row: u128) -> Context {
        Context {
            tenant: Uuid::from_u128(1),
            table: "event_payload",
            column: "payload",
            row: Uuid::from_u128(row),
            contact: Uuid::from_u128(3),
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(content in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let dek = Dek::generate();
            let sealed = seal(&dek, &place(2), &content);
            prop_assert_eq!(&*open(&dek, &place(2), &sealed).unwrap(), &content);
        }

        #[test]
        fn a_flipped_bit_is_noticed(at in 0usize..=1000, bit in 0u8..8) {
            let dek = Dek::generate();
            let sealed = seal(&dek, &place(2), b"Moin");
            let mut bytes = sealed.into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(open(&dek, &place(2), &Sealed::from_stored(bytes)).is_err());
        }
    }

    #[test]
    fn a_value_opens_in_no_other_place() {
        let dek = Dek::generate();
        let sealed = seal(&dek, &place(2), b"Moin");
        let here = place(2);
        let elsewhere = [
            Context { tenant: Uuid::from_u128(9), ..here },
            Context { table: "message", ..here },
            Context { column: "answer", ..here },
            Context { row: Uuid::from_u128(9), ..here },
            Context { contact: Uuid::from_u128(9), ..here },
        ];
        for place in elsewhere {
            assert_eq!(open(&dek, &place, &sealed).unwrap_err(), OpenError::Tampered);
        }
    }

    #[test]
    fn a_value_opens_under_no_other_key() {
        let dek = Dek::generate();
        let sealed = seal(&dek, &place(2), b"Moin");
        assert_eq!(open(&Dek::generate(), &place(2), &sealed).unwrap_err(), OpenError::OtherKey);
        let impostor = Dek::new(dek.id(), &random_key());
        assert_eq!(open(&impostor, &place(2), &sealed).unwrap_err(), OpenError::Tampered);
    }

    #[test]
    fn every_truncation_is_refused() {
        let dek = Dek::generate();
        let bytes = seal(&dek, &place(2), b"Moin").into_bytes();
        for length in 0..bytes.len() {
            assert!(open(&dek, &place(2), &Sealed::from_stored(bytes[..length].to_vec())).is_err());
        }
    }

    #[test]
    fn short_answers_are_equally_long() {
        let dek = Dek::generate();
        let length = |text: &str| seal(&dek, &place(2), text.as_bytes()).as_bytes().len();
        assert_eq!(length("ja"), length("nein, lieber am Donnerstag um drei"));
        assert_eq!(length(""), OVERHEAD + PAD_STEP);
    }

    #[test]
    fn padding_costs_little() {
        for content in 1024..200_000 {
            let padded = padded_len(content);
            assert!(padded > content && (padded - content) * 100 <= content * 12 + 6400, "{content} became {padded}");
        }
    }

    /// `docs/envelope.md` shows this vector, and `tests/second_implementation.py` opens it.
    #[test]
    fn the_golden_vector_never_changes() {
        let key: [u8; 32] = std::array::from_fn(|at| at as u8);
        let dek = Dek::new(Uuid::from_u128(0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00), &Zeroizing::new(key));
        let salt: [u8; 24] = std::array::from_fn(|at| 0xa0 + at as u8);
        let sealed = seal_with_salt(&dek, &place(2), "Moin 👋".as_bytes(), &salt);
        assert_eq!(HEXLOWER.encode(sealed.as_bytes()), include_str!("../../tests/vectors/envelope-v1.hex").trim());
    }
}
