//! Down the tree, from the rows of data keys to the keys: through bucket keys and the tenant's KEK, which another process may be
//! replacing at this moment. Each row names its parent; where that is another than the one in memory, what is in memory is read anew.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::Inner;
use super::cache::Bucket;
use super::deks::{DekName, OwnedDek};
use super::installation::KeyringError;
use super::tenant::TenantKeys;
use crate::crypto::keys::{Dek, WrappingKey, random_key, random_key_id};
use crate::crypto::wrap::{self, WrapContext};
use crate::ids::TenantId;
use crate::store::keys::{DekRow, Standing, WrappedKeyRow};
use crate::telemetry;

pub(super) type Opened = Vec<(DekName, Arc<OwnedDek>)>;

/// How often rows are read whose parents are replaced meanwhile.
const TRIES: usize = 8;

pub(super) const fn dek_context(tenant: TenantId, key: Uuid, name: &[u8; 22]) -> WrapContext<'_> {
    WrapContext { level: "dek", tenant: tenant.uuid(), key, name }
}

pub(super) const fn bucket_context(tenant: TenantId, key: Uuid, number: &[u8; 2]) -> WrapContext<'_> {
    WrapContext { level: "bucket", tenant: tenant.uuid(), key, name: number }
}

impl Inner {
    /// The keys with these names, as far as there are any that may be used.
    pub(super) async fn opened_by_name(&self, tenant: TenantId, names: &[DekName]) -> Result<Opened, KeyringError> {
        let scopes: Vec<i16> = names.iter().map(|name| name.columns().0).collect();
        let subjects: Vec<Uuid> = names.iter().map(|name| name.columns().1).collect();
        let months: Vec<Date> = names.iter().map(|name| name.columns().2).collect();
        for _ in 0..TRIES {
            let rows = self.store.find_deks(tenant, &scopes, &subjects, &months).await?;
            if let Some(opened) = self.unwrap_rows(tenant, rows).await? {
                return Ok(opened);
            }
        }
        Err(KeyringError::Damaged { level: "dek" })
    }

    /// The keys with these ids, likewise.
    pub(super) async fn opened_by_id(&self, tenant: TenantId, ids: &[Uuid]) -> Result<Opened, KeyringError> {
        for _ in 0..TRIES {
            let rows = self.store.find_deks_by_id(tenant, ids).await?;
            if let Some(opened) = self.unwrap_rows(tenant, rows).await? {
                return Ok(opened);
            }
        }
        Err(KeyringError::Damaged { level: "dek" })
    }

    /// Stores new keys under these names, unless somebody else did. Stored before anything is sealed under them: a key
    /// without content is harmless, content without a key is lost. Where a bucket key was replaced meanwhile, or the contact forgotten,
    /// nothing is stored; `again`: bucket keys are read anew for that reason.
    pub(super) async fn make(
        &self,
        tenant: TenantId,
        names: &[DekName],
        now: OffsetDateTime,
        again: bool,
    ) -> Result<(), KeyringError> {
        if again {
            for name in names {
                self.cache.drop_bucket(tenant, name.bucket());
            }
        }
        let buckets = self.buckets_for_making(tenant, names.iter().map(DekName::bucket), now).await?;
        let mut rows = Vec::with_capacity(names.len());
        for name in names {
            // Another process made it under a KEK that is newer than ours: the next try knows it.
            let Some(bucket) = buckets.get(&name.bucket()) else { continue };
            let dek = Dek::generate();
            let wrapped = wrap::wrap(&bucket.key, &dek_context(tenant, dek.id(), &name.encode()), &dek.to_bytes());
            let key = WrappedKeyRow { id: dek.id(), parent: bucket.id, wrapped };
            let (scope, subject, month) = name.columns();
            rows.push(DekRow { scope, subject, month, bucket: name.bucket(), key, standing: Standing::Sound });
        }
        // In the order of the primary key, so that two processes cannot wait for each other.
        rows.sort_by_key(|row| (row.scope, row.subject, row.month));
        Ok(self.store.insert_deks(tenant, &rows).await?)
    }

