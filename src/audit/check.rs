//! The stored log against itself: every entry, leaf, tile, bundle and checkpoint must be of the one tree that the newest checkpoint
//! signs. What is believed is the sealed key alone, so that whoever can write to the database, and has no keys, changes nothing
//! unnoticed that is in the tree.

use std::fmt;

use uuid::Uuid;

use super::encoding;
use super::entry::{Entry, SALT, commitment};
use super::founding::FoundingError;
use super::recorder::Audit;
use super::sequencer::{cut, stored};
use crate::ids::{AuditEntryId, TenantId};
use crate::store::audit_check::{self, AuditCounts, AuditState, StandingEntry, StoredEntry};
use crate::store::{Connection, StoreError, audit_tree};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::edge::{Edge, Piece};
use crate::tlog::merkle::{Hash, leaf_hash};
use crate::tlog::note::{Note, VerifierKey};
use crate::tlog::policy::Policy;
use crate::tlog::tile::{Tile, WIDTH};

/// Leaves that are looked at in one go: sixteen tiles.
const STEP: u64 = 16 * WIDTH;

/// What is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The entry of this place was changed, or another stands there.
    Entry(u64),
    /// The entry of this place is gone, and none says that it was dropped with age.
    Missing(u64),
    /// What stands at this place is not known, or stands there twice.
    Leaf(u64),
    /// What is hashed into the leaves from this place on.
    Bundle(u64),
    /// The tile of this level and position.
    Tile(u32, u64),
    /// The checkpoint of this size is not signed by the log, or of another tree.
    Checkpoint(u64),
    /// The log's own row.
    Log,
    /// There is more than the tree holds: rows of leaves, tiles, bundles, checkpoints, or entries in the past.
    More,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(at) => write!(f, "entry {at} was changed"),
            Self::Missing(at) => write!(f, "entry {at} is missing"),
            Self::Leaf(at) => write!(f, "which entry stands at {at} was changed"),
            Self::Bundle(at) => write!(f, "the bundle of the entries from {at} on was changed"),
            Self::Tile(level, at) => write!(f, "tile {at} of level {level} was changed"),
            Self::Checkpoint(size) => write!(f, "the checkpoint of {size} entries was changed, or is missing"),
            Self::Log => f.write_str("the row of the log was changed"),
            Self::More => f.write_str("something was added that is not in the tree"),
        }
    }
}

/// Why nothing was found out, or what.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The first damage that was found.
    #[error("the stored log is damaged: {0}")]
    Damaged(Damage),
    /// The key that the checkpoints are signed with.
    #[error("the log's key could not be read")]
    Key(#[from] FoundingError),
    /// The database.
    #[error("the log could not be read")]
    Store(#[from] StoreError),
}

impl From<Damage> for CheckError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// A log in which nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Entries in the tree.
    pub size: u64,
    /// Of these, those that are stored; the others were dropped with age.
    pub kept: u64,
    /// Checkpoints that were looked at.
    pub checkpoints: u64,
}

impl Audit {
    /// Checks the whole log, as it is at this moment.
    ///
    /// # Errors
    /// The first damage, or why the log could not be read.
    pub async fn check(&self, tenant: TenantId) -> Result<Checked, CheckError> {
        let key = self.signer(tenant).await?.verifier().clone();
        self.check_in(&mut *self.inner.store.begin_snapshot().await?, tenant, &key).await
    }

    /// The same inside a transaction, under a key of the log that is known.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn check_in(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        key: &VerifierKey,
    ) -> Result<Checked, CheckError> {
        let state = audit_check::state(connection, tenant).await?.ok_or(Damage::Log)?;
        let size = u64::try_from(state.place.size).map_err(|_| Damage::Log)?;
        let mut walk = Walk::new(Policy::only_log(key.clone())).ok_or(Damage::Log)?;
        let mut from = 0;
        while from < size {
            let end = (from + STEP).min(size);
            walk.step(connection, tenant, from..end).await?;
            from = end;
        }
        walk.compare(connection, tenant, walk.edge.changed()).await?;
        walk.conclude(&state)?;
        walk.compare_pruning(connection, tenant, &state).await?;
        let found = audit_check::counts(connection, tenant, state.place).await?;
        if found != walk.counts(size) {
            return Err(Damage::More.into());
        }
        Ok(Checked { size, kept: walk.kept, checkpoints: walk.checkpoints })
    }
}

