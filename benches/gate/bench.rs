//! One measurement: the database as it was, the load, and whether everything that was answered 200 is stored.

use std::sync::Arc;
use std::time::Duration;

use waxseal::config::environment;

use super::ceiling::{self, Batches};
use super::closed::{self, Shape};
use super::database::Database;
use super::gateway::{Batching, Gateway};
use super::keeping;
use super::load::{Meta, Tally, Target, Usage, Window};
use super::open::{self, Schedule};
use super::out::Amounts;
use super::process::Watched;
use super::progress;
use super::receiver::Receiver;
use super::webhook::Business;

/// Set to anything, it makes the run short and rough.
const QUICK: &str = "WAXSEAL_BENCH_QUICK";
/// How long the last delivery may take after the last webhook.
const DRAIN: Duration = Duration::from_secs(30);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Of each measurement.
    pub(crate) window: Window,
    /// Measurements of which the median counts, where a target depends on it.
    pub(crate) rounds: usize,
    /// Events in the last 30 days.
    pub(crate) history: u64,
    /// Deliveries.
    pub(crate) out: Amounts,
    /// Entries of the long audit log.
    pub(crate) leaves: u64,
    /// People and what is kept of them.
    pub(crate) kept: keeping::Amounts,
}

impl Sizes {
    /// What the environment asks for.
    pub(crate) fn chosen() -> Self {
        let window = |warm_up, measured| Window {
            warm_up: Duration::from_millis(warm_up),
            measured: Duration::from_millis(measured),
        };
        if environment().any(|(name, _)| name == QUICK) {
            let out = Amounts { deliveries: 20_000, backlog: 100_000, steady: Duration::from_secs(2) };
            let kept = keeping::Amounts { contacts: 20_000, messages: 200_000 };
            Self { window: window(400, 1200), rounds: 1, history: 200_000, out, leaves: 10_000_000, kept }
        } else {
            let out = Amounts { deliveries: 60_000, backlog: 1_000_000, steady: Duration::from_secs(10) };
            let kept = keeping::Amounts { contacts: 1_000_000, messages: 10_000_000 };
            Self { window: window(1000, 4000), rounds: 3, history: 5_000_000, out, leaves: 10_000_000, kept }
        }
    }
}

/// What a measurement gave.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Items a second: sealed, stored and answered.
    pub(crate) rate: f64,
    /// In detail.
    pub(crate) tally: Tally,
    /// Where it can be known.
    pub(crate) usage: Option<Usage>,
    /// Items answered 200 that are not in the database. Anything but zero is a fault of the gateway.
    pub(crate) lost: u64,
    /// Until the endpoint had received everything, from the last webhook on. `None` without an endpoint.
    pub(crate) drained: Option<Drained>,
}

/// What became of the deliveries.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drained {
    /// All arrived, the last one so long after the last webhook.
    After(Duration),
    /// So many were missing in the end.
    Missing(u64),
}

impl Outcome {
    fn new((tally, usage): (Tally, Option<Usage>), window: Window) -> Self {
        let rate = tally.items as f64 / window.measured.as_secs_f64();
        Self { rate, tally, usage, lost: 0, drained: None }
    }

    /// A quantile of the latencies in milliseconds.
    pub(crate) fn millis(&self, share: f64) -> f64 {
        self.tally.latency.quantile(share).as_secs_f64() * 1000.0
    }
}

/// The one with the middle rate.
pub(crate) fn median(mut outcomes: Vec<Outcome>) -> anyhow::Result<Outcome> {
    outcomes.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let middle = outcomes.len() / 2;
    outcomes.into_iter().nth(middle).ok_or_else(|| anyhow::anyhow!("nothing was measured"))
}

/// A gateway and its database.
pub(crate) struct Site {
    /// Rows.
    pub(crate) database: Database,
    /// As shipped.
    pub(crate) gateway: Gateway,
}

