//! The object store: a directory, or a bucket that speaks S3. What lies there is sealed in chunks (`docs/envelope.md`), under ids.

#[cfg(feature = "s3")]
mod bucket;
mod directory;
mod whole;

use std::io::{Error, ErrorKind};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use time::{Duration, OffsetDateTime};

use crate::config::{MediaConfig, MediaPlace};
use crate::crypto::chunks::{self, Opener, Sealer};
use crate::crypto::envelope::OpenError;
use crate::crypto::keys::Dek;
use crate::ids::{ContactId, MediaId, TenantId};
use crate::keyring::places;
use crate::telemetry;
#[cfg(feature = "s3")]
use bucket::{Bucket, Upload};
use directory::{Directory, Unfinished};
pub use whole::PuttingBack;

/// Unfinished files of a directory are removed at this age: nobody is still writing them.
const ABANDONED: Duration = Duration::DAY;

/// Why a file was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The object store. What it says may quote a server, so that it is told in a word.
    #[error("the object store failed: {}", .0.kind())]
    Objects(#[from] Error),
    /// What lies there is not what was put there.
    #[error("the object does not open")]
    Damaged(#[source] OpenError),
    /// Content that no file has.
    #[error("the file is too long")]
    TooLong(#[from] chunks::TooLong),
    /// Buckets are a feature of the build.
    #[error("this waxseal was built without the feature s3")]
    NotBuilt,
}

impl From<OpenError> for ShelfError {
    fn from(error: OpenError) -> Self {
        telemetry::count_damaged("media.object");
        Self::Damaged(error)
    }
}

impl ShelfError {
    /// Whether nothing lies there.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Objects(error) if error.kind() == ErrorKind::NotFound)
    }
}

/// An object, as far as it was asked for.
struct Found {
    /// Of the whole object.
    size: u64,
    /// Names this very object.
    tag: Option<String>,
    pieces: Pieces,
}

type Pieces = BoxStream<'static, Result<Bytes, Error>>;

#[derive(Debug)]
enum Objects {
    Directory(Directory),
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

#[derive(Debug)]
enum Object {
    File(Unfinished),
    #[cfg(feature = "s3")]
    Upload(Upload),
}

impl Objects {
    async fn begin(&self, name: &str) -> Result<Object, Error> {
        match self {
            Self::Directory(directory) => directory.begin(name).await.map(Object::File),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.begin(name).await.map(Object::Upload),
        }
    }

    async fn read(&self, name: &str, range: Range<u64>, tag: Option<String>) -> Result<Found, Error> {
        match self {
            // Files have no tags: one that was replaced meanwhile does not open.
            Self::Directory(directory) => {
                drop(tag);
                directory.read(name, range).await
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.read(name, range, tag).await,
        }
    }

    /// All of an object, with one look: it may be removed at any time.
    async fn whole(&self, name: &str) -> Result<Found, Error> {
        match self {
            Self::Directory(directory) => directory.read(name, 0..u64::MAX).await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.whole(name).await,
        }
    }

    async fn remove(&self, name: &str) -> Result<(), Error> {
        match self {
            Self::Directory(directory) => directory.remove(name).await,
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => bucket.remove(name).await,
        }
    }
}

impl Object {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::File(file) => file.write(bytes).await,
            #[cfg(feature = "s3")]
            Self::Upload(upload) => upload.write(bytes).await,
        }
    }

    async fn finish(self) -> Result<(), Error> {
        match self {
            Self::File(file) => file.finish().await,
            #[cfg(feature = "s3")]
            Self::Upload(upload) => upload.finish().await,
        }
    }

    #[cfg_attr(not(feature = "s3"), expect(clippy::unused_async, reason = "an upload is told"))]
    async fn abort(self) -> Result<(), Error> {
        match self {
            Self::File(file) => drop(file),
            #[cfg(feature = "s3")]
            Self::Upload(upload) => upload.abort().await?,
        }
        Ok(())
    }
}

/// Which file, and whose.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Owner.
    pub tenant: TenantId,
    /// Its id.
    pub media: MediaId,
    /// Whom it is about.
    pub contact: Option<ContactId>,
}

impl Place {
    /// Spread over folders by the random end of the id.
    fn name(self) -> String {
        let id = self.media.to_string();
        let folder = id.get(id.len().saturating_sub(2)..).unwrap_or_default();
        format!("{}/{folder}/{id}", self.tenant)
    }

    fn context(self) -> crate::crypto::context::Context {
        places::media_object(self.tenant, self.media, self.contact)
    }
}

/// Keeps sealed files. Clones share it.
#[derive(Debug, Clone)]
pub struct Shelf {
    objects: Arc<Objects>,
}

impl Shelf {
    /// The shelf of the configuration; `None`: media are not kept. What unfinished files a directory has from long ago are removed.
    pub fn open(config: &MediaConfig, now: OffsetDateTime) -> Result<Option<Self>, ShelfError> {
        let objects = match &config.place {
            MediaPlace::Nowhere => return Ok(None),
            MediaPlace::Directory(path) => Objects::Directory(Directory::open(path, now - ABANDONED)?),
            #[cfg(feature = "s3")]
            MediaPlace::Bucket { name, prefix } => Objects::Bucket(Bucket::open(config, name, prefix)?),
            #[cfg(not(feature = "s3"))]
            MediaPlace::Bucket { .. } => return Err(ShelfError::NotBuilt),
        };
        Ok(Some(Self { objects: Arc::new(objects) }))
    }

