//! Objects as files below a directory. One is written beside its name and renamed when it is whole and on the disk.

use std::io::{Error, ErrorKind, Result, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::stream::{self, StreamExt};
use time::OffsetDateTime;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::{Found, Pieces};
use crate::crypto::random;

/// Stands in the names of files that are not whole, and in no other.
const UNFINISHED: char = '#';
/// Read at once.
const PIECE: usize = 64 * 1024;

/// A directory with objects.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes it where it is absent, and removes what was left unfinished before that time.
    pub(super) fn open(root: &Path, abandoned_before: OffsetDateTime) -> Result<Self> {
        std::fs::create_dir_all(root)?;
        remove_abandoned(root, abandoned_before)?;
        Ok(Self(root.to_owned()))
    }

    pub(super) async fn begin(&self, name: &str) -> Result<Unfinished> {
        let to = self.0.join(name);
        let folder = to.parent().ok_or(ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder).await?;
        let beside = format!("{}{UNFINISHED}{}", to.display(), HEXLOWER.encode(&random::bytes::<8>()));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&beside).await?;
        Ok(Unfinished { file, beside: Some(beside.into()), to, root: self.0.clone() })
    }

    pub(super) async fn read(&self, name: &str, range: Range<u64>) -> Result<Found> {
        let mut file = File::open(self.0.join(name)).await?;
        let size = file.metadata().await?.len();
        file.seek(SeekFrom::Start(range.start)).await?;
        let rest = file.take(range.end.saturating_sub(range.start));
        let pieces = stream::try_unfold(rest, async |mut rest| {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&mut rest).take(PIECE as u64).read_to_end(&mut piece).await?;
            Ok::<_, Error>((read > 0).then(|| (Bytes::from(piece), rest)))
        });
        Ok(Found { size, tag: None, pieces: Pieces::from(pieces.boxed()) })
    }

    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.0.join(name)).await
    }
}

/// A file that is being written. Removed when dropped before its end.
#[derive(Debug)]
pub(super) struct Unfinished {
    file: File,
    beside: Option<PathBuf>,
    to: PathBuf,
    root: PathBuf,
}

impl Unfinished {
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).await
    }

    /// On the disk first, then under its name, then the name on the disk.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        if let Some(beside) = self.beside.as_deref() {
            fs::rename(beside, &self.to).await?;
        }
        self.beside = None;
        for folder in self.to.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root)) {
            File::open(folder).await?.sync_all().await?;
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _gone = std::fs::remove_file(beside);
        }
    }
}

/// Removes what a process that was killed left unfinished.
fn remove_abandoned(folder: &Path, before: OffsetDateTime) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_abandoned(&entry.path(), before)?;
        } else if kind.is_file() && entry.file_name().to_string_lossy().contains(UNFINISHED) {
            // Gone meanwhile: another process removed or finished it.
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            if changed.is_ok_and(|changed| OffsetDateTime::from(changed) < before) {
                let _gone = std::fs::remove_file(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    #[tokio::test]
    async fn a_file_is_there_when_it_is_finished_and_leaves_nothing_when_it_is_not() {
        let root = std::env::temp_dir().join(format!("waxseal-shelf-{}", std::process::id()));
        let long_ago = OffsetDateTime::UNIX_EPOCH;
        let directory = Directory::open(&root, long_ago).unwrap();
        let mut one = directory.begin("a/one").await.unwrap();
        one.write(b"unfinished").await.unwrap();
        assert!(directory.read("a/one", 0..9).await.is_err());
        drop(one);
        assert_eq!(std::fs::read_dir(root.join("a")).unwrap().count(), 0);

        let mut two = directory.begin("a/two").await.unwrap();
        two.write(&vec![7; 200_000]).await.unwrap();
        two.finish().await.unwrap();
        let found = directory.read("a/two", 100_000..500_000).await.unwrap();
        let pieces: Vec<Bytes> = found.pieces.try_collect().await.unwrap();
        assert_eq!((found.size, pieces.concat()), (200_000, vec![7; 100_000]));

        std::fs::write(root.join("a/two#left"), b"by a process that was killed").unwrap();
        Directory::open(&root, long_ago).unwrap();
        assert!(root.join("a/two#left").exists(), "somebody may still write it");
        Directory::open(&root, OffsetDateTime::UNIX_EPOCH + time::Duration::days(365 * 1000)).unwrap();
        assert!(!root.join("a/two#left").exists() && root.join("a/two").exists());
        directory.remove("a/two").await.unwrap();
        std::fs::remove_dir_all(root).unwrap();
    }
}
