//! Deletes files: in the object store, at Meta, and what is known of them. Whoever is killed on the way has another finish it.

use std::sync::Arc;

use time::Duration;

use super::Fetcher;
use super::handing_over::ABANDONED;
use super::shelf::{Place, ShelfError};
use crate::crypto::envelope::{self, Sealed};
use crate::ids::{ChannelId, ContactId, ErasureId, MediaId, TenantId};
use crate::keyring::{KeyringError, OwnedDek, places};
use crate::meta::client::upload::UploadError;
use crate::store::StoreError;

/// What somebody began to delete is finished by another after so long.
const GIVEN_UP: Duration = Duration::MINUTE;

/// Why something is left of a file.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// The database.
    #[error("the database is away")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
    /// The object store.
    #[error("{0}")]
    Shelf(#[from] ShelfError),
    /// Meta did not delete it.
    #[error("Meta did not delete the file: {0}")]
    Meta(#[from] UploadError),
}

impl Fetcher {
    /// Whether somebody holds the data of whom a file is about: then it stays.
    pub async fn is_held(&self, tenant: TenantId, contact: Option<ContactId>) -> Result<bool, StoreError> {
        let Some(contact) = contact else { return Ok(false) };
        Ok(!self.store.held_among(tenant, &[contact.uuid()], self.clock.now()).await?.is_empty())
    }

    /// Deletes a file. From its beginning on nobody reads or sends it; on an error it is gone on with later, by itself too. False: there
    /// is none, or it is held.
    pub async fn delete(
        &self,
        tenant: TenantId,
        media: MediaId,
        contact: Option<ContactId>,
    ) -> Result<bool, DeleteError> {
        if !self.store.begin_deleting_media(tenant, media, self.clock.now()).await? {
            return Ok(false);
        }
        // What lies here goes first: it is ours to remove, whether Meta can be asked or not.
        if let Some(shelf) = &self.shelf {
            shelf.remove(Place { tenant, media, contact }).await?;
        }
        for (channel, sealed) in self.store.everywhere_at_meta(tenant, media).await? {
            self.delete_at_meta((tenant, channel), media, &sealed).await?;
            self.store.forget_at_meta((tenant, channel), media).await?;
        }
        self.store.finish_deleting_media(tenant, media, self.clock.now()).await?;
        Ok(true)
    }

    /// False: a channel without a token cannot ask Meta, and an id that does not open cannot be asked for. Meta forgets the file by itself.
    async fn delete_at_meta(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        media: MediaId,
        sealed: &Sealed,
    ) -> Result<bool, DeleteError> {
        let snapshot = self.directory.snapshot();
        let Some(token) = snapshot.channel(tenant, channel).and_then(|channel| channel.token.clone()) else {
            return Ok(false);
        };
        let Some(id) = sealed.dek_id() else { return Ok(false) };
        let keys = self.keyring.for_opening(tenant, [id]).await?;
        let key: Option<&Arc<OwnedDek>> = keys.get(&id);
        let opened =
            key.and_then(|key| envelope::open(&key.dek, &places::media_at_meta(tenant, media, channel), sealed).ok());
        let meta_id = opened.and_then(|id| String::from_utf8(id.to_vec()).ok());
        match meta_id {
            Some(meta_id) => self.graph.delete_file(&token, &meta_id).await.map(|()| true).map_err(DeleteError::from),
            None => Ok(false),
        }
    }

    /// Removes a file whose row goes, because of whom it is about or because it is old: from the object store and, as far as Meta can be
    /// asked, from Meta, which forgets what is left there by itself. What is left is counted with the erasure that it was removed for.
    pub async fn erase(
        &self,
        tenant: TenantId,
        media: MediaId,
        contact: Option<ContactId>,
        erasure: Option<ErasureId>,
    ) -> Result<(), DeleteError> {
        if let Some(shelf) = &self.shelf {
            shelf.remove(Place { tenant, media, contact }).await?;
        }
        for (channel, sealed) in self.store.everywhere_at_meta(tenant, media).await? {
            let is_gone = match self.delete_at_meta((tenant, channel), media, &sealed).await {
                Err(DeleteError::Meta(error @ UploadError::Refused { .. })) => {
                    tracing::warn!(%media, %error, "Meta keeps a file until it forgets it by itself");
                    false
                }
                result => result?,
            };
            match erasure.filter(|_| !is_gone) {
                Some(erasure) => self.store.leave_at_meta((tenant, channel), media, erasure).await?,
                None => self.store.forget_at_meta((tenant, channel), media).await?,
            }
        }
        Ok(())
    }

    /// Finishes what somebody began and did not live to finish: files that were arriving, and files that were being deleted.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for left in self.store.unfinished_media(now - ABANDONED, now - GIVEN_UP).await? {
            let done = if left.is_deleted {
                self.delete(left.tenant, left.media, left.contact).await.map(drop)
            } else {
                self.forget(left.tenant, left.media, left.contact).await
            };
            if let Err(error) = done {
                tracing::warn!(media = %left.media, %error, "a file that is given up is not gone yet");
            }
        }
        Ok(())
    }

    async fn forget(&self, tenant: TenantId, media: MediaId, contact: Option<ContactId>) -> Result<(), DeleteError> {
        if let Some(shelf) = &self.shelf {
            shelf.remove(Place { tenant, media, contact }).await?;
        }
        Ok(self.store.forget_upload(tenant, media).await?)
    }
}