/// The tree as it is built anew out of what is stored.
struct Walk {
    policy: Policy,
    edge: Edge,
    kept: u64,
    checkpoints: u64,
    /// Whether the checkpoint of the tree so far is there.
    is_signed: bool,
    /// The last entry whose row is there: its transaction and id.
    last: (i64, Uuid),
    /// The place of the last entry, whether its row is there or not.
    last_id: Uuid,
    /// Places without an entry: the last of them.
    missing: Option<u64>,
    /// What the entries say was dropped: below which index, and which entry says so.
    pruned: (u64, Uuid),
}

impl Walk {
    fn new(policy: Policy) -> Option<Self> {
        let nil = Uuid::nil();
        Some(Self {
            policy,
            edge: Edge::new(0, Vec::new())?,
            kept: 0,
            checkpoints: 0,
            is_signed: true,
            last: (0, nil),
            last_id: nil,
            missing: None,
            pruned: (0, nil),
        })
    }

    async fn step(
        &mut self,
        connection: &mut Connection,
        tenant: TenantId,
        range: std::ops::Range<u64>,
    ) -> Result<(), CheckError> {
        let (from, end) = (range.start.cast_signed(), range.end.cast_signed());
        let committed = self.commitments(connection, tenant, &range).await?;
        let standing = audit_check::standing(connection, tenant, from, end).await?;
        let mut signed = audit_check::checkpoints(connection, tenant, from, end).await?.into_iter().peekable();
        let mut standing = standing.into_iter();
        for (at, committed) in range.zip(committed) {
            let one = standing.next().filter(|one| one.leaf_index.unsigned_abs() == at).ok_or(Damage::Leaf(at))?;
            self.entry(at, one, &committed)?;
            self.edge.push(leaf_hash(&committed));
            self.is_signed = false;
            if let Some((size, note)) = signed.next_if(|(size, _)| size.unsigned_abs() == at + 1) {
                self.checkpoint(size.unsigned_abs(), &note)?;
            }
        }
        let full = self.edge.take_full();
        self.compare(connection, tenant, full).await
    }

    /// What is hashed into the leaves of a range that begins with a bundle.
    async fn commitments(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        range: &std::ops::Range<u64>,
    ) -> Result<Vec<Hash>, CheckError> {
        let (from, end) = (range.start / WIDTH, range.end.div_ceil(WIDTH));
        let mut found =
            audit_check::bundles(connection, tenant, from.cast_signed(), end.cast_signed()).await?.into_iter();
        let mut all = Vec::new();
        for index in from..end {
            let first = index * WIDTH;
            let bundle = found.next().filter(|(at, _)| at.unsigned_abs() == index).ok_or(Damage::Bundle(first))?.1;
            if bundle.len() as u64 != (range.end - first).min(WIDTH) * 32 {
                return Err(Damage::Bundle(first).into());
            }
            all.extend(cut(&bundle));
        }
        Ok(all)
    }

    fn entry(&mut self, at: u64, one: StandingEntry, committed: &Hash) -> Result<(), Damage> {
        self.last_id = one.entry_id;
        let Some(row) = one.row else {
            self.missing = Some(at);
            return Ok(());
        };
        let entry = read(&row, one.entry_id, committed).ok_or(Damage::Entry(at))?;
        // The tree is in the order of the commits.
        if (row.xid, one.entry_id) <= self.last {
            return Err(Damage::Entry(at));
        }
        if let Some(below) = entry.pruned_below().filter(|below| *below > self.pruned.0 && *below <= at) {
            self.pruned = (below, one.entry_id);
        }
        (self.last, self.kept) = ((row.xid, one.entry_id), self.kept + 1);
        Ok(())
    }

