//! A backup, alone and while webhooks come in: `make bench ARGS="-- backup"`, for another size `… backup rows=2000000`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waxseal::app::Base;
use waxseal::backup::{Parts, Wanted};
use waxseal::clock::SystemClock;
use waxseal::config::Config;
use waxseal::crypto::age::Identity;

use super::bench::Bench;
use super::closed::Shape;
use super::database::Database;
use super::gateway::Batching;
use super::load::People;
use super::progress;
use super::server::{Server, execute};
use super::targets::{Target, at_least};

const MEGABYTE: f64 = 1e6;
/// Webhooks as a busy number gets them.
const SHAPE: Shape = Shape { connections: 64, items: 1, people: People::Known };

/// What was found out.
pub(crate) struct Findings {
    /// As Postgres gave them.
    bytes: u64,
    alone: Duration,
    /// While webhooks came in: each backup that was made whole.
    under_load: Vec<Duration>,
    /// Webhooks a second without a backup, and with.
    rates: [f64; 2],
}

/// Fills a database with sealed content, and copies it.
pub(crate) async fn run(bench: &Bench, server: &Server) -> anyhow::Result<Findings> {
    let rows = std::env::args().find_map(|one| one.strip_prefix("rows=")?.parse::<u64>().ok()).unwrap_or(500_000);
    let database = Database::make(server, "bench_backup").await?;
    let gateway = bench.start(&database, Batching::Grouped).await?;
    let config = Config::load(None, gateway.settings.iter().cloned())?;
    progress::say("backup: ");
    let quiet = bench.closed(&database, &gateway, SHAPE).await?.rate;
    let mut connection = database.connect().await?;
    // What is sealed does not shrink: random bytes behind a header.
    let filler = format!(
        "INSERT INTO event_payload SELECT tenant_id, part_day, gen_random_uuid(),
                substring(payload::bytea FOR 76) || (SELECT string_agg(uuid_send(gen_random_uuid()), '') FROM generate_series(1, 40) WHERE n > 0)
           FROM (SELECT * FROM event_payload LIMIT 1) one, generate_series(1, {rows}) n"
    );
    execute(&mut connection, filler).await?;
    progress::tick();
    let base = Base::open(&config, Arc::new(SystemClock)).await?;
    let folder = std::env::temp_dir().join(format!("waxseal-bench-backup-{}", std::process::id()));
    let copy = async || {
        let recipients = [Identity::generate().recipient()?, Identity::generate().recipient()?].to_vec();
        let parts = Parts { data: true, keys: true };
        let wanted = Wanted { to: folder.clone(), keys_to: None, recipients, parts };
        let began = Instant::now();
        let made = base.making(&config, false)?.make(&wanted, &mut |_, _, _| ()).await?;
        let took = began.elapsed();
        std::fs::remove_dir_all(&folder)?;
        let bytes: u64 = made.manifest.archives.iter().flat_map(|one| &one.tables).map(|table| table.bytes).sum();
        anyhow::Ok((bytes, took))
    };
    let (bytes, alone) = copy().await?;
    progress::tick();
    let mut under_load = Vec::new();
    let copying = async {
        loop {
            under_load.push(copy().await?.1);
        }
    };
    let rate = tokio::select! {
        outcome = bench.closed(&database, &gateway, SHAPE) => outcome?.rate,
        failed = copying => return failed,
    };
    progress::tick();
    let _gone = std::fs::remove_dir_all(&folder);
    base.store.close().await;
    Ok(Findings { bytes, alone, under_load, rates: [quiet, rate] })
}

impl Findings {
    fn speed(&self, took: Duration) -> f64 {
        self.bytes as f64 / MEGABYTE / took.as_secs_f64()
    }
}

/// A table for people.
pub(crate) fn render(found: &Findings) -> String {
    let mut text = String::from(
        "\nBackup\n\n| stored | alone | under load | webhooks/s without | with |\n|---|---|---|---|---|\n",
    );
    let under_load = found.under_load.last().map_or(f64::NAN, |took| found.speed(*took));
    let [quiet, busy] = found.rates;
    let _ = writeln!(
        text,
        "| {:.0} MB | {:.0} MB/s | {under_load:.0} MB/s | {quiet:.0} | {busy:.0} |",
        found.bytes as f64 / MEGABYTE,
        found.speed(found.alone),
    );
    text
}

/// What a release has to reach.
pub(crate) fn judge(found: &Findings) -> Vec<Target> {
    let [quiet, busy] = found.rates;
    vec![
        at_least("backup: share of 50 MB/s", found.speed(found.alone) / 50.0, 1.0),
        at_least("webhooks while a backup is made: share of the rate without", busy / quiet, 0.8),
    ]
}
