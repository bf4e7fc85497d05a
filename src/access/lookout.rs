//! Tells those who wait for events that there are new ones. One look serves everybody who waits in this process: at once
//! when the process itself committed something, and every second for what others did. The bell is a hint, the look is the
//! truth.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::directory::Bells;
use crate::ids::TenantId;
use crate::store::Store;

/// What other processes committed is seen after at most this.
const REGULARLY: Duration = Duration::from_secs(1);
/// Looks are at least this far apart, however often the bell rings.
const APART: Duration = Duration::from_millis(10);

/// Looks for new events while somebody waits for them. Clones are one.
#[derive(Debug, Clone)]
pub struct Lookout {
    store: Store,
    bells: Bells,
    heads: Arc<Mutex<HashMap<TenantId, watch::Sender<i64>>>>,
}

impl Lookout {
    /// A lookout that does not look yet.
    #[must_use]
    pub fn new(store: Store, bells: Bells) -> Self {
        Self { store, bells, heads: Arc::default() }
    }

    /// Changes when there may be events of this tenant that were not there before. Mark it as seen, then look, then wait for a
    /// change: what is committed in between is not missed.
    #[must_use]
    pub fn watch(&self, tenant: TenantId) -> watch::Receiver<i64> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant).or_default().subscribe()
    }

    /// Looks until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let (mut bell, mut wait) = (self.bells.events(), REGULARLY);
        loop {
            let rang = tokio::select! {
                // The sender is in `self.bells`.
                _ = bell.changed() => true,
                () = sleep(wait) => false,
                () = stop.cancelled() => return,
            };
            let holds_back = self.look().await;
            wait = next_wait(holds_back, rang, wait);
            sleep(APART).await;
        }
    }

    /// Tells every tenant's readers where the order of commits stands. True: there are events that cannot be shown yet.
    async fn look(&self) -> bool {
        let mut holds_back = false;
        for tenant in self.watched() {
            match self.store.head_of_events(tenant).await {
                Ok(head) => {
                    holds_back |= head.holds_back;
                    self.tell(tenant, head.shown);
                }
                // Whoever waits asks for themselves in the end, and is told.
                Err(error) => tracing::debug!(%error, "nobody can see whether there are new events"),
            }
        }
        holds_back
    }

    fn watched(&self) -> Vec<TenantId> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().filter(|(_, head)| head.receiver_count() > 0).map(|(tenant, _)| *tenant).collect()
    }

    fn tell(&self, tenant: TenantId, shown: i64) {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(head) = heads.get(&tenant) {
            head.send_if_modified(|known| std::mem::replace(known, shown) != shown);
        }
    }
}

/// What is held back becomes visible without a bell, usually within milliseconds; a transaction that stays open for long is
/// looked for less and less often.
fn next_wait(holds_back: bool, rang: bool, last: Duration) -> Duration {
    match (holds_back, rang) {
        (false, _) => REGULARLY,
        (true, true) => APART,
        (true, false) => (last * 2).min(REGULARLY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_looked_for_soon_and_then_less_and_less_often() {
        assert_eq!(next_wait(false, true, APART), REGULARLY);
        let mut wait = next_wait(true, true, REGULARLY);
        assert_eq!(wait, APART);
        for _ in 0..10 {
            wait = next_wait(true, false, wait);
        }
        assert_eq!(wait, REGULARLY);
    }
}
