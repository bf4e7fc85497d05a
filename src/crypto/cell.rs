//! The bytes of one place of the epoch cell: two slots, of which one holds the share of the epoch in force and the other that of the
//! next while a step is under way. Pure; `docs/envelope.md` specifies it.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::keys::KeyBytes;

/// A slot begins here in the file: so far apart that a page which was torn holds one of them alone.
pub const SLOT: u64 = 4096;
/// Length of a place in bytes.
pub const PLACE: u64 = 2 * SLOT;

const MAGIC: &[u8; 8] = b"waxcell1";
const SIGNED: usize = 80;
const LENGTH: usize = SIGNED + 32;

/// One share of the epoch cell, and which.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Whose cell; nil in a file of 64 hex digits, which says nothing of it.
    pub installation: Uuid,
    /// Of which epoch.
    pub epoch: i64,
    /// Random; the same in all shares of one cell. A step that was broken off leaves shares of an epoch that came to be later.
    pub set: u64,
    /// How many shares give the cell.
    pub needed: u8,
    /// How many were made.
    pub places: u8,
    /// Which one this is, from 1.
    pub number: u8,
    /// The share.
    pub share: Share,
}

/// The secret part of a slot. Does not print.
#[derive(Clone)]
pub struct Share(pub KeyBytes);

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Share(…)")
    }
}

impl Slot {
    /// Where the slot of an epoch begins in the file.
    #[must_use]
    pub const fn offset(epoch: i64) -> u64 {
        if epoch & 1 == 0 { 0 } else { SLOT }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Made as long as it becomes: a vector that grew would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LENGTH));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.installation.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.set.to_be_bytes());
        bytes.extend_from_slice(&[self.needed, self.places, self.number, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(self.share.0.as_slice());
        let check = Sha256::digest(bytes.as_slice());
        bytes.extend_from_slice(&check);
        bytes
    }

    /// Reads what [`Slot::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (signed, rest) = bytes.split_at_checked(SIGNED)?;
        let check = rest.get(..32)?;
        let is_whole: bool = Sha256::digest(signed).as_slice().ct_eq(check).into();
        let (magic, rest) = signed.split_first_chunk::<8>()?;
        let (installation, rest) = rest.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (set, rest) = rest.split_first_chunk::<8>()?;
        let ([needed, places, number, ..], rest) = rest.split_first_chunk::<8>()?;
        let mut share = Zeroizing::new([0; 32]);
        share.copy_from_slice(rest);
        let is_possible = (1..=*places).contains(number) && (1..=*places).contains(needed);
        (is_whole && is_possible && magic == MAGIC).then(|| Self {
            installation: Uuid::from_bytes(*installation),
            epoch: i64::from_be_bytes(*epoch),
            set: u64::from_be_bytes(*set),
            needed: *needed,
            places: *places,
            number: *number,
            share: Share(share),
        })
    }

    /// A whole cell as earlier releases had it: 64 hex digits, for epoch 0.
    #[must_use]
    pub fn plain(cell: KeyBytes) -> Self {
        Self { installation: Uuid::nil(), epoch: 0, set: 0, needed: 1, places: 1, number: 1, share: Share(cell) }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn golden() -> Slot {
        Slot {
            installation: Uuid::from_u128(0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00),
            epoch: 7,
            set: 0x0102_0304_0506_0708,
            needed: 2,
            places: 3,
            number: 3,
            share: Share(Zeroizing::new(std::array::from_fn(|at| at as u8))),
        }
    }

    #[test]
    fn a_slot_is_read_back_and_the_golden_vector_stays_what_it_is() {
        let bytes = golden().encode();
        let vector = include_str!("../../tests/vectors/cell-slot-v1.hex");
        assert_eq!(HEXLOWER.encode(&bytes), vector.split_whitespace().collect::<String>());
        let read = Slot::decode(&bytes).unwrap();
        assert_eq!((read.installation, read.epoch, read.set), (golden().installation, 7, golden().set));
        assert_eq!((read.needed, read.places, read.number, *read.share.0), (2, 3, 3, *golden().share.0));
        assert_eq!((Slot::offset(7), Slot::offset(8), Slot::offset(0)), (SLOT, 0, 0));
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let bytes = golden().encode();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Slot::decode(&changed).is_none(), "byte {at}");
        }
        assert!((0..bytes.len()).all(|length| Slot::decode(&bytes[..length]).is_none()));
        assert!(Slot::decode(&[0; 4096]).is_none());
        assert!(!format!("{:?}", golden()).contains("31"), "the share is not printed");
    }
}
