//! Looks through the tables of what is owed, once a second for all lanes of this process together, and rings where something is
//! due. Calls between processes make it quicker and are not needed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Worker;
use crate::store::StoreError;
use crate::store::bells::{Call, LaneListener};
use crate::telemetry::Trouble;

/// The tables are looked through this often.
const LOOK: Duration = Duration::from_secs(1);
/// Where a look takes long, the pause after it is so many times as long: all lanes are busy then anyway.
const REST: u32 = 4;
/// Calls are this far apart: each serialises the commits of the whole database for a moment.
const APART: Duration = Duration::from_millis(20);
/// Pause after listening failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Looks once a second, and when it is told to.
pub(super) async fn look(worker: Worker, now: Arc<Notify>, stop: CancellationToken) {
    let mut trouble =
        Trouble::none("what is owed cannot be looked through", "what is owed can be looked through again");
    let mut pause = LOOK;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = now.notified() => {}
            () = stop.cancelled() => return,
        }
        let began = Instant::now();
        let looked = worker.store.lanes_with_work(worker.id, worker.clock.now()).await;
        pause = LOOK.max(began.elapsed() * REST);
        trouble.note(&looked);
        for owner in looked.unwrap_or_default() {
            worker.deliverer.bells.ring_here(owner, true);
        }
    }
}

/// Calls the owners of lanes that other processes own, as many as there are at once.
pub(super) async fn call(worker: Worker, mut rung: mpsc::Receiver<Uuid>, stop: CancellationToken) {
    let mut owners = Vec::new();
    loop {
        tokio::select! {
            received = rung.recv_many(&mut owners, usize::MAX) => if received == 0 { return },
            () = stop.cancelled() => return,
        }
        let distinct: Vec<Uuid> = owners.drain(..).collect::<HashSet<_>>().into_iter().collect();
        if let Err(error) = worker.store.call_lanes(&distinct).await {
            tracing::debug!(%error, "other processes could not be called; they look by themselves");
        }
        tokio::time::sleep(APART).await;
    }
}

/// Rings here when others call.
pub(super) async fn listen(worker: Worker, look: Arc<Notify>, stop: CancellationToken) {
    let mut failing = false;
    loop {
        let listening = hear(&worker, &look, &mut failing);
        let Some(Err(error)) = stop.run_until_cancelled(listening).await else { return };
        if !failing {
            tracing::warn!(%error, "calls of other processes are not heard; lanes are looked through once a second all the same");
        }
        failing = true;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn hear(worker: &Worker, look: &Notify, failing: &mut bool) -> Result<(), StoreError> {
    let mut listener: LaneListener = worker.store.listen_for_lanes().await?;
    if std::mem::take(failing) {
        tracing::info!("calls of other processes are heard again");
    }
    loop {
        match listener.heard().await? {
            Call::Some(owners) => owners.into_iter().for_each(|owner| {
                worker.deliverer.bells.ring_here(owner, false);
            }),
            Call::All => look.notify_one(),
            Call::Forgotten(contacts) => worker.keyring.heard_of_forgotten(&contacts),
            Call::Missed => {
                worker.keyring.heard_of_forgotten(&[]);
                look.notify_one();
            }
        }
    }
}
