//! Backups: made of a running installation, and restored where there is none yet.

use std::sync::Arc;

use anyhow::Context as _;
use uuid::Uuid;

use super::{Base, database};
use crate::backup::{Making, Restoring};
use crate::clock::SharedClock;
use crate::config::{Config, MediaPlace};
use crate::crypto::age::Identity;
use crate::keyring::Cell;
use crate::media::Shelf;
use crate::secret::Dsn;

impl Base {
    /// What makes backups, of files too where they are kept and wanted.
    pub fn making(&self, config: &Config, files: bool) -> anyhow::Result<Making> {
        let shelf = if files { self.shelf(config)? } else { None };
        Ok(Making { store: self.store.clone(), audit: self.audit.clone(), shelf, clock: self.clock.clone() })
    }

    /// Where files lie, if they are kept.
    pub fn shelf(&self, config: &Config) -> anyhow::Result<Option<Shelf>> {
        Shelf::open(&config.media, self.clock.now()).context("media.url")
    }
}

/// What fills the databases of the configuration. Nothing is migrated, and no role is taken on.
pub fn restoring(config: &Config, identities: Vec<Identity>, clock: SharedClock) -> anyhow::Result<Restoring> {
    Ok(Restoring { store: database::unopened(config)?, identities: Arc::from(identities), clock })
}

/// The newest epoch of this installation that the places of the cell know; `None`: they know this one, there is no cell, or it is another's.
#[must_use]
pub fn other_epoch_of_cell(config: &Config, installation: Uuid, epoch: i64) -> Option<i64> {
    Cell::new(config.keys.cell_files.clone(), config.keys.cell_needed).knows_only(installation, epoch)
}

/// The same configuration with another server, for both databases, and without files.
#[must_use]
pub fn elsewhere(config: &Config, server: &Dsn) -> Config {
    let mut there = config.clone();
    (there.database.url, there.database.migrator_url, there.keys.url) = (server.clone(), None, None);
    there.media.place = MediaPlace::Nowhere;
    // What is tried there is a copy: it must not put the epoch cell of the installation right.
    there.keys.cell_is_foreign = true;
    there
}
