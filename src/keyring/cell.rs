//! The epoch cell: shares of 32 bytes in files, which a step overwrites in place and which are in no backup. Everything here waits for
//! disks; it is called where waiting is allowed.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::{KeyFileError, create_key_file, decode, open_key_file};
use crate::crypto::cell::{PLACE, SLOT, Share, Slot};
use crate::crypto::keys::KeyBytes;
use crate::crypto::{random, sharing};

/// How long another process may hold a place: a step writes for some hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Where the shares of the cell are, and how many give it.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// A file each.
    places: Arc<[PathBuf]>,
    needed: u8,
    is_foreign: bool,
}

/// What is the matter with a place.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceFault {
    #[error("{0}")]
    File(#[from] KeyFileError),
    #[error("it cannot be read or written")]
    Io(#[from] io::Error),
    #[error("it holds the cell of another installation")]
    Foreign,
    #[error("another process holds it")]
    Held,
    #[error("it holds no share of the epoch in force")]
    Stale,
}

/// How the places stand.
#[derive(Debug, Clone, Default)]
pub struct CellState {
    /// Each place, and what is the matter with it; nothing when it holds its share.
    pub places: Vec<(PathBuf, Option<String>)>,
    /// How many are needed now.
    pub needed: usize,
    /// Whether a step was broken off and left something.
    pub(super) has_leftovers: bool,
}

impl CellState {
    /// Places that hold their share.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.places.iter().filter(|(_, fault)| fault.is_none()).count()
    }

    /// Whether a place still holds a share of an epoch that is not in force.
    #[must_use]
    pub const fn has_leftovers(&self) -> bool {
        self.has_leftovers
    }

    /// Whether every place holds its share.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole() == self.places.len()
    }
}

impl Cell {
    /// The newest epoch of which a place holds a share of this installation's cell, where none holds one of `epoch`: a step that was broken
    /// off leaves shares of the next beside those in force. Waits for disks.
    #[must_use]
    pub fn knows_only(&self, installation: Uuid, epoch: i64) -> Option<i64> {
        let slots: Vec<Slot> = self.read().into_iter().flatten().flatten().collect();
        if slots.iter().any(|slot| is_of(slot, installation, epoch)) {
            return None;
        }
        slots.iter().filter(|slot| slot.installation == installation).map(|slot| slot.epoch).max()
    }

    /// A cell in these places, of which `needed` give it. No places: no cell.
    #[must_use]
    pub fn new(places: Vec<PathBuf>, needed: u8) -> Self {
        Self { places: places.into(), needed, is_foreign: false }
    }

    /// The cell of another installation than the one that is opened, of which that one is a copy: it is read, and never written or
    /// overwritten, whatever the copy takes for left over.
    #[must_use]
    pub fn of_another(self, is_foreign: bool) -> Self {
        Self { is_foreign, ..self }
    }

    /// Whether it may be written.
    pub(super) const fn is_ours(&self) -> bool {
        !self.is_foreign
    }

    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    pub(super) const fn needed(&self) -> u8 {
        self.needed
    }

    /// How many places a step must have written before it may count. One more than are needed, so that one can be lost afterwards; and so
    /// many that those which were not written, and still hold the share of before, do not give the old cell.
    pub(super) fn least(&self) -> usize {
        let (all, needed) = (self.places.len(), usize::from(self.needed));
        all.min(needed + 1).max(all + 1 - needed.min(all))
    }

    /// All shares that the places hold, whatever their epoch.
    pub(super) fn read(&self) -> Vec<Result<Vec<Slot>, PlaceFault>> {
        self.places
            .iter()
            .map(|path| open_key_file(path, false).map_err(PlaceFault::from).and_then(|file| slots(&file)))
            .collect()
    }

