//! Backups: everything that the two databases and the object store hold, copied at one moment, compressed, encrypted for two
//! recipients or more, and signed. And back again.
//!
//! The data, the files and the keys are an archive each, so that the keys can lie elsewhere. Each is a tar in zstd in age, so that
//! `age -d`, `zstd -d` and `tar` open it without us. The epoch cell and the KMS secret are in none. A manifest lists everything
//! with its hash, and is signed with the key of the audit log. It is written last, and a backup gets its name when it is whole.
//!
//! Nothing readable comes near the disk: what is copied is sealed already, and what is compressed is encrypted in memory.

mod archive;
mod drill;
mod making;
mod manifest;
mod reading;
mod restoring;
mod tar;

pub use drill::Opened;
pub use making::{Made, Making, Parts, Wanted};
pub use manifest::{Archive, Log, Manifest, Table};
pub use reading::{Found, Place};
pub use restoring::{Refill, Refilled, Restoring};

use std::io;
use std::path::Path;

use crate::audit::{AuditError, FoundingError};
use crate::keyring::KeyringError;
use crate::media::ShelfError;
use crate::store::StoreError;
use crate::store::restoring::RefillError;

/// Fewer recipients are refused: one lost key would be a lost backup.
const LEAST_RECIPIENTS: usize = 2;

/// Told how far it has come: what, bytes or steps done, and of how many, as far as that is known.
pub type Tell<'a> = &'a mut (dyn FnMut(&str, u64, u64) + Send);

/// Why there is no backup, or it is not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Too few.
    #[error("a backup needs two recipients or more, so that one lost key does not lose it")]
    FewRecipients,
    /// A file or folder.
    #[error("{file}: {source}")]
    File {
        /// Its name.
        file: String,
        /// The system's reason, or that of what reads it.
        source: io::Error,
    },
    /// Not what was signed.
    #[error("{file}: {why}")]
    Damaged {
        /// Its name.
        file: String,
        /// What is the matter.
        why: String,
    },
    /// A manifest of a later release.
    #[error("this backup is of a later release: restore it with that one")]
    Later,
    /// The parts do not belong together.
    #[error("{0}")]
    Mismatch(&'static str),
    /// There is no installation.
    #[error("there is no key tree yet, and nothing to back up")]
    Nothing,
    /// A file could not be read from the object store or put there.
    #[error("a file of the object store could not be copied")]
    Shelf(#[from] ShelfError),
    /// Tables could not be filled.
    #[error(transparent)]
    Refill(#[from] RefillError),
    /// The database.
    #[error("the database could not be read")]
    Store(#[from] StoreError),
    /// The key that signs.
    #[error("the manifest could not be signed")]
    Signer(#[from] FoundingError),
    /// The entry.
    #[error("the audit log could not be written")]
    Audit(#[from] AuditError),
    /// The keys.
    #[error("a key could not be read")]
    Keys(#[from] KeyringError),
    /// A thread of ours died.
    #[error("it was broken off")]
    BrokenOff,
}

impl BackupError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let file = path.display().to_string();
        move |source| Self::File { file, source }
    }

    fn damaged(path: &Path, why: &(impl ToString + ?Sized)) -> Self {
        Self::Damaged { file: path.display().to_string(), why: why.to_string() }
    }
}
