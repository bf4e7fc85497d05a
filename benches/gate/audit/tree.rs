//! A log of millions of entries, of which nothing is made but what proofs are found in: places, tiles, and a checkpoint. The leaves
//! are hashes of their numbers.

use anyhow::Context;
use sqlx::PgConnection;
use tokio::time::Instant;
use waxseal::app::Base;
use waxseal::audit::Which;
use waxseal::crypto::random;
use waxseal::ids::TenantId;
use waxseal::tlog::checkpoint::Checkpoint;
use waxseal::tlog::edge::{Edge, Piece};
use waxseal::tlog::merkle::leaf_hash;
use waxseal::tlog::note::{Note, Signer, Use};
use waxseal::tlog::policy::Policy;
use zeroize::Zeroizing;

use crate::database::Database;
use crate::gateway;
use crate::histogram::Histogram;
use crate::progress;
use crate::server::{Server, execute};

/// Tiles written by one statement.
const TILES: usize = 64;
/// Proofs that are asked for, one after the other.
const PROOFS: u64 = 5000;

/// The long log.
pub(super) struct Long {
    base: Base,
    policy: Policy,
    leaves: u64,
}

impl Long {
    /// Makes it.
    #[expect(clippy::disallowed_methods, reason = "no statement of the product")]
    pub(super) async fn make(server: &Server, leaves: u64) -> anyhow::Result<Self> {
        let database = Database::make(server, "bench_long_log").await?;
        let base = super::base(&gateway::settings(&database, crate::BUSINESS)).await?;
        let mut connection = database.connect().await?;
        places(&mut connection, leaves).await?;
        let mut edge = Edge::new(0, Vec::new()).context("an empty tree")?;
        for number in 0..leaves {
            edge.push(leaf_hash(&number.to_be_bytes()));
            if (number + 1).is_multiple_of(256 * TILES as u64) {
                write(&mut connection, edge.take_full()).await?;
                progress_now_and_then(number);
            }
        }
        write(&mut connection, edge.changed()).await?;
        let signer = Signer::new("example.com/bench", Use::Log, Zeroizing::new([7; 32])).context("a name")?;
        let text = Checkpoint { origin: signer.verifier().name().to_owned(), head: edge.head() }.to_string();
        let mut note = Note::unsigned(&text).context("a checkpoint")?;
        note.add(&signer.line(&text, 0))?;
        let shown = "INSERT INTO audit_checkpoint SELECT tenant_id, $1, $2, true, now() FROM audit_log";
        sqlx::query(shown).bind(i64::try_from(leaves)?).bind(note.to_string()).execute(&mut connection).await?;
        execute(&mut connection, "VACUUM ANALYZE audit_leaf, audit_tile, audit_checkpoint".to_owned()).await?;
        execute(&mut connection, "CHECKPOINT".to_owned()).await?;
        Ok(Self { base, policy: Policy::only_log(signer.verifier().clone()), leaves })
    }

    /// How long proofs of random entries take. Each is checked, outside of its time.
    pub(super) async fn proofs(&self) -> anyhow::Result<Histogram> {
        let mut seen = Histogram::default();
        for _ in 0..PROOFS {
            let index = u64::from_be_bytes(random::bytes()) % self.leaves;
            let asked = Instant::now();
            let proof = self.base.audit.proof(TenantId::DEFAULT, Which::Index(index)).await?;
            // As it goes over the wire.
            let text = proof.to_string();
            seen.record(asked.elapsed());
            anyhow::ensure!(!text.is_empty());
            proof.verify(&leaf_hash(&index.to_be_bytes()), &self.policy).context("a proof proves nothing")?;
        }
        progress::tick();
        Ok(seen)
    }
}

/// Which entry stands where. The index on entries is made behind the rows, because row by row it would take minutes.
async fn places(connection: &mut PgConnection, leaves: u64) -> anyhow::Result<()> {
    let by_entry = "audit_leaf_tenant_id_entry_id_key";
    for statement in [
        format!("ALTER TABLE audit_leaf DROP CONSTRAINT {by_entry}"),
        format!(
            "INSERT INTO audit_leaf SELECT tenant_id, n, gen_random_uuid() FROM audit_log, generate_series(0, {leaves} - 1) AS n"
        ),
        format!("ALTER TABLE audit_leaf ADD CONSTRAINT {by_entry} UNIQUE (tenant_id, entry_id)"),
    ] {
        execute(connection, statement).await?;
        progress::tick();
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "no statement of the product")]
async fn write(connection: &mut PgConnection, tiles: Vec<Piece>) -> anyhow::Result<()> {
    let column = |of: fn(&Piece) -> i64| tiles.iter().map(of).collect::<Vec<i64>>();
    let hashes: Vec<Vec<u8>> = tiles.iter().map(|tile| tile.hashes.concat()).collect();
    let insert = "INSERT INTO audit_tile SELECT l.tenant_id, t.* FROM audit_log l,
                  UNNEST($1::int8[], $2::int8[], $3::bytea[]) AS t (level, tile_index, hashes)";
    let (levels, indexes) = (column(|tile| tile.level.into()), column(|tile| tile.index.cast_signed()));
    sqlx::query(insert).bind(levels).bind(indexes).bind(hashes).execute(connection).await?;
    Ok(())
}

fn progress_now_and_then(number: u64) {
    if (number + 1).is_multiple_of(1 << 20) {
        progress::tick();
    }
}
