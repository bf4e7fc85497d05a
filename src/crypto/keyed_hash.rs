//! Keyed hashes: equality of personal values without the values. HMAC-SHA-256, cut to what the column needs.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keys::{Dek, KeyBytes};

/// A prepared HMAC key. Without it, the hashes of all phone numbers of the world cannot be enumerated.
#[derive(Clone)]
pub struct HashKey(Hmac<Sha256>);

impl HashKey {
    /// Prepares the key once; each hash then costs two blocks of SHA-256.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn new(key: &KeyBytes) -> Self {
        Self(Hmac::new_from_slice(key.as_slice()).expect("HMAC takes keys of any length"))
    }

    /// The hash key that a data key gives for a purpose, `HMAC-SHA-256(dek, "waxseal/hash/1" ‖ purpose)`: it is gone when the
    /// data key is.
    #[must_use]
    pub fn of_dek(dek: &Dek, purpose: &str) -> Self {
        Self::new(&Self::bytes_of_dek(dek, purpose))
    }

    /// The bytes of [`Self::of_dek`], to be kept when the data key goes. The data key cannot be computed from them.
    #[must_use]
    pub fn bytes_of_dek(dek: &Dek, purpose: &str) -> KeyBytes {
        Zeroizing::new(Self::new(&dek.to_bytes()).hash(&[b"waxseal/hash/1", purpose.as_bytes()]))
    }

    /// The first `N` ≤ 32 bytes of HMAC-SHA-256 over `parts`, each behind its length, so that no two lists collide.
    #[must_use]
    pub fn hash<const N: usize>(&self, parts: &[&[u8]]) -> [u8; N] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let full = mac.finalize().into_bytes();
        let mut cut = [0; N];
        cut.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        cut
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_between_parts_count() {
        let key = HashKey::new(&Zeroizing::new([7; 32]));
        assert_ne!(key.hash::<16>(&[b"ab", b"c"]), key.hash::<16>(&[b"a", b"bc"]));
        assert_eq!(key.hash::<16>(&[b"ab"]), key.hash::<16>(&[b"ab"]));
        assert_ne!(key.hash::<16>(&[b"ab"]), HashKey::new(&Zeroizing::new([8; 32])).hash::<16>(&[b"ab"]));
    }
}
