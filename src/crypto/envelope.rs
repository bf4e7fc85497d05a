//! Envelope v1: the one format of everything sealed. Each record has a key of its own, derived from a data key and a random
//! salt, so that no nonce can repeat; a commitment, so that it opens under one key only; and a context, so that it opens in
//! one place only. Layout and derivation: `docs/envelope.md`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::context::Context;
use super::keys::Dek;
use super::random;
use crate::telemetry;

const MAGIC: [u8; 2] = [0x57, 0x01];
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

/// What a record is sealed with. Both have keys of 32 bytes, nonces of 12 and tags of 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// AES-256-GCM (NIST SP 800-38D).
    Aes256Gcm,
    /// ChaCha20-Poly1305 (RFC 8439), of which nothing depends on AES.
    ChaCha20Poly1305,
}

impl Suite {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// As it is written in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
        }
    }

    /// The byte in the header.
    const fn number(self) -> u8 {
        match self {
            Self::Aes256Gcm => 0x01,
            Self::ChaCha20Poly1305 => 0x02,
        }
    }

    fn of_header(header: &[u8]) -> Option<Self> {
        let rest = header.strip_prefix(&MAGIC)?;
        Self::ALL.into_iter().find(|suite| rest.starts_with(&[suite.number(), FLAG_PADDED]))
    }

    const fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// The text names no suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such suite")]
pub struct NoSuchSuite;

impl FromStr for Suite {
    type Err = NoSuchSuite;

