//! How an endpoint fares: since when it accepts nothing, who is told of it, and when it is given up.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::Deliverer;
use super::lane::Work;
use crate::directory::EndpointEvent;
use crate::domain::endpoint::{DisabledReason, State};
use crate::domain::event::EventType;
use crate::egress::attempt::AttemptClass;
use crate::keyring::KeyringError;
use crate::store::StoreError;
use crate::store::events::{self, NewEvent};
use crate::telemetry;

/// Why others could not be told. They are told later.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("the keys are not available")]
    Keys(#[from] KeyringError),
    #[error("the event could not be stored")]
    Store(#[from] StoreError),
}

/// Whether others were told of this outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    No,
    Yes,
    /// Somebody else had the lane when it began.
    Unknown,
}

/// The health of one endpoint.
#[derive(Debug)]
pub(super) struct Health {
    failing_since: Option<OffsetDateTime>,
    told: Told,
    open: Option<OpenBreaker>,
}

impl Health {
    /// As the last owner of the lane left it.
    pub(super) const fn new(failing_since: Option<OffsetDateTime>) -> Self {
        let told = if failing_since.is_some() { Told::Unknown } else { Told::No };
        Self { failing_since, told, open: None }
    }

    pub(super) fn breaker_closed(&mut self) {
        self.open = None;
    }
}

/// Counts among the open breakers as long as it lives.
#[derive(Debug)]
struct OpenBreaker;

impl OpenBreaker {
    fn new() -> Self {
        metrics::gauge!(telemetry::BREAKERS_OPEN).increment(1.0);
        Self
    }
}

impl Drop for OpenBreaker {
    fn drop(&mut self) {
        metrics::gauge!(telemetry::BREAKERS_OPEN).decrement(1.0);
    }
}

/// Whether events of this endpoint went with age before it took them, and of which day others were told so.
#[derive(Debug, Default)]
pub(super) struct LeftBehind {
    on: Option<Date>,
    told: Option<Date>,
}

impl LeftBehind {
    /// One went today.
    pub(super) const fn note(&mut self, today: Date) {
        self.on = Some(today);
    }
}

