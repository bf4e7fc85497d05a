//! The top of the tree: ties this database to the KMS secret and the epoch cell, and refuses those of another installation.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use super::cell::{Cell, PlaceFault, is_of};
use crate::crypto::cell::Slot;
use crate::crypto::keys::{KeyBytes, WrappingKey, random_key, random_key_id};
use crate::crypto::kms::{self, Kms, KmsError};
use crate::crypto::sharing;
use crate::crypto::wrap::{self, WrapContext};
use crate::store::keys::InstallationRow;
use crate::store::{Store, StoreError};

/// Why a key is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The KMS does not help.
    #[error("the key tree cannot be opened")]
    Kms(#[from] KmsError),
    /// The KMS secret fits, the epoch cell does not.
    #[error("the epoch cell belongs to another installation, or is not there: keys.cell_files must name its places")]
    OtherCell,
    /// Too few places of the epoch cell hold their share.
    #[error("{found} of the {needed} places of the epoch cell that are needed can be read: {faults}")]
    TooFewPlaces {
        /// Places with a share.
        found: usize,
        /// As many are needed.
        needed: usize,
        /// What is the matter with the others.
        faults: String,
    },
    /// No place of the epoch cell holds a share.
    #[error("the epoch cell cannot be used: {faults}")]
    NoPlace {
        /// What is the matter with the places.
        faults: String,
    },
    /// The key tables were restored from a copy that the cell has left behind.
    #[error(
        "the key tables are of epoch {tables} and the epoch cell of {cell}: the tables were restored from a copy made before keys were \
         forgotten, and nothing in that copy can be opened any more; restore a copy of epoch {cell}"
    )]
    OldTables {
        /// Epoch of the tables.
        tables: i64,
        /// Epoch of the cell.
        cell: i64,
    },
    /// A step would have left too few places with a share. Nothing was changed.
    #[error("the epoch was not stepped: {written} places of the epoch cell could be written, and {least} have to be")]
    TooFewWritten {
        /// Places that were written.
        written: usize,
        /// As many have to be.
        least: usize,
    },
    /// A wrapped key in the database was changed or moved.
    #[error("a stored key is damaged (level {level})")]
    Damaged {
        /// Level of the tree.
        level: &'static str,
    },
    /// A key that content was sealed under is gone: erased, or lost.
    #[error("the key of this content no longer exists")]
    Gone,
    /// A key was asked for that belongs to somebody who was forgotten: none is ever made again.
    #[error("the contact was forgotten")]
    Forgotten,
    /// The key schema does not answer.
    #[error("the keys are not available")]
    Store(#[from] StoreError),
}

impl KeyringError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Kms(KmsError::Unavailable) | Self::TooFewPlaces { .. } | Self::TooFewWritten { .. } => true,
            Self::Store(error) => error.is_retryable(),
            Self::Kms(KmsError::Refused | KmsError::Denied)
            | Self::OtherCell
            | Self::NoPlace { .. }
            | Self::OldTables { .. }
            | Self::Damaged { .. }
            | Self::Gone
            | Self::Forgotten => false,
        }
    }
}

/// What the root is made of, besides what the database holds.
#[derive(Debug, Clone)]
pub struct Top {
    /// Wraps the root share.
    pub kms: Arc<dyn Kms>,
    /// Wrapped it before: tried where the first refuses, and as long as it opens something.
    pub previous: Option<Arc<dyn Kms>>,
    /// The epoch cell.
    pub cell: Cell,
}

/// The opened root of the key tree.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) key: WrappingKey,
    pub(super) epoch: i64,
    pub(super) installation: Uuid,
    /// Whether it was made with a cell.
    pub(super) has_cell: bool,
}

/// A root that is about to take the place of another.
pub(super) struct NewRoot {
    pub(super) root: Root,
    pub(super) check: Vec<u8>,
}

fn check_context(installation: Uuid) -> WrapContext<'static> {
    WrapContext { level: "check", tenant: Uuid::nil(), key: installation, name: &[] }
}

impl NewRoot {
    pub(super) fn make(share: &KeyBytes, cell: Option<&KeyBytes>, installation: Uuid, epoch: i64) -> Self {
        let key = kms::root(share, cell, installation, epoch);
        let check = wrap::wrap(&key, &check_context(installation), &random_key());
        Self { root: Root { key, epoch, installation, has_cell: cell.is_some() }, check }
    }
}

