//! An application behind an endpoint: checks the signature, writes down what came and what it answered, and misbehaves when told
//! to, or by chance.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use hyper::header::RETRY_AFTER;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::time::Instant;
use uuid::Uuid;

use crate::event::Event;
use crate::proxy::{Proxy, Target};
use crate::random::Random;
use crate::support::receiver::VERIFY_TOKEN;
use crate::support::webhook;

const LARGEST: usize = 4 * 1024 * 1024;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Well,
    Fails,
    Busy,
    /// Closes the connection without an answer.
    Closes,
    /// Never answers.
    Hangs,
}

/// In how many of a hundred cases it misbehaves by itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weakness {
    pub fails: usize,
    pub closes: usize,
    pub hangs: usize,
}

/// One request that came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub event: Event,
    /// `webhook-id`; none in Meta's format.
    pub id: Option<Uuid>,
    pub at: Instant,
    /// Whether it was answered 200.
    pub accepted: bool,
}

/// Whether the gateway tells this of itself: of endpoints that were disabled, and of its audit log, which stands still until another
/// gateway has taken over from a sequencer that was cut off. The fast clock makes more than the allowed five minutes of that.
fn is_own(name: &str) -> bool {
    name.starts_with("endpoint.") || name == "security.log_stalled"
}

/// What came.
#[derive(Debug, Default)]
pub struct Book {
    pub arrivals: Vec<Arrival>,
    /// Events of the gateway's own.
    pub own: usize,
    /// Not signed under this endpoint's secret.
    pub forged: usize,
    /// Nothing that this test sent.
    pub strange: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    meta_format: bool,
    weakness: Weakness,
    secret: Mutex<String>,
    manner: Mutex<Manner>,
    random: Mutex<Random>,
    book: Mutex<Book>,
}

/// A listening application behind its proxy.
#[derive(Debug, Clone)]
pub struct Consumer {
    pub proxy: Proxy,
    shared: Arc<Shared>,
}

/// The connection is closed instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
struct Closed;

impl Consumer {
    pub async fn start(meta_format: bool, weakness: Weakness, random: Random) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(Target::Port(listener.local_addr().unwrap().port())).await;
        let (secret, manner, book) = (Mutex::default(), Mutex::new(Manner::Well), Mutex::default());
        let shared = Arc::new(Shared { meta_format, weakness, secret, manner, random: Mutex::new(random), book });
        tokio::spawn(serve(listener, shared.clone()));
        Self { proxy, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.proxy.port)
    }

    pub fn trust(&self, secret: &str) {
        secret.clone_into(&mut self.shared.secret.lock().unwrap());
    }

    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    pub fn read<T>(&self, reading: impl FnOnce(&Book) -> T) -> T {
        reading(&self.shared.book.lock().unwrap())
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(shared.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.await; // it is meant to break
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<hyper::body::Incoming>) -> Result<Response<Body>, Closed> {
    if request.method() == Method::GET {
        return Ok(Response::new(Body::from(handshake(request.uri().query().unwrap_or_default()))));
    }
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), LARGEST).await else { return Err(Closed) };
    let manner = shared.choose();
    shared.note(&head.headers, &body, manner == Manner::Well);
    let status = match manner {
        Manner::Well => StatusCode::OK,
        Manner::Fails => StatusCode::INTERNAL_SERVER_ERROR,
        Manner::Busy => StatusCode::TOO_MANY_REQUESTS,
        Manner::Closes => return Err(Closed),
        Manner::Hangs => match std::future::pending::<Infallible>().await {},
    };
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    if manner == Manner::Busy {
        answer.headers_mut().insert(RETRY_AFTER, 20.into());
    }
    Ok(answer)
}

/// Meta's handshake.
fn handshake(query: &str) -> String {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    assert!(pairs.any(|(name, value)| name == "hub.verify_token" && value == VERIFY_TOKEN));
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(name, _)| name == "hub.challenge").map(|(_, value)| value.into_owned()).collect()
}

impl Shared {
    fn choose(&self) -> Manner {
        let told = *self.manner.lock().unwrap();
        let mut random = self.random.lock().unwrap();
        let Weakness { fails, closes, hangs } = self.weakness;
        match random.below(100) {
            _ if told != Manner::Well => told,
            chance if chance < fails => Manner::Fails,
            chance if chance < fails + closes => Manner::Closes,
            chance if chance < fails + closes + hangs => Manner::Hangs,
            _ => Manner::Well,
        }
    }

    fn note(&self, headers: &hyper::HeaderMap, body: &Bytes, accepted: bool) {
        let genuine = self.is_genuine(headers, body);
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut book = self.book.lock().unwrap();
        book.forged += usize::from(!genuine);
        let id = header(headers, "webhook-id").and_then(|id| id.parse().ok());
        match Event::of_wamid(wamid(&json).unwrap_or_default()) {
            Some(event) => book.arrivals.push(Arrival { event, id, at: Instant::now(), accepted }),
            None if json["type"].as_str().is_some_and(is_own) => book.own += 1,
            None => book.strange.push(json["type"].to_string()),
        }
    }

    /// Standard Webhooks by its own library, whose check of the time would not know the fast clock.
    fn is_genuine(&self, headers: &hyper::HeaderMap, body: &Bytes) -> bool {
        let secret = self.secret.lock().unwrap();
        if self.meta_format {
            return header(headers, "x-hub-signature-256") == Some(&webhook::signature(&secret, body));
        }
        let (id, at) = (header(headers, "webhook-id"), header(headers, "webhook-timestamp"));
        let (Some(id), Some(at)) = (id, at.and_then(|at| at.parse().ok())) else { return false };
        let signed = Webhook::new(&secret).unwrap().sign(id, at, body).unwrap();
        header(headers, "webhook-signature").is_some_and(|all| all.split(' ').any(|one| one == signed))
    }
}

fn header<'h>(headers: &'h hyper::HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Meta's id of the item, in either format.
fn wamid(json: &Value) -> Option<&str> {
    let value = json.pointer("/entry/0/changes/0/value");
    let item = match value {
        Some(value) => value.pointer("/messages/0").or_else(|| value.pointer("/statuses/0")),
        None => json.pointer("/data/item"),
    };
    item?["id"].as_str()
}
