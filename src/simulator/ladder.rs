//! The statuses that follow an accepted send.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use super::payloads::{self, Recipient, Status};
use super::platform::Platform;
use super::settings::Step;

/// Webhooks that are posted at the same time, as Meta posts concurrently.
const POSTS_AT_ONCE: usize = 64;

/// An accepted send, as far as its statuses tell of it.
pub(super) struct Climb {
    pub(super) wamid: String,
    pub(super) recipient: Recipient,
    pub(super) opaque: Option<String>,
    /// Pricing category.
    pub(super) category: &'static str,
    pub(super) voice: bool,
    /// Instead of the ladder: one failed status with this code.
    pub(super) fails_with: Option<u32>,
}

/// A status to post, and whom to tell when it was posted once.
pub(super) struct Due {
    status: Status,
    posted: oneshot::Sender<()>,
}

/// Lets the statuses of a send become due, one after the other, in the background.
pub(super) fn climb(platform: &Arc<Platform>, climb: Climb) {
    let settings = platform.settings();
    if !settings.ladder.enabled && climb.fails_with.is_none() {
        return;
    }
    let platform = Arc::clone(platform);
    platform.clone().tasks.spawn(async move {
        let failed = [Step::Failed];
        let steps = if climb.fails_with.is_some() { &failed[..] } else { &settings.ladder.steps };
        let steps = steps.iter().filter(|step| climb.voice || **step != Step::Played);
        for (rung, step) in steps.enumerate() {
            if !platform.pause(Duration::from_millis(settings.ladder.gap_ms)).await {
                return;
            }
            let status = Status {
                wamid: climb.wamid.clone(),
                step: *step,
                recipient: climb.recipient.clone(),
                timestamp: platform.seconds(),
                opaque: climb.opaque.clone(),
                // Meta prices `sent` and one of the two that follow.
                category: (rung < 2).then(|| climb.category.to_owned()),
                conversation: settings.conversation_in_status,
                error: climb.fails_with.or((*step == Step::Failed).then_some(131_026)),
            };
            let (posted, was_posted) = oneshot::channel();
            // Both ends are gone only when the simulator stops.
            let _ = platform.due.send(Due { status, posted });
            if settings.ladder.in_order {
                let _ = was_posted.await;
            }
        }
    });
}

/// Posts statuses as they become due, in batches of up to `Ladder::batch`, until the simulator stops.
pub(super) async fn post_due(platform: Arc<Platform>, mut due: UnboundedReceiver<Due>) {
    let posts = Arc::new(Semaphore::new(POSTS_AT_ONCE));
    loop {
        let batch = tokio::select! {
            biased;
            () = platform.stop.cancelled() => return,
            batch = next_batch(&platform, &mut due) => batch,
        };
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&posts).acquire_owned().await else { return };
        let (statuses, told): (Vec<_>, Vec<_>) = batch.into_iter().map(|due| (due.status, due.posted)).unzip();
        let platform = Arc::clone(&platform);
        platform.clone().tasks.spawn(async move {
            platform.post(&payloads::statuses(&platform.business, &statuses)).await;
            drop(permit);
            for posted in told {
                // Nobody waits when order is not asked for.
                let _ = posted.send(());
            }
        });
    }
}

/// At least one status, what else is there, and what comes while a batch that is not full lingers. Empty only when
/// there is no sender left.
async fn next_batch(platform: &Platform, due: &mut UnboundedReceiver<Due>) -> Vec<Due> {
    let mut batch = Vec::from_iter(due.recv().await);
    // Read after the wait, so that settings made during it count.
    let ladder = &platform.settings().ladder;
    let most = ladder.batch.clamp(1, 1000);
    let end = tokio::time::Instant::now() + Duration::from_millis(ladder.linger_ms);
    while batch.len() < most {
        let next = match due.try_recv() {
            Ok(next) => Some(next),
            Err(_) if ladder.linger_ms == 0 => None,
            Err(_) => tokio::time::timeout_at(end, due.recv()).await.ok().flatten(),
        };
        let Some(next) = next else { break };
        batch.push(next);
    }
    batch
}
