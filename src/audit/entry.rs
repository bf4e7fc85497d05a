//! An entry, and the leaf that it becomes: a salted commitment, so that the tree may be public and its leaves say nothing.

use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::act::Act;
use super::encoding;
use super::subjects::Subjects;
use crate::ids::AuditEntryId;

/// Bytes of a salt.
pub const SALT: usize = 32;
/// Begins what is hashed into a commitment.
const LABEL: &[u8] = b"waxseal audit entry v1\n";

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Id.
    pub id: AuditEntryId,
    /// When, to the millisecond.
    pub at: OffsetDateTime,
    /// What.
    pub act: Act,
    /// About whom, as a commitment.
    pub subjects: Subjects,
}

impl Entry {
    /// Reads canonical bytes. `None`: they are none.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        encoding::decode(bytes)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(self)
    }

    /// What the tree holds of it.
    #[must_use]
    pub fn commitment(&self, salt: &[u8; SALT]) -> [u8; 32] {
        commitment(&self.encode(), salt)
    }
}

/// `SHA-256("waxseal audit entry v1\n" ‖ salt ‖ entry)`: what the log commits to. Its RFC 6962 leaf hash is that of these 32 bytes.
#[must_use]
pub fn commitment(entry: &[u8], salt: &[u8; SALT]) -> [u8; 32] {
    Sha256::new().chain_update(LABEL).chain_update(salt).chain_update(entry).finalize().into()
}