    fn from_str(text: &str) -> Result<Self, NoSuchSuite> {
        Self::ALL.into_iter().find(|suite| suite.as_str() == text).ok_or(NoSuchSuite)
    }
}

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

    /// What it is sealed with. `None`: nothing that this version knows.
    #[must_use]
    pub fn suite(&self) -> Option<Suite> {
        Suite::of_header(&self.0)
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
struct RecordKeys {
    suite: Suite,
    okm: Zeroizing<[u8; 76]>,
}

struct RecordKeysLen;

impl KeyType for RecordKeysLen {
    fn len(&self) -> usize {
        76
    }
}

impl RecordKeys {
    /// `HKDF-Expand(dek, "waxseal/env/1" ‖ suite ‖ salt ‖ ctx, 76)`. The data key is uniformly random, so that the
    /// extraction step of HKDF is not needed (RFC 5869 §3.3).
    fn derive(dek: &Dek, suite: Suite, salt: &[u8], context: &[u8]) -> Option<Self> {
        let prk = Prk::new_less_safe(HKDF_SHA256, dek.bytes());
        let info = [LABEL, &[suite.number()], salt, context];
        let mut okm = Zeroizing::new([0; 76]);
        prk.expand(&info, RecordKeysLen).ok()?.fill(okm.as_mut_slice()).ok()?;
        Some(Self { suite, okm })
    }

    fn cipher(&self) -> Option<(LessSafeKey, Nonce)> {
        let key = UnboundKey::new(self.suite.algorithm(), self.okm.get(..32)?).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(self.okm.get(32..44)?).ok()?;
        Some((LessSafeKey::new(key), nonce))
    }

    fn commitment(&self) -> &[u8] {
        self.okm.get(44..).unwrap_or_default()
    }
}

/// Seals `content` under `dek`, in its suite, for the place `context`.
///
/// # Panics
/// Never in practice: either suite refuses only content above 64 GiB.
#[must_use]
pub fn seal(dek: &Dek, context: &Context, content: &[u8]) -> Sealed {
    seal_with_salt(dek, context, content, &random::bytes())
}

#[expect(
    clippy::expect_used,
    reason = "lengths are constants; content is in memory and far below the limit of either suite"
)]
fn seal_with_salt(dek: &Dek, context: &Context, content: &[u8], salt: &[u8; 24]) -> Sealed {
    let encoded = context.encode();
    let suite = dek.suite();
    let record = RecordKeys::derive(dek, suite, salt, &encoded).expect("76 bytes are within HKDF's limit");
    let (cipher, nonce) = record.cipher().expect("the derived lengths are those of every suite");
    let padded = padded_len(content.len());
    let mut out = Vec::with_capacity(BODY + padded + TAG);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[suite.number(), FLAG_PADDED]);
    out.extend_from_slice(dek.id().as_bytes());
    out.extend_from_slice(salt);
    out.extend_from_slice(record.commitment());
    let aad = [out.as_slice(), encoded.as_slice()].concat();
    out.extend_from_slice(content);
    out.push(0x80);
    out.resize(BODY + padded, 0);
    let (_, body) = out.split_at_mut(BODY);
    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(aad), body).expect("within the limit of the suite");
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
    let suite = Suite::of_header(header).filter(|_| body.len() >= TAG).ok_or(OpenError::Malformed)?;
    if sealed.dek_id() != Some(dek.id()) {
        return Err(OpenError::OtherKey);
    }
    let encoded = context.encode();
    let salt = header.get(SALT..COMMITMENT).ok_or(OpenError::Malformed)?;
    let record = RecordKeys::derive(dek, suite, salt, &encoded).ok_or(OpenError::Malformed)?;
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

    fn suites() -> impl Strategy<Value = Suite> {
        proptest::sample::select(Suite::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(suite in suites(), content in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let dek = Dek::generate().sealing_in(suite);
            let sealed = seal(&dek, &place(2), &content);
            prop_assert_eq!(sealed.suite(), Some(suite));
            // Whatever the key seals in now.
            for reader in Suite::ALL.map(|suite| dek.clone().sealing_in(suite)) {
                prop_assert_eq!(&*open(&reader, &place(2), &sealed).unwrap(), &content);
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(suite in suites(), at in 0usize..=1000, bit in 0u8..8) {
            let dek = Dek::generate().sealing_in(suite);
            let sealed = seal(&dek, &place(2), b"Moin");
            let mut bytes = sealed.into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(open(&dek, &place(2), &Sealed::from_stored(bytes)).is_err());
        }
    }

    #[test]
    fn a_value_opens_in_no_other_place() {
        Suite::ALL.into_iter().for_each(opens_in_no_other_place);
    }

    fn opens_in_no_other_place(suite: Suite) {
        let dek = Dek::generate().sealing_in(suite);
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
        for dek in Suite::ALL.map(|suite| Dek::generate().sealing_in(suite)) {
            let bytes = seal(&dek, &place(2), b"Moin").into_bytes();
            for length in 0..bytes.len() {
                assert!(open(&dek, &place(2), &Sealed::from_stored(bytes[..length].to_vec())).is_err());
            }
        }
    }

    #[test]
    fn a_value_opens_as_no_other_suite() {
        for (suite, other) in [(Suite::Aes256Gcm, 0x02), (Suite::ChaCha20Poly1305, 0x01)] {
            let dek = Dek::generate().sealing_in(suite);
            for (number, error) in
                [(other, OpenError::Tampered), (0x00, OpenError::Malformed), (0x03, OpenError::Malformed)]
            {
                let mut bytes = seal(&dek, &place(2), b"Moin").into_bytes();
                bytes[2] = number;
                assert_eq!(open(&dek, &place(2), &Sealed::from_stored(bytes)).unwrap_err(), error);
            }
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

    /// `docs/envelope.md` shows these vectors, and `tests/second_implementation.py` opens them.
    #[test]
    fn the_golden_vectors_never_change() {
        let key: [u8; 32] = std::array::from_fn(|at| at as u8);
        let dek = Dek::new(Uuid::from_u128(0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00), &Zeroizing::new(key));
        let salt: [u8; 24] = std::array::from_fn(|at| 0xa0 + at as u8);
        let sealed =
            |dek: &Dek| HEXLOWER.encode(seal_with_salt(dek, &place(2), "Moin 👋".as_bytes(), &salt).as_bytes());
        assert_eq!(sealed(&dek), include_str!("../../tests/vectors/envelope-v1.hex").trim());
        let dek = dek.sealing_in(Suite::ChaCha20Poly1305);
        assert_eq!(sealed(&dek), include_str!("../../tests/vectors/envelope-v1-chacha20.hex").trim());
    }
}
