//! What somebody should look at: said in the log, in the audit log where it is about an act, and to endpoints by an event. It is said
//! behind the answer to the request that caused it, so that neither its time nor its bytes tell anything.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bursts::{Burst, Bursts, RefusedParty};
use super::{Caller, DoorError, Errand};
use crate::audit::{Act, Action, Audit, Object};
use crate::directory::{AlarmEvent, Directory};
use crate::domain::event::EventType;
use crate::ids::{ApiKeyId, AuditEntryId, ContactId, TenantId};
use crate::keyring::{CellState, Keyring};
use crate::store::Store;
use crate::store::privacy_requests::DueRequest;
use crate::telemetry;

/// A key that opens a decoy again is told of again after so long.
const AGAIN: time::Duration = time::Duration::HOUR;
/// Alarms that wait to be said at most. More than that, and the database has been away while somebody rages; the metrics count.
const MOST_WAITING: usize = 1000;
/// Those that could not be said are tried again after this.
const RETRY: Duration = Duration::from_secs(5);
/// Entries that wait longer for their place in the tree are worth an alarm.
pub const LOG_STANDS: time::Duration = time::Duration::minutes(5);

/// Raises alarms. Clones are one.
#[derive(Debug, Clone)]
pub struct Alarms {
    store: Store,
    keyring: Keyring,
    directory: Directory,
    audit: Audit,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    bursts: Bursts,
    waiting: Mutex<Waiting>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    alarms: VecDeque<Alarm>,
    /// Which key was last told of to have opened which decoy, and when.
    opened: HashMap<(ApiKeyId, ContactId), OffsetDateTime>,
    log_stands: bool,
    /// Places of the epoch cell that were lost when this was last looked at.
    places_lost: usize,
}

#[derive(Debug)]
struct Alarm {
    tenant: TenantId,
    at: OffsetDateTime,
    what: What,
}

#[derive(Debug)]
enum What {
    /// `act` becomes an entry, once.
    DecoyOpened {
        key: ApiKeyId,
        contact: ContactId,
        act: Box<Act>,
        entry: Option<AuditEntryId>,
    },
    RefusedBurst(Burst),
    LogStands {
        since: OffsetDateTime,
    },
    ForgottenKeySeen,
    RequestDue(DueRequest),
    PlaceLost {
        whole: usize,
        places: usize,
        needed: usize,
    },
}

impl Alarms {
    pub(super) fn new(store: Store, keyring: Keyring, directory: Directory, audit: Audit) -> Self {
        Self { store, keyring, directory, audit, shared: Arc::default() }
    }

    /// Looks whether somebody opens decoys. Nothing that the caller could notice comes of it.
    pub(super) async fn watch(&self, who: &Caller, errand: &Errand, people: &[Uuid]) -> Result<(), DoorError> {
        let people: Vec<ContactId> = people.iter().copied().map(ContactId::from_uuid).collect();
        for contact in self.directory.decoys_among(who.tenant, &people).await? {
            let (key, at) = (who.key, self.directory.now());
            if !self.is_news(key, contact, at) {
                continue;
            }
            let act = Box::new(errand.act(who, Action::DecoyOpened, Object::one("contact", contact.uuid())));
            self.raise(who.tenant, at, What::DecoyOpened { key, contact, act, entry: None });
        }
        Ok(())
    }

    fn is_news(&self, key: ApiKeyId, contact: ContactId, at: OffsetDateTime) -> bool {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.opened.retain(|_, last| at - *last < AGAIN && *last <= at);
        let is_news = !waiting.opened.contains_key(&(key, contact));
        waiting.opened.entry((key, contact)).or_insert(at);
        is_news
    }

    /// Notes that somebody was refused.
    pub fn note_refused(&self, tenant: TenantId, party: RefusedParty) {
        let now = self.directory.now();
        if let Some(burst) = self.shared.bursts.note(party, now) {
            tracing::warn!(
                reason = party.word(),
                key = party.key().map(tracing::field::display),
                "many requests are refused"
            );
            self.raise(tenant, now, What::RefusedBurst(burst));
        }
    }

