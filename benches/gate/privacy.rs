//! Erasure of one person among many: `make bench ARGS="-- privacy"`, for other sizes `… privacy contacts=1000000 events=10`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use waxseal::app::Base;
use waxseal::audit::{Act, Action, Actor, Object};
use waxseal::clock::SystemClock;
use waxseal::config::Config;
use waxseal::ids::{ContactId, TenantId};
use waxseal::privacy::{Asked, Basis, Named, Next};

use super::bench::{Bench, median};
use super::closed::Shape;
use super::database::Database;
use super::gateway::Batching;
use super::load::People;
use super::progress;
use super::server::{Server, ask, execute};

/// People who are erased; the median counts.
const ERASED: usize = 5;

/// What was found out.
pub(crate) struct Findings {
    contacts: u64,
    events: u64,
    /// From the request to the removal of the last row.
    erasure: Duration,
    /// The step of the epoch.
    step: Duration,
}

/// `name=number` on the command line.
fn size(name: &str, usual: u64) -> u64 {
    let given = std::env::args().find_map(|one| one.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    given.unwrap_or(usual)
}

/// Fills a database with people who said nothing readable, and forgets some who did.
pub(crate) async fn run(bench: &Bench, server: &Server) -> anyhow::Result<Findings> {
    let (contacts, events) = (size("contacts", 20_000), size("events", 10));
    let database = Database::make(server, "bench_privacy").await?;
    let gateway = bench.start(&database, Batching::Grouped).await?;
    let config = Config::load(None, gateway.settings.iter().cloned())?;
    progress::say("erasure: ");
    // Some real people, with real keys and content.
    let shape = Shape { connections: 16, items: 1, people: People::Known };
    median(vec![bench.closed(&database, &gateway, shape).await?])?;
    let mut connection = database.connect().await?;
    let filler = format!(
        "INSERT INTO contact SELECT tenant_id, gen_random_uuid(), profile, profile_mac, NULL, created_at, updated_at
           FROM (SELECT * FROM contact LIMIT 1) one, generate_series(1, {contacts});
         INSERT INTO event (tenant_id, part_day, subject, variant, event_id, type, channel_id, contact_id, occurred_at, received_at)
           SELECT tenant_id, current_date - (n % 10)::int, substring(sha256((contact_id::text || n)::bytea) FOR 16),
                  substring(sha256(n::text::bytea) FOR 8), gen_random_uuid(), 'message.received', NULL, contact_id, now(), now()
           FROM contact, generate_series(1, {events}) n;
         ANALYZE"
    );
    execute(&mut connection, filler).await?;
    progress::tick();
    let mut erasures = Vec::with_capacity(ERASED);
    let mut steps = Vec::with_capacity(ERASED);
    for _ in 0..ERASED {
        let whom = "SELECT contact_id::text FROM contact_identifier ORDER BY contact_id LIMIT 1";
        let contact: ContactId = ask(&mut connection, whom).await?.parse().context("nobody is left")?;
        // A process of its own for each: nothing is in memory.
        let base = Base::open(&config, Arc::new(SystemClock)).await?;
        let (erasure, step) = erase(&base, &config, contact).await?;
        base.store.close().await;
        erasures.push(erasure);
        steps.push(step);
        progress::tick();
    }
    erasures.sort_unstable();
    steps.sort_unstable();
    let middle = |all: &[Duration]| all.get(all.len() / 2).copied().unwrap_or_default();
    Ok(Findings { contacts, events: contacts * events, erasure: middle(&erasures), step: middle(&steps) })
}

async fn erase(base: &Base, config: &Config, contact: ContactId) -> anyhow::Result<(Duration, Duration)> {
    let privacy = base.privacy(config)?;
    let (tenant, id, named) = (TenantId::DEFAULT, privacy.new_erasure(), Named::Contact(contact));
    let act = Act::new(tenant, Actor::OPERATOR, Action::ErasureRequested, Object::one("erasure", id.uuid()));
    let asked = Asked { named: &named, basis: Basis::Request, reference: None, step_now: true, request: None };
    let began = Instant::now();
    privacy.erase(id, &asked, act).await?;
    let mut removed = None;
    loop {
        let state = base.store.find_erasure(tenant, id).await?.context("it is gone")?.state;
        if state == "rows_removed" && removed.is_none() {
            removed = Some(began.elapsed());
        }
        if matches!(state.as_str(), "epoch_stepped" | "downstream_done" | "certified") {
            let removed = removed.unwrap_or_else(|| began.elapsed());
            return Ok((removed, began.elapsed().saturating_sub(removed)));
        }
        if privacy.step(tenant, id).await? == Next::Wait {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A table for people.
pub(crate) fn render(found: &Findings) -> String {
    let mut text = String::from("\nErasure of one person\n\n");
    let _ = writeln!(text, "| contacts | events | erasure | epoch step |\n|---|---|---|---|");
    let _ = writeln!(
        text,
        "| {} | {} | {:.3} s | {:.3} s |",
        found.contacts,
        found.events,
        found.erasure.as_secs_f64(),
        found.step.as_secs_f64()
    );
    text
}
