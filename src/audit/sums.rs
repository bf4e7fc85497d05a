//! What happens thousands of times a second is not recorded one by one: it is summed for some seconds, in each process, and an
//! entry tells the sum. A process that is killed takes the sum of its last seconds with it; what it stored and delivered has rows
//! of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use uuid::Uuid;

use super::act::{Act, Action, Actor, Object};
use super::recorder::Audit;
use crate::ids::TenantId;

type Key = (TenantId, Action, &'static str, Uuid);

/// Sums that no entry tells of yet.
#[derive(Debug, Default)]
pub(super) struct Sums(Mutex<HashMap<Key, usize>>);

impl Sums {
    fn add(&self, key: Key, count: usize) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += count;
    }

    fn take(&self) -> HashMap<Key, usize> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Audit {
    /// Adds to what the gateway did unasked, to one thing or (nil) to none in particular.
    pub fn add(&self, tenant: TenantId, action: Action, class: &'static str, id: Uuid, count: usize) {
        if count > 0 {
            self.inner.sums.add((tenant, action, class, id), count);
        }
    }

    /// Leaves an entry for each sum. Called every few seconds; what cannot be stored is told the next time.
    pub async fn tell_sums(&self) {
        let tell = |(key, count): (Key, usize)| async move {
            let (tenant, action, class, id) = key;
            let act = Act::new(tenant, Actor::GATEWAY, action, Object::one(class, id)).times(count);
            if self.record(act).await.is_err() {
                self.inner.sums.add(key, count);
            }
        };
        // Together, so that they share transactions.
        futures_util::future::join_all(self.inner.sums.take().into_iter().map(tell)).await;
    }
}
