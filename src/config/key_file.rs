//! Reads key material from a file, and refuses a file that others could read or replace.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::placeholder::looks_like_an_example;

/// Why a key file is not used. Says nothing of what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Nothing is there.
    #[error("the key file does not exist")]
    Missing,
    /// It is a folder, a pipe or a device.
    #[error("the key file is not a regular file")]
    NotRegular,
    /// Group or others have access.
    #[error("the key file has mode {mode:04o}; only its owner may have access (chmod 600)")]
    TooOpen {
        /// The permission bits found.
        mode: u32,
    },
    /// Somebody else could replace it.
    #[error("the key file belongs to user {owner}; it must belong to root or to the user that runs Waxseal")]
    ForeignOwner {
        /// The user id found.
        owner: u32,
    },
    /// It does not hold 64 hex digits.
    #[error("the key is not 64 hex digits")]
    NotHex,
    /// It holds one digit 64 times, or suchlike.
    #[error("the key is an example, not random; make one with `openssl rand -hex 32`")]
    Example,
    /// The system refused.
    #[error("the key file cannot be read")]
    Unreadable(#[source] io::Error),
}

/// Reads 64 hex digits from a regular file that is its owner's alone, the owner being root or the running user.
/// Symbolic links are followed: the checks are made on the file that was opened, so it cannot be swapped in between.
pub fn read_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    match read_private_file(path, 128) {
        Ok(text) => decode(&text),
        Err(KeyFileError::Unreadable(fault)) if fault.kind() == io::ErrorKind::InvalidData => Err(KeyFileError::NotHex),
        Err(fault) => Err(fault),
    }
}

/// Reads at most `longest` bytes of text from a file under the same rules. What is not UTF-8 is unreadable.
pub(super) fn read_private_file(path: &Path, longest: u64) -> Result<Zeroizing<String>, KeyFileError> {
    let file = open(path)?;
    guard(&file)?;
    // Made as long as it may become: a text that grew would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(longest).unwrap_or_default()));
    file.take(longest).read_to_string(&mut text).map_err(KeyFileError::Unreadable)?;
    Ok(text)
}

/// Opens a key file for reading and overwriting in place, under the same rules.
pub fn open_key_file(path: &Path) -> Result<File, KeyFileError> {
    let file = open_with(path, OpenOptions::new().read(true).write(true))?;
    guard(&file)?;
    Ok(file)
}

/// Makes an empty key file that is its owner's alone, in a folder that is there.
pub fn create_key_file(path: &Path) -> Result<File, KeyFileError> {
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    made.map_err(KeyFileError::Unreadable)
}

/// Decodes 64 hex digits, whitespace around them ignored.
pub fn decode(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let digits = text.trim().as_bytes();
    let mut key = Zeroizing::new([0; 32]);
    if digits.len() != 64 {
        return Err(KeyFileError::NotHex);
    }
    HEXLOWER_PERMISSIVE.decode_mut(digits, key.as_mut_slice()).map_err(|_| KeyFileError::NotHex)?;
    if looks_like_an_example(text) {
        return Err(KeyFileError::Example);
    }
    Ok(key)
}

fn open(path: &Path) -> Result<File, KeyFileError> {
    open_with(path, OpenOptions::new().read(true))
}

fn open_with(path: &Path, options: &mut OpenOptions) -> Result<File, KeyFileError> {
    // Without NONBLOCK, opening a pipe would wait for its writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    options.custom_flags(flags).open(path).map_err(|fault| match fault.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing,
        _ => KeyFileError::Unreadable(fault),
    })
}

fn guard(file: &File) -> Result<(), KeyFileError> {
    let about = file.metadata().map_err(KeyFileError::Unreadable)?;
    let mode = about.mode() & 0o7777;
    let running = rustix::process::geteuid().as_raw();
    if !about.is_file() {
        return Err(KeyFileError::NotRegular);
    }
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooOpen { mode });
    }
    if about.uid() != 0 && about.uid() != running {
        return Err(KeyFileError::ForeignOwner { owner: about.uid() });
    }
    Ok(())
}
