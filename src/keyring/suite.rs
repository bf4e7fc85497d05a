//! What records are sealed with: the suite of the configuration, as soon as every living process opens it, and until then the one that all
//! releases open (docs/adr/0016, 0024).

use std::sync::atomic::{AtomicBool, Ordering};

use super::Keyring;
use super::installation::KeyringError;
use super::readable::SUITE_2;
use crate::crypto::envelope::Suite;
use crate::store::key_readers::Reader;

/// What was chosen, and whether everybody opens it.
#[derive(Debug)]
pub(super) struct Chosen {
    chosen: Suite,
    is_agreed: AtomicBool,
}

impl Chosen {
    pub(super) const fn new(chosen: Suite) -> Self {
        Self { chosen, is_agreed: AtomicBool::new(false) }
    }

    pub(super) fn in_force(&self) -> Suite {
        if self.is_agreed.load(Ordering::Relaxed) { self.chosen } else { Suite::Aes256Gcm }
    }
}

impl Keyring {
    /// Asks who does not open the suite of the configuration; nobody: it is in force. To be called again every few seconds, and before anything is
    /// sealed.
    pub async fn agree_on_suite(&self) -> Result<Vec<Reader>, KeyringError> {
        let inner = &self.inner;
        let waits = match inner.suite.chosen {
            Suite::Aes256Gcm => Vec::new(),
            Suite::ChaCha20Poly1305 => inner.store.workers_without(SUITE_2).await?,
        };
        let before = inner.suite.in_force();
        inner.suite.is_agreed.store(waits.is_empty(), Ordering::Relaxed);
        let suite = inner.suite.in_force();
        if suite != before {
            // They seal in the one of before.
            inner.cache.clear();
            tracing::info!(suite = suite.as_str(), "records are sealed in another suite from now on");
        }
        Ok(waits)
    }
}
