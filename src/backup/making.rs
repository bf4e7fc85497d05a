//! Makes a backup. First the moment of the data, then that of the keys: a key is committed before anything is sealed under it, so
//! that the later moment of the keys has every key of the earlier one of the data, but for those that were destroyed meanwhile.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

use super::archive::{PIECE, Packing, Piece};
use super::manifest::{self, Archive, FILE, FILES, Log, Manifest, SIGNATURE, Table};
use super::{BackupError, LEAST_RECIPIENTS, Tell};
use crate::audit::{Act, Action, Actor, Audit, Object, Statement};
use crate::clock::SharedClock;
use crate::crypto::age::Recipient;
use crate::ids::{MediaId, TenantId};
use crate::media::Shelf;
use crate::store::Store;
use crate::store::dumping::{Dump, Dumped, Side};

/// Whose log signs.
const TENANT: TenantId = TenantId::DEFAULT;
/// Stands before the name of a backup that is not whole.
const UNFINISHED: &str = ".unfinished-";

/// What makes backups.
#[derive(Debug)]
pub struct Making {
    /// Both databases.
    pub store: Store,
    /// Signs, and is told.
    pub audit: Audit,
    /// Where files lie, if they are kept and wanted.
    pub shelf: Option<Shelf>,
    /// When.
    pub clock: SharedClock,
}

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// The data, and the files where there are any.
    pub data: bool,
    /// The keys.
    pub keys: bool,
}

/// What is wanted.
#[derive(Debug)]
pub struct Wanted {
    /// The folder that the backup becomes a folder in.
    pub to: PathBuf,
    /// The same for the archive of the keys; `None`: with the rest.
    pub keys_to: Option<PathBuf>,
    /// Who can open it.
    pub recipients: Vec<Recipient>,
    /// What.
    pub parts: Parts,
    /// How much of what is stored is read in a second; `None`: as much as goes.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// Where.
    pub folder: PathBuf,
    /// Where its keys are, if elsewhere.
    pub keys_folder: Option<PathBuf>,
    /// What is in it.
    pub manifest: Manifest,
}

/// A folder that is removed when it is dropped before it is whole.
struct Unfinished {
    now: PathBuf,
    then: PathBuf,
    is_whole: bool,
}

impl Unfinished {
    fn begin(parent: &Path, name: &str) -> Result<Self, BackupError> {
        let (now, then) = (parent.join(format!("{UNFINISHED}{name}")), parent.join(name));
        std::fs::create_dir_all(parent).map_err(BackupError::file(parent))?;
        DirBuilder::new().mode(0o700).create(&now).map_err(BackupError::file(&now))?;
        Ok(Self { now, then, is_whole: false })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), BackupError> {
        let path = self.now.join(name);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(BackupError::file(&path))
    }

    /// Under its name, and the name on the disk.
    fn finish(mut self) -> Result<PathBuf, BackupError> {
        let sync = |path: &Path| File::open(path)?.sync_all();
        let rename = || {
            sync(&self.now)?;
            std::fs::rename(&self.now, &self.then)?;
            self.then.parent().map_or(Ok(()), sync)
        };
        rename().map_err(BackupError::file(&self.then))?;
        self.is_whole = true;
        Ok(self.then.clone())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_whole {
            let _gone = std::fs::remove_dir_all(&self.now);
        }
    }
}