impl Work<'_> {
    fn event(&self, event_type: EventType, since: OffsetDateTime, reason: Option<DisabledReason>) -> EndpointEvent {
        EndpointEvent { tenant: self.lane.tenant, endpoint: self.endpoint.id, event_type, since, reason }
    }

    /// A delivery was accepted.
    pub(super) async fn endpoint_accepts(&mut self) {
        if !self.schedule.breaker.is_open() && self.health.open.take().is_some() {
            tracing::info!(endpoint = %self.endpoint.id, "the endpoint accepts again");
        }
        let Some(since) = self.health.failing_since else { return };
        let failing = self.event(EventType::EndpointFailing, since, None);
        let recovered = self.event(EventType::EndpointRecovered, since, None);
        let told = match self.health.told {
            Told::No => Ok(()),
            Told::Yes => Box::pin(self.deliverer.tell(&recovered)).await,
            Told::Unknown => Box::pin(self.deliverer.tell_after(&failing, &recovered)).await,
        };
        match told {
            Ok(()) => {
                self.health.failing_since = None;
                self.health.told = Told::No;
                self.round.failing_since = Some(None);
            }
            // It counts as failing until others know: the next success says so again.
            Err(error) => tracing::warn!(endpoint = %self.endpoint.id, %error, "a recovery could not be told"),
        }
    }

    /// A delivery was not accepted.
    pub(super) async fn endpoint_fails(&mut self, class: AttemptClass) {
        let now = self.deliverer.clock.now();
        let since = *self.health.failing_since.get_or_insert_with(|| {
            self.round.failing_since = Some(Some(now));
            now
        });
        if self.schedule.breaker.is_open() && self.health.open.is_none() {
            self.health.open = Some(OpenBreaker::new());
            tracing::warn!(endpoint = %self.endpoint.id, class = class.as_str(), "the endpoint accepts nothing; it is probed from now on");
        }
        let patience = self.deliverer.limits.disable_after;
        if class.disables_endpoint() {
            Box::pin(self.disable(now, DisabledReason::Gone)).await;
        } else if patience.is_some_and(|patience| now - since >= patience) && self.schedule.breaker.is_open() {
            Box::pin(self.disable(since, DisabledReason::Failing)).await;
        }
    }

    /// Tells others, once in an outage, when it has lasted for a while.
    pub(super) async fn tell_if_failing(&mut self) {
        let Some(since) = self.health.failing_since.filter(|_| self.endpoint.state == State::Active) else { return };
        if !self.schedule.breaker.notice_is_due(self.deliverer.clock.now()) {
            return;
        }
        let failing = self.event(EventType::EndpointFailing, since, None);
        match Box::pin(self.deliverer.tell(&failing)).await {
            Ok(()) => {
                self.schedule.breaker.told();
                self.health.told = Told::Yes;
            }
            Err(error) => tracing::warn!(endpoint = %self.endpoint.id, %error, "an outage could not be told"),
        }
    }

    /// Tells others that events went before this endpoint took them: once a day, also where several processes have the lane in turn.
    pub(super) async fn tell_if_left_behind(&mut self) {
        let Some(day) = self.left_behind.on.filter(|day| self.left_behind.told != Some(*day)) else { return };
        let event = self.event(EventType::EndpointLeftBehind, day.midnight().assume_utc(), None);
        match Box::pin(self.deliverer.tell(&event)).await {
            Ok(()) => {
                tracing::error!(endpoint = %self.endpoint.id, "events went with age before the endpoint took them");
                self.left_behind.told = Some(day);
            }
            Err(error) => {
                tracing::warn!(endpoint = %self.endpoint.id, %error, "it could not be told that events went with age");
            }
        }
    }

    async fn disable(&mut self, since: OffsetDateTime, reason: DisabledReason) {
        let event = self.event(EventType::EndpointDisabled, since, Some(reason));
        match self.deliverer.disable(&event, reason).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(endpoint = %self.endpoint.id, reason = reason.as_str(), "the endpoint is disabled");
                // Whoever activates it begins anew.
                self.health = Health::new(None);
                self.round.failing_since = Some(None);
                // A failure to read it back is made good by the next poll of the settings.
                let _poll = self.deliverer.directory.reload().await;
            }
            Err(error) => tracing::warn!(endpoint = %self.endpoint.id, %error, "the endpoint could not be disabled"),
        }
    }
}

impl Deliverer {
    async fn file(&self, event: &EndpointEvent) -> Result<NewEvent, KeyringError> {
        event.file(&self.keyring, &self.directory.snapshot(), self.clock.now()).await
    }

    fn ring(&self, owed_to: impl IntoIterator<Item = Uuid>) {
        owed_to.into_iter().for_each(|owner| self.bells.ring(owner));
        self.bells.ring_for_events();
    }

    async fn tell(&self, event: &EndpointEvent) -> Result<(), TellError> {
        let now = self.clock.now();
        self.store.ensure_partitions(now.date()).await?;
        let filed = [self.file(event).await?];
        let mut connection = self.store.connection().await?;
        events::insert_batch(&mut connection, event.tenant, &filed, now).await?;
        drop(connection);
        self.ring(filed.iter().flat_map(|event| &event.owed_to).map(|(owner, _)| owner.uuid()));
        Ok(())
    }

    /// Tells the second of two if the first was told.
    async fn tell_after(&self, first: &EndpointEvent, second: &EndpointEvent) -> Result<(), TellError> {
        let key = self.file(first).await?;
        let key = (key.part_day, key.subject, key.variant);
        let mut connection = self.store.connection().await?;
        let seen = events::stored_before(&mut connection, first.tenant, &[key]).await?;
        drop(connection);
        if seen.is_empty() { Ok(()) } else { self.tell(second).await }
    }

    async fn disable(&self, event: &EndpointEvent, reason: DisabledReason) -> Result<bool, TellError> {
        let now = self.clock.now();
        self.store.ensure_partitions(now.date()).await?;
        let told = self.file(event).await?;
        let owners: Vec<Uuid> = told.owed_to.iter().map(|(owner, _)| owner.uuid()).collect();
        let done = self.store.disable_endpoint(event.tenant, event.endpoint, reason, told, now).await?;
        if done {
            // First, so that who is told and looks here sees it. A failure is made good by the next poll of the settings.
            let _poll = self.directory.reload().await;
            self.ring(owners);
        }
        Ok(done)
    }
}
