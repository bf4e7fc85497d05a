//! The log as it is shown: entries, and what proves that they are in the tree.

use std::collections::HashMap;
use std::ops::Range;

use uuid::Uuid;

use super::entry::Entry;
use super::founding::FoundingError;
use super::recorder::Audit;
use super::sequencer::{cut, stored};
use crate::ids::{AuditEntryId, ContactId, TenantId};
use crate::store::StoreError;
use crate::store::audit_reads::{AuditEntryRow, AuditFilter};
use crate::store::audit_scope::Scope;
use crate::tlog::merkle::{Hash, consistency, fold, inclusion, subtrees};
use crate::tlog::note::Note;
use crate::tlog::proof::{AddCheckpoint, Proof};
use crate::tlog::tile::{self, Tile, node_in};

/// An entry and where it stands.
#[derive(Debug)]
pub struct Logged {
    /// The entry as its bytes say it. `None`: they are no canonical bytes, or say another than the row: somebody changed it.
    pub entry: Option<Entry>,
    /// Id.
    pub id: AuditEntryId,
    /// Canonical bytes.
    pub bytes: Vec<u8>,
    /// Salt.
    pub salt: Vec<u8>,
    /// Place in the tree; absent: not there yet.
    pub index: Option<u64>,
}

/// Which entry a proof is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// By its place in the tree.
    Index(u64),
    /// By its id.
    Id(AuditEntryId),
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// There is no such entry.
    #[error("there is no such entry")]
    Unknown,
    /// It is there, and in no published checkpoint yet.
    #[error("the entry is not in the tree yet")]
    NotYet,
    /// What is stored of the tree is not whole.
    #[error("the stored tree is damaged")]
    Damaged,
    /// The database.
    #[error("the tree could not be read")]
    Store(#[from] StoreError),
}

impl From<AuditEntryRow> for Logged {
    fn from(row: AuditEntryRow) -> Self {
        let says_the_same = |entry: &Entry| {
            let act = &entry.act;
            entry.id.uuid() == row.entry_id && act.actor.id == row.actor_id && act.action == row.action
        };
        Self {
            entry: Entry::decode(&row.entry).filter(says_the_same),
            id: AuditEntryId::from_uuid(row.entry_id),
            bytes: row.entry,
            salt: row.salt,
            index: row.leaf_index.map(i64::unsigned_abs),
        }
    }
}

impl Audit {
    /// Entries, newest first, older than `before`, at most `limit`.
    pub async fn entries(
        &self,
        tenant: TenantId,
        before: Option<Uuid>,
        filter: &AuditFilter,
        limit: i64,
    ) -> Result<Vec<Logged>, StoreError> {
        let rows = self.inner.store.page_of_audit_entries(tenant, before.unwrap_or(Uuid::max()), filter, limit).await?;
        Ok(rows.into_iter().map(Logged::from).collect())
    }

    /// The entries that stand from one index up to, and without, another, as far as they are still kept.
    pub async fn entries_between(&self, tenant: TenantId, from: u64, end: u64) -> Result<Vec<Logged>, StoreError> {
        let rows = self.inner.store.audit_entries_between(tenant, from.cast_signed(), end.cast_signed()).await?;
        Ok(rows.into_iter().map(Logged::from).collect())
    }

