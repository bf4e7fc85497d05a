//! The lane of a replay: has an endpoint owe events of the past once more, a bounded number at a time, and waits while enough
//! of them wait. A replay is worked on through a lane of its own, as endpoints are: one process at a time, taken over after a
//! crash, given back at a stop, shared out among processes, without a second kind of lease.

use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::Deliverer;
use crate::domain::endpoint::{Filter, State};
use crate::domain::event::EventType;
use crate::ids::{ChannelId, ContactId, EndpointId, ReplayId, TenantId};
use crate::store::lanes::OwnedLane;
use crate::store::replay_steps::{Span, Step};
use crate::store::replays::{ReplayRow, Selection};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// Events looked at in one step: a few milliseconds of work.
const STEP: i64 = 2000;
/// Deliveries that may wait for an endpoint before a replay waits too.
const WAITING: i64 = 20_000;
/// A replay that waits looks this often.
const POLL: time::Duration = time::Duration::seconds(1);
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(250);
/// How much of a span is read in one statement: a day of events is read far below the time limit of a statement.
const PART: time::Duration = time::Duration::DAY;

/// What is to be done after a step.
enum Next {
    Go,
    Wait,
    Leave,
}

/// Works on a replay until it has ended, `stop` is cancelled or the lane is lost.
pub async fn run(deliverer: Deliverer, lane: OwnedLane, stop: CancellationToken) {
    let id = ReplayId::from_uuid(lane.owner);
    while !stop.is_cancelled() {
        let wake = deliverer.clock.now() + POLL;
        match deliverer.replay_some(lane).await {
            Ok(Next::Go) => {}
            Ok(Next::Wait) => tokio::select! {
                () = deliverer.clock.wait_until(wake) => {}
                () = stop.cancelled() => {}
            },
            Ok(Next::Leave) => return,
            Err(error) if error.is_retryable() => {
                tracing::warn!(replay = %id, %error, "a replay could not go on yet");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::error!(replay = %id, %error, "a replay failed");
                if deliverer.store.end_replay(lane.tenant, id, "failed", deliverer.clock.now()).await.is_ok() {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Deliverer {
    async fn replay_some(&self, lane: OwnedLane) -> Result<Next, StoreError> {
        let Some(replay) = self.store.find_replay(lane.tenant, ReplayId::from_uuid(lane.owner)).await? else {
            return Ok(Next::Leave);
        };
        let Some(span) = replay.since.zip(replay.until).filter(|_| replay.state == "running") else {
            return Ok(Next::Leave);
        };
        if replay.at_event.is_none() {
            let transactions = self.transactions_of(lane.tenant, span).await?;
            self.store.begin_replay(lane, transactions, self.clock.now()).await?;
            return Ok(Next::Go);
        }
        let snapshot = self.directory.snapshot();
        let endpoint = snapshot.endpoint(lane.tenant, EndpointId::from_uuid(replay.endpoint_id));
        // Nothing is owed to an endpoint that is disabled. It may be active again some day.
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.state != State::Disabled) else {
            return Ok(Next::Wait);
        };
        if self.store.waiting_deliveries(lane.tenant, replay.endpoint_id, WAITING).await? >= WAITING {
            return Ok(Next::Wait);
        }
        let selection = selection(&self.store, lane.tenant, &endpoint.filter, &replay).await?;
        let step = self.store.step_replay(lane, &selection, STEP, self.clock.now()).await?;
        let (Step::Moved { inserted } | Step::Done { inserted }) = step else { return Ok(Next::Leave) };
        metrics::counter!(telemetry::REPLAYED).increment(inserted.unsigned_abs());
        self.bells.ring(replay.endpoint_id);
        if matches!(step, Step::Moved { .. }) {
            return Ok(Next::Go);
        }
        tracing::info!(replay = %lane.owner, endpoint = %replay.endpoint_id, "a replay is done");
        Ok(Next::Leave)
    }

    /// The first transaction of a span, and the one behind its last.
    async fn transactions_of(&self, tenant: TenantId, span: Span) -> Result<Option<(i64, i64)>, StoreError> {
        let mut whole: Option<(i64, i64)> = None;
        for part in parts(span) {
            let found = self.store.transactions_of(tenant, part).await?;
            whole = match (whole, found) {
                (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
                (a, b) => a.or(b),
            };
        }
        Ok(whole)
    }
}

/// A span in parts, from the oldest.
pub(super) fn parts((since, until): Span) -> impl Iterator<Item = Span> {
    let end = move |from: OffsetDateTime| from.checked_add(PART).map_or(until, |to| to.min(until));
    std::iter::successors(Some(since), move |from| Some(end(*from)))
        .take_while(move |from| *from < until)
        .map(move |from| (from, end(from)))
}

/// What is replayed: what the replay asks for, as far as the endpoint asks for it too. The endpoint's predicate is asked when an
/// event is opened to be delivered.
pub(super) async fn selection(
    store: &Store,
    tenant: TenantId,
    filter: &Filter,
    replay: &ReplayRow,
) -> Result<Selection, StoreError> {
    let contacts = match replay.contact_id {
        None => None,
        Some(contact) => Some(store.every_id_of(tenant, ContactId::from_uuid(contact)).await?),
    };
    Ok(Selection {
        types: Some(types(filter, &replay.event_types)),
        channels: channels(filter, &replay.channel_ids),
        contacts,
    })
}

/// By name even where all are asked for: what is confidential is for endpoints that name it.
fn types(filter: &Filter, wanted: &[String]) -> Vec<String> {
    let own = Filter { channels: Vec::new(), ..filter.clone() };
    let asked_for = Filter { event_types: wanted.to_vec(), ..Filter::default() };
    let both = |one: &&EventType| own.matches(**one, None) && (wanted.is_empty() || asked_for.matches(**one, None));
    EventType::ALL.iter().filter(both).map(|one| one.as_str().to_owned()).collect()
}

fn channels(filter: &Filter, wanted: &[uuid::Uuid]) -> Option<Vec<uuid::Uuid>> {
    let own: Vec<uuid::Uuid> = filter.channels.iter().copied().map(ChannelId::uuid).collect();
    match (own.is_empty(), wanted.is_empty()) {
        (true, true) => None,
        (true, false) => Some(wanted.to_vec()),
        (false, true) => Some(own),
        (false, false) => Some(own.into_iter().filter(|one| wanted.contains(one)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::Direction;
    use time::macros::datetime;
    use uuid::Uuid;

    #[test]
    fn a_span_is_cut_into_days_without_gap_or_overlap() {
        let (since, until) = (datetime!(2026-11-20 06:00 UTC), datetime!(2026-11-22 07:00 UTC));
        let cut: Vec<Span> = parts((since, until)).collect();
        assert_eq!(cut.len(), 3);
        assert_eq!((cut[0].0, cut[2].1), (since, until));
        assert!(cut.windows(2).all(|two| two[0].1 == two[1].0));
        assert_eq!(parts((until, since)).count(), 0);
    }

    #[test]
    fn only_what_replay_and_endpoint_both_ask_for_is_replayed() {
        let [one, two] = [1, 2].map(|number| ChannelId::from_uuid(Uuid::from_u128(number)));
        let all = Filter::default();
        let some = Filter {
            event_types: vec!["message.*".into()],
            channels: vec![one],
            direction: Some(Direction::In),
            ..Filter::default()
        };
        let named = Filter { event_types: vec!["security.*".into()], ..Filter::default() };
        assert_eq!((types(&all, &[]).len(), channels(&all, &[])), (EventType::ALL.len() - 1, None));
        assert!(!types(&all, &[]).contains(&"security.decoy_opened".to_owned()), "it is for those who name it");
        assert!(types(&named, &[]).contains(&"security.decoy_opened".to_owned()));
        assert_eq!(types(&all, &["call.*".into()]), ["call.updated"]);
        assert_eq!(types(&some, &[]), ["message.received", "message.edited", "message.revoked"]);
        assert_eq!(types(&some, &["message.received".into(), "call.*".into()]), ["message.received"]);
        assert_eq!(types(&some, &["message.read".into()]), Vec::<String>::new());
        assert_eq!(channels(&all, &[two.uuid()]), Some(vec![two.uuid()]));
        assert_eq!(channels(&some, &[]), Some(vec![one.uuid()]));
        assert_eq!(channels(&some, &[two.uuid()]), Some(Vec::new()));
    }
}
