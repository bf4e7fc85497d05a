//! The lane of an export: one process at a time makes the archive, and another takes over after a crash.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::{Next, Privacy};
use crate::ids::ExportId;
use crate::store::lanes::OwnedLane;

/// What cannot go on is looked at again after so long, and each time after twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// But no longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// Works on an export until the archive is there, `stop` is cancelled or the lane is lost.
pub async fn run(privacy: Privacy, lane: OwnedLane, stop: CancellationToken) {
    let id = ExportId::from_uuid(lane.owner);
    let work = async {
        let mut wait = FIRST;
        loop {
            match privacy.build_export(lane).await {
                Ok(Next::Done) => return,
                Ok(Next::Go | Next::Wait) => {}
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(export = %id, %error, cause, "an export could not be made yet");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
