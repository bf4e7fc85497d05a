//! A gate in front of an object store: requests can be held there, or turned away, for a process that is to fail at that very place.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::wait::{PATIENCE, until};

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Never answered.
    Hold,
    /// Looked at again with the next rule.
    Wait,
    /// Answered with 403.
    Refuse,
}

type Rule = Box<dyn Fn(&Method, &str) -> Verdict + Send>;

struct Shared {
    to: String,
    client: reqwest::Client,
    rule: Mutex<Rule>,
    stopped: AtomicUsize,
    changed: watch::Sender<()>,
}

impl Shared {
    fn judges(&self, method: &Method, uri: &Uri) -> Verdict {
        self.rule.lock().unwrap()(method, &uri.to_string())
    }
}

pub struct Gate {
    pub url: String,
    shared: Arc<Shared>,
}

impl Gate {
    /// Before the server at this URL. Everything passes.
    pub async fn before(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let rule: Mutex<Rule> = Mutex::new(Box::new(|_, _| Verdict::Pass));
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            client,
            rule,
            stopped: AtomicUsize::new(0),
            changed: watch::Sender::new(()),
        });
        let routes = Router::new().fallback(pass).layer(DefaultBodyLimit::disable()).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, shared }
    }

    /// From now on, also for what waits. What is held stays held.
    pub fn rule(&self, rule: impl Fn(&Method, &str) -> Verdict + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
        self.shared.changed.send_replace(());
    }

    /// Until something was held or turned away.
    pub async fn stops_one(&self) {
        until("the gate has stopped a request", PATIENCE, async || self.shared.stopped.load(Ordering::Relaxed) > 0)
            .await;
    }
}

async fn pass(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    let verdict = shared.judges(&method, &uri);
    if verdict != Verdict::Pass {
        shared.stopped.fetch_add(1, Ordering::Relaxed);
    }
    match verdict {
        Verdict::Hold => return std::future::pending().await,
        Verdict::Refuse => return StatusCode::FORBIDDEN.into_response(),
        Verdict::Wait => {
            let mut changed = shared.changed.subscribe();
            while shared.judges(&method, &uri) == Verdict::Wait {
                changed.changed().await.unwrap();
            }
        }
        Verdict::Pass => {}
    }
    // The host stays: it is signed.
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        headers.remove(name);
    }
    let asked = shared.client.request(method, format!("{}{uri}", shared.to)).headers(headers).body(body);
    let Ok(answer) = asked.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for name in [TRANSFER_ENCODING, CONNECTION] {
        headers.remove(name);
    }
    (status, headers, Body::from(answer.bytes().await.unwrap_or_default())).into_response()
}
