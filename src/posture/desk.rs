//! The posture for whoever asks often: measured once for all who ask, one at a time, and told with its age, so that asking is no way to keep
//! the gateway busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Measured, Posture};
use crate::audit::Actor;

/// What was measured is told for so long at the least.
const FRESH: time::Duration = time::Duration::MINUTE;
/// Of all the time, measuring may take one part in so many.
const SHARE: u32 = 10;
/// How long somebody waits for what is being measured: less than a request may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is nothing to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// It takes longer than anybody waits; it goes on, and what it finds is told to whoever asks then.
    #[error("the first measurement is still under way")]
    UnderWay,
    /// It could not be measured; the log of the process says why.
    #[error("the posture could not be measured")]
    Failed,
}

/// What is known.
#[derive(Debug, Default)]
struct Known {
    is_measuring: bool,
    /// The last that succeeded, and how long it took.
    last: Option<(Arc<Measured>, Duration)>,
    /// Whether the last attempt failed.
    has_failed: bool,
}

impl Known {
    fn fresh(&self, now: OffsetDateTime) -> Option<Arc<Measured>> {
        let (measured, took) = self.last.as_ref()?;
        let fresh = FRESH.max((*took * SHARE).try_into().unwrap_or(time::Duration::MAX));
        // A clock that was put back makes nothing fresh.
        let age = now - measured.at;
        (!age.is_negative() && age < fresh).then(|| Arc::clone(measured))
    }
}

/// Where the posture is asked for. Clones are one.
#[derive(Debug, Clone)]
pub struct Desk {
    posture: Posture,
    known: watch::Sender<Known>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Desk {
    /// Nothing is measured before somebody asks, nor after `stop`.
    #[must_use]
    pub fn new(posture: Posture, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { posture, known: watch::Sender::default(), tasks, stop }
    }

    /// What it measures with.
    #[must_use]
    pub const fn posture(&self) -> &Posture {
        &self.posture
    }

    /// The posture, measured a minute ago at the most, or as long ago as ten times what measuring takes. Whoever asks while it is measured
    /// waits for that; who goes away breaks nothing off. When it takes too long, the last is told, which says when it was.
    pub async fn latest(&self) -> Result<Arc<Measured>, DeskError> {
        let mut known = self.known.subscribe();
        let now = self.posture.clock.now();
        if let Some(fresh) = known.borrow_and_update().fresh(now) {
            return Ok(fresh);
        }
        self.begin(now);
        let done = tokio::time::timeout(PATIENCE, known.wait_for(|known| !known.is_measuring)).await;
        match done {
            Ok(Ok(known)) if known.has_failed => Err(DeskError::Failed),
            Ok(Ok(known)) => known.last.as_ref().map(|(last, _)| Arc::clone(last)).ok_or(DeskError::Failed),
            // This desk has the sender: it is not dropped.
            Ok(Err(_)) => Err(DeskError::Failed),
            Err(_) => {
                let known = self.known.borrow();
                known.last.as_ref().map(|(last, _)| Arc::clone(last)).ok_or(DeskError::UnderWay)
            }
        }
    }

    /// Begins to measure, unless that is under way or was done meanwhile.
    fn begin(&self, now: OffsetDateTime) {
        let is_ours = self.known.send_if_modified(|known| {
            let begins = !known.is_measuring && known.fresh(now).is_none();
            known.is_measuring |= begins;
            begins
        });
        if !is_ours {
            return;
        }
        let (posture, stop) = (self.posture.clone(), self.stop.clone());
        let busy = Busy { known: self.known.clone(), found: None };
        // Of its own: whoever asked may go away, and others wait for it. Broken off, it leaves nothing half done.
        self.tasks.spawn(async move {
            let begun = Instant::now();
            // Unasked, as the log sees it: it is for everybody who asks, and each of them has an entry for that.
            match stop.run_until_cancelled(Box::pin(posture.measure(Actor::GATEWAY))).await {
                Some(Ok(measured)) => busy.found((Arc::new(measured), begun.elapsed())),
                Some(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "the posture could not be measured");
                    drop(busy);
                }
                None => drop(busy),
            }
        });
    }
}

/// Somebody measures. Dropped, also by a panic, it lets the next one begin.
struct Busy {
    known: watch::Sender<Known>,
    found: Option<(Arc<Measured>, Duration)>,
}

impl Busy {
    fn found(mut self, found: (Arc<Measured>, Duration)) {
        self.found = Some(found);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let found = self.found.take();
        self.known.send_modify(|known| {
            known.is_measuring = false;
            known.has_failed = found.is_none();
            if let Some(found) = found {
                known.last = Some(found);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn what_took_long_is_fresh_for_longer_and_a_clock_that_was_put_back_makes_nothing_fresh() {
        let at = datetime!(2026-11-24 12:00 UTC);
        let measured = || Arc::new(Measured::new(at, Vec::new(), Vec::new()));
        let known = |took| Known { last: Some((measured(), took)), ..Known::default() };
        let (quick, slow) = (known(Duration::from_secs(1)), known(Duration::from_mins(1)));
        assert!(quick.fresh(at + time::Duration::seconds(59)).is_some());
        assert!(quick.fresh(at + time::Duration::minutes(1)).is_none());
        assert!(slow.fresh(at + time::Duration::minutes(9)).is_some());
        assert!(slow.fresh(at + time::Duration::minutes(10)).is_none());
        assert!(quick.fresh(at - time::Duration::SECOND).is_none());
    }

    #[test]
    fn whoever_measures_lets_the_next_one_begin_whatever_happens() {
        let known = watch::Sender::new(Known { is_measuring: true, ..Known::default() });
        drop(Busy { known: known.clone(), found: None });
        assert!(!known.borrow().is_measuring && known.borrow().has_failed);
    }
}
