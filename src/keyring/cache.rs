//! Unwrapped data keys, for a short while. Bounded in number and in age; a key is wiped when it leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::sync::Cache as Bounded;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::CacheLimits;
use super::deks::{DekName, OwnedDek};
use crate::crypto::keys::WrappingKey;
use crate::ids::TenantId;

struct Entry<T> {
    value: Arc<T>,
    since: OffsetDateTime,
}

// Not derived: that would ask for `T: Clone`.
impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), since: self.since }
    }
}

pub(super) struct Cache {
    ttl: Duration,
    by_name: Bounded<DekName, Entry<OwnedDek>>,
    by_id: Bounded<(TenantId, Uuid), Entry<OwnedDek>>,
    buckets: Bounded<(TenantId, i16), Entry<Bucket>>,
    /// How often something was forgotten: what was read before must not be kept after.
    forgettings: AtomicU64,
}

/// An unwrapped bucket key.
pub(super) struct Bucket {
    pub(super) id: Uuid,
    pub(super) key: WrappingKey,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("keys", &self.len()).finish_non_exhaustive()
    }
}

impl Cache {
    pub(super) fn new(limits: CacheLimits) -> Self {
        let ttl = Duration::try_from(limits.ttl).unwrap_or(Duration::MAX);
        Self {
            ttl,
            by_name: Bounded::new(limits.entries),
            by_id: Bounded::new(limits.entries),
            buckets: Bounded::new(4096),
            forgettings: AtomicU64::new(0),
        }
    }

    /// A clock that was set back must not keep a key: an age below zero is an old one.
    fn is_fresh<T>(&self, entry: &Entry<T>, now: OffsetDateTime) -> bool {
        let age = now - entry.since;
        !age.is_negative() && age < self.ttl
    }

    fn fresh<T>(&self, entry: Entry<T>, now: OffsetDateTime) -> Option<Arc<T>> {
        self.is_fresh(&entry, now).then_some(entry.value)
    }

    pub(super) fn by_name(&self, name: &DekName, now: OffsetDateTime) -> Option<Arc<OwnedDek>> {
        self.by_name.get(name).and_then(|entry| self.fresh(entry, now))
    }

    pub(super) fn by_id(&self, tenant: TenantId, id: Uuid, now: OffsetDateTime) -> Option<Arc<OwnedDek>> {
        self.by_id.get(&(tenant, id)).and_then(|entry| self.fresh(entry, now))
    }

    pub(super) fn bucket(&self, tenant: TenantId, bucket: i16, now: OffsetDateTime) -> Option<Arc<Bucket>> {
        self.buckets.get(&(tenant, bucket)).and_then(|entry| self.fresh(entry, now))
    }

    /// To be asked before keys are read that are to be kept.
    pub(super) fn forgettings(&self) -> u64 {
        self.forgettings.load(Ordering::SeqCst)
    }

    /// Keeps a key that will seal, and is the one of this name. `before`: see [`Self::forgettings`].
    pub(super) fn keep_by_name(&self, name: DekName, dek: &Arc<OwnedDek>, now: OffsetDateTime, before: u64) {
        self.by_name.insert(name, Entry { value: dek.clone(), since: now });
        if self.forgettings() != before {
            self.by_name.remove(&name);
        }
    }

    /// Keeps a key that will open.
    pub(super) fn keep_by_id(&self, tenant: TenantId, dek: &Arc<OwnedDek>, now: OffsetDateTime, before: u64) {
        self.by_id.insert((tenant, dek.dek.id()), Entry { value: dek.clone(), since: now });
        if self.forgettings() != before {
            self.by_id.remove(&(tenant, dek.dek.id()));
        }
    }

    /// Wipes the keys of these contacts.
    pub(super) fn drop_subjects(&self, subjects: &[Uuid]) {
        self.forgettings.fetch_add(1, Ordering::SeqCst);
        self.by_name.retain(|_, entry| !subjects.contains(&entry.value.contact));
        self.by_id.retain(|_, entry| !subjects.contains(&entry.value.contact));
    }

    /// Wipes every data key.
    pub(super) fn clear(&self) {
        self.forgettings.fetch_add(1, Ordering::SeqCst);
        self.by_name.clear();
        self.by_id.clear();
    }

    pub(super) fn drop_bucket(&self, tenant: TenantId, number: i16) {
        self.buckets.remove(&(tenant, number));
    }

    pub(super) fn keep_bucket(&self, tenant: TenantId, number: i16, bucket: &Arc<Bucket>, now: OffsetDateTime) {
        self.buckets.insert((tenant, number), Entry { value: bucket.clone(), since: now });
    }

    pub(super) fn sweep(&self, now: OffsetDateTime) {
        self.by_name.retain(|_, entry| self.is_fresh(entry, now));
        self.by_id.retain(|_, entry| self.is_fresh(entry, now));
        self.buckets.retain(|_, entry| self.is_fresh(entry, now));
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len() + self.by_id.len()
    }
}
