//! Owns lanes: renews one lease for the whole process, claims what is free up to its fair share, starts a task for each, and
//! gives back what is more than its share.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Worker;
use crate::directory::bells::Bell;
use crate::store::StoreError;
use crate::store::lanes::{Census, ClaimedLane, Kind, OwnedLane};
use crate::telemetry;
use crate::{audit, deliver, media, privacy, send};

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

/// Lanes taken, and given back, in one statement.
const AT_ONCE: usize = 4096;

/// The lanes of one uninterrupted lease.
struct Tenure {
    stop: CancellationToken,
    tasks: TaskTracker,
    in_hand: InHand,
}

/// The lanes that this tenure works on or is about to give back, each with what stops it. What the database calls ours and is
/// not among them is worked on by nobody.
#[derive(Clone, Default)]
struct InHand(Arc<Mutex<HashMap<OwnedLane, CancellationToken>>>);

impl InHand {
    fn lanes(&self) -> MutexGuard<'_, HashMap<OwnedLane, CancellationToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are worked on and meant to be kept.
    fn kept(&self) -> usize {
        self.lanes().values().filter(|stop| !stop.is_cancelled()).count()
    }

    /// Stops so many of those that are kept.
    fn give_back(&self, surplus: usize) {
        self.lanes().values().filter(|stop| !stop.is_cancelled()).take(surplus).for_each(CancellationToken::cancel);
    }
}

impl Tenure {
    fn begin(stop: &CancellationToken) -> Self {
        Self { stop: stop.child_token(), tasks: TaskTracker::new(), in_hand: InHand::default() }
    }
}

/// A lane on which nobody works any more.
type Done = (OwnedLane, InHand);

/// Owns lanes until `stop` is cancelled, and has them `looked` through when some were taken.
pub(super) async fn run(worker: Worker, looked: Arc<Notify>, stop: CancellationToken) {
    let (done, to_release) = mpsc::unbounded_channel();
    let releasing = TaskTracker::new();
    releasing.spawn(release(worker.clone(), to_release));
    releasing.close();
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
            share(&worker, &tenure, &done, &looked).await;
        } else if !tenure.tasks.is_empty() {
            tenure = abandon(&tenure, &stop);
        }
        metrics::gauge!(telemetry::LANES_OWNED).set(tenure.tasks.len() as f64);
        tokio::select! {
            () = tokio::time::sleep(worker.lease.looked) => {}
            () = stop.cancelled() => {}
        }
    }
    drop(done);
    leave(&worker, &tenure, &releasing).await;
}

