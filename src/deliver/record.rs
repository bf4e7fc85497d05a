//! What the attempts of a lane came to: gathered into rounds, and recorded with the lane's epoch.

use time::OffsetDateTime;

use super::Deliverer;
use super::fly::Flown;
use super::lane::{PAUSE, Work};
use super::read::PassedOver;
use super::schedule::Ended;
use crate::domain::retry;
use crate::egress::attempt::Attempt;
use crate::ids::EventId;
use crate::store::lanes::OwnedLane;
use crate::store::rounds::{Again, AttemptRow, Dead, Owed, Round};
use crate::telemetry;

/// Its content goes before it could be tried again.
const OUTLIVED: &str = "retention";

impl Work<'_> {
    /// A delivery that needs no attempt.
    pub(super) fn pass_over(&mut self, PassedOver { owed, dead }: PassedOver) {
        self.schedule.passed_over(owed.event);
        match dead {
            None => self.round.done.push(owed),
            Some(reason) => self.bury(owed, reason, None),
        }
    }

    /// An attempt has ended.
    pub(super) async fn note(&mut self, flown: Flown) {
        let (owed, now) = (flown.owed, self.deliverer.clock.now());
        let Some(attempt) = flown.attempt else {
            self.schedule.finish(owed.event, Ended::Untried, now);
            return self.bury(owed, "unreadable", None);
        };
        if attempt.class.is_final_success() {
            self.round.done.push(owed);
            self.schedule.finish(owed.event, Ended::Accepted, now);
            return self.endpoint_accepts().await;
        }
        if !attempt.class.burns_attempt() {
            return self.put_off(owed, &attempt, flown.goes_at);
        }
        let number = flown.attempts.saturating_add(1);
        self.round.attempts.push(row(owed.event, number, &attempt));
        let delay = retry::next_delay(number.unsigned_abs(), attempt.retry_after, attempt.is_slow(), seed(owed.event));
        let ended = match delay.map(|delay| retry::while_kept(now, now + delay, flown.goes_at)) {
            Some(Some(at)) => {
                self.round.again.push(Again { owed, at, attempts: 1 });
                Ended::Postponed
            }
            Some(None) => {
                self.bury(owed, OUTLIVED, Some(&attempt));
                Ended::GivenUp
            }
            None => {
                self.bury(owed, "exhausted", Some(&attempt));
                Ended::GivenUp
            }
        };
        self.schedule.finish(owed.event, ended, now);
        self.endpoint_fails(attempt.class).await;
    }
}

impl Work<'_> {
    /// What only this side can mend counts neither on the ladder nor against the endpoint.
    fn put_off(&mut self, owed: Owed, attempt: &Attempt, goes_at: Option<OffsetDateTime>) {
        let now = self.deliverer.clock.now();
        // The ladder has a first rung.
        let delay = retry::next_delay(1, attempt.retry_after, true, seed(owed.event)).unwrap_or_default();
        let ended = match retry::while_kept(now, now + delay, goes_at) {
            Some(at) => {
                self.round.again.push(Again { owed, at, attempts: 0 });
                Ended::PutOff
            }
            None => {
                self.bury(owed, OUTLIVED, Some(attempt));
                Ended::GivenUp
            }
        };
        self.schedule.finish(owed.event, ended, now);
    }

    fn bury(&mut self, owed: Owed, reason: &'static str, attempt: Option<&Attempt>) {
        metrics::counter!(telemetry::DEAD, "reason" => reason).increment(1);
        if matches!(reason, OUTLIVED | "payload_gone") {
            self.left_behind.note(self.deliverer.clock.now().date());
        }
        let (last_class, last_status) = (attempt.map(|attempt| attempt.class.as_str()), attempt.and_then(status));
        self.round.dead.push(Dead { owed, reason, attempts: attempt.is_some().into(), last_class, last_status });
    }
}

fn row(event: EventId, number: i16, attempt: &Attempt) -> AttemptRow {
    AttemptRow {
        event,
        number,
        class: attempt.class.as_str(),
        http_status: status(attempt),
        millis: i32::try_from(attempt.elapsed.as_millis()).unwrap_or(i32::MAX),
        request_bytes: i32::try_from(attempt.request_bytes).unwrap_or(i32::MAX),
        response_bytes: i32::try_from(attempt.response_bytes).unwrap_or(i32::MAX),
    }
}

fn status(attempt: &Attempt) -> Option<i16> {
    attempt.http_status.and_then(|status| i16::try_from(status).ok())
}

/// The random half of the id.
fn seed(event: EventId) -> u64 {
    event.uuid().as_u64_pair().1
}

impl Deliverer {
    /// Records a round, trying again while the database is away. Returns whether the lane is still ours.
    pub(super) async fn record(&self, lane: OwnedLane, round: Round) -> (Round, bool) {
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
