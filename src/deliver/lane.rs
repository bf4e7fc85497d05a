//! The lane of an endpoint: reads what is due, posts, records. Reading, posting and recording overlap; what finishes while a
//! record is being written goes into the next one, so that a busy lane commits in groups. What is done when is decided by the
//! schedule; an idle lane asks the database nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Deliverer;
use super::fly::{Flown, Load};
use super::health::{Health, LeftBehind};
use super::read::Reading;
use super::schedule::{Read, Schedule};
use crate::directory::bells::Bell;
use crate::domain::endpoint::{Endpoint, Order, State};
use crate::ids::EndpointId;
use crate::store::StoreError;
use crate::store::deliveries::Wanted;
use crate::store::lanes::{ClaimedLane, OwnedLane};
use crate::store::rounds::Round;

/// Pause after the database failed.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
/// How long requests that are under way may take once the lane was told to stop. What is broken off then counts as no attempt.
const GRACE: Duration = Duration::from_secs(10);

/// A reading that found little is followed by the next after this, and a record likewise: on a busy machine each costs Postgres
/// more than the rows in it, at the expense of the webhooks. The first after a rest does not wait.
const BREATH: Duration = Duration::from_millis(5);
/// So much is recorded at once.
const WORTH_A_RECORD: usize = 64;

pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A lane at work.
pub(super) struct Work<'a> {
    pub(super) deliverer: &'a Deliverer,
    pub(super) lane: OwnedLane,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) schedule: Schedule<Load>,
    pub(super) health: Health,
    pub(super) left_behind: LeftBehind,
    /// What has ended and is not being recorded yet.
    pub(super) round: Round,
    /// The order that the schedule keeps; `None`: it has not been told yet.
    order: Option<Order>,
    flying: FuturesUnordered<Later<'a, Flown>>,
    reading: Option<Later<'a, Reading>>,
    recording: Option<Later<'a, (Round, bool)>>,
    asking: Option<Later<'a, Result<Option<OffsetDateTime>, StoreError>>>,
    /// Neither reading nor recording begins before these.
    read_from: Instant,
    record_from: Instant,
}

enum Happened {
    Flown(Flown),
    Read(Reading),
    Recorded(Round, bool),
    Answered(Result<Option<OffsetDateTime>, StoreError>),
    Rung(bool),
    GraceIsOver,
    Woken,
    Rested,
}

/// Works on a lane until `stop` is cancelled or the lane is lost.
pub async fn run(deliverer: Deliverer, claimed: ClaimedLane, bell: Arc<Bell>, stop: CancellationToken) {
    let mut changes = deliverer.directory.changes();
    let Some(mut work) = Work::begin(&deliverer, claimed) else { return };
    let mut stopped_at = None;
    loop {
        if !work.follow_settings().await {
            return;
        }
        let stopping = stop.is_cancelled();
        if stopping {
            // Here, and not where the select below sees it: what else was ready may have been picked instead.
            stopped_at.get_or_insert_with(Instant::now);
        }
        let instant = Instant::now();
        work.start_what_may(stopping, instant);
        if stopping && work.is_at_rest() {
            return;
        }
        let wake = work.schedule.wake(deliverer.clock.now());
        let rest = work.rests_until(deliverer.clock.now(), instant);
        let happened = tokio::select! {
            Some(flown) = work.flying.next() => Happened::Flown(flown),
            read = wait_for(&mut work.reading) => Happened::Read(read),
            (round, ours) = wait_for(&mut work.recording) => Happened::Recorded(round, ours),
            answer = wait_for(&mut work.asking) => Happened::Answered(answer),
            everything = bell.rung() => Happened::Rung(everything),
            () = wait_until(&deliverer, wake) => Happened::Woken,
            () = until(rest) => Happened::Rested,
            Ok(()) = changes.changed() => Happened::Woken,
            () = stop.cancelled(), if !stopping => Happened::Woken,
            () = until(stopped_at.map(|at| at + GRACE)) => Happened::GraceIsOver,
        };
        match happened {
            Happened::Flown(flown) => work.note(flown).await,
            Happened::Read(read) => work.take(read),
            Happened::Recorded(_, false) => return,
            Happened::Recorded(round, true) => {
                work.was_recorded(&round);
                work.tell_if_left_behind().await;
            }
            Happened::Answered(answer) => {
                work.asking = None;
                work.schedule.retries.answered(&answer);
            }
            Happened::Rung(everything) => work.schedule.look_again(everything),
            Happened::GraceIsOver => {
                work.flying.clear();
                stopped_at = None;
            }
            Happened::Woken => work.tell_if_failing().await,
            Happened::Rested => {}
        }
    }
}

impl<'a> Work<'a> {
    fn begin(deliverer: &'a Deliverer, claimed: ClaimedLane) -> Option<Self> {
        let lane = claimed.lane;
        let endpoint = find(deliverer, lane)?;
        let taken_over_at = (lane.epoch > 1).then(|| deliverer.clock.now());
        let mut work = Self {
            deliverer,
            lane,
            endpoint,
            schedule: Schedule::new(taken_over_at),
            health: Health::new(claimed.failing_since),
            left_behind: LeftBehind::default(),
            round: Round::default(),
            order: None,
            flying: FuturesUnordered::new(),
            reading: None,
            recording: None,
            asking: None,
            read_from: Instant::now(),
            record_from: Instant::now(),
        };
        work.set_pace();
        Some(work)
    }

    fn set_pace(&mut self) {
        let pace = self.endpoint.pace;
        let most = pace.max_in_flight.map_or(self.deliverer.limits.max_in_flight, |most| usize::from(most.get()));
        self.schedule.set_pace(most, pace.max_per_second);
    }

