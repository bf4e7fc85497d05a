//! An app that receives events: answers 200 to everything, and counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http1::Connection;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// How often it is asked whether everything has arrived.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// A running receiver. It stops when dropped.
pub(crate) struct Receiver {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    arrived: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Receiver {
    /// Listens on a free port of this machine.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let arrived = Arc::new(AtomicU64::new(0));
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, tasks.clone(), arrived.clone(), stop.clone()));
        Ok(Self { address, arrived, stop })
    }

    /// How many requests were answered.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Waits until `count` have arrived, and says how long that took; `None` after `patience`.
    pub(crate) async fn wait_for(&self, count: u64, patience: Duration) -> Option<Duration> {
        let start = Instant::now();
        while self.arrived() < count {
            if start.elapsed() > patience {
                return None;
            }
            sleep(ASK_EVERY).await;
        }
        Some(start.elapsed())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, tasks: TaskTracker, arrived: Arc<AtomicU64>, stop: CancellationToken) {
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (arrived, stop) = (arrived.clone(), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(answer(stream, &arrived)).await });
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn answer(stream: TcpStream, arrived: &AtomicU64) -> anyhow::Result<()> {
    let mut connection = Connection::new(stream)?;
    while connection.receive().await?.is_some() {
        arrived.fetch_add(1, Ordering::Relaxed);
        connection.send(ANSWER).await?;
    }
    Ok(())
}
