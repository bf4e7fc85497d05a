//! What webhooks lose while a command of the product works on the same database.

use std::time::Duration;

use tokio::time::Instant;

use crate::bench::{Bench, Site};
use crate::closed::Shape;
use crate::load::{People, Window};
use crate::progress;

/// Webhooks as a busy number gets them.
const SHAPE: Shape = Shape { connections: 64, items: 1, people: People::Known };
/// Windows before the command, and again behind it.
const QUIET: usize = 3;

/// Windows beside the command at most: what webhooks bring needs room on the disk, and a command that gives way takes its time.
const BUSY: usize = 60;

/// A command, and the webhooks around it.
pub(crate) struct Beside {
    /// How long it took.
    pub(super) took: Duration,
    /// Items a second while it worked, and while it did not; medians.
    pub(super) busy: f64,
    pub(super) quiet: f64,
}

/// Webhooks alone, then beside the command until it is done, then alone again.
pub(super) async fn measure(
    bench: &Bench,
    site: &Site,
    acknowledged: &mut u64,
    arguments: &[&str],
) -> anyhow::Result<Beside> {
    let window = bench.sizes.window;
    let (mut busy, mut quiet) = (Vec::new(), Vec::new());
    for _ in 0..QUIET {
        quiet.push(rate(bench, site, acknowledged, window).await?);
    }
    let began = Instant::now();
    let mut child = site.gateway.command(arguments).spawn()?;
    let status = loop {
        if busy.len() >= BUSY {
            break child.wait().await?;
        }
        // The last window has its end without the command, and says less than the truth: it counts only when there is no other.
        let one = rate(bench, site, acknowledged, window).await?;
        let ended = child.try_wait()?;
        if ended.is_none() || busy.is_empty() {
            busy.push(one);
        }
        if let Some(status) = ended {
            break status;
        }
    };
    let took = began.elapsed();
    anyhow::ensure!(status.success(), "waxseal {} failed", arguments.join(" "));
    for _ in 0..QUIET {
        quiet.push(rate(bench, site, acknowledged, window).await?);
    }
    Ok(Beside { took, busy: middle(busy), quiet: middle(quiet) })
}

/// Nothing is put back before it: what the command copies stays where it is.
async fn rate(bench: &Bench, site: &Site, acknowledged: &mut u64, window: Window) -> anyhow::Result<f64> {
    let tally = bench.loaded(&site.gateway, SHAPE).await?;
    anyhow::ensure!(tally.refused == 0, "{} webhooks were refused", tally.refused);
    *acknowledged += tally.acknowledged;
    progress::tick();
    Ok(tally.items as f64 / window.measured.as_secs_f64())
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}
