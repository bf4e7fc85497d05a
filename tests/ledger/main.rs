//! The ledger test: signed batches with duplicates go in, consumers write down what arrives; meanwhile gateways are killed,
//! Postgres crashes, connections are cut, slowed and held back, and endpoints misbehave. Afterwards both books are compared:
//! every event that was answered 200 arrived everywhere it was wanted, nothing else arrived, what is promised an order had it, and
//! nothing came twice but what was in flight at a fault.
//!
//! The gateways are processes, so that they can be killed: this binary again, which then starts what `waxseal serve` starts.
//! Their clock alone is not the machine's: it runs thirty times as fast, so that the rungs of the retry ladder and the waits of
//! the breaker, which are minutes, come to pass within seconds. Leases, time-outs, Postgres and the network keep real time.
//!
//! One round of all faults by default, with `SOAK_MINUTES` as many as fit. Chance comes from a seed that is printed;
//! `LEDGER_SEED` makes the same choices again, as far as the machine's own timing lets it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and it drives the machine as its user would"
)]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

#[expect(dead_code, reason = "this test needs a part of what the others stand on")]
#[path = "../it/support/mod.rs"]
mod support;

mod audit;
mod clock;
mod consumer;
mod estate;
mod event;
mod faults;
mod fleet;
mod meta;
mod proxy;
mod random;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use waxseal::clock::{Clock, SystemClock};

use clock::FastClock;
use estate::{Estate, NUMBERS};
use meta::Meta;
use random::Random;
use support::database::count;

/// Time without faults before, between and after the rounds: there, exactly once is exactly once.
const CALM: Duration = Duration::from_secs(4);
/// How long it may take until everything has arrived once everything is well.
const DRAINED_WITHIN: Duration = Duration::from_secs(150);
/// The numbers that are posted for, by a poster each.
const POSTERS: [usize; 8] = [0, 0, 0, 0, 1, 1, 2, 2];

const OWED: &str = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)";

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let Ok(began) = std::env::var(fleet::BEGAN) {
        return runtime.block_on(fleet::serve(&began));
    }
    // Called like every other test: with names of tests to run, and perhaps to list them.
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        println!("ledger: test");
        return ExitCode::SUCCESS;
    }
    if words.iter().any(|word| !word.starts_with('-')) && !words.iter().any(|word| "ledger".contains(word.as_str())) {
        return ExitCode::SUCCESS;
    }
    runtime.block_on(run())
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().map(|text| text.parse().ok().expect("a number"))
}

async fn run() -> ExitCode {
    let began = SystemClock.now();
    let seed = number("LEDGER_SEED")
        .unwrap_or_else(|| Random::new(began.unix_timestamp_nanos().unsigned_abs() as u64, 0).next() >> 32);
    let soak = Duration::from_mins(1) * number("SOAK_MINUTES").unwrap_or(0);
    println!("ledger: LEDGER_SEED={seed}, {} minutes", soak.as_secs() / 60);
    let estate = Estate::start(seed, FastClock { began }).await;
    let watchers: Vec<_> = (0..estate.gateways.len()).map(|index| tokio::spawn(watch(estate.clone(), index))).collect();
    let from = Instant::now();
    let webhooks = estate.gateways.iter().map(|gateway| format!("http://127.0.0.1:{}/webhook", gateway.at.public));
    let meta = Meta::start(webhooks.collect(), &NUMBERS, &POSTERS, seed);
    let (mut faults, mut rounds) = (Vec::new(), 0);
    sleep(CALM).await;
    while rounds == 0 || from.elapsed() < soak {
        rounds += 1;
        faults.extend(faults::round(&estate, seed, rounds).await);
        estate.until_ready().await;
        sleep(CALM).await;
    }
    let counts = meta.counts.clone();
    let facts = meta.finish(DRAINED_WITHIN).await;
    let posted_for = from.elapsed();
    let drained = drain(&estate).await;
    for watcher in watchers {
        watcher.abort();
    }
    let run = report::Run { seed, rounds, from, posted_for, drained, facts, faults, counts };
    if report::report(&estate, run).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn watch(estate: Arc<Estate>, index: usize) {
    estate.gateways[index].watch().await;
}

/// Waits until nothing is owed. `None` when that does not come to pass.
async fn drain(estate: &Estate) -> Option<Duration> {
    let began = Instant::now();
    while count(&estate.database, OWED).await > 0 {
        if began.elapsed() > DRAINED_WITHIN {
            return None;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Some(began.elapsed())
}
