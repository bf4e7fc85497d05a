//! What the keyring has seen and somebody above should tell of: it raises no alarms itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Keyring;
use super::cell::CellState;

#[derive(Debug, Default)]
pub(super) struct Notices {
    forgotten_keys: AtomicU64,
    cell: Mutex<CellState>,
}

impl Notices {
    pub(super) fn forgotten_key_seen(&self) {
        self.forgotten_keys.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cell_is(&self, state: CellState) {
        *self.cell.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Keyring {
    /// How often a destroyed key was met in the key tables since this was last asked.
    #[must_use]
    pub fn take_forgotten_seen(&self) -> u64 {
        self.inner.notices.forgotten_keys.swap(0, Ordering::Relaxed)
    }

    /// How the places of the epoch cell stood when they were last looked at.
    #[must_use]
    pub fn cell(&self) -> CellState {
        self.inner.notices.cell.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
