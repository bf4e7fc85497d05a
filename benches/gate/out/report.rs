//! The findings about deliveries as text, and the targets.

use std::fmt::Write;

use super::{Findings, STEADY};
use crate::table::grouped;
use crate::targets::{Target, at_least, at_least_rate, at_most, nothing};

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// The report, without the targets.
pub(crate) fn render(findings: &Findings) -> String {
    let mut out = String::new();
    // Writing into a text does not fail.
    let _ = writeln!(
        out,
        "\n{:<34} {:>12} {:>14} {:>14} {:>14}",
        "DELIVERIES", "deliveries/s", "WAL bytes each", "CPU µs gateway", "CPU µs postgres"
    );
    for (endpoints, fan) in &findings.fans {
        let [gateway, postgres] = fan
            .cpu
            .map_or_else(|| ["n/a".to_owned(), "n/a".to_owned()], |cpu| cpu.map(|micros| format!("{micros:.0}")));
        let name = format!("each event to {endpoints:>3} {}", if *endpoints == 1 { "endpoint" } else { "endpoints" });
        let (rate, wal) = (grouped(fan.rate), grouped(fan.wal));
        let _ = writeln!(out, "{name:<34} {rate:>12} {wal:>14} {gateway:>14} {postgres:>14}");
    }
    let hanging = &findings.hanging;
    let _ = writeln!(out, "{:<34} {:>12}", "nine beside one that answers", grouped(hanging.beside_healthy));
    let _ = writeln!(out, "{:<34} {:>12}", "nine beside one that hangs", grouped(hanging.beside_hanging));
    let backlog = &findings.backlog;
    let name = format!("backlog of {}", grouped(backlog.owed as f64));
    let _ = writeln!(out, "{name:<34} {:>12}", grouped(backlog.rate));
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| millis(findings, share));
    let rate = grouped(f64::from(STEADY));
    let _ = writeln!(out, "POST to receipt at {rate} events/s: p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms");
    let _ = writeln!(out, "longest silence after a worker was killed: {:.1} s", findings.takeover.as_secs_f64());
    out
}

/// Every target, judged.
pub(crate) fn judge(findings: &Findings) -> Vec<Target> {
    let fan = |wanted| findings.fans.iter().find(|(endpoints, _)| *endpoints == wanted).map(|(_, fan)| fan);
    let rate = |wanted| fan(wanted).map_or(f64::NAN, |fan| fan.rate);
    let wal = fan(10).map_or(f64::NAN, |fan| fan.wal);
    let hanging = &findings.hanging;
    let memory = findings.backlog.memory.map_or(f64::NAN, |bytes| bytes as f64 / MEGABYTE);
    vec![
        at_most("POST to receipt at 2,000 events/s: p50", millis(findings, 0.5), 10.0, "ms"),
        at_most("POST to receipt at 2,000 events/s: p99", millis(findings, 0.99), 50.0, "ms"),
        at_least_rate("10 endpoints: deliveries/s", rate(10), 8_000.0),
        at_least("nine endpoints beside one that hangs", hanging.beside_hanging / hanging.beside_healthy, 0.95),
        at_most("10 endpoints: WAL of a delivery", wal, 700.0, "B"),
        at_least("backlog: share of the fresh rate", findings.backlog.rate / rate(1), 0.80),
        at_most("backlog: gateway memory", memory, 150.0, "MB"),
        at_most("a killed worker's lanes move within", findings.takeover.as_secs_f64(), 20.0, "s"),
        nothing("events stored and not delivered", findings.missing),
    ]
}

fn millis(findings: &Findings, share: f64) -> f64 {
    findings.latency.seen.quantile(share).as_secs_f64() * 1000.0
}
