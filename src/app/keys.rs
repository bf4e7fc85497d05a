//! The key tree: opened with what the configuration names.

use std::sync::Arc;

use anyhow::Context as _;

use crate::clock::SharedClock;
use crate::config::{Config, KmsSource, read_key_file};
use crate::crypto::kms::{Kms, LocalKms};
use crate::keyring::{CacheLimits, Cell, Keyring, Top};
use crate::store::Store;

/// Opens the key tree, or founds one.
pub(super) async fn open(store: &Store, config: &Config, clock: &SharedClock) -> anyhow::Result<Keyring> {
    let keys = &config.keys;
    let name = match keys.kms {
        KmsSource::File { .. } => "file",
        KmsSource::Env { .. } => "env",
    };
    let secret = keys.kms.read_secret().context("the key of this installation cannot be used")?;
    let previous = match &keys.previous {
        Some(path) => Some(read_key_file(path).context("keys.previous_secret_file cannot be used")?),
        None => None,
    };
    let top = Top {
        kms: Arc::new(LocalKms::new(name, &secret)),
        previous: previous.map(|secret| Arc::new(LocalKms::new("file", &secret)) as Arc<dyn Kms>),
        cell: Cell::new(keys.cell_files.clone(), keys.cell_needed),
    };
    if keys.cell_files.len() == 1 {
        tracing::warn!("the epoch cell has one place alone: when that file is lost, everything is (keys.cell_files)");
    }
    let limits = CacheLimits { entries: keys.cache_entries, ttl: keys.cache_ttl };
    Keyring::open(store.clone(), top, clock.clone(), limits).await.context("the key tree cannot be opened")
}
