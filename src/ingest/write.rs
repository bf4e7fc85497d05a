//! Writes a batch: contacts, keys, seals, one statement, COMMIT. A row that Postgres refuses stands alone in the end and is
//! kept as `unrecognised`, so that it never holds back its neighbours.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Parts, file};
use crate::crypto::envelope;
use crate::directory::contacts::{Hashed, ResolveError};
use crate::directory::{Contacts, OwnEvent, Resolved, Snapshot};
use crate::domain::event::{EventType, Item};
use crate::ids::{ContactId, EventId, TenantId};
use crate::keyring::{DekName, KeyringError, TenantKeys, places};
use crate::store::events::{self, NewEvent};
use crate::store::{Connection, Store, StoreError, messages};
use crate::telemetry;

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("the batch could not be stored")]
    Store(#[from] StoreError),
    #[error("the batch could not be sealed")]
    Keys(#[from] KeyringError),
}

impl From<ResolveError> for WriteError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Keys(error) => Self::Keys(error),
        }
    }
}

impl WriteError {
    /// Whether it is a value of one of the items, and not the database, that is at fault.
    const fn blames_an_item(&self) -> bool {
        matches!(self, Self::Store(StoreError::Refused { .. } | StoreError::Conflict))
    }
}

pub(super) struct Writer {
    parts: Parts,
}

type Written<'a> = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send + 'a>>;

