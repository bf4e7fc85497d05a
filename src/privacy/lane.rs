//! The lane of an erasure: one process at a time works on it, and another takes it over after a crash.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Next, Privacy};
use crate::ids::ErasureId;
use crate::store::lanes::OwnedLane;

/// An erasure that waits looks again after so long, and each time after twice as long: what it waits for may take days.
const FIRST: Duration = Duration::from_millis(500);
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(30);
/// Pause after something failed that may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// Works on an erasure until it is certified, `stop` is cancelled or the lane is lost.
pub async fn run(privacy: Privacy, lane: OwnedLane, stop: CancellationToken) {
    let id = ErasureId::from_uuid(lane.owner);
    let work = async {
        let mut wait = FIRST;
        loop {
            match privacy.step(lane.tenant, id).await {
                Ok(Next::Go) => wait = FIRST,
                Ok(Next::Wait) => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST);
                }
                Ok(Next::Done) => return,
                Err(error) => {
                    // Whatever it is: an erasure that was promised is never given up.
                    tracing::error!(erasure = %id, error = %error, cause = ?std::error::Error::source(&error).map(ToString::to_string), "an erasure could not go on yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