    /// Begins a file. It is there when it is finished, whole, in the place of what was there before.
    pub async fn begin(&self, place: Place, dek: &Dek) -> Result<Writing, ShelfError> {
        let sealer = Sealer::new(dek, &place.context())?;
        let mut object = self.objects.begin(&place.name()).await?;
        if let Err(error) = object.write(sealer.header()).await {
            left(object).await;
            return Err(error.into());
        }
        Ok(Writing { sealer, object, bytes: 0 })
    }

    /// Removes what lies there, if anything does.
    pub async fn remove(&self, place: Place) -> Result<(), ShelfError> {
        match self.objects.remove(&place.name()).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Opens a file: its length, and what reads a range of it.
    pub async fn read(&self, place: Place, dek: &Dek) -> Result<Reading, ShelfError> {
        let found = self.objects.read(&place.name(), 0..chunks::HEADER as u64, None).await?;
        let (size, tag) = (found.size, found.tag);
        let mut header = Vec::with_capacity(chunks::HEADER);
        let mut pieces = found.pieces;
        while let Some(piece) = pieces.next().await {
            header.extend_from_slice(&piece?);
        }
        let opener = Opener::new(dek, &place.context(), &header, size)?;
        Ok(Reading { objects: self.objects.clone(), name: place.name(), opener, tag })
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Writing {
    sealer: Sealer,
    object: Object,
    bytes: u64,
}

impl Writing {
    /// Adds content.
    pub async fn push(&mut self, content: &[u8]) -> Result<(), ShelfError> {
        self.object.write(&self.sealer.push(content)?).await?;
        self.bytes += content.len() as u64;
        Ok(())
    }

    /// Puts it where it belongs. Returns its length. Where it cannot be, everything is as it was before.
    pub async fn finish(self) -> Result<u64, ShelfError> {
        let Self { sealer, mut object, bytes } = self;
        let written = match sealer.finish() {
            Ok(last) => object.write(&last).await.map_err(ShelfError::from),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = written {
            left(object).await;
            return Err(error);
        }
        object.finish().await?;
        Ok(bytes)
    }

    /// Leaves everything as it was before.
    pub async fn abort(self) {
        left(self.object).await;
    }
}

/// An object that is not finished: a bucket would keep, and count, what was uploaded of it.
async fn left(object: Object) {
    if let Err(error) = object.abort().await {
        tracing::debug!(kind = %error.kind(), "an unfinished file could not be removed");
    }
}

/// A file that can be read.
#[derive(Debug)]
pub struct Reading {
    objects: Arc<Objects>,
    name: String,
    opener: Opener,
    tag: Option<String>,
}

/// Chunks on their way to be opened.
struct Opening {
    opener: Opener,
    pieces: Pieces,
    buffer: BytesMut,
    next: u32,
    last: u32,
    range: Range<u64>,
}

impl Reading {
    /// Bytes of the file.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.opener.length()
    }

    /// These bytes of the file, which are some of it, as a stream that holds one chunk at a time. The first chunk is opened before this returns.
    pub async fn stream(self, range: Range<u64>) -> Result<BoxStream<'static, Result<Bytes, ShelfError>>, ShelfError> {
        let (first, last) = (self.opener.chunk_of(range.start), self.opener.chunk_of(range.end.saturating_sub(1)));
        let place = self.opener.place_of(first, last);
        // The same object that the header was read from.
        let pieces = self.objects.read(&self.name, place, self.tag).await?.pieces;
        let mut opening = Opening { opener: self.opener, pieces, buffer: BytesMut::new(), next: first, last, range };
        let begin = opening.chunk().await?;
        let rest = stream::try_unfold(opening, async |mut opening| {
            if opening.next > opening.last {
                return Ok(None);
            }
            let chunk = opening.chunk().await?;
            Ok(Some((chunk, opening)))
        });
        Ok(stream::iter([Ok(begin)]).chain(rest).boxed())
    }
}

impl Opening {
    /// The next chunk, as far as it is in the range.
    async fn chunk(&mut self) -> Result<Bytes, ShelfError> {
        let wanted = self.opener.stored_length(self.next);
        while self.buffer.len() < wanted {
            let Some(piece) = self.pieces.next().await else { return Err(OpenError::Tampered.into()) };
            self.buffer.extend_from_slice(&piece?);
        }
        let opened = Bytes::from(self.opener.open(self.next, self.buffer.split_to(wanted).to_vec())?);
        let begins = u64::from(self.next) * chunks::CHUNK as u64;
        self.next += 1;
        let within = |byte: u64| usize::try_from(byte.saturating_sub(begins)).unwrap_or(usize::MAX).min(opened.len());
        let (from, to) = (within(self.range.start), within(self.range.end));
        Ok(opened.slice(from..to.max(from)))
    }
}
