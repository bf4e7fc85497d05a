//! Closed loop: so many connections, each with one POST in flight, the next as soon as the last is answered. Finds the
//! highest rate; its latencies are those of a full house.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;
use waxseal::clock::{Clock, SystemClock};

use super::http1::Connection;
use super::load::{Meta, People, Tally, Target, Timing, Usage, Window, watch};
use super::webhook::{Kind, Webhook};

/// The form of a closed loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// At the same time.
    pub(crate) connections: usize,
    /// In each POST.
    pub(crate) items: usize,
    /// Who writes.
    pub(crate) people: People,
}

/// Runs text messages through `target`.
pub(crate) async fn run(
    target: Target,
    meta: &Arc<Meta>,
    shape: Shape,
    window: Window,
) -> anyhow::Result<(Tally, Option<Usage>)> {
    let mut open = Vec::with_capacity(shape.connections);
    for _ in 0..shape.connections {
        open.push(Connection::open(target.address).await?);
    }
    let timing = window.begin();
    let mut tasks = JoinSet::new();
    for connection in open {
        let webhook = Webhook::new(meta.business, Kind::Message, shape.items, meta.run)?;
        tasks.spawn(drive(connection, webhook, meta.clone(), shape, timing));
    }
    let usage = watch(target.watched, timing).await;
    let mut tally = Tally::default();
    while let Some(one) = tasks.join_next().await {
        tally.add(&one??);
    }
    Ok((tally, usage))
}

async fn drive(
    mut connection: Connection,
    mut webhook: Webhook,
    meta: Arc<Meta>,
    shape: Shape,
    timing: Timing,
) -> anyhow::Result<Tally> {
    let items = shape.items as u64;
    let mut tally = Tally::default();
    while Instant::now() < timing.until {
        let first = meta.numbers(items);
        let now = SystemClock.now().unix_timestamp();
        let request = webhook.renewed(|item| shape.people.facts(first + item as u64, now));
        let sent = Instant::now();
        let status = connection.exchange(request).await?;
        let answered = Instant::now();
        let within = answered >= timing.from && answered <= timing.until;
        tally.count(status, items, answered - sent, within);
    }
    Ok(tally)
}

/// Lets the gateway meet everybody in the pool, so that it knows them like a gateway that has been up for a while.
pub(crate) async fn introduce(target: Target, meta: &Arc<Meta>) -> anyhow::Result<()> {
    send_all(target, meta, super::load::POOL, |number| number).await
}

/// Sends so many messages, each of the person that `whose` says.
pub(crate) async fn send_all(
    target: Target,
    meta: &Arc<Meta>,
    messages: u64,
    whose: impl Fn(u64) -> u64,
) -> anyhow::Result<()> {
    const IN_A_POST: u64 = 100;
    let mut connection = Connection::open(target.address).await?;
    let mut webhook = Webhook::new(meta.business, Kind::Message, IN_A_POST as usize, meta.run)?;
    for first in (0..messages).step_by(IN_A_POST as usize) {
        let (message, now) = (meta.numbers(IN_A_POST), SystemClock.now().unix_timestamp());
        let request = webhook.renewed(|item| {
            let item = item as u64;
            super::webhook::Facts { person: whose(first + item), message: message + item, at: now }
        });
        let status = connection.exchange(request).await?;
        anyhow::ensure!(status == 200, "the gateway answered {status} to a webhook");
    }
    Ok(())
}
