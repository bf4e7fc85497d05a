//! Data keys: found or made by what they are for, found by the id in an envelope.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use time::macros::date;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::cache::Bucket;
use super::installation::KeyringError;
use super::tenant::TenantKeys;
use super::{Inner, Keyring};
use crate::crypto::keys::{Dek, WrappingKey, random_key, random_key_id};
use crate::crypto::wrap::{self, WrapContext};
use crate::ids::{ContactId, TenantId};
use crate::store::keys::{DekRow, WrappedKeyRow};

/// What a data key is for. Everything under one name is forgotten together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DekName {
    tenant: TenantId,
    scope: i16,
    subject: Uuid,
    month: Date,
}

/// The month of keys that have none.
const NO_MONTH: Date = date!(1970 - 01 - 01);

/// Keys that lie in one bucket are wrapped by one bucket key, so that erasure replaces few keys.
const BUCKETS: u16 = 4096;

impl DekName {
    /// Tokens, secrets and URLs of the tenant.
    #[must_use]
    pub const fn system(tenant: TenantId) -> Self {
        Self { tenant, scope: 0, subject: tenant.uuid(), month: NO_MONTH }
    }

    /// A contact's profile.
    #[must_use]
    pub const fn profile(tenant: TenantId, contact: ContactId) -> Self {
        Self { tenant, scope: 1, subject: contact.uuid(), month: NO_MONTH }
    }

    /// What was said with a contact in the month of `day`; with nobody, when there is no contact.
    #[must_use]
    pub fn month(tenant: TenantId, contact: Option<ContactId>, day: Date) -> Self {
        let month = day.replace_day(1).unwrap_or(day);
        match contact {
            Some(contact) => Self { tenant, scope: 2, subject: contact.uuid(), month },
            None => Self { tenant, scope: 3, subject: tenant.uuid(), month },
        }
    }

    /// What the wrapped key is bound to besides its id: scope (2 bytes) ‖ subject (16) ‖ Julian day of the month's first (4).
    fn encode(&self) -> [u8; 22] {
        let mut name = [0; 22];
        let parts = [&self.scope.to_be_bytes()[..], self.subject.as_bytes(), &self.month.to_julian_day().to_be_bytes()];
        name.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        name
    }

    /// Spread by the random end of the id, which a UUIDv7 has.
    fn bucket(&self) -> i16 {
        let [.., high, low] = *self.subject.as_bytes();
        i16::try_from(u16::from_be_bytes([high, low]) % BUCKETS).unwrap_or(0)
    }
}

/// A data key and whose it is.
#[derive(Debug)]
pub struct OwnedDek {
    /// The key.
    pub dek: Dek,
    /// The contact it belongs to; nil for the tenant's own.
    pub contact: Uuid,
}

impl OwnedDek {
    fn new(dek: Dek, row: &DekRow) -> Arc<Self> {
        let contact = if matches!(row.scope, 1 | 2) { row.subject } else { Uuid::nil() };
        Arc::new(Self { dek, contact })
    }
}

