//! Writes a batch: contacts, keys, seals, one statement, COMMIT. A row that Postgres refuses stands alone in the end and is
//! kept as `unrecognised`, so that it never holds back its neighbours.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::callback;
use super::consent::{self, Saying};
use super::filing::{Filed, Filing};
use super::in_chat::{self, Chat};
use super::versions::Versions;
use super::windows::{Opened, Windows};
use super::write_error::{WriteError, chain};
use super::{Parts, file, hasten};
use crate::audit::Action;
use crate::directory::contacts::Hashed;
use crate::directory::{Contacts, OwnEvent, Resolved};
use crate::domain::event::{EventType, Item};
use crate::domain::keeping::Keep;
use crate::ids::{ContactId, EventId, TenantId};
use crate::keyring::{DekName, KeyringError, places, seal_versions};
use crate::store::events::{self, EventKey, NewEvent};
use crate::store::messages::{self, Proof};
use crate::store::{Connection, Store, StoreError};
use crate::telemetry;

pub(super) struct Writer {
    parts: Parts,
    windows: Arc<Windows>,
}

/// What is to be done once a batch is committed.
struct Done {
    /// Owners of lanes that have something to do.
    owed: Vec<Uuid>,
    opened: Opened,
}

type Written<'a> = Pin<Box<dyn Future<Output = Result<(), WriteError>> + Send + 'a>>;

impl Writer {
    pub(super) const fn new(parts: Parts, windows: Arc<Windows>) -> Self {
        Self { parts, windows }
    }

    /// Writes the items of one tenant. `Ok` means committed.
    pub(super) async fn write(&self, tenant: TenantId, items: &[Item]) -> Result<(), WriteError> {
        let result = match self.parts.store.ensure_partitions(self.parts.clock.now().date()).await {
            Ok(()) => match self.minimised(tenant, items).await {
                Ok(items) => self.write_or_split(tenant, &items).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error.into()),
        };
        if let Err(error) = &result {
            tracing::warn!(error = %chain(error), items = items.len(), "a batch was not stored; Meta keeps it");
        }
        result
    }

