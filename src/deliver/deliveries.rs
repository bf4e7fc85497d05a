//! What applications and operators may ask about deliveries and do with them: dead letters, replays, attempts.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::Deliverer;
use super::replay::{parts, selection};
use super::test_send::Tests;
use crate::domain::endpoint::{Endpoint, State};
use crate::ids::{ChannelId, ContactId, EventId, ReplayId, TenantId};
use crate::store::StoreError;
use crate::store::attempts::{AttemptFilter, EventFacts, LoggedAttempt, OwedRow};
use crate::store::dead_letters::{DeadLetterFilter, DeadLetterRow};
use crate::store::replays::ReplayRow;
use crate::telemetry;

/// Dead letters that one statement redrives or purges.
const BATCH: i64 = 1000;
/// How long a request goes on. What is left then is left to the next one.
const PATIENCE: Duration = Duration::from_secs(15);
/// Failed attempts that are shown of an event.
const ATTEMPTS_OF_EVENT: i64 = 200;

/// A place in a list that is ordered by time, newest first.
pub type Behind = Option<(OffsetDateTime, Uuid)>;

/// Clones share everything.
#[derive(Debug, Clone)]
pub struct Deliveries {
    pub(super) deliverer: Deliverer,
    pub(super) tests: Arc<Tests>,
}

/// What is to be replayed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which events.
    pub events: WantedEvents,
    /// Names of types, or prefixes of them. Empty: all.
    pub event_types: Vec<String>,
    /// Empty: all.
    pub channels: Vec<ChannelId>,
    /// About this person.
    pub contact: Option<ContactId>,
}

/// Which events.
#[derive(Debug, Clone)]
pub enum WantedEvents {
    /// These, at most 1,000.
    Ids(Vec<EventId>),
    /// Received from the first to before the second time.
    Span(OffsetDateTime, OffsetDateTime),
}

/// A count that was made in the time there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// How many.
    pub counted: u64,
    /// Whether everything was counted.
    pub complete: bool,
}

/// Why a replay was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReplayRefused {
    /// The endpoint is owed nothing.
    #[error("the endpoint is disabled")]
    Disabled,
    /// The database.
    #[error("the replay could not be stored")]
    Store(#[from] StoreError),
}

/// What became of an event.
#[derive(Debug)]
pub struct Fate {
    /// What is still owed or was given up.
    pub owed: Vec<OwedRow>,
    /// The last failed attempts, oldest first.
    pub attempts: Vec<LoggedAttempt>,
}

impl Deliveries {
    /// Over these parts.
    #[must_use]
    pub fn new(deliverer: Deliverer) -> Self {
        Self { deliverer, tests: Arc::default() }
    }

