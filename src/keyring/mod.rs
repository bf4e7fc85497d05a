//! The keyring: the one room that unwraps keys. It walks the key tree (KMS share and epoch cell → root → tenant KEK →
//! bucket key → data key), makes keys that are missing, and keeps unwrapped ones for a short while.
//!
//! Whoever is handed a [`Keyring`] can open content; `ingest`, `deliver`, `send`, `directory` and `access` are.

mod cache;
mod deks;
mod installation;
pub mod places;
mod tenant;

pub use deks::{DekName, OwnedDek};
pub use installation::{KeyringError, Root};
pub use tenant::TenantKeys;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::SharedClock;
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
    root: Root,
    clock: SharedClock,
    tenants: Mutex<HashMap<TenantId, Arc<TenantKeys>>>,
    cache: cache::Cache,
}

impl Keyring {
    /// A keyring under an opened root.
    #[must_use]
    pub fn new(store: Store, root: Root, clock: SharedClock, limits: CacheLimits) -> Self {
        let cache = cache::Cache::new(limits);
        Self { inner: Arc::new(Inner { store, root, clock, tenants: Mutex::default(), cache }) }
    }

    /// The tenant's own keys: loaded, or made for a new tenant, once a process.
    pub async fn tenant(&self, tenant: TenantId) -> Result<Arc<TenantKeys>, KeyringError> {
        let known = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        if let Some(keys) = known {
            return Ok(keys);
        }
        let keys =
            TenantKeys::load_or_make(&self.inner.store, &self.inner.root, tenant, self.inner.clock.now()).await?;
        let keys = Arc::new(keys);
        self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, keys.clone());
        Ok(keys)
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
