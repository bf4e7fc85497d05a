//! The way out to apps: fan-out, latency, a hanging endpoint, a backlog, and a worker that is killed.

mod consumer;
mod feed;
pub(crate) mod report;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::bench::{Bench, Site};
use super::database::Database;
use super::gateway::{Batching, Endpoint, Gateway};
use super::histogram::Histogram;
use super::load::Target;
use super::process::{Cpu, Memory};
use super::progress;
use super::server::{Server, ask};
use consumer::{Consumer, Manner};
use feed::Sent;

/// How long deliveries may take to arrive before something counts as lost.
const PATIENCE: Duration = Duration::from_mins(10);
/// Events a second in the measurement of latency.
const STEADY: u32 = 2000;
/// Numbers of endpoints that each event is told to.
const FANS: [usize; 3] = [1, 10, 100];
/// Endpoints beside the one that hangs.
const NEIGHBOURS: usize = 9;
/// Endpoints of the two workers of which one is killed, and events a second meanwhile.
const SHARED: usize = 20;
const TRICKLE: u32 = 200;
/// Longer than a take-over may last.
const AFTERMATH: Duration = Duration::from_secs(25);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    /// Deliveries in each measurement of throughput.
    pub(crate) deliveries: u64,
    /// Events that wait for one endpoint.
    pub(crate) backlog: u64,
    /// Length of the measurement of latency.
    pub(crate) steady: Duration,
}

/// Everything that was found out.
pub(crate) struct Findings {
    pub(crate) fans: Vec<(usize, Fan)>,
    pub(crate) latency: Latency,
    pub(crate) hanging: Hanging,
    pub(crate) backlog: Backlog,
    /// The longest silence of an endpoint after its worker was killed.
    pub(crate) takeover: Duration,
    /// Events answered 200 that did not arrive.
    pub(crate) missing: u64,
}

/// Events told to several endpoints at once.
pub(crate) struct Fan {
    /// Deliveries a second, from the first POST to the last receipt.
    pub(crate) rate: f64,
    /// Bytes of WAL for each delivery, beyond what storing the events alone writes.
    pub(crate) wal: f64,
    /// Microseconds of processor time for each delivery, storing included: gateway and Postgres.
    pub(crate) cpu: Option<[f64; 2]>,
}

/// From Meta's POST to the consumer's receipt, at [`STEADY`].
pub(crate) struct Latency {
    pub(crate) seen: Histogram,
}

/// What nine endpoints get, a second, beside a tenth that answers and beside one that does not.
pub(crate) struct Hanging {
    pub(crate) beside_healthy: f64,
    pub(crate) beside_hanging: f64,
}

/// An endpoint that was paused for long.
pub(crate) struct Backlog {
    pub(crate) owed: u64,
    /// Deliveries a second, from the resumption on.
    pub(crate) rate: f64,
    /// The most memory of the gateway meanwhile.
    pub(crate) memory: Option<u64>,
}

/// Measures everything.
pub(crate) async fn run(bench: &Bench, server: &Server, amounts: Amounts) -> anyhow::Result<Findings> {
    let database = Database::make(server, "bench_out").await?;
    let gateway = bench.start(&database, Batching::Grouped).await?;
    let site = Site { database, gateway };
    let out = Out { bench, site: &site, amounts };
    progress::say("deliveries: ");
    let mut missing = 0;
    let mut fans = Vec::with_capacity(FANS.len());
    for endpoints in FANS {
        let (fan, lost) = out.fan(endpoints).await?;
        missing += lost;
        fans.push((endpoints, fan));
    }
    let (latency, lost) = out.latency().await?;
    missing += lost;
    let hanging = out.hanging().await?;
    progress::say(&format!("a backlog of {} events: ", amounts.backlog));
    let (backlog, lost) = out.backlog().await?;
    missing += lost;
    progress::say("a killed worker: ");
    let takeover = out.takeover().await?;
    Ok(Findings { fans, latency, hanging, backlog, takeover, missing })
}

