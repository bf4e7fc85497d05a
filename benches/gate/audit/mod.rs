//! The audit log: what entries cost, how fast they are appended, how fast a proof is found in a long log.

mod reads;
pub(crate) mod report;
mod tree;

use std::future::Future;
use std::sync::Arc;

use anyhow::Context;
use futures_util::future::try_join_all;
use sqlx::PgConnection;
use tokio::time::Instant;
use waxseal::app::Base;
use waxseal::audit::{Act, Action, Actor, Object};
use waxseal::clock::SystemClock;
use waxseal::config::Config;
use waxseal::ids::TenantId;

use super::bench::{Bench, Outcome, Site, median};
use super::closed::Shape;
use super::database::Database;
use super::gateway::Batching;
use super::histogram::Histogram;
use super::load::{People, Window};
use super::progress;
use super::server::{Server, ask, execute};

/// Who reads or appends at the same time.
const READERS: usize = 64;
const APPENDERS: usize = 512;

/// The same reads with an entry and without.
pub(crate) struct Reads {
    /// Contacts in each.
    pub(crate) contacts: usize,
    /// A second, through the door.
    pub(crate) audited: f64,
    /// A second: the same rows, read and opened beside the door.
    pub(crate) beside: f64,
}

/// Everything that was found out.
pub(crate) struct Findings {
    /// Entries a second.
    pub(crate) appended: f64,
    pub(crate) reads: Vec<Reads>,
    /// Webhooks while the tree grows, and while nobody grows it.
    pub(crate) webhooks: [Outcome; 2],
    /// Leaves of the long log, and how long its making took.
    pub(crate) leaves: u64,
    pub(crate) made_in: std::time::Duration,
    /// Proofs in it.
    pub(crate) proofs: Histogram,
}

/// Measures everything.
pub(crate) async fn run(bench: &Bench, server: &Server) -> anyhow::Result<Findings> {
    let database = Database::make(server, "bench_audit").await?;
    let gateway = bench.start(&database, Batching::Grouped).await?;
    let base = base(&gateway.settings).await?;
    let (window, rounds) = (bench.sizes.window, bench.sizes.rounds);
    progress::say("audit log: ");
    let mut reads = Vec::new();
    for contacts in [1, 50] {
        reads.push(reads::measure(&base, contacts, window, rounds).await?);
    }
    let act = || Act::new(TenantId::DEFAULT, Actor::OPERATOR, Action::AuditRead, Object::several("audit_entry"));
    let append = || async { base.audit.record(act()).await.map(drop).context("an entry was refused") };
    let appended = rate(APPENDERS, window, append).await?;
    let site = Site { database, gateway };
    let webhooks = by_turns(bench, &site).await?;
    base.store.close().await;
    drop(site);
    progress::say("a long audit log: ");
    let began = Instant::now();
    let long = tree::Long::make(server, bench.sizes.leaves).await?;
    let made_in = began.elapsed();
    let proofs = long.proofs().await?;
    Ok(Findings { appended, reads, webhooks, leaves: bench.sizes.leaves, made_in, proofs })
}

/// What the command line stands on, with the settings of a gateway.
async fn base(settings: &[(String, String)]) -> anyhow::Result<Base> {
    let config = Config::load(None, settings.iter().cloned())?;
    Base::open(&config, Arc::new(SystemClock)).await
}

/// How often a second something is done by so many at once.
async fn rate<F: Future<Output = anyhow::Result<()>>>(
    many: usize,
    window: Window,
    act: impl Fn() -> F,
) -> anyhow::Result<f64> {
    let timing = window.begin();
    let one = async || {
        let mut done = 0_u64;
        while Instant::now() < timing.until {
            act().await?;
            done += u64::from((timing.from..=timing.until).contains(&Instant::now()));
        }
        anyhow::Ok(done)
    };
    let done: u64 = try_join_all((0..many).map(|_| one())).await?.into_iter().sum();
    progress::tick();
    Ok(done as f64 / window.measured.as_secs_f64())
}

/// The product has no switch that turns the log off. What webhooks leave in it are sums every few seconds; what costs is the tree.
/// So it is turned off as far as it goes: for every other round, the lane in which the tree grows is taken away.
async fn by_turns(bench: &Bench, site: &Site) -> anyhow::Result<[Outcome; 2]> {
    let mut connection = site.database.connect().await?;
    execute(&mut connection, "CREATE TABLE bench_lane AS SELECT * FROM lane WHERE kind = 4".to_owned()).await?;
    let shape = Shape { connections: 64, items: 1, people: People::Known };
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..bench.sizes.rounds {
        on.push(bench.closed(&site.database, &site.gateway, shape).await?);
        execute(&mut connection, "DELETE FROM lane WHERE kind = 4".to_owned()).await?;
        off.push(bench.closed(&site.database, &site.gateway, shape).await?);
        give_back(&mut connection).await?;
    }
    Ok([median(on)?, median(off)?])
}

/// A lane that nobody has, so that the gateway takes it.
async fn give_back(connection: &mut PgConnection) -> anyhow::Result<()> {
    let again = "UPDATE bench_lane SET epoch = epoch + 1, worker_id = NULL; INSERT INTO lane SELECT * FROM bench_lane";
    execute(connection, again.to_owned()).await?;
    let owner = "SELECT COALESCE(worker_id::text, '') FROM lane WHERE kind = 4";
    let deadline = Instant::now() + std::time::Duration::from_secs(20);
    while ask(connection, owner).await?.is_empty() {
        anyhow::ensure!(Instant::now() < deadline, "nobody takes the lane of the audit log");
    }
    Ok(())
}
