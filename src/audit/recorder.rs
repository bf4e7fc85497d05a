//! Writes entries. Whoever is told `Ok` may go on; whoever is not must not.

use std::sync::Arc;

use uuid::Uuid;

use super::act::Act;
use super::entry::{Entry, SALT};
use super::queue::Queue;
use super::subjects;
use super::sums::Sums;
use crate::clock::SharedClock;
use crate::crypto::random;
use crate::ids::AuditEntryId;
use crate::keyring::{Keyring, KeyringError};
use crate::store::audit_entries::NewAuditEntry;
use crate::store::{Store, StoreError};

/// Why there is no entry. Whatever it is, what should have been recorded must not happen now, and may later.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database.
    #[error("the audit entry could not be stored")]
    Store(#[from] StoreError),
    /// The keys of the contacts it is about.
    #[error("the audit entry could not be tied to its contacts")]
    Keys(#[from] KeyringError),
}

/// The log, for those who leave entries. Clones are one.
#[derive(Debug, Clone)]
pub struct Audit {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) keyring: Keyring,
    pub(super) clock: SharedClock,
    pub(super) sums: Sums,
    queue: Arc<Queue>,
}

impl Audit {
    /// A log in this store.
    #[must_use]
    pub fn new(store: Store, keyring: Keyring, clock: SharedClock) -> Self {
        let queue = Queue::new(store.clone(), clock.clone());
        Self { inner: Arc::new(Inner { store, keyring, clock, sums: Sums::default(), queue }) }
    }

    /// Records an act about nobody in particular. When this returns `Ok`, the entry is committed.
    pub async fn record(&self, act: Act) -> Result<AuditEntryId, AuditError> {
        self.record_about(act, Vec::new()).await
    }

    /// Records an act about these contacts. When this returns `Ok`, the entry is committed.
    pub async fn record_about(&self, act: Act, contacts: Vec<Uuid>) -> Result<AuditEntryId, AuditError> {
        self.append(self.prepare(act, contacts).await?).await
    }

    /// Stores an entry by itself. When this returns `Ok`, it is committed. One that is there already stays as it is.
    pub async fn append(&self, entry: NewAuditEntry) -> Result<AuditEntryId, AuditError> {
        let id = entry.id;
        self.inner.queue.append(entry).await?;
        Ok(id)
    }

    /// An entry about these contacts that is stored nowhere yet: for those who store it in the transaction of what it tells of.
    pub async fn prepare(&self, act: Act, contacts: Vec<Uuid>) -> Result<NewAuditEntry, AuditError> {
        self.prepare_as(AuditEntryId::new(self.inner.clock.now()), act, contacts).await
    }

    /// The same with an id that was made before, now, because what the entry tells of names it.
    pub async fn prepare_as(
        &self,
        id: AuditEntryId,
        act: Act,
        mut contacts: Vec<Uuid>,
    ) -> Result<NewAuditEntry, AuditError> {
        contacts.sort_unstable();
        contacts.dedup();
        let now = self.inner.clock.now();
        let subjects = subjects::commit(&self.inner.keyring, act.tenant, id, &mut contacts).await?;
        let entry = Entry { id, at: now, act, subjects };
        Ok(NewAuditEntry {
            tenant: entry.act.tenant,
            id,
            actor: entry.act.actor.id,
            action: entry.act.action.to_string(),
            entry: entry.encode(),
            salt: random::bytes::<SALT>(),
            subjects: contacts,
        })
    }
}
