//! A callback that records what it is sent and answers what it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::APP_SECRET;
use crate::secret::AppSecret;
use crate::simulator::signature_header;

/// One POST as it came.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) signature: String,
    pub(super) body: Bytes,
}

impl Received {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The value of the first change.
    pub(super) fn value(&self) -> Value {
        self.json()["entry"][0]["changes"][0]["value"].clone()
    }

    pub(super) fn is_signed(&self) -> bool {
        self.signature == signature_header(&AppSecret::new(APP_SECRET), &self.body)
    }
}

#[derive(Debug, Default)]
struct Inbox {
    received: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<u16>>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) url: String,
    inbox: Arc<Inbox>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let inbox = Arc::new(Inbox::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/webhook", get(handshake).post(take))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&inbox));
        TaskTracker::new().spawn(async move { axum::serve(listener, app).await });
        Self { url, inbox }
    }

    /// Answers the next POSTs with these statuses, and all after them with 200.
    pub(super) fn answer_with(&self, statuses: &[u16]) {
        self.inbox.answers.lock().unwrap().extend(statuses);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.inbox.received.lock().unwrap().clone()
    }

    pub(super) fn last(&self) -> Received {
        self.received().last().cloned().unwrap()
    }
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers["x-hub-signature-256"].to_str().unwrap().to_owned();
    inbox.received.lock().unwrap().push(Received { signature, body });
    let answer = inbox.answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(answer).unwrap()
}

async fn handshake(Query(query): Query<Vec<(String, String)>>) -> Result<String, StatusCode> {
    let find = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    if find("hub.verify_token").as_deref() == Some("verify-me") && find("hub.mode").as_deref() == Some("subscribe") {
        find("hub.challenge").ok_or(StatusCode::BAD_REQUEST)
    } else {
        Err(StatusCode::FORBIDDEN)
    }
}
