//! On which day each key was last used. Noted in memory on the way of a request, and written by whoever cleans up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::Date;

use super::Caller;
use crate::ids::{ApiKeyId, TenantId};
use crate::store::{Store, StoreError};

/// A day on which a key was used, and whether that is stored.
#[derive(Debug, Clone, Copy)]
struct Use {
    tenant: TenantId,
    day: Date,
    is_stored: bool,
}

/// The keys that this process has seen. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<Mutex<HashMap<ApiKeyId, Use>>>);

impl Usage {
    /// Notes that a caller is here on this day.
    pub fn note(&self, who: &Caller, day: Date) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.entry(who.key).or_insert(Use { tenant: who.tenant, day, is_stored: false });
        if last.day != day {
            *last = Use { tenant: who.tenant, day, is_stored: false };
        }
    }

    fn waiting(&self) -> Vec<(ApiKeyId, Use)> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(_, last)| !last.is_stored).map(|(key, last)| (*key, *last)).collect()
    }

    /// Stores what is not stored yet: once a day for each key.
    pub async fn store(&self, store: &Store) -> Result<(), StoreError> {
        for (key, last) in self.waiting() {
            store.note_use_of_api_key(last.tenant, key, last.day).await?;
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(now) = seen.get_mut(&key).filter(|now| now.day == last.day) {
                now.is_stored = true;
            }
        }
        Ok(())
    }
}