    /// The time, by the clock of this gateway.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.deliverer.clock.now()
    }

    /// Dead letters, newest first.
    pub async fn dead_letters(
        &self,
        endpoint: &Endpoint,
        filter: &DeadLetterFilter,
        behind: Behind,
        limit: i64,
    ) -> Result<Vec<DeadLetterRow>, StoreError> {
        self.deliverer.store.page_of_dead_letters((endpoint.tenant, endpoint.id), filter, behind, limit).await
    }

    /// Has dead letters delivered after all. Those that die meanwhile are left alone. What is not done in time is still dead.
    pub async fn redrive(&self, endpoint: &Endpoint, filter: DeadLetterFilter) -> Result<Count, StoreError> {
        let (began, now) = (Instant::now(), self.now());
        let filter = DeadLetterFilter { until: Some(filter.until.map_or(now, |until| until.min(now))), ..filter };
        let mut count = Count { counted: 0, complete: false };
        while !count.complete && began.elapsed() < PATIENCE {
            let of = (endpoint.tenant, endpoint.id);
            let raised = self.deliverer.store.redrive(of, &filter, BATCH).await?;
            metrics::counter!(telemetry::REDRIVEN).increment(raised);
            self.deliverer.bells.ring(endpoint.id.uuid());
            count = Count { counted: count.counted + raised, complete: raised < BATCH.unsigned_abs() };
        }
        Ok(count)
    }

    /// Forgets dead letters.
    pub async fn purge(&self, endpoint: &Endpoint, filter: &DeadLetterFilter) -> Result<Count, StoreError> {
        let began = Instant::now();
        let mut count = Count { counted: 0, complete: false };
        while !count.complete && began.elapsed() < PATIENCE {
            let gone = self.deliverer.store.purge((endpoint.tenant, endpoint.id), filter, BATCH).await?;
            count = Count { counted: count.counted + gone, complete: gone < BATCH.unsigned_abs() };
        }
        Ok(count)
    }

    /// How many events a replay would find. Of a long span as many as can be counted in time.
    pub async fn count(&self, endpoint: &Endpoint, wanted: &Wanted) -> Result<Count, StoreError> {
        let (store, tenant, began) = (&self.deliverer.store, endpoint.tenant, Instant::now());
        let replay = self.row(endpoint, wanted);
        let selection = selection(store, tenant, &endpoint.filter, &replay).await?;
        if let Some(ids) = &replay.event_ids {
            let counted = store.count_replayable_events(tenant, ids, &selection).await?;
            return Ok(Count { counted: counted.unsigned_abs(), complete: true });
        }
        let mut count = Count { counted: 0, complete: true };
        for part in replay.since.zip(replay.until).into_iter().flat_map(parts) {
            if began.elapsed() > PATIENCE {
                return Ok(Count { complete: false, ..count });
            }
            count.counted += store.count_replayable(tenant, part, &selection).await?.unsigned_abs();
        }
        Ok(count)
    }

    /// Makes a replay. One of single events is done when this returns.
    pub async fn replay(&self, endpoint: &Endpoint, wanted: &Wanted) -> Result<ReplayRow, ReplayRefused> {
        if endpoint.state == State::Disabled {
            return Err(ReplayRefused::Disabled);
        }
        let (store, replay) = (&self.deliverer.store, self.row(endpoint, wanted));
        if replay.event_ids.is_none() {
            store.insert_replay(endpoint.tenant, &replay).await?;
            return Ok(replay);
        }
        let selection = selection(store, endpoint.tenant, &endpoint.filter, &replay).await?;
        let done = store.insert_done_replay(endpoint.tenant, replay, &selection).await?;
        metrics::counter!(telemetry::REPLAYED).increment(done.inserted.unsigned_abs());
        self.deliverer.bells.ring(endpoint.id.uuid());
        Ok(done)
    }

    fn row(&self, endpoint: &Endpoint, wanted: &Wanted) -> ReplayRow {
        let now = self.now();
        let (event_ids, span) = match &wanted.events {
            WantedEvents::Ids(ids) => (Some(ids.iter().copied().map(EventId::uuid).collect()), None),
            // What comes from now on is owed anyway.
            WantedEvents::Span(since, until) => (None, Some((*since, (*until).min(now).max(*since)))),
        };
        let ended_at = event_ids.is_some().then_some(now);
        ReplayRow {
            replay_id: ReplayId::new(now).uuid(),
            endpoint_id: endpoint.id.uuid(),
            state: if ended_at.is_some() { "done" } else { "running" }.to_owned(),
            event_ids,
            since: span.map(|span| span.0),
            until: span.map(|span| span.1),
            event_types: wanted.event_types.clone(),
            channel_ids: wanted.channels.iter().copied().map(ChannelId::uuid).collect(),
            contact_id: wanted.contact.map(ContactId::uuid),
            at_event: None,
            counted: 0,
            inserted: 0,
            created_at: now,
            ended_at,
        }
    }

    /// Replays of an endpoint, newest first.
    pub async fn replays(&self, of: &Endpoint, before: Option<Uuid>, limit: i64) -> Result<Vec<ReplayRow>, StoreError> {
        self.deliverer.store.page_of_replays((of.tenant, of.id), before.unwrap_or(Uuid::max()), limit).await
    }

    /// One replay of an endpoint.
    pub async fn find_replay(&self, of: &Endpoint, replay: ReplayId) -> Result<Option<ReplayRow>, StoreError> {
        let row = self.deliverer.store.find_replay(of.tenant, replay).await?;
        Ok(row.filter(|row| row.endpoint_id == of.id.uuid()))
    }

    /// One replay of a tenant, whichever endpoint it is for.
    pub async fn find_any_replay(&self, of: TenantId, replay: ReplayId) -> Result<Option<ReplayRow>, StoreError> {
        self.deliverer.store.find_replay(of, replay).await
    }

    /// Ends a replay that runs. What it has put among what is owed stays there.
    pub async fn cancel(&self, tenant: TenantId, replay: ReplayId) -> Result<(), StoreError> {
        self.deliverer.store.end_replay(tenant, replay, "cancelled", self.now()).await
    }

    /// Failed attempts at an endpoint, newest first.
    pub async fn attempts(
        &self,
        endpoint: &Endpoint,
        filter: &AttemptFilter,
        behind: Behind,
        limit: i64,
    ) -> Result<Vec<LoggedAttempt>, StoreError> {
        self.deliverer.store.page_of_attempts((endpoint.tenant, endpoint.id), filter, behind, limit).await
    }

    /// What filters ask of an event. `None`: no such event.
    pub async fn facts_of(&self, of: TenantId, event: EventId) -> Result<Option<EventFacts>, StoreError> {
        self.deliverer.store.facts_of_event(of, event).await
    }

    /// What became of an event at these endpoints.
    pub async fn fate(&self, of: TenantId, event: EventId, endpoints: &[Uuid]) -> Result<Fate, StoreError> {
        let owed = self.deliverer.store.owed_of_event(of, event, endpoints).await?;
        let attempts = self.deliverer.store.attempts_of_event(of, event, endpoints, ATTEMPTS_OF_EVENT).await?;
        Ok(Fate { owed, attempts })
    }
}
