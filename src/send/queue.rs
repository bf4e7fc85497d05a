//! Accepts a message: checked, sealed and owed to Meta in one commit, before the application is answered.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::Sender;
use super::accept::{Parcel, Ready, Stored};
use super::check::{Checked, Draft, Fault, RECIPIENT};
use super::order::{Order, Terms};
use super::rules::{Objection, Outgoing};
use crate::crypto::envelope::{self, Sealed};
use crate::directory::Contacts;
use crate::directory::contacts::{Hashed, ResolveError};
use crate::domain::channel::Channel;
use crate::domain::keeping::ContentClass;
use crate::domain::message::callback_data;
use crate::ids::{ApiKeyId, ChannelId, ContactId, MessageId, TenantId};
use crate::keyring::{DekName, KeyringError, TenantKeys, places};
use crate::store::StoreError;
use crate::store::audit_entries::NewAuditEntry;
use crate::store::idempotency::{Claim, Claimed};

/// Members that Graph takes for parameters of the request. Some SDKs put their token there, which is a Waxseal key, and Meta
/// must not see it; ours goes into a header.
const GRAPH_PARAMETERS: [&str; 4] = ["access_token", "appsecret_proof", "method", "fields"];

/// The application's own comes back in its statuses; ours travels before it.
const CALLBACK_DATA: &str = "biz_opaque_callback_data";

/// Why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Faults of the message; at least one.
    #[error("the message is faulty")]
    Faulty(Vec<Fault>),
    /// No such channel.
    #[error("no such channel")]
    UnknownChannel,
    /// The channel has no access token.
    #[error("the channel cannot send: it has no access token")]
    NoToken,
    /// The person's last message is too old for anything but a template.
    #[error("the customer service window is closed")]
    WindowClosed,
    /// The person does not want marketing.
    #[error("the contact opted out of marketing")]
    OptedOut,
    /// The person's data are not to be used.
    #[error("the contact's data are restricted")]
    Restricted,
    /// The idempotency key stands for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A request under the same idempotency key is being stored.
    #[error("a request under this idempotency key is in progress")]
    InProgress,
    /// The database.
    #[error("the message could not be stored")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("the message could not be sealed")]
    Keys(#[from] KeyringError),
}

impl From<Objection> for QueueError {
    fn from(objection: Objection) -> Self {
        match objection {
            Objection::WindowClosed => Self::WindowClosed,
            Objection::OptedOut => Self::OptedOut,
            Objection::Restricted => Self::Restricted,
            Objection::Faulty(faults) => Self::Faulty(faults),
        }
    }
}

impl From<ResolveError> for QueueError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Store(error) => Self::Store(error),
            ResolveError::Keys(error) => Self::Keys(error),
        }
    }
}

/// What makes a repetition recognisable: who asks, and under which key. Lasts a day (`store::idempotency::KEPT`).
#[derive(Debug, Clone, Copy)]
pub struct Idempotency<'a> {
    /// Applications cannot take each other's keys.
    pub caller: ApiKeyId,
    /// As the application chose it.
    pub key: &'a str,
    /// The request as it came: the key stands for this text alone.
    pub request: &'a [u8],
    /// What a repetition is answered, where that is more than the id of the message.
    pub answer: Option<&'a [u8]>,
}

/// What was handed over before, under the same idempotency key.
#[derive(Debug)]
pub struct Before {
    /// The first message of the request.
    pub first: MessageId,
    /// What it was answered, where that was more.
    pub answer: Option<Zeroizing<Vec<u8>>>,
}

/// An order, and whom it is for.
#[derive(Debug)]
pub struct Addressed {
    channel: ChannelId,
    order: Order,
    /// The contact, when they are known already.
    pub contact: Option<ContactId>,
}

impl Addressed {
    fn outgoing(&self, now: OffsetDateTime) -> Outgoing<'_> {
        let Checked { body, kind, .. } = &self.order.checked;
        let is_later = self.order.terms.first_at(now) > now;
        Outgoing { contact: self.contact, kind, body, is_later, is_marketing: false }
    }
}

