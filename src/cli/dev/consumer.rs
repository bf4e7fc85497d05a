//! The sample consumer: what an internal application does with a delivery. It verifies before it reads.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::clock::SharedClock;
use crate::egress::sign::StandardSigner;
use crate::secret::SigningSecret;

/// A delivery whose signature was right.
#[derive(Debug, Clone)]
pub(super) struct Delivered {
    /// `type` of the event.
    pub(super) event_type: String,
    /// The event.
    pub(super) event: Value,
}

#[derive(Debug)]
struct Shared {
    clock: SharedClock,
    secret: Mutex<Option<SigningSecret>>,
    /// The last ones: enough for the round trip, too few to fill a memory.
    seen: Mutex<Vec<Delivered>>,
    arrived: Notify,
}

/// A listening consumer. Ends with its handle.
#[derive(Debug)]
pub(super) struct Consumer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Deliveries remembered.
const REMEMBERED: usize = 100;

impl Consumer {
    pub(super) async fn start(address: SocketAddr, clock: SharedClock) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("the consumer cannot have {address}"))?;
        let address = listener.local_addr()?;
        let shared =
            Arc::new(Shared { clock, secret: Mutex::default(), seen: Mutex::default(), arrived: Notify::new() });
        let router = Router::new().route("/events", post(receive)).with_state(shared.clone());
        #[expect(clippy::disallowed_methods, reason = "ends with the handle, which aborts it")]
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the sample consumer ended");
            }
        });
        Ok(Self { address, shared, task })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// What it verifies with.
    pub(super) fn expect_signatures_by(&self, secret: SigningSecret) {
        *self.shared.secret.lock().unwrap_or_else(PoisonError::into_inner) = Some(secret);
    }

    /// The first delivery that `wanted` accepts, waiting for it.
    pub(super) async fn delivery(&self, wanted: impl Fn(&Delivered) -> bool) -> Delivered {
        loop {
            let arrived = self.shared.arrived.notified();
            let found =
                self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|one| wanted(one)).cloned();
            match found {
                Some(found) => return found,
                None => arrived.await,
            }
        }
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let secret = shared.secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let verified = secret
        .and_then(|secret| StandardSigner::new(&[secret]).ok())
        .is_some_and(|signer| signer.verify(&headers, &body, shared.clock.now()).is_ok());
    if !verified {
        return StatusCode::UNAUTHORIZED;
    }
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let event_type = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() == REMEMBERED {
        seen.remove(0);
    }
    seen.push(Delivered { event_type, event });
    drop(seen);
    shared.arrived.notify_waiters();
    StatusCode::NO_CONTENT
}
