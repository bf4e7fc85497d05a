//! Bells: wakes the owner of a lane when something was put into it. A hint only: lanes also look by themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// One bell for each endpoint and channel, and one for whoever reads events. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    bells: Arc<Mutex<HashMap<Uuid, Arc<Notify>>>>,
    events: watch::Sender<()>,
}

impl Bells {
    /// The bell of an endpoint or channel.
    #[must_use]
    pub fn of(&self, owner: Uuid) -> Arc<Notify> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).entry(owner).or_default().clone()
    }

    /// Wakes whoever works for this endpoint or channel in this process. Remembered until somebody looks.
    pub fn ring(&self, owner: Uuid) {
        self.of(owner).notify_one();
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
