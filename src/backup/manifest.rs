//! The list of what is in a backup. Readable, without anything about anybody: names of tables, how many rows, hashes.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::archive::Stored;
use crate::store::dumping::{Dumped, Side};

/// The form of this release.
pub(super) const VERSION: u32 = 1;
/// Its file.
pub(super) const FILE: &str = "manifest.json";
/// The file of the signed note that says its hash.
pub(super) const SIGNATURE: &str = "manifest.sig";
/// The archive of the data.
pub(super) const DATA: &str = "data.tar.zst.age";
/// The archive of the keys.
pub(super) const KEYS: &str = "keys.tar.zst.age";
/// The archive of what lies in the object store.
pub(super) const FILES: &str = "files.tar.zst.age";

/// What is in a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Form of the manifest.
    pub waxseal_backup: u32,
    /// Its name, which is that of its folder.
    pub name: String,
    /// The moment that it shows.
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    /// The release that made it.
    pub release: String,
    /// Whose it is.
    pub installation: Uuid,
    /// Of the keys that were in force.
    pub key_epoch: i64,
    /// The newest migration of the data, where they are in it.
    pub data_schema: Option<i64>,
    /// The newest migration of the keys, where they are in it.
    pub key_schema: Option<i64>,
    /// No transaction of the database from this number on is in it.
    pub transactions: Option<i64>,
    /// Who can open it.
    pub recipients: Vec<String>,
    /// The audit logs as they stood.
    pub logs: Vec<Log>,
    /// The archives.
    pub archives: Vec<Archive>,
}

/// An audit log as it stood.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Log {
    /// Whose.
    pub tenant: Uuid,
    /// Entries in its tree.
    pub size: i64,
    /// The newest checkpoint.
    pub checkpoint: Option<String>,
}

/// An archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Archive {
    /// Its file.
    pub file: String,
    /// SHA-256 of the file in hexadecimal.
    pub sha256: String,
    /// Length of the file.
    pub bytes: u64,
    /// Tables, in the order of the archive.
    pub tables: Vec<Table>,
    /// Files of the object store.
    pub files: u64,
}

/// A table, or a day of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The table that it is a day of.
    pub part_of: Option<String>,
    /// Its columns, in the order in which they were copied.
    pub columns: Vec<String>,
    /// How many rows.
    pub rows: u64,
    /// How many bytes, as Postgres gave them.
    pub bytes: u64,
}

impl Manifest {
    /// The archive with this file.
    pub(super) fn archive(&self, file: &str) -> Option<&Archive> {
        self.archives.iter().find(|archive| archive.file == file)
    }

    /// Rows in all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.archives.iter().flat_map(|archive| &archive.tables).map(|table| table.rows).sum()
    }

    /// Files of the object store.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.archives.iter().map(|archive| archive.files).sum()
    }
}

impl Archive {
    pub(super) fn stored(&self) -> Stored {
        Stored { sha256: self.sha256.clone(), bytes: self.bytes }
    }
}

impl Table {
    pub(super) fn dumped(&self) -> Dumped {
        let Self { name, part_of, columns, .. } = self.clone();
        Dumped { name, part_of, columns, size: 0 }
    }
}

/// The archive of a database.
pub(super) const fn archive_of(side: Side) -> &'static str {
    match side {
        Side::Data => DATA,
        Side::Keys => KEYS,
    }
}
