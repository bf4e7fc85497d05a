//! What a release has to reach on a machine with two cores, the load generator on the same two: ratios within one run, and
//! latencies that Meta would not notice.

use super::bench::{Drained, Outcome};
use super::scenario::{CROWD, Findings, LARGE, Posts, Rates, SMALL};
use super::table::grouped;

/// One target, and how far it was reached.
pub(crate) struct Target {
    /// What is measured.
    pub(crate) what: &'static str,
    /// As text.
    pub(crate) measured: String,
    /// As text.
    pub(crate) wanted: String,
    /// `None`: cannot be told on this machine.
    pub(crate) met: Option<bool>,
}

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// Every target, judged.
pub(crate) fn judge(findings: &Findings) -> Vec<Target> {
    let empty = &findings.empty;
    let ceiling = empty.ceiling();
    let rate = |posts| of(&empty.closed, posts).map_or(f64::NAN, |outcome| outcome.rate);
    let alone = of(&empty.one_per_request, SMALL).map_or(f64::NAN, |outcome| outcome.rate);
    let p99 = |posts| of(&empty.closed, posts).map_or(f64::NAN, |outcome| outcome.millis(0.99));
    let idle = findings.idle.map_or(f64::NAN, |memory| memory.gateway as f64 / MEGABYTE);
    vec![
        at_least("1 item, 64 connections: share of the raw ceiling", rate(SMALL) / ceiling, 0.30),
        at_least("1 item, 64 connections: one transaction per request times", rate(SMALL) / alone, 2.5),
        at_most("1 item, 64 connections: p99", p99(SMALL), 10.0, "ms"),
        at_most("1 item, 256 connections: p99", p99(CROWD), 50.0, "ms"),
        at_least("100 items, 64 connections: share of the raw ceiling", rate(LARGE) / ceiling, 0.50),
        at_most("4,000 updates/s, one endpoint: p50", empty.open.millis(0.5), 2.0, "ms"),
        at_most("4,000 updates/s, one endpoint: p99", empty.open.millis(0.99), 10.0, "ms"),
        at_most("gateway memory, idle", idle, 32.0, "MB"),
        at_most("gateway memory, 256 connections, 1 to 100 items", crowd_memory(empty), 64.0, "MB"),
        at_least("30 days of events: share of the empty rate, 1 item", findings.share_of_empty(SMALL), 0.85),
        at_least("30 days of events: share of the empty rate, 100 items", findings.share_of_empty(LARGE), 0.85),
        nothing("events answered 200 and not stored", findings.all().map(|outcome| outcome.lost).sum()),
        nothing("POSTs not answered 200", findings.all().map(|outcome| outcome.tally.refused).sum()),
        nothing("events stored and not delivered", findings.all().map(undelivered).sum()),
    ]
}

impl Rates {
    /// Rows a second of the faster statement.
    fn ceiling(&self) -> f64 {
        self.raw.iter().map(|outcome| outcome.rate).fold(0.0, f64::max)
    }

    fn all(&self) -> impl Iterator<Item = &Outcome> {
        let posts = self.closed.iter().chain(&self.one_per_request).map(|(_, outcome)| outcome);
        posts.chain(&self.raw).chain([&self.open])
    }
}

impl Findings {
    fn share_of_empty(&self, posts: Posts) -> f64 {
        let turns = self.turns.iter().find(|turns| turns.posts == posts);
        turns.map_or(f64::NAN, |turns| turns.full.rate / turns.empty.rate)
    }

    fn all(&self) -> impl Iterator<Item = &Outcome> {
        let turns = self.turns.iter().flat_map(|turns| [&turns.empty, &turns.full]);
        self.empty.all().chain(self.full.all()).chain(turns).chain([&self.lone_commit, &self.strangers])
    }
}

fn of(list: &[(Posts, Outcome)], posts: Posts) -> Option<&Outcome> {
    list.iter().find(|(one, _)| *one == posts).map(|(_, outcome)| outcome)
}

const fn undelivered(outcome: &Outcome) -> u64 {
    match outcome.drained {
        Some(Drained::Missing(count)) => count,
        _ => 0,
    }
}

/// The most, whatever the size of the POSTs.
fn crowd_memory(rates: &Rates) -> f64 {
    let crowds = rates.closed.iter().filter(|((connections, _), _)| *connections == CROWD.0);
    let bytes = crowds.filter_map(|(_, outcome)| Some(outcome.usage?.memory.gateway)).max();
    bytes.map_or(f64::NAN, |bytes| bytes as f64 / MEGABYTE)
}

/// Ratios: below one in percent, else as a factor.
pub(crate) fn at_least(what: &'static str, ratio: f64, wanted: f64) -> Target {
    let text = |ratio: f64| if wanted < 1.0 { format!("{:.0} %", ratio * 100.0) } else { format!("{ratio:.1} ×") };
    let met = known(ratio).map(|ratio| ratio >= wanted);
    Target { what, measured: text(ratio), wanted: format!("≥ {}", text(wanted)), met }
}

/// Whole numbers a second.
pub(crate) fn at_least_rate(what: &'static str, rate: f64, wanted: f64) -> Target {
    let met = known(rate).map(|rate| rate >= wanted);
    Target { what, measured: grouped(rate), wanted: format!("≥ {}", grouped(wanted)), met }
}

pub(crate) fn at_most(what: &'static str, value: f64, wanted: f64, unit: &str) -> Target {
    let measured = known(value).map_or_else(|| "n/a".to_owned(), |value| format!("{value:.1} {unit}"));
    let met = known(value).map(|value| value <= wanted);
    Target { what, measured, wanted: format!("≤ {wanted:.0} {unit}"), met }
}

pub(crate) fn nothing(what: &'static str, count: u64) -> Target {
    Target { what, measured: count.to_string(), wanted: "0".to_owned(), met: Some(count == 0) }
}

fn known(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