impl Writer {
    pub(super) const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Writes the items of one tenant. `Ok` means committed.
    pub(super) async fn write(&self, tenant: TenantId, items: &[Item]) -> Result<(), WriteError> {
        let result = match self.parts.store.ensure_partitions(self.parts.clock.now().date()).await {
            Ok(()) => self.write_or_split(tenant, items).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &result {
            tracing::warn!(error = %chain(error), items = items.len(), "a batch was not stored; Meta keeps it");
        }
        result
    }

    /// Halves a batch until the refused item is alone. Boxed, because it calls itself.
    fn write_or_split<'a>(&'a self, tenant: TenantId, items: &'a [Item]) -> Written<'a> {
        Box::pin(async move {
            match (self.write_once(tenant, items, false).await, items) {
                (Err(error), [_]) if error.blames_an_item() => {
                    tracing::error!(error = %chain(&error), "an item was refused by the database; it is kept as unrecognised");
                    self.write_once(tenant, items, true).await
                }
                (Err(error), _) if error.blames_an_item() => {
                    metrics::counter!(telemetry::INGEST_SPLITS).increment(1);
                    let (first, second) = items.split_at(items.len() / 2);
                    self.write_or_split(tenant, first).await?;
                    self.write_or_split(tenant, second).await
                }
                (result, _) => result,
            }
        })
    }

    /// Writes the items in one transaction. `bare`: as nothing but sealed JSON, about nobody.
    async fn write_once(&self, tenant: TenantId, items: &[Item], bare: bool) -> Result<(), WriteError> {
        let mut doubled = HashSet::new();
        loop {
            let found = self.attempt(tenant, items, bare, &doubled).await?;
            if found.is_empty() {
                return Ok(());
            }
            doubled.extend(found);
        }
    }

    /// Writes the items, of which those at `doubled` had been stored before and say nothing about their people any more: a
    /// webhook that comes again must not bring back a name or a number that has changed since. Returns further ones of this
    /// kind; then nothing was written.
    async fn attempt(
        &self,
        tenant: TenantId,
        items: &[Item],
        bare: bool,
        doubled: &HashSet<usize>,
    ) -> Result<Vec<usize>, WriteError> {
        let keys = self.parts.keyring.tenant(tenant).await?;
        let snapshot = self.parts.directory.snapshot();
        let people: Vec<Option<Hashed<'_>>> = items
            .iter()
            .enumerate()
            .map(|(at, item)| item.person.as_ref().filter(|_| !bare && !doubled.contains(&at)))
            .map(|person| person.map(|person| Contacts::hash(&keys, person)))
            .collect();
        let mut contacts = self.parts.contacts.all_remembered(tenant, &people);
        let (unknown_at, unknown): (Vec<usize>, Vec<Hashed<'_>>) = people
            .into_iter()
            .enumerate()
            .filter(|(at, _)| contacts.get(*at).is_some_and(Option::is_none))
            .filter_map(|(at, person)| Some((at, person?)))
            .unzip();

        let mut transaction = self.parts.store.begin().await?;
        let mut resolved = Resolved::default();
        if !unknown.is_empty() {
            resolved = self.parts.contacts.resolve(&mut transaction, tenant, &unknown).await?;
            for (at, contact) in unknown_at.iter().zip(&resolved.contacts) {
                contacts.iter_mut().skip(*at).take(1).for_each(|slot| *slot = Some(*contact));
            }
        }
        let filing = Filing { tenant, keys: &keys, snapshot: &snapshot, now: self.parts.clock.now(), bare };
        let mut batch = self.seal(&filing, items, &contacts).await?;
        let ids: Vec<EventId> = batch.iter().map(|event| event.event_id).collect();
        batch.extend(self.seal_merges(&filing, &resolved).await?);
        let stored = insert(&mut transaction, &filing, &mut batch).await?;
        let new: HashSet<EventId> = stored.iter().copied().collect();
        let is_doubled = |at: &usize| ids.get(*at).is_some_and(|id| !new.contains(id));
        let found: Vec<usize> = unknown_at.into_iter().filter(is_doubled).collect();
        if !found.is_empty() {
            Store::roll_back(transaction).await?;
            return Ok(found);
        }
        Store::commit(transaction).await?;

        self.parts.contacts.remember(tenant, &resolved);
        self.announce(&batch, &stored);
        Ok(found)
    }

    async fn seal(
        &self,
        filing: &Filing<'_>,
        items: &[Item],
        contacts: &[Option<ContactId>],
    ) -> Result<Vec<NewEvent>, WriteError> {
        let today = filing.now.date();
        let places: Vec<file::Place> = items.iter().map(|item| file::place(item.occurred_at, today)).collect();
        let name = |place: &file::Place, contact| DekName::month(filing.tenant, contact, place.part_day);
        let names = places.iter().zip(contacts).map(|(place, contact)| name(place, *contact));
        let deks = self.parts.keyring.for_sealing(filing.tenant, names).await?;
        let mut batch = Vec::with_capacity(items.len());
        for ((item, contact), place) in items.iter().zip(contacts).zip(&places) {
            let dek = deks.get(&name(place, *contact)).ok_or(KeyringError::Gone)?;
            let event_id = EventId::new(filing.now);
            let payload =
                envelope::seal(&dek.dek, &places::event_payload(filing.tenant, event_id, *contact), &item.envelope);
            batch.push(filing.event(item, event_id, *contact, *place, payload));
        }
        Ok(batch)
    }

    async fn seal_merges(&self, filing: &Filing<'_>, resolved: &Resolved) -> Result<Vec<NewEvent>, WriteError> {
        let mut batch = Vec::with_capacity(resolved.merges.len());
        for merge in &resolved.merges {
            let event = OwnEvent {
                tenant: filing.tenant,
                event_type: EventType::ContactMerged,
                channel: None,
                contact: merge.kept,
                message: None,
                error_code: None,
                details: serde_json::json!({ "contact_id": merge.kept, "merged_contact_id": merge.gone }),
            };
            batch.push(event.file(&self.parts.keyring, filing.snapshot, filing.now).await?);
        }
        Ok(batch)
    }

    fn announce(&self, batch: &[NewEvent], stored: &[EventId]) {
        metrics::histogram!(telemetry::INGEST_BATCH_SIZE).record(batch.len() as f64);
        let duplicates = batch.len() - stored.len();
        if duplicates > 0 {
            metrics::counter!(telemetry::INGEST_DUPLICATES).increment(duplicates as u64);
        }
        for event in batch {
            metrics::counter!(telemetry::INGEST_EVENTS, "type" => event.event_type).increment(1);
        }
        let mut owners: Vec<Uuid> =
            batch.iter().flat_map(|event| &event.owed_to).map(|(owner, _)| owner.uuid()).collect();
        owners.sort_unstable();
        owners.dedup();
        for owner in owners {
            self.parts.bells.ring(owner);
        }
    }
}

/// What filing an item needs besides the item.
struct Filing<'a> {
    tenant: TenantId,
    keys: &'a Arc<TenantKeys>,
    snapshot: &'a Snapshot,
    now: OffsetDateTime,
    bare: bool,
}

impl Filing<'_> {
    fn event(
        &self,
        item: &Item,
        event_id: EventId,
        contact: Option<ContactId>,
        place: file::Place,
        payload: envelope::Sealed,
    ) -> NewEvent {
        let event_type = if self.bare { EventType::Unrecognised } else { item.event_type };
        let channel = if self.bare { None } else { file::channel(self.snapshot, self.tenant, item) };
        NewEvent {
            part_day: place.part_day,
            subject: file::subject(self.keys, item),
            variant: file::variant(self.keys, item),
            in_ledger: place.in_ledger,
            event_id,
            event_type: event_type.as_str(),
            channel,
            contact,
            message: file::message(item).filter(|_| !self.bare),
            status_rank: item.status.filter(|_| !self.bare).map(crate::domain::event::Status::rank),
            error_code: item.error_code.filter(|_| !self.bare),
            occurred_at: item.occurred_at.filter(|_| !self.bare).unwrap_or(self.now),
            payload,
            owed_to: self.snapshot.owed_to(self.tenant, event_type, channel),
        }
    }
}

async fn insert(
    connection: &mut Connection,
    filing: &Filing<'_>,
    batch: &mut [NewEvent],
) -> Result<Vec<EventId>, StoreError> {
    batch.sort_unstable_by_key(|event| (event.part_day, event.subject, event.variant));
    let stored = events::insert_batch(connection, filing.tenant, batch, filing.now).await?;
    let doubts: Vec<(crate::ids::MessageId, [u8; 16])> =
        batch.iter().filter_map(|event| Some((event.message?, event.subject))).collect();
    if !doubts.is_empty() {
        messages::settle_doubts(connection, filing.tenant, &doubts, filing.now).await?;
    }
    Ok(stored)
}

/// An error with its causes, for the log. None of ours holds a value.
fn chain(error: &WriteError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
