//! The lane of an endpoint: reads what is due, posts, records. Reading, posting and recording overlap; what finishes while a
//! record is being written goes into the next one, so that a busy lane commits in groups.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Deliverer;
use super::prepare::{Prepared, Ready};
use crate::domain::endpoint::{Endpoint, State};
use crate::domain::retry;
use crate::egress::attempt::Attempt;
use crate::ids::{EndpointId, EventId};
use crate::store::deliveries::{AttemptRow, Round};
use crate::store::lanes::OwnedLane;
use crate::telemetry;

/// Deliveries read ahead.
const READ_AHEAD: i64 = 256;
/// The lane looks by itself this often: bells are hints.
const POLL: time::Duration = time::Duration::seconds(1);
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(250);

type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How one delivery went.
enum Outcome {
    Attempted(Attempt),
    Skipped,
    Dead(&'static str),
}

struct Finished {
    event: EventId,
    attempts: i16,
    outcome: Outcome,
}

/// Somebody else owns the lane, or its endpoint is no more.
struct LaneLost;

/// Works on a lane until `stop` is cancelled or the lane is lost.
pub async fn run(deliverer: Deliverer, lane: OwnedLane, stop: CancellationToken) {
    let bell = deliverer.bells.of(lane.owner);
    let id = EndpointId::from_uuid(lane.owner);
    while !stop.is_cancelled() {
        // Before the look, so that what falls due during it is not put off.
        let wake = deliverer.clock.now() + POLL;
        let Some(endpoint) = deliverer.directory.snapshot().endpoint(lane.tenant, id).cloned() else { return };
        if endpoint.state == State::Active && deliverer.drain(lane, &endpoint, &bell, &stop).await.is_err() {
            return;
        }
        tokio::select! {
            () = bell.notified() => {}
            () = deliverer.clock.wait_until(wake) => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Deliverer {
    /// Delivers until nothing is due.
    async fn drain(
        &self,
        lane: OwnedLane,
        endpoint: &Arc<Endpoint>,
        bell: &Notify,
        stop: &CancellationToken,
    ) -> Result<(), LaneLost> {
        let mut waiting: VecDeque<Prepared> = VecDeque::new();
        let mut flying = FuturesUnordered::new();
        let mut in_hand: HashSet<Uuid> = HashSet::new();
        let mut round = Round::default();
        let mut recording: Option<Later<'_, (Round, bool)>> = None;
        let mut exhausted = false;
        let mut look = self.clock.now() + POLL;
        loop {
            let stopping = stop.is_cancelled() || self.is_stale(endpoint);
            if stopping {
                waiting.clear();
            } else if waiting.is_empty() && !exhausted {
                let read = self.read(lane, endpoint, &in_hand).await;
                exhausted = read.len() < READ_AHEAD as usize;
                in_hand.extend(read.iter().map(|one| one.event.uuid()));
                waiting.extend(read);
            }
            while flying.len() < self.limits.max_in_flight.max(1)
                && let Some(next) = waiting.pop_front()
            {
                flying.push(self.deliver(endpoint.clone(), next));
            }
            if recording.is_none() && !round.is_empty() {
                recording = Some(Box::pin(self.record(lane, std::mem::take(&mut round))));
            }
            if flying.is_empty() && waiting.is_empty() && recording.is_none() && round.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(finished) = flying.next() => self.note(lane, finished, &mut round).await,
                (done, ours) = wait_for(&mut recording) => {
                    recording = None;
                    if !ours {
                        return Err(LaneLost);
                    }
                    for event in done.done.iter().chain(done.again.iter().map(|(event, _)| event)).chain(done.dead.iter().map(|(event, _)| event)) {
                        in_hand.remove(&event.uuid());
                    }
                }
                // A request that hangs must not make the lane deaf for what comes meanwhile.
                () = bell.notified() => exhausted = false,
                () = self.clock.wait_until(look) => {
                    exhausted = false;
                    look = self.clock.now() + POLL;
                }
                () = stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Whether the endpoint was changed since this drain began.
    fn is_stale(&self, endpoint: &Arc<Endpoint>) -> bool {
        let snapshot = self.directory.snapshot();
        snapshot.endpoint(endpoint.tenant, endpoint.id).is_none_or(|now| !Arc::ptr_eq(now, endpoint))
    }

    async fn read(&self, lane: OwnedLane, endpoint: &Endpoint, in_hand: &HashSet<Uuid>) -> Vec<Prepared> {
        let busy: Vec<Uuid> = in_hand.iter().copied().collect();
        let due = match self.store.due_deliveries(lane, &busy, self.clock.now(), READ_AHEAD).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(endpoint = %endpoint.id, error = %error, "what is owed could not be read");
                tokio::time::sleep(PAUSE).await;
                return Vec::new();
            }
        };
        match self.prepare(lane.tenant, endpoint, due).await {
            Ok(prepared) => prepared,
            Err(error) => {
                tracing::warn!(endpoint = %endpoint.id, error = %error, "the keys of what is owed are not available");
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    async fn deliver(&self, endpoint: Arc<Endpoint>, prepared: Prepared) -> Finished {
        let outcome = match prepared.body {
            Ready::Skip => Outcome::Skipped,
            Ready::Dead(reason) => Outcome::Dead(reason),
            Ready::Post(body) => match self.hand_over(&endpoint, prepared.event, body).await {
                None => Outcome::Dead("unreadable"),
                Some(attempt) => {
                    self.report(&endpoint, &prepared.event, prepared.attempts, prepared.stored_at, &attempt);
                    Outcome::Attempted(attempt)
                }
            },
        };
        Finished { event: prepared.event, attempts: prepared.attempts, outcome }
    }

    /// One log line and one count for each attempt.
    fn report(
        &self,
        endpoint: &Endpoint,
        event: &EventId,
        before: i16,
        stored_at: Option<OffsetDateTime>,
        attempt: &Attempt,
    ) {
        let class = attempt.class.as_str();
        metrics::counter!(telemetry::ATTEMPTS, "class" => class).increment(1);
        if attempt.class.is_final_success() {
            if let Some(stored_at) = stored_at {
                metrics::histogram!(telemetry::DELIVERY_LAG_SECONDS)
                    .record((self.clock.now() - stored_at).as_seconds_f64());
            }
            tracing::debug!(endpoint = %endpoint.id, %event, attempt = before + 1, class, "delivery.attempted");
        } else {
            let millis = attempt.elapsed.as_millis() as u64;
            tracing::info!(endpoint = %endpoint.id, %event, attempt = before + 1, class, status = attempt.http_status, millis, "delivery.attempted");
        }
    }

    async fn note(&self, lane: OwnedLane, finished: Finished, round: &mut Round) {
        let Finished { event, attempts, outcome } = finished;
        let attempt = match outcome {
            Outcome::Skipped => return round.done.push(event),
            Outcome::Dead(reason) => return bury(round, event, reason),
            Outcome::Attempted(attempt) if attempt.class.is_final_success() => return round.done.push(event),
            Outcome::Attempted(attempt) => attempt,
        };
        let number = attempts.saturating_add(1);
        round.attempts.push(AttemptRow {
            event,
            number,
            class: attempt.class.as_str(),
            http_status: attempt.http_status.and_then(|status| i16::try_from(status).ok()),
            millis: i32::try_from(attempt.elapsed.as_millis()).unwrap_or(i32::MAX),
            request_bytes: i32::try_from(attempt.request_bytes).unwrap_or(i32::MAX),
            response_bytes: i32::try_from(attempt.response_bytes).unwrap_or(i32::MAX),
        });
        let now = self.clock.now();
        if attempt.class.disables_endpoint() {
            let endpoint = EndpointId::from_uuid(lane.owner);
            if self.store.disable_endpoint(lane.tenant, endpoint, now).await.is_ok() {
                tracing::warn!(%endpoint, "the endpoint answered 410 and is disabled");
                // A failure to read it back is made good by the next poll of the settings.
                let _poll = self.directory.reload().await;
            }
        }
        let seed =
            u64::from_be_bytes(std::array::from_fn(|at| event.uuid().as_bytes().get(at + 8).copied().unwrap_or(0)));
        match retry::next_delay(number.unsigned_abs(), attempt.retry_after, attempt.is_slow(), seed) {
            Some(delay) => round.again.push((event, now + delay)),
            None => bury(round, event, "exhausted"),
        }
    }

    /// Records a round, trying again while the database is away. Returns whether the lane is still ours.
    async fn record(&self, lane: OwnedLane, round: Round) -> (Round, bool) {
        loop {
            let now = self.clock.now();
            // An attempt is filed under today.
            let result = match self.store.ensure_partitions(now.date()).await {
                Ok(()) => self.store.finish_round(lane, &round, now).await,
                Err(error) => Err(error),
            };
            match result {
                Ok(ours) => return (round, ours),
                Err(error) if !error.is_retryable() => {
                    // Nothing is lost: what was delivered is delivered again, under the same id.
                    tracing::error!(endpoint = %lane.owner, error = %error, "attempts cannot be recorded");
                    return (round, false);
                }
                Err(error) => {
                    tracing::warn!(endpoint = %lane.owner, error = %error, "attempts could not be recorded yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn bury(round: &mut Round, event: EventId, reason: &'static str) {
    metrics::counter!(telemetry::DEAD, "reason" => reason).increment(1);
    round.dead.push((event, reason));
}

/// Waits for what is under way; for ever, when nothing is.
async fn wait_for<T>(under_way: &mut Option<Later<'_, T>>) -> T {
    match under_way {
        Some(later) => later.await,
        None => std::future::pending().await,
    }
}
