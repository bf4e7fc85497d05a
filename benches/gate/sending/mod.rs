//! The way out to Meta: how fast messages are taken and sent, whether the limit is kept to the message, what the mirror adds, and
//! what a long queue costs.

mod load;
mod meta;
pub(crate) mod report;

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use super::bench::Bench;
use super::database::Database;
use super::gateway::{Batching, Gateway};
use super::histogram::Histogram;
use super::progress;
use super::server::{Server, execute};
use load::Load;
use meta::Meta;

/// Numbers that are sent through.
pub(crate) const CHANNELS: usize = 10;
/// How long Meta takes to answer.
const ANSWER: Duration = Duration::from_millis(80);
/// Limits that are kept, in messages a second of each number.
pub(crate) const LIMITS: [u32; 2] = [1000, 200];
/// Messages a second that are handed over while limits are kept.
pub(crate) const STEADY: u32 = 500;
/// Requests in each half of the comparison of the mirror with Meta itself.
const MIRRORED: usize = 500;
/// Messages that wait for tomorrow.
pub(crate) const WAITING: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_mins(5);

/// Everything that was found out.
pub(crate) struct Findings {
    pub(crate) taken: Taken,
    /// Messages a second out of a queue that was there before.
    pub(crate) drained: f64,
    pub(crate) kept: Vec<Kept>,
    /// The same request to Meta itself and through the mirror.
    pub(crate) direct: Histogram,
    pub(crate) mirrored: Histogram,
    /// Memory of the gateway with [`WAITING`] in the queue, while it sends.
    pub(crate) memory: Option<u64>,
}

/// A limit while every queue is full.
pub(crate) struct Kept {
    pub(crate) limit: u32,
    /// What each number got a second.
    pub(crate) rates: Vec<f64>,
    /// How long [`STEADY`] messages a second took meanwhile to be accepted.
    pub(crate) latency: Histogram,
}

/// Messages taken and sent at the same time.
pub(crate) struct Taken {
    /// A second, by POST /v1/messages and at Meta.
    pub(crate) accepted: f64,
    pub(crate) sent: f64,
    pub(crate) latency: Histogram,
}

/// Measures everything.
pub(crate) async fn run(bench: &Bench, server: &Server) -> anyhow::Result<Findings> {
    let first = bench.business().phone_number_id.to_owned();
    let numbers: Vec<String> = (1..CHANNELS).map(|at| format!("10654035224299{at}")).collect();
    let numbers: Vec<String> = std::iter::once(first).chain(numbers).collect();
    let meta = Meta::start(numbers.clone()).await?;
    let database = Database::make(server, "bench_sending").await?;
    progress::say("sending: ");
    let site = Sending { bench, meta, database, numbers };
    let gateway = site.gateway("unlimited").await?;
    let load = site.load(&gateway).await?;
    load.introduce().await?;
    site.wait_for_quiet().await?;
    site.meta.answer_after(ANSWER);
    let taken = site.taken(&load).await?;
    progress::tick();
    let drained = site.drained(&load).await?;
    progress::tick();
    let (direct, mirrored) = site.mirrored(&gateway, &load).await?;
    progress::tick();
    drop(gateway);
    let mut kept = Vec::new();
    for limit in LIMITS {
        let gateway = site.gateway(&limit.to_string()).await?;
        kept.push(site.kept(&site.load(&gateway).await?, limit).await?);
        progress::tick();
    }
    let memory = site.memory().await?;
    progress::tick();
    Ok(Findings { taken, drained, kept, direct, mirrored, memory })
}

struct Sending<'a> {
    bench: &'a Bench,
    meta: Meta,
    database: Database,
    numbers: Vec<String>,
}

