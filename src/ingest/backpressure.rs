//! Backpressure: while the batchers have plenty to do, the next bodies stay where they are, in the socket buffers of the system
//! and with their senders, and take none of our memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::telemetry;

/// How long a body is left unread at most. Then it comes in, and the queue takes or refuses it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Decides when the next body is read. Only bodies that are proved hold others back: who it is that sends the rest is not known
/// yet, and a stranger who sends slowly must not keep Meta out.
#[derive(Debug)]
pub(super) struct Backpressure {
    /// Bytes of proved bodies that keep the batchers busy until the next have come.
    plenty: usize,
    /// One asks at a time, in the order of coming; else all would come in at once when there is room for one.
    turnstile: Mutex<()>,
    /// Bytes that those who came in last have declared and not yet brought.
    coming: AtomicUsize,
    moved: Notify,
}

/// A body that is being read.
#[derive(Debug)]
pub struct Coming {
    bytes: usize,
    backpressure: Arc<Backpressure>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.backpressure.coming.fetch_sub(self.bytes, Ordering::AcqRel);
        self.backpressure.moved.notify_one();
    }
}

impl Backpressure {
    /// Holds bodies back while `plenty` bytes wait.
    pub(super) fn new(plenty: usize) -> Arc<Self> {
        let (turnstile, coming, moved) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
        Arc::new(Self { plenty, turnstile, coming, moved })
    }

    /// Returns when a body of so many bytes may be read, or after [`PATIENCE`]. `waiting`: bytes of the proved ones; `room`: how
    /// many more the queue takes. What it will refuse is let in at once, to be told.
    pub(super) async fn admit(
        self: &Arc<Self>,
        bytes: usize,
        room: impl Fn() -> usize,
        waiting: impl Fn() -> usize,
    ) -> Coming {
        let is_let_in = || room() < bytes || !self.holds_back(bytes, waiting());
        let until_let_in = async {
            let _turn = self.turnstile.lock().await;
            if is_let_in() {
                return;
            }
            metrics::counter!(telemetry::INGEST_HELD_BACK).increment(1);
            while !is_let_in() {
                self.moved.notified().await;
            }
        };
        if room() >= bytes {
            let _whether = timeout(PATIENCE, until_let_in).await;
        }
        self.coming.fetch_add(bytes, Ordering::AcqRel);
        Coming { bytes, backpressure: self.clone() }
    }

    fn holds_back(&self, bytes: usize, waiting: usize) -> bool {
        let coming = self.coming.load(Ordering::Acquire);
        waiting >= self.plenty && waiting.saturating_add(coming).saturating_add(bytes) > 2 * self.plenty
    }

    /// To be called when less waits than before.
    pub(super) fn less_waits(&self) {
        self.moved.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const PLENTY: usize = 1000;

    struct Waiting(Arc<Backpressure>, AtomicUsize);

    impl Waiting {
        fn with(bytes: usize) -> Self {
            Self(Backpressure::new(PLENTY), AtomicUsize::new(bytes))
        }

        async fn admit(&self, bytes: usize) -> Coming {
            let waiting = || self.1.load(Ordering::Relaxed);
            self.0.admit(bytes, || 10 * PLENTY - waiting(), waiting).await
        }

        fn set(&self, bytes: usize) {
            self.1.store(bytes, Ordering::Relaxed);
            self.0.less_waits();
        }
    }

    #[tokio::test]
    async fn bodies_are_read_until_plenty_waits_and_then_as_many_as_have_room_beside() {
        let queue = Waiting::with(PLENTY);
        let first = queue.admit(PLENTY).now_or_never().expect("there is room for it");
        let mut second = Box::pin(queue.admit(1));
        assert!(second.as_mut().now_or_never().is_none(), "plenty waits, and as much is coming");
        drop(first);
        assert!(second.now_or_never().is_some(), "what was coming has come");
    }

    #[tokio::test]
    async fn whoever_sends_slowly_holds_nobody_back_while_little_waits() {
        let queue = Waiting::with(PLENTY - 1);
        let slow: Vec<Coming> = (0..50).map(|_| queue.admit(PLENTY).now_or_never().unwrap()).collect();
        assert!(queue.admit(PLENTY).now_or_never().is_some());
        queue.set(PLENTY);
        let mut held_back = Box::pin(queue.admit(1));
        assert!(held_back.as_mut().now_or_never().is_none());
        queue.set(PLENTY - 1);
        assert!(held_back.now_or_never().is_some());
        drop(slow);
    }

    #[tokio::test]
    async fn what_the_queue_will_refuse_is_let_in_to_be_told() {
        let queue = Waiting::with(10 * PLENTY - 5);
        assert!(queue.admit(6).now_or_never().is_some());
        assert!(Box::pin(queue.admit(5)).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_longer_than_a_second() {
        let (queue, began) = (Waiting::with(5 * PLENTY), tokio::time::Instant::now());
        let all = futures_util::future::join_all((0..5).map(|_| queue.admit(1))).await;
        assert_eq!((all.len(), began.elapsed()), (5, PATIENCE));
    }
}
