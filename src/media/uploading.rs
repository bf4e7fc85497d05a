//! Brings a file to Meta for one channel, and remembers Meta's id of it until Meta forgets it.

use std::io;
use std::sync::Arc;
use std::time::Duration as Pause;

use bytes::Bytes;
use futures_util::stream::StreamExt;
use time::Duration;

use super::shelf::{Place, ShelfError};
use super::{Details, Fetcher};
use crate::crypto::envelope;
use crate::domain::channel::Channel;
use crate::domain::file::ending;
use crate::ids::MediaId;
use crate::keyring::{DekName, KeyringError, OwnedDek, places};
use crate::meta::client::upload::{Upload, UploadError};
use crate::meta::errors::Verdict;
use crate::store::StoreError;

/// Meta keeps what is uploaded for thirty days.
const KEPT_BY_META: Duration = Duration::days(30);

/// Why a file is not at Meta.
#[derive(Debug, thiserror::Error)]
pub enum NotUploaded {
    /// There is no such file any more, or it does not open.
    #[error("there is no such file")]
    Gone,
    /// Meta does not take it.
    #[error("Meta refused the file (code {code:?})")]
    Refused {
        /// Meta's code.
        code: Option<i32>,
        /// The body of its answer.
        answer: Bytes,
    },
    /// It may be tried again.
    #[error("the file could not be uploaded yet")]
    Later {
        /// Not before this long.
        wait: Option<Pause>,
    },
}

impl From<StoreError> for NotUploaded {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "a file could not be uploaded: the database is away");
        Self::Later { wait: None }
    }
}

impl From<KeyringError> for NotUploaded {
    fn from(error: KeyringError) -> Self {
        if error.is_retryable() { Self::Later { wait: None } } else { Self::Gone }
    }
}

impl From<ShelfError> for NotUploaded {
    fn from(error: ShelfError) -> Self {
        tracing::warn!(%error, "a file could not be read to be uploaded");
        match error {
            ShelfError::Objects(cause) if cause.kind() == io::ErrorKind::NotFound => Self::Gone,
            ShelfError::Damaged(_) => Self::Gone,
            _ => Self::Later { wait: None },
        }
    }
}

impl From<UploadError> for NotUploaded {
    fn from(error: UploadError) -> Self {
        tracing::warn!(%error, "a file could not be uploaded");
        match error {
            UploadError::Refused { verdict: Verdict::Wait(least), retry_after, .. } => {
                Self::Later { wait: Some(retry_after.unwrap_or_default().max(least)) }
            }
            UploadError::Refused { verdict, retry_after, .. } if verdict.is_retryable() => {
                Self::Later { wait: retry_after }
            }
            UploadError::Refused { code, answer, .. } => Self::Refused { code, answer },
            // Nobody sees a file that is there twice.
            UploadError::Transport(_) => Self::Later { wait: None },
        }
    }
}

impl Fetcher {
    /// Uploads a file through a channel and records Meta's id. Whoever is killed between the two uploads it again.
    pub async fn upload(&self, channel: Arc<Channel>, media: MediaId) -> Result<(), NotUploaded> {
        let (shelf, token) = match (&self.shelf, &channel.token) {
            (Some(shelf), Some(token)) => (shelf, token),
            (None, _) => return Err(NotUploaded::Gone),
            (_, None) => return Err(NotUploaded::Later { wait: None }),
        };
        let tenant = channel.tenant;
        let row = self.store.find_media(tenant, media).await?.filter(|row| row.state == "stored");
        let row = row.ok_or(NotUploaded::Gone)?;
        let sealed = row.details.ok_or(NotUploaded::Gone)?;
        let place = Place { tenant, media, contact: row.contact };
        let id = sealed.dek_id().ok_or(NotUploaded::Gone)?;
        let keys = self.keyring.for_opening(tenant, [id]).await?;
        let key: &Arc<OwnedDek> = keys.get(&id).ok_or(NotUploaded::Gone)?;
        let details = Details::open(key, place, &sealed).ok_or(NotUploaded::Gone)?;
        let mime_type = details.mime_type.unwrap_or_default();
        let reading = shelf.read(place, &key.dek).await?;
        let bytes = reading.length();
        let content = reading.stream(0..bytes).await?;
        let content = content.map(|piece| piece.map_err(|error| io::Error::other(error.to_string()))).boxed();
        let name = format!("{media}.{}", ending(&mime_type));
        let upload = Upload { mime_type, name, bytes, content };
        // Before Meta counts.
        let began = self.clock.now();
        let meta_id = self.graph.upload(&channel.phone_number_id, token, upload).await?;
        let dek = self.keyring.one_for_sealing(tenant, DekName::system(tenant)).await?;
        let at = places::media_at_meta(tenant, media, channel.id);
        let sealed = envelope::seal(&dek.dek, &at, meta_id.as_bytes());
        let noted = self.store.note_at_meta((tenant, channel.id), media, &sealed, began + KEPT_BY_META).await?;
        if !noted {
            // Deleted meanwhile, or somebody was faster: nobody will ask for this one.
            let _forgotten_by_itself = self.graph.delete_file(token, &meta_id).await;
        }
        Ok(())
    }
}
