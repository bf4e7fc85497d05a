//! The alert rules name metrics that exist.

#![expect(clippy::unwrap_used, reason = "an unreadable file fails the test as it should")]

use std::collections::HashSet;
use std::fs;
use std::path::Path;

fn text(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// Every word that looks like a metric of ours.
fn metrics(text: &str) -> HashSet<&str> {
    let ends_word = |letter: char| !(letter.is_ascii_lowercase() || letter == '_');
    text.split(ends_word).filter(|word| word.starts_with("waxseal_")).collect()
}

#[test]
fn every_metric_of_an_alert_rule_exists_and_is_explained() {
    let (telemetry, manual, rules) = (text("src/telemetry.rs"), text("docs/operations.md"), text("config/alerts.yml"));
    let (known, explained) = (metrics(&telemetry), metrics(&manual));
    let used: Vec<&str> = metrics(&rules).into_iter().map(|name| name.trim_end_matches("_bucket")).collect();
    assert!(used.len() > 8, "{used:?}");
    for name in used {
        assert!(known.contains(name), "{name} is no metric");
        assert!(explained.contains(name), "{name} is not explained");
    }
}

#[test]
fn every_metric_is_explained() {
    let (telemetry, manual) = (text("src/telemetry.rs"), text("docs/operations.md"));
    let explained = metrics(&manual);
    let missing: Vec<&str> = metrics(&telemetry).into_iter().filter(|name| !explained.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