    /// The items without what their channels do not keep. Nothing is done where all channels keep all.
    async fn minimised<'i>(&self, tenant: TenantId, items: &'i [Item]) -> Result<Cow<'i, [Item]>, WriteError> {
        let snapshot = self.parts.directory.snapshot();
        if !snapshot.minimises {
            return Ok(Cow::Borrowed(items));
        }
        let keys = self.parts.keyring.tenant(tenant).await?;
        Ok(items.iter().map(|item| file::minimised(item, &snapshot, tenant, &keys)).collect())
    }

    /// Halves a batch until the refused item is alone. Boxed, because it calls itself.
    fn write_or_split<'a>(&'a self, tenant: TenantId, items: &'a [Item]) -> Written<'a> {
        Box::pin(async move {
            match (self.write_again_if_broken_off(tenant, items).await, items) {
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

    /// One repetition, quietly: for a deadlock, and for a connection that broke while it was idle.
    async fn write_again_if_broken_off(&self, tenant: TenantId, items: &[Item]) -> Result<(), WriteError> {
        match self.write_once(tenant, items, false).await {
            Err(error) if error.is_broken_off() => {
                self.parts.store.drop_idle_connections();
                self.write_once(tenant, items, false).await
            }
            // Whoever was erased and writes again is somebody new. What was stored of the batch is not stored twice.
            Err(error) if error.may_tell_of_erasure() => {
                let keys = self.parts.keyring.tenant(tenant).await?;
                let people: Vec<Hashed<'_>> =
                    items.iter().filter_map(|item| Some(Contacts::hash(&keys, item.person.as_ref()?))).collect();
                self.parts.contacts.let_go(&self.parts.store, tenant, &people).await?;
                self.write_once(tenant, items, false).await
            }
            result => result,
        }
    }

    /// Writes the items in one transaction. `bare`: as nothing but sealed JSON, about nobody.
    async fn write_once(&self, tenant: TenantId, items: &[Item], bare: bool) -> Result<(), WriteError> {
        let keys = self.parts.keyring.tenant(tenant).await?;
        let snapshot = self.parts.directory.snapshot();
        let (now, words) = (self.parts.clock.now(), &self.parts.words);
        let keeps_media = self.parts.keeps_media && !bare;
        let kept = callback::kept(&self.parts, tenant, items).await?;
        let chat_words = self.parts.chat_words.as_ref();
        let filing =
            Filing { tenant, keys: &keys, snapshot: &snapshot, now, words, chat_words, bare, keeps_media, kept: &kept };
        let mut filed: Vec<Filed<'_>> = items.iter().map(|item| filing.file(item)).collect();
        let people: Vec<Option<&Hashed<'_>>> = filed.iter().map(|one| one.person.as_ref()).collect();
        let contacts = self.parts.contacts.all_remembered(tenant, &people);
        for (one, contact) in filed.iter_mut().zip(contacts) {
            one.contact = contact;
        }
        if filed.iter().any(Filed::needs_a_look) {
            self.drop_replays(&filing, &mut filed).await?;
        }
        if filed.is_empty() {
            return Ok(());
        }
        hasten::ask_anew(&self.parts, filing.snapshot, (tenant, now), items).await;
        if filed.iter().any(Filed::changes_more) {
            return self.write_with_people(&filing, filed).await;
        }
        // Nobody new: the one statement is its own transaction, and saves two round trips.
        let mut connection = self.timed(self.parts.store.ingest_connection()).await?;
        let done = self.write_events(&mut connection, &filing, &filed, &Resolved::default()).await?;
        self.committed(&done);
        Ok(())
    }

    /// Drops what was stored before, so that a replay changes no contact either, and so that one whose first copy lies under a
    /// day long past is found there. Only for batches that need it: the usual duplicate falls to ON CONFLICT.
    async fn drop_replays(&self, filing: &Filing<'_>, filed: &mut Vec<Filed<'_>>) -> Result<(), WriteError> {
        let keys: Vec<EventKey> = filed
            .iter()
            .map(|one| (one.place.own_day.unwrap_or(one.place.part_day), one.subject, one.variant))
            .collect();
        let mut connection = self.timed(self.parts.store.ingest_connection()).await?;
        let seen = events::stored_before(&mut connection, filing.tenant, &keys).await?;
        if !seen.is_empty() {
            metrics::counter!(telemetry::INGEST_DUPLICATES).increment(seen.len() as u64);
            let mut position = -1;
            filed.retain(|_| {
                position += 1;
                !seen.contains(&position)
            });
        }
        Ok(())
    }

    /// The same when somebody is unknown, or says something of consent: all of it is committed together.
    async fn write_with_people(&self, filing: &Filing<'_>, mut filed: Vec<Filed<'_>>) -> Result<(), WriteError> {
        let unknown = filed.iter_mut().filter(|one| one.contact.is_none());
        let (people, slots): (Vec<Hashed<'_>>, Vec<&mut Option<ContactId>>) =
            unknown.filter_map(|one| Some((one.person.take()?, &mut one.contact))).unzip();
        let mut transaction = self.timed(self.parts.store.begin_ingest()).await?;
        let resolved = self.parts.contacts.resolve(&mut transaction, filing.tenant, &people).await?;
        for (slot, contact) in slots.into_iter().zip(&resolved.contacts) {
            *slot = Some(*contact);
        }
        let done = self.write_events(&mut transaction, filing, &filed, &resolved).await?;
        Store::commit(transaction).await?;
        self.parts.contacts.remember(filing.tenant, &resolved);
        self.committed(&done);
        Ok(())
    }

    /// Seals and inserts. Returns what is to be done once this is committed.
    async fn write_events(
        &self,
        connection: &mut Connection,
        filing: &Filing<'_>,
        filed: &[Filed<'_>],
        resolved: &Resolved,
    ) -> Result<Done, WriteError> {
        let mut batch = self.seal(filing, filed).await?;
        let opened = self.windows.sift(filing.tenant, &mut batch);
        let said = filed.iter().zip(&batch).filter_map(|(one, event)| Saying::new(event, one.consent));
        let said: Vec<Saying> = said.collect();
        let chats: Vec<Chat<'_>> =
            filed.iter().zip(&batch).filter_map(|(one, event)| Chat::new(event, one.asks.as_ref())).collect();
        batch.extend(self.seal_merges(filing, resolved).await?);
        let restricted = |contact| resolved.joins_restricted(filing.snapshot, filing.tenant, contact);
        batch.iter_mut().filter(|event| event.contact.is_some_and(restricted)).for_each(|event| event.owed_to.clear());
        let events::Inserted { stored, erased } = insert(connection, filing, &mut batch).await?;
        let about = (filing.tenant, filing.snapshot, filing.now);
        let told = consent::record(connection, &self.parts, about, &said, &stored).await?;
        in_chat::record(connection, (filing.tenant, filing.keys, filing.now), &chats, &stored).await?;
        count(&batch, &stored);
        self.parts.audit.add(filing.tenant, Action::EventsStored, "event", Uuid::nil(), stored.len());
        if !erased.is_empty() {
            return Err(WriteError::Erased);
        }
        let mut owed: Vec<Uuid> =
            batch.iter().flat_map(|event| &event.owed_to).map(|(owner, _)| owner.uuid()).chain(told).collect();
        owed.sort_unstable();
        owed.dedup();
        let all_are_new = stored.len() == batch.len();
        Ok(Done { owed, opened: if all_are_new { opened } else { opened.only(&stored) } })
    }

    async fn timed<T>(&self, waiting: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let asked = Instant::now();
        let result = waiting.await;
        metrics::histogram!(telemetry::POOL_WAIT_SECONDS).record(asked.elapsed());
        result
    }

    async fn seal(&self, filing: &Filing<'_>, filed: &[Filed<'_>]) -> Result<Vec<NewEvent>, WriteError> {
        let today = filing.now.date();
        let kept = |one: &Filed<'_>, rule| DekName::kept(filing.tenant, one.contact, rule, one.place.part_day, today);
        let part = |one: &Filed<'_>, days| kept(one, Some(Keep::Days(days)));
        let contents: Vec<Versions<'_>> = filed.iter().map(|one| Versions::of(one, filing.kept)).collect();
        let mut names = Vec::with_capacity(filed.len());
        for (one, content) in filed.iter().zip(&contents) {
            names.push(kept(one, one.kept));
            names.extend(content.fuller.iter().map(|(days, _)| part(one, *days)));
        }
        let deks = self.parts.keyring.for_sealing(filing.tenant, names).await?;
        // Not when the batch began: what was stored meanwhile would stand behind it. Together, so that the items of one webhook
        // keep their order.
        let ids = EventId::ascending(self.parts.clock.now(), filed.len());
        let mut batch = Vec::with_capacity(filed.len());
        for ((one, content), event_id) in filed.iter().zip(&contents).zip(ids) {
            let dek = deks.get(&kept(one, one.kept)).ok_or(KeyringError::Gone)?;
            let place = places::event_payload(filing.tenant, event_id, one.contact);
            let mut fuller = Vec::with_capacity(content.fuller.len());
            for (days, text) in &content.fuller {
                fuller.push((deks.get(&part(one, *days)).ok_or(KeyringError::Gone)?.clone(), text.as_ref()));
            }
            batch.push(filing.event(one, event_id, seal_versions(dek, &fuller, &content.rest, &place)));
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

    fn committed(&self, done: &Done) {
        self.windows.remember(&done.opened);
        for owner in &done.owed {
            self.parts.bells.ring(*owner);
        }
        self.parts.bells.ring_for_events();
    }
}

fn count(batch: &[NewEvent], stored: &[EventId]) {
    metrics::histogram!(telemetry::INGEST_BATCH_SIZE).record(batch.len() as f64);
    let duplicates = batch.len() - stored.len();
    if duplicates > 0 {
        metrics::counter!(telemetry::INGEST_DUPLICATES).increment(duplicates as u64);
    }
    let stored: HashSet<EventId> = if duplicates > 0 { stored.iter().copied().collect() } else { HashSet::new() };
    let mut by_type: HashMap<&'static str, u64> = HashMap::new();
    for event in batch.iter().filter(|event| duplicates == 0 || stored.contains(&event.event_id)) {
        *by_type.entry(event.event_type).or_default() += 1;
    }
    for (event_type, events) in by_type {
        metrics::counter!(telemetry::INGEST_EVENTS, "type" => event_type).increment(events);
    }
}

async fn insert(
    connection: &mut Connection,
    filing: &Filing<'_>,
    batch: &mut [NewEvent],
) -> Result<events::Inserted, StoreError> {
    batch.sort_unstable_by_key(|event| (event.part_day, event.subject, event.variant));
    let stored = events::insert_about(connection, filing.tenant, batch, filing.now).await?;
    let proof =
        |event: &NewEvent| Some(Proof { message: event.message?, channel: event.channel?, subject: event.subject });
    let doubts: Vec<Proof> = batch.iter().filter_map(proof).collect();
    if !doubts.is_empty() {
        messages::settle_doubts(connection, filing.tenant, &doubts, filing.now).await?;
    }
    Ok(stored)
}
