//! Rotation of bucket keys, one after the other, each in a transaction of its own, and a step of the epoch behind them. How far it has
//! come is in the key tables: what was broken off is taken up again where it stopped.

use super::step::EpochStep;
use super::{Keyring, KeyringError};
use crate::ids::TenantId;

impl Keyring {
    /// Replaces every bucket key of the tenant, then its KEK and the root. Goes on with a rotation that was broken off. Returns how many bucket keys were replaced, by this call and those before it.
    pub async fn rotate_buckets(&self, tenant: TenantId) -> Result<(i32, EpochStep), KeyringError> {
        let store = &self.inner.store;
        let (mut next, mut replaced) = store.begin_rotation(tenant, self.inner.clock.now()).await?;
        while let Some(bucket) = store.bucket_from(tenant, next).await? {
            self.inner.replace_bucket(tenant, bucket).await?;
            next = bucket + 1;
            replaced = store.rotation_at(tenant, next).await?.unwrap_or(replaced + 1);
        }
        let step = self.step_epoch().await?;
        store.end_rotation(tenant).await?;
        Ok((replaced, step))
    }
}