impl Sending<'_> {
    /// A gateway with this limit, and with a lane for each number.
    async fn gateway(&self, limit: &str) -> anyhow::Result<Gateway> {
        let graph = format!("http://{}", self.meta.address);
        let more = [("WAXSEAL_META__GRAPH_URL", graph.as_str()), ("WAXSEAL_SEND__MESSAGES_PER_SECOND", limit)];
        let gateway = Gateway::start_with(&self.database, self.bench.business(), Batching::Grouped, &more).await?;
        let known: Value = serde_json::from_slice(&gateway.get("/v1/channels").await?)?;
        for number in &self.numbers {
            if !known.to_string().contains(number) {
                let channel = json!({ "phone_number_id": number, "waba_id": "102290129340398", "name": "bench", "access_token": "EAAGbenchUnusedToken7f3a" });
                gateway.create("/v1/channels", &channel).await?;
            }
        }
        Ok(gateway)
    }

    async fn load(&self, gateway: &Gateway) -> anyhow::Result<Load> {
        let channels: Value = serde_json::from_slice(&gateway.get("/v1/channels").await?)?;
        let ids = channels.get("data").and_then(Value::as_array).context("no channels")?.iter();
        let ids: Vec<String> = ids.filter_map(|one| one.get("id")?.as_str().map(str::to_owned)).collect();
        ensure!(ids.len() == CHANNELS, "{} channels", ids.len());
        Ok(Load { address: gateway.internal(), key: gateway.key().to_owned(), channels: ids })
    }

    /// Until nothing is owed.
    async fn wait_for_quiet(&self) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.owed().await? > 0 {
            ensure!(start.elapsed() < PATIENCE, "messages are still owed");
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn owed(&self) -> anyhow::Result<u64> {
        let question = "SELECT count(*)::text FROM (SELECT 1 FROM outbox WHERE next_at < now() + interval '1 hour' LIMIT 100000) o";
        Ok(super::server::ask(&mut self.database.connect().await?, question).await?.parse()?)
    }

    async fn hold(&self, connection: &mut PgConnection, held: bool) -> anyhow::Result<()> {
        let until = if held { "now() + interval '1 day'" } else { "'epoch'" };
        let statement = format!(
            "INSERT INTO channel_pace (tenant_id, channel_id, taken_until, slowed_until)
             SELECT tenant_id, channel_id, now(), {until} FROM channel
             ON CONFLICT (tenant_id, channel_id) DO UPDATE SET slowed_until = EXCLUDED.slowed_until"
        );
        execute(connection, statement).await
    }

    async fn taken(&self, load: &Load) -> anyhow::Result<Taken> {
        let window = self.bench.sizes.window;
        let (warm_up, measured) = (window.warm_up, window.measured);
        let posting = load.post_for(warm_up, measured);
        let counting = async {
            sleep(warm_up).await;
            let before = self.meta.count();
            sleep(measured).await;
            self.meta.count() - before
        };
        let (posted, sent) = tokio::join!(posting, counting);
        let (accepted, latency) = posted?;
        self.wait_for_quiet().await?;
        let seconds = measured.as_secs_f64();
        Ok(Taken { accepted: accepted as f64 / seconds, sent: sent as f64 / seconds, latency })
    }

    /// How fast a queue is emptied that was there before.
    async fn drained(&self, load: &Load) -> anyhow::Result<f64> {
        let mut connection = self.database.connect().await?;
        self.hold(&mut connection, true).await?;
        let messages = self.bench.sizes.out.deliveries;
        load.queue(messages).await?;
        let before = self.meta.count();
        let start = Instant::now();
        self.hold(&mut connection, false).await?;
        while self.meta.count() - before < messages {
            ensure!(start.elapsed() < PATIENCE, "{} of {messages} were sent", self.meta.count() - before);
            sleep(Duration::from_millis(10)).await;
        }
        let rate = messages as f64 / start.elapsed().as_secs_f64();
        self.wait_for_quiet().await?;
        Ok(rate)
    }

    /// What each number gets a second while its queue is never empty, and how long accepting takes meanwhile.
    async fn kept(&self, load: &Load, limit: u32) -> anyhow::Result<Kept> {
        let mut connection = self.database.connect().await?;
        self.hold(&mut connection, true).await?;
        let seconds = u64::from(if limit > 500 { 5_u32 } else { 10 });
        let messages = u64::from(limit) * CHANNELS as u64 * seconds;
        load.queue(messages).await?;
        let _before = self.meta.arrivals();
        let before = self.meta.count();
        self.hold(&mut connection, false).await?;
        let start = Instant::now();
        let sending = async {
            while self.meta.count() - before < messages {
                ensure!(start.elapsed() < PATIENCE, "{} of {messages} were sent", self.meta.count() - before);
                sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let (latency, ()) = tokio::try_join!(load.post_at(STEADY, Duration::from_secs(seconds / 2)), sending)?;
        self.wait_for_quiet().await?;
        let rate = |moments: &Vec<Instant>| {
            // Without the first and the last second's tenth: there the queue begins and ends.
            let (from, until) = (moments.len() / 10, moments.len() * 9 / 10);
            let span = moments.get(until).zip(moments.get(from)).map(|(last, first)| *last - *first);
            span.map_or(f64::NAN, |span| (until - from) as f64 / span.as_secs_f64())
        };
        Ok(Kept { limit, rates: self.meta.arrivals().iter().map(rate).collect(), latency })
    }

    async fn mirrored(&self, gateway: &Gateway, load: &Load) -> anyhow::Result<(Histogram, Histogram)> {
        self.meta.answer_after(Duration::ZERO);
        let number = self.numbers.first().context("no number")?;
        let (mut direct, mut mirrored) = (Histogram::default(), Histogram::default());
        // By turns, so that a machine that grows slower meanwhile does so for both.
        for _ in 0..5 {
            direct.add(&load.sequence(self.meta.address, &format!("/v25.0/{number}/messages"), MIRRORED / 5).await?);
            let path = format!("/graph/v25.0/{number}/messages");
            mirrored.add(&load.sequence(gateway.internal(), &path, MIRRORED / 5).await?);
        }
        self.meta.answer_after(ANSWER);
        Ok((direct, mirrored))
    }

    /// Memory of a gateway that sends beside [`WAITING`] messages of tomorrow.
    async fn memory(&self) -> anyhow::Result<Option<u64>> {
        let fill = format!(
            "INSERT INTO outbox (tenant_id, channel_id, message_id, part_day, next_at, contact_id)
             SELECT c.tenant_id, c.channel_id, gen_random_uuid(), current_date, now() + interval '1 day', gen_random_uuid()
             FROM channel c, generate_series(1, {}); ANALYZE outbox",
            WAITING / CHANNELS as u64
        );
        execute(&mut self.database.connect().await?, fill).await?;
        let gateway = self.gateway("unlimited").await?;
        let load = self.load(&gateway).await?;
        let (_, _) = load.post_for(Duration::ZERO, self.bench.sizes.window.measured).await?;
        let memory = self.bench.watched(&gateway).memory().map(|memory| memory.gateway);
        self.wait_for_quiet().await?;
        Ok(memory)
    }
}
