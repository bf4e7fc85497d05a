//! What fetches the files that people send, and where they are kept.

use anyhow::Context as _;

use super::{Base, graph_client};
use crate::config::Config;
use crate::media::{Fetcher, Shelf};

impl Base {
    /// As `[media]` says; without a place for files it fetches nothing.
    pub(super) fn fetcher(&self, config: &Config) -> anyhow::Result<Fetcher> {
        Ok(Fetcher {
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            graph: graph_client(config)?,
            shelf: Shelf::open(&config.media, self.clock.now()).context("media.url")?,
            clock: self.clock.clone(),
            max_in_flight: config.media.max_in_flight,
        })
    }
}
