//! Bells: wakes the owner of a lane when something was put into it. A hint only: what hangs no bell here is looked for by the
//! process that owns it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

/// Calls that wait to be passed on. What does not fit is left to the owners, who look by themselves.
const WAITING_CALLS: usize = 4096;

/// Wakes the owner of one lane.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Notify,
    everything: AtomicBool,
}

impl Bell {
    /// Returns when it was rung since the last time. True: for anything that may be due; false: for something new.
    pub async fn rung(&self) -> bool {
        self.rung.notified().await;
        self.everything.swap(false, Ordering::Relaxed)
    }

    fn ring(&self, everything: bool) {
        if everything {
            self.everything.store(true, Ordering::Relaxed);
        }
        self.rung.notify_one();
    }
}

/// One bell for each endpoint and channel whose lane this process owns, and one for whoever reads events. Clones share them.
#[derive(Debug, Clone)]
pub struct Bells {
    hung: Arc<Mutex<HashMap<Uuid, Arc<Bell>>>>,
    elsewhere: mpsc::Sender<Uuid>,
    events: watch::Sender<()>,
}

impl Bells {
    /// No bells, and what is rung for owners elsewhere.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Uuid>) {
        let (elsewhere, calls) = mpsc::channel(WAITING_CALLS);
        (Self { hung: Arc::default(), elsewhere, events: watch::Sender::new(()) }, calls)
    }

    fn hung(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Bell>>> {
        self.hung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hangs a new bell for an endpoint or channel, in the place of an older one.
    #[must_use]
    pub fn hang(&self, owner: Uuid) -> Arc<Bell> {
        let bell = Arc::<Bell>::default();
        self.hung().insert(owner, bell.clone());
        bell
    }

    /// Takes this bell down, unless another hangs in its place.
    pub fn take_down(&self, owner: Uuid, bell: &Arc<Bell>) {
        let mut hung = self.hung();
        if hung.get(&owner).is_some_and(|other| Arc::ptr_eq(other, bell)) {
            hung.remove(&owner);
        }
    }

    /// Something new is there for this endpoint or channel. Wakes its owner: in this process at once, remembered until they
    /// look; elsewhere by a call, if calls are passed on.
    pub fn ring(&self, owner: Uuid) {
        if !self.ring_here(owner, false) {
            // A full queue means that the others have been called often enough.
            let _dropped = self.elsewhere.try_send(owner);
        }
    }

    /// Wakes the owner if it is in this process, for something new or for everything. Returns whether it is.
    pub fn ring_here(&self, owner: Uuid, everything: bool) -> bool {
        let bell = self.hung().get(&owner).cloned();
        bell.inspect(|bell| bell.ring(everything)).is_some()
    }

    /// Tells whoever reads events in this process that some were committed.
    pub fn ring_for_events(&self) {
        self.events.send_replace(());
    }

    /// Changes with every [`Bells::ring_for_events`].
    #[must_use]
    pub fn events(&self) -> watch::Receiver<()> {
        self.events.subscribe()
    }
}
