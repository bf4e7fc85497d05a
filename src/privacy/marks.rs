//! What rows come to: how many there are, and a sum of keyed hashes of them, which does not depend on their order and moves by exactly
//! what is added or removed. The key is nobody's who has the database alone, and the sums are sealed, so that rows cannot be chosen
//! whose sums agree (docs/envelope.md, "Marks of rows").

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::Date;
use uuid::Uuid;

use crate::crypto::context::Context;
use crate::crypto::envelope::{self, Sealed};
use crate::crypto::keyed_hash::HashKey;
use crate::ids::TenantId;
use crate::keyring::{DekName, Keyring, KeyringError, OwnedDek, places};
use crate::store::row_marks::{CountedRow, MarkRow, SealRemoval};

/// Hash of a row.
pub(super) type RowHash = [u8; 32];

/// How many rows, and the sum of their hashes: four numbers of 64 bits (big-endian), each modulo 2⁶⁴.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) rows: u64,
    sum: [u64; 4],
}

impl Tally {
    pub(super) fn add(&mut self, hash: &RowHash) {
        self.rows = self.rows.wrapping_add(1);
        self.each(hash, u64::wrapping_add);
    }

    pub(super) fn remove(&mut self, hash: &RowHash) {
        self.rows = self.rows.wrapping_sub(1);
        self.each(hash, u64::wrapping_sub);
    }

    fn each(&mut self, hash: &RowHash, step: fn(u64, u64) -> u64) {
        let (pieces, _) = hash.as_chunks::<8>();
        self.sum.iter_mut().zip(pieces).for_each(|(sum, piece)| *sum = step(*sum, u64::from_be_bytes(*piece)));
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.rows = self.rows.wrapping_add(other.rows);
        self.sum.iter_mut().zip(other.sum).for_each(|(sum, more)| *sum = sum.wrapping_add(more));
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.rows)?;
        self.sum.iter().try_for_each(|one| write!(f, "{one:016x}"))
    }
}

/// What is known of a table and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// What the newest entry of the log says; `None`: none does yet.
    pub(super) stated: Option<Tally>,
    /// The same with what was rightly added and removed since, as far as that was looked at.
    pub(super) tally: Tally,
    /// Rows with this id or a later one are not counted yet.
    pub(super) below: Uuid,
}

/// Hashes, seals and opens for one tenant.
#[derive(Debug)]
pub(super) struct Marker {
    tenant: TenantId,
    key: HashKey,
    /// Seals.
    dek: Arc<OwnedDek>,
    /// Open.
    all: Vec<Arc<OwnedDek>>,
}

impl Marker {
    pub(super) async fn of(keyring: &Keyring, tenant: TenantId) -> Result<Self, KeyringError> {
        let dek = keyring.one_for_sealing(tenant, DekName::system(tenant)).await?;
        let key = keyring.hash_keys(tenant, [DekName::system(tenant)]).await?;
        let key = key.into_values().next().ok_or(KeyringError::Gone)?;
        let all = keyring.generations(tenant, DekName::system(tenant)).await?;
        Ok(Self { tenant, key, dek, all })
    }

    pub(super) fn hash(&self, table: &str, id: Uuid, facts: &str) -> RowHash {
        self.key.hash(&[table.as_bytes(), id.as_bytes(), facts.as_bytes()])
    }

    pub(super) fn seal_mark(&self, counted: &str, day: Date, mark: &impl Serialize) -> MarkRow {
        // Numbers, ids and texts of ours: nothing that could not be written.
        let text = serde_json::to_vec(mark).unwrap_or_default();
        let content = envelope::seal(&self.dek.dek, &places::row_mark(self.tenant, counted, day), &text);
        MarkRow { counted: counted.to_owned(), day, content }
    }

    /// `None`: it is not of this place, or was changed.
    pub(super) fn open_mark<M: DeserializeOwned>(&self, counted: &str, day: Date, sealed: &Sealed) -> Option<M> {
        let text = self.open(&places::row_mark(self.tenant, counted, day), sealed)?;
        serde_json::from_slice(&text).ok()
    }

    /// The rows that a removal tells of. `None`: nobody of ours wrote it.
    pub(super) fn open_removal(&self, id: Uuid, sealed: &Sealed) -> Option<Vec<(Uuid, RowHash)>> {
        let bytes = self.open(&places::row_removal(self.tenant, id), sealed)?;
        let (pieces, []) = bytes.as_chunks::<48>() else { return None };
        let row = |piece: &[u8; 48]| {
            let (id, hash) = piece.split_first_chunk::<16>()?;
            Some((Uuid::from_bytes(*id), RowHash::try_from(hash).ok()?))
        };
        pieces.iter().map(row).collect()
    }

    fn open(&self, place: &Context, sealed: &Sealed) -> Option<Vec<u8>> {
        let by = self.all.iter().find(|key| Some(key.dek.id()) == sealed.dek_id()).unwrap_or(&self.dek);
        envelope::open(&by.dek, place, sealed).ok().map(|opened| opened.to_vec())
    }
}

impl SealRemoval for Marker {
    fn seal(&self, removal: Uuid, table: &str, rows: &[CountedRow]) -> Sealed {
        let told = |row: &CountedRow| {
            let hash = self.hash(table, row.id, &row.facts);
            row.id.as_bytes().iter().copied().chain(hash).collect::<Vec<u8>>()
        };
        let bytes: Vec<u8> = rows.iter().flat_map(told).collect();
        envelope::seal(&self.dek.dek, &places::row_removal(self.tenant, removal), &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_and_removed_again_leaves_no_trace_in_any_order() {
        let (one, two): (RowHash, RowHash) = ([0xff; 32], [0x81; 32]);
        let mut tally = Tally::default();
        tally.add(&one);
        let with_one = tally;
        tally.add(&two);
        tally.remove(&one);
        tally.remove(&two);
        tally.add(&one);
        assert_eq!(tally, with_one);
        assert_eq!(Tally::default().and(with_one), with_one);
        tally.remove(&one);
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn the_same_row_twice_is_not_none() {
        let mut tally = Tally::default();
        tally.add(&[0x80; 32]);
        tally.add(&[0x80; 32]);
        assert_ne!(tally, Tally { rows: 2, ..Tally::default() });
    }
}