/// Faults of a part of an order.
fn below(place: &str, faults: Vec<Fault>) -> Vec<Fault> {
    faults.into_iter().map(|fault| Fault { pointer: format!("{place}{}", fault.pointer), ..fault }).collect()
}

/// A message that is stored.
pub(super) struct Kept {
    pub(super) message: MessageId,
    pub(super) contact: ContactId,
    pub(super) channel: Arc<Channel>,
    pub(super) body: String,
}

impl Sender {
    /// Looks for whom these orders are.
    pub async fn addressed(
        &self,
        tenant: TenantId,
        orders: Vec<(ChannelId, Order)>,
    ) -> Result<Vec<Addressed>, QueueError> {
        let keys = self.keyring.tenant(tenant).await?;
        let people: Vec<Hashed<'_>> =
            orders.iter().map(|(_, order)| Contacts::hash(&keys, &order.checked.recipient)).collect();
        let contacts = self.contacts.known(&self.store, tenant, &people).await?;
        let addressed = |((channel, order), contact)| Addressed { channel, order, contact };
        Ok(orders.into_iter().zip(contacts).map(addressed).collect())
    }

    /// Whom a message is for, when it is one, and they are known already. What is refused later has been told of all the same.
    pub async fn addressee(&self, tenant: TenantId, draft: &Draft) -> Result<Option<ContactId>, QueueError> {
        let Ok(checked) = &draft.0 else { return Ok(None) };
        let keys = self.keyring.tenant(tenant).await?;
        let hashed = Contacts::hash(&keys, &checked.recipient);
        Ok(self.contacts.known(&self.store, tenant, &[hashed]).await?.pop().flatten())
    }

    /// What the same request was answered before. [`Self::queue`] finds out by itself; this is for requests that do not get so far.
    pub async fn before(&self, tenant: TenantId, idempotency: &Idempotency<'_>) -> Result<Option<Before>, QueueError> {
        let keys = self.keyring.tenant(tenant).await?;
        let [key, request] = hashes(&keys, idempotency);
        match self.store.claimed_before(tenant, key, request, self.clock.now()).await? {
            Some(Claimed::Same(first, answer)) => self.told_before(tenant, first, answer).await.map(Some),
            Some(Claimed::Other) => Err(QueueError::KeyReused),
            Some(Claimed::New | Claimed::InProgress) | None => Ok(None),
        }
    }

    /// Says of each order whether it may be taken, and makes a message of it. What must be known of a person before a message to
    /// them is taken is asked here.
    pub async fn ready(
        &self,
        tenant: TenantId,
        key: Option<ApiKeyId>,
        orders: Vec<Addressed>,
    ) -> Result<Vec<Result<Ready, QueueError>>, QueueError> {
        let now = self.clock.now();
        let objections = self.objections(tenant, &orders, now).await?;
        let mut faulty = self.faults_of_files(tenant, &orders).await?.into_iter();
        let snapshot = self.directory.snapshot();
        let ready = |(Addressed { channel, order, .. }, objection): (Addressed, Option<Objection>)| {
            let files = faulty.next().unwrap_or_default();
            if !files.is_empty() {
                return Err(QueueError::Faulty(files));
            }
            let channel = self.sending_channel(tenant, channel)?;
            let Order { checked, fallback, terms } = order;
            let fallback = fallback.map(|fallback| fallback.0);
            let faults = fallback.as_ref().map(|body| self.fallback_faults(&channel, body)).unwrap_or_default();
            if !faults.is_empty() {
                return Err(QueueError::Faulty(below("/fallback_template", faults)));
            }
            let (checked, fallback) = match (objection, fallback) {
                (Some(Objection::WindowClosed), Some(template)) => (checked.replaced_by(template), None),
                (Some(Objection::Faulty(faults)), _) => return Err(QueueError::Faulty(below("/message", faults))),
                (Some(objection), _) => return Err(objection.into()),
                (None, fallback) => (checked, fallback),
            };
            let kept = snapshot.kept_by(&channel, ContentClass::Sent);
            Ok(Ready { key, terms, kept, next_at: terms.first_at(now), ..made(&channel, checked, fallback, now) })
        };
        Ok(orders.into_iter().zip(objections).map(ready).collect())
    }

