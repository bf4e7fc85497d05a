//! Hands an event over: one attempt, by whatever the endpoint's URL names.

use bytes::Bytes;

use super::Deliverer;
use crate::domain::endpoint::{Endpoint, Transport};
use crate::egress::attempt::Attempt;
use crate::egress::brokers::Message;
use crate::egress::sign::delivery_headers;
use crate::ids::{ContactId, EventId};

/// What is handed over, and whom it is about.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) body: Bytes,
    /// What a broker with partitions orders by; the event itself when it is absent.
    pub(super) key: Option<ContactId>,
}

impl Deliverer {
    /// One attempt. `None`: the endpoint's secret cannot sign, so that no attempt will ever succeed.
    pub(super) async fn hand_over(&self, endpoint: &Endpoint, event: EventId, parcel: Parcel) -> Option<Attempt> {
        let (now, Parcel { body, key }) = (self.clock.now(), parcel);
        let headers = delivery_headers(endpoint.format, endpoint.secrets_at(now), event, now, &body).ok()?;
        let timeout = endpoint.pace.timeout.unwrap_or(self.limits.timeout);
        Some(match endpoint.url.transport() {
            Transport::Http => {
                self.client.deliver(endpoint.url.expose(), &endpoint.credentials, headers, body, timeout).await
            }
            Transport::Nats | Transport::Amqp | Transport::Kafka => {
                let key = key.map_or_else(|| event.to_string(), |contact| contact.to_string());
                let message = Message { id: event, key, headers, body };
                self.brokers.publish(endpoint, &message, timeout).await
            }
        })
    }
}
