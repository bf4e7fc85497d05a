//! The queue in front of the database, bounded in bytes. Whoever finds nobody writing begins to, so that a message that comes alone
//! is written at once, and those that come meanwhile are written together.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::write::Writer;
use super::{Answer, Parcel, Stored};
use crate::clock::SharedClock;
use crate::directory::Contacts;
use crate::keyring::Keyring;
use crate::send::queue::QueueError;
use crate::store::{Store, StoreError};

/// What may wait; more is refused, and whoever brought it tries again.
const MOST_WAITING: usize = 32 * 1024 * 1024;
/// A batch ends at so many messages …
const BATCH_ROWS: usize = 256;
/// … or bytes.
const BATCH_BYTES: usize = 1024 * 1024;
/// Transactions at the same time: while one commits, the next is filled.
const WRITERS: usize = 2;

struct Waiting {
    parcel: Parcel,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    writers: usize,
}

struct Queue {
    writer: Writer,
    state: Mutex<State>,
    tasks: TaskTracker,
}

/// The way in for messages. Clones are one.
#[derive(Clone)]
pub struct Accepting(Arc<Queue>);

impl std::fmt::Debug for Accepting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accepting")
    }
}

impl Accepting {
    /// A way into this store.
    #[must_use]
    pub fn new(store: Store, keyring: Keyring, contacts: Contacts, clock: SharedClock) -> Self {
        let writer = Writer { store, keyring, contacts, clock };
        Self(Arc::new(Queue { writer, state: Mutex::default(), tasks: TaskTracker::new() }))
    }

    /// Stores a parcel. `Ok` means committed. A caller that goes away does not undo anything.
    pub(in crate::send) async fn take(&self, parcel: Parcel) -> Answer {
        let unavailable = || QueueError::Store(StoreError::Unavailable);
        let (answer, told) = oneshot::channel();
        let begins = {
            let mut state = self.0.state();
            let bytes = parcel.bytes();
            // One that is larger than the queue has room when nothing else waits.
            if state.bytes > 0 && state.bytes + bytes > MOST_WAITING {
                return Err(unavailable());
            }
            state.bytes += bytes;
            state.waiting.push_back(Waiting { parcel, answer });
            let begins = state.writers < WRITERS;
            state.writers += usize::from(begins);
            begins
        };
        if begins {
            // A task, because a request that is given up must not take the messages of others with it.
            self.0.tasks.spawn(Turn { queue: self.0.clone(), is_counted: true }.run());
        }
        told.await.unwrap_or_else(|_| Err(unavailable()))
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parcels of one tenant that are written next, no two of them under one key. `None`: nothing waits, and the writer counts as
    /// gone, so that whoever comes next begins anew.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        let (mut batch, mut keys, mut rows, mut bytes) = (Vec::new(), HashSet::new(), 0, 0);
        let Some(tenant) = state.waiting.front().map(|first| first.parcel.tenant) else {
            state.writers -= 1;
            return None;
        };
        while rows < BATCH_ROWS && bytes < BATCH_BYTES {
            let fits = |next: &mut Waiting| {
                let key = next.parcel.claim.as_ref().map(|claim| claim.key_hash);
                next.parcel.tenant == tenant && key.is_none_or(|key| keys.insert(key))
            };
            let Some(next) = state.waiting.pop_front_if(fits) else { break };
            rows += next.parcel.messages.len();
            bytes += next.parcel.bytes();
            batch.push(next);
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        Some(batch)
    }
}

/// Somebody who writes until nothing waits.
struct Turn {
    queue: Arc<Queue>,
    is_counted: bool,
}

impl Turn {
    async fn run(mut self) {
        while let Some(batch) = self.queue.next_batch() {
            let (parcels, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.parcel, one.answer)).unzip();
            let told: Vec<Result<Stored, QueueError>> = self.queue.writer.write(&parcels).await;
            for (answer, told) in answers.into_iter().zip(told) {
                // Whoever waited may have gone.
                let _gone = answer.send(told);
            }
        }
        self.is_counted = false;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_counted {
            self.queue.state().writers -= 1;
        }
    }
}
