//! Keys as values: 32 bytes that are wiped when dropped and never printed. One type for each level of the tree, so that
//! a key cannot be used for another's work.

use std::fmt;

use uuid::Uuid;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::envelope::Suite;
use super::random;

/// The raw material of a key.
pub type KeyBytes = Zeroizing<[u8; 32]>;

/// 32 fresh random bytes.
#[must_use]
pub fn random_key() -> KeyBytes {
    let mut bytes = Zeroizing::new([0; 32]);
    random::fill(bytes.as_mut_slice());
    bytes
}

/// A random 128-bit id for a key: nothing about its owner can be read from it.
#[must_use]
pub fn random_key_id() -> Uuid {
    Uuid::from_bytes(random::bytes())
}

/// A data encryption key and the id that stands in every envelope it made.
#[derive(Clone, ZeroizeOnDrop)]
pub struct Dek {
    #[zeroize(skip)]
    id: Uuid,
    #[zeroize(skip)]
    suite: Suite,
    key: [u8; 32],
}

impl Dek {
    /// A key that was unwrapped. It seals in the suite that everybody opens, [`Suite::Aes256Gcm`].
    #[must_use]
    pub fn new(id: Uuid, key: &KeyBytes) -> Self {
        Self { id, suite: Suite::Aes256Gcm, key: **key }
    }

    /// The same key, which seals records in this suite. What it opens says its suite itself.
    #[must_use]
    pub const fn sealing_in(mut self, suite: Suite) -> Self {
        self.suite = suite;
        self
    }

    /// A new random key under a new random id.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(random_key_id(), &random_key())
    }

    /// The id in the envelopes.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// In which it seals records.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// A copy for wrapping.
    #[must_use]
    pub fn to_bytes(&self) -> KeyBytes {
        Zeroizing::new(self.key)
    }
}

impl fmt::Debug for Dek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dek({})", self.id)
    }
}

/// A key that wraps other keys: root, tenant KEK or bucket key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct WrappingKey {
    key: [u8; 32],
}

impl WrappingKey {
    /// From raw material.
    #[must_use]
    pub fn new(key: &KeyBytes) -> Self {
        Self { key: **key }
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.key
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WrappingKey(…)")
    }
}
