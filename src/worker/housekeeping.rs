//! Small regular work: settings every half second, gauges and sums of the audit log every five, wiping of what nobody is owed every
//! minute, partitions every hour.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Worker;
use crate::ids::{AuditEntryId, TenantId};
use crate::privacy::cover::{FENCES, LEDGER};
use crate::privacy::{DUE_SOON, PassingCursor};
use crate::telemetry::{self, Trouble};

/// A change made through another process is seen after at most this.
const SETTINGS: Duration = Duration::from_millis(500);
/// Gauges are gathered this often.
const GAUGES: Duration = Duration::from_secs(5);
/// Keys and orphans are wiped every 12th, partitions made every 720th time.
const WIPE_EVERY: u32 = 12;
const CLEAN_EVERY: u32 = 720;
/// Statements of one sweep, so that a large one does not keep the gauges waiting for long.
const ORPHAN_BATCHES: u32 = 20;
/// The same for the budgets of keys: a million contacts an hour.
const KEY_READ_BATCHES: u32 = 100;
/// Events that are held back from readers for longer are worth a warning.
const HELD_BACK_LONG: time::Duration = time::Duration::minutes(1);
/// Replays are remembered for so many days after their end.
const REPLAY_DAYS: i64 = 90;
/// That there was an archive is remembered for so many days after its end.
const EXPORT_DAYS: i64 = 90;
/// That somebody asked in the chat is remembered for so many days, beside the request that it became.
const IN_CHAT_DAYS: i64 = 90;
/// Checkpoints of so many days are all kept, for those who compare; of older days the last.
const CHECKPOINT_DAYS: i64 = 7;

pub(super) async fn settings(worker: Worker, stop: CancellationToken) {
    let mut trouble =
        Trouble::none("the settings cannot be read; those of before stay in force", "the settings can be read again");
    while pause(SETTINGS, &stop).await {
        trouble.note(&worker.directory.reload().await);
    }
}

pub(super) async fn cleaning(worker: Worker, stop: CancellationToken) {
    let (mut round, mut warned, mut retained, mut reminded) = (0_u32, false, None, None);
    let mut passing = PassingCursor::default();
    loop {
        gauges(&worker).await;
        worker.refusals.flush().await;
        worker.audit.tell_sums().await;
        if let Err(error) = worker.usage.store(&worker.store).await {
            tracing::debug!(%error, "on which day keys were used is not stored yet");
        }
        warned = horizon(&worker, warned).await;
        retain(&worker, &mut retained).await;
        remind(&worker, &mut reminded).await;
        if let Err(error) = worker.privacy.remove_old_exports().await {
            tracing::warn!(%error, "exports that are over could not be removed yet");
        }
        if let Some(law) = worker.in_chat
            && let Err(error) = worker.privacy.act_on_in_chat(law).await
        {
            tracing::warn!(%error, "what people asked for in the chat could not be done yet");
        }
        if let Err(error) = worker.privacy.remove_passed(&mut passing).await {
            tracing::warn!(%error, "what every endpoint has acknowledged could not be removed yet");
        }
        if round.is_multiple_of(WIPE_EVERY) {
            worker.deliverer.client.sweep();
            if let Err(error) = worker.store.sweep_orphans(ORPHAN_BATCHES).await {
                tracing::warn!(%error, "what removed endpoints were owed could not be swept");
            }
            if let Err(error) = worker.files.sweep().await {
                tracing::warn!(%error, "files that were left half arrived or half deleted could not be looked for");
            }
            if let Err(error) = worker.store.sweep_pairs(worker.clock.now()).await {
                tracing::warn!(%error, "how fast people were written to could not be forgotten");
            }
        }
        if round.is_multiple_of(CLEAN_EVERY)
            && let Err(error) = clean(&worker).await
        {
            tracing::warn!(error = %error, "the hourly cleaning did not finish");
        }
        if round.is_multiple_of(CLEAN_EVERY) {
            prune(&worker).await;
        }
        round = round.wrapping_add(1);
        if !pause(GAUGES, &stop).await {
            return;
        }
    }
}

/// What may be wrong with a token.
const TOKEN_TROUBLES: [&str; 3] = ["invalid", "missing_scopes", "expires_soon"];

