//! Opens the sealed values of a page. A value that cannot be opened is said to be so, and never fails its page.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::views::Content;
use crate::crypto::context::Context;
use crate::crypto::envelope::{self, Sealed};
use crate::ids::TenantId;
use crate::keyring::{Keyring, KeyringError, OwnedDek};
use crate::telemetry;

/// The keys of one page.
pub(super) struct Keys {
    found: HashMap<Uuid, Arc<OwnedDek>>,
    damaged: HashSet<Uuid>,
}

impl Keys {
    /// Fetches the keys with these ids at once. Fails only for what may pass: a database or a KMS that is away.
    pub(super) async fn fetch(keyring: &Keyring, tenant: TenantId, ids: HashSet<Uuid>) -> Result<Self, KeyringError> {
        match keyring.for_opening(tenant, ids.iter().copied()).await {
            Ok(found) => Ok(Self { found, damaged: HashSet::new() }),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Self::fetch_one_by_one(keyring, tenant, ids).await,
        }
    }

    /// One of the keys is damaged; the others shall open all the same.
    async fn fetch_one_by_one(keyring: &Keyring, tenant: TenantId, ids: HashSet<Uuid>) -> Result<Self, KeyringError> {
        let mut keys = Self { found: HashMap::new(), damaged: HashSet::new() };
        for id in ids {
            match keyring.for_opening(tenant, [id]).await {
                Ok(found) => keys.found.extend(found),
                Err(KeyringError::Gone) => {}
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::error!(key = %id, %error, "a data key cannot be unwrapped");
                    keys.damaged.insert(id);
                }
            }
        }
        Ok(keys)
    }

    /// The key of a value, if it is still there.
    pub(super) fn key(&self, sealed: &Sealed) -> Option<&OwnedDek> {
        self.found.get(&sealed.dek_id()?).map(AsRef::as_ref)
    }

    /// The same, to be held longer than the page.
    pub(super) fn shared(&self, sealed: &Sealed) -> Option<Arc<OwnedDek>> {
        self.found.get(&sealed.dek_id()?).cloned()
    }

    /// Opens one value.
    pub(super) fn open(&self, place: &Context, sealed: &Sealed) -> Content {
        let Some(id) = sealed.dek_id() else {
            telemetry::count_damaged(format!("{}.{}", place.table, place.column));
            return damaged(place);
        };
        let Some(key) = self.found.get(&id) else {
            return if self.damaged.contains(&id) { Content::Damaged } else { Content::Erased };
        };
        envelope::open(&key.dek, place, sealed).map_or_else(|_| damaged(place), Content::Opened)
    }
}

fn damaged(place: &Context) -> Content {
    tracing::error!(table = place.table, column = place.column, row = %place.row, "a sealed value does not open");
    Content::Damaged
}
