//! The findings as text, for a terminal and for `docs/performance.md`.

use std::fmt::Write;

use super::bench::{Drained, Outcome, Sizes};
use super::gateway::more_settings;
use super::load::POOL;
use super::scenario::{Findings, Posts, Rates, SCHEDULE, SMALL};
use super::targets::Target;

/// Width of the first column.
const NAME: usize = 34;

/// The report on the way in, without the targets.
pub(crate) fn render(findings: &Findings, sizes: Sizes) -> String {
    let mut out = Lines(format!("\n{}\n", method(sizes)));
    out.heading("EMPTY DATABASE");
    out.row("one row per commit, one connection", &findings.lone_commit);
    out.rates(&findings.empty);
    out.row(&format!("all strangers: {}", posts(SMALL)), &findings.strangers);
    out.heading(&format!("{} EVENTS IN 30 DAYS", grouped(sizes.history as f64)));
    out.rates(&findings.full);
    out.heading("BY TURNS");
    for turns in &findings.turns {
        out.row(&format!("empty:   {}", posts(turns.posts)), &turns.empty);
        out.row(&format!("30 days: {}", posts(turns.posts)), &turns.full);
    }
    out.0
}

/// How far each target was reached.
pub(crate) fn verdicts(targets: &[Target]) -> String {
    let mut out = Lines(String::new());
    out.targets(targets);
    out.0
}

/// The rows of a trial.
pub(crate) fn render_trial(found: &[(String, Outcome)]) -> String {
    let mut out = Lines("\n".to_owned());
    out.heading("TRIAL");
    for (name, outcome) in found {
        out.row(name, outcome);
        out.deliveries(outcome);
    }
    out.0
}

fn method(sizes: Sizes) -> String {
    let settings = Some(more_settings()).filter(|more| !more.is_empty()).unwrap_or_else(|| "defaults".to_owned());
    let (warm_up, measured) = (sizes.window.warm_up.as_secs_f64(), sizes.window.measured.as_secs_f64());
    format!(
        "Gateway: {settings}.\n\
         Each row {measured} s after {warm_up} s of warm-up; what a target hangs on is the median of {}. CPU in percent of one core.\n\
         raw: UNNEST 100 over 2 connections, no gateway, times of a batch. alone: one transaction per request, pool of 10.\n\
         open: {} updates/s, 1 message : 3 statuses, {} connections, one endpoint. All else: text messages of {} people.",
        sizes.rounds,
        grouped(f64::from(SCHEDULE.rate)),
        SCHEDULE.connections,
        grouped(POOL as f64)
    )
}

/// The text so far. Writing into it does not fail, so the results of `writeln!` say nothing.
struct Lines(String);

impl Lines {
    fn heading(&mut self, title: &str) {
        let _ = writeln!(
            self.0,
            "\n{title:<NAME$} {:>9} {:>8} {:>8} {:>8}   CPU {:>4} {:>8} {:>4}   MB {:>4} {:>8}",
            "events/s", "p50 ms", "p99", "p99.9", "gw", "postgres", "load", "gw", "postgres"
        );
    }

    fn rates(&mut self, rates: &Rates) {
        let [by_gateway, plain] = &rates.raw;
        self.row("raw: the gateway's statement", by_gateway);
        self.row("raw: two plain statements", plain);
        for (shape, outcome) in &rates.closed {
            self.row(&posts(*shape), outcome);
        }
        for (shape, outcome) in &rates.one_per_request {
            self.row(&format!("alone: {}", posts(*shape)), outcome);
        }
        self.row("open", &rates.open);
        self.deliveries(&rates.open);
    }

    fn row(&mut self, name: &str, outcome: &Outcome) {
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| outcome.millis(share));
        let rate = grouped(outcome.rate);
        let _ = write!(self.0, "{name:<NAME$} {rate:>9} {p50:>8.2} {p99:>8.2} {p999:>8.2}");
        let [gateway, postgres, load, gateway_memory, memory] = usage(outcome);
        let _ = writeln!(self.0, "       {gateway:>4} {postgres:>8} {load:>4}      {gateway_memory:>4} {memory:>8}");
    }

    fn deliveries(&mut self, outcome: &Outcome) {
        let all = grouped(outcome.tally.acknowledged as f64);
        let _ = match outcome.drained {
            Some(Drained::After(time)) => {
                writeln!(self.0, "      all {all} delivered, the last {} ms after the last webhook", time.as_millis())
            }
            Some(Drained::Missing(count)) => writeln!(self.0, "      {count} of {all} NOT delivered"),
            None => Ok(()),
        };
    }

    fn targets(&mut self, targets: &[Target]) {
        let _ = writeln!(self.0, "\n{:<60} {:>10} {:>10}", "TARGET", "measured", "wanted");
        for target in targets {
            let verdict = match target.met {
                Some(true) => "met",
                Some(false) => "MISSED",
                None => "n/a",
            };
            let _ = writeln!(self.0, "{:<60} {:>10} {:>10}  {verdict}", target.what, target.measured, target.wanted);
        }
    }
}

fn posts((connections, items): Posts) -> String {
    format!("{connections:>3} conn × {items:>3} {}", if items == 1 { "item" } else { "items" })
}

fn usage(outcome: &Outcome) -> [String; 5] {
    let Some(usage) = outcome.usage else { return [(); 5].map(|()| "n/a".to_owned()) };
    let percent = |cpu: f64| format!("{cpu:.0}");
    let megabytes = |bytes: u64| (bytes / 1024 / 1024).to_string();
    let (cpu, memory) = (usage.cpu, usage.memory);
    [
        percent(cpu.gateway),
        percent(cpu.postgres),
        percent(cpu.generator),
        megabytes(memory.gateway),
        megabytes(memory.postgres),
    ]
}

/// A whole number with its thousands apart.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
