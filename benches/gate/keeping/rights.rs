//! What somebody waits for: erasure, export, a step of the epoch, how far a breach went. Asked for as an operator or an application
//! would, and timed by what the gateway itself says of it, or by the clock on the wall.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep};
use waxseal::app::Base;
use waxseal::ids::{ContactId, TenantId};

use crate::bench::Bench;
use crate::database::Database;
use crate::gateway::Gateway;
use crate::load::POOL;
use crate::progress;
use crate::server::ask;

/// People who are erased, one after the other; the middle one counts.
const ERASED: u64 = 5;
/// People who are forgotten before the step.
const FORGOTTEN: i64 = 100;
const ASK_EVERY: Duration = Duration::from_millis(20);

/// One person writes so many messages; then all of it is exported. How long that took, and how large the archive is.
pub(super) async fn export(bench: &Bench, gateway: &Gateway, messages: u64) -> anyhow::Result<(Duration, u64)> {
    let person = POOL - 1;
    bench.hear_from(gateway, person, messages).await?;
    let begun = gateway.create("/v1/privacy/exports", &json!({ "phone": phone(person) })).await?;
    let made = until(gateway, "exports", &begun, |state| state == "ready").await?;
    let count = made.get("messages_done").and_then(Value::as_u64).context("messages_done")?;
    anyhow::ensure!(count >= messages, "only {count} messages were exported");
    progress::tick();
    let bytes = made.get("bytes").and_then(Value::as_u64).context("bytes")?;
    Ok((between(&made, "created_at", "ready_at")?, bytes))
}

/// Some people are forgotten: until the last of their rows is gone, and what a dry run takes.
pub(super) async fn erase(gateway: &Gateway) -> anyhow::Result<(Duration, Duration)> {
    let (mut took, mut counted) = (Vec::new(), Vec::new());
    for person in 0..ERASED {
        let asked = Instant::now();
        gateway.create("/v1/privacy/erasures", &json!({ "phone": phone(person), "dry_run": true })).await?;
        counted.push(asked.elapsed());
        let whom = json!({ "phone": phone(person), "when": "next_step" });
        let begun = gateway.create("/v1/privacy/erasures", &whom).await?;
        let is_over = |state: &str| state == "rows_removed" || state == "certified";
        let erased = until(gateway, "erasures", &begun, is_over).await?;
        took.push(between(&erased, "created_at", "rows_removed_at")?);
        progress::tick();
    }
    Ok((middle(took)?, middle(counted)?))
}

/// Forgets more people, so that the step has something to do.
pub(super) async fn forget(base: &Base) -> anyhow::Result<usize> {
    let tenant = TenantId::DEFAULT;
    let rows = base.store.page_of_contacts(tenant, uuid::Uuid::max(), FORGOTTEN).await?;
    for row in &rows {
        base.keyring.forget_contact(tenant, ContactId::from_uuid(row.contact_id)).await?;
    }
    Ok(rows.len() + usize::try_from(ERASED)?)
}

/// A command of the product, from its start to its end.
pub(super) async fn timed(gateway: &Gateway, arguments: &[&str]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let output = gateway.command(arguments).output().await?;
    anyhow::ensure!(output.status.success(), "waxseal {} failed", arguments.join(" "));
    progress::tick();
    Ok(began.elapsed())
}

/// What the rows take, without indexes.
pub(super) async fn stored(database: &Database) -> anyhow::Result<u64> {
    let question = "SELECT sum(pg_table_size(c.oid))::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                    WHERE relkind = 'r' AND nspname IN ('public', 'waxseal_keys') AND relname NOT LIKE 'bench%'";
    Ok(ask(&mut database.connect().await?, question).await?.parse()?)
}

fn phone(person: u64) -> String {
    format!("+49151{person:08}")
}

async fn until(gateway: &Gateway, kind: &str, begun: &Value, is_over: impl Fn(&str) -> bool) -> anyhow::Result<Value> {
    let id = begun.get("id").and_then(Value::as_str).context("the answer has no id")?;
    loop {
        let now: Value = serde_json::from_slice(&gateway.get(&format!("/v1/privacy/{kind}/{id}")).await?)?;
        let state = now.get("state").and_then(Value::as_str).context("there is no state")?;
        anyhow::ensure!(state != "failed", "an export failed");
        if is_over(state) {
            return Ok(now);
        }
        sleep(ASK_EVERY).await;
    }
}

fn between(what: &Value, from: &str, to: &str) -> anyhow::Result<Duration> {
    let at = |name: &str| {
        let text = what.get(name).and_then(Value::as_str).with_context(|| format!("there is no {name}"))?;
        anyhow::Ok(OffsetDateTime::parse(text, &Rfc3339)?)
    };
    Ok((at(to)? - at(from)?).try_into()?)
}

fn middle(mut all: Vec<Duration>) -> anyhow::Result<Duration> {
    all.sort_unstable();
    all.get(all.len() / 2).copied().context("nothing was measured")
}
