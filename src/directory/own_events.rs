//! Events of our own making: a merge, the fate of a message, the state of an endpoint. Stored and delivered like Meta's.

use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Snapshot;
use crate::crypto::envelope::{self, Sealed};
use crate::domain::endpoint::DisabledReason;
use crate::domain::event::{EventType, own_envelope};
use crate::domain::keeping::{ContentClass, Keep};
use crate::ids::{ApiKeyId, ChannelId, ContactId, EndpointId, EventId, MessageId, TenantId};
use crate::keyring::{DekName, Keyring, KeyringError, places};
use crate::store::events::NewEvent;

/// What happened, before it is sealed.
#[derive(Debug)]
pub struct OwnEvent {
    /// Owner.
    pub tenant: TenantId,
    /// What.
    pub event_type: EventType,
    /// Where.
    pub channel: Option<ChannelId>,
    /// With whom.
    pub contact: ContactId,
    /// About which message.
    pub message: Option<MessageId>,
    /// Meta's error code.
    pub error_code: Option<i32>,
    /// What is told beyond that: an object.
    pub details: serde_json::Value,
}

async fn seal(
    keyring: &Keyring,
    (tenant, event, contact): (TenantId, EventId, Option<ContactId>),
    details: &str,
    (rule, now): (Option<Keep>, OffsetDateTime),
) -> Result<Sealed, KeyringError> {
    let name = DekName::kept(tenant, contact, rule, now.date(), now.date());
    let dek = keyring.one_for_sealing(tenant, name).await?;
    let content = own_envelope(details);
    Ok(envelope::seal(&dek.dek, &places::event_payload(tenant, event, contact), content.as_bytes()))
}

/// An event about nobody and in no channel: the same thing said twice, by its `subject`, is one event.
async fn about_nobody(
    keyring: &Keyring,
    (tenant, event_type): (TenantId, EventType),
    subject: &[&[u8]],
    details: &serde_json::Value,
    owed_to: Vec<(EndpointId, i16)>,
    now: OffsetDateTime,
) -> Result<NewEvent, KeyringError> {
    let (keys, event_id) = (keyring.tenant(tenant).await?, EventId::new(now));
    Ok(NewEvent {
        part_day: now.date(),
        subject: keys.events.hash(subject),
        variant: keys.events.hash(&[event_type.as_str().as_bytes()]),
        in_ledger: false,
        event_id,
        event_type: event_type.as_str(),
        channel: None,
        contact: None,
        message: None,
        status_rank: None,
        error_code: None,
        occurred_at: now,
        payload: seal(keyring, (tenant, event_id, None), &details.to_string(), (None, now)).await?,
        opens_until: None,
        owed_to,
        has_media: false,
        is_passing: false,
    })
}

impl OwnEvent {
    /// Seals the event and says whom it is owed to. The same thing said twice is one event.
    pub async fn file(
        &self,
        keyring: &Keyring,
        snapshot: &Snapshot,
        now: OffsetDateTime,
    ) -> Result<NewEvent, KeyringError> {
        let keys = keyring.tenant(self.tenant).await?;
        let event_id = EventId::new(now);
        let rule = snapshot.kept(self.tenant, self.channel, ContentClass::Statuses);
        let details = self.details.to_string();
        let about = self.message.map_or(Uuid::nil(), MessageId::uuid);
        let subject = keys.events.hash(&[b"own", self.contact.uuid().as_bytes(), about.as_bytes(), details.as_bytes()]);
        Ok(NewEvent {
            part_day: now.date(),
            subject,
            variant: keys.events.hash(&[self.event_type.as_str().as_bytes()]),
            in_ledger: false,
            event_id,
            event_type: self.event_type.as_str(),
            channel: self.channel,
            contact: Some(self.contact),
            message: self.message,
            // Not a status of Meta's, but one of the message's: left out of the contact's conversation like those.
            status_rank: self.message.map(|_| 0),
            error_code: self.error_code,
            occurred_at: now,
            payload: seal(keyring, (self.tenant, event_id, Some(self.contact)), &details, (rule, now)).await?,
            opens_until: None,
            owed_to: snapshot.owed_about((self.tenant, Some(self.contact)), self.event_type, self.channel),
            has_media: false,
            is_passing: rule == Some(Keep::Delivered),
        })
    }
}

/// Something about an endpoint, for the others: the one that it is about is never told.
#[derive(Debug, Clone, Copy)]
pub struct EndpointEvent {
    /// Owner.
    pub tenant: TenantId,
    /// About whom.
    pub endpoint: EndpointId,
    /// `endpoint.failing`, `endpoint.recovered`, `endpoint.disabled` or `endpoint.left_behind`.
    pub event_type: EventType,
    /// When the outage began, or the day of which it is told; also tells one from another.
    pub since: OffsetDateTime,
    /// Why it was disabled.
    pub reason: Option<DisabledReason>,
}

