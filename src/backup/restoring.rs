//! Restores a backup into empty databases. Everything is read, hashed and counted before anything is committed; the keys are committed
//! first, and with the data everybody is marked who was forgotten since.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::archive::{Piece, Unpacking};
use super::manifest::{self, Archive, FILES};
use super::{BackupError, Found, Tell};
use crate::clock::SharedClock;
use crate::crypto::age::Identity;
use crate::ids::{MediaId, TenantId};
use crate::media::Shelf;
use crate::store::Store;
use crate::store::dumping::Side;
use crate::store::restoring::Refilling;

/// What restores.
#[derive(Debug)]
pub struct Restoring {
    /// The databases to fill. They are asked as their owner.
    pub store: Store,
    /// Opens the archives.
    pub identities: Arc<[Identity]>,
    /// When.
    pub clock: SharedClock,
}

/// How the databases are filled.
#[derive(Debug, Clone, Copy)]
pub struct Refill {
    /// Both; else the keys that are there stay, and must be of the same installation.
    pub keys: bool,
    /// Whether the server's transactions are counted up to the backup's, for those who go on with it.
    pub counts_up: bool,
    /// Whether all API keys are revoked.
    pub revokes: bool,
}

/// What was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refilled {
    /// Rows of both.
    pub rows: u64,
    /// People who were forgotten since the backup, and have to be forgotten again.
    pub forgotten: usize,
    /// API keys that are valid, and that were revoked with it.
    pub keys: (u64, u64),
}

impl Restoring {
    /// Fills the databases.
    pub async fn fill(&self, found: &Found, refill: Refill, tell: Tell<'_>) -> Result<Refilled, BackupError> {
        let keys = refill.keys;
        let (Some(schema), Some(transactions)) = (found.manifest.data_schema, found.manifest.transactions) else {
            return Err(BackupError::Mismatch("there are no data in this backup, but keys alone"));
        };
        let key_schema = found.keys.key_schema.filter(|_| keys);
        if keys && key_schema.is_none() {
            return Err(BackupError::Mismatch("there are no keys in this backup: name the folder with --keys-from"));
        }
        let knows = |side, version| Store::knows_schema(side, version);
        if !knows(Side::Data, schema) || !key_schema.is_none_or(|version| knows(Side::Keys, version)) {
            return Err(BackupError::Later);
        }
        // Before anything is written: where it is refused, nothing was.
        let mut data = self.store.begin_refill(Side::Data, schema).await?;
        let mut vault = match key_schema {
            Some(version) => self.store.begin_refill(Side::Keys, version).await?,
            None => self.store.present_keys().await?,
        };
        let counting = |done: i64, all: i64| (done.max(0).unsigned_abs(), all.max(0).unsigned_abs());
        let counted = |done, all| {
            let (done, all) = counting(done, all);
            tell("transactions", done, all);
        };
        if refill.counts_up {
            self.store.count_transactions_up(transactions, counted).await?;
        }
        let mut rows = 0;
        if keys {
            rows += self.tables(&mut vault, Side::Keys, found, tell).await?;
        }
        let installation = vault.installation().await?;
        if installation.map(|(id, _)| id) != Some(found.manifest.installation) {
            return Err(BackupError::Mismatch("the keys are of another installation than the data"));
        }
        let forgotten = vault.forgotten().await?;
        rows += self.tables(&mut data, Side::Data, found, tell).await?;
        let now = self.clock.now();
        let forgotten = data.settle(&forgotten, now).await?;
        let revoked = if refill.revokes { data.revoke_api_keys(now).await? } else { 0 };
        let valid = data.valid_api_keys(now).await?;
        vault.commit().await?;
        data.commit().await?;
        self.store.analyse().await?;
        Ok(Refilled { rows, forgotten, keys: (valid, revoked) })
    }