impl Top {
    /// Opens the root of the installation in `store`, or founds one when the key schema is empty. An installation is founded without a cell,
    /// in one statement; the first step brings it.
    pub(super) async fn open_or_found(&self, store: &Store, now: OffsetDateTime) -> Result<Root, KeyringError> {
        if store.find_installation().await?.is_none() {
            let (installation_id, share) = (random_key_id(), random_key());
            let root_share = self.kms.wrap(installation_id, &share).await?;
            let root_check = NewRoot::make(&share, None, installation_id, 0).check;
            let row = InstallationRow { installation_id, epoch: 0, root_share, root_check, stepped_at: None };
            // Another process may be faster; what is stored is what counts.
            store.insert_installation(&row, now).await?;
        }
        self.open(store).await
    }

    /// Opens the root in force. A step that is under way at this moment changes tables and cell one after the other: what does not fit is
    /// looked at once more.
    pub(super) async fn open(&self, store: &Store) -> Result<Root, KeyringError> {
        let mut row = store.find_installation().await?.ok_or(StoreError::Unavailable)?;
        loop {
            let result = self.open_row(&row).await;
            let next = store.find_installation().await?.ok_or(StoreError::Unavailable)?;
            if result.is_ok() || (next.epoch == row.epoch && next.root_share == row.root_share) {
                return result;
            }
            row = next;
        }
    }

    /// The root share, by whichever secret wraps it.
    pub(super) async fn share(&self, row: &InstallationRow) -> Result<KeyBytes, KeyringError> {
        Ok(self.unwrap(row.installation_id, &row.root_share).await?.0)
    }

    async fn open_row(&self, row: &InstallationRow) -> Result<Root, KeyringError> {
        let share = self.share(row).await?;
        let (cell, installation, epoch) = (self.cell.clone(), row.installation_id, row.epoch);
        let read = waiting(move || cell.read()).await?;
        let faults = faults(&read);
        let slots: Vec<Slot> = read.into_iter().flatten().flatten().collect();
        let cells = candidates(&slots, installation, epoch);
        for cell in cells.iter().map(Some).chain([None]) {
            let key = kms::root(&share, cell, installation, epoch);
            if wrap::unwrap(&key, &check_context(installation), &row.root_check).is_ok() {
                return Ok(Root { key, epoch, installation, has_cell: cell.is_some() });
            }
        }
        Err(fault(&slots, faults, installation, epoch))
    }
}

/// Every cell that the shares give. More than one when steps were broken off.
fn candidates(slots: &[Slot], installation: Uuid, epoch: i64) -> Vec<KeyBytes> {
    let mut sets: BTreeMap<(u64, u8), BTreeMap<u8, &KeyBytes>> = BTreeMap::new();
    for slot in slots.iter().filter(|slot| is_of(slot, installation, epoch)) {
        sets.entry((slot.set, slot.needed)).or_default().insert(slot.number, &slot.share.0);
    }
    let cell = |((_, needed), shares): (&(u64, u8), &BTreeMap<u8, &KeyBytes>)| {
        let enough: Vec<(u8, &KeyBytes)> =
            shares.iter().take(usize::from(*needed)).map(|(number, share)| (*number, *share)).collect();
        (enough.len() == usize::from(*needed)).then(|| sharing::combine(&enough)).flatten()
    };
    sets.iter().filter_map(cell).collect()
}

/// What is the matter with the places, by their numbers.
fn faults(read: &[Result<Vec<Slot>, PlaceFault>]) -> String {
    let fault = |(place, read): (usize, &Result<Vec<Slot>, PlaceFault>)| match read {
        Err(fault) => Some(format!("place {}: {fault}", place + 1)),
        Ok(slots) if slots.is_empty() => Some(format!("place {}: it holds no share", place + 1)),
        Ok(_) => None,
    };
    read.iter().enumerate().filter_map(fault).collect::<Vec<_>>().join(", ")
}

/// Why no cell fits.
fn fault(slots: &[Slot], faults: String, installation: Uuid, epoch: i64) -> KeyringError {
    let current: Vec<&Slot> = slots.iter().filter(|slot| is_of(slot, installation, epoch)).collect();
    let later = slots.iter().filter(|slot| slot.installation == installation && slot.epoch > epoch);
    match (current.first(), later.map(|slot| slot.epoch).max()) {
        (Some(one), _) if current.len() < usize::from(one.needed) => {
            KeyringError::TooFewPlaces { found: current.len(), needed: one.needed.into(), faults }
        }
        (None, Some(cell)) => KeyringError::OldTables { tables: epoch, cell },
        (None, None) if slots.is_empty() && !faults.is_empty() => KeyringError::NoPlace { faults },
        _ => KeyringError::OtherCell,
    }
}

/// Runs what waits for disks where waiting is allowed.
pub(super) async fn waiting<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, KeyringError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| KeyringError::Store(StoreError::Unavailable))
}
