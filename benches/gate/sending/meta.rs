//! Meta as far as sending needs it: answers every message after a while, and notes when which number got one.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::http1::Connection;

/// Shared with the connections.
#[derive(Debug)]
struct Notes {
    numbers: Vec<String>,
    delay: AtomicU64,
    count: AtomicU64,
    arrivals: Vec<Mutex<Vec<Instant>>>,
}

/// A running Meta. It stops when dropped.
pub(crate) struct Meta {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    notes: Arc<Notes>,
    stop: CancellationToken,
}

impl Meta {
    /// Listens on a free port, for these numbers.
    pub(crate) async fn start(numbers: Vec<String>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let arrivals = numbers.iter().map(|_| Mutex::default()).collect();
        let notes = Arc::new(Notes { numbers, delay: AtomicU64::new(0), count: AtomicU64::new(0), arrivals });
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, tasks.clone(), notes.clone(), stop.clone()));
        Ok(Self { address, notes, stop })
    }

    /// How long an answer takes from now on.
    pub(crate) fn answer_after(&self, delay: Duration) {
        self.notes.delay.store(delay.as_millis() as u64, Ordering::Relaxed);
    }

    /// Messages so far.
    pub(crate) fn count(&self) -> u64 {
        self.notes.count.load(Ordering::Relaxed)
    }

    /// When each number got its messages; they are forgotten.
    pub(crate) fn arrivals(&self) -> Vec<Vec<Instant>> {
        let take = |one: &Mutex<Vec<Instant>>| std::mem::take(&mut *one.lock().unwrap_or_else(PoisonError::into_inner));
        self.notes.arrivals.iter().map(take).collect()
    }
}

impl Drop for Meta {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, tasks: TaskTracker, notes: Arc<Notes>, stop: CancellationToken) {
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (notes, stop) = (notes.clone(), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(answer(stream, &notes)).await });
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn answer(stream: TcpStream, notes: &Notes) -> anyhow::Result<()> {
    let mut connection = Connection::new(stream)?;
    while let Some(request) = connection.receive().await? {
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let target = std::str::from_utf8(line)?.split(' ').nth(1).unwrap_or_default();
        // The query is the proof that goes with a token.
        let path = target.split('?').next().unwrap_or_default();
        let number = path.split('/').nth(2).and_then(|id| notes.numbers.iter().position(|one| one == id));
        let body = match number.and_then(|at| notes.arrivals.get(at)) {
            Some(arrivals) if path.ends_with("/messages") => {
                arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                let count = notes.count.fetch_add(1, Ordering::Relaxed);
                let delay = notes.delay.load(Ordering::Relaxed);
                if delay > 0 {
                    sleep(Duration::from_millis(delay)).await;
                }
                format!(
                    r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"4915199900011","wa_id":"4915199900011"}}],"messages":[{{"id":"wamid.bench{count:028}"}}]}}"#
                )
            }
            _ => r#"{"id":"1"}"#.to_owned(),
        };
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        connection.send((head + &body).as_bytes()).await?;
    }
    Ok(())
}
