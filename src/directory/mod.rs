//! Who is who: the apps, channels, endpoints and API keys that an operator set up, held in memory; and the contacts, found
//! or made by what Meta calls them.

pub mod bells;
mod consent;
pub mod contacts;
mod decoys;
mod endpoint_row;
mod load;
mod own_events;
mod pins;
pub mod profile;
mod save;
mod snapshot;
mod templates;

pub use bells::Bells;
pub use consent::{ConsentError, Statement};
pub use contacts::{Contacts, Resolved};
pub use load::LoadError;
pub use own_events::{AlarmEvent, ChannelEvent, EndpointEvent, KeyEvent, OwnEvent};
pub use pins::PinChange;
pub use save::SaveError;
pub use snapshot::{ApiKey, App, Snapshot};
pub use templates::{ChannelState, Template};

use std::sync::{Arc, PoisonError, RwLock};

use time::OffsetDateTime;
use tokio::sync::watch;

use crate::clock::SharedClock;
use crate::domain::keeping::HouseRules;
use crate::keyring::Keyring;
use crate::store::Store;

/// The settings as this process knows them. Clones share them.
#[derive(Debug, Clone)]
pub struct Directory {
    store: Store,
    keyring: Keyring,
    clock: SharedClock,
    house: HouseRules,
    current: Arc<RwLock<Arc<Snapshot>>>,
    changes: watch::Sender<()>,
}

impl Directory {
    /// An empty directory; [`Directory::reload`] fills it. `house`: for how long what is kept, where a channel says nothing.
    #[must_use]
    pub fn new(store: Store, keyring: Keyring, clock: SharedClock, house: HouseRules) -> Self {
        let current = Arc::new(RwLock::new(Arc::new(Snapshot { house, ..Snapshot::default() })));
        Self { store, keyring, clock, house, current, changes: watch::Sender::new(()) }
    }

    /// The settings as last read. Cheap: no lock is held while the caller uses them.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The present, by the clock that the settings are changed by.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.clock.now()
    }

    /// Says when the settings were replaced.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    fn replace(&self, snapshot: Snapshot) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Two readers may finish in the other order.
        if snapshot.version > current.version {
            *current = Arc::new(snapshot);
            self.changes.send_replace(());
        }
    }
}
