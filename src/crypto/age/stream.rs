//! The content of a file of age: chunks of 64 KiB, numbered, the last one marked, so that none can be changed, moved or cut off.

use std::io::{self, BufRead, BufReader, Read, Write};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::header::{self, FileKey};
use super::{AgeError, Identity, Lock, Recipient};
use crate::crypto::random;

const CHUNK: usize = 64 * 1024;
const TAG: usize = 16;
const NONCE: usize = 16;

/// Numbers the chunks under one key.
struct Chunks {
    key: LessSafeKey,
    next: u64,
}

impl Chunks {
    fn new(file_key: &FileKey, nonce: &[u8]) -> Result<Self, AgeError> {
        let key = header::derive(file_key.as_slice(), nonce, b"payload")?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice()).map_err(|_| AgeError::Key)?;
        Ok(Self { key: LessSafeKey::new(key), next: 0 })
    }

    /// Eleven bytes of the number, and whether it is the last.
    fn nonce(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; 12];
        let number = self.next.to_be_bytes();
        nonce.iter_mut().skip(3).zip(number).for_each(|(to, from)| *to = from);
        if let Some(last) = nonce.last_mut() {
            *last = u8::from(is_last);
        }
        self.next += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&mut self, chunk: &mut Vec<u8>, is_last: bool) -> io::Result<()> {
        let nonce = self.nonce(is_last);
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::empty(), chunk);
        sealed.map_err(|_| io::Error::other(AgeError::Key))
    }

    fn open(&mut self, chunk: &mut Vec<u8>, is_last: bool) -> io::Result<()> {
        let nonce = self.nonce(is_last);
        let length = self.key.open_in_place(nonce, Aad::empty(), chunk).map_err(|_| changed())?.len();
        chunk.truncate(length);
        Ok(())
    }
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the content was changed or cut")
}

/// Encrypts what is written to it. Nothing is whole before [`Writer::finish`].
pub struct Writer<W: Write> {
    to: W,
    chunks: Chunks,
    chunk: Zeroizing<Vec<u8>>,
    /// Set when a chunk was lost on its way: what comes after it would be a file with a hole.
    is_broken: bool,
}

impl<W: Write> Writer<W> {
    /// Begins a file that each of the recipients can open.
    pub fn new(to: W, recipients: &[Recipient]) -> io::Result<Self> {
        let file_key = Zeroizing::new(random::bytes());
        let stanzas = header::stanzas(&file_key, recipients).map_err(io::Error::other)?;
        Self::begin(to, &file_key, &stanzas)
    }

    /// Begins a file that the passphrase of the lock opens, and nothing else. A file that is begun anew with the same lock has another key for its
    /// content all the same.
    pub fn locked(to: W, lock: &Lock) -> io::Result<Self> {
        Self::begin(to, &lock.file_key, &lock.stanza)
    }

    fn begin(mut to: W, file_key: &FileKey, stanzas: &str) -> io::Result<Self> {
        let nonce = random::bytes::<NONCE>();
        to.write_all(header::write(file_key, stanzas).map_err(io::Error::other)?.as_bytes())?;
        to.write_all(&nonce)?;
        let chunks = Chunks::new(file_key, &nonce).map_err(io::Error::other)?;
        Ok(Self { to, chunks, chunk: Zeroizing::new(Vec::with_capacity(CHUNK + TAG)), is_broken: false })
    }

    fn pass_on(&mut self, is_last: bool) -> io::Result<()> {
        if self.is_broken {
            return Err(changed());
        }
        let passed = self.chunks.seal(&mut self.chunk, is_last).and_then(|()| self.to.write_all(&self.chunk));
        self.chunk.clear();
        self.is_broken = passed.is_err();
        passed
    }

    /// Writes the last chunk.
    pub fn finish(mut self) -> io::Result<W> {
        self.pass_on(true)?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_broken {
            return Err(changed());
        }
        // A full chunk goes when more comes: the last one may be full.
        if self.chunk.len() == CHUNK && !bytes.is_empty() {
            self.pass_on(false)?;
        }
        let taken = bytes.get(..bytes.len().min(CHUNK - self.chunk.len())).unwrap_or_default();
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Decrypts a file. Its end is an error where the file was cut.
pub struct Reader<R: Read> {
    from: BufReader<R>,
    chunks: Chunks,
    /// What was opened, and nothing that was not.
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    is_over: bool,
    /// Set when a chunk did not open: what comes behind it is not given out either.
    is_broken: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header, and finds the file key by one of the identities.
    pub fn new(from: R, identities: &[Identity]) -> io::Result<Self> {
        let mut from = BufReader::with_capacity(CHUNK + TAG, from);
        let file_key = header::read(&mut from, identities)?;
        let mut nonce = [0; NONCE];
        from.read_exact(&mut nonce).map_err(|_| changed())?;
        let chunks = Chunks::new(&file_key, &nonce).map_err(io::Error::other)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK + TAG));
        Ok(Self { from, chunks, chunk, at: 0, is_over: false, is_broken: false })
    }

    /// Reads the next chunk. Where that fails nothing of it is there, and who asks again is refused again.
    fn refill(&mut self) -> io::Result<()> {
        if self.is_broken {
            return Err(changed());
        }
        let refilled = self.next_chunk();
        if refilled.is_err() {
            self.chunk.clear();
            (self.is_broken, self.is_over) = (true, false);
        }
        refilled
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        self.chunk.clear();
        self.at = 0;
        (&mut self.from).take((CHUNK + TAG) as u64).read_to_end(&mut self.chunk)?;
        self.is_over = self.from.fill_buf()?.is_empty();
        let is_first = self.chunks.next == 0;
        self.chunks.open(&mut self.chunk, self.is_over)?;
        // Only a file without content ends with an empty chunk.
        if self.chunk.is_empty() && !is_first { Err(changed()) } else { Ok(()) }
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() && !self.is_over {
            self.refill()?;
        }
        let rest = self.chunk.get(self.at..).unwrap_or_default();
        let taken = rest.len().min(to.len());
        if let (Some(to), Some(from)) = (to.get_mut(..taken), rest.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.at += taken;
        Ok(taken)
    }
}