    /// Notes since when the oldest entry waits that is in no tree. Tells when it is too long, and again after it was over.
    pub fn watch_log(&self, tenant: TenantId, oldest: Option<OffsetDateTime>) {
        let now = self.directory.now();
        let since = oldest.filter(|since| now - *since > LOG_STANDS);
        let stood = {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut waiting.log_stands, since.is_some())
        };
        if let Some(since) = since.filter(|_| !stood) {
            tracing::error!(
                seconds = (now - since).whole_seconds(),
                "entries of the audit log are not put into its tree"
            );
            self.raise(tenant, now, What::LogStands { since });
        }
    }

    /// Notes how often a destroyed key was met in the key tables.
    pub fn note_forgotten_keys(&self, tenant: TenantId, seen: u64) {
        if seen > 0 {
            metrics::counter!(telemetry::FORGOTTEN_KEYS_SEEN).increment(seen);
            self.raise(tenant, self.directory.now(), What::ForgottenKeySeen);
        }
    }

    /// Tells of requests of people that are to be answered soon, or should have been. Told again, it is the same on one day.
    pub fn remind_of(&self, due: Vec<DueRequest>) {
        let now = self.directory.now();
        for one in due {
            tracing::warn!(request = %one.request_id, law = %one.law, overdue = one.due_at < now, "a request about data is due");
            self.raise(TenantId::from_uuid(one.tenant_id), now, What::RequestDue(one));
        }
    }

    /// Notes how the places of the epoch cell stand. Tells of each that is lost more than before.
    pub fn watch_cell(&self, tenant: TenantId, cell: &CellState) {
        let (whole, places, needed) = (cell.whole(), cell.places.len(), cell.needed);
        let lost = places - whole;
        let before = {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut waiting.places_lost, lost)
        };
        if lost > before {
            for (place, fault) in cell.places.iter().filter_map(|(place, fault)| Some((place, fault.as_ref()?))) {
                tracing::error!(place = %place.display(), fault, "a place of the epoch cell is lost");
            }
            self.raise(tenant, self.directory.now(), What::PlaceLost { whole, places, needed });
        } else if lost < before {
            tracing::info!(whole, places, "places of the epoch cell are whole again");
        }
    }

    fn raise(&self, tenant: TenantId, at: OffsetDateTime, what: What) {
        self.put_back([Alarm { tenant, at, what }]);
        self.shared.rung.notify_one();
    }

    fn put_back(&self, alarms: impl IntoIterator<Item = Alarm>) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MOST_WAITING.saturating_sub(waiting.alarms.len());
        waiting.alarms.extend(alarms.into_iter().take(room));
    }

    /// Says alarms until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.shared.rung.notified() => {}
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => break,
            }
            self.flush().await;
        }
        self.flush().await;
    }

    /// Says what waits to be said. What cannot be said now waits on.
    pub async fn flush(&self) {
        let alarms = {
            let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut waiting.alarms)
        };
        let mut unsaid = Vec::new();
        for mut alarm in alarms {
            if let Err(error) = self.say(&mut alarm).await {
                tracing::warn!(%error, "an alarm could not be raised; it is tried again");
                unsaid.push(alarm);
            }
        }
        self.put_back(unsaid);
    }

    async fn say(&self, alarm: &mut Alarm) -> Result<(), DoorError> {
        if let What::DecoyOpened { key, contact, act, entry } = &mut alarm.what
            && entry.is_none()
        {
            *entry = Some(self.audit.record_about(Act::clone(act), vec![contact.uuid()]).await?);
            tracing::warn!(%key, "a decoy was opened");
            metrics::counter!(telemetry::DECOYS_OPENED).increment(1);
        }
        let (event_type, subject, details) = alarm.told();
        let event = AlarmEvent { tenant: alarm.tenant, event_type, subject, details, at: alarm.at };
        let told = event.file(&self.keyring, &self.directory.snapshot()).await?;
        Ok(self.store.tell(alarm.tenant, told, alarm.at).await?)
    }
}

impl Alarm {
    /// Which event it is, what tells it from others, and what it says. It does not name the decoy: whoever is told of it and knows
    /// the key could avoid it from then on. The entry does, to those who may read the log.
    fn told(&self) -> (EventType, Vec<u8>, Value) {
        let hour = self.at.unix_timestamp().div_euclid(3600).to_be_bytes();
        match &self.what {
            What::DecoyOpened { key, contact, entry, .. } => (
                EventType::DecoyOpened,
                [key.uuid().as_bytes().as_slice(), contact.uuid().as_bytes(), &hour].concat(),
                json!({ "key_id": Some(key).filter(|key| !key.uuid().is_nil()), "audit_entry_id": entry }),
            ),
            What::RefusedBurst(Burst { party, minute, count }) => (
                EventType::RefusedBurst,
                [
                    party.word().as_bytes(),
                    party.key().map_or(Uuid::nil(), ApiKeyId::uuid).as_bytes(),
                    &minute.to_be_bytes(),
                ]
                .concat(),
                json!({ "reason": party.word(), "key_id": party.key(), "refused_at_least": count, "within_seconds": 60 }),
            ),
            What::ForgottenKeySeen => (EventType::ForgottenKeySeen, hour.to_vec(), json!({ "within_seconds": 3600 })),
            What::RequestDue(DueRequest { request_id, kind, law, due_at, .. }) => {
                let overdue = *due_at < self.at;
                (
                    EventType::PrivacyRequestDue,
                    [request_id.as_bytes().as_slice(), &[u8::from(overdue)]].concat(),
                    json!({ "request_id": request_id.to_string(), "kind": kind, "law": law, "due_at": due_at.format(&Rfc3339).ok(),
                            "overdue": overdue }),
                )
            }
            What::PlaceLost { whole, places, needed } => (
                EventType::CellPlaceLost,
                [&(*whole as u64).to_be_bytes()[..], &hour].concat(),
                json!({ "places_whole": whole, "places": places, "places_needed": needed }),
            ),
            What::LogStands { since } => {
                (EventType::LogStalled, hour.to_vec(), json!({ "waiting_since": since.format(&Rfc3339).ok() }))
            }
        }
    }
}
