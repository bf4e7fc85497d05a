//! What forgets: people, and what is old.

use std::sync::Arc;

use anyhow::Context as _;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Base;
use crate::config::Config;
use crate::directory::{Bells, Contacts};
use crate::ids::{ContactId, MediaId, TenantId};
use crate::media::{Place, Shelf};
use crate::privacy::{Files, Privacy, RetentionTerms, Terms};

/// The shelf, as far as it forgets.
#[derive(Debug)]
struct Shelved(Shelf);

impl Files for Shelved {
    fn remove(&self, tenant: TenantId, media: MediaId, contact: Option<ContactId>) -> BoxFuture<'_, bool> {
        async move {
            let removed = self.0.remove(Place { tenant, media, contact }).await;
            if let Err(error) = &removed {
                tracing::warn!(%media, %error, "a file could not be removed yet");
            }
            removed.is_ok()
        }
        .boxed()
    }
}

impl Base {
    /// As `[retention]` and `[media]` say, with bells of its own: outside of a gateway they wake nobody.
    pub fn privacy(&self, config: &Config) -> anyhow::Result<Privacy> {
        let shelf = Shelf::open(&config.media, self.clock.now()).context("media.url")?;
        let contacts = Contacts::new(self.keyring.clone(), self.clock.clone());
        Ok(self.privacy_with(config, contacts, Bells::new().0, shelf))
    }

    pub(super) fn privacy_with(
        &self,
        config: &Config,
        contacts: Contacts,
        bells: Bells,
        shelf: Option<Shelf>,
    ) -> Privacy {
        let (kept, terms) = (
            config.retention,
            Terms {
                key_cache: config.keys.cache_ttl,
                backups: time::Duration::days(config.retention.backup_days.into()),
            },
        );
        Privacy {
            store: self.store.clone(),
            keyring: self.keyring.clone(),
            directory: self.directory.clone(),
            contacts,
            audit: self.audit.clone(),
            bells,
            files: shelf.map(|shelf| Arc::new(Shelved(shelf)) as Arc<dyn Files>),
            terms,
            retention: RetentionTerms {
                content: kept.content_days,
                metadata: kept.metadata_days,
                attempts: kept.attempts_days,
            },
            clock: self.clock.clone(),
        }
    }
}
