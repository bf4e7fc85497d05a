//! What the way in is made of.

use std::sync::Arc;

use super::Base;
use crate::config::Config;
use crate::directory::{Bells, Contacts};
use crate::domain::consent::Words;
use crate::ingest;

impl Base {
    /// What filing needs.
    pub(super) fn ingest_parts(
        &self,
        contacts: Contacts,
        bells: Bells,
        words: Words,
        keeps_media: bool,
    ) -> ingest::Parts {
        let (words, clock) = (Arc::new(words), self.clock.clone());
        ingest::Parts {
            keeps_media,
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            contacts,
            audit: self.audit.clone(),
            bells,
            words,
            clock,
        }
    }
}

/// As `[ingest]` says.
pub(super) fn limits(config: &Config) -> ingest::Limits {
    ingest::Limits {
        queue_bytes: config.ingest.queue_bytes,
        batch_rows: config.ingest.batch_rows,
        batch_bytes: config.ingest.batch_bytes,
        writers: config.ingest.writers,
        commit_timeout: config.ingest.commit_timeout,
    }
}