    /// Takes over changed settings. Returns false when the endpoint is no more.
    async fn follow_settings(&mut self) -> bool {
        let Some(endpoint) = find(self.deliverer, self.lane) else { return false };
        if endpoint.changed_at != self.endpoint.changed_at {
            if endpoint.state == State::Active && self.endpoint.state != State::Active {
                // Whoever sets it going again wants to see it tried.
                self.schedule.breaker = super::breaker::Breaker::default();
                self.health.breaker_closed();
            }
            self.endpoint = endpoint;
            self.set_pace();
            // It was written for the endpoint as it was.
            self.schedule.forget_waiting();
        }
        let wanted = self.endpoint.pace.order;
        if self.order == Some(wanted) || !self.is_at_rest() || self.endpoint.state != State::Active {
            return true;
        }
        if self.order.is_none() && wanted == Order::None {
            self.order = Some(wanted);
            return true;
        }
        if self.order.is_some() || self.schedule.wants_anything(self.deliverer.clock.now()) {
            Box::pin(self.load_order(wanted)).await;
        }
        true
    }

    fn in_order(&self) -> bool {
        self.order == Some(self.endpoint.pace.order)
    }

    fn start_what_may(&mut self, stopping: bool, instant: Instant) {
        let deliverer = self.deliverer;
        if stopping || self.endpoint.state != State::Active {
            self.schedule.forget_waiting();
        } else if self.in_order() {
            let now = deliverer.clock.now();
            while let Some(item) = self.schedule.next(now) {
                self.flying.push(Box::pin(deliverer.fly(self.endpoint.clone(), item)));
            }
            if self.reading.is_none()
                && self.read_from <= instant
                && let Some(want) = self.schedule.wants(now)
            {
                let wanted = Wanted {
                    fresh: want.fresh as u32,
                    retries: want.retries as u32,
                    bytes: want.bytes as u32,
                    in_hand: self.schedule.in_hand(),
                    held_back: self.schedule.held_back(),
                };
                self.reading = Some(Box::pin(deliverer.read(self.lane, self.endpoint.clone(), wanted, now)));
            }
            if self.asking.is_none()
                && let Some(after) = self.schedule.retries.asks()
            {
                self.asking = Some(Box::pin(deliverer.ask_for_next(self.lane, after)));
            }
        }
        if self.recording.is_none() && self.is_worth_recording(stopping, instant) {
            self.record_from = instant + BREATH;
            let round = std::mem::take(&mut self.round);
            self.recording = Some(Box::pin(deliverer.record(self.lane, round)));
        }
    }

    fn is_worth_recording(&self, stopping: bool, instant: Instant) -> bool {
        let is_time = || stopping || self.record_from <= instant;
        !self.round.is_empty() && (self.round.events().count() >= WORTH_A_RECORD || is_time())
    }

    /// When what is due now, and rests at `instant`, may begin.
    fn rests_until(&self, now: OffsetDateTime, instant: Instant) -> Option<Instant> {
        let read = self.reading.is_none() && self.schedule.wants_anything(now);
        let record = self.recording.is_none() && !self.round.is_empty();
        let rests = [read.then_some(self.read_from), record.then_some(self.record_from)];
        rests.into_iter().flatten().filter(|rest| *rest > instant).min()
    }

    fn is_at_rest(&self) -> bool {
        self.flying.is_empty() && self.reading.is_none() && self.recording.is_none() && self.round.is_empty()
    }

    fn take(&mut self, reading: Reading) {
        self.reading = None;
        let has_more = |read: &Read<Load>| read.more_fresh || read.more_retries;
        if !reading.read.as_ref().is_some_and(|(read, _)| has_more(read)) {
            self.read_from = Instant::now() + BREATH;
        }
        let Reading { endpoint, read } = reading;
        match read {
            Some((read, passed_over)) if endpoint.changed_at == self.endpoint.changed_at => {
                for dead_or_done in passed_over {
                    self.pass_over(dead_or_done);
                }
                self.schedule.offer(read, self.deliverer.clock.now());
            }
            _ => self.schedule.reading_failed(),
        }
    }

    fn was_recorded(&mut self, round: &Round) {
        self.recording = None;
        self.schedule.recorded(round.events(), round.again.iter().map(|again| again.at));
    }

    /// The order is promised across owners: who failed before holds up the later events of the same person.
    async fn load_order(&mut self, order: Order) {
        let held = match super::schedule::holds_below(order) {
            None => Ok(Vec::new()),
            Some(below) => self.deliverer.store.postponed_by_contact(self.lane, below).await,
        };
        match held {
            Ok(held) => {
                self.schedule.forget_waiting();
                self.schedule.set_order(order, held);
                self.order = Some(order);
            }
            Err(error) => {
                tracing::warn!(endpoint = %self.endpoint.id, error = %error, "whose turn it is could not be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn find(deliverer: &Deliverer, lane: OwnedLane) -> Option<Arc<Endpoint>> {
    deliverer.directory.snapshot().endpoint(lane.tenant, EndpointId::from_uuid(lane.owner)).cloned()
}

/// Waits for what is under way; for ever, when nothing is.
async fn wait_for<T>(under_way: &mut Option<Later<'_, T>>) -> T {
    match under_way {
        Some(later) => later.await,
        None => std::future::pending().await,
    }
}

async fn wait_until(deliverer: &Deliverer, wake: Option<OffsetDateTime>) {
    match wake {
        Some(at) => deliverer.clock.wait_until(at).await,
        None => std::future::pending().await,
    }
}

async fn until(rest: Option<Instant>) {
    match rest {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