    async fn tables(
        &self,
        into: &mut Refilling,
        side: Side,
        found: &Found,
        tell: Tell<'_>,
    ) -> Result<u64, BackupError> {
        let name = manifest::archive_of(side);
        let (manifest, folder) = match side {
            Side::Data => (&found.manifest, &found.folder),
            Side::Keys => (&found.keys, &found.keys_folder),
        };
        let archive = manifest.archive(name).ok_or(BackupError::Mismatch("an archive is missing"))?;
        let mut unpacking = Unpacking::begin(&folder.join(name), self.identities.clone());
        let filled = fill(&mut unpacking, into, archive, tell).await;
        // Why it broke off is what is to be told: what came of it is less clear.
        match (unpacking.end(&archive.stored()).await, filled) {
            (Err(error), _) if !is_of_the_pipe(&error) => Err(error),
            (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
            (Ok(()), Ok(rows)) => Ok(rows),
        }
    }

    /// Puts files back into the object store whose rows are still there. Returns how many.
    pub async fn files(&self, found: &Found, shelf: &Shelf, tell: Tell<'_>) -> Result<u64, BackupError> {
        let Some(archive) = found.manifest.archive(FILES) else { return Ok(0) };
        let mut unpacking = Unpacking::begin(&found.folder.join(FILES), self.identities.clone());
        let put = self.put_back(&mut unpacking, shelf, archive.files, tell).await;
        match (unpacking.end(&archive.stored()).await, put) {
            (Err(error), _) if !is_of_the_pipe(&error) => Err(error),
            (_, put) => put,
        }
    }

    async fn put_back(
        &self,
        unpacking: &mut Unpacking,
        shelf: &Shelf,
        all: u64,
        tell: Tell<'_>,
    ) -> Result<u64, BackupError> {
        let (mut count, mut seen, mut open) = (0, 0, None);
        while let Some(piece) = unpacking.next().await {
            match piece {
                Piece::File { name, .. } => {
                    finish(&mut open, &mut count).await?;
                    seen += 1;
                    tell(FILES, seen, all);
                    let (tenant, media) = file_of(&name)?;
                    let row = self.store.find_media(tenant, media).await?;
                    if row.is_some_and(|row| row.state == "stored") {
                        open = Some(shelf.put_back(tenant, media).await?);
                    }
                }
                Piece::Bytes(bytes) => {
                    if let Some(file) = &mut open {
                        file.push(&bytes).await?;
                    }
                }
            }
        }
        // A file whose archive was cut is not finished: `end` tells.
        if seen == all {
            finish(&mut open, &mut count).await?;
        }
        Ok(count)
    }
}

async fn finish(open: &mut Option<crate::media::PuttingBack>, count: &mut u64) -> Result<(), BackupError> {
    if let Some(file) = open.take() {
        file.finish().await?;
        *count += 1;
    }
    Ok(())
}

fn file_of(name: &str) -> Result<(TenantId, MediaId), BackupError> {
    let id = |text: &str| text.parse::<Uuid>().ok();
    let read = name.split_once('/').and_then(|(tenant, media)| Some((id(tenant)?, id(media)?)));
    let (tenant, media) = read.ok_or_else(|| BackupError::damaged(Path::new(FILES), "a name in it is none of ours"))?;
    Ok((TenantId::from_uuid(tenant), MediaId::from_uuid(media)))
}

/// Whether an archive was left before its end, by us.
fn is_of_the_pipe(error: &BackupError) -> bool {
    matches!(error, BackupError::Damaged { why, .. } if why.contains("broken pipe"))
}

/// Every table of an archive, in the order of the manifest.
async fn fill(
    unpacking: &mut Unpacking,
    into: &mut Refilling,
    archive: &Archive,
    tell: Tell<'_>,
) -> Result<u64, BackupError> {
    let all: u64 = archive.tables.iter().map(|table| table.bytes).sum();
    let wrong = |what: &str| BackupError::Damaged { file: archive.file.clone(), why: what.to_owned() };
    let (mut rows, mut done, mut piece) = (0, 0, unpacking.next().await);
    for table in &archive.tables {
        let mut filling = into.table(&table.dumped()).await?;
        let mut left = table.bytes;
        while left > 0 {
            match piece.take() {
                Some(Piece::File { name, .. }) if name.split('/').next() == Some(&table.name) => {}
                Some(Piece::Bytes(bytes)) => {
                    let length = bytes.len() as u64;
                    left = left.checked_sub(length).ok_or_else(|| wrong("a table is longer than the manifest says"))?;
                    filling.push(bytes).await?;
                    done += length;
                    tell(&archive.file, done, all);
                }
                Some(Piece::File { .. }) => return Err(wrong("a table is not where the manifest says")),
                None => return Err(wrong("it ends too early")),
            }
            piece = unpacking.next().await;
        }
        filling.end(table.rows).await?;
        rows += table.rows;
    }
    match piece {
        None => Ok(rows),
        Some(_) => Err(wrong("it holds more than the manifest says")),
    }
}
