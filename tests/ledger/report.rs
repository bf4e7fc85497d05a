//! The verdict, and the table that shows what it rests on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::audit::{self, Row, Sent};
use crate::estate::Estate;
use crate::event::Fact;
use crate::faults::{Fault, Kind};
use crate::meta::Counts;
use crate::support::database::count;

/// What is over.
pub struct Run {
    pub seed: u64,
    pub rounds: u64,
    pub from: Instant,
    pub posted_for: Duration,
    /// How long it took until nothing was owed; `None` when it did not come to that.
    pub drained: Option<Duration>,
    pub facts: Vec<Fact>,
    pub faults: Vec<Fault>,
    pub counts: Arc<Counts>,
}

/// Compares, prints, and says whether everything was kept that is promised.
pub async fn report(estate: &Estate, run: Run) -> bool {
    let sent = Sent { facts: run.facts.iter().map(|fact| (fact.event, *fact)).collect(), faults: run.faults.clone() };
    let (mut ids, mut rows) = (HashMap::new(), Vec::new());
    for index in 0..estate.endpoints.len() {
        rows.push(audit::endpoint(estate, index, &sent, &mut ids).await);
    }
    ways_in(&run);
    ways_out(estate, &rows);
    let silence = longest_silence(estate, &run);
    let drained = run.drained.map_or("never".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
    println!("longest silence {:.1} s; all had arrived {drained} after the last 200", silence.as_secs_f64());
    let mut complaints: Vec<String> =
        estate.endpoints.iter().zip(&rows).flat_map(|(endpoint, row)| row.complaints(endpoint.name)).collect();
    complaints.extend(in_the_database(estate, &sent, &run).await);
    for gateway in &estate.gateways {
        complaints.append(&mut gateway.offences.lock().unwrap());
    }
    for complaint in &complaints {
        println!("BROKEN: {complaint}");
    }
    let verdict = if complaints.is_empty() { "every promise was kept" } else { "promises were broken" };
    println!("ledger: {verdict}; LEDGER_SEED={}", run.seed);
    complaints.is_empty()
}

fn ways_in(run: &Run) {
    let Counts { posts, accepted, refused, broken, duplicates } = &*run.counts;
    println!(
        "in {:.0} s: {} POSTs: {} answered 200, {} refused, {} broken; {} events, {} batches sent again",
        run.posted_for.as_secs_f64(),
        posts.load(Relaxed),
        accepted.load(Relaxed),
        refused.load(Relaxed),
        broken.load(Relaxed),
        run.facts.len(),
        duplicates.load(Relaxed),
    );
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for fault in &run.faults {
        *kinds.entry(fault.kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind:?} {count}")).collect();
    println!("{} faults in {} rounds: {}", run.faults.len(), run.rounds, kinds.join(", "));
}

fn ways_out(estate: &Estate, rows: &[Row]) {
    let restarts: usize = estate.gateways.iter().map(|gateway| gateway.failed_starts.load(Relaxed)).sum();
    println!("starts that found no database: {restarts}");
    println!(
        "{:20} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9}",
        "endpoint", "wanted", "arrived", "accepted", "repeats", "in calm", "own", "slowest"
    );
    for (endpoint, row) in estate.endpoints.iter().zip(rows) {
        let own = endpoint.consumer.read(|book| book.own);
        println!(
            "{:20} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>7.1} s",
            endpoint.name,
            row.wanted,
            row.arrived,
            row.accepted,
            row.repeats,
            row.calm,
            own,
            row.longest_way.as_secs_f64()
        );
    }
}

/// While webhooks came.
fn longest_silence(estate: &Estate, run: &Run) -> Duration {
    let mut times = vec![run.from];
    for endpoint in &estate.endpoints {
        endpoint.consumer.read(|book| times.extend(book.arrivals.iter().map(|arrival| arrival.at)));
    }
    times.retain(|at| *at <= run.from + run.posted_for);
    times.sort_unstable();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// What must lie in the database, and what must not.
async fn in_the_database(estate: &Estate, sent: &Sent, run: &Run) -> Vec<String> {
    let stored = count(&estate.database, "SELECT count(*) FROM event WHERE type LIKE 'message.%'").await;
    let dead = count(&estate.database, "SELECT count(*) FROM delivery_dead").await;
    let owed = count(&estate.database, crate::OWED).await;
    let mut complaints = Vec::new();
    if usize::try_from(stored) != Ok(sent.facts.len()) {
        complaints.push(format!("{} events were answered 200 and {stored} are stored", sent.facts.len()));
    }
    if run.facts.len() != sent.facts.len() {
        complaints.push("the posters told of an event twice".to_owned());
    }
    if dead != 0 {
        complaints.push(format!("{dead} dead letters"));
    }
    if owed != 0 {
        complaints.push(format!("{owed} deliveries are owed and do not move"));
    }
    complaints
}
