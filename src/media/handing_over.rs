//! A file that an application hands over: pictures, films and sound are stripped as those are that people send, all else is sealed as it comes.
//! It is known before any of it lies in the object store.

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use time::Duration;

use super::shelf::{Place, Shelf, ShelfError, Writing};
use super::{Details, Fetcher, strip};
use crate::domain::file::{FileKind, essence};
use crate::ids::{ChannelId, ContactId, MediaId, TenantId};
use crate::keyring::{DekName, KeyringError, OwnedDek};
use crate::store::StoreError;
use crate::store::uploads::NewUpload;

/// What has been arriving for longer is swept: longer than a request may take.
pub(super) const ABANDONED: Duration = Duration::HOUR;

type Content<'c> = BoxStream<'c, Result<Bytes, io::Error>>;

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
    /// Its length, as it is kept.
    pub bytes: u64,
    /// Whether it is a picture out of which everything was taken but the picture.
    pub stripped: bool,
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
    /// Keeps a file, with two chunks of it in memory, or the whole of one that is stripped: 16 MiB at most. When this returns `Ok`, it may be sent and
    /// read.
    pub async fn keep(&self, offer: &Offer, content: Content<'_>) -> Result<Handed, NotKept> {
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
        let (bytes, stripped) = kept?;
        Ok(Handed { media, bytes, stripped })
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
        content: Content<'_>,
    ) -> Result<(u64, bool), NotKept> {
        let (bare, mut content) = whole_file(offer, content).await?;
        let stripped = bare.is_some();
        if let Some(bare) = bare {
            content = stream::iter([Ok(bare)]).boxed();
        }
        let mut writing = shelf.begin(place, &dek.dek).await?;
        let bytes = match pour(content, offer.kind.largest(), &mut writing).await {
            Ok(()) => writing.finish().await?,
            Err(failure) => {
                writing.abort().await;
                return Err(failure);
            }
        };
        let (mime_type, filename) = (Some(offer.mime_type.clone()), offer.filename.clone());
        let details = Details { mime_type, filename, stripped }.seal(dek, place).ok_or(NotKept::BrokenOff)?;
        let length = i64::try_from(bytes).unwrap_or(i64::MAX);
        let now = self.clock.now();
        let is_known = self.store.finish_upload(place.tenant, place.media, (length, &details), now).await?;
        if is_known { Ok((bytes, stripped)) } else { Err(NotKept::BrokenOff) }
    }
}

/// A file without what it says beside its content, as whoever is sent it need not know where it was taken. `None`: none of its type is
/// stripped, or it has not the form of its type; then the content is as it came.
async fn whole_file<'c>(offer: &Offer, mut content: Content<'c>) -> Result<(Option<Bytes>, Content<'c>), NotKept> {
    let mime_type = essence(&offer.mime_type);
    if !strip::is_stripped(&mime_type) {
        return Ok((None, content));
    }
    let (mut file, most) = (Vec::new(), offer.kind.largest());
    while let Some(piece) = content.next().await {
        file.extend_from_slice(&piece.map_err(|_| NotKept::BrokenOff)?);
        if file.len() as u64 > most {
            return Err(NotKept::TooLarge);
        }
    }
    Ok(match strip::strip(&mime_type, &file) {
        Some(stripped) => (Some(stripped.into()), content),
        None => (None, stream::iter([Ok(file.into())]).boxed()),
    })
}

async fn pour(mut content: Content<'_>, largest: u64, writing: &mut Writing) -> Result<(), NotKept> {
    let mut left = largest;
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(|_| NotKept::BrokenOff)?;
        left = left.checked_sub(piece.len() as u64).ok_or(NotKept::TooLarge)?;
        writing.push(&piece).await?;
    }
    if left == largest { Err(NotKept::Empty) } else { Ok(()) }
}
