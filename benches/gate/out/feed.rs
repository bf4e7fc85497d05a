//! Webhooks for the measurements of deliveries: as fast as they are taken, or so many a second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;
use waxseal::clock::{Clock, SystemClock};

use crate::http1::Connection;
use crate::load::{Meta, People};
use crate::webhook::{Kind, Webhook};

/// Items in each POST of a burst, and connections that post.
const ITEMS: u64 = 100;
const BURST_CONNECTIONS: u64 = 4;
const STEADY_CONNECTIONS: usize = 32;

/// When each message of a range of numbers was due to be posted.
#[derive(Debug)]
pub(crate) struct Sent {
    start: Instant,
    first: u64,
    nanos: Vec<AtomicU64>,
}

impl Default for Sent {
    fn default() -> Self {
        Self { start: Instant::now(), first: 0, nanos: Vec::new() }
    }
}

impl Sent {
    /// Room for so many messages, whose numbers nobody else gets.
    pub(crate) fn room_for(meta: &Meta, count: u64) -> Self {
        let nanos = (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { start: Instant::now(), first: meta.numbers(count), nanos }
    }

    fn note(&self, number: u64, at: Instant) {
        if let Some(slot) = self.nanos.get((number - self.first) as usize) {
            slot.store((at - self.start).as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// How long ago a message was due. `None`: it is none of these.
    pub(crate) fn age(&self, number: u64) -> Option<Duration> {
        let slot = self.nanos.get(usize::try_from(number.checked_sub(self.first)?).ok()?)?;
        self.start.elapsed().checked_sub(Duration::from_nanos(slot.load(Ordering::Relaxed)))
    }
}

/// Posts `events` messages as fast as they are taken, 100 in each POST.
pub(crate) async fn burst(gateway: SocketAddr, meta: &Arc<Meta>, events: u64) -> anyhow::Result<()> {
    let left = Arc::new(AtomicU64::new(events));
    let mut tasks = JoinSet::new();
    for _ in 0..BURST_CONNECTIONS {
        let (left, meta, mut connection) = (left.clone(), meta.clone(), Connection::open(gateway).await?);
        let mut whole = Webhook::new(meta.business, Kind::Message, ITEMS as usize, meta.run)?;
        tasks.spawn(async move {
            while let Ok(before) = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                (left > 0).then(|| left.saturating_sub(ITEMS))
            }) {
                let items = before.min(ITEMS);
                let (first, now) = (meta.numbers(items), SystemClock.now().unix_timestamp());
                let facts = |item: usize| People::Known.facts(first + item as u64, now);
                let status = if items == ITEMS {
                    connection.exchange(whole.renewed(facts)).await?
                } else {
                    let mut rest = Webhook::new(meta.business, Kind::Message, items as usize, meta.run)?;
                    connection.exchange(rest.renewed(facts)).await?
                };
                ensure!(status == 200, "the gateway answered {status} to a webhook");
            }
            Ok(())
        });
    }
    while let Some(one) = tasks.join_next().await {
        one??;
    }
    Ok(())
}

/// Posts every message of `sent`, evenly spaced, one in each POST.
pub(crate) async fn steady(gateway: SocketAddr, meta: &Arc<Meta>, sent: &Arc<Sent>, rate: u32) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut turns = Vec::with_capacity(STEADY_CONNECTIONS);
    for _ in 0..STEADY_CONNECTIONS {
        let (turn, due) = unbounded_channel();
        turns.push(turn);
        tasks.spawn(drive(Connection::open(gateway).await?, due, meta.clone()));
    }
    let sent = sent.clone();
    // A thread of its own: the runtime's timers know milliseconds only.
    tasks.spawn_blocking(move || {
        let start = Instant::now();
        for (at, turn) in (0..sent.nanos.len() as u64).zip(turns.iter().cycle()) {
            let due = start + Duration::from_nanos(at * 1_000_000_000 / u64::from(rate.max(1)));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            sent.note(sent.first + at, due);
            // A connection that failed has ended the run with its error.
            let _gone = turn.send(sent.first + at);
        }
        Ok(())
    });
    while let Some(one) = tasks.join_next().await {
        one??;
    }
    Ok(())
}

/// Posts so many messages a second until it is dropped.
pub(crate) async fn trickle(gateway: SocketAddr, meta: Arc<Meta>, rate: u32) -> anyhow::Result<()> {
    let mut connection = Connection::open(gateway).await?;
    let mut webhook = Webhook::new(meta.business, Kind::Message, 1, meta.run)?;
    let mut due = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    loop {
        due.tick().await;
        post(&mut connection, &mut webhook, meta.numbers(1)).await?;
    }
}

async fn drive(mut connection: Connection, mut due: UnboundedReceiver<u64>, meta: Arc<Meta>) -> anyhow::Result<()> {
    let mut webhook = Webhook::new(meta.business, Kind::Message, 1, meta.run)?;
    while let Some(number) = due.recv().await {
        post(&mut connection, &mut webhook, number).await?;
    }
    Ok(())
}

async fn post(connection: &mut Connection, webhook: &mut Webhook, number: u64) -> anyhow::Result<()> {
    let now = SystemClock.now().unix_timestamp();
    let status = connection.exchange(webhook.renewed(|_| People::Known.facts(number, now))).await?;
    ensure!(status == 200, "the gateway answered {status} to a webhook");
    Ok(())
}
