//! What forgets: people, and what is old.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};

use super::Base;
use super::archives::links_at;
use crate::config::{Config, PrivacyConfig};
use crate::directory::{Bells, Contacts};
use crate::ids::{ContactId, ErasureId, MediaId, TenantId};
use crate::keyring::OwnedDek;
use crate::media::{Fetcher, Place, ShelfError, Writing as OnShelf};
use crate::privacy::{ExportTerms, FileContent, FileError, FilePlace, Files, Privacy, RetentionTerms, Terms, Writing};

/// The room of files, as far as it forgets.
#[derive(Debug)]
struct Shelved(Fetcher);

const fn place((tenant, media, contact): FilePlace) -> Place {
    Place { tenant, media, contact }
}

fn cannot_be_read(error: &ShelfError) -> FileError {
    let is_absent = matches!(error, ShelfError::Objects(error) if error.kind() == std::io::ErrorKind::NotFound);
    if is_absent || matches!(error, ShelfError::Damaged(_)) {
        tracing::warn!(%error, "a file is left out of an export");
        return FileError::Lost;
    }
    FileError::Away
}

impl Files for Shelved {
    fn has_place(&self) -> bool {
        self.0.shelf.is_some()
    }

    fn read(&self, at: FilePlace, key: Arc<OwnedDek>) -> BoxFuture<'_, Result<FileContent, FileError>> {
        async move {
            let shelf = self.0.shelf.as_ref().ok_or(FileError::Lost)?;
            let reading = shelf.read(place(at), &key.dek).await.map_err(|error| cannot_be_read(&error))?;
            let length = reading.length();
            let content = reading.stream(0..length).await.map_err(|error| cannot_be_read(&error))?;
            Ok(content.map(|piece| piece.map_err(|error| cannot_be_read(&error))).boxed())
        }
        .boxed()
    }

    fn begin(&self, at: FilePlace, key: Arc<OwnedDek>) -> BoxFuture<'_, Option<Box<dyn Writing>>> {
        async move {
            let begun = self.0.shelf.as_ref()?.begin(place(at), &key.dek).await;
            let writing: Box<dyn Writing> = Box::new(Written(told(begun)?));
            Some(writing)
        }
        .boxed()
    }

    fn remove(
        &self,
        tenant: TenantId,
        media: MediaId,
        contact: Option<ContactId>,
        erasure: Option<ErasureId>,
    ) -> BoxFuture<'_, bool> {
        async move {
            let removed = self.0.erase(tenant, media, contact, erasure).await;
            if let Err(error) = &removed {
                tracing::warn!(%media, %error, "a file could not be removed yet");
            }
            removed.is_ok()
        }
        .boxed()
    }
}

/// Who answers for the data, and how they are reached, a line each.
fn answering(config: &PrivacyConfig) -> String {
    let lines = [&config.controller, &config.contact, &config.officer].into_iter().filter(|line| !line.is_empty());
    lines.map(String::as_str).collect::<Vec<_>>().join("\n")
}

/// A file on its way to its shelf.
struct Written(OnShelf);

fn told<T>(result: Result<T, ShelfError>) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "an export could not be written yet")).ok()
}

impl Writing for Written {
    fn push(&mut self, content: Vec<u8>) -> BoxFuture<'_, bool> {
        async move { told(self.0.push(&content).await).is_some() }.boxed()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Option<u64>> {
        async move { told(self.0.finish().await) }.boxed()
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.0.abort().boxed()
    }
}

impl Base {
    /// As `[retention]`, `[privacy]` and `[media]` say, with bells of its own: outside of a gateway they wake nobody.
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
                audit: time::Duration::days(config.audit.retention_days.into()),
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
            exports: Arc::new(ExportTerms {
                days: config.privacy.export_days,
                audit_days: config.audit.retention_days,
                controller: answering(&config.privacy),
                purposes: config.privacy.purposes.clone(),
                in_chat: links_at(config).is_some(),
            }),
            clock: self.clock.clone(),
        }
    }
}
