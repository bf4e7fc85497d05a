//! An application that receives events: records what came, answers what it is told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::wait::PATIENCE;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub const VERIFY_TOKEN: &str = "endpoint-verify-token";

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What to answer: a status and more headers.
type Answer = (StatusCode, Vec<(&'static str, String)>);

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<Answer>>,
    /// Answered when nothing else was said; `None`: 200.
    otherwise: Mutex<Option<StatusCode>>,
    secret: Mutex<String>,
    count: watch::Sender<usize>,
}

/// A listening application.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let router = Router::new().route("/hook", post(receive).get(verify)).with_state(shared.clone());
        tokio::task::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers the next request with this, the one after with what is given then, and everything else with 200.
    pub fn then_answer(&self, status: u16, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.shared.answers.lock().unwrap().push_back((StatusCode::from_u16(status).unwrap(), headers));
    }

    /// Answers with this whenever nothing else was said.
    pub fn answer(&self, status: u16) {
        *self.shared.otherwise.lock().unwrap() = Some(StatusCode::from_u16(status).unwrap());
    }

    pub fn trust(&self, secret: &str) {
        secret.clone_into(&mut self.shared.secret.lock().unwrap());
    }

    pub fn secret(&self) -> String {
        self.shared.secret.lock().unwrap().clone()
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Everything received, once there are at least this many.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut seen = self.shared.count.subscribe();
        let enough = seen.wait_for(|seen| *seen >= count);
        let came = tokio::time::timeout(PATIENCE, enough).await.is_ok();
        assert!(came, "{} of {count} deliveries came", self.received().len());
        self.received()
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap) {
    let otherwise = shared.otherwise.lock().unwrap().unwrap_or(StatusCode::OK);
    let (status, more) = shared.answers.lock().unwrap().pop_front().unwrap_or((otherwise, Vec::new()));
    {
        let mut received = shared.received.lock().unwrap();
        received.push(Received { headers, body });
        // Under the lock: of two that come at once, the larger count is told last.
        shared.count.send_replace(received.len());
    }
    let headers = more
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap()))
        .collect();
    (status, headers)
}

async fn verify(Query(query): Query<std::collections::HashMap<String, String>>) -> Result<String, StatusCode> {
    if query.get("hub.mode").is_some_and(|mode| mode == "subscribe")
        && query.get("hub.verify_token").is_some_and(|token| token == VERIFY_TOKEN)
    {
        return Ok(query["hub.challenge"].clone());
    }
    Err(StatusCode::FORBIDDEN)
}
