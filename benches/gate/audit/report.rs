//! The findings about the audit log as text, and the targets.

use std::fmt::Write;

use super::Findings;
use crate::table::grouped;
use crate::targets::{Target, at_least, at_least_rate, at_most};

/// The report, without the targets.
pub(crate) fn render(findings: &Findings) -> String {
    let mut out = String::new();
    // Writing into a text does not fail.
    let _ = writeln!(out, "\n{:<34} {:>12} {:>14}", "AUDIT LOG", "a second", "without it");
    let _ = writeln!(out, "{:<34} {:>12}", "entries appended", grouped(findings.appended));
    for reads in &findings.reads {
        let name = format!("pages of {:>2} contacts", reads.contacts);
        let _ = writeln!(out, "{name:<34} {:>12} {:>14}", grouped(reads.audited), grouped(reads.beside));
    }
    let [on, off] = &findings.webhooks;
    let name = "webhooks, 64 conn × 1 item";
    let _ = writeln!(out, "{name:<34} {:>12} {:>14}", grouped(on.rate), grouped(off.rate));
    let [p50, p99] = [0.5, 0.99].map(|share| millis(findings, share));
    let (leaves, made) = (grouped(findings.leaves as f64), findings.made_in.as_secs_f64());
    let _ = writeln!(out, "a proof among {leaves} entries: p50 {p50:.2} ms, p99 {p99:.2} ms (log made in {made:.0} s)");
    out
}

/// Every target, judged.
pub(crate) fn judge(findings: &Findings) -> Vec<Target> {
    let share = |contacts: usize| {
        let reads = findings.reads.iter().find(|reads| reads.contacts == contacts);
        reads.map_or(f64::NAN, |reads| reads.audited / reads.beside)
    };
    let [on, off] = &findings.webhooks;
    vec![
        at_least_rate("audit entries appended", findings.appended, 5_000.0),
        at_least("audited reads of one contact: share of unaudited", share(1), 0.80),
        at_least("audited pages of 50 contacts: share of unaudited", share(50), 0.80),
        at_least("webhooks while the audit log grows: share", on.rate / off.rate, 0.95),
        at_most("a proof in a long log: p99", millis(findings, 0.99), 5.0, "ms"),
    ]
}

fn millis(findings: &Findings, share: f64) -> f64 {
    findings.proofs.quantile(share).as_secs_f64() * 1000.0
}
