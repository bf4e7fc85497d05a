//! What a load is measured by, whichever way it is generated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::histogram::Histogram;
use super::process::{Cpu, Memory, Watched};
use super::webhook::{Business, Facts};

/// People who write, and are written to, again and again.
pub(crate) const POOL: u64 = 10_000;

/// Where the load goes, and what is watched meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The public listener.
    pub(crate) address: std::net::SocketAddr,
    /// The gateway and its Postgres.
    pub(crate) watched: Watched,
}

/// Who the webhooks are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum People {
    /// One of [`POOL`], at random.
    Known,
    /// Somebody who has never been heard of, each time.
    New,
}

/// The side of Meta: hands out numbers, so that nothing in a run is sent twice.
#[derive(Debug)]
pub(crate) struct Meta {
    /// Whom the webhooks are for.
    pub(crate) business: Business,
    /// Stands in every message id.
    pub(crate) run: u32,
    next: AtomicU64,
}

impl Meta {
    /// Nothing is sent yet.
    pub(crate) const fn new(business: Business, run: u32) -> Self {
        Self { business, run, next: AtomicU64::new(0) }
    }

    /// The first of `count` numbers that nobody else gets.
    pub(crate) fn numbers(&self, count: u64) -> u64 {
        self.next.fetch_add(count, Ordering::Relaxed)
    }
}

impl People {
    /// What a message of this number says.
    pub(crate) const fn facts(self, message: u64, at: i64) -> Facts {
        let person = match self {
            // The finaliser of SplitMix64: neighbours are far apart.
            Self::Known => {
                let mixed = (message ^ (message >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (mixed ^ (mixed >> 31)) % POOL
            }
            Self::New => POOL + message,
        };
        Facts { person, message, at }
    }
}

/// How long a load runs before it counts, and how long it counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Not counted.
    pub(crate) warm_up: Duration,
    /// Counted.
    pub(crate) measured: Duration,
}

/// The window, once it is on the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// What ends from here on …
    pub(crate) from: Instant,
    /// … to here counts.
    pub(crate) until: Instant,
}

impl Window {
    /// Begins now.
    pub(crate) fn begin(self) -> Timing {
        let from = Instant::now() + self.warm_up;
        Timing { from, until: from + self.measured }
    }
}

/// What one connection, or all of them, got done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Items in POSTs that were answered 200 within the window.
    pub(crate) items: u64,
    /// Items in POSTs that were answered 200 at any time.
    pub(crate) acknowledged: u64,
    /// POSTs that were answered otherwise.
    pub(crate) refused: u64,
    /// Of the POSTs within the window.
    pub(crate) latency: Histogram,
}

impl Tally {
    /// Counts an answer.
    pub(crate) fn count(&mut self, status: u16, items: u64, latency: Duration, within: bool) {
        if status != 200 {
            self.refused += 1;
            return;
        }
        self.acknowledged += items;
        if within {
            self.items += items;
            self.latency.record(latency);
        }
    }

    /// Counts what `other` counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.items += other.items;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.latency.add(&other.latency);
    }
}

/// What was taken meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Percent of one core.
    pub(crate) cpu: Cpu,
    /// At the end of the window, under load.
    pub(crate) memory: Memory,
}

/// Watches processes over the window. `None` where they cannot be watched.
pub(crate) async fn watch(watched: Watched, timing: Timing) -> Option<Usage> {
    sleep_until(timing.from).await;
    let before = watched.cpu();
    sleep_until(timing.until).await;
    let after = watched.cpu()?;
    let seconds = (timing.until - timing.from).as_secs_f64();
    Some(Usage { cpu: after.percent_since(&before?, seconds), memory: watched.memory()? })
}
