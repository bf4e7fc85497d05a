//! The key tree: how long a step of the epoch takes with many contacts, and what webhooks lose while every bucket key is replaced.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use time::OffsetDateTime;
use tokio::time::Instant;
use waxseal::app::Base;
use waxseal::clock::{Clock, SystemClock};
use waxseal::config::{Config, environment};
use waxseal::ids::{ContactId, TenantId};
use waxseal::keyring::{DekName, Keyring};

use super::bench::{Bench, Outcome, Site, median};
use super::closed::Shape;
use super::database::Database;
use super::gateway::{Batching, Gateway};
use super::load::People;
use super::progress;
use super::server::Server;
use super::table::grouped;
use super::targets::{Target, at_least, at_most};

/// How many contacts there are, for a short run.
const CONTACTS: &str = "WAXSEAL_BENCH_CONTACTS";
/// Keys are made so many contacts at a time.
const AT_ONCE: usize = 2_000;
/// Contacts that are forgotten before a step.
const FORGOTTEN: usize = 100;
const TENANT: TenantId = TenantId::DEFAULT;

/// Everything that was found out.
pub(crate) struct Findings {
    contacts: usize,
    made_in: Duration,
    /// One contact.
    forgotten_in: Duration,
    /// With all that were forgotten.
    stepped_in: Duration,
    /// Every bucket key, with nothing else going on.
    rotated_in: Duration,
    /// Webhooks while keys are replaced, and while they are not.
    webhooks: [Outcome; 2],
}

/// Measures everything.
pub(crate) async fn run(bench: &Bench, server: &Server) -> anyhow::Result<Findings> {
    let asked = environment().find(|(name, _)| name == CONTACTS).map(|(_, value)| value.parse()).transpose();
    let contacts = asked.context(CONTACTS)?.unwrap_or(1_000_000);
    let cell = std::env::temp_dir().join(format!("waxseal-bench-cell-{}", std::process::id()));
    fs::create_dir_all(&cell)?;
    let places = [1, 2, 3].map(|place| cell.join(place.to_string()).display().to_string()).join(",");
    let database = Database::make(server, "bench_keys").await?;
    let settings = [("WAXSEAL_KEYS__CELL_FILES", places.as_str())];
    let gateway = Gateway::start_with(&database, bench.business(), Batching::Grouped, &settings).await?;
    let site = Site { database, gateway };
    let config = Config::load(None, site.gateway.settings.iter().cloned())?;
    let base = Base::open(&config, Arc::new(SystemClock)).await?;
    progress::say("keys: ");
    let began = Instant::now();
    let known = make(&base.keyring, contacts).await?;
    let made_in = began.elapsed();
    let began = Instant::now();
    for contact in &known {
        base.keyring.forget_contact(TENANT, *contact).await?;
    }
    let forgotten_in = began.elapsed() / u32::try_from(known.len().max(1))?;
    let began = Instant::now();
    base.keyring.step_epoch().await?;
    let stepped_in = began.elapsed();
    let began = Instant::now();
    base.keyring.rotate_buckets(TENANT).await?;
    let rotated_in = began.elapsed();
    let webhooks = by_turns(bench, &site, &base.keyring).await?;
    base.store.close().await;
    drop(site);
    fs::remove_dir_all(&cell)?;
    Ok(Findings { contacts, made_in, forgotten_in, stepped_in, rotated_in, webhooks })
}

/// Makes the keys of so many contacts, a profile and a month each. Returns those that are to be forgotten.
async fn make(keyring: &Keyring, contacts: usize) -> anyhow::Result<Vec<ContactId>> {
    let now: OffsetDateTime = SystemClock.now();
    let mut kept = Vec::new();
    let mut left = contacts;
    while left > 0 {
        let some: Vec<ContactId> = (0..left.min(AT_ONCE)).map(|_| ContactId::new(now)).collect();
        let both = |one: &ContactId| [DekName::profile(TENANT, *one), DekName::month(TENANT, Some(*one), now.date())];
        keyring.for_sealing(TENANT, some.iter().flat_map(both)).await?;
        kept.extend(some.iter().take(FORGOTTEN - kept.len().min(FORGOTTEN)));
        left -= some.len();
        progress::tick();
    }
    Ok(kept)
}

async fn by_turns(bench: &Bench, site: &Site, keyring: &Keyring) -> anyhow::Result<[Outcome; 2]> {
    let shape = Shape { connections: 64, items: 1, people: People::Known };
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for _ in 0..bench.sizes.rounds {
        let stop = AtomicBool::new(false);
        let rotating = async {
            while !stop.load(Ordering::Relaxed) {
                keyring.rotate_buckets(TENANT).await?;
            }
            anyhow::Ok(())
        };
        let measuring = async {
            let outcome = bench.closed(&site.database, &site.gateway, shape).await;
            stop.store(true, Ordering::Relaxed);
            outcome
        };
        let (rotated, measured) = tokio::join!(rotating, measuring);
        rotated?;
        on.push(measured?);
        off.push(bench.closed(&site.database, &site.gateway, shape).await?);
    }
    Ok([median(on)?, median(off)?])
}

/// The report, without the targets.
pub(crate) fn render(findings: &Findings) -> String {
    let mut out = String::new();
    let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    let [on, off] = &findings.webhooks;
    // Writing into a text does not fail.
    let _ =
        writeln!(out, "\nKEYS, {} contacts (made in {})", grouped(findings.contacts as f64), seconds(findings.made_in));
    for (name, value) in [
        ("forgetting one contact", seconds(findings.forgotten_in)),
        ("a step of the epoch", seconds(findings.stepped_in)),
        ("replacing every bucket key", seconds(findings.rotated_in)),
        ("webhooks while keys are replaced", grouped(on.rate)),
        ("webhooks otherwise", grouped(off.rate)),
    ] {
        let _ = writeln!(out, "{name:<34} {value:>14}");
    }
    out
}

/// Every target, judged.
pub(crate) fn judge(findings: &Findings) -> Vec<Target> {
    let [on, off] = &findings.webhooks;
    vec![
        at_most("a step of the key epoch", findings.stepped_in.as_secs_f64(), 10.0, "s"),
        at_least("webhooks while every bucket key is replaced: share", on.rate / off.rate, 0.90),
    ]
}