    /// `None`: some are wrapped by other keys than those in the tables now. They were read before these were replaced.
    pub(super) async fn unwrap_rows(
        &self,
        tenant: TenantId,
        rows: Vec<DekRow>,
    ) -> Result<Option<Opened>, KeyringError> {
        let rows: Vec<DekRow> = rows.into_iter().filter(|row| self.may_be_used(row)).collect();
        if rows.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let wanted: HashSet<(i16, Uuid)> = rows.iter().map(|row| (row.bucket, row.key.parent)).collect();
        let buckets = self.buckets(tenant, wanted.iter().copied()).await?;
        if wanted.iter().any(|(number, id)| buckets.get(number).is_none_or(|bucket| bucket.id != *id)) {
            return Ok(None);
        }
        let (mut unwrapped, suite) = (Vec::with_capacity(rows.len()), self.suite.in_force());
        for row in &rows {
            let bucket = buckets.get(&row.bucket).ok_or(KeyringError::Gone)?;
            let name = DekName::of_row(tenant, row);
            let bytes = wrap::unwrap(&bucket.key, &dek_context(tenant, row.key.id, &name.encode()), &row.key.wrapped)
                .map_err(|_| damaged("dek"))?;
            unwrapped.push((name.asked(), OwnedDek::new(Dek::new(row.key.id, &bytes).sealing_in(suite), row)));
        }
        Ok(Some(unwrapped))
    }

    /// A destroyed key that is there again is told of, and never used.
    fn may_be_used(&self, row: &DekRow) -> bool {
        if row.standing == Standing::Forgotten {
            tracing::error!(dek = %row.key.id, "a forgotten key is in the key tables again: were they restored from an old copy?");
            self.notices.forgotten_key_seen();
        }
        row.standing == Standing::Sound
    }

    /// Bucket keys by their numbers, of which each is to have this id: from memory, or as the table has them now.
    async fn buckets(
        &self,
        tenant: TenantId,
        wanted: impl Iterator<Item = (i16, Uuid)>,
    ) -> Result<HashMap<i16, Arc<Bucket>>, KeyringError> {
        let now = self.clock.now();
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for (number, id) in wanted {
            match self.cache.bucket(tenant, number, now).filter(|bucket| bucket.id == id) {
                Some(bucket) => drop(found.insert(number, bucket)),
                None => missing.push(number),
            }
        }
        found.extend(self.read_buckets(tenant, &missing, now).await?);
        Ok(found)
    }

    /// The bucket keys with these numbers, made where there are none.
    pub(super) async fn buckets_for_making(
        &self,
        tenant: TenantId,
        numbers: impl Iterator<Item = i16>,
        now: OffsetDateTime,
    ) -> Result<HashMap<i16, Arc<Bucket>>, KeyringError> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for number in numbers {
            match self.cache.bucket(tenant, number, now) {
                Some(bucket) => drop(found.insert(number, bucket)),
                None => missing.push(number),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let keys = self.fresh_tenant(tenant).await?;
            self.store.insert_buckets(tenant, &new_buckets(tenant, &keys, &missing), now).await?;
            found.extend(self.read_buckets(tenant, &missing, now).await?);
        }
        Ok(found)
    }

    /// As the table has them. What is wrapped by a KEK that is just being replaced is left out.
    async fn read_buckets(
        &self,
        tenant: TenantId,
        numbers: &[i16],
        now: OffsetDateTime,
    ) -> Result<HashMap<i16, Arc<Bucket>>, KeyringError> {
        let mut found = HashMap::new();
        if numbers.is_empty() {
            return Ok(found);
        }
        for (number, row) in self.store.find_buckets(tenant, numbers).await? {
            let keys = self.tenant_under(tenant, row.parent).await?;
            if keys.kek_id != row.parent {
                continue;
            }
            let key = wrap::unwrap(&keys.kek, &bucket_context(tenant, row.id, &number.to_be_bytes()), &row.wrapped)
                .map_err(|_| damaged("bucket"))?;
            let bucket = Arc::new(Bucket { id: row.id, key: WrappingKey::new(&key) });
            self.cache.keep_bucket(tenant, number, &bucket, now);
            found.insert(number, bucket);
        }
        Ok(found)
    }
}

fn damaged(level: &'static str) -> KeyringError {
    telemetry::count_damaged("key");
    KeyringError::Damaged { level }
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
