//! Rotation of bucket keys, one after the other, each in a transaction of its own, and a step of the epoch behind them. How far it has
//! come is in the key tables: what was broken off is taken up again where it stopped.

use tokio::time::{Instant, sleep};

use super::step::EpochStep;
use super::{Keyring, KeyringError};
use crate::ids::TenantId;

/// After each bucket it rests for so many times as long as that took: with 9, a tenth of the time is worked.
const RESTS: u32 = 9;

impl Keyring {
    /// Replaces every bucket key of the tenant, then its KEK and the root. Goes on with a rotation that was broken off. Returns how many bucket keys were replaced, by this call and those before it.
    pub async fn rotate_buckets(&self, tenant: TenantId) -> Result<(i32, EpochStep), KeyringError> {
        let store = &self.inner.store;
        let (mut next, mut replaced) = store.begin_rotation(tenant, self.inner.clock.now()).await?;
        while let Some(bucket) = store.bucket_from(tenant, next).await? {
            let began = Instant::now();
            self.inner.replace_bucket(tenant, bucket).await?;
            // Nobody waits for it: webhooks and messages go first.
            sleep(began.elapsed() * RESTS).await;
            next = bucket + 1;
            replaced = store.rotation_at(tenant, next).await?.unwrap_or(replaced + 1);
        }
        let step = self.step_epoch().await?;
        store.end_rotation(tenant).await?;
        Ok((replaced, step))
    }
}
