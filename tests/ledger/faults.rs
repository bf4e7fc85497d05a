//! What goes wrong, when, and for how long: drawn from the seed, and written down.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use crate::consumer::Manner as Answers;
use crate::estate::Estate;
use crate::proxy::Manner;
use crate::random::Random;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    // Of a gateway.
    Killed,
    Terminated,
    DatabaseCut,
    DatabaseSlow,
    DatabaseStalled,
    /// For longer than the lease, after which it finds itself replaced.
    Partitioned,
    // Of all.
    PostgresCrashed,
    BackendsTerminated,
    // Of an endpoint.
    Fails,
    Busy,
    Closes,
    Hangs,
    Cut,
    Slow,
    Unreachable,
    Paused,
}

const ESTATE: [Kind; 7] = [
    Kind::Killed,
    Kind::Terminated,
    Kind::DatabaseCut,
    Kind::DatabaseSlow,
    Kind::DatabaseStalled,
    Kind::PostgresCrashed,
    Kind::BackendsTerminated,
];
const ENDPOINTS: [Kind; 8] =
    [Kind::Fails, Kind::Busy, Kind::Closes, Kind::Hangs, Kind::Cut, Kind::Slow, Kind::Unreachable, Kind::Paused];

/// A result that was in hand when a fault began may have been accepted this long before.
const UNRECORDED: Duration = Duration::from_secs(2);

/// As long as anything excuses repeats after it ended, and what was in hand before.
const SETTLED: Duration = Duration::from_secs(5);

/// One that happened.
#[derive(Debug, Clone)]
pub struct Fault {
    pub kind: Kind,
    /// The gateway or the endpoint.
    pub target: usize,
    pub began: Instant,
    pub ended: Instant,
    /// The endpoints that it can have touched, where that is known.
    pub touched: Option<Vec<usize>>,
}

impl Fault {
    /// Whether an event that this endpoint accepted at that time may come again because of it. What is answered badly has to
    /// come again anyway and needs no excuse; a gateway that is told to stop, and an endpoint that is paused, have none.
    pub fn excuses(&self, endpoint: usize, accepted: Instant) -> bool {
        let after = match self.kind {
            Kind::Killed => Duration::from_millis(300),
            Kind::DatabaseCut | Kind::BackendsTerminated => Duration::from_secs(1),
            Kind::DatabaseSlow | Kind::DatabaseStalled | Kind::Partitioned | Kind::PostgresCrashed => {
                Duration::from_secs(3)
            }
            Kind::Cut | Kind::Slow | Kind::Unreachable if self.target == endpoint => Duration::from_secs(1),
            _ => return false,
        };
        if self.touched.as_ref().is_some_and(|touched| !touched.contains(&endpoint)) {
            return false;
        }
        accepted + UNRECORDED >= self.began && accepted <= self.ended + after
    }

    /// Whether what was known at that time of this endpoint's deliveries may never have been recorded because of it.
    pub fn loses_records(&self, endpoint: usize, known: Instant) -> bool {
        !ENDPOINTS.contains(&self.kind) && self.excuses(endpoint, known)
    }
}

/// A gateway that was cut off for so long has missed two renewals of its lease, and has its lanes still.
const SILENT: Duration = Duration::from_secs(10);

/// One round: every kind once, in two rows side by side, and one gateway that is cut off meanwhile.
pub async fn round(estate: &Estate, seed: u64, number: u64) -> Vec<Fault> {
    let away = AtomicUsize::new(usize::MAX);
    let chance = |row: u64| Random::new(seed, 10 * number + row);
    let (partition, of_estate, of_endpoints) = tokio::join!(
        partition(estate, chance(0), &away),
        row(estate, chance(1), &ESTATE, &away),
        row(estate, chance(2), &ENDPOINTS, &away)
    );
    let mut faults = vec![partition];
    faults.extend(of_estate);
    faults.extend(of_endpoints);
    faults
}

async fn partition(estate: &Estate, mut random: Random, away: &AtomicUsize) -> Fault {
    let target = random.below(estate.gateways.len());
    away.store(target, Ordering::Relaxed);
    let gateway = &estate.gateways[target];
    let began = Instant::now();
    gateway.database.behave(Manner::Still);
    sleep(SILENT).await;
    let touched = lanes_of_the_silent(estate).await;
    sleep(random.millis(7_000, 9_000)).await;
    // What was on its way arrives late, or never.
    if random.percent(50) {
        gateway.database.cut();
    }
    gateway.database.behave(Manner::Open);
    Fault { kind: Kind::Partitioned, target, began, ended: Instant::now(), touched }
}

