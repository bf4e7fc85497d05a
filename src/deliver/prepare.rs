//! Makes the request of a delivery: opens the event and writes it as the endpoint wants it.

use std::borrow::Cow;

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::Deliverer;
use super::transport::Parcel;
use crate::audit::Action;
use crate::crypto::envelope::{self, Sealed};
use crate::domain::endpoint::{Endpoint, Format};
use crate::domain::event::{EventType, OWN_ENVELOPE};
use crate::egress::event_json::{self, EventMeta, Payload};
use crate::egress::view::{Pseudonyms, View};
use crate::ids::{ChannelId, ContactId, EventId, MessageId, TenantId};
use crate::keyring::{KeyringError, places};
use crate::store::deliveries::DueDelivery;

/// A delivery on its way.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) event: EventId,
    pub(super) attempts: i16,
    pub(super) stored_at: Option<OffsetDateTime>,
    /// When its content goes; `None`: never.
    pub(super) goes_at: Option<OffsetDateTime>,
    pub(super) body: Ready,
}

/// What is to be done with it.
#[derive(Debug)]
pub(super) enum Ready {
    /// Post this.
    Post(Parcel),
    /// Nothing that this endpoint would understand: done.
    Skip,
    /// It cannot be told any more, and why.
    Dead(&'static str),
}

impl Deliverer {
    /// Opens the content of due deliveries, in order.
    pub(super) async fn prepare(
        &self,
        tenant: TenantId,
        endpoint: &Endpoint,
        due: Vec<DueDelivery>,
    ) -> Result<Vec<Prepared>, KeyringError> {
        let sealed: Vec<Option<Sealed>> = due.iter().map(|row| row.payload.clone().map(Sealed::from_stored)).collect();
        let ids = sealed.iter().flatten().filter_map(Sealed::dek_id);
        let keys = self.keyring.whatever_opens(tenant, ids.clone()).await?;
        let without_key = self.without_key(tenant, ids.filter(|id| !keys.contains_key(id)).collect()).await?;
        let pseudonyms = self.pseudonyms(tenant, endpoint).await?;
        let view = View::new(endpoint.fields, pseudonyms.as_ref());
        let mut prepared = Vec::with_capacity(due.len());
        let key_of = |sealed: &Option<Sealed>| sealed.as_ref().and_then(Sealed::dek_id).and_then(|id| keys.get(&id));
        let mut contents: Vec<_> = due
            .iter()
            .zip(&sealed)
            .map(|(row, sealed)| {
                let contact = row.contact_id.map(ContactId::from_uuid);
                let place = places::event_payload(tenant, EventId::from_uuid(row.event_id), contact);
                let content = match (sealed, key_of(sealed)) {
                    (None, _) => Err("payload_gone"),
                    (Some(_), None) => Err(without_key),
                    (Some(sealed), Some(key)) => envelope::open(&key.dek, &place, sealed).map_err(|_| "unreadable"),
                };
                (place, content)
            })
            .collect();
        let opened = contents.iter_mut().filter_map(|(place, content)| Some((*place, content.as_mut().ok()?)));
        self.keyring.fullest(tenant, opened.collect()).await?;
        for ((row, sealed), (_, content)) in due.iter().zip(&sealed).zip(contents) {
            let (event, key) = (EventId::from_uuid(row.event_id), key_of(sealed));
            let body = content.map_or_else(Ready::Dead, |content| self.body(endpoint, view, row, &content));
            let goes_at = self.goes_at(row, key.and_then(|key| key.dies_on));
            prepared.push(Prepared { event, attempts: row.attempts, stored_at: row.received_at, goes_at, body });
        }
        let opened = prepared.iter().filter(|one| matches!(one.body, Ready::Post(_))).count();
        self.audit.add(tenant, Action::EventsDelivered, "endpoint", endpoint.id.uuid(), opened);
        Ok(prepared)
    }

    /// Why what was sealed under these keys is dead: they were destroyed, as retention does, or they do not open.
    async fn without_key(&self, tenant: TenantId, missing: Vec<Uuid>) -> Result<&'static str, KeyringError> {
        if missing.is_empty() {
            return Ok("payload_gone");
        }
        match self.keyring.for_opening(tenant, missing).await {
            Ok(_) => Ok("payload_gone"),
            Err(error) if error.is_retryable() => Err(error),
            Err(_) => Ok("unreadable"),
        }
    }

    /// When the content of a delivery goes: its day is dropped, or its key is destroyed before.
    fn goes_at(&self, row: &DueDelivery, key_dies_on: Option<Date>) -> Option<OffsetDateTime> {
        let days = |days: u16| time::Duration::days(i64::from(days) + 1);
        let dropped_on = self.limits.content_days.map(|kept| row.part_day.saturating_add(days(kept)));
        dropped_on.into_iter().chain(key_dies_on).min().map(|day| day.midnight().assume_utc())
    }

    async fn pseudonyms(&self, tenant: TenantId, endpoint: &Endpoint) -> Result<Option<Pseudonyms>, KeyringError> {
        if !endpoint.pseudonymous {
            return Ok(None);
        }
        let key = self.keyring.tenant(tenant).await?.pseudonyms.clone();
        Ok(Some(Pseudonyms::new(key, endpoint.id)))
    }

    fn body(&self, endpoint: &Endpoint, view: View<'_>, row: &DueDelivery, content: &[u8]) -> Ready {
        let snapshot = self.directory.snapshot();
        let channel = row.channel_id.map(ChannelId::from_uuid);
        let number = channel.and_then(|id| snapshot.channel(endpoint.tenant, id));
        let stored_at = row.received_at.unwrap_or_else(|| self.clock.now());
        let meta = EventMeta {
            id: EventId::from_uuid(row.event_id),
            event_type: row.event_type.as_deref().unwrap_or(EventType::Unrecognised.as_str()),
            occurred_at: row.occurred_at.unwrap_or(stored_at),
            received_at: stored_at,
            channel,
            phone_number_id: number.map(|one| one.phone_number_id.as_str()),
            contact: row.contact_id.map(ContactId::from_uuid),
            message: row.message_id.map(MessageId::from_uuid),
        };
        // Whoever may know a person has to be told that they were erased, whatever else it asks for.
        let is_owed = meta.event_type == EventType::ContactErased.as_str();
        let predicate = endpoint.filter.predicate.as_ref().filter(|_| !is_owed);
        if predicate.is_some_and(|wanted| !wanted.holds(&event_json::value(&meta, Payload::Opened(content)))) {
            return Ready::Skip;
        }
        written(endpoint, view, &meta, content).map_or(Ready::Skip, Ready::Post)
    }
}

/// An event as the endpoint wants it. `None`: its format has no form for it.
pub(super) fn written(endpoint: &Endpoint, view: View<'_>, meta: &EventMeta<'_>, content: &[u8]) -> Option<Parcel> {
    let payload = Payload::Opened(content);
    let body = match endpoint.format {
        // Meta has no form for events of our own, and its clients would not understand one.
        Format::Meta if content.starts_with(OWN_ENVELOPE.as_bytes()) => None,
        Format::Meta => view.envelope(content).map(Cow::into_owned),
        Format::Standard => Some(view.standard(meta, payload)),
        Format::CloudEvents => Some(view.cloud_event(endpoint.tenant, meta, payload)),
    };
    let key = meta.contact.map(|contact| view.contact(contact));
    body.map(|body| Parcel { body: body.into(), key })
}
