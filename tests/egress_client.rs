//! The client for endpoints against real sockets: what a well-meaning, a broken and a hostile consumer may do to it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what surrounds a test may panic like the test")]

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
use waxseal::egress::client::EgressClient;
use waxseal::egress::guard::{AddressPolicy, Refused};
use waxseal::secret::VerifyToken;

/// For attempts that end by themselves: never waited for, and so long that a busy machine does not matter.
const PATIENCE: Duration = Duration::from_secs(30);
/// For attempts that only the deadline ends.
const DEADLINE: Duration = Duration::from_millis(300);

/// A consumer that answers every connection by `script`.
struct Consumer {
    address: SocketAddr,
    tasks: TaskTracker,
}

impl Consumer {
    async fn spawn<F>(script: impl Fn(TcpStream, String) -> F + Send + Sync + 'static) -> Self
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
    async fn saying(answer: impl Into<String>) -> Self {
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

    fn url(&self) -> Url {
        format!("http://{}/hook", self.address).parse().unwrap()
    }
}

/// The request up to the end of its body, which all tests keep small.
async fn read_request(socket: &mut TcpStream) -> String {
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
async fn hang_on(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    while socket.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
}

fn client(policy: AddressPolicy) -> EgressClient {
    let clock = Arc::new(ManualClock::new(datetime!(2026-11-22 12:00 UTC)));
    EgressClient::new(policy, clock, PATIENCE).unwrap()
}

fn dev_client() -> EgressClient {
    client(AddressPolicy { allow_loopback: true, ..AddressPolicy::default() })
}

async fn post(client: &EgressClient, url: &Url, deadline: Duration) -> Attempt {
    let headers = HeaderMap::from_iter([("webhook-id".parse().unwrap(), "id-1".parse().unwrap())]);
    client.post(url, headers, Bytes::from_static(b"{\"body\":1}"), deadline).await
}

async fn post_to(consumer: &Consumer) -> (AttemptClass, Option<u16>) {
    let attempt = post(&dev_client(), &consumer.url(), PATIENCE).await;
    assert!(attempt.elapsed < PATIENCE, "ended by itself");
    (attempt.class, attempt.http_status)
}

async fn post_until_the_deadline(consumer: &Consumer) -> (AttemptClass, Option<u16>) {
    let attempt = post(&dev_client(), &consumer.url(), DEADLINE).await;
    assert!((DEADLINE..PATIENCE).contains(&attempt.elapsed), "ended by the deadline");
    (attempt.class, attempt.http_status)
}

fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{headers}\r\n")
}

#[tokio::test]
async fn the_request_arrives_as_it_was_handed_over_and_2xx_is_success() {
    let consumer = Consumer::spawn(|mut socket, request| async move {
        let as_sent = request.starts_with("POST /hook HTTP/1.1\r\nwebhook-id: id-1\r\n")
            && request.contains("user-agent: Waxseal/");
        let _ = socket.write_all(answer(if as_sent { "200 OK" } else { "400 Bad" }, "").as_bytes()).await;
        hang_on(socket).await;
    })
    .await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::Success, Some(200)));
    let consumer = Consumer::saying("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::Success, Some(204)));
}

#[tokio::test]
async fn one_client_serves_many_attempts() {
    let (client, consumer) = (dev_client(), Consumer::saying(answer("200 OK", "connection: close\r\n")).await);
    for _ in 0..20 {
        assert_eq!(post(&client, &consumer.url(), PATIENCE).await.class, AttemptClass::Success);
    }
}

#[tokio::test]
async fn every_error_status_has_its_class() {
    for (status, class) in [
        (400, AttemptClass::ClientError),
        (404, AttemptClass::ClientError),
        (410, AttemptClass::Gone),
        (500, AttemptClass::ServerError),
        (503, AttemptClass::ServerError),
    ] {
        let consumer = Consumer::saying(answer(&format!("{status} Status"), "")).await;
        assert_eq!(post_to(&consumer).await, (class, Some(status)));
    }
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = Consumer::saying(answer("200 OK", "")).await;
    let visited = elsewhere.tasks.clone();
    for location in ["http://169.254.169.254/latest/meta-data/".to_owned(), elsewhere.url().to_string()] {
        for status in [301, 302, 303, 307, 308] {
            let consumer =
                Consumer::saying(answer(&format!("{status} Moved"), &format!("location: {location}\r\n"))).await;
            assert_eq!(post_to(&consumer).await, (AttemptClass::Redirect, Some(status)));
        }
    }
    assert_eq!(visited.len(), 1, "nothing but the task that listens");
}

#[tokio::test]
async fn a_throttled_attempt_carries_the_wait_in_both_forms() {
    for text in ["120", "Sun, 22 Nov 2026 12:02:00 GMT"] {
        let consumer = Consumer::saying(answer("429 Slow down", &format!("retry-after: {text}\r\n"))).await;
        let attempt = post(&dev_client(), &consumer.url(), PATIENCE).await;
        assert_eq!((attempt.class, attempt.retry_after), (AttemptClass::Throttled, Some(Duration::from_mins(2))));
        assert!(attempt.is_slow());
    }
}

#[tokio::test]
async fn no_answer_and_half_of_the_headers_end_with_the_deadline() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-le"] {
        let consumer = Consumer::saying(head).await;
        assert_eq!(post_until_the_deadline(&consumer).await, (AttemptClass::Timeout, None));
    }
}