impl Making {
    /// Makes a backup. It has its name when it is whole and on the disk; whoever is killed before leaves a folder of another name.
    pub async fn make(&self, wanted: &Wanted, tell: Tell<'_>) -> Result<Made, BackupError> {
        let recipients = distinct(&wanted.recipients)?;
        let now = self.clock.now();
        self.note(wanted).await?;
        let name = name(now);
        let folder = Unfinished::begin(&wanted.to, &name)?;
        let apart = wanted.keys_to.as_ref().filter(|_| wanted.parts.keys && wanted.parts.data);
        let keys_folder = apart.map(|parent| Unfinished::begin(parent, &name)).transpose()?;
        let keys_in = keys_folder.as_ref().map_or(&folder.now, |apart| &apart.now);

        let mut data = if wanted.parts.data { Some(self.store.begin_dump(Side::Data).await?) } else { None };
        // Between the two: keys of a backup that says to be younger than the data's are younger.
        let made_at = self.clock.now();
        let mut keys = self.store.begin_dump(Side::Keys).await?;
        let (installation, key_epoch) = keys.installation().await?.ok_or(BackupError::Nothing)?;
        let mut manifest = Manifest {
            waxseal_backup: manifest::VERSION,
            name: name.clone(),
            made_at,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            installation,
            key_epoch,
            data_schema: None,
            key_schema: None,
            transactions: None,
            recipients: recipients.iter().map(ToString::to_string).collect(),
            logs: Vec::new(),
            archives: Vec::new(),
        };
        if wanted.parts.keys {
            manifest.key_schema = Some(keys.moment().await?.schema);
            manifest
                .archives
                .push(tables(&mut keys, Side::Keys, keys_in, (&recipients, now, wanted.bytes_per_second), tell).await?);
        }
        drop(keys);
        if let Some(data) = &mut data {
            let moment = data.moment().await?;
            (manifest.data_schema, manifest.transactions) = (Some(moment.schema), Some(moment.transactions));
            let logs = data.logs().await?.into_iter();
            manifest.logs =
                logs.map(|log| Log { tenant: log.tenant, size: log.size, checkpoint: log.checkpoint }).collect();
            manifest
                .archives
                .push(tables(data, Side::Data, &folder.now, (&recipients, now, wanted.bytes_per_second), tell).await?);
            if let Some(shelf) = &self.shelf {
                manifest
                    .archives
                    .push(files(data, shelf, &folder.now, (&recipients, now, wanted.bytes_per_second), tell).await?);
            }
        }
        drop(data);
        let signed = self.signed(&manifest).await?;
        for folder in keys_folder.iter().chain([&folder]) {
            folder.write(FILE, &signed.0)?;
            folder.write(SIGNATURE, &signed.1)?;
        }
        // The keys first: a backup that has its name has them.
        let keys_folder = keys_folder.map(Unfinished::finish).transpose()?;
        let made = Made { folder: folder.finish()?, keys_folder, manifest };
        // Whoever is killed here has a whole backup of which the log does not know: it does not count, and the next one does.
        self.note_finished(wanted, &made).await?;
        Ok(made)
    }

    async fn note(&self, wanted: &Wanted) -> Result<(), BackupError> {
        let act = Act::new(TENANT, Actor::OPERATOR, Action::BackupMade, Object::several("backup"));
        self.audit.record(act.with(&self.words(wanted))).await?;
        Ok(())
    }

    async fn note_finished(&self, wanted: &Wanted, made: &Made) -> Result<(), BackupError> {
        let mut words = self.words(wanted);
        words.extend(made.keys_folder.as_ref().map(|_| "apart"));
        let act = Act::new(TENANT, Actor::OPERATOR, Action::BackupFinished, Object::several("backup"));
        self.audit.record(act.times(made.manifest.recipients.len()).with(&words)).await?;
        Ok(())
    }

    fn words(&self, wanted: &Wanted) -> Vec<&'static str> {
        let parts = [("data", wanted.parts.data), ("keys", wanted.parts.keys), ("files", self.shelf.is_some())];
        parts.into_iter().filter(|part| part.1).map(|part| part.0).collect()
    }

    /// The manifest, and the note that says its hash.
    async fn signed(&self, manifest: &Manifest) -> Result<(String, String), BackupError> {
        let text =
            serde_json::to_string_pretty(manifest).map_err(|error| BackupError::damaged(Path::new(FILE), &error))?;
        let text = text + "\n";
        let hash = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        let statement = Statement { backup: manifest.name.clone(), manifest: hash };
        let note = self.audit.sign(TENANT, &statement).await?;
        Ok((text, note))
    }
}

fn name(now: OffsetDateTime) -> String {
    let stamp = format_description!("[year][month][day]T[hour][minute][second].[subsecond digits:3]Z");
    // A date of four digits has nothing that formatting could refuse.
    format!("waxseal-{}", now.format(stamp).unwrap_or_default())
}