impl Keyring {
    /// The keys for sealing under `names`, all of `tenant`; those that do not exist are made.
    pub async fn for_sealing(
        &self,
        tenant: TenantId,
        names: impl IntoIterator<Item = DekName>,
    ) -> Result<HashMap<DekName, Arc<OwnedDek>>, KeyringError> {
        let now = self.inner.clock.now();
        let mut found = HashMap::new();
        let mut missing = HashSet::new();
        for name in names {
            match self.inner.cache.by_name(&name, now) {
                Some(dek) => drop(found.insert(name, dek)),
                None => drop(missing.insert(name)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let keys = self.tenant(tenant).await?;
        let missing: Vec<DekName> = missing.into_iter().collect();
        let mut rows = self.inner.find_rows(tenant, &missing).await?;
        if rows.len() < missing.len() {
            let known: HashSet<DekName> = rows.iter().map(|row| name_of(tenant, row)).collect();
            let new: Vec<DekName> = missing.iter().filter(|name| !known.contains(name)).copied().collect();
            self.inner.make(tenant, &keys, &new, now).await?;
            // Read again: another process may have made some of them first, and theirs are the ones that count.
            rows.extend(self.inner.find_rows(tenant, &new).await?);
        }
        for (name, dek) in self.inner.unwrap_rows(tenant, &keys, &rows, now).await? {
            self.inner.cache.keep_by_name(name, &dek, now);
            // What is sealed now is delivered next.
            self.inner.cache.keep_by_id(tenant, &dek, now);
            found.insert(name, dek);
        }
        if missing.iter().all(|name| found.contains_key(name)) { Ok(found) } else { Err(KeyringError::Gone) }
    }

    /// The key for sealing under one name.
    pub async fn one_for_sealing(&self, tenant: TenantId, name: DekName) -> Result<Arc<OwnedDek>, KeyringError> {
        self.for_sealing(tenant, [name]).await?.remove(&name).ok_or(KeyringError::Gone)
    }

    /// The keys under `names`, all of `tenant`, as far as there are any: none is made. A damaged one is left out.
    pub async fn existing(
        &self,
        tenant: TenantId,
        names: impl IntoIterator<Item = DekName>,
    ) -> Result<HashMap<DekName, Arc<OwnedDek>>, KeyringError> {
        let now = self.inner.clock.now();
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for name in names {
            match self.inner.cache.by_name(&name, now) {
                Some(dek) => drop(found.insert(name, dek)),
                None => missing.push(name),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let keys = self.tenant(tenant).await?;
        for row in self.inner.find_rows(tenant, &missing).await? {
            match self.inner.unwrap_rows(tenant, &keys, std::slice::from_ref(&row), now).await {
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => tracing::error!(dek = %row.key.id, %error, "a data key does not open"),
                Ok(unwrapped) => {
                    for (name, dek) in unwrapped {
                        self.inner.cache.keep_by_name(name, &dek, now);
                        found.insert(name, dek);
                    }
                }
            }
        }
        Ok(found)
    }

    /// As [`Self::for_opening`], where a damaged key must not hold back its neighbours: what does not unwrap is left out like
    /// what is gone.
    pub async fn whatever_opens(
        &self,
        tenant: TenantId,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Arc<OwnedDek>>, KeyringError> {
        let ids: HashSet<Uuid> = ids.into_iter().collect();
        match self.for_opening(tenant, ids.iter().copied()).await {
            Err(error) if !error.is_retryable() => {}
            result => return result,
        }
        let mut found = HashMap::new();
        for id in ids {
            match self.for_opening(tenant, [id]).await {
                Ok(one) => found.extend(one),
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => tracing::error!(dek = %id, error = %error, "a data key does not open"),
            }
        }
        Ok(found)
    }

    /// The keys with these ids, as far as they still exist.
    pub async fn for_opening(
        &self,
        tenant: TenantId,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<HashMap<Uuid, Arc<OwnedDek>>, KeyringError> {
        let now = self.inner.clock.now();
        let mut found = HashMap::new();
        let mut missing = HashSet::new();
        for id in ids {
            match self.inner.cache.by_id(tenant, id, now) {
                Some(dek) => drop(found.insert(id, dek)),
                None => drop(missing.insert(id)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let keys = self.tenant(tenant).await?;
        let missing: Vec<Uuid> = missing.into_iter().collect();
        let rows = self.inner.store.find_deks_by_id(tenant, &missing).await?;
        for (_, dek) in self.inner.unwrap_rows(tenant, &keys, &rows, now).await? {
            self.inner.cache.keep_by_id(tenant, &dek, now);
            found.insert(dek.dek.id(), dek);
        }
        Ok(found)
    }
}

const fn dek_context(tenant: TenantId, key: Uuid, name: &[u8; 22]) -> WrapContext<'_> {
    WrapContext { level: "dek", tenant: tenant.uuid(), key, name }
}

const fn bucket_context(tenant: TenantId, key: Uuid, number: &[u8; 2]) -> WrapContext<'_> {
    WrapContext { level: "bucket", tenant: tenant.uuid(), key, name: number }
}

fn name_of(tenant: TenantId, row: &DekRow) -> DekName {
    DekName { tenant, scope: row.scope, subject: row.subject, month: row.month }
}

impl Inner {
    async fn find_rows(&self, tenant: TenantId, names: &[DekName]) -> Result<Vec<DekRow>, KeyringError> {
        let scopes: Vec<i16> = names.iter().map(|name| name.scope).collect();
        let subjects: Vec<Uuid> = names.iter().map(|name| name.subject).collect();
        let months: Vec<Date> = names.iter().map(|name| name.month).collect();
        Ok(self.store.find_deks(tenant, &scopes, &subjects, &months).await?)
    }

    /// Stores new keys under these names, unless somebody else did. Stored before anything is sealed under them: a key
    /// without content is harmless, content without a key is lost.
    async fn make(
        &self,
        tenant: TenantId,
        keys: &TenantKeys,
        names: &[DekName],
        now: OffsetDateTime,
    ) -> Result<(), KeyringError> {
        let buckets = self.buckets(tenant, keys, names.iter().map(DekName::bucket), true, now).await?;
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            let bucket = buckets.get(&name.bucket()).ok_or(KeyringError::Gone)?;
            let dek = Dek::generate();
            let wrapped = wrap::wrap(&bucket.key, &dek_context(tenant, dek.id(), &name.encode()), &dek.to_bytes());
            let key = WrappedKeyRow { id: dek.id(), parent: bucket.id, wrapped };
            rows.push(DekRow {
                scope: name.scope,
                subject: name.subject,
                month: name.month,
                bucket: name.bucket(),
                key,
            });
        }
        // In the order of the primary key, so that two processes cannot wait for each other.
        rows.sort_by_key(|row| (row.scope, row.subject, row.month));
        Ok(self.store.insert_deks(tenant, &rows).await?)
    }

    async fn unwrap_rows(
        &self,
        tenant: TenantId,
        keys: &TenantKeys,
        rows: &[DekRow],
        now: OffsetDateTime,
    ) -> Result<Vec<(DekName, Arc<OwnedDek>)>, KeyringError> {
        let buckets = self.buckets(tenant, keys, rows.iter().map(|row| row.bucket), false, now).await?;
        let mut unwrapped = Vec::with_capacity(rows.len());
        for row in rows {
            let bucket = buckets.get(&row.bucket).ok_or(KeyringError::Gone)?;
            let name = name_of(tenant, row).encode();
            let bytes = wrap::unwrap(&bucket.key, &dek_context(tenant, row.key.id, &name), &row.key.wrapped)
                .map_err(|_| KeyringError::Damaged { level: "dek" })?;
            unwrapped.push((name_of(tenant, row), OwnedDek::new(Dek::new(row.key.id, &bytes), row)));
        }
        Ok(unwrapped)
    }

    async fn buckets(
        &self,
        tenant: TenantId,
        keys: &TenantKeys,
        numbers: impl Iterator<Item = i16>,
        make_missing: bool,
        now: OffsetDateTime,
    ) -> Result<HashMap<i16, Arc<Bucket>>, KeyringError> {
        let mut found = HashMap::new();
        let mut missing = HashSet::new();
        for number in numbers {
            match self.cache.bucket(tenant, number, now) {
                Some(bucket) => drop(found.insert(number, bucket)),
                None => drop(missing.insert(number)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let mut missing: Vec<i16> = missing.into_iter().collect();
        missing.sort_unstable();
        if make_missing {
            self.store.insert_buckets(tenant, &new_buckets(tenant, keys, &missing)).await?;
        }
        for (number, row) in self.store.find_buckets(tenant, &missing).await? {
            let key = wrap::unwrap(&keys.kek, &bucket_context(tenant, row.id, &number.to_be_bytes()), &row.wrapped)
                .map_err(|_| KeyringError::Damaged { level: "bucket" })?;
            let bucket = Arc::new(Bucket { id: row.id, key: WrappingKey::new(&key) });
            self.cache.keep_bucket(tenant, number, &bucket, now);
            found.insert(number, bucket);
        }
        Ok(found)
    }
}

/// Candidates; those whose number is taken are dropped by the insert.
fn new_buckets(tenant: TenantId, keys: &TenantKeys, numbers: &[i16]) -> Vec<(i16, WrappedKeyRow)> {
    let make = |number: &i16| {
        let id = random_key_id();
        let wrapped = wrap::wrap(&keys.kek, &bucket_context(tenant, id, &number.to_be_bytes()), &random_key());
        (*number, WrappedKeyRow { id, parent: keys.kek_id, wrapped })
    };
    numbers.iter().map(make).collect()
}
