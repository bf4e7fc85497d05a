//! Fetches one file: asks Meta where it is, streams it from there through hash and seal into the object store.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use time::Duration;
use uuid::Uuid;

use super::shelf::{Place, Shelf, ShelfError, Writing};
use super::{Details, Fetcher, strip};
use crate::crypto::{envelope, versions};
use crate::domain::channel::Channel;
use crate::domain::file::{FileKind, essence};
use crate::domain::keeping::ContentClass;
use crate::keyring::{DekName, KeyringError, OwnedDek, places};
use crate::meta::client::media::{FetchError, MediaFacts, NamedFile, Pieces};
use crate::secret::AccessToken;
use crate::store::media::{DueMedia, MediaEnd};

/// Meta's limit for what people send.
pub(super) const LARGEST: u64 = 100 * 1024 * 1024;
/// Pictures, films and sound up to this size are held in memory to be stripped. Meta takes pictures of 5 MB and the others of 16 MB.
const LARGEST_STRIPPED: u64 = 16 * 1024 * 1024;
/// Meta keeps inbound files for seven days; a little more, so that its word counts and not our clock.
pub(super) const KEPT_BY_META: Duration = Duration::hours(7 * 24 + 12);
/// Files that came broken so many times are given up.
const MOST_DAMAGED: i16 = 8;

/// Why a file is not there yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Meta(#[from] FetchError),
    #[error("the file is longer than Meta lets people send")]
    TooLarge,
    #[error("the file is not what Meta said it is")]
    Damaged,
    #[error("the event of the file does not open")]
    Unreadable,
    #[error("the key of the event is gone")]
    Erased,
    #[error("{0}")]
    Shelf(#[from] ShelfError),
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
}

impl Failure {
    /// Why the file is lost; `None`: it is tried again.
    pub(super) const fn loss(&self, attempts: i16) -> Option<&'static str> {
        match self {
            Self::Meta(FetchError::Gone) => Some("gone"),
            Self::TooLarge => Some("too_large"),
            Self::Unreadable => Some("unreadable"),
            Self::Erased => Some("erased"),
            Self::Damaged if attempts >= MOST_DAMAGED => Some("damaged"),
            _ => None,
        }
    }
}

/// What the bytes must be.
pub(super) struct Expected {
    pub(super) sha256: Option<Vec<u8>>,
    pub(super) bytes: Option<u64>,
}

impl Expected {
    /// What Meta says of the file now, or else said in its message.
    pub(super) fn of(facts: &MediaFacts, named: &NamedFile) -> Self {
        Self { sha256: facts.sha256.clone().or_else(|| named.sha256.clone()), bytes: facts.bytes }
    }

    pub(super) fn holds(&self, sha256: &[u8], bytes: u64) -> bool {
        self.bytes.is_none_or(|expected| expected == bytes)
            && self.sha256.as_ref().is_none_or(|expected| expected == sha256)
    }
}

impl Fetcher {
    /// Whether Meta no longer has a file that came then.
    pub(super) fn is_too_old(&self, due: &DueMedia) -> bool {
        self.clock.now() - due.media.made_at() > KEPT_BY_META
    }

    /// Fetches a file and keeps it. What it returns is not recorded yet.
    pub(super) async fn fetch(
        &self,
        shelf: &Shelf,
        channel: &Channel,
        token: &AccessToken,
        due: &DueMedia,
    ) -> Result<MediaEnd, Failure> {
        let named = self.named(channel, due).await?;
        let facts = self.graph.media_facts(&channel.phone_number_id, token, &named.id).await?;
        if facts.bytes.is_some_and(|bytes| bytes > LARGEST) {
            return Err(Failure::TooLarge);
        }
        let (rule, today) = (self.directory.snapshot().kept_by(channel, ContentClass::Files), self.clock.now().date());
        let name = DekName::kept(channel.tenant, due.contact, rule, due.part_day, today);
        let dek = self.keyring.one_for_sealing(channel.tenant, name).await?;
        let download = self.graph.file(token, &facts).await?;
        let place = Place { tenant: channel.tenant, media: due.media, contact: due.contact };
        let (bytes, stripped) = keep(shelf, place, &dek, download, &facts, &named).await?;
        let kind = named.mime_type.as_deref().and_then(FileKind::of_type);
        let details = Details { mime_type: named.mime_type, filename: named.filename, stripped };
        let details = details.seal(&dek, place).ok_or(Failure::Unreadable)?;
        Ok(MediaEnd::Stored { bytes: i64::try_from(bytes).unwrap_or(i64::MAX), kind, details })
    }

