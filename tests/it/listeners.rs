//! Promise: a stranger who connects gets an answer and nothing else: no memory, no endless patience, and no way to keep others
//! out or the gateway from stopping.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use waxseal::http::listen::{Limits, serve};

use crate::support::TestApp;
use crate::support::app::PHONE_NUMBER_ID;

/// Longer than anything here takes, and shorter than the ten seconds that the gateway gives a body.
const PATIENCE: Duration = Duration::from_secs(8);
const MIB: usize = 1024 * 1024;

async fn connect(to: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything until the other side closes. A reset is as good an end as any.
async fn rest(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection is closed in time");
    String::from_utf8(all).unwrap()
}

/// One answer, up to the end of its head.
async fn head(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n\r\n") {
        all.push(timeout(PATIENCE, stream.read_u8()).await.expect("the answer comes in time").unwrap());
    }
    String::from_utf8(all).unwrap()
}

struct Served {
    at: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn served(router: Router, limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, router, limits, stop.clone()));
    Served { at, stop, task }
}

#[tokio::test]
async fn a_head_that_never_ends_and_a_connection_that_says_nothing_are_cut() {
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let served = served(Router::new(), limits).await;
    let half = connect(served.at, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
    let silent = connect(served.at, "").await;
    let mut kept = connect(served.at, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(head(&mut kept).await.starts_with("HTTP/1.1 404"));
    assert!(!rest(half).await.contains("404"));
    assert_eq!(rest(silent).await + &rest(kept).await, "");
}

#[tokio::test]
async fn a_client_that_never_reads_its_answer_gives_its_place_back() {
    // More than the system takes off our hands while nobody reads.
    let router = Router::new().route("/", get(async || vec![b'a'; 64 * MIB]));
    let limits = Limits { connections: 1, unread: Duration::from_millis(200), ..Limits::default() };
    let served = served(router, limits).await;
    let deaf = connect(served.at, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut next = connect(served.at, "GET /other HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(head(&mut next).await.starts_with("HTTP/1.1 404"));
    assert!(rest(deaf).await.len() < 64 * MIB);
}

#[tokio::test]
async fn a_head_without_measure_is_refused() {
    let served = served(Router::new(), Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx-long: {}", "a".repeat(65 * 1024));
    assert!(rest(connect(served.at, &long).await).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
    assert!(rest(connect(served.at, &many).await).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_stop_closes_what_is_idle_or_half_sent_at_once_and_finishes_what_is_under_way() {
    let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let slow = {
        let (begun, go) = (begun.clone(), go.clone());
        get(async move || {
            begun.add_permits(1);
            go.notified().await;
            "finished"
        })
    };
    let served = served(Router::new().route("/slow", slow), Limits::default()).await;
    let silent = connect(served.at, "").await;
    let half = connect(served.at, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
    let mut idle = connect(served.at, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    head(&mut idle).await;
    let working = connect(served.at, "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    begun.acquire().await.unwrap().forget();
    served.stop.cancel();
    for closed in [silent, half, idle] {
        assert_eq!(rest(closed).await, "");
    }
    assert!(!served.task.is_finished());
    go.notify_one();
    let answer = rest(working).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("finished"), "{answer}");
    timeout(PATIENCE, served.task).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_served_at_once_than_there_are_places_and_the_others_get_their_turn() {
    let (now, most, two) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let count = {
        let (now, most, two) = (now.clone(), most.clone(), two.clone());
        get(async move || {
            let here = now.fetch_add(1, Ordering::SeqCst) + 1;
            // The first waits for the second, so that both places are known to be taken.
            if most.fetch_max(here, Ordering::SeqCst) == 0 {
                two.notified().await;
            } else {
                two.notify_one();
            }
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
        })
    };
    let served = served(Router::new().route("/", count), Limits { connections: 2, ..Limits::default() }).await;
    let mut clients = JoinSet::new();
    for _ in 0..30 {
        clients.spawn(async move {
            rest(connect(served.at, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await).await
        });
    }
    assert!(clients.join_all().await.iter().all(|answer| answer.starts_with("HTTP/1.1 200")));
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answer_costs_little_and_is_cut() {
    let (written, gone) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let endless = {
        let (written, gone) = (written.clone(), gone.clone());
        get(async move || {
            let guard = Gone(gone);
            Body::from_stream(futures_util::stream::repeat_with(move || {
                let _held = &guard;
                written.fetch_add(MIB, Ordering::SeqCst);
                Ok::<_, Infallible>(vec![b'x'; MIB])
            }))
        })
    };
    let limits = Limits { unread: Duration::from_millis(200), ..Limits::default() };
    let served = served(Router::new().route("/", endless), limits).await;
    let mut slow = connect(served.at, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(head(&mut slow).await.starts_with("HTTP/1.1 200"));
    timeout(PATIENCE, gone.notified()).await.expect("its answer is dropped while the client is there");
    // What the system takes before it says stop, and no more.
    let written = written.load(Ordering::SeqCst);
    assert!(written < 64 * MIB, "{} MiB were made for nobody", written / MIB);
    drop(slow);
}

/// Tells when it is dropped.
struct Gone(Arc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_before_the_body_is_read_and_may_finish_writing_it() {
    let app = TestApp::spawn().await;
    let post = |more: &str, length: usize| {
        format!("POST /webhook HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n{more}\r\n")
    };
    let proof = format!("x-hub-signature-256: sha256={}\r\n", "0a".repeat(32));
    for unproved in [String::new(), proof.repeat(2), proof.to_uppercase(), "x-hub-signature-256: sha256=\r\n".into()] {
        let answer = rest(connect(app.at.public, &post(&unproved, 1000)).await).await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("connection: close"), "{answer}");
    }
    for (more, length, status) in [("", 3 * MIB, "401"), (&*proof, 3 * MIB + 1, "413")] {
        let mut stream = connect(app.at.public, &post(more, length)).await;
        stream.write_all(&vec![b' '; length]).await.unwrap();
        let answer = rest(stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_every_listener_forbids_caching_framing_sniffing_and_scripts() {
    let app = TestApp::spawn().await;
    let (public, internal, admin) = (app.at.public, app.at.internal, app.at.admin);
    let asked = [
        (public, "GET", "/webhook", "403"),
        (public, "GET", "/", "404"),
        (public, "POST", "/webhook", "401"),
        (public, "DELETE", "/webhook", "404"),
        (internal, "GET", "/openapi.json", "200"),
        (internal, "GET", "/docs", "200"),
        (internal, "GET", "/docs/style.css", "200"),
        (internal, "GET", "/v1/events", "401"),
        (internal, "GET", "/nothing", "404"),
        (internal, "PUT", "/v1/events", "405"),
        (internal, "POST", "/graph/v25.0/1/messages", "401"),
        (internal, "GET", "/graph/v25.0/1/messages", "401"),
        (internal, "GET", "/graph/nothing", "401"),
        (admin, "GET", "/healthz", "200"),
        (admin, "GET", "/readyz", "200"),
        (admin, "GET", "/metrics", "200"),
        (admin, "GET", "/nothing", "404"),
        (admin, "POST", "/healthz", "405"),
    ];
    for (listener, method, path, status) in asked {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let answer = rest(connect(listener, &request).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
        for header in [
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            "content-security-policy: default-src 'none';",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(header), "{method} {path} lacks {header}: {answer}");
        }
        assert!(!answer.contains("server:"), "nobody is told what answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mirror_refuses_strangers_foreign_numbers_and_strange_versions_before_the_body() {
    let app = TestApp::spawn().await;
    let ask = async |key: &str, version: &str, number: &str| {
        let text = format!(
            "POST /graph/{version}/{number}/messages HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
        );
        rest(connect(app.at.internal, &text).await).await
    };
    let answer = ask("a-stranger", "v25.0", PHONE_NUMBER_ID).await;
    assert!(answer.starts_with("HTTP/1.1 401") && answer.contains(r#""code":190"#), "{answer}");
    let unknown =
        [("v25.0", "999"), ("v25", PHONE_NUMBER_ID), ("25.0", PHONE_NUMBER_ID), ("v1.0%2f..", PHONE_NUMBER_ID)];
    for (version, number) in unknown {
        let answer = ask(&app.key, version, number).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("GraphMethodException"), "{answer}");
    }
}
