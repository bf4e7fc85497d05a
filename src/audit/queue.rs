//! The queue in front of the log: many who must leave an entry share one transaction, as webhooks do. Whoever finds nobody
//! writing begins to, so that a command line needs no task of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::store::audit_entries::NewAuditEntry;
use crate::store::{Store, StoreError};

/// Entries in one transaction.
const BATCH: usize = 512;
/// Contacts that the entries of one transaction are about, roughly.
const BATCH_SUBJECTS: usize = 4096;
/// Transactions at the same time: while one commits, the next is filled.
const WRITERS: usize = 2;
/// Entries that may wait; more are refused, and what they stand for is not done.
const MOST_WAITING: usize = 20_000;

type Answer = Result<(), StoreError>;

struct Waiting {
    entry: NewAuditEntry,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    writers: usize,
}

pub(super) struct Queue {
    store: Store,
    clock: SharedClock,
    state: Mutex<State>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl Queue {
    pub(super) fn new(store: Store, clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { store, clock, state: Mutex::default(), tasks: TaskTracker::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores an entry. `Ok` means committed.
    pub(super) async fn append(self: &Arc<Self>, entry: NewAuditEntry) -> Answer {
        let (answer, committed) = oneshot::channel();
        let begins = {
            let mut state = self.state();
            if state.waiting.len() >= MOST_WAITING {
                return Err(StoreError::Unavailable);
            }
            state.waiting.push_back(Waiting { entry, answer });
            let begins = state.writers < WRITERS;
            state.writers += usize::from(begins);
            begins
        };
        if begins {
            // A task, because a request that is given up must not take the entries of others with it.
            self.tasks.spawn(Writer { queue: self.clone(), is_counted: true }.run());
        }
        committed.await.unwrap_or(Err(StoreError::Unavailable))
    }

    /// What is to be written next. `None`: nothing waits, and the writer counts as gone, so that whoever comes next begins anew.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.writers -= 1;
            return None;
        }
        let (mut batch, mut subjects) = (Vec::new(), 0);
        while batch.len() < BATCH && subjects < BATCH_SUBJECTS {
            let Some(next) = state.waiting.pop_front() else { break };
            subjects += next.entry.subjects.len();
            batch.push(next);
        }
        Some(batch)
    }

    async fn write(&self, entries: &[NewAuditEntry]) -> Answer {
        self.store.ensure_partitions(self.clock.now().date()).await?;
        match self.store.insert_audit_entries(entries).await {
            Err(error) if error.is_broken_off() => {
                self.store.drop_idle_connections();
                self.store.insert_audit_entries(entries).await
            }
            result => result,
        }
    }
}

/// Writes until nothing waits.
struct Writer {
    queue: Arc<Queue>,
    is_counted: bool,
}

impl Writer {
    async fn run(mut self) {
        while let Some(batch) = self.queue.next_batch() {
            let (entries, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.entry, one.answer)).unzip();
            let result = self.queue.write(&entries).await;
            let is_stored = result.is_ok();
            if let Err(error) = result {
                tracing::warn!(%error, entries = entries.len(), "audit entries could not be stored; what they stand for is refused");
            }
            for answer in answers {
                // Whoever waited may have gone.
                let _gone = answer.send(if is_stored { Ok(()) } else { Err(StoreError::Unavailable) });
            }
        }
        self.is_counted = false;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.is_counted {
            self.queue.state().writers -= 1;
        }
    }
}
