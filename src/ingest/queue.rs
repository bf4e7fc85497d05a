//! The queue between the requests and the batchers: bounded in bytes, because a POST may hold 1 item or 1000.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::backpressure::{Backpressure, Coming};
use crate::domain::event::{Item, Subject};
use crate::ids::TenantId;

/// One POST, waiting.
pub(super) struct Submission {
    pub(super) tenant: TenantId,
    pub(super) items: Vec<Item>,
    /// Told `true` after COMMIT and `false` when the batch failed.
    pub(super) answer: oneshot::Sender<bool>,
    bytes: usize,
    /// How it gets its items, when it has none yet.
    cut: Option<Cut>,
    _turn: Option<Turn>,
    /// Its share of the queue, given back when it is dropped.
    _room: Share,
}

/// Room in the queue. Whoever is held back is told when it is given back.
struct Share {
    permit: Option<OwnedSemaphorePermit>,
    backpressure: Arc<Backpressure>,
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.backpressure.less_waits();
    }
}

/// Makes items of a body.
type Cut = Box<dyn FnOnce() -> Vec<Item> + Send>;

/// Leave to have a body in items; given back when it is dropped.
pub(super) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// What a POST brings.
pub(super) enum Load {
    Items(Vec<Item>, Turn),
    /// To be cut by the batcher that takes it.
    Body {
        bytes: usize,
        cut: Cut,
    },
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

/// Beside a batch that is under way, another is begun when so many bytes wait, about ten messages: a statement costs Postgres as
/// much as fifteen rows do, and two small batches more than one that is larger (docs/adr/0005-no-linger.md).
const WORTH_A_BATCH: usize = 12 * 1024;
/// And after this, whatever waits: a batch that takes longer is held up by something that need not hold up the next.
const LONG_FOR_A_BATCH: Duration = Duration::from_millis(10);

/// The queue has no room for this POST.
#[derive(Debug)]
pub(super) struct Full;

/// Cut into items, a POST takes several times the memory of its body. So bodies wait whole, and no more of them are cut than
/// keep the batchers busy.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: usize,
    room: Arc<Semaphore>,
    backpressure: Arc<Backpressure>,
    cut_at_once: usize,
    cutting: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<Submission>,
    receiver: Mutex<mpsc::UnboundedReceiver<Submission>>,
    /// What the sender holds, in bytes.
    queued: AtomicUsize,
    /// Batches that are taken and not done.
    under_way: Arc<UnderWay>,
}

/// Counts batches, and wakes the batcher that waits for one of them to end or for more to come.
#[derive(Debug, Default)]
struct UnderWay {
    batches: AtomicUsize,
    moved: Notify,
}

/// POSTs that are written together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) submissions: Vec<Submission>,
    under_way: Arc<UnderWay>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.under_way.batches.fetch_sub(1, Ordering::AcqRel);
        self.under_way.moved.notify_one();
    }
}

impl std::fmt::Debug for Submission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Submission({} items)", self.items.len())
    }
}

impl Submission {
    fn cut(mut self) -> Self {
        if let Some(cut) = self.cut.take() {
            self.items = cut();
            self.bytes = held(&self.items);
        }
        self
    }
}

impl Queue {
    /// A queue for `capacity` bytes of bodies, of which `cut_at_once` may be in items.
    pub(super) fn new(capacity: usize, cut_at_once: usize) -> Self {
        let capacity = capacity.min(Semaphore::MAX_PERMITS);
        let cut_at_once = cut_at_once.min(capacity);
        let (sender, receiver) = mpsc::unbounded_channel();
        let semaphore = |bytes| Arc::new(Semaphore::new(bytes));
        Self {
            capacity,
            room: semaphore(capacity),
            // Half of what the batchers may hold is several batches of messages; and again as much is on its way.
            backpressure: Backpressure::new(cut_at_once.min(capacity / 2) / 2),
            cut_at_once,
            cutting: semaphore(cut_at_once),
            sender,
            receiver: Mutex::new(receiver),
            queued: AtomicUsize::new(0),
            under_way: Arc::default(),
        }
    }

    /// Returns when a body of so many bytes is to be read; see [`Backpressure`].
    pub(super) async fn admit(&self, bytes: usize) -> Coming {
        self.backpressure.admit(bytes, || self.room.available_permits(), || self.waiting()).await
    }

    /// Leave to cut a body of so many bytes now; `None` when enough is cut already.
    pub(super) fn turn(&self, bytes: usize) -> Option<Turn> {
        // The longest body has its turn too, when it is the only one.
        let wanted = u32::try_from(bytes.min(self.cut_at_once)).ok()?;
        self.cutting.clone().try_acquire_many_owned(wanted).ok().map(Turn)
    }

    /// Queues a POST, or says at once that there is no room. One that is larger than the queue has room when nothing else waits:
    /// Meta would send it again for ever.
    pub(super) fn push(&self, tenant: TenantId, load: Load) -> Result<oneshot::Receiver<bool>, Full> {
        let (items, cut, turn, bytes) = match load {
            Load::Body { bytes, cut } => (Vec::new(), Some(cut), None, bytes),
            Load::Items(items, turn) => {
                let bytes = held(&items);
                (items, None, Some(turn), bytes)
            }
        };
        let wanted = u32::try_from(bytes.clamp(1, self.capacity)).map_err(|_| Full)?;
        let room = self.room.clone().try_acquire_many_owned(wanted).map_err(|_| Full)?;
        let room = Share { permit: Some(room), backpressure: self.backpressure.clone() };
        let (answer, receiver) = oneshot::channel();
        let submission = Submission { tenant, items, answer, bytes, cut, _turn: turn, _room: room };
        let is_first = self.queued.fetch_add(bytes, Ordering::AcqRel) == 0;
        self.sender.send(submission).map_err(|_| Full)?;
        if is_first || self.is_worth_a_batch() {
            self.under_way.moved.notify_one();
        }
        Ok(receiver)
    }