    /// What is wrong with the files that these orders name. One look for all.
    async fn faults_of_files(&self, tenant: TenantId, orders: &[Addressed]) -> Result<Vec<Vec<Fault>>, StoreError> {
        let now = self.clock.now();
        let at = |one: &Addressed| (one.channel, one.order.terms.first_at(now));
        let messages: Vec<_> = orders.iter().map(|one| (at(one), &one.order.checked.body)).collect();
        let fallbacks: Vec<_> =
            orders.iter().filter_map(|one| Some((at(one), &one.order.fallback.as_ref()?.0))).collect();
        let both = [messages, fallbacks].concat();
        let mut faults = self.file_faults(tenant, &both).await?;
        let mut of_fallbacks = faults.split_off(orders.len()).into_iter();
        let all = orders.iter().zip(faults).map(|(order, of_message)| {
            let mut all = below("/message", of_message);
            if order.order.fallback.is_some() {
                all.extend(below("/fallback_template", of_fallbacks.next().unwrap_or_default()));
            }
            all
        });
        Ok(all.collect())
    }

    /// What the rules object to in each of these orders: one look for each channel.
    async fn objections(
        &self,
        tenant: TenantId,
        orders: &[Addressed],
        now: OffsetDateTime,
    ) -> Result<Vec<Option<Objection>>, QueueError> {
        let snapshot = self.directory.snapshot();
        let channels: HashSet<ChannelId> = orders.iter().map(|order| order.channel).collect();
        let mut found: HashMap<usize, Objection> = HashMap::new();
        for id in channels {
            // One that is not known is refused for that.
            let Some(channel) = snapshot.channel(tenant, id) else { continue };
            let (places, outgoing): (Vec<usize>, Vec<Outgoing<'_>>) = orders
                .iter()
                .enumerate()
                .filter(|(_, order)| order.channel == id)
                .map(|(place, order)| (place, order.outgoing(now)))
                .unzip();
            let objections = self.permit(channel, &outgoing).await?;
            found.extend(places.into_iter().zip(objections).filter_map(|(place, objection)| Some((place, objection?))));
        }
        Ok((0..orders.len()).map(|place| found.remove(&place)).collect())
    }

    /// Takes messages for later, all of them or none. When this returns `Ok`, they are committed; under an idempotency key, once:
    /// then it may be that they were taken before. The entry of the audit log is committed with them; after an error, whoever
    /// brought it sees to it.
    pub async fn queue(
        &self,
        tenant: TenantId,
        messages: Vec<Ready>,
        idempotency: Option<Idempotency<'_>>,
        entry: Option<NewAuditEntry>,
    ) -> Result<Option<Before>, QueueError> {
        let Some(first) = messages.first().map(Ready::id) else { return Ok(None) };
        let claim = match &idempotency {
            Some(idempotency) => Some(self.claim_of(tenant, first, idempotency).await?),
            None => None,
        };
        let mut channels: Vec<ChannelId> = messages.iter().map(|one| one.channel).collect();
        channels.sort_unstable();
        channels.dedup();
        let several = messages.len() > 1;
        let now = self.clock.now();
        let due: Vec<(ChannelId, usize)> = messages.iter().filter_map(|one| one.falls_due(now)).collect();
        match self.accepting.take(Parcel { tenant, messages, claim, entry }).await {
            Ok(Stored::Now(_)) => {
                self.depths.add(due.into_iter());
                for channel in channels {
                    self.bells.ring(channel.uuid());
                }
                Ok(None)
            }
            Ok(Stored::Before(first, answer)) => self.told_before(tenant, first, answer).await.map(Some),
            // Which of them it was, the next look at the settings tells.
            Err(QueueError::UnknownChannel) if several => Err(QueueError::Store(StoreError::Unavailable)),
            Err(error) => Err(error),
        }
    }

    async fn claim_of(
        &self,
        tenant: TenantId,
        first: MessageId,
        idempotency: &Idempotency<'_>,
    ) -> Result<Claim, QueueError> {
        let keys = self.keyring.tenant(tenant).await?;
        let answer = match idempotency.answer {
            Some(answer) => {
                let dek = self.keyring.one_for_sealing(tenant, DekName::system(tenant)).await?;
                Some(envelope::seal(&dek.dek, &places::batch_answer(tenant, first), answer))
            }
            None => None,
        };
        let [key_hash, request_hash] = hashes(&keys, idempotency);
        Ok(Claim { key_hash, request_hash, message: first, answer })
    }

    async fn told_before(
        &self,
        tenant: TenantId,
        first: MessageId,
        answer: Option<Sealed>,
    ) -> Result<Before, QueueError> {
        let Some(sealed) = answer else { return Ok(Before { first, answer: None }) };
        let id = sealed.dek_id().ok_or(KeyringError::Gone)?;
        let keys = self.keyring.for_opening(tenant, [id]).await?;
        let opened = keys.get(&id).map(|key| envelope::open(&key.dek, &places::batch_answer(tenant, first), &sealed));
        let answer = opened.and_then(Result::ok).ok_or(KeyringError::Gone)?;
        Ok(Before { first, answer: Some(answer) })
    }

    pub(super) fn sending_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<Arc<Channel>, QueueError> {
        let snapshot = self.directory.snapshot();
        let channel = snapshot.channel(tenant, channel).ok_or(QueueError::UnknownChannel)?;
        if channel.token.is_none() {
            return Err(QueueError::NoToken);
        }
        Ok(channel.clone())
    }

    /// Stores a message that the mirror puts on the wire itself, and the entry of the audit log.
    pub(super) async fn keep(
        &self,
        tenant: TenantId,
        channel: Arc<Channel>,
        checked: Checked,
        entry: NewAuditEntry,
    ) -> Result<Kept, QueueError> {
        let now = self.clock.now();
        // The mirror answers within its time-out; after that its answer counts as lost.
        let next_at = now + super::mirror::LOST_AFTER;
        let kept = self.directory.snapshot().kept_by(&channel, ContentClass::Sent);
        let ready = Ready { origin: "mirror", next_at, kept, on_the_wire: true, ..made(&channel, checked, None, now) };
        let (message, body) = (ready.message, ready.body.clone());
        let parcel = Parcel { tenant, messages: vec![ready], claim: None, entry: Some(entry) };
        match self.accepting.take(parcel).await? {
            Stored::Now(contacts) => {
                let contact = contacts.first().copied().ok_or(StoreError::Unavailable)?;
                Ok(Kept { message, contact, channel, body })
            }
            Stored::Before(..) => Err(QueueError::InProgress),
        }
    }
}

/// Of the key and of the request.
fn hashes(keys: &TenantKeys, idempotency: &Idempotency<'_>) -> [[u8; 16]; 2] {
    let Idempotency { caller, key, request, .. } = idempotency;
    let key = keys.requests.hash(&[b"key", caller.uuid().as_bytes(), key.as_bytes()]);
    [key, keys.requests.hash(&[b"request", request])]
}

/// A message of the API, due now.
fn made(channel: &Channel, checked: Checked, fallback: Option<Map<String, Value>>, now: OffsetDateTime) -> Ready {
    let message = MessageId::new(now);
    let Checked { body, kind, recipient } = checked;
    let fallback = fallback.map(|mut fallback| {
        let members = RECIPIENT.into_iter().filter_map(|name| Some((name.to_owned(), body.get(name)?.clone())));
        fallback.extend(members);
        for_meta(fallback, message)
    });
    Ready {
        message,
        channel: channel.id,
        recipient,
        origin: "api",
        kind,
        body: for_meta(body, message),
        fallback,
        next_at: now,
        on_the_wire: false,
        terms: Terms::default(),
        key: None,
        kept: None,
    }
}

/// The JSON that goes to Meta.
fn for_meta(mut body: Map<String, Value>, message: MessageId) -> String {
    for parameter in GRAPH_PARAMETERS {
        body.remove(parameter);
    }
    body.entry("messaging_product").or_insert_with(|| Value::from("whatsapp"));
    let own = body.get(CALLBACK_DATA).and_then(Value::as_str);
    let data = callback_data(message, own);
    body.insert(CALLBACK_DATA.to_owned(), Value::from(data));
    Value::Object(body).to_string()
}
