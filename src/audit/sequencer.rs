//! Puts entries into the tree, one process at a time: the owner of the log's lane. A step takes what was committed, in the order
//! of the commits, and writes leaves, tiles and a signed checkpoint in one transaction. Killed in it, nothing has happened.

use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::entry::{SALT, commitment};
use super::founding::FoundingError;
use super::recorder::Audit;
use super::witnessing::{self, Witnessing};
use crate::store::audit_tree::{self, AuditPlace, AuditStep, PendingEntry, TileRow};
use crate::store::lanes::OwnedLane;
use crate::store::{Connection, Store, StoreError};
use crate::telemetry;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::edge::{self, Edge, Piece};
use crate::tlog::merkle::{Hash, Head, leaf_hash};
use crate::tlog::note::{Note, Signer};
use crate::tlog::tile::WIDTH;

/// Entries in one step: some hundredths of a second of work.
const STEP: usize = 4096;
/// What was committed is in the tree after about this.
const PAUSE: Duration = Duration::from_millis(250);

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("the tree could not be read or written")]
    Store(#[from] StoreError),
    #[error("the checkpoint could not be signed")]
    Key(#[from] FoundingError),
    /// What is stored of the tree is not a tree of its size. Growing it would fork it.
    #[error("the stored tree is damaged; nothing is added to it")]
    Damaged,
}

/// What is to be done after a step.
#[derive(PartialEq, Eq)]
enum Next {
    /// There may be more.
    Go,
    /// The tree grew, and holds all there is.
    Rest,
    /// There was nothing.
    Wait,
    /// The lane is another's.
    Leave,
}

/// Works on a log until `stop` is cancelled or the lane is lost. Its checkpoints are cosigned meanwhile.
pub async fn run_lane(audit: Audit, by: Witnessing, lane: OwnedLane, stop: CancellationToken) {
    let grown = Notify::new();
    tokio::select! {
        () = sequence(&audit, &by, lane, &grown, &stop) => {}
        () = witnessing::run(&audit, &by, lane, &grown) => {}
    }
}

async fn sequence(audit: &Audit, by: &Witnessing, lane: OwnedLane, grown: &Notify, stop: &CancellationToken) {
    // Without witnesses, nobody has to be waited for.
    let (mut signer, mut failing, published) = (None, false, by.witnesses.quorum() == 0);
    while !stop.is_cancelled() {
        let result = audit.step(lane, &mut signer, published).await;
        match &result {
            Err(error) if !failing => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::error!(%error, cause, "the audit log does not advance");
            }
            Ok(_) if failing => tracing::info!("the audit log advances again"),
            _ => {}
        }
        failing = result.is_err();
        if matches!(result, Ok(Next::Go | Next::Rest)) {
            grown.notify_one();
        }
        match result {
            Ok(Next::Go) => {}
            Ok(Next::Leave) => return,
            Ok(Next::Rest | Next::Wait) | Err(_) => {
                let _stopped = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
        }
    }
}

impl Audit {
    async fn step(&self, lane: OwnedLane, signer: &mut Option<Signer>, published: bool) -> Result<Next, StepError> {
        let Some((mut transaction, place)) = self.inner.store.begin_audit_step(lane).await? else {
            return Ok(Next::Leave);
        };
        let pending = audit_tree::pending(&mut transaction, lane.tenant, place, STEP as u32).await?;
        let Some(last) = pending.last() else { return Ok(Next::Wait) };
        let next = if pending.len() == STEP { Next::Go } else { Next::Rest };
        let signer = match signer {
            Some(signer) => signer,
            // Read outside of the transaction's connection, once in a tenure.
            None => signer.insert(self.signer(lane.tenant).await?),
        };
        let grown = Grown::read(&mut transaction, lane, place, &pending).await?;
        let (added, size) = (pending.len(), place.size.saturating_add_unsigned(pending.len() as u64));
        let place = AuditPlace { size, xid: last.xid, entry: last.entry_id };
        let step = grown.step((place, published), pending, signer, self.inner.clock.now()).ok_or(StepError::Damaged)?;
        audit_tree::write(&mut transaction, lane.tenant, &step).await?;
        Store::commit(transaction).await?;
        metrics::counter!(telemetry::AUDIT_SEQUENCED).increment(added as u64);
        Ok(next)
    }
}

/// The tree with the new leaves, and the bundles that hold what they are hashes of.
struct Grown {
    edge: Edge,
    first: i64,
    bundles: Vec<(i64, Vec<u8>)>,
}

impl Grown {
    async fn read(
        connection: &mut Connection,
        lane: OwnedLane,
        place: AuditPlace,
        pending: &[PendingEntry],
    ) -> Result<Self, StepError> {
        let size = u64::try_from(place.size).map_err(|_| StepError::Damaged)?;
        let places = edge::places(size);
        let (levels, indexes): (Vec<i16>, Vec<i64>) = places.into_iter().map(stored).unzip();
        let tiles = audit_tree::tiles(connection, lane.tenant, &levels, &indexes).await?;
        let mut edge = Edge::new(size, tiles.into_iter().map(piece).collect()).ok_or(StepError::Damaged)?;
        let signed = audit_tree::checkpoint(connection, lane.tenant, place.size).await?;
        if size > 0 && signed.as_deref().and_then(head) != Some(edge.head()) {
            return Err(StepError::Damaged);
        }
        let (index, width) = ((size / WIDTH).cast_signed(), (size % WIDTH) as usize);
        let mut bytes = match width {
            0 => Vec::new(),
            _ => audit_tree::bundle(connection, lane.tenant, index).await?.ok_or(StepError::Damaged)?,
        };
        if bytes.len() != width * 32 {
            return Err(StepError::Damaged);
        }
        for entry in pending {
            let salt = <[u8; SALT]>::try_from(entry.salt.as_slice()).map_err(|_| StepError::Damaged)?;
            let committed = commitment(&entry.entry, &salt);
            edge.push(leaf_hash(&committed));
            bytes.extend_from_slice(&committed);
        }
        let bundles =
            bytes.chunks(WIDTH as usize * 32).map(<[u8]>::to_vec).zip(index..).map(|(bundle, at)| (at, bundle));
        Ok(Self { edge, first: place.size, bundles: bundles.collect() })
    }

    fn step(
        self,
        (place, published): (AuditPlace, bool),
        pending: Vec<PendingEntry>,
        signer: &Signer,
        now: time::OffsetDateTime,
    ) -> Option<AuditStep> {
        let origin = signer.verifier().name().to_owned();
        let text = Checkpoint { origin, head: self.edge.head() }.to_string();
        let mut note = Note::unsigned(&text)?;
        note.add(&signer.line(&text, 0)).ok()?;
        Some(AuditStep {
            place,
            entries: pending.into_iter().map(|entry| entry.entry_id).collect(),
            first: self.first,
            tiles: self.edge.changed().iter().map(row).collect(),
            bundles: self.bundles,
            note: note.to_string(),
            published,
            at: now,
        })
    }
}

/// The head that a stored note tells of.
fn head(note: &str) -> Option<Head> {
    Checkpoint::parse(Note::parse(note).ok()?.text()).map(|checkpoint| checkpoint.head)
}

fn piece((level, index, hashes): TileRow) -> Piece {
    Piece { level: u32::try_from(level).unwrap_or(u32::MAX), index: index.unsigned_abs(), hashes: cut(&hashes) }
}

/// Hashes that lie one behind the other.
pub(super) fn cut(bytes: &[u8]) -> Vec<Hash> {
    bytes.as_chunks::<32>().0.to_vec()
}

fn row(piece: &Piece) -> TileRow {
    let (level, index) = stored((piece.level, piece.index));
    (level, index, piece.hashes.concat())
}

/// The place of a tile as Postgres keeps it. A tree that 63 bits cannot count is nobody's.
pub(super) const fn stored((level, index): (u32, u64)) -> (i16, i64) {
    (level as i16, index.cast_signed())
}
