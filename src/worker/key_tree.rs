//! Looks after the key tree: steps the epoch when something that was forgotten has waited for long enough, and has every step noted in
//! the audit log; once a minute wipes old keys from memory and looks at the places of the epoch cell; says what this
//! process can read.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::ids::TenantId;
use crate::keyring::KeyringError;
use crate::privacy::{Reseal, Resealed};
use crate::telemetry::{self, Trouble};

const LOOK: Duration = Duration::from_secs(5);
const TELL: Duration = Duration::from_secs(1);
const CARE_EVERY: u32 = 12;
/// Often enough for the shortest time that makes sense for opened keys.
const ASK_KMS_EVERY: u32 = 3;

/// Asking the KMS is a loop of its own, so that nothing else waits for one that is slow; and what is told of it waits for none.
pub(super) async fn run(worker: Worker, stop: CancellationToken) {
    let end = end_rotations(&worker, &stop);
    tokio::join!(ask_kms(&worker, &stop), tell_of_kms(&worker, &stop), look_after(&worker, &stop), end);
}

/// Every 15 seconds, and every five once it did not answer.
async fn ask_kms(worker: &Worker, stop: &CancellationToken) {
    let mut trouble = Trouble::none("the KMS does not open the root share", "the KMS opens the root share again");
    let mut round = 0_u32;
    loop {
        if round.is_multiple_of(ASK_KMS_EVERY) || worker.keyring.kms_is_silent() {
            let Some(asked) = stop.run_until_cancelled(worker.keyring.ask_kms()).await else { return };
            trouble.note(&asked);
        }
        round = round.wrapping_add(1);
        if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}

async fn tell_of_kms(worker: &Worker, stop: &CancellationToken) {
    loop {
        metrics::gauge!(telemetry::KMS_IN_TIME).set(f64::from(u8::from(worker.keyring.kms_is_in_time())));
        metrics::gauge!(telemetry::KMS_HEARD_SECONDS).set(worker.keyring.kms_heard_ago().as_seconds_f64().max(0.0));
        if stop.run_until_cancelled(tokio::time::sleep(TELL)).await.is_none() {
            return;
        }
    }
}

/// Destroys data keys of before when nothing lies under them any more. Takes long where there are many people: nothing else waits for it.
async fn end_rotations(worker: &Worker, stop: &CancellationToken) {
    let mut trouble = Trouble::none("a rotation of data keys cannot be ended", "a rotation of data keys can be ended");
    let reseal = Reseal::new(worker.store.clone(), worker.keyring.clone(), worker.audit.clone(), worker.clock.clone());
    loop {
        let Some(ended) = stop.run_until_cancelled(reseal.end_when_due(TenantId::DEFAULT)).await else { return };
        trouble.note(&ended);
        if let Ok(Resealed::Over(forgotten, kept)) = ended {
            tracing::info!(forgotten, kept, "data keys that were rotated are destroyed");
        }
        if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}

async fn look_after(worker: &Worker, stop: &CancellationToken) {
    let mut cell =
        Trouble::none("the places of the epoch cell cannot be looked at", "the places can be looked at again");
    let mut step = Trouble::none("the key epoch cannot be stepped", "the key epoch can be stepped again");
    let mut round = 0_u32;
    loop {
        let alarms = worker.refusals.alarms();
        alarms.note_forgotten_keys(TenantId::DEFAULT, worker.keyring.take_forgotten_seen());
        if round.is_multiple_of(CARE_EVERY) {
            worker.keyring.sweep();
            let brought = worker.keyring.bring_cell_when_readable().await;
            cell.note(&match brought {
                Ok(()) => worker.keyring.inspect_cell().await.map(drop),
                Err(error) => Err(error),
            });
        }
        if let Err(error) = report(worker).await {
            tracing::debug!(%error, "the other processes do not know yet what this one can read");
        }
        let stepped = worker.keyring.step_when_due(worker.epoch_step).await;
        step.note(&stepped);
        if (matches!(stepped, Ok(Some(_))) || round.is_multiple_of(CARE_EVERY))
            && let Err(error) = worker.audit.note_key_steps().await
        {
            tracing::debug!(%error, "a step of the key epoch is not in the audit log yet");
        }
        alarms.watch_cell(TenantId::DEFAULT, &worker.keyring.cell());
        gauges(worker).await;
        round = round.wrapping_add(1);
        if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
            return;
        }
    }
}

/// Says what this process can read, for those who are about to write it, and hears what the others can.
async fn report(worker: &Worker) -> Result<(), KeyringError> {
    let words = worker.keyring.readable().await?;
    worker.store.report_readable(worker.id, &words).await?;
    // Behind it, since this process is one of those that are asked.
    worker.keyring.agree_on_suite().await.map(drop)
}

async fn gauges(worker: &Worker) {
    let cell = worker.keyring.cell();
    metrics::gauge!(telemetry::CELL_PLACES, "state" => "whole").set(cell.whole() as f64);
    metrics::gauge!(telemetry::CELL_PLACES, "state" => "lost").set((cell.places.len() - cell.whole()) as f64);
    metrics::gauge!(telemetry::KEY_EPOCH).set(worker.keyring.epoch() as f64);
    if let Ok(since) = worker.keyring.waits_for_step_since().await {
        let age = since.map_or(0.0, |since| (worker.clock.now() - since).as_seconds_f64().max(0.0));
        metrics::gauge!(telemetry::KEY_STEP_WAIT_SECONDS).set(age);
    }
}
