//! Test events: one made-up event, sent to an endpoint at once, as a real one would be. Not stored and not repeated.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::{Duration, OffsetDateTime};

use super::Deliveries;
use super::prepare::written;
use super::transport::Parcel;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{EventType, own_envelope};
use crate::egress::attempt::Attempt;
use crate::egress::event_json::EventMeta;
use crate::egress::view::View;
use crate::ids::{EndpointId, EventId};

/// Tests that an endpoint gets within [`WINDOW`], from this process: enough for a person who mends something.
const MOST: usize = 10;
const WINDOW: Duration = Duration::MINUTE;

/// A text message of the form of Meta's documentation, with made-up values. The number is of a range for invented ones.
const SAMPLE: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"0","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550000000","phone_number_id":"0"},"contacts":[{"profile":{"name":"Test"},"wa_id":"4915199900000"}],"messages":[{"from":"4915199900000","id":"wamid.TEST","timestamp":"{timestamp}","text":{"body":"This is a test."},"type":"text"}]},"field":"messages"}]}]}"#;

/// When each endpoint was tested.
#[derive(Debug, Default)]
pub(super) struct Tests(Mutex<HashMap<EndpointId, Vec<OffsetDateTime>>>);

impl Tests {
    /// Notes a test, unless there were too many lately. Then the error is how long to wait.
    fn admit(&self, endpoint: EndpointId, now: OffsetDateTime) -> Result<(), Duration> {
        let mut tests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tests.retain(|_, times| {
            times.retain(|at| *at > now - WINDOW);
            !times.is_empty()
        });
        let times = tests.entry(endpoint).or_default();
        match times.first().filter(|_| times.len() >= MOST) {
            Some(oldest) => Err(*oldest + WINDOW - now),
            None => {
                times.push(now);
                Ok(())
            }
        }
    }
}

/// Why no test was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TestRefused {
    /// There were enough of them lately.
    #[error("the endpoint was tested too often")]
    TooMany {
        /// How long to wait.
        wait: Duration,
    },
    /// The endpoint's secret cannot sign.
    #[error("the endpoint's secret cannot sign")]
    Unsigned,
}

impl Deliveries {
    /// Sends one event of the type `endpoint.test`, in whatever state the endpoint is, and tells how that went.
    pub async fn test(&self, endpoint: &Endpoint) -> Result<Attempt, TestRefused> {
        let now = self.deliverer.clock.now();
        self.tests.admit(endpoint.id, now).map_err(|wait| TestRefused::TooMany { wait })?;
        let event = EventId::new(now);
        let parcel = sample(endpoint, event, now);
        let attempt = self.deliverer.hand_over(endpoint, event, parcel).await.ok_or(TestRefused::Unsigned)?;
        let (class, millis) = (attempt.class.as_str(), attempt.elapsed.as_millis() as u64);
        tracing::info!(endpoint = %endpoint.id, class, status = attempt.http_status, millis, "endpoint.tested");
        Ok(attempt)
    }
}

fn sample(endpoint: &Endpoint, event: EventId, now: OffsetDateTime) -> Parcel {
    let of_meta = || SAMPLE.replace("{timestamp}", &now.unix_timestamp().to_string());
    let meta = EventMeta {
        id: event,
        event_type: EventType::EndpointTest.as_str(),
        occurred_at: now,
        received_at: now,
        channel: None,
        phone_number_id: None,
        contact: None,
        message: None,
    };
    let content = own_envelope(r#"{"text":"This is a test."}"#);
    let own = written(endpoint, View::new(endpoint.fields, None), &meta, content.as_bytes());
    // Meta has no form for an event of our own.
    own.unwrap_or_else(|| Parcel { body: of_meta().into(), key: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn an_endpoint_is_tested_ten_times_a_minute_and_no_other_is_held_up() {
        let now = datetime!(2026-11-22 12:00 UTC);
        let (tests, one, two) = (Tests::default(), EndpointId::new(now), EndpointId::new(now));
        for second in 0..10 {
            assert_eq!(tests.admit(one, now + Duration::seconds(second)), Ok(()));
        }
        assert_eq!(tests.admit(one, now + Duration::seconds(10)), Err(Duration::seconds(50)));
        assert_eq!(tests.admit(two, now + Duration::seconds(10)), Ok(()));
        assert_eq!(tests.admit(one, now + Duration::seconds(60)), Ok(()));
        assert_eq!(tests.admit(one, now + Duration::seconds(60)), Err(Duration::seconds(1)));
    }
}
