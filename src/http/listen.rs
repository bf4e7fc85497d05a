//! Serves requests on a listener until told to stop, then finishes what is under way. Whoever connects is a stranger until a
//! handler says otherwise, so everything that a connection can hold has a bound: time, memory, and the number of connections.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{Service, ServiceExt};

use super::peer::Peer;
use super::tls::Tls;
use super::unread::Unread;

/// What a connection may cost before anybody knows whose it is.
const BUFFER: usize = 16 * 1024;
/// Most bytes that are read of a body that was refused unread; a little above the longest that a well-meaning client sends.
const LEFT_OVER: usize = 4 * 1024 * 1024;
/// How long accepting pauses when the system has no more descriptors: until then, every attempt would fail at once.
const PAUSE: Duration = Duration::from_millis(200);

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Simultaneous connections. More wait in the backlog of the system.
    pub connections: usize,
    /// How long the head of a request may take, and how long a kept connection may wait for its next request: hyper has one
    /// timer for both. A handshake of TLS may take as long, and holds a place like a head.
    pub head: Duration,
    /// How long a client may take nothing of an answer that waits for it.
    pub unread: Duration,
    /// How long a client that was refused before its body was read may go on writing. To close at once would reset the
    /// connection, and the client might never see the answer.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(10),
            unread: Duration::from_secs(10),
            linger: Duration::from_secs(1),
        }
    }
}

/// A listener, and what connections to it begin with.
#[derive(Debug)]
pub struct Front {
    /// Where they come in.
    pub listener: TcpListener,
    /// What TLS is agreed with. `None`: plain HTTP.
    pub tls: Option<Tls>,
}

impl From<TcpListener> for Front {
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

/// Serves until `stop` is cancelled and every request under way is answered. Connections without one are closed at once.
pub async fn serve<S>(front: impl Into<Front>, service: S, limits: Limits, stop: CancellationToken)
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let Front { listener, tls } = front.into();
    let (room, tasks) = (Arc::new(Semaphore::new(limits.connections)), TaskTracker::new());
    let accept_all = async {
        // The semaphore is never closed.
        while let Ok(place) = room.clone().acquire_owned().await {
            let stream = accept(&listener).await;
            let connection = connection(stream, tls.clone(), service.clone(), limits, stop.clone());
            tasks.spawn(async move {
                connection.await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(accept_all).await;
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn accept(listener: &TcpListener) -> TcpStream {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => return stream,
            // One client went away; the next may be there already.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// What the service of a connection has seen of it. All of it runs in one task; the atomics are for the compiler.
#[derive(Default)]
struct Seen {
    request: AtomicBool,
    /// Whether the last request had a body.
    body: AtomicBool,
}

async fn connection<S>(stream: TcpStream, tls: Option<Tls>, service: S, limits: Limits, stop: CancellationToken)
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send,
{
    // Answers are small and complete: waiting to fill a packet would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    let stream = Unread::new(stream, limits.unread);
    let unread = match tls {
        None => converse(stream, peer, service, limits, &stop).await,
        Some(tls) => {
            let Some(stream) = greet(stream, &tls, limits, &stop).await else { return };
            converse(stream, peer, service, limits, &stop).await.map(|stream| stream.into_inner().0)
        }
    };
    if let Some(stream) = unread {
        stop.run_until_cancelled(timeout(limits.linger, linger(stream.into_inner()))).await;
    }
}

/// Agrees TLS. Whoever speaks something else, shows no certificate that is wanted, or dawdles, is gone without a word in the
/// log: strangers would write it.
async fn greet(stream: Unread, tls: &Tls, limits: Limits, stop: &CancellationToken) -> Option<TlsStream<Unread>> {
    let agreed = stop.run_until_cancelled(timeout(limits.head, tls.accept(stream))).await?;
    let agreed = agreed.ok().and_then(Result::ok);
    if agreed.is_none() {
        tls.count_refused();
    }
    agreed
}

/// Answers requests until there are no more. What is returned is closed for us, and the client may still be writing on it.
async fn converse<S, I>(
    stream: I,
    peer: Option<Peer>,
    service: S,
    limits: Limits,
    stop: &CancellationToken,
) -> Option<I>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let seen = &Seen::default();
    let watched = service_fn(move |request: hyper::Request<Incoming>| {
        seen.request.store(true, Ordering::Relaxed);
        seen.body.store(!request.body().is_end_stream(), Ordering::Relaxed);
        let mut request = request.map(Body::new);
        peer.and_then(|peer| request.extensions_mut().insert(peer));
        service.clone().oneshot(request)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), watched);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            if !seen.request.load(Ordering::Relaxed) {
                // hyper would wait for the rest of a head that has begun.
                return None;
            }
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    // Errors are what clients do: they go away, dawdle, or speak something else. None of it is ours to report.
    (ended.is_ok() && seen.body.load(Ordering::Relaxed)).then(|| connection.into_parts().io.into_inner())
}

/// Reads until the client has seen that the connection is closed.
async fn linger(mut stream: TcpStream) {
    let (mut scratch, mut left) = (vec![0; 8 * 1024], LEFT_OVER);
    while let Ok(read @ 1..) = stream.read(&mut scratch).await {
        left = left.saturating_sub(read);
        if left == 0 {
            return;
        }
    }
}
