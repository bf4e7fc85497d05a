//! The keyring: the one room that unwraps keys. It walks the key tree (KMS share and epoch cell → root → tenant KEK →
//! bucket key → data key), makes keys that are missing, and keeps unwrapped ones for a short while.
//!
//! Whoever is handed a [`Keyring`] can open content; `ingest`, `deliver`, `send`, `directory` and `access` are.

mod cache;
mod cell;
mod data_keys;
mod deks;
mod forget;
mod identifiers;
mod index_keys;
mod installation;
mod kms_watch;
mod notices;
pub mod places;
mod readable;
mod rotate;
mod step;
mod suite;
mod tenant;
mod versions;
mod walk;

pub use cell::{Cell, CellState};
pub use data_keys::Newer;
pub use deks::{DekName, OwnedDek};
pub use forget::{Forgotten, KeyCheck};
pub use identifiers::IdentifierKeys;
pub use index_keys::IndexKey;
pub use installation::{KeyringError, Top};
pub use readable::Rewrap;
pub use step::EpochStep;
pub use tenant::TenantKeys;
pub use versions::seal_versions;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use installation::Root;
use notices::Notices;

use crate::clock::SharedClock;
use crate::crypto::envelope::Suite;
use crate::ids::TenantId;
use crate::store::Store;

/// How many unwrapped keys are kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    /// Data keys that seal, and as many that open; a bucket key costs as much and there are at most 4096 of them a tenant.
    pub entries: usize,
    /// An unwrapped key is wiped after this.
    pub ttl: Duration,
}

/// Unwraps, makes and caches keys. Clones share the cache.
#[derive(Debug, Clone)]
pub struct Keyring {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    top: Top,
    root: RwLock<Arc<Root>>,
    clock: SharedClock,
    tenants: Mutex<HashMap<TenantId, Arc<TenantKeys>>>,
    cache: cache::Cache,
    suite: suite::Chosen,
    notices: Notices,
    kms: kms_watch::KmsWatch,
}

impl Inner {
    fn root(&self) -> Arc<Root> {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_root(&self, root: Arc<Root>) {
        *self.root.write().unwrap_or_else(PoisonError::into_inner) = root;
    }
}

impl Keyring {
    /// Opens the key tree in `store`, or founds one there; where places for a cell are named and there is no cell yet, the epoch is stepped to
    /// bring it, if every process knows some. What a step that was broken off has left is put right.
    ///
    /// `suite` seals as soon as every process opens it.
    pub async fn open(
        (store, clock): (Store, SharedClock),
        top: Top,
        limits: CacheLimits,
        suite: Suite,
    ) -> Result<Self, KeyringError> {
        let root = top.open_or_found(&store, clock.now()).await?;
        let kms = kms_watch::KmsWatch::begin(clock.now(), limits.ttl);
        let inner = Inner {
            store,
            top,
            root: RwLock::new(Arc::new(root)),
            clock,
            tenants: Mutex::default(),
            cache: cache::Cache::new(limits),
            suite: suite::Chosen::new(suite),
            notices: Notices::default(),
            kms,
        };
        let keyring = Self { inner: Arc::new(inner) };
        keyring.bring_cell_when_readable().await?;
        keyring.inspect_cell().await?;
        if !keyring.agree_on_suite().await?.is_empty() {
            tracing::info!(
                "records are not sealed in the suite of the configuration yet: a process is running that does not open it"
            );
        }
        Ok(keyring)
    }

    /// The tenant's own keys: loaded, or made for a new tenant, once a process.
    pub async fn tenant(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, KeyringError> {
        self.inner.tenant(tenant).await
    }

    /// The number of the root.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.inner.root().epoch
    }

    /// Wipes unwrapped data keys that are older than the limit. Called about once a minute.
    pub fn sweep(&self) {
        self.inner.cache.sweep(self.inner.clock.now());
    }

    /// How many unwrapped data keys are in memory.
    #[must_use]
    pub fn cached_keys(&self) -> usize {
        self.inner.cache.len()
    }
}
