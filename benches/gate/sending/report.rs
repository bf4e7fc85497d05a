//! The findings about sending as text, and the targets.

use std::fmt::Write;

use super::{CHANNELS, Findings, Kept, STEADY, WAITING};
use crate::histogram::Histogram;
use crate::table::grouped;
use crate::targets::{Target, at_least, at_least_rate, at_most};

const MEGABYTE: f64 = 1024.0 * 1024.0;
const _: () = assert!(WAITING == 1_000_000, "the text of a target says so");

/// The report, without the targets.
pub(crate) fn render(findings: &Findings) -> String {
    let mut out = String::new();
    let taken = &findings.taken;
    // Writing into a text does not fail.
    let _ = writeln!(out, "\n{:<62} {:>12}", "SENDING, Meta answers in 80 ms", "a second");
    let _ = writeln!(out, "{:<62} {:>12}", "handed over by POST /v1/messages, 48 connections", grouped(taken.accepted));
    let _ = writeln!(out, "{:<62} {:>12}", "sent meanwhile", grouped(taken.sent));
    let _ = writeln!(
        out,
        "    POST to 202: p50 {:.2} ms, p99 {:.2} ms",
        millis(&taken.latency, 0.5),
        millis(&taken.latency, 0.99)
    );
    let _ = writeln!(out, "{:<62} {:>12}", "sent out of a queue that was there before", grouped(findings.drained));
    for Kept { limit, rates, latency } in &findings.kept {
        let (least, most) = bounds(rates);
        let name = format!("{CHANNELS} numbers with a limit of {limit}: slowest, fastest");
        let _ = writeln!(out, "{name:<62} {least:>6.1} {most:>6.1}");
        let [p50, p99] = [0.5, 0.99].map(|share| millis(latency, share));
        let _ = writeln!(out, "    POST to 202 meanwhile, {STEADY} a second: p50 {p50:.2} ms, p99 {p99:.2} ms");
    }
    let [direct, mirrored] = [&findings.direct, &findings.mirrored].map(|one| millis(one, 0.5));
    let _ = writeln!(out, "mirror: p50 {mirrored:.2} ms, the same request to Meta itself {direct:.2} ms");
    out
}

/// Every target, judged.
pub(crate) fn judge(findings: &Findings) -> Vec<Target> {
    let added = millis(&findings.mirrored, 0.5) - millis(&findings.direct, 0.5);
    let memory = findings.memory.map_or(f64::NAN, |bytes| bytes as f64 / MEGABYTE);
    let mut targets = vec![
        at_least_rate("messages/s to a Meta that answers in 80 ms", findings.drained, 6_000.0),
        at_most("POST /v1/messages, as fast as it goes: p99", millis(&findings.taken.latency, 0.99), 20.0, "ms"),
        at_most("the mirror adds at p50", added, 3.0, "ms"),
        at_most("gateway memory with 1,000,000 queued", memory, 150.0, "MB"),
    ];
    for Kept { limit, rates, latency } in &findings.kept {
        let (least, most) = bounds(rates);
        let limit = f64::from(*limit);
        targets.push(at_most("POST /v1/messages while limits are kept: p99", millis(latency, 0.99), 20.0, "ms"));
        targets.push(at_least("ten numbers: the slowest's share of its limit", least / limit, 0.99));
        targets.push(at_most("ten numbers: the fastest's share of its limit", most / limit * 100.0, 101.0, "%"));
    }
    targets
}

fn bounds(rates: &[f64]) -> (f64, f64) {
    (rates.iter().copied().fold(f64::INFINITY, f64::min), rates.iter().copied().fold(0.0, f64::max))
}

fn millis(histogram: &Histogram, share: f64) -> f64 {
    histogram.quantile(share).as_secs_f64() * 1000.0
}
