//! Owns lanes: renews one lease for the whole process, claims what is free, starts a task for each.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Worker;
use crate::store::StoreError;
use crate::store::lanes::{Kind, OwnedLane};
use crate::telemetry;
use crate::{deliver, send};

/// How long a process that is silent keeps its lanes, and how often it speaks. Measured by Postgres's clock and the machine's
/// monotonic one: a wall clock that is set back takes no lane away.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Lanes of a process that was silent for this long are free.
    pub lasts: Duration,
    /// Renewed this often.
    pub renewed: Duration,
    /// Free lanes are looked for this often.
    pub looked: Duration,
}

impl Default for Lease {
    fn default() -> Self {
        Self { lasts: Duration::from_secs(15), renewed: Duration::from_secs(4), looked: Duration::from_millis(500) }
    }
}

/// Lanes taken at once; the rest waits for the next look.
const CLAIM: i64 = 256;

/// The lanes of one uninterrupted lease.
struct Tenure {
    stop: CancellationToken,
    tasks: TaskTracker,
    in_hand: InHand,
}

/// The lanes that a task of this tenure works on. What the database calls ours and is not among them is worked on by nobody.
#[derive(Clone, Default)]
struct InHand(Arc<Mutex<HashSet<OwnedLane>>>);

impl InHand {
    fn lanes(&self) -> MutexGuard<'_, HashSet<OwnedLane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenure {
    fn begin(stop: &CancellationToken) -> Self {
        Self { stop: stop.child_token(), tasks: TaskTracker::new(), in_hand: InHand::default() }
    }
}

pub(super) async fn run(worker: Worker, stop: CancellationToken) {
    let mut tenure = Tenure::begin(&stop);
    let mut renewed_at: Option<Instant> = None;
    while !stop.is_cancelled() {
        if renewed_at.is_none_or(|at| at.elapsed() >= worker.lease.renewed) {
            // Taken before the question: the answer may be late, the promise counts from when Postgres made it.
            let asked = Instant::now();
            match renew(&worker).await {
                Ok(true) => renewed_at = Some(asked),
                Ok(false) => {
                    tenure = abandon(&tenure, &stop);
                    renewed_at = Some(asked);
                }
                Err(error) => tracing::warn!(error = %error, "the lease could not be renewed"),
            }
        }
        let alive = renewed_at.is_some_and(|at| at.elapsed() < worker.lease.lasts);
        if alive {
            claim(&worker, &tenure).await;
        } else if !tenure.tasks.is_empty() {
            tenure = abandon(&tenure, &stop);
        }
        metrics::gauge!(telemetry::LANES_OWNED).set(tenure.tasks.len() as f64);
        tokio::select! {
            () = tokio::time::sleep(worker.lease.looked) => {}
            () = stop.cancelled() => {}
        }
    }
    tenure.tasks.close();
    tenure.tasks.wait().await;
    if let Err(error) = worker.store.release_lanes(worker.id).await {
        tracing::warn!(error = %error, "lanes could not be given back; they are free when the lease ends");
    }
}

/// Renews the lease. False when it had run out: others may own some of the lanes by now, and the rest are given back, because
/// nobody claims the lanes of a worker that is alive.
async fn renew(worker: &Worker) -> Result<bool, StoreError> {
    let unbroken = worker.store.renew_lease(worker.id, worker.lease.lasts).await?;
    if !unbroken {
        worker.store.release_lanes(worker.id).await?;
        worker.store.renew_lease(worker.id, worker.lease.lasts).await?;
    }
    Ok(unbroken)
}

/// Tells the lanes to stop and does not wait for them: the epoch keeps what they still do from being written.
fn abandon(tenure: &Tenure, stop: &CancellationToken) -> Tenure {
    tracing::warn!("the lease was lost; all lanes are given up");
    tenure.stop.cancel();
    Tenure::begin(stop)
}

async fn claim(worker: &Worker, tenure: &Tenure) {
    let in_hand: Vec<OwnedLane> = tenure.in_hand.lanes().iter().copied().collect();
    let claimed = match worker.store.claim_lanes(worker.id, &in_hand, CLAIM).await {
        Ok(claimed) => claimed,
        Err(error) => return tracing::warn!(error = %error, "free lanes could not be looked for"),
    };
    for lane in claimed {
        if lane.epoch > 1 {
            metrics::counter!(telemetry::LANE_TAKEOVERS).increment(1);
        }
        tenure.in_hand.lanes().insert(lane);
        let (in_hand, working) = (tenure.in_hand.clone(), work(worker.clone(), lane, tenure.stop.clone()));
        tenure.tasks.spawn(async move {
            working.await;
            in_hand.lanes().remove(&lane);
        });
    }
}

/// Works on a lane and gives it back. Where that fails, the next claim finds it.
async fn work(worker: Worker, lane: OwnedLane, stop: CancellationToken) {
    // A lane of settings that this process has not read yet would look like one of nobody.
    if let Err(error) = worker.directory.reload().await {
        tracing::warn!(error = %error, "the settings could not be read");
    }
    let store = worker.store.clone();
    let working = async move {
        match lane.kind {
            Kind::Endpoint => deliver::run_lane(worker.deliverer, lane, stop).await,
            Kind::Replay => deliver::run_replay(worker.deliverer, lane, stop).await,
            Kind::Channel => send::run_lane(worker.sender, lane, stop).await,
        }
    };
    if AssertUnwindSafe(working).catch_unwind().await.is_err() {
        tracing::error!(lane = %lane.owner, "a lane panicked; it is given back and taken up again");
    }
    // Ours no longer, whatever the reason; a claim would otherwise wait for the end of this process.
    if let Err(error) = store.release_lane(lane).await {
        tracing::debug!(error = %error, "a lane could not be given back");
    }
}