/// The endpoints of gateways that have not renewed their lease in time. It lasts 15 s and is renewed every 4 s.
async fn lanes_of_the_silent(estate: &Estate) -> Option<Vec<usize>> {
    let statement = "SELECT owner_id::text FROM lane JOIN worker USING (worker_id)
                     WHERE kind = 1 AND lease_until < now() + interval '8 seconds'";
    let mut connection = PgConnection::connect(&estate.database).await.ok()?;
    let rows: Vec<(String,)> = sqlx::query_as(statement).fetch_all(&mut connection).await.ok()?;
    let index = |id: &String| estate.endpoints.iter().position(|endpoint| endpoint.id == *id);
    Some(rows.iter().filter_map(|(id,)| index(id)).collect())
}

async fn row(estate: &Estate, mut random: Random, kinds: &[Kind], away: &AtomicUsize) -> Vec<Fault> {
    let mut faults = Vec::new();
    for kind in random.shuffled(kinds) {
        // Nothing excuses what comes twice because a gateway was told to stop: nothing else is to be near.
        let calm = if kind == Kind::Terminated { SETTLED } else { Duration::ZERO };
        sleep(calm + random.millis(300, 1500)).await;
        let mut target = random.below(estate.gateways.len());
        if target == away.load(Ordering::Relaxed) {
            target = (target + 1) % estate.gateways.len();
        }
        if ENDPOINTS.contains(&kind) {
            target = random.below(estate.endpoints.len());
        }
        let began = Instant::now();
        // A killed gateway may stay away for a while; nothing is in flight in it.
        let ended = happen(estate, kind, target, random.millis(500, 2500)).await;
        faults.push(Fault { kind, target, began, ended, touched: None });
    }
    faults
}

/// Lets it happen, and mends it. Returns when it was over.
async fn happen(estate: &Estate, kind: Kind, target: usize, lasts: Duration) -> Instant {
    match kind {
        Kind::Killed => {
            estate.gateways[target].kill().await;
            let killed = Instant::now();
            sleep(lasts).await;
            estate.gateways[target].start().await;
            return killed;
        }
        Kind::Terminated => {
            estate.gateways[target].terminate().await;
            estate.gateways[target].start().await;
        }
        Kind::DatabaseCut => estate.gateways[target].database.cut(),
        Kind::DatabaseSlow => misbehave(&estate.gateways[target].database, Manner::Slow(40_000), lasts).await,
        Kind::DatabaseStalled | Kind::Partitioned => {
            misbehave(&estate.gateways[target].database, Manner::Still, lasts).await;
        }
        Kind::PostgresCrashed => estate.crash_postgres(lasts / 2).await,
        Kind::BackendsTerminated => terminate_backends(&estate.database).await,
        Kind::Fails => answer(estate, target, Answers::Fails, lasts).await,
        Kind::Busy => answer(estate, target, Answers::Busy, lasts).await,
        Kind::Closes => answer(estate, target, Answers::Closes, lasts).await,
        Kind::Hangs => answer(estate, target, Answers::Hangs, lasts).await,
        Kind::Cut => estate.endpoints[target].consumer.proxy.cut(),
        Kind::Slow => misbehave(&estate.endpoints[target].consumer.proxy, Manner::Slow(4_000), lasts).await,
        Kind::Unreachable => {
            estate.endpoints[target].consumer.proxy.behave(Manner::Shut);
            estate.endpoints[target].consumer.proxy.cut();
            sleep(lasts).await;
            estate.endpoints[target].consumer.proxy.behave(Manner::Open);
        }
        Kind::Paused => {
            estate.set_state(&estate.endpoints[target], "paused").await;
            sleep(lasts).await;
            estate.set_state(&estate.endpoints[target], "active").await;
        }
    }
    Instant::now()
}

async fn misbehave(proxy: &crate::proxy::Proxy, manner: Manner, lasts: Duration) {
    proxy.behave(manner);
    sleep(lasts).await;
    proxy.behave(Manner::Open);
}

async fn answer(estate: &Estate, target: usize, manner: Answers, lasts: Duration) {
    estate.endpoints[target].consumer.behave(manner);
    sleep(lasts).await;
    estate.endpoints[target].consumer.behave(Answers::Well);
}

/// Half of them, whichever these are. The server may be away itself.
async fn terminate_backends(database: &str) {
    let statement = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE application_name = 'waxseal' AND random() < 0.5";
    let Ok(mut connection) = PgConnection::connect(database).await else { return };
    let _ = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await; // see above
}
