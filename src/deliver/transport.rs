//! Hands an event over: one attempt, by whatever the endpoint's URL names.

use bytes::Bytes;

use super::Deliverer;
use crate::domain::endpoint::Endpoint;
use crate::egress::attempt::Attempt;
use crate::egress::sign::delivery_headers;
use crate::ids::EventId;

impl Deliverer {
    /// One attempt. `None`: the endpoint's secret cannot sign, so that no attempt will ever succeed.
    pub(super) async fn hand_over(&self, endpoint: &Endpoint, event: EventId, body: Bytes) -> Option<Attempt> {
        let headers = delivery_headers(endpoint.format, &endpoint.secret, event, self.clock.now(), &body).ok()?;
        let timeout = endpoint.pace.timeout.unwrap_or(self.limits.timeout);
        Some(self.client.post(endpoint.url.expose(), headers, body, timeout).await)
    }
}