    /// Everything that waits, at least one POST, until `rows` or `bytes` are reached. Does not wait by the clock: a fixed waiting
    /// time costs throughput at every load that was measured (docs/adr/0005-no-linger.md). A batch that is under way is waited
    /// for, unless [`WORTH_A_BATCH`] is there before it ends, or it is [`LONG_FOR_A_BATCH`].
    pub(super) async fn next_batch(&self, rows: usize, bytes: usize) -> Batch {
        let mut receiver = self.receiver.lock().await;
        while receiver.is_empty() {
            self.under_way.moved.notified().await;
        }
        let is_worth_it = async {
            while !self.is_worth_a_batch() {
                self.under_way.moved.notified().await;
            }
        };
        let _whether = timeout(LONG_FOR_A_BATCH, is_worth_it).await;
        self.under_way.batches.fetch_add(1, Ordering::AcqRel);
        let mut batch = Batch { submissions: Vec::new(), under_way: self.under_way.clone() };
        let (mut batch_rows, mut batch_bytes) = (0, 0);
        while batch_rows < rows && batch_bytes < bytes {
            let Ok(next) = receiver.try_recv() else { break };
            self.queued.fetch_sub(next.bytes, Ordering::AcqRel);
            let next = next.cut();
            batch_rows += next.items.len();
            batch_bytes += next.bytes;
            batch.submissions.push(next);
        }
        batch
    }

    fn is_worth_a_batch(&self) -> bool {
        self.under_way.batches.load(Ordering::Acquire) == 0 || self.queued.load(Ordering::Acquire) >= WORTH_A_BATCH
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
    use futures_util::FutureExt;

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
            has_media: false,
            occurred_at: None,
            opens: None,
            said: None,
            envelope: Bytes::from(vec![b'x'; bytes]),
        };
        std::iter::repeat_with(item).take(number).collect()
    }

    fn queued(queue: &Queue, items: Vec<Item>) -> Result<oneshot::Receiver<bool>, Full> {
        queue.push(TenantId::DEFAULT, Load::Items(items, queue.turn(1).unwrap()))
    }

    #[tokio::test]
    async fn what_is_held_is_counted_and_not_what_came_in() {
        let queue = Queue::new(100_000, 100_000);
        let waiting = queued(&queue, items(20, 1000)).unwrap();
        assert!(queue.waiting() > 25_000, "{}", queue.waiting());
        assert!(queued(&queue, items(200, 0)).is_err(), "many items cost room, however small they are");
        drop(queue.next_batch(1, 1).await);
        assert_eq!(queue.waiting(), 0);
        assert!(waiting.await.is_err());
    }

    #[test]
    fn what_is_larger_than_the_queue_has_its_turn_alone() {
        let queue = Queue::new(1000, 1000);
        let _waiting = queued(&queue, items(20, 1000)).unwrap();
        assert!(queued(&queue, items(1, 1)).is_err());
    }

    #[tokio::test]
    async fn beside_a_batch_another_begins_only_when_enough_waits_or_the_first_is_done() {
        let queue = Queue::new(1_000_000, 1_000_000);
        let next = || queue.next_batch(100, 100_000);
        let _first = queued(&queue, items(1, 10)).unwrap();
        let under_way = next().now_or_never().unwrap();
        let _second = queued(&queue, items(1, 10)).unwrap();
        let mut waiting = Box::pin(next());
        assert!(waiting.as_mut().now_or_never().is_none(), "little waits for the batch that is under way");
        let _third = queued(&queue, items(1, WORTH_A_BATCH)).unwrap();
        let beside = waiting.as_mut().now_or_never().expect("enough is begun at once");
        assert_eq!(beside.submissions.len(), 2);
        let _fourth = queued(&queue, items(1, 10)).unwrap();
        let mut waiting = Box::pin(next());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop((under_way, beside));
        assert_eq!(waiting.now_or_never().unwrap().submissions.len(), 1, "nothing is under way any more");
    }

    #[tokio::test]
    async fn what_came_while_enough_was_cut_is_cut_by_the_batcher_that_takes_it() {
        let queue = Queue::new(100_000, 1000);
        let turn = queue.turn(5000).unwrap();
        assert!(queue.turn(1).is_none(), "the first takes all that may be cut");
        let _first = queue.push(TenantId::DEFAULT, Load::Items(items(1, 5000), turn)).unwrap();
        let _second = queue.push(TenantId::DEFAULT, Load::Body { bytes: 10, cut: Box::new(|| items(3, 1)) }).unwrap();
        let batch = queue.next_batch(10, 100_000).await;
        assert_eq!(batch.submissions.iter().map(|one| one.items.len()).collect::<Vec<_>>(), [1, 3]);
        drop(batch);
        assert!(queue.is_empty() && queue.turn(1000).is_some());
    }
}
