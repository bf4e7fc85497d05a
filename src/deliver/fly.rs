//! One attempt, from the schedule to what became of it.

use std::sync::Arc;

use time::OffsetDateTime;

use super::Deliverer;
use super::schedule::Item;
use super::transport::Parcel;
use crate::domain::endpoint::Endpoint;
use crate::egress::attempt::Attempt;
use crate::ids::EventId;
use crate::store::rounds::Owed;
use crate::telemetry;

/// What is handed over.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) parcel: Parcel,
    pub(super) stored_at: Option<OffsetDateTime>,
    /// When there is no content any more; `None`: never.
    pub(super) goes_at: Option<OffsetDateTime>,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Flown {
    pub(super) owed: Owed,
    /// Attempts before this one.
    pub(super) attempts: i16,
    /// When there is no content any more; `None`: never.
    pub(super) goes_at: Option<OffsetDateTime>,
    /// `None`: it cannot be sent at all.
    pub(super) attempt: Option<Attempt>,
}

impl Deliverer {
    pub(super) async fn fly(&self, endpoint: Arc<Endpoint>, item: Item<Load>) -> Flown {
        let Item { event, attempts, postponed_to, content, .. } = item;
        let goes_at = content.goes_at;
        let attempt = self.hand_over(&endpoint, event, content.parcel).await;
        if let Some(attempt) = &attempt {
            self.report(&endpoint, event, attempts, content.stored_at, attempt);
        }
        Flown { owed: Owed { event, postponed_to }, attempts, goes_at, attempt }
    }

    /// One log line and one count for each attempt.
    fn report(
        &self,
        endpoint: &Endpoint,
        event: EventId,
        before: i16,
        stored_at: Option<OffsetDateTime>,
        attempt: &Attempt,
    ) {
        let class = attempt.class.as_str();
        metrics::counter!(telemetry::ATTEMPTS, "class" => class).increment(1);
        if attempt.class.is_final_success() {
            if let Some(stored_at) = stored_at {
                metrics::histogram!(telemetry::DELIVERY_LAG_SECONDS)
                    .record((self.clock.now() - stored_at).as_seconds_f64());
            }
            tracing::debug!(endpoint = %endpoint.id, %event, attempt = before + 1, class, "delivery.attempted");
        } else {
            let millis = attempt.elapsed.as_millis() as u64;
            tracing::info!(endpoint = %endpoint.id, %event, attempt = before + 1, class, status = attempt.http_status, millis, "delivery.attempted");
        }
    }
}
