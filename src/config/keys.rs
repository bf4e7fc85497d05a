//! `[keys]`: where the key tables are, and where the secret above them comes from.

use std::path::PathBuf;
use std::time::Duration;

use super::database::dsn;
use super::kms::KmsSource;
use super::reader::Reader;
use crate::crypto::envelope::Suite;
use crate::secret::Dsn;

/// The key tree's server, secret and cache.
#[derive(Debug, Clone)]
pub struct KeysConfig {
    /// The server of the key tables, if it is another than the data's.
    pub url: Option<Dsn>,
    /// Where the secret at the top of the tree comes from.
    pub kms: KmsSource,
    /// Where the secret came from that wrapped the root share before this one.
    pub previous: Option<Box<KmsSource>>,
    /// The places of the epoch cell, overwritten at each step. They may not exist yet; none: no cell.
    pub cell_files: Vec<PathBuf>,
    /// How many of them give the cell.
    pub cell_needed: u8,
    /// Whether it is another installation's, of which a copy is opened to try it. Not to be configured.
    pub cell_is_foreign: bool,
    /// What records are sealed with, as soon as every process opens it.
    pub suite: Suite,
    /// What was forgotten waits so long at most for a step of the epoch.
    pub epoch_step: Duration,
    /// How long an opened key may be used without asking again.
    pub cache_ttl: Duration,
    /// Opened keys in memory at most.
    pub cache_entries: usize,
}

impl KeysConfig {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let before = reader.faults.len();
        let url = reader.secret("keys.url").and_then(|text| dsn(reader, "keys.url", text));
        let kms = super::kms::sources(reader);
        let cell = cell(reader);
        let epoch_step = reader.number("keys.epoch_step_hours", 1..=720).map(Duration::from_hours);
        let suite = reader.parsed("keys.suite", &Suite::ALL.map(Suite::as_str).join(" or "));
        let cache_ttl = reader.seconds("keys.cache_ttl_seconds", 1..=86_400);
        let cache_entries = reader.number("keys.cache_entries", 100..=10_000_000);
        // An optional key that is faulty reads like one that is absent.
        let sound = reader.faults.len() == before;
        let (cell_files, cell_needed) = cell?;
        let (kms, previous) = kms?;
        let config = Self {
            url,
            kms,
            previous: previous.map(Box::new),
            cell_files,
            cell_needed,
            cell_is_foreign: false,
            suite: suite?,
            epoch_step: epoch_step?,
            cache_ttl: cache_ttl?,
            cache_entries: cache_entries?,
        };
        sound.then_some(config)
    }
}

/// The places of the cell, and how many give it.
fn cell(reader: &mut Reader) -> Option<(Vec<PathBuf>, u8)> {
    let mut places: Vec<PathBuf> = reader.path("keys.cell_file").into_iter().collect();
    let more: Option<Vec<PathBuf>> = reader.list("keys.cell_files", "paths");
    let needed: Option<u8> = reader.number("keys.cell_needed", 0..=16);
    places.extend(more?);
    let all = u8::try_from(places.len()).unwrap_or(u8::MAX);
    let needed = match needed? {
        // Two places are copies of each other; of more, more than half.
        0 if all < 3 => 1,
        0 => all / 2 + 1,
        needed => needed,
    };
    let is_twice = places.iter().enumerate().any(|(at, place)| places.iter().skip(at + 1).any(|other| other == place));
    if all > 16 || is_twice {
        reader.fault("keys.cell_files", "must be at most 16 files, none of them twice");
        return None;
    }
    if needed > all.max(1) || (needed == all && all > 1) {
        reader.fault(
            "keys.cell_needed",
            "must be fewer than there are places, so that one can be lost without everything being lost",
        );
        return None;
    }
    Some((places, needed))
}
