//! A file that an application hands over: sealed as it comes, and known before any of it lies in the object store.

use std::io;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use time::Duration;

use super::shelf::{Place, Shelf, ShelfError, Writing};
use super::{Details, Fetcher};
use crate::domain::file::FileKind;
use crate::ids::{ChannelId, ContactId, MediaId, TenantId};
use crate::keyring::{DekName, KeyringError, OwnedDek};
use crate::store::StoreError;
use crate::store::uploads::NewUpload;

/// What has been arriving for longer is swept: longer than a request may take.
pub(super) const ABANDONED: Duration = Duration::HOUR;

/// What is handed over.
#[derive(Debug)]
pub struct Offer {
    /// Owner.
    pub tenant: TenantId,
    /// Through which channel alone it may be sent; `None`: through every one.
    pub channel: Option<ChannelId>,
    /// Whom it is about: then it is forgotten with them.
    pub contact: Option<ContactId>,
    /// Its type, which Meta takes.
    pub mime_type: String,
    /// What that makes it.
    pub kind: FileKind,
    /// Its name.
    pub filename: Option<String>,
}

/// A file that is kept.
#[derive(Debug, Clone)]
pub struct Handed {
    /// Its id.
    pub media: MediaId,
    /// Its length.
    pub bytes: u64,
}

/// Why a file was not kept. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// There is no place for files.
    #[error("no object store is configured")]
    NoPlace,
    /// Meta takes none of this length.
    #[error("the file is longer than Meta takes")]
    TooLarge,
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// It ended before its end, or came too slowly.
    #[error("the file broke off")]
    BrokenOff,
    /// The database.
    #[error("the file could not be recorded")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the file could not be sealed")]
    Keys(#[from] KeyringError),
    /// The object store.
    #[error("{0}")]
    Shelf(#[from] ShelfError),
}

impl Fetcher {
    /// Keeps a file as it comes, with two chunks of it in memory. When this returns `Ok`, it may be sent and read.
    pub async fn keep(
        &self,
        offer: &Offer,
        content: BoxStream<'_, Result<Bytes, io::Error>>,
    ) -> Result<Handed, NotKept> {
        let shelf = self.shelf.as_ref().ok_or(NotKept::NoPlace)?;
        let now = self.clock.now();
        let media = MediaId::new(now);
        let place = Place { tenant: offer.tenant, media, contact: offer.contact };
        let name = DekName::month(offer.tenant, offer.contact, now.date());
        let dek = self.keyring.one_for_sealing(offer.tenant, name).await?;
        let new =
            NewUpload { tenant: offer.tenant, media, channel: offer.channel, contact: offer.contact, kind: offer.kind };
        self.store.begin_upload(&new, now).await?;
        let kept = self.keep_all(shelf, place, &dek, offer, content).await;
        if kept.is_err() {
            self.take_back(shelf, place).await;
        }
        Ok(Handed { media, bytes: kept? })
    }

    /// Removes what there is of a file, unless it is kept and only the answer of Postgres was lost. Else the sweep does it.
    async fn take_back(&self, shelf: &Shelf, place: Place) {
        let given_up = self.store.give_up_upload(place.tenant, place.media, self.clock.now()).await;
        if matches!(given_up, Ok(false)) {
            return;
        }
        let is_gone = given_up.is_ok()
            && shelf.remove(place).await.is_ok()
            && self.store.forget_upload(place.tenant, place.media).await.is_ok();
        if !is_gone {
            tracing::debug!(media = %place.media, "a file that did not arrive is forgotten later");
        }
    }

    async fn keep_all(
        &self,
        shelf: &Shelf,
        place: Place,
        dek: &OwnedDek,
        offer: &Offer,
        content: BoxStream<'_, Result<Bytes, io::Error>>,
    ) -> Result<u64, NotKept> {
        let mut writing = shelf.begin(place, &dek.dek).await?;
        let bytes = match pour(content, offer.kind.largest(), &mut writing).await {
            Ok(()) => writing.finish().await?,
            Err(failure) => {
                writing.abort().await;
                return Err(failure);
            }
        };
        let (mime_type, filename) = (Some(offer.mime_type.clone()), offer.filename.clone());
        let details = Details { mime_type, filename, stripped: false }.seal(dek, place).ok_or(NotKept::BrokenOff)?;
        let length = i64::try_from(bytes).unwrap_or(i64::MAX);
        let now = self.clock.now();
        let is_known = self.store.finish_upload(place.tenant, place.media, (length, &details), now).await?;
        if is_known { Ok(bytes) } else { Err(NotKept::BrokenOff) }
    }
}

async fn pour(
    mut content: BoxStream<'_, Result<Bytes, io::Error>>,
    largest: u64,
    writing: &mut Writing,
) -> Result<(), NotKept> {
    let mut left = largest;
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(|_| NotKept::BrokenOff)?;
        left = left.checked_sub(piece.len() as u64).ok_or(NotKept::TooLarge)?;
        writing.push(&piece).await?;
    }
    if left == largest { Err(NotKept::Empty) } else { Ok(()) }
}
