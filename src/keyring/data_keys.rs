//! Rotation of the data keys that no month ends, of the tenant and of profiles: a newer key beside the one of before, which seals from then on,
//! while both open (docs/adr/0022). What the first key of a name gave for keyed hashes is kept as a key of its own, so that hashes stay what
//! they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::deks::{DekName, OwnedDek};
use super::installation::KeyringError;
use super::readable::GENERATIONS;
use super::walk::{Opened, dek_context};
use super::{Inner, Keyring};
use crate::crypto::keyed_hash::HashKey;
use crate::crypto::keys::{Dek, random_key_id};
use crate::crypto::wrap;
use crate::ids::TenantId;
use crate::store::StoreError;
use crate::store::data_rotation::DataRotation;
use crate::store::key_readers::Reader;
use crate::store::keys::{DekRow, Standing, WrappedKeyRow};

/// Purposes of the hash keys that a profile's key and the tenant's give.
const OF_PROFILE: &str = "audit subjects";
const OF_SYSTEM: &str = "row marks";

/// Attempts against others who replace bucket keys or forget somebody at the same moment.
const TRIES: usize = 8;

/// What is known of the keys with some ids.
#[derive(Debug, Default)]
pub struct Newer {
    /// Keys of before, each with the one that seals in its place.
    pub replaced: HashMap<Uuid, (Arc<OwnedDek>, Arc<OwnedDek>)>,
    /// Keys that seal: nothing under them is to be sealed anew.
    pub in_force: HashSet<Uuid>,
}

const fn purpose(name: DekName) -> &'static str {
    if name.columns().0 == 0 { OF_SYSTEM } else { OF_PROFILE }
}

impl Keyring {
    /// Begins a rotation of the tenant's data keys, or finds the one that was begun. Who is waited for; nobody: it has begun. Nothing is changed
    /// before every living process knows that there may be several keys of one name, and opens the suite of the configuration.
    pub async fn begin_data_rotation(&self, tenant: TenantId) -> Result<Vec<Reader>, KeyringError> {
        let store = &self.inner.store;
        let waits = self.agree_on_suite().await?;
        if !waits.is_empty() {
            return Ok(waits);
        }
        if store.find_data_rotation(tenant).await?.is_some() {
            return Ok(Vec::new());
        }
        let waits = store.workers_without(GENERATIONS).await?;
        if waits.is_empty() {
            store.begin_data_rotation(tenant, self.inner.clock.now()).await?;
        }
        Ok(waits)
    }

    /// Makes the next newer keys, some hundred in one transaction. False: there are all.
    pub async fn make_newer(&self, tenant: TenantId, walk: &DataRotation) -> Result<bool, KeyringError> {
        let (inner, store) = (&self.inner, &self.inner.store);
        for tries in 0..TRIES {
            let rows = store.deks_to_replace(tenant, walk).await?;
            let Some(last) = rows.last().map(|row| (row.scope, row.subject)) else { return Ok(false) };
            // A bucket key that is being replaced: the next try knows it.
            let Some((new, made)) = inner.newer_rows(tenant, rows, tries > 0).await? else { continue };
            if store.insert_newer_deks(tenant, (walk, last), (&new, made)).await? {
                return Ok(true);
            }
            let now = store.find_data_rotation(tenant).await?;
            if now.is_none_or(|now| (now.scope, now.subject_id) != (walk.scope, walk.subject_id)) {
                // Another process was faster.
                return Ok(true);
            }
        }
        Err(StoreError::BrokenOff.into())
    }

    /// Which of these keys another one has taken the place of. Asks the key tables and not memory, which may know of none yet. What does not
    /// unwrap is left out.
    pub async fn newer(&self, tenant: TenantId, ids: &[Uuid]) -> Result<Newer, KeyringError> {
        let inner = &self.inner;
        let rows = inner.store.find_deks_by_id(tenant, ids).await?;
        let found = inner.whatever_unwraps(tenant, rows).await?;
        let (scopes, names): (Vec<bool>, Vec<DekName>) =
            found.iter().map(|(name, _)| (name.is_rotated(), *name)).unzip();
        let names: HashSet<DekName> =
            names.into_iter().zip(scopes).filter_map(|(name, is)| is.then_some(name)).collect();
        let newest: HashMap<DekName, Arc<OwnedDek>> =
            inner.whatever_is_newest(tenant, names.into_iter().collect()).await?.into_iter().collect();
        let mut newer = Newer::default();
        for (name, dek) in found {
            match newest.get(&name) {
                Some(new) if new.dek.id() != dek.dek.id() => {
                    newer.replaced.insert(dek.dek.id(), (dek, new.clone()));
                }
                Some(_) => drop(newer.in_force.insert(dek.dek.id())),
                None if !name.is_rotated() => drop(newer.in_force.insert(dek.dek.id())),
                None => {}
            }
        }
        Ok(newer)
    }

    /// All keys of a name that open, the newest first.
    pub async fn generations(&self, tenant: TenantId, name: DekName) -> Result<Vec<Arc<OwnedDek>>, KeyringError> {
        let (scope, subject, _) = name.columns();
        let rows = self.inner.store.generations_of(tenant, (scope, subject)).await?;
        Ok(self.inner.whatever_unwraps(tenant, rows).await?.into_iter().map(|(_, dek)| dek).collect())
    }

