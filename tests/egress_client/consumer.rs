//! Consumers over bare sockets, and a client that may reach them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use time::macros::datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use url::Url;
use waxseal::clock::ManualClock;
use waxseal::egress::attempt::{Attempt, AttemptClass};
use waxseal::egress::client::{EgressClient, Settings};
use waxseal::egress::guard::AddressPolicy;

/// For attempts that end by themselves: never waited for, and so long that a busy machine does not matter.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// For attempts that only the deadline ends.
pub(crate) const DEADLINE: Duration = Duration::from_millis(300);

/// A consumer that answers every connection by `script`.
pub(crate) struct Consumer {
    pub(crate) address: SocketAddr,
    pub(crate) tasks: TaskTracker,
}

impl Consumer {
    pub(crate) async fn spawn<F>(script: impl Fn(TcpStream, String) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = TaskTracker::new();
        let of_connections = tasks.clone();
        tasks.spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let request = read_request(&mut socket).await;
                of_connections.spawn(script(socket, request));
            }
        });
        Self { address, tasks }
    }

    /// Answers with these bytes, then waits for the client to hang up.
    pub(crate) async fn saying(answer: impl Into<String>) -> Self {
        let answer: Arc<str> = answer.into().into();
        Self::spawn(move |mut socket, _| {
            let answer = Arc::clone(&answer);
            async move {
                let _ = socket.write_all(answer.as_bytes()).await;
                hang_on(socket).await;
            }
        })
        .await
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://{}/hook", self.address).parse().unwrap()
    }
}

/// The request up to the end of its body, which all tests keep small.
pub(crate) async fn read_request(socket: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = socket.read(&mut buffer).await.unwrap_or(0);
        seen.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let whole = text.starts_with("GET") && text.ends_with("\r\n\r\n") || text.ends_with("{\"body\":1}");
        // A TLS client speaks first and in no words; whatever it sends is answered.
        if count == 0 || whole || seen.first() == Some(&0x16) {
            return text;
        }
    }
}

/// Returns when the other side has closed the connection.
pub(crate) async fn hang_on(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    while socket.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

pub(crate) fn client(policy: AddressPolicy) -> EgressClient {
    client_with(policy, Settings::new(PATIENCE))
}

pub(crate) fn client_with(policy: AddressPolicy, settings: Settings) -> EgressClient {
    EgressClient::new(policy, Arc::new(clock()), settings).unwrap()
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(datetime!(2026-11-22 12:00 UTC))
}

pub(crate) fn dev_policy() -> AddressPolicy {
    AddressPolicy { allow_loopback: true, ..AddressPolicy::default() }
}

pub(crate) fn dev_client() -> EgressClient {
    client(dev_policy())
}

pub(crate) async fn post(client: &EgressClient, url: &Url, deadline: Duration) -> Attempt {
    let headers = HeaderMap::from_iter([("webhook-id".parse().unwrap(), "id-1".parse().unwrap())]);
    client.post(url, headers, Bytes::from_static(b"{\"body\":1}"), deadline).await
}

pub(crate) async fn post_to(consumer: &Consumer) -> (AttemptClass, Option<u16>) {
    let attempt = post(&dev_client(), &consumer.url(), PATIENCE).await;
    assert!(attempt.elapsed < PATIENCE, "ended by itself");
    (attempt.class, attempt.http_status)
}

pub(crate) async fn post_until_the_deadline(consumer: &Consumer) -> (AttemptClass, Option<u16>) {
    let attempt = post(&dev_client(), &consumer.url(), DEADLINE).await;
    assert!((DEADLINE..PATIENCE).contains(&attempt.elapsed), "ended by the deadline");
    (attempt.class, attempt.http_status)
}

pub(crate) fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{headers}\r\n")
}
