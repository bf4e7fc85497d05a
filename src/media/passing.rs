//! Files that are not kept: fetched from Meta for whoever asks, checked on their way, and gone when they are read.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use sha2::{Digest, Sha256};

use super::Fetcher;
use super::fetch::{Expected, Failure, KEPT_BY_META, LARGEST, gather, stripped_type};
use crate::domain::channel::Channel;
use crate::ids::MediaId;
use crate::meta::client::media::{FetchError, NamedFile, Pieces};

/// Why a file did not come through.
#[derive(Debug, thiserror::Error)]
pub enum NotPassed {
    /// Meta does not have it any more, or it is larger than people may send.
    #[error("Meta does not have the file any more")]
    Gone(&'static str),
    /// It came broken, or Meta is away: it may be asked for again.
    #[error("the file did not come whole")]
    Later(&'static str),
}

impl From<Failure> for NotPassed {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Meta(FetchError::Gone) => Self::Gone("gone"),
            Failure::TooLarge => Self::Gone("too_large"),
            Failure::Damaged => Self::Later("damaged"),
            _ => Self::Later("Meta could not be asked"),
        }
    }
}

impl From<FetchError> for NotPassed {
    fn from(error: FetchError) -> Self {
        Failure::Meta(error).into()
    }
}

/// A file on its way.
pub enum Through {
    /// All of it: a picture, without what it says beside the picture.
    Whole(Bytes),
    /// As it comes. Ends with an error, before its last piece, when it is not what Meta said it is.
    Flowing {
        /// Its length, when Meta names it.
        bytes: Option<u64>,
        /// It.
        content: BoxStream<'static, Result<Bytes, NotPassed>>,
    },
}

impl std::fmt::Debug for Through {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Whole(_)) { "Whole" } else { "Flowing" })
    }
}

impl Fetcher {
    /// Fetches a file that came with this message for somebody who waits for it. Nothing of it is kept.
    pub async fn pass(&self, channel: &Channel, media: MediaId, named: &NamedFile) -> Result<Through, NotPassed> {
        let is_old = self.clock.now() - media.made_at() > KEPT_BY_META;
        self.pass_whatever_its_age(channel, named).await.map_err(|error| match error {
            // Meta has several words for what it has forgotten.
            NotPassed::Later(_) if is_old => NotPassed::Gone("too_old"),
            error => error,
        })
    }

    async fn pass_whatever_its_age(&self, channel: &Channel, named: &NamedFile) -> Result<Through, NotPassed> {
        let token = channel.token.as_ref().ok_or(NotPassed::Later("the channel has no access token"))?;
        let facts = self.graph.media_facts(&channel.phone_number_id, token, &named.id).await?;
        if facts.bytes.is_some_and(|bytes| bytes > LARGEST) {
            return Err(Failure::TooLarge.into());
        }
        let mut download = self.graph.file(token, &facts).await?;
        let expected = Expected::of(&facts, named);
        if let Some(mime_type) = stripped_type(&facts, named) {
            let (file, _) = gather(&mut download, &expected, &mime_type).await?;
            return Ok(Through::Whole(file.into()));
        }
        let flowing = Flowing { download, expected, hash: Sha256::new(), bytes: 0, held: None, over: false };
        let content = stream::try_unfold(flowing, async |mut flowing| {
            let piece = flowing.next().await?;
            Ok(piece.map(|piece| (piece, flowing)))
        });
        Ok(Through::Flowing { bytes: facts.bytes, content: content.boxed() })
    }
}

/// A file that is passed on one piece behind, so that its end is not seen before all of it was checked.
struct Flowing {
    download: Pieces,
    expected: Expected,
    hash: Sha256,
    bytes: u64,
    held: Option<Bytes>,
    over: bool,
}

impl Flowing {
    async fn next(&mut self) -> Result<Option<Bytes>, NotPassed> {
        while !self.over {
            match self.download.next().await? {
                Some(piece) => {
                    self.bytes += piece.len() as u64;
                    if self.bytes > LARGEST {
                        return Err(Failure::TooLarge.into());
                    }
                    self.hash.update(&piece);
                    if let Some(before) = self.held.replace(piece) {
                        return Ok(Some(before));
                    }
                }
                None => {
                    self.over = true;
                    if !self.expected.holds(&self.hash.clone().finalize(), self.bytes) {
                        return Err(Failure::Damaged.into());
                    }
                }
            }
        }
        Ok(self.held.take())
    }
}
