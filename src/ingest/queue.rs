//! The queue between the requests and the batchers: bounded in bytes, because a POST may hold 1 item or 1000.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::domain::event::{Item, Subject};
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

/// What an item costs beside its JSON: itself, and the texts and names that were copied out of it, roughly.
const BESIDE: usize = size_of::<Item>() + 256;

/// What items occupy. More than the body that they came in, when they share much of it.
fn held(items: &[Item]) -> usize {
    let subject = |item: &Item| match &item.subject {
        Subject::Exact(bytes) => bytes.len(),
        Subject::Message(_) => 0,
    };
    items.iter().map(|item| item.envelope.len() + subject(item) + BESIDE).sum()
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

    /// Queues a POST, or says at once that there is no room. One that is larger than the queue has room when nothing else waits:
    /// Meta would send it again for ever.
    pub(super) fn push(&self, tenant: TenantId, items: Vec<Item>) -> Result<oneshot::Receiver<bool>, Full> {
        let bytes = held(&items);
        let wanted = u32::try_from(bytes.clamp(1, self.capacity)).map_err(|_| Full)?;
        let room = self.room.clone().try_acquire_many_owned(wanted).map_err(|_| Full)?;
        let (answer, receiver) = oneshot::channel();
        self.sender.send(Submission { tenant, items, bytes, answer, _room: room }).map_err(|_| Full)?;
        Ok(receiver)
    }

    /// Everything that waits, at least one POST, until `rows` or `bytes` are reached. Does not wait for more: a fixed waiting
    /// time costs throughput at every load that was measured (docs/adr/0005-no-linger.md).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::EventType;
    use bytes::Bytes;

    fn items(number: usize, bytes: usize) -> Vec<Item> {
        let item = || Item {
            event_type: EventType::Unrecognised,
            waba_id: None,
            phone_number_id: None,
            person: None,
            subject: Subject::Exact(Bytes::new()),
            variant: None,
            status: None,
            error_code: None,
            opaque: None,
            occurred_at: None,
            envelope: Bytes::from(vec![b'x'; bytes]),
        };
        std::iter::repeat_with(item).take(number).collect()
    }

    #[tokio::test]
    async fn what_is_held_is_counted_and_not_what_came_in() {
        let queue = Queue::new(100_000);
        let waiting = queue.push(TenantId::DEFAULT, items(20, 1000)).unwrap();
        assert!(queue.waiting() > 25_000, "{}", queue.waiting());
        assert!(queue.push(TenantId::DEFAULT, items(200, 0)).is_err(), "many items cost room, however small they are");
        drop(queue.next_batch(1, 1).await);
        assert_eq!(queue.waiting(), 0);
        assert!(waiting.await.is_err());
    }

    #[test]
    fn what_is_larger_than_the_queue_has_its_turn_alone() {
        let queue = Queue::new(1000);
        let _waiting = queue.push(TenantId::DEFAULT, items(20, 1000)).unwrap();
        assert!(queue.push(TenantId::DEFAULT, items(1, 1)).is_err());
    }
}
