//! A few measurements on an empty database, for trying a change out: no targets, no history.

use anyhow::Context;

use super::bench::Site;
use super::bench::{Bench, Outcome};
use super::ceiling::{Batches, Statement};
use super::closed::Shape;
use super::database::Database;
use super::gateway::Batching;
use super::load::People;
use super::open::Schedule;
use super::progress;
use super::scenario::{RAW, SCHEDULE};
use super::server::Server;

/// What is measured one after the other, and all of it again in the next round: `raw`, `plain`, `open`, `open/RATE`, or
/// `CONNECTIONSxITEMS`, with spaces between.
const TRY: &str = "WAXSEAL_BENCH_TRY";

/// What the caller asks for.
pub(crate) fn asked_for() -> Option<Vec<String>> {
    let (_, list) = waxseal::config::environment().find(|(name, _)| name == TRY)?;
    Some(list.split_whitespace().map(str::to_owned).collect())
}

/// Measures each, `rounds` times by turns.
pub(crate) async fn run(bench: &Bench, server: &Server, wanted: &[String]) -> anyhow::Result<Vec<(String, Outcome)>> {
    let database = Database::make(server, "bench_empty").await?;
    let gateway = bench.start(&database, Batching::Grouped).await?;
    let site = Site { database, gateway };
    progress::say("trying: ");
    let mut found = Vec::with_capacity(wanted.len());
    for name in wanted {
        found.push((name.clone(), measure(bench, &site, name).await?));
    }
    Ok(found)
}

async fn measure(bench: &Bench, site: &Site, name: &str) -> anyhow::Result<Outcome> {
    if let Some(rate) = name.strip_prefix("open/") {
        return bench.open(site, Schedule { rate: rate.parse()?, ..SCHEDULE }).await;
    }
    if let Some(rows) = name.strip_prefix("raw/") {
        return bench.raw(site, Batches { rows: rows.parse()?, ..RAW }).await;
    }
    match name {
        "raw" => bench.raw(site, RAW).await,
        "plain" => bench.raw(site, Batches { statement: Statement::Plain, ..RAW }).await,
        "open" => bench.open(site, SCHEDULE).await,
        _ => {
            let (connections, items) = name.split_once('x').context("CONNECTIONSxITEMS, raw, plain or open")?;
            let shape = Shape { connections: connections.parse()?, items: items.parse()?, people: People::Known };
            bench.closed(&site.database, &site.gateway, shape).await
        }
    }
}