impl EndpointEvent {
    /// Seals the event and says whom it is owed to. The same of one outage said twice, even days apart, is one event.
    pub async fn file(
        &self,
        keyring: &Keyring,
        snapshot: &Snapshot,
        now: OffsetDateTime,
    ) -> Result<NewEvent, KeyringError> {
        // As Postgres keeps it: an owner that reads it back must find the same outage.
        let (id, moment) = (self.endpoint.uuid(), (self.since.unix_timestamp_nanos() / 1_000).to_be_bytes());
        let left_behind = self.event_type == EventType::EndpointLeftBehind;
        let since = if left_behind { "since" } else { "failing_since" };
        let mut details = json!({ "endpoint_id": self.endpoint, since: rfc3339(self.since) });
        if let (Some(reason), Some(details)) = (self.reason, details.as_object_mut()) {
            details.insert("reason".to_owned(), json!(reason.as_str()));
        }
        let mut owed_to = snapshot.owed_to(self.tenant, self.event_type, None);
        owed_to.retain(|(endpoint, _)| *endpoint != self.endpoint);
        let subject: [&[u8]; 3] = [b"own endpoint", id.as_bytes(), &moment];
        let event = about_nobody(keyring, (self.tenant, self.event_type), &subject, &details, owed_to, now).await?;
        Ok(NewEvent { in_ledger: true, ..event })
    }
}

/// Something about an API key that somebody should look at.
#[derive(Debug, Clone, Copy)]
pub struct KeyEvent {
    /// Owner.
    pub tenant: TenantId,
    /// About which key.
    pub key: ApiKeyId,
    /// `security.read_budget_exceeded`.
    pub event_type: EventType,
    /// How many contacts it may be shown in an hour.
    pub budget: u32,
    /// When it happened.
    pub at: OffsetDateTime,
}

impl KeyEvent {
    /// Seals the event and says whom it is owed to.
    pub async fn file(&self, keyring: &Keyring, snapshot: &Snapshot) -> Result<NewEvent, KeyringError> {
        let details = json!({ "key_id": self.key, "contacts_per_hour": self.budget });
        let (id, at) = (self.key.uuid(), self.at.unix_timestamp_nanos().to_be_bytes());
        let subject: [&[u8]; 3] = [b"own key", id.as_bytes(), &at];
        let owed_to = snapshot.owed_to(self.tenant, self.event_type, None);
        about_nobody(keyring, (self.tenant, self.event_type), &subject, &details, owed_to, self.at).await
    }
}

/// Something about a channel.
#[derive(Debug)]
pub struct ChannelEvent {
    /// Owner.
    pub tenant: TenantId,
    /// About which channel.
    pub channel: ChannelId,
    /// `channel.changed` or `channel.token_expiring`.
    pub event_type: EventType,
    /// What is told: an object. The same told twice on one day is one event.
    pub details: serde_json::Value,
    /// When it was seen.
    pub at: OffsetDateTime,
}

impl ChannelEvent {
    /// Seals the event and says whom it is owed to.
    pub async fn file(&self, keyring: &Keyring, snapshot: &Snapshot) -> Result<NewEvent, KeyringError> {
        let (id, text) = (self.channel.uuid(), self.details.to_string());
        let subject: [&[u8]; 3] = [b"own channel", id.as_bytes(), text.as_bytes()];
        let owed_to = snapshot.owed_to(self.tenant, self.event_type, Some(self.channel));
        let about = (self.tenant, self.event_type);
        let event = about_nobody(keyring, about, &subject, &self.details, owed_to, self.at).await?;
        Ok(NewEvent { channel: Some(self.channel), ..event })
    }
}

/// Something that somebody should look at, about nobody.
#[derive(Debug)]
pub struct AlarmEvent {
    /// Owner.
    pub tenant: TenantId,
    /// One of `security.*`.
    pub event_type: EventType,
    /// What tells it from others: the same said twice on one day, also by two processes, is one event.
    pub subject: Vec<u8>,
    /// What is told: an object.
    pub details: serde_json::Value,
    /// When it happened.
    pub at: OffsetDateTime,
}

impl AlarmEvent {
    /// Seals the event and says whom it is owed to.
    pub async fn file(&self, keyring: &Keyring, snapshot: &Snapshot) -> Result<NewEvent, KeyringError> {
        let owed_to = snapshot.owed_to(self.tenant, self.event_type, None);
        let subject: [&[u8]; 2] = [b"own alarm", &self.subject];
        about_nobody(keyring, (self.tenant, self.event_type), &subject, &self.details, owed_to, self.at).await
    }
}

fn rfc3339(at: OffsetDateTime) -> Option<String> {
    at.format(&time::format_description::well_known::Rfc3339).ok()
}