    /// How each place stands, for the epoch in force.
    pub(super) fn inspect(&self, installation: Uuid, epoch: i64) -> CellState {
        let read = self.read();
        let mut sets: Vec<(u64, usize)> = Vec::new();
        for slot in read.iter().flatten().flatten().filter(|slot| is_of(slot, installation, epoch)) {
            match sets.iter_mut().find(|(set, _)| *set == slot.set) {
                Some((_, count)) => *count += 1,
                None => sets.push((slot.set, 1)),
            }
        }
        let current = sets.iter().max_by_key(|(_, count)| *count).map(|(set, _)| *set);
        let is_current = |slot: &Slot| is_of(slot, installation, epoch) && Some(slot.set) == current;
        let needed =
            read.iter().flatten().flatten().find(|slot| is_current(slot)).map_or(self.needed, |one| one.needed);
        let has_leftovers =
            read.iter().flatten().flatten().any(|slot| is_ours(slot, installation) && slot.epoch != epoch);
        let fault = |read: &Result<Vec<Slot>, PlaceFault>| match read {
            Err(fault) => Some(fault.to_string()),
            Ok(slots) if slots.iter().any(is_current) => None,
            Ok(slots) if slots.iter().any(|slot| !is_ours(slot, installation)) => Some(PlaceFault::Foreign.to_string()),
            Ok(_) => Some(PlaceFault::Stale.to_string()),
        };
        let places = self.places.iter().cloned().zip(read.iter().map(fault)).collect();
        CellState { places, needed: needed.into(), has_leftovers }
    }

    /// Holds every place that can be had; `make`: those files that are not there are made.
    pub(super) fn hold(&self, make: bool) -> HeldCell {
        let deadline = Instant::now() + PATIENCE;
        let places = if self.is_foreign { &[][..] } else { &*self.places };
        HeldCell { files: places.iter().map(|path| hold(path, make, deadline)).collect(), needed: self.needed }
    }
}

/// Whether a slot may be of this installation: a plain file does not say.
fn is_ours(slot: &Slot, installation: Uuid) -> bool {
    slot.installation == installation || slot.installation.is_nil()
}

pub(super) fn is_of(slot: &Slot, installation: Uuid, epoch: i64) -> bool {
    is_ours(slot, installation) && slot.epoch == epoch
}

/// The places, locked against other processes until this is dropped.
pub(super) struct HeldCell {
    files: Vec<Result<File, PlaceFault>>,
    needed: u8,
}

impl std::fmt::Debug for HeldCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldCell(…)")
    }
}

impl HeldCell {
    /// Shares the cell of `epoch` out, beside what is in force. Returns how many places have their share now. A place that holds another
    /// installation's cell is left alone.
    pub(super) fn write(&mut self, cell: &KeyBytes, installation: Uuid, epoch: i64) -> usize {
        let set = u64::from_be_bytes(random::bytes());
        let all = u8::try_from(self.files.len()).unwrap_or(u8::MAX);
        let shares = sharing::split(cell, self.needed, all);
        for ((file, share), number) in self.files.iter_mut().zip(shares).zip(1..) {
            let slot = Slot { installation, epoch, set, needed: self.needed, places: all, number, share: Share(share) };
            if let Ok(open) = file
                && let Err(fault) = put(open, &slot)
            {
                *file = Err(fault);
            }
        }
        self.files.iter().filter(|file| file.is_ok()).count()
    }

    /// Overwrites the shares of every other epoch than the one in force: those of before, and those of one that did not come to be. The
    /// caller has opened the root of this epoch, and holds the installation.
    pub(super) fn scrub(&mut self, installation: Uuid, epoch: i64) {
        for file in self.files.iter().flatten() {
            if let Err(fault) = scrub(file, installation, epoch) {
                tracing::error!(%fault, "a share of the epoch cell that is no longer needed could not be overwritten");
            }
        }
    }

    /// What is the matter with the places that could not be had or written.
    pub(super) fn faults(&self) -> impl Iterator<Item = (usize, &PlaceFault)> {
        self.files.iter().enumerate().filter_map(|(place, file)| Some((place, file.as_ref().err()?)))
    }
}