#[tokio::test]
async fn a_body_that_drags_on_does_not_change_the_status_nor_outlast_the_deadline() {
    for body in ["content-length: 10\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let consumer = Consumer::saying(format!("HTTP/1.1 200 OK\r\n{body}")).await;
        assert_eq!(post_until_the_deadline(&consumer).await, (AttemptClass::Success, Some(200)));
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cap() {
    let consumer = Consumer::spawn(|mut socket, _| async move {
        let _ = socket.write_all(b"HTTP/1.1 500 Oh\r\n\r\n").await;
        while socket.write_all(&[b'x'; 16 * 1024]).await.is_ok() {}
    })
    .await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::ServerError, Some(500)));
}

#[tokio::test]
async fn endless_headers_are_no_answer() {
    let consumer = Consumer::saying(answer("200 OK", &"x-more: and more\r\n".repeat(1_000))).await;
    assert_eq!(post_to(&consumer).await, (AttemptClass::Protocol, None));
}

#[tokio::test]
async fn a_connection_that_is_reset_closed_or_not_http_is_no_answer() {
    let reset = Consumer::spawn(|socket, _| async move { drop(socket.set_zero_linger()) }).await;
    let half_closed = Consumer::spawn(|mut socket, _| async move {
        let _ = socket.shutdown().await;
        hang_on(socket).await;
    })
    .await;
    let other = Consumer::saying("SSH-2.0-OpenSSH_9.6\r\n").await;
    for consumer in [reset, half_closed, other] {
        assert_eq!(post_to(&consumer).await, (AttemptClass::Protocol, None));
    }
}

#[tokio::test]
async fn nobody_listening_and_a_name_without_address_are_failures_to_connect() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}/").parse().unwrap();
    assert_eq!(post(&dev_client(), &url, PATIENCE).await.class, AttemptClass::Connect);
    let client = client(AddressPolicy { allowed_hosts: vec!["nobody.invalid".into()], ..AddressPolicy::default() });
    let url: Url = "http://nobody.invalid/".parse().unwrap();
    assert_eq!(client.vet(&url).await, Err(Refused::Unresolved));
    assert_eq!(client.post(&url, HeaderMap::new(), Bytes::new(), PATIENCE).await.class, AttemptClass::Connect);
}

#[tokio::test]
async fn plain_text_and_silence_in_place_of_tls_are_tls_failures() {
    let plain = Consumer::saying("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let silent = Consumer::spawn(|socket, _| async move { drop(socket) }).await;
    for consumer in [plain, silent] {
        let url = format!("https://{}/", consumer.address).parse().unwrap();
        assert_eq!(post(&dev_client(), &url, PATIENCE).await.class, AttemptClass::Tls);
    }
}

#[tokio::test]
async fn this_machine_is_refused_as_address_and_as_name_before_anything_is_sent() {
    let consumer = Consumer::saying(answer("200 OK", "")).await;
    let port = consumer.address.port();
    let strict = client(AddressPolicy { allowed_hosts: vec!["localhost".into()], ..AddressPolicy::default() });
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "[::1]"] {
        let url = format!("http://{host}:{port}/hook").parse().unwrap();
        assert_eq!(post(&strict, &url, PATIENCE).await.class, AttemptClass::Refused, "{host}");
        assert!(matches!(strict.vet(&url).await, Err(Refused::Address(_))), "{host}");
    }
    assert_eq!(consumer.tasks.len(), 1, "nobody connected");
    let url = format!("http://localhost:{port}/hook").parse().unwrap();
    assert_eq!(post(&dev_client(), &url, PATIENCE).await.class, AttemptClass::Success);
}

#[tokio::test]
async fn the_handshake_passes_when_the_challenge_comes_back_and_nothing_else() {
    let echo = |status: &'static str, around: &'static str| {
        Consumer::spawn(move |mut socket, request| async move {
            let expected = "GET /hook?key=1&hub.mode=subscribe&hub.challenge=";
            let (challenge, rest) = request.strip_prefix(expected).and_then(|rest| rest.split_once('&')).unwrap();
            assert!(rest.starts_with("hub.verify_token=to+ken HTTP/1.1\r\n"));
            let body = format!("{around}{challenge}");
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = socket.write_all(answer.as_bytes()).await;
            hang_on(socket).await;
        })
    };
    for (status, around, passes) in [("200 OK", "", true), ("201 Created", "", false), ("200 OK", " ", false)] {
        let consumer = echo(status, around).await;
        let url = format!("{}?key=1", consumer.url()).parse().unwrap();
        let challenge = dev_client().get_challenge(&url, &VerifyToken::new("to ken"), PATIENCE).await;
        assert_eq!(challenge.passed, passes, "{status}");
    }
}