struct Out<'a> {
    bench: &'a Bench,
    site: &'a Site,
    amounts: Amounts,
}

/// Consumers, each with its endpoint.
struct Audience {
    consumers: Vec<Consumer>,
    endpoints: Vec<Endpoint>,
}

impl Audience {
    /// How many deliveries of `events` have not arrived at those that answer.
    fn missing(&self, events: u64) -> u64 {
        self.consumers.iter().map(|one| events.saturating_sub(one.arrived())).sum()
    }

    /// Waits until all of `consumers` have got `events`. False after [`PATIENCE`].
    async fn have(consumers: &[Consumer], events: u64) -> bool {
        let start = Instant::now();
        while consumers.iter().any(|one| one.arrived() < events) {
            if start.elapsed() > PATIENCE {
                return false;
            }
            sleep(Duration::from_millis(2)).await;
        }
        true
    }
}

impl Out<'_> {
    fn target(&self) -> Target {
        Target { address: self.site.gateway.public, watched: self.bench.watched(&self.site.gateway) }
    }

    async fn audience(&self, manners: &[Manner], sent: &Arc<Sent>) -> anyhow::Result<Audience> {
        self.site.database.reset().await?;
        let (mut consumers, mut endpoints) = (Vec::new(), Vec::new());
        for manner in manners {
            let consumer = Consumer::start(*manner, sent.clone()).await?;
            endpoints.push(self.site.gateway.add_endpoint(consumer.address).await?);
            consumers.push(consumer);
        }
        self.lanes_are_taken(endpoints.len()).await?;
        Ok(Audience { consumers, endpoints })
    }

    /// An endpoint that was just made waits for up to half a second until somebody takes its lane. That is not what is measured.
    async fn lanes_are_taken(&self, endpoints: usize) -> anyhow::Result<()> {
        let mut connection = self.site.database.connect().await?;
        let taken = "SELECT count(*)::text FROM lane WHERE kind = 1 AND worker_id IS NOT NULL";
        while ask(&mut connection, taken).await?.parse::<usize>()? < endpoints {
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn dismiss(&self, audience: Audience) -> anyhow::Result<()> {
        for endpoint in audience.endpoints {
            self.site.gateway.remove_endpoint(endpoint).await?;
        }
        progress::tick();
        Ok(())
    }

    async fn wal(&self) -> anyhow::Result<u64> {
        let mut connection = self.site.database.connect().await?;
        Ok(ask(&mut connection, "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint::text").await?.parse()?)
    }

    /// WAL of storing so many events that nobody is told of.
    async fn wal_of_storing(&self, events: u64) -> anyhow::Result<u64> {
        self.site.database.reset().await?;
        let before = self.wal().await?;
        feed::burst(self.target().address, &self.bench.meta, events).await?;
        Ok(self.wal().await? - before)
    }

    async fn fan(&self, endpoints: usize) -> anyhow::Result<(Fan, u64)> {
        let events = (self.amounts.deliveries / endpoints as u64).max(500);
        let storing = self.wal_of_storing(events).await?;
        let audience = self.audience(&vec![Manner::Answers; endpoints], &Arc::default()).await?;
        let (wal, cpu) = (self.wal().await?, self.target().watched.cpu());
        let start = Instant::now();
        feed::burst(self.target().address, &self.bench.meta, events).await?;
        Audience::have(&audience.consumers, events).await;
        let seconds = start.elapsed().as_secs_f64();
        let deliveries = (events * endpoints as u64) as f64;
        let used = |now: Cpu, then: Cpu| {
            [now.gateway - then.gateway, now.postgres - then.postgres].map(|seconds| seconds * 1e6 / deliveries)
        };
        let fan = Fan {
            rate: deliveries / seconds,
            wal: (self.wal().await? - wal).saturating_sub(storing) as f64 / deliveries,
            cpu: cpu.and_then(|then| Some(used(self.target().watched.cpu()?, then))),
        };
        let missing = audience.missing(events);
        self.dismiss(audience).await?;
        Ok((fan, missing))
    }

    async fn latency(&self) -> anyhow::Result<(Latency, u64)> {
        let events = u64::from(STEADY) * self.amounts.steady.as_millis() as u64 / 1000;
        let sent = Arc::new(Sent::room_for(&self.bench.meta, events));
        let audience = self.audience(&[Manner::Answers], &sent).await?;
        feed::steady(self.target().address, &self.bench.meta, &sent, STEADY).await?;
        Audience::have(&audience.consumers, events).await;
        let mut seen = Histogram::default();
        audience.consumers.iter().for_each(|one| seen.add(&one.latencies()));
        let missing = audience.missing(events);
        self.dismiss(audience).await?;
        Ok((Latency { seen }, missing))
    }

    async fn hanging(&self) -> anyhow::Result<Hanging> {
        let (mut healthy, mut hanging) = (Vec::new(), Vec::new());
        for _ in 0..self.bench.sizes.rounds {
            healthy.push(self.nine_beside(Manner::Answers).await?);
            hanging.push(self.nine_beside(Manner::Hangs).await?);
        }
        Ok(Hanging { beside_healthy: middle(healthy), beside_hanging: middle(hanging) })
    }

    /// Deliveries a second of nine endpoints beside one of this manner.
    async fn nine_beside(&self, tenth: Manner) -> anyhow::Result<f64> {
        let events = self.amounts.deliveries / (NEIGHBOURS as u64 + 1);
        let mut manners = vec![Manner::Answers; NEIGHBOURS];
        manners.push(tenth);
        let audience = self.audience(&manners, &Arc::default()).await?;
        let start = Instant::now();
        feed::burst(self.target().address, &self.bench.meta, events).await?;
        Audience::have(audience.consumers.get(..NEIGHBOURS).unwrap_or_default(), events).await;
        let rate = (events * NEIGHBOURS as u64) as f64 / start.elapsed().as_secs_f64();
        self.dismiss(audience).await?;
        Ok(rate)
    }

    async fn backlog(&self) -> anyhow::Result<(Backlog, u64)> {
        let owed = self.amounts.backlog;
        let audience = self.audience(&[Manner::Answers], &Arc::default()).await?;
        for endpoint in &audience.endpoints {
            self.site.gateway.change(endpoint, &json!({ "state": "paused" })).await?;
        }
        feed::burst(self.target().address, &self.bench.meta, owed).await?;
        let watched = self.target().watched;
        for endpoint in &audience.endpoints {
            self.site.gateway.change(endpoint, &json!({ "state": "active" })).await?;
        }
        let start = Instant::now();
        let mut memory: Option<Memory> = None;
        while audience.missing(owed) > 0 && start.elapsed() < PATIENCE {
            memory = memory.into_iter().chain(watched.memory()).max_by_key(|memory| memory.gateway);
            sleep(Duration::from_millis(100)).await;
        }
        let rate = owed as f64 / start.elapsed().as_secs_f64();
        let missing = audience.missing(owed);
        self.dismiss(audience).await?;
        Ok((Backlog { owed, rate, memory: memory.map(|memory| memory.gateway) }, missing))
    }

    /// Kills one of two workers that share the lanes, and returns the longest silence of an endpoint.
    async fn takeover(&self) -> anyhow::Result<Duration> {
        let audience = self.audience(&[Manner::Answers; SHARED], &Arc::default()).await?;
        let other = Gateway::start(&self.site.database, self.bench.business(), Batching::Grouped).await?;
        let feeding = feed::trickle(self.target().address, self.bench.meta.clone(), TRICKLE);
        let killing = async {
            // Long enough for the two to share the lanes.
            sleep(Duration::from_secs(8)).await;
            drop(other);
            audience.consumers.iter().for_each(Consumer::forget_silence);
            sleep(AFTERMATH).await;
            audience.consumers.iter().map(Consumer::longest_silence).max().unwrap_or_default()
        };
        let longest = tokio::select! {
            fed = feeding => { fed?; AFTERMATH }
            longest = killing => longest,
        };
        self.dismiss(audience).await?;
        Ok(longest)
    }
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