fn distinct(recipients: &[Recipient]) -> Result<Vec<Recipient>, BackupError> {
    let mut all = recipients.to_vec();
    all.sort();
    all.dedup();
    if all.len() < LEAST_RECIPIENTS { Err(BackupError::FewRecipients) } else { Ok(all) }
}

/// For whom, when, and how fast.
type Envelope<'a> = (&'a [Recipient], OffsetDateTime, Option<NonZeroU64>);

/// The archive of a database.
async fn tables(
    dump: &mut Dump,
    side: Side,
    folder: &Path,
    (recipients, at, pace): Envelope<'_>,
    tell: Tell<'_>,
) -> Result<Archive, BackupError> {
    let file = manifest::archive_of(side);
    let packing = Packing::begin(folder.join(file), recipients.to_vec(), at.unix_timestamp(), pace);
    let wanted = dump.tables.clone();
    let all: u64 = wanted.iter().map(|table| table.size.max(0).unsigned_abs()).sum();
    let (mut tables, mut done, mut result) = (Vec::with_capacity(wanted.len()), 0, Ok(()));
    for table in wanted {
        match one(dump, &packing, &table).await {
            Ok(copied) => {
                done += table.size.max(0).unsigned_abs();
                tell(file, done, all);
                tables.push(copied);
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    let stored = packing.end(result).await?;
    Ok(Archive { file: file.to_owned(), sha256: stored.sha256, bytes: stored.bytes, tables, files: 0 })
}

/// A table, as files of a megabyte or a row: concatenated they are what Postgres's COPY reads.
async fn one(dump: &mut Dump, packing: &Packing, table: &Dumped) -> Result<Table, BackupError> {
    let (mut rows, mut bytes, mut number) = (0_u64, 0, 0);
    let mut held = BytesMut::with_capacity(PIECE);
    let mut copied = dump.rows(table).await?;
    let mut pass_on = async |held: &mut BytesMut| {
        number += 1;
        packing.file(format!("{}/{number:08}", table.name), held.split().freeze()).await
    };
    while let Some(row) = copied.next().await {
        let row = row?;
        rows += 1;
        bytes += row.len() as u64;
        held.extend_from_slice(&row);
        if held.len() >= PIECE {
            pass_on(&mut held).await?;
        }
    }
    if !held.is_empty() {
        pass_on(&mut held).await?;
    }
    let Dumped { name, part_of, columns, .. } = table.clone();
    // The last piece is the end, and no row. A restore counts too.
    Ok(Table { name, part_of, columns, rows: rows.saturating_sub(1), bytes })
}

/// The archive of what lies in the object store, as the rows of the same moment name it.
async fn files(
    dump: &mut Dump,
    shelf: &Shelf,
    folder: &Path,
    (recipients, at, pace): Envelope<'_>,
    tell: Tell<'_>,
) -> Result<Archive, BackupError> {
    let packing = Packing::begin(folder.join(FILES), recipients.to_vec(), at.unix_timestamp(), pace);
    let mut count = 0;
    let result = all_files(dump, shelf, &packing, &mut count, tell).await;
    let stored = packing.end(result).await?;
    Ok(Archive { file: FILES.to_owned(), sha256: stored.sha256, bytes: stored.bytes, tables: Vec::new(), files: count })
}

async fn all_files(
    dump: &mut Dump,
    shelf: &Shelf,
    packing: &Packing,
    count: &mut u64,
    tell: Tell<'_>,
) -> Result<(), BackupError> {
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let page = dump.files(after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = *last;
        for (tenant, media) in page {
            // Deleted since: so it will be after a restore.
            let found = shelf.sealed(TenantId::from_uuid(tenant), MediaId::from_uuid(media)).await?;
            let Some((size, mut pieces)) = found else { continue };
            packing.push(Piece::File { name: format!("{tenant}/{media}"), size }).await?;
            while let Some(piece) = pieces.next().await {
                let piece: Bytes = piece.map_err(crate::media::ShelfError::from)?;
                packing.push(Piece::Bytes(piece)).await?;
            }
            *count += 1;
            tell(FILES, *count, 0);
        }
    }
}
