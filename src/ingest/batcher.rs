//! Batchers: take what is queued, write it in one transaction, answer everybody who waited for it.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::Parts;
use super::queue::{Batch, Queue, Submission};
use super::windows::Windows;
use super::write::Writer;
use crate::domain::event::Item;
use crate::ids::TenantId;

/// How much is held and written at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What may wait, in bytes of the items as they are held in memory.
    pub queue_bytes: usize,
    /// A batch ends at this many events …
    pub batch_rows: usize,
    /// … or bytes.
    pub batch_bytes: usize,
    /// Batchers that write at the same time.
    pub writers: usize,
    /// How long a request waits for its COMMIT.
    pub commit_timeout: Duration,
}

/// Runs a batcher and starts it again if it panics: what it held is answered 503, and Meta keeps it.
pub(super) async fn supervise(
    (parts, windows): (Parts, Arc<Windows>),
    limits: Limits,
    queue: Arc<Queue>,
    stop: CancellationToken,
) {
    let writer = || Writer::new(parts.clone(), windows.clone());
    let run = || AssertUnwindSafe(run(writer(), limits, queue.clone(), stop.clone())).catch_unwind();
    while run().await.is_err() {
        tracing::error!("a batcher panicked; it starts again");
    }
}

async fn run(writer: Writer, limits: Limits, queue: Arc<Queue>, stop: CancellationToken) {
    loop {
        let batch = tokio::select! {
            biased;
            batch = queue.next_batch(limits.batch_rows, limits.batch_bytes) => batch,
            // Asked last: whatever still waits is written first. What another batcher holds is its own to finish, and must
            // not keep this one from stopping.
            () = stop.cancelled() => return,
        };
        write_batch(&writer, batch).await;
        if stop.is_cancelled() && queue.is_empty() {
            return;
        }
    }
}

/// The items of one tenant, and who waits for them.
#[derive(Default)]
struct Share {
    items: Vec<Item>,
    waiting: Vec<Submission>,
}

async fn write_batch(writer: &Writer, mut batch: Batch) {
    let mut shares: HashMap<TenantId, Share> = HashMap::with_capacity(1);
    for mut submission in batch.submissions.drain(..) {
        let share = shares.entry(submission.tenant).or_default();
        share.items.append(&mut submission.items);
        share.waiting.push(submission);
    }
    for (tenant, share) in shares {
        let committed = writer.write(tenant, &share.items).await.is_ok();
        for submission in share.waiting {
            // The requester may have gone; what it brought is stored all the same.
            let _gone = submission.answer.send(committed);
        }
    }
}
