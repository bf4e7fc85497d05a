//! The findings about privacy as text, and the targets.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Findings, MESSAGES_OF_ONE};
use crate::table::grouped;
use crate::targets::{Target, at_least, at_least_rate, at_most, nothing};

const MEGABYTE: f64 = 1e6;

/// The report, without the targets.
pub(crate) fn render(found: &Findings) -> String {
    let mut out = String::new();
    let [contacts, messages] = [found.amounts.contacts, found.amounts.messages].map(|count| grouped(count as f64));
    // Writing into a text does not fail.
    let _ = writeln!(out, "\nPRIVACY, {contacts} contacts, {messages} messages (made in {})", seconds(found.made_in));
    let rows = [
        (
            format!("export of {} messages, {:.1} MB", grouped(MESSAGES_OF_ONE as f64), mega(found.exported_bytes)),
            found.export,
        ),
        ("dry run of an erasure".to_owned(), found.dry_run),
        ("erasure of one, without the step".to_owned(), found.erasure),
        (format!("step of the epoch, {} people forgotten", found.forgotten), found.step),
        ("breach scope over 30 days".to_owned(), found.breach),
        ("every data key wrapped anew, beside webhooks".to_owned(), found.rewrap.took),
        (format!("backup of {:.0} MB, beside webhooks", mega(found.stored_bytes)), found.backup.took),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "{name:<52} {:>12}", seconds(value));
    }
    let _ = writeln!(out, "archives of the backup: {:.0} MB", mega(found.archived_bytes));
    for (name, beside) in [("keys are wrapped anew", &found.rewrap), ("a backup is made", &found.backup)] {
        let [busy, quiet] = [beside.busy, beside.quiet].map(grouped);
        let _ = writeln!(out, "webhooks a second while {name}: {busy}, otherwise {quiet}");
    }
    out
}

/// Every target, judged.
pub(crate) fn judge(found: &Findings) -> Vec<Target> {
    let speed = mega(found.stored_bytes) / found.backup.took.as_secs_f64();
    vec![
        at_most("erasure of one, without the step", found.erasure.as_secs_f64(), 1.0, "s"),
        at_most("a step of the key epoch", found.step.as_secs_f64(), 10.0, "s"),
        at_most("export of 10,000 messages", found.export.as_secs_f64(), 10.0, "s"),
        at_most("breach scope", found.breach.as_secs_f64(), 10.0, "s"),
        at_least_rate("backup beside webhooks: MB/s of what is stored", speed, 50.0),
        at_least("webhooks while a backup is made: share", found.backup.busy / found.backup.quiet, 0.80),
        at_least("webhooks while every data key is wrapped anew: share", found.rewrap.busy / found.rewrap.quiet, 0.90),
        nothing("events answered 200 and not stored", found.lost),
    ]
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn mega(bytes: u64) -> f64 {
    bytes as f64 / MEGABYTE
}