    /// Whom those entries are about, by id, behind `after`.
    pub async fn scope_contacts(
        &self,
        tenant: TenantId,
        scope: Scope,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<ContactId>, StoreError> {
        self.inner.store.audit_scope_contacts(tenant, scope, after, limit).await
    }

    /// Everyone who is the same person as this contact, for filters.
    pub async fn same_person(&self, tenant: TenantId, contact: ContactId) -> Result<Vec<Uuid>, StoreError> {
        let known = self.inner.store.find_contact(tenant, contact).await?;
        let kept = known.and_then(|row| row.merged_into).map_or(contact, ContactId::from_uuid);
        let mut all = self.inner.store.find_merged(tenant, kept).await?;
        all.extend([kept.uuid(), contact.uuid()]);
        Ok(all)
    }

    /// The newest published checkpoint: a signed note. `None`: nothing was logged yet.
    pub async fn checkpoint(&self, tenant: TenantId) -> Result<Option<String>, StoreError> {
        Ok(self.inner.store.find_audit_checkpoint(tenant, i64::MAX).await?.map(|row| row.note))
    }

    /// The key that verifies this log's checkpoints, as C2SP writes it.
    pub async fn verifier_key(&self, tenant: TenantId) -> Result<String, FoundingError> {
        Ok(self.inner.store.find_audit_log(tenant).await?.ok_or(FoundingError::Damaged)?.verifier_key)
    }

    /// Below which index entries may have been dropped with age.
    pub async fn pruned(&self, tenant: TenantId) -> Result<u64, StoreError> {
        Ok(self.inner.store.audit_pruned(tenant).await?.unsigned_abs())
    }

    /// The proof of an entry, with its salt and bytes as `extra`, so that it stands alone. Of one that was dropped with age there
    /// is the proof alone, for whoever kept it.
    pub async fn proof(&self, tenant: TenantId, which: Which) -> Result<Proof, ProofError> {
        let (index, row) = self.place(tenant, which).await?;
        let newest = self.inner.store.find_audit_checkpoint(tenant, i64::MAX).await?;
        let newest = newest.filter(|newest| newest.size.unsigned_abs() > index).ok_or(ProofError::NotYet)?;
        let path = self.path(tenant, index, newest.size.unsigned_abs()).await?;
        let checkpoint = Note::parse(&newest.note).map_err(|_| ProofError::Damaged)?;
        Ok(Proof { extra: row.map(|row| [row.salt, row.entry].concat()), index, path, checkpoint })
    }

    /// What a witness is asked that signed the tree of `old` leaves last.
    pub async fn witness_request(&self, tenant: TenantId, old: u64) -> Result<AddCheckpoint, ProofError> {
        let newest = self.inner.store.find_audit_checkpoint(tenant, i64::MAX).await?.ok_or(ProofError::NotYet)?;
        let path = self.consistency(tenant, old, newest.size.unsigned_abs()).await?;
        let checkpoint = Note::parse(&newest.note).map_err(|_| ProofError::Damaged)?;
        Ok(AddCheckpoint { old, path, checkpoint })
    }

    /// The hashes that show that a tree of `new` leaves begins with the one of `old`.
    pub(super) async fn consistency(&self, tenant: TenantId, old: u64, new: u64) -> Result<Vec<Hash>, ProofError> {
        match old {
            0 => Ok(Vec::new()),
            old => self.hashes(tenant, consistency(old, new).ok_or(ProofError::Unknown)?).await,
        }
    }

    async fn place(&self, tenant: TenantId, which: Which) -> Result<(u64, Option<AuditEntryRow>), ProofError> {
        let id = match which {
            Which::Id(id) => id,
            Which::Index(index) => {
                let at = i64::try_from(index).map_err(|_| ProofError::Unknown)?;
                self.inner.store.find_audit_leaf(tenant, at).await?.ok_or(ProofError::Unknown)?
            }
        };
        // The entry may have been dropped with age; its leaf stays.
        let row = self.inner.store.find_audit_entry(tenant, id).await?;
        let index = match &row {
            Some(row) => row.leaf_index.ok_or(ProofError::NotYet)?,
            None => self.inner.store.find_audit_index(tenant, id).await?.ok_or(ProofError::Unknown)?,
        };
        Ok((index.unsigned_abs(), row))
    }

    /// The hashes beside the way from a leaf to the root.
    async fn path(&self, tenant: TenantId, index: u64, size: u64) -> Result<Vec<Hash>, ProofError> {
        self.hashes(tenant, inclusion(index, size).ok_or(ProofError::Unknown)?).await
    }

    /// The hashes of ranges of leaves, out of the tiles.
    async fn hashes(&self, tenant: TenantId, ranges: Vec<Range<u64>>) -> Result<Vec<Hash>, ProofError> {
        let nodes: Vec<_> = ranges.into_iter().map(subtrees).collect();
        let mut places: Vec<(u32, u64)> = nodes.iter().flatten().map(|node| Tile::place_of(*node)).collect();
        places.sort_unstable();
        places.dedup();
        let (levels, indexes): (Vec<i16>, Vec<i64>) = places.into_iter().map(stored).unzip();
        let tiles: HashMap<(i16, i64), Vec<Hash>> = self
            .inner
            .store
            .audit_tiles(tenant, &levels, &indexes)
            .await?
            .into_iter()
            .map(|(level, index, hashes)| ((level, index), cut(&hashes)))
            .collect();
        let hash = |node| node_in(tiles.get(&stored(Tile::place_of(node)))?, node);
        let joined = |nodes: Vec<_>| {
            let hashes: Option<Vec<Hash>> = nodes.into_iter().map(hash).collect();
            hashes.map(|hashes| fold(&hashes))
        };
        nodes.into_iter().map(joined).collect::<Option<_>>().ok_or(ProofError::Damaged)
    }

    /// A tile or a bundle of entries by its path below `tile/`. `None`: there is none, or not so much of it.
    pub async fn tile(&self, tenant: TenantId, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(path) = path.strip_prefix("entries/") {
            let Some((index, width)) = tile::parse_bundle(path) else { return Ok(None) };
            let Ok(at) = i64::try_from(index) else { return Ok(None) };
            let found = self.inner.store.audit_bundle(tenant, at).await?;
            return Ok(found.and_then(|bundle| bundle.get(..width as usize * 32).map(lengths)));
        }
        let Some(Tile { level, index, width }) = Tile::parse(path) else { return Ok(None) };
        let Ok(at) = i64::try_from(index) else { return Ok(None) };
        let found = self.inner.store.audit_tiles(tenant, &[level as i16], &[at]).await?.pop();
        Ok(found.and_then(|(_, _, hashes)| hashes.get(..width as usize * 32).map(<[u8]>::to_vec)))
    }
}

/// Commitments as C2SP writes bundles: each behind its length in two bytes.
fn lengths(bundle: &[u8]) -> Vec<u8> {
    bundle.as_chunks::<32>().0.iter().flat_map(|one| [&[0, 32], one.as_slice()].concat()).collect()
}
