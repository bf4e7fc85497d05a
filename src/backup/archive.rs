//! One archive, written and read piece by piece: tar, zstd, age, and a hash over what lies on the disk. The work is done on a thread of
//! its own, a few pieces ahead of what brings or takes them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use zstd::stream::{read::Decoder, write::Encoder};

use super::BackupError;
use super::tar::{self, BLOCK, Header};
use crate::crypto::age::{Identity, Reader, Recipient, Writer};

/// Content is passed on in pieces of about this size.
pub(super) const PIECE: usize = 1 << 20;
/// Pieces that wait.
const WAITING: usize = 4;
/// One of the fast levels of zstd: what is sealed does not shrink, and the rest shrinks well at any.
const LEVEL: i32 = -3;

/// A piece of an archive.
#[derive(Debug)]
pub(super) enum Piece {
    /// A file begins.
    File {
        /// Its name.
        name: String,
        /// Its bytes.
        size: u64,
    },
    /// Bytes of it.
    Bytes(Bytes),
}

/// What lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// Its SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// Its length.
    pub(super) bytes: u64,
}

/// Hashes what passes.
struct Hashing<T> {
    file: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    fn new(file: T) -> Self {
        Self { file, hash: Sha256::new(), bytes: 0 }
    }

    fn note(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn stored(self) -> (T, Stored) {
        (self.file, Stored { sha256: HEXLOWER.encode(&self.hash.finalize()), bytes: self.bytes })
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.note(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(to)?;
        self.note(to.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// How fast an archive is written, so that whoever else works with the database can go on.
#[derive(Debug)]
struct Pace {
    began: Instant,
    /// `None`: as fast as it goes.
    bytes_per_second: Option<NonZeroU64>,
    passed: AtomicU64,
}

impl Pace {
    /// Waits until so many more bytes may have passed.
    async fn keep(&self, bytes: usize) {
        let Some(per_second) = self.bytes_per_second else { return };
        let passed = self.passed.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        sleep_until(self.began + Duration::from_secs_f64(passed as f64 / per_second.get() as f64)).await;
    }
}

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Packing {
    to: mpsc::Sender<Piece>,
    pace: Pace,
    done: JoinHandle<Result<Stored, BackupError>>,
}

impl Packing {
    /// Begins a file that is not there yet.
    pub(super) fn begin(
        path: PathBuf,
        recipients: Vec<Recipient>,
        at: i64,
        bytes_per_second: Option<NonZeroU64>,
    ) -> Self {
        let (to, pieces) = mpsc::channel(WAITING);
        let done =
            tokio::task::spawn_blocking(move || pack(&path, &recipients, at, pieces).map_err(BackupError::file(&path)));
        let pace = Pace { began: Instant::now(), bytes_per_second, passed: AtomicU64::new(0) };
        Self { to, pace, done }
    }

    pub(super) async fn push(&self, piece: Piece) -> Result<(), BackupError> {
        if let Piece::Bytes(bytes) = &piece {
            self.pace.keep(bytes.len()).await;
        }
        self.to.send(piece).await.map_err(|_| BackupError::BrokenOff)
    }

    /// A file that is in memory.
    pub(super) async fn file(&self, name: String, content: Bytes) -> Result<(), BackupError> {
        self.push(Piece::File { name, size: content.len() as u64 }).await?;
        self.push(Piece::Bytes(content)).await
    }

    /// All of it is on the disk when this returns. What went wrong on the thread is told here.
    pub(super) async fn end(self, brought: Result<(), BackupError>) -> Result<Stored, BackupError> {
        drop(self.to);
        let written = self.done.await.map_err(|_| BackupError::BrokenOff)?;
        match brought {
            Err(BackupError::BrokenOff) | Ok(()) => written,
            Err(error) => Err(error),
        }
    }
}

fn pack(path: &Path, recipients: &[Recipient], at: i64, mut pieces: mpsc::Receiver<Piece>) -> io::Result<Stored> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut to = Encoder::new(Writer::new(Hashing::new(Settling { file, waiting: 0 }), recipients)?, LEVEL)?;
    to.include_checksum(true)?;
    let (mut padding, mut rest) = (0, 0);
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::File { name, size } => {
                whole(rest)?;
                to.write_all(&vec![0; padding])?;
                to.write_all(&tar::header(&name, size, at).ok_or(io::ErrorKind::InvalidInput)?)?;
                (padding, rest) = (tar::padding(size), size);
            }
            Piece::Bytes(bytes) => {
                rest = rest.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
                to.write_all(&bytes)?;
            }
        }
    }
    whole(rest)?;
    to.write_all(&vec![0; padding + 2 * BLOCK])?;
    let (settling, stored) = to.finish()?.finish()?.stored();
    settling.file.sync_all()?;
    Ok(stored)
}

/// So many bytes wait in memory for the disk at most, since Postgres's next commit may have to wait for them too (ext4 writes what is
/// new in any file before it ends a transaction of its journal).
const UNSETTLED: usize = 4 << 20;

/// A file that is brought to the disk bit by bit.
struct Settling {
    file: File,
    waiting: usize,
}

impl Write for Settling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.waiting += written;
        if self.waiting >= UNSETTLED {
            self.file.sync_data()?;
            self.waiting = 0;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn whole(rest: u64) -> io::Result<()> {
    if rest == 0 { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// An archive that is being read.
#[derive(Debug)]
pub(super) struct Unpacking {
    from: mpsc::Receiver<Piece>,
    done: JoinHandle<io::Result<Stored>>,
    path: PathBuf,
}

impl Unpacking {
    /// Begins to read. What comes may be used when [`Unpacking::end`] has found all of it whole, and not before.
    pub(super) fn begin(path: &Path, identities: std::sync::Arc<[Identity]>) -> Self {
        let (to, from) = mpsc::channel(WAITING);
        let file = path.to_owned();
        let done = tokio::task::spawn_blocking(move || unpack(&file, &identities, &to));
        Self { from, done, path: path.to_owned() }
    }

    /// The next piece; `None` at the end, and where it broke off.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        self.from.recv().await
    }

    /// Whether all of it was read and was what it should be.
    pub(super) async fn end(mut self, expected: &Stored) -> Result<(), BackupError> {
        while self.from.recv().await.is_some() {}
        let result = self.done.await.map_err(|_| BackupError::BrokenOff)?;
        let stored = result.map_err(|error| BackupError::damaged(&self.path, &error))?;
        if stored == *expected { Ok(()) } else { Err(BackupError::damaged(&self.path, "it is not what was signed")) }
    }
}

fn unpack(path: &Path, identities: &[Identity], to: &mpsc::Sender<Piece>) -> io::Result<Stored> {
    let mut hashing = Hashing::new(File::open(path)?);
    let broken = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    {
        let mut from = Decoder::new(Reader::new(&mut hashing, identities)?)?;
        loop {
            let mut block = [0; BLOCK];
            from.read_exact(&mut block)?;
            let invalid = || io::Error::new(io::ErrorKind::InvalidData, "there is no file where one should begin");
            let Header::File { name, size } = tar::parse(&block).ok_or_else(invalid)? else { break };
            to.blocking_send(Piece::File { name, size }).map_err(broken)?;
            let mut rest = size;
            while rest > 0 {
                let mut piece = BytesMut::zeroed(usize::try_from(rest).unwrap_or(PIECE).min(PIECE));
                from.read_exact(&mut piece)?;
                rest -= piece.len() as u64;
                to.blocking_send(Piece::Bytes(piece.freeze())).map_err(broken)?;
            }
            from.read_exact(&mut vec![0; tar::padding(size)])?;
        }
        // To its end, where the last chunk says that nothing was cut off.
        io::copy(&mut from, &mut io::sink())?;
    }
    Ok(hashing.stored().1)
}

/// What lies on the disk, as far as it can be known without opening it. Waits for the disk.
pub(super) fn stored(path: &Path, mut tell: impl FnMut(u64)) -> io::Result<Stored> {
    let mut hashing = Hashing::new(File::open(path)?);
    let mut buffer = vec![0; PIECE];
    loop {
        let read = hashing.read(&mut buffer)?;
        if read == 0 {
            return Ok(hashing.stored().1);
        }
        tell(hashing.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_bytes_pass_than_the_pace_lets_and_without_one_nothing_waits() {
        let pace = |bytes_per_second| Pace { began: Instant::now(), bytes_per_second, passed: AtomicU64::new(0) };
        let (slow, free) = (pace(NonZeroU64::new(1_000)), pace(None));
        for half_seconds in 1..=4 {
            slow.keep(500).await;
            assert!(slow.began.elapsed() >= Duration::from_millis(500) * half_seconds);
        }
        let now = Instant::now();
        free.keep(usize::MAX).await;
        assert_eq!(Instant::now(), now);
    }
}
