//! What forgets: people, and what is old.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::Base;
use crate::config::Config;
use crate::directory::{Bells, Contacts};
use crate::ids::{ContactId, MediaId, TenantId};
use crate::media::Fetcher;
use crate::privacy::{Files, Privacy, RetentionTerms, Terms};

/// The room of files, as far as it forgets.
#[derive(Debug)]
struct Shelved(Fetcher);

impl Files for Shelved {
    fn remove(&self, tenant: TenantId, media: MediaId, contact: Option<ContactId>) -> BoxFuture<'_, bool> {
        async move {
            let removed = self.0.erase(tenant, media, contact).await;
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
        let files = self.files(config, Bells::new().0)?;
        let contacts = Contacts::new(self.keyring.clone(), self.clock.clone());
        Ok(self.privacy_with(config, contacts, Bells::new().0, files))
    }

    pub(super) fn privacy_with(&self, config: &Config, contacts: Contacts, bells: Bells, files: Fetcher) -> Privacy {
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
            files: Arc::new(Shelved(files)),
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