/// What all measurements share.
pub(crate) struct Bench {
    /// Who sends.
    pub(crate) meta: Arc<Meta>,
    /// The first process of the server.
    pub(crate) postgres: u32,
    /// How much.
    pub(crate) sizes: Sizes,
}

impl Bench {
    /// Whom the webhooks are for.
    pub(crate) fn business(&self) -> Business {
        self.meta.business
    }

    /// What is watched while a gateway is under load.
    pub(crate) fn watched(&self, gateway: &Gateway) -> Watched {
        Watched { gateway: gateway.process(), postgres: self.postgres }
    }

    fn target(&self, gateway: &Gateway) -> Target {
        Target { address: gateway.public, watched: self.watched(gateway) }
    }

    /// Starts a gateway that knows everybody in the pool already.
    pub(crate) async fn start(&self, database: &Database, batching: Batching) -> anyhow::Result<Gateway> {
        let gateway = Gateway::start(database, self.business(), batching).await?;
        self.introduce(&gateway).await?;
        Ok(gateway)
    }

    /// Sends one message of everybody in the pool.
    pub(crate) async fn introduce(&self, gateway: &Gateway) -> anyhow::Result<()> {
        closed::introduce(self.target(gateway), &self.meta).await
    }

    /// One person writes so many messages.
    pub(crate) async fn hear_from(&self, gateway: &Gateway, person: u64, messages: u64) -> anyhow::Result<()> {
        closed::send_all(self.target(gateway), &self.meta, messages, |_| person).await
    }

    /// A closed loop on whatever is stored, of which nothing is put back or counted.
    pub(crate) async fn loaded(&self, gateway: &Gateway, shape: Shape) -> anyhow::Result<Tally> {
        Ok(closed::run(self.target(gateway), &self.meta, shape, self.sizes.window).await?.0)
    }

    /// Measures a closed loop.
    pub(crate) async fn closed(&self, database: &Database, gateway: &Gateway, shape: Shape) -> anyhow::Result<Outcome> {
        let before = begin(database).await?;
        let load = closed::run(self.target(gateway), &self.meta, shape, self.sizes.window).await?;
        self.end(database, before, load).await
    }

    /// Measures an open loop with one endpoint that receives everything.
    pub(crate) async fn open(&self, site: &Site, schedule: Schedule) -> anyhow::Result<Outcome> {
        let before = begin(&site.database).await?;
        let receiver = Receiver::start().await?;
        let endpoint = site.gateway.add_endpoint(receiver.address).await?;
        let load = open::run(self.target(&site.gateway), &self.meta, schedule, self.sizes.window).await?;
        let owed = load.0.acknowledged;
        let waited = receiver.wait_for(owed, DRAIN).await;
        site.gateway.remove_endpoint(endpoint).await?;
        let missing = Drained::Missing(owed.saturating_sub(receiver.arrived()));
        let outcome = self.end(&site.database, before, load).await?;
        Ok(Outcome { drained: Some(waited.map_or(missing, Drained::After)), ..outcome })
    }

    /// Measures a raw load, while the gateway stands idle.
    pub(crate) async fn raw(&self, site: &Site, batches: Batches) -> anyhow::Result<Outcome> {
        let before = begin(&site.database).await?;
        let watched = self.watched(&site.gateway);
        let load = ceiling::run(&site.database, watched, self.business(), batches, self.sizes.window).await?;
        self.end(&site.database, before, load).await
    }

    async fn end(&self, database: &Database, before: u64, load: (Tally, Option<Usage>)) -> anyhow::Result<Outcome> {
        progress::tick();
        let stored = database.stored_lately().await?.saturating_sub(before);
        let outcome = Outcome::new(load, self.sizes.window);
        Ok(Outcome { lost: outcome.tally.acknowledged.saturating_sub(stored), ..outcome })
    }
}

async fn begin(database: &Database) -> anyhow::Result<u64> {
    database.reset().await?;
    database.stored_lately().await
}