    fn checkpoint(&mut self, size: u64, note: &str) -> Result<(), Damage> {
        let read = Note::parse(note).ok().filter(|read| read.to_string() == note);
        let accepted = read.and_then(|read| self.policy.accept(&read).ok());
        let is_ours =
            |accepted: &Checkpoint| accepted.head == self.edge.head() && note.starts_with(&accepted.to_string());
        accepted.filter(is_ours).ok_or(Damage::Checkpoint(size))?;
        (self.is_signed, self.checkpoints) = (true, self.checkpoints + 1);
        Ok(())
    }

    /// Compares tiles with those that are stored.
    async fn compare(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        tiles: Vec<Piece>,
    ) -> Result<(), CheckError> {
        let places = tiles.iter().map(|tile| stored((tile.level, tile.index)));
        let (levels, indexes): (Vec<i16>, Vec<i64>) = places.unzip();
        let found = audit_tree::tiles(connection, tenant, &levels, &indexes).await?;
        for tile in tiles {
            let place = stored((tile.level, tile.index));
            let is_same =
                found.iter().any(|(level, index, hashes)| (*level, *index) == place && *hashes == tile.hashes.concat());
            if !is_same {
                return Err(Damage::Tile(tile.level, tile.index).into());
            }
        }
        Ok(())
    }

    /// What can be said when the whole tree was seen.
    fn conclude(&self, state: &AuditState) -> Result<(), Damage> {
        let size = state.place.size.unsigned_abs();
        if !self.is_signed {
            return Err(Damage::Checkpoint(size));
        }
        if let Some(at) = self.missing.filter(|at| *at >= self.pruned.0) {
            return Err(Damage::Missing(at));
        }
        // The last entry, when its row is there, is the one that the sequencer stopped at.
        let is_last_there = self.last.1 == self.last_id;
        let is_at_its_place = state.place.entry == self.last_id && (!is_last_there || self.last.0 == state.place.xid);
        if is_at_its_place { Ok(()) } else { Err(Damage::Log) }
    }

    /// What the row says was dropped is what the newest entry says of it, which may be there and not yet in the tree.
    async fn compare_pruning(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        state: &AuditState,
    ) -> Result<(), CheckError> {
        if (state.pruned.unsigned_abs(), state.pruned_by) == self.pruned {
            return Ok(());
        }
        let id = AuditEntryId::from_uuid(state.pruned_by);
        let entry = audit_check::entry(connection, tenant, id).await?.and_then(|bytes| encoding::decode(&bytes));
        let said = entry.and_then(|entry| entry.pruned_below()).unwrap_or(0);
        let is_new = said > self.pruned.0 && said == state.pruned.unsigned_abs();
        if is_new { Ok(()) } else { Err(Damage::Log.into()) }
    }

    /// How much there must be.
    fn counts(&self, size: u64) -> AuditCounts {
        let of_level = |level: u32| size.checked_shr(level * 8).unwrap_or(0).div_ceil(WIDTH);
        let tiles = (0..8).filter(|level| Tile::of(*level, 0, size).is_some()).map(of_level).sum::<u64>();
        AuditCounts {
            leaves: size.cast_signed(),
            tiles: tiles.cast_signed(),
            bundles: size.div_ceil(WIDTH).cast_signed(),
            beyond: 0,
            entries: self.kept.cast_signed(),
        }
    }
}

/// The entry of a row, if it is the one that the tree committed to, and the row says the same.
fn read(row: &StoredEntry, id: Uuid, committed: &Hash) -> Option<Entry> {
    let salt = <[u8; SALT]>::try_from(row.salt.as_slice()).ok()?;
    let entry = encoding::decode(&row.entry).filter(|_| commitment(&row.entry, &salt) == *committed)?;
    let act = &entry.act;
    (entry.id.uuid() == id && act.actor.id == row.actor_id && act.action == row.action).then_some(entry)
}
