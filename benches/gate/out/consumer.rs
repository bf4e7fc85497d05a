//! Apps that receive events: one that answers 200 and notes when what arrived, and one that never answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::feed::Sent;
use crate::histogram::Histogram;
use crate::http1::Connection;
use crate::webhook::message_number;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What an app does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers 200.
    Answers,
    /// Reads it and says nothing.
    Hangs,
}

#[derive(Debug)]
struct Notes {
    arrived: u64,
    latencies: Histogram,
    last: Instant,
    longest_silence: Duration,
}

/// A running app. It stops when dropped.
pub(crate) struct Consumer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    stop: CancellationToken,
}

impl Consumer {
    /// Listens on a free port of this machine.
    pub(crate) async fn start(manner: Manner, sent: Arc<Sent>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let last = Instant::now();
        let notes = Notes { arrived: 0, latencies: Histogram::default(), last, longest_silence: Duration::ZERO };
        let notes = Arc::new(Mutex::new(notes));
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, tasks.clone(), (manner, notes.clone(), sent), stop.clone()));
        Ok(Self { address, notes, stop })
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many requests were answered.
    pub(crate) fn arrived(&self) -> u64 {
        self.notes().arrived
    }

    /// Of the messages whose time of posting is known.
    pub(crate) fn latencies(&self) -> Histogram {
        self.notes().latencies.clone()
    }

    /// Begins to look for the longest silence anew.
    pub(crate) fn forget_silence(&self) {
        let mut notes = self.notes();
        (notes.last, notes.longest_silence) = (Instant::now(), Duration::ZERO);
    }

    /// The longest time without a request, the one that lasts included.
    pub(crate) fn longest_silence(&self) -> Duration {
        let notes = self.notes();
        notes.longest_silence.max(notes.last.elapsed())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Part = (Manner, Arc<Mutex<Notes>>, Arc<Sent>);

async fn accept(listener: TcpListener, tasks: TaskTracker, part: Part, stop: CancellationToken) {
    let accepting = async {
        while let Ok((stream, _)) = listener.accept().await {
            let (part, stop) = (part.clone(), stop.clone());
            tasks.spawn(async move { stop.run_until_cancelled(answer(stream, &part)).await });
        }
    };
    stop.run_until_cancelled(accepting).await;
}

async fn answer(stream: TcpStream, (manner, notes, sent): &Part) -> anyhow::Result<()> {
    let mut connection = Connection::new(stream)?;
    while let Some(request) = connection.receive().await? {
        if *manner == Manner::Hangs {
            std::future::pending::<()>().await;
        }
        let latency = message_number(request).and_then(|number| sent.age(number));
        {
            let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.arrived += 1;
            if let Some(latency) = latency {
                notes.latencies.record(latency);
            }
            notes.longest_silence = notes.longest_silence.max(notes.last.elapsed());
            notes.last = Instant::now();
        }
        connection.send(ANSWER).await?;
    }
    Ok(())
}
