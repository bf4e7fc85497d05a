//! The queue between the requests and the batchers: bounded in bytes, because a POST may hold 1 item or 1000.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::domain::event::Item;
use crate::ids::TenantId;

/// One POST, waiting.
pub(super) struct Submission {
    pub(super) tenant: TenantId,
    pub(super) items: Vec<Item>,
    pub(super) bytes: usize,
    /// Told `true` after COMMIT and `false` when the batch failed.
    pub(super) answer: oneshot::Sender<bool>,
    /// Its share of the queue, given back when it is dropped.
    _room: OwnedSemaphorePermit,
}

/// The queue has no room for this POST.
#[derive(Debug)]
pub(super) struct Full;

#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    room: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<Submission>,
    receiver: Mutex<mpsc::UnboundedReceiver<Submission>>,
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Submission({} items)", self.items.len())
    }
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.min(Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { capacity, room: Arc::new(Semaphore::new(capacity)), sender, receiver: Mutex::new(receiver) }
    }

    /// Queues a POST of `bytes`, or says at once that there is no room.
    pub(super) fn push(
        &self,
        tenant: TenantId,
        items: Vec<Item>,
        bytes: usize,
    ) -> Result<oneshot::Receiver<bool>, Full> {
        let wanted = u32::try_from(bytes.max(1)).map_err(|_| Full)?;
        let room = self.room.clone().try_acquire_many_owned(wanted).map_err(|_| Full)?;
        let (answer, receiver) = oneshot::channel();
        self.sender.send(Submission { tenant, items, bytes, answer, _room: room }).map_err(|_| Full)?;
        Ok(receiver)
    }

    /// Everything that waits, at least one POST, until `rows` or `bytes` are reached. Does not wait for more: a fixed waiting
    /// time costs throughput at every load that was measured (docs/performance.md).
    pub(super) async fn next_batch(&self, rows: usize, bytes: usize) -> Vec<Submission> {
        let mut receiver = self.receiver.lock().await;
        let Some(first) = receiver.recv().await else { return Vec::new() };
        let (mut batch_rows, mut batch_bytes) = (first.items.len(), first.bytes);
        let mut batch = vec![first];
        while batch_rows < rows && batch_bytes < bytes {
            let Ok(next) = receiver.try_recv() else { break };
            batch_rows += next.items.len();
            batch_bytes += next.bytes;
            batch.push(next);
        }
        batch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.room.available_permits() == self.capacity
    }

    pub(super) fn waiting(&self) -> usize {
        self.capacity - self.room.available_permits()
    }

    pub(super) fn fill(&self) -> f64 {
        self.waiting() as f64 / self.capacity.max(1) as f64
    }
}