fn hold(path: &Path, make: bool, deadline: Instant) -> Result<File, PlaceFault> {
    let file = match open_key_file(path, true) {
        Err(KeyFileError::Missing) if make => create(path)?,
        result => result?,
    };
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Err(PlaceFault::Held),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Not the folder: what is missing there may be a disk that was not mounted.
fn create(path: &Path) -> Result<File, PlaceFault> {
    let file = match create_key_file(path) {
        Err(KeyFileError::Unreadable(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
            open_key_file(path, true)?
        }
        result => result?,
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// The shares that a place holds. What is neither a share nor blank counts as none.
fn slots(file: &File) -> Result<Vec<Slot>, PlaceFault> {
    // Made as long as it may become: what grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(PLACE as usize + 1));
    let mut from_start = file;
    io::Seek::seek(&mut from_start, io::SeekFrom::Start(0))?;
    from_start.take(PLACE).read_to_end(&mut bytes)?;
    let at = |offset: u64| bytes.get(offset as usize..).unwrap_or_default();
    let mut found: Vec<Slot> = [0, SLOT].into_iter().filter_map(|offset| Slot::decode(at(offset))).collect();
    found.extend(plain(&bytes));
    Ok(found)
}

/// A cell of earlier releases: 64 hex digits at the beginning of the file.
fn plain(bytes: &[u8]) -> Option<Slot> {
    let first = bytes.get(..bytes.len().min(SLOT as usize))?;
    let end = first.iter().rposition(|byte| *byte != 0)?;
    let text = std::str::from_utf8(first.get(..=end)?).ok()?;
    decode(text).ok().map(Slot::plain)
}

fn put(file: &File, slot: &Slot) -> Result<(), PlaceFault> {
    let foreign = slots(file)?.iter().any(|one| !is_ours(one, slot.installation));
    if foreign {
        return Err(PlaceFault::Foreign);
    }
    if file.metadata()?.len() < PLACE {
        file.set_len(PLACE)?;
    }
    file.write_all_at(&slot.encode(), Slot::offset(slot.epoch))?;
    file.sync_all()?;
    // As the next start will read it.
    let is_there = |one: &Slot| (one.epoch, one.set, &one.share.0) == (slot.epoch, slot.set, &slot.share.0);
    if slots(file)?.iter().any(is_there) { Ok(()) } else { Err(PlaceFault::Stale) }
}

fn scrub(file: &File, installation: Uuid, epoch: i64) -> Result<(), PlaceFault> {
    for stale in slots(file)?.iter().filter(|slot| is_ours(slot, installation) && slot.epoch != epoch) {
        erase(file, Slot::offset(stale.epoch))?;
    }
    Ok(())
}

/// First with random bytes, then with zeros: what is blank is told apart from what is damaged.
fn erase(file: &File, offset: u64) -> Result<(), PlaceFault> {
    file.write_all_at(&random::bytes::<{ SLOT as usize }>(), offset)?;
    file.sync_all()?;
    file.write_all_at(&[0; SLOT as usize], offset)?;
    file.sync_all()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_was_broken_off_takes_nothing_from_the_epoch_in_force() {
        let folder = std::env::temp_dir().join(format!("waxseal-cell-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let places: Vec<PathBuf> = (0..3).map(|number| folder.join(format!("cell{number}"))).collect();
        let (cell, installation) = (Cell::new(places, 2), Uuid::from_u128(1));
        assert_eq!(cell.knows_only(installation, 1), None, "there is none");
        let write = |epoch| {
            let mut held = cell.hold(true);
            assert_eq!(held.write(&KeyBytes::new([7; 32]), installation, epoch), 3);
        };
        write(1);
        write(2);
        assert_eq!((cell.knows_only(installation, 1), cell.knows_only(installation, 2)), (None, None));
        cell.hold(false).scrub(installation, 2);
        assert_eq!((cell.knows_only(installation, 1), cell.knows_only(installation, 2)), (Some(2), None));
        assert_eq!(cell.knows_only(Uuid::from_u128(2), 1), None, "of another installation");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