    async fn named(&self, channel: &Channel, due: &DueMedia) -> Result<NamedFile, Failure> {
        let sealed = due.payload.as_ref().ok_or(Failure::Erased)?;
        let id: Uuid = sealed.dek_id().ok_or(Failure::Unreadable)?;
        let keys = self.keyring.for_opening(channel.tenant, [id]).await?;
        let key: &Arc<OwnedDek> = keys.get(&id).ok_or(Failure::Erased)?;
        let place = places::event_payload(channel.tenant, due.media.event(), due.contact);
        let opened = envelope::open(&key.dek, &place, sealed).map_err(|_| Failure::Unreadable)?;
        NamedFile::find(versions::rest(&opened)).ok_or(Failure::Unreadable)
    }
}

/// Streams the file into the shelf. Nothing lies there before all of it was checked. Its length, and whether it was stripped.
async fn keep(
    shelf: &Shelf,
    place: Place,
    dek: &OwnedDek,
    mut download: Pieces,
    facts: &MediaFacts,
    named: &NamedFile,
) -> Result<(u64, bool), Failure> {
    let expected = Expected::of(facts, named);
    if let Some(mime_type) = stripped_type(facts, named) {
        let (file, stripped) = gather(&mut download, &expected, &mime_type).await?;
        let mut writing = shelf.begin(place, &dek.dek).await?;
        writing.push(&file).await?;
        return Ok((writing.finish().await?, stripped));
    }
    let mut writing = shelf.begin(place, &dek.dek).await?;
    match pour(&mut download, &expected, &mut writing).await {
        Ok(()) => Ok((writing.finish().await?, false)),
        Err(failure) => {
            writing.abort().await;
            Err(failure)
        }
    }
}

/// The type of a file that is to be stripped and small enough for it.
pub(super) fn stripped_type(facts: &MediaFacts, named: &NamedFile) -> Option<String> {
    let mime_type = named.mime_type.as_deref().map(essence).unwrap_or_default();
    (strip::is_stripped(&mime_type) && facts.bytes.is_some_and(|bytes| bytes <= LARGEST_STRIPPED)).then_some(mime_type)
}

/// A file, checked, without what it says beside its content. Its length was promised to be small, and is held to it.
pub(super) async fn gather(
    download: &mut Pieces,
    expected: &Expected,
    mime_type: &str,
) -> Result<(Vec<u8>, bool), Failure> {
    let mut file = Vec::new();
    while let Some(piece) = download.next().await? {
        file.extend_from_slice(&piece);
        if file.len() as u64 > LARGEST_STRIPPED {
            return Err(Failure::Damaged);
        }
    }
    if !expected.holds(&Sha256::digest(&file), file.len() as u64) {
        return Err(Failure::Damaged);
    }
    Ok(match strip::strip(mime_type, &file) {
        Some(stripped) => (stripped, true),
        None => (file, false),
    })
}

/// The same for any file, piece by piece.
async fn pour(download: &mut Pieces, expected: &Expected, writing: &mut Writing) -> Result<(), Failure> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    while let Some(piece) = download.next().await? {
        bytes += piece.len() as u64;
        if bytes > LARGEST {
            return Err(Failure::TooLarge);
        }
        hash.update(&piece);
        writing.push(&piece).await?;
    }
    if expected.holds(&hash.finalize(), bytes) { Ok(()) } else { Err(Failure::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meta_no_longer_has_is_given_up_at_once_and_what_came_broken_after_some_attempts() {
        assert_eq!(Failure::Meta(FetchError::Gone).loss(0), Some("gone"));
        assert_eq!(Failure::Meta(FetchError::Refused(401)).loss(99), None);
        assert_eq!((Failure::Damaged.loss(0), Failure::Damaged.loss(8)), (None, Some("damaged")));
    }
}
