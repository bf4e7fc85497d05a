//! Bells: wakes the owner of a lane when something was put into it. A hint only: lanes also look by themselves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// One bell for each endpoint and channel. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Bells {
    bells: Arc<Mutex<HashMap<Uuid, Arc<Notify>>>>,
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
}
