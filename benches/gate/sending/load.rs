//! Applications that hand over messages: one in a request, by many connections, or a thousand in a request.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::histogram::Histogram;
use crate::http1::Connection;

/// People who are written to. Each is of one channel.
const PEOPLE: u64 = 10_000;
const CONNECTIONS: usize = 48;
const BATCH: u64 = 1000;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where messages are handed over.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) channels: Vec<String>,
}

impl Load {
    fn message(&self, number: u64) -> String {
        let person = number % PEOPLE;
        let channel = usize::try_from(person).ok().and_then(|person| self.channels.get(person % self.channels.len()));
        format!(
            r#"{{"channel_id":"{}","message":{{"messaging_product":"whatsapp","to":"49151{person:08}","type":"text","text":{{"body":"Ihre Bestellung {number} ist unterwegs."}}}}}}"#,
            channel.map_or("", String::as_str)
        )
    }

    fn request(&self, path: &str, body: &str) -> Vec<u8> {
        format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        )
        .into_bytes()
    }

    /// One message to everybody, so that the gateway knows them.
    pub(crate) async fn introduce(&self) -> anyhow::Result<()> {
        self.queue(PEOPLE).await
    }

    /// Hands over so many messages, a thousand in a request.
    pub(crate) async fn queue(&self, messages: u64) -> anyhow::Result<()> {
        let mut connection = Connection::open(self.address).await?;
        let mut left = messages;
        while left > 0 {
            let count = left.min(BATCH);
            let first = NEXT.fetch_add(count, Ordering::Relaxed);
            let all: Vec<String> = (first..first + count).map(|number| self.message(number)).collect();
            let body = format!(r#"{{"messages":[{}]}}"#, all.join(","));
            let status = connection.exchange(&self.request("/v1/messages/batch", &body)).await?;
            ensure!((200..300).contains(&status), "the gateway answered {status} to a batch");
            left -= count;
        }
        Ok(())
    }

    /// Hands over messages, each in a request, as fast as they are taken. How many within `measured`, and how long each took.
    pub(crate) async fn post_for(&self, warm_up: Duration, measured: Duration) -> anyhow::Result<(u64, Histogram)> {
        let from = Instant::now() + warm_up;
        let until = from + measured;
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (load, mut connection) = (self.clone(), Connection::open(self.address).await?);
            tasks.spawn(async move {
                let (mut count, mut latency) = (0, Histogram::default());
                while Instant::now() < until {
                    let body = load.message(NEXT.fetch_add(1, Ordering::Relaxed));
                    let request = load.request("/v1/messages", &body);
                    let sent = Instant::now();
                    let status = connection.exchange(&request).await?;
                    ensure!(status == 202, "the gateway answered {status} to a message");
                    if sent >= from {
                        count += 1;
                        latency.record(sent.elapsed());
                    }
                }
                Ok((count, latency))
            });
        }
        let (mut total, mut latency) = (0, Histogram::default());
        while let Some(one) = tasks.join_next().await {
            let (count, one) = one??;
            total += count;
            latency.add(&one);
        }
        Ok((total, latency))
    }

    /// Hands over `rate` messages a second, each in a request, whether the one before was taken or not. How long each took from the
    /// instant when it was due.
    pub(crate) async fn post_at(&self, rate: u32, measured: Duration) -> anyhow::Result<Histogram> {
        let start = Instant::now() + Duration::from_millis(100);
        let due = move |number: u32| start + Duration::from_secs(1) / rate * number;
        let mut tasks = JoinSet::new();
        for first in (0..rate).take(CONNECTIONS) {
            let (load, mut connection) = (self.clone(), Connection::open(self.address).await?);
            tasks.spawn(async move {
                let mut latency = Histogram::default();
                for at in (first..).step_by(CONNECTIONS).map(due).take_while(|at| *at < start + measured) {
                    let body = load.message(NEXT.fetch_add(1, Ordering::Relaxed));
                    let request = load.request("/v1/messages", &body);
                    tokio::time::sleep_until(at).await;
                    let status = connection.exchange(&request).await?;
                    ensure!(status == 202, "the gateway answered {status} to a message");
                    latency.record(at.elapsed());
                }
                Ok::<_, anyhow::Error>(latency)
            });
        }
        let mut latency = Histogram::default();
        while let Some(one) = tasks.join_next().await {
            latency.add(&one??);
        }
        Ok(latency)
    }

    /// One request after the other.
    pub(crate) async fn sequence(&self, address: SocketAddr, path: &str, count: usize) -> anyhow::Result<Histogram> {
        let mut connection = Connection::open(address).await?;
        let mut latency = Histogram::default();
        for _ in 0..count {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let person = number % PEOPLE;
            let body = format!(
                r#"{{"messaging_product":"whatsapp","to":"49151{person:08}","type":"text","text":{{"body":"Ihre Bestellung {number} ist unterwegs."}}}}"#
            );
            let request = self.request(path, &body);
            let sent = Instant::now();
            let status = connection.exchange(&request).await?;
            ensure!(status == 200, "{status} to a message of the mirror");
            latency.record(sent.elapsed());
        }
        Ok(latency)
    }
}