    /// The keys of keyed hashes under these names of tenants or profiles, as far as there are any. No rotation changes them.
    pub async fn hash_keys(
        &self,
        tenant: TenantId,
        names: impl IntoIterator<Item = DekName>,
    ) -> Result<HashMap<DekName, HashKey>, KeyringError> {
        let keys = self.existing(tenant, names).await?;
        let carried = keys.iter().filter(|(_, key)| !key.is_first).filter_map(|(name, _)| name.hashes());
        let carried = self.existing(tenant, carried).await?;
        let of = |(name, key): (DekName, Arc<OwnedDek>)| {
            let hash = if key.is_first {
                HashKey::of_dek(&key.dek, purpose(name))
            } else {
                HashKey::new(&carried.get(&name.hashes()?)?.dek.to_bytes())
            };
            Some((name, hash))
        };
        Ok(keys.into_iter().filter_map(of).collect())
    }

    /// Destroys the keys of before, but for `kept`: nothing lies under the others any more. Bucket by bucket: what was broken off is finished by
    /// another call. Returns how many there were.
    pub async fn forget_replaced(&self, tenant: TenantId, kept: &[Uuid]) -> Result<usize, KeyringError> {
        let (inner, mut forgotten) = (&self.inner, 0);
        for bucket in inner.store.buckets_with_replaced(tenant).await? {
            forgotten += inner.store.forget_replaced(tenant, (bucket, kept), inner.clock.now()).await?;
        }
        self.heard_of_forgotten(&[]);
        Ok(forgotten)
    }
}

impl Inner {
    /// A newer key for each of these, and what the first ones gave for keyed hashes; how many are the former. A key that does not unwrap is
    /// left alone. `None`: a bucket key is being replaced. `None`: a bucket key is being replaced.
    async fn newer_rows(
        &self,
        tenant: TenantId,
        rows: Vec<DekRow>,
        again: bool,
    ) -> Result<Option<(Vec<DekRow>, i64)>, KeyringError> {
        let stored: HashMap<Uuid, DekName> =
            rows.iter().map(|row| (row.key.id, DekName::of_row(tenant, row))).collect();
        let opened = self.whatever_unwraps(tenant, rows).await?;
        if again {
            for (name, _) in &opened {
                self.cache.drop_bucket(tenant, name.bucket());
            }
        }
        let numbers = opened.iter().map(|(name, _)| name.bucket());
        let buckets = self.buckets_for_making(tenant, numbers, self.clock.now()).await?;
        let (mut new, mut made) = (Vec::with_capacity(opened.len()), 0);
        for (name, dek) in opened {
            let Some(bucket) = buckets.get(&name.bucket()) else { return Ok(None) };
            let Some(next) = stored.get(&dek.dek.id()).copied().and_then(DekName::next) else { continue };
            let row = |name: DekName, dek: &Dek| {
                let wrapped = wrap::wrap(&bucket.key, &dek_context(tenant, dek.id(), &name.encode()), &dek.to_bytes());
                let key = WrappedKeyRow { id: dek.id(), parent: bucket.id, wrapped };
                let (scope, subject, month) = name.columns();
                DekRow { scope, subject, month, bucket: name.bucket(), key, standing: Standing::Sound }
            };
            new.push(row(next, &Dek::generate()));
            made += 1;
            if let Some(hashes) = name.hashes().filter(|_| dek.is_first) {
                let bytes = HashKey::bytes_of_dek(&dek.dek, purpose(name));
                new.push(row(hashes, &Dek::new(random_key_id(), &bytes)));
            }
        }
        Ok(Some((new, made)))
    }

    /// What unwraps of these rows. A damaged one does not hold back its neighbours.
    async fn whatever_unwraps(&self, tenant: TenantId, rows: Vec<DekRow>) -> Result<Opened, KeyringError> {
        match self.unwrapped_again(tenant, rows.clone()).await {
            Err(error) if !error.is_retryable() => {}
            result => return result,
        }
        let mut opened = Vec::with_capacity(rows.len());
        for row in rows {
            match self.unwrapped_again(tenant, vec![row]).await {
                Ok(one) => opened.extend(one),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => tracing::error!(%error, "a data key does not open"),
            }
        }
        Ok(opened)
    }

    /// Reads rows again whose parents were replaced since they were read.
    async fn unwrapped_again(&self, tenant: TenantId, rows: Vec<DekRow>) -> Result<Opened, KeyringError> {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.key.id).collect();
        match self.unwrap_rows(tenant, rows).await? {
            Some(opened) => Ok(opened),
            None => self.opened_by_id(tenant, &ids).await,
        }
    }

    async fn whatever_is_newest(&self, tenant: TenantId, names: Vec<DekName>) -> Result<Opened, KeyringError> {
        match self.opened_by_name(tenant, &names).await {
            Err(error) if !error.is_retryable() => {}
            result => return result,
        }
        let mut opened = Vec::with_capacity(names.len());
        for name in names {
            match self.opened_by_name(tenant, &[name]).await {
                Ok(one) => opened.extend(one),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => tracing::error!(%error, "a data key does not open"),
            }
        }
        Ok(opened)
    }
}
