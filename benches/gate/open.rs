//! Open loop: webhooks come when they come, as from Meta, whether or not the last one is answered. A latency counts from the
//! instant a webhook was due, so that a gateway that falls behind cannot hide it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;
use waxseal::clock::{Clock, SystemClock};

use super::http1::Connection;
use super::load::{Meta, People, Tally, Target, Timing, Usage, Window, watch};
use super::webhook::{Kind, Webhook};

/// The form of an open loop: one message to three statuses, each in a POST of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Updates a second, evenly spaced.
    pub(crate) rate: u32,
    /// They take turns.
    pub(crate) connections: usize,
}

/// Of every four updates.
const TURNS: [Kind; 4] = [Kind::Message, Kind::Sent, Kind::Delivered, Kind::Read];

/// An update that is due.
#[derive(Debug, Clone, Copy)]
struct Due {
    number: u64,
    at: Instant,
}

/// Runs the schedule against `target`.
pub(crate) async fn run(
    target: Target,
    meta: &Arc<Meta>,
    schedule: Schedule,
    window: Window,
) -> anyhow::Result<(Tally, Option<Usage>)> {
    let mut tasks = JoinSet::new();
    let mut turns = Vec::with_capacity(schedule.connections);
    let mut ends = Vec::with_capacity(schedule.connections);
    for _ in 0..schedule.connections {
        let (turn, due) = unbounded_channel();
        turns.push(turn);
        ends.push((Connection::open(target.address).await?, due));
    }
    let timing = window.begin();
    let total = u64::from(schedule.rate) * (window.warm_up + window.measured).as_millis() as u64 / 1000;
    // Every fourth number is a message, the three behind it are statuses of another one.
    let first = meta.numbers(total.next_multiple_of(4));
    for (connection, due) in ends {
        tasks.spawn(drive(connection, due, meta.clone(), timing, first));
    }
    tasks.spawn_blocking(move || Ok(keep_time(&turns, Instant::now(), schedule.rate, total)));
    let usage = watch(target.watched, timing).await;
    let mut tally = Tally::default();
    while let Some(one) = tasks.join_next().await {
        tally.add(&one??);
    }
    Ok((tally, usage))
}

/// A thread of its own: the runtime's timers know milliseconds only.
fn keep_time(turns: &[UnboundedSender<Due>], start: Instant, rate: u32, total: u64) -> Tally {
    for (number, turn) in (0..total).zip(turns.iter().cycle()) {
        let at = start + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate.max(1)));
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        // A connection that failed has ended the run with its error.
        let _gone = turn.send(Due { number, at });
    }
    Tally::default()
}

async fn drive(
    mut connection: Connection,
    mut due: UnboundedReceiver<Due>,
    meta: Arc<Meta>,
    timing: Timing,
    first: u64,
) -> anyhow::Result<Tally> {
    let mut webhooks = Vec::with_capacity(TURNS.len());
    for kind in TURNS {
        webhooks.push(Webhook::new(meta.business, kind, 1, meta.run)?);
    }
    let mut tally = Tally::default();
    while let Some(Due { number, at }) = due.recv().await {
        let turn = number % TURNS.len() as u64;
        let Some(webhook) = webhooks.get_mut(turn as usize) else { continue };
        let message = first + number - turn.saturating_sub(1);
        let now = SystemClock.now().unix_timestamp();
        let status = connection.exchange(webhook.renewed(|_| People::Known.facts(message, now))).await?;
        tally.count(status, 1, at.elapsed(), at >= timing.from && at <= timing.until);
    }
    Ok(tally)
}
