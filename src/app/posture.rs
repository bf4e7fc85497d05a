//! What measures whether what should be done for privacy and security is done.

use std::sync::Arc;

use super::{Base, RowsKept, Stage};
use crate::config::Config;
use crate::posture::{Declared, Desk, Posture};
use crate::privacy::Privacy;

impl Base {
    /// As the configuration says, outside of a gateway.
    pub fn posture(&self, config: &Config) -> anyhow::Result<Posture> {
        Ok(self.posture_with(config, self.privacy(config)?))
    }

    /// Where a gateway is asked for it. What is being measured is broken off with the requests that wait for it.
    pub(super) fn desk(&self, config: &Config, privacy: Privacy, requests: &Stage) -> Desk {
        Desk::new(self.posture_with(config, privacy), requests.tasks.clone(), requests.stop.clone())
    }

    fn posture_with(&self, config: &Config, privacy: Privacy) -> Posture {
        Posture {
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            audit: self.audit.clone(),
            privacy,
            rows_kept: rows_kept(&self.rows_kept),
            declared: Arc::new(Declared::of(config)),
            clock: self.clock.clone(),
        }
    }
}

const fn rows_kept(kept: &RowsKept) -> Result<(), &'static str> {
    match kept {
        RowsKept::Yes => Ok(()),
        RowsKept::Off => Err("database.roles is \"off\""),
        RowsKept::Later => Err("their rights could not be put in force yet"),
        RowsKept::Not(_) => Err("the login may not make them; `waxseal migrate` prints what has to be run"),
    }
}
