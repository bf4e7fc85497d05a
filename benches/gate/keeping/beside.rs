//! What webhooks lose while a command of the product works on the same database.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::bench::{Bench, Site};
use crate::closed::Shape;
use crate::load::People;
use crate::progress;

/// Webhooks as a busy number gets them.
const SHAPE: Shape = Shape { connections: 64, items: 1, people: People::Known };
/// Windows before the command, and again behind it.
const QUIET: usize = 3;

/// Windows beside the command at most: what webhooks bring needs room on the disk, and a command that gives way takes its time.
const BUSY: usize = 60;

/// A command, and the webhooks around it.
pub(crate) struct Beside {
    /// How long it worked.
    pub(super) took: Duration,
    /// Items a second while it worked, and while it did not; medians.
    pub(super) busy: f64,
    pub(super) quiet: f64,
}

/// Webhooks alone, then beside the command until it is done, then alone again. They slow down as what they bring fills the tables, with and without
/// the command, so what is expected is the middle between before and behind.
pub(super) async fn throughout(
    bench: &Bench,
    site: &Site,
    acknowledged: &mut u64,
    arguments: &[&str],
) -> anyhow::Result<Beside> {
    let before = quiet(bench, site, acknowledged).await?;
    let began = Instant::now();
    let mut child = site.gateway.command(arguments).spawn()?;
    let mut busy = Vec::new();
    let status = loop {
        if busy.len() >= BUSY {
            break child.wait().await?;
        }
        let one = rate(bench, site, acknowledged).await?;
        let ended = child.try_wait()?;
        keep(&mut busy, one, ended.is_some());
        if let Some(status) = ended {
            break status;
        }
    };
    let took = began.elapsed();
    anyhow::ensure!(status.success(), "waxseal {} failed", arguments.join(" "));
    let behind = quiet(bench, site, acknowledged).await?;
    Ok(Beside { took, busy: median(busy), quiet: before.midpoint(behind) })
}

/// Webhooks beside the command and, while it stands still (SIGSTOP), without it, in turns: what fills the tables meanwhile slows down both alike.
/// Only for a command whose speed no clock decides, such as a rate it makes up for.
pub(super) async fn in_turns(
    bench: &Bench,
    site: &Site,
    acknowledged: &mut u64,
    arguments: &[&str],
) -> anyhow::Result<Beside> {
    let mut child = site.gateway.command(arguments).spawn()?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the command has ended")?;
    let (mut busy, mut quiet) = (Vec::new(), Vec::new());
    let mut took = Duration::ZERO;
    let status = loop {
        let began = Instant::now();
        if busy.len() >= BUSY {
            let status = child.wait().await?;
            took += began.elapsed();
            break status;
        }
        let one = rate(bench, site, acknowledged).await?;
        took += began.elapsed();
        let ended = child.try_wait()?;
        keep(&mut busy, one, ended.is_some());
        if let Some(status) = ended {
            break status;
        }
        // It was not waited for since it was looked at, so the number is still its own.
        kill_process(pid, Signal::STOP)?;
        quiet.push(rate(bench, site, acknowledged).await?);
        kill_process(pid, Signal::CONT)?;
    };
    anyhow::ensure!(status.success(), "waxseal {} failed", arguments.join(" "));
    if quiet.is_empty() {
        quiet.push(rate(bench, site, acknowledged).await?);
    }
    Ok(Beside { took, busy: median(busy), quiet: median(quiet) })
}

/// The last window has its end without the command, and says less than the truth: it counts only when there is no other.
fn keep(busy: &mut Vec<f64>, one: f64, ended: bool) {
    if !ended || busy.is_empty() {
        busy.push(one);
    }
}

async fn quiet(bench: &Bench, site: &Site, acknowledged: &mut u64) -> anyhow::Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..QUIET {
        rates.push(rate(bench, site, acknowledged).await?);
    }
    Ok(median(rates))
}

/// Nothing is put back before it: what the command copies stays where it is.
async fn rate(bench: &Bench, site: &Site, acknowledged: &mut u64) -> anyhow::Result<f64> {
    let tally = bench.loaded(&site.gateway, SHAPE).await?;
    anyhow::ensure!(tally.refused == 0, "{} webhooks were refused", tally.refused);
    *acknowledged += tally.acknowledged;
    progress::tick();
    Ok(tally.items as f64 / bench.sizes.window.measured.as_secs_f64())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    let [low, high] = [rates.len().saturating_sub(1) / 2, rates.len() / 2].map(|at| rates.get(at).copied());
    low.unwrap_or(f64::NAN).midpoint(high.unwrap_or(f64::NAN))
}