/// Lanes are given back one by one as they finish, while the others keep their lease.
async fn leave(worker: &Worker, tenure: &Tenure, releasing: &TaskTracker) {
    if let Err(error) = worker.store.announce_leaving(worker.id).await {
        tracing::debug!(error = %error, "the other processes could not be told that this one stops");
    }
    tenure.tasks.close();
    loop {
        tokio::select! {
            () = tenure.tasks.wait() => break,
            () = tokio::time::sleep(worker.lease.renewed) => {
                // Where it fails, the lanes are free when the lease ends.
                let _renewed = worker.store.renew_lease(worker.id, worker.lease.lasts).await;
            }
        }
    }
    releasing.wait().await;
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

/// Takes what is free up to the fair share, or gives back what is more than it.
async fn share(worker: &Worker, tenure: &Tenure, done: &mpsc::UnboundedSender<Done>, looked: &Notify) {
    let census = match worker.store.lane_census(worker.id).await {
        Ok(census) => census,
        Err(error) => return tracing::warn!(error = %error, "lanes could not be counted"),
    };
    let (share, kept) = (census.fair_share(), tenure.in_hand.kept());
    tenure.in_hand.give_back(kept.saturating_sub(share));
    let in_hand: Vec<OwnedLane> = tenure.in_hand.lanes().keys().copied().collect();
    let wanted = wanted(census, kept, in_hand.len());
    if wanted == 0 {
        return;
    }
    match worker.store.claim_lanes(worker.id, &in_hand, i64::try_from(wanted.min(AT_ONCE)).unwrap_or(i64::MAX)).await {
        Ok(claimed) if claimed.is_empty() => {}
        Ok(claimed) => {
            // A lane of settings that this process has not read yet would look like one of nobody.
            if let Err(error) = worker.directory.reload().await {
                tracing::warn!(error = %error, "the settings could not be read");
            }
            for lane in claimed {
                begin(worker, tenure, lane, done.clone());
            }
            looked.notify_one();
        }
        Err(error) => tracing::warn!(error = %error, "free lanes could not be looked for"),
    }
}

/// How many lanes to take. One that is ours by the table and in nobody's hand is taken even beyond the share: nobody else can.
fn wanted(census: Census, kept: usize, in_hand: usize) -> usize {
    let stray = usize::try_from(census.ours).unwrap_or(0).saturating_sub(in_hand);
    let room = census.fair_share().saturating_sub(kept);
    room.min(usize::try_from(census.free).unwrap_or(0)).max(stray)
}

fn begin(worker: &Worker, tenure: &Tenure, claimed: ClaimedLane, done: mpsc::UnboundedSender<Done>) {
    if claimed.taken_over {
        metrics::counter!(telemetry::LANE_TAKEOVERS).increment(1);
    }
    let (lane, stop) = (claimed.lane, tenure.stop.child_token());
    tenure.in_hand.lanes().insert(lane, stop.clone());
    // Before anything is looked for, so that what comes after the look rings.
    // Files have the owner of messages, whose bell must stay: their lane looks by itself.
    let has_bell = lane.kind != Kind::Media;
    let bell = if has_bell { worker.deliverer.bells.hang(lane.owner) } else { Arc::default() };
    let (bells, in_hand) = (worker.deliverer.bells.clone(), tenure.in_hand.clone());
    let working = work(worker, claimed, bell.clone(), stop);
    tenure.tasks.spawn(async move {
        if AssertUnwindSafe(working).catch_unwind().await.is_err() {
            tracing::error!(lane = %lane.owner, "a lane panicked; it is given back and taken up again");
        }
        bells.take_down(lane.owner, &bell);
        // Ours no longer, whatever the reason; a claim would otherwise wait for the end of this process.
        let _closed = done.send((lane, in_hand));
    });
}

/// The work on a lane, until it is stopped or lost. With nothing in it that it does not need: there may be ten thousand of them.
fn work(worker: &Worker, claimed: ClaimedLane, bell: Arc<Bell>, stop: CancellationToken) -> BoxFuture<'static, ()> {
    match claimed.lane.kind {
        Kind::Endpoint => Box::pin(deliver::run_lane(worker.deliverer.clone(), claimed, bell, stop)),
        Kind::Replay => Box::pin(deliver::run_replay(worker.deliverer.clone(), claimed.lane, stop)),
        Kind::Privacy => Box::pin(privacy::run_lane(worker.privacy.clone(), claimed.lane, stop)),
        Kind::Export => Box::pin(privacy::run_export(worker.privacy.clone(), claimed.lane, stop)),
        Kind::Audit => Box::pin(audit::run_lane(worker.audit.clone(), worker.witnessing.clone(), claimed.lane, stop)),
        Kind::Media => Box::pin(media::run_lane(worker.files.clone(), claimed.lane, stop)),
        Kind::Channel => Box::pin(send::run_lane(worker.sender.clone(), claimed.lane, bell, stop)),
    }
}

/// Gives back lanes on which nobody works any more. Where that fails, the next claim finds them.
async fn release(worker: Worker, mut done: mpsc::UnboundedReceiver<Done>) {
    let mut batch: Vec<Done> = Vec::new();
    while done.recv_many(&mut batch, AT_ONCE).await > 0 {
        let lanes: Vec<OwnedLane> = batch.iter().map(|(lane, _)| *lane).collect();
        if let Err(error) = worker.store.release_some_lanes(&lanes).await {
            tracing::debug!(error = %error, "lanes could not be given back");
        }
        for (lane, in_hand) in batch.drain(..) {
            in_hand.lanes().remove(&lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(workers: i64, lanes: i64, ours: i64, free: i64) -> Census {
        Census { workers, lanes, ours, free }
    }

    #[test]
    fn shares_add_up_to_all_lanes_and_differ_by_less_than_one_of_them() {
        for (lanes, workers, share) in [(0, 1, 0), (1, 2, 1), (7, 2, 4), (8, 2, 4), (10_000, 3, 3_334), (5, 0, 5)] {
            assert_eq!(census(workers, lanes, 0, 0).fair_share(), share);
        }
    }

    #[test]
    fn a_process_takes_what_is_free_up_to_its_share_and_what_is_its_own_beyond_it() {
        assert_eq!(wanted(census(2, 10, 3, 7), 3, 3), 2);
        assert_eq!(wanted(census(2, 10, 3, 1), 3, 3), 1);
        assert_eq!(wanted(census(2, 10, 5, 0), 5, 5), 0);
        assert_eq!(wanted(census(2, 10, 8, 2), 6, 6), 2);
        assert_eq!(wanted(census(2, 10, 5, 2), 3, 5), 2, "what is being given back is no stray");
    }
}
