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
    suite: Suite,
    is_agreed: AtomicBool,
}

impl Chosen {
    pub(super) const fn new(suite: Suite) -> Self {
        Self { suite, is_agreed: AtomicBool::new(false) }
    }

    pub(super) fn in_force(&self) -> Suite {
        if self.is_agreed.load(Ordering::Relaxed) { self.suite } else { Suite::Aes256Gcm }
    }
}

/// What this process seals in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteState {
    /// Of the configuration.
    pub chosen: Suite,
    /// Living processes that do not open it. Nobody: it is in force.
    pub waits: Vec<Reader>,
}

impl Keyring {
    /// Asks which suite everybody opens. To be called again every few seconds, and before anything is sealed.
    pub async fn agree_on_suite(&self) -> Result<(), KeyringError> {
        let inner = &self.inner;
        let is_agreed = self.suite().await?.waits.is_empty();
        if inner.suite.is_agreed.swap(is_agreed, Ordering::Relaxed) != is_agreed {
            // They seal in the one of before.
            inner.cache.clear();
            if inner.suite.suite != Suite::Aes256Gcm {
                let suite = inner.suite.in_force().as_str();
                tracing::info!(
                    suite,
                    chosen = inner.suite.suite.as_str(),
                    "records are sealed in another suite from now on"
                );
            }
        }
        Ok(())
    }

    /// The suite that was chosen, and who does not open it yet.
    pub async fn suite(&self) -> Result<SuiteState, KeyringError> {
        let chosen = self.inner.suite.suite;
        let waits = match chosen {
            Suite::Aes256Gcm => Vec::new(),
            Suite::ChaCha20Poly1305 => self.inner.store.workers_without(SUITE_2).await?,
        };
        Ok(SuiteState { chosen, waits })
    }
}