async fn gauges(worker: &Worker) {
    // Else every time that was recorded would be kept until somebody reads the metrics.
    worker.metrics.run_upkeep();
    let (used, open) = worker.store.usage();
    metrics::gauge!(telemetry::POOL_CONNECTIONS, "state" => "used").set(used);
    metrics::gauge!(telemetry::POOL_CONNECTIONS, "state" => "open").set(open);
    metrics::gauge!(telemetry::CACHED_KEYS).set(worker.keyring.cached_keys() as f64);
    metrics::gauge!(telemetry::INGEST_QUEUE_BYTES).set(worker.ingest.waiting_bytes() as f64);
    if let Ok(running) = worker.store.running_erasures().await {
        metrics::gauge!(telemetry::ERASURES_RUNNING).set(running as f64);
    }
    if let Ok(running) = worker.store.running_replays().await {
        metrics::gauge!(telemetry::REPLAYS_RUNNING).set(running as f64);
    }
    if let Ok(oldest) = worker.store.oldest_undelivered().await {
        let age = oldest.map_or(0.0, |event| (worker.clock.now() - event.made_at()).as_seconds_f64().max(0.0));
        metrics::gauge!(telemetry::OLDEST_UNDELIVERED_SECONDS).set(age);
    }
    if let Ok(oldest) = worker.store.audit_backlog().await {
        let made_at = oldest.map(|entry| AuditEntryId::from_uuid(entry).made_at());
        let age = made_at.map_or(0.0, |made_at| (worker.clock.now() - made_at).as_seconds_f64().max(0.0));
        metrics::gauge!(telemetry::AUDIT_LAG_SECONDS).set(age);
        worker.refusals.alarms().watch_log(TenantId::DEFAULT, made_at);
    }
    if let Ok(since) = worker.store.audit_unpublished_since().await {
        let age = since.map_or(0.0, |since| (worker.clock.now() - since).as_seconds_f64().max(0.0));
        metrics::gauge!(telemetry::AUDIT_UNPUBLISHED_SECONDS).set(age);
    }
    if let Ok(troubles) = worker.store.token_troubles().await {
        for reason in TOKEN_TROUBLES {
            let count = troubles.iter().find(|(trouble, _)| trouble == reason).map_or(0, |(_, count)| *count);
            metrics::gauge!(telemetry::TOKEN_TROUBLES, "reason" => reason).set(count as f64);
        }
    }
    if let Ok((fresh, postponed)) = worker.store.owed_estimate().await {
        metrics::gauge!(telemetry::OWED, "kind" => "fresh").set(fresh as f64);
        metrics::gauge!(telemetry::OWED, "kind" => "postponed").set(postponed as f64);
    }
}

/// Readers see an event when no older transaction is open on the whole server, of whichever database. `warned`: whether it was
/// said that they wait for long.
async fn horizon(worker: &Worker, warned: bool) -> bool {
    let Ok(oldest) = worker.store.oldest_held_back().await else { return warned };
    let age = oldest.map_or(time::Duration::ZERO, |since| (worker.clock.now() - since).max(time::Duration::ZERO));
    metrics::gauge!(telemetry::EVENTS_HELD_BACK_SECONDS).set(age.as_seconds_f64());
    let is_long = age > HELD_BACK_LONG;
    match (is_long, warned) {
        (true, false) => tracing::warn!(
            seconds = age.whole_seconds(),
            "events are held back from readers: a transaction on the database server has been open since before them"
        ),
        (false, true) => tracing::info!("readers see every event again"),
        _ => {}
    }
    is_long
}

async fn clean(worker: &Worker) -> Result<(), crate::store::StoreError> {
    let today = worker.clock.now().date();
    worker.store.ensure_partitions(today).await?;
    worker.store.sweep_ledger(today - LEDGER).await?;
    worker.store.sweep_idempotency(worker.clock.now()).await?;
    worker.store.sweep_key_reads(worker.clock.now(), KEY_READ_BATCHES).await?;
    worker.store.sweep_replays(worker.clock.now() - time::Duration::days(REPLAY_DAYS)).await?;
    let now = worker.clock.now();
    worker.store.sweep_fences(now - FENCES, now).await?;
    worker.store.sweep_in_chat(now - time::Duration::days(1), now - time::Duration::days(IN_CHAT_DAYS)).await?;
    worker.store.sweep_exports(now - time::Duration::days(EXPORT_DAYS)).await?;
    worker.store.sweep_dead_orphans().await?;
    worker.store.thin_audit_checkpoints(today - time::Duration::days(CHECKPOINT_DAYS)).await?;
    worker.store.sweep_workers().await
}

/// Drops what the audit log need not keep any longer: in an hour, when it does not succeed.
async fn prune(worker: &Worker) {
    let end = worker.clock.now().date() - time::Duration::days(worker.audit_days.into());
    if let Err(error) = worker.audit.prune(end).await {
        tracing::warn!(%error, "old entries of the audit log could not be dropped yet");
    }
}

/// Removes what is older than is kept, once a day: again five seconds later when it does not succeed.
async fn retain(worker: &Worker, done: &mut Option<time::Date>) {
    let today = worker.clock.now().date();
    if *done == Some(today) {
        return;
    }
    match worker.privacy.enforce_retention(today).await {
        Ok(()) => *done = Some(today),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "what is older than is kept could not be removed yet");
        }
    }
}

/// Requests that are read at a time.
const REMINDERS: i64 = 100;

/// Tells once an hour of requests of people that are to be answered soon; the same is told once a day.
async fn remind(worker: &Worker, done: &mut Option<i64>) {
    let now = worker.clock.now();
    let (hour, soon) = (now.unix_timestamp() / 3600, now + DUE_SOON);
    if let Ok((open, due, overdue)) = worker.store.count_privacy_requests(now, soon).await {
        for (state, count) in [("open", open), ("soon", due), ("overdue", overdue)] {
            metrics::gauge!(telemetry::PRIVACY_REQUESTS, "state" => state).set(count as f64);
        }
    }
    if *done == Some(hour) {
        return;
    }
    let mut behind = (OffsetDateTime::UNIX_EPOCH, Uuid::nil());
    // What was told of before it broke off is not told again.
    while let Ok(due) = worker.store.due_privacy_requests(soon, behind, REMINDERS).await {
        let Some(last) = due.last() else {
            *done = Some(hour);
            return;
        };
        behind = (last.due_at, last.request_id);
        worker.refusals.alarms().remind_of(due);
    }
}

/// Waits; false when it is time to stop.
async fn pause(wait: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(wait) => true,
        () = stop.cancelled() => false,
    }
}
