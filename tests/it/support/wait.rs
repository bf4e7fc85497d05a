//! Waiting for what can be observed, with a deadline.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

/// Longer than the slowest machine takes: nobody waits so long but a test that fails.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until it holds; the test has failed when it does not in time. Returns how long it took.
pub async fn until(what: &str, patience: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        if holds().await {
            return began.elapsed();
        }
        assert!(began.elapsed() < patience, "in {patience:?} it did not come true that {what}");
    }
}
