//! Into the door and through it: nobody without the permission, and nothing opened without an entry in the audit log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::alarms::Alarms;
use super::bursts::RefusedParty;
use super::door::{Door, DoorError};
use super::errand::Errand;
use super::{Caller, Denied, Permission};
use crate::audit::{Action, Audit, Decision, Object};
use crate::clock::SharedClock;
use crate::ids::{ApiKeyId, ChannelId, ContactId, TenantId};

/// What is about to be opened.
pub(super) struct Reading {
    action: Action,
    object: Object,
    channel: Option<ChannelId>,
    count: usize,
    people: Vec<Uuid>,
}

impl Reading {
    pub(super) const fn one(action: Action, object: Object) -> Self {
        Self { action, object, channel: None, count: 0, people: Vec::new() }
    }

    pub(super) const fn several(action: Action, class: &'static str) -> Self {
        Self::one(action, Object::several(class))
    }

    /// So many things, of this channel alone or of any, about these people.
    pub(super) fn of(self, channel: Option<ChannelId>, count: usize, people: Vec<Uuid>) -> Self {
        Self { channel, count, people, ..self }
    }
}

/// Proof that a reading is in the log. Whatever opens content asks for it, and nothing but `Door::record` makes it.
pub(super) struct Recorded(TenantId);

impl Recorded {
    /// Whose data may be opened.
    pub(super) const fn tenant(&self) -> TenantId {
        self.0
    }
}

impl Door {
    /// Lets a caller in who has the permission. A refusal leaves an entry.
    pub(super) async fn admit(&self, who: &Caller, errand: &Errand, what: Permission) -> Result<(), DoorError> {
        if let Err(denied) = who.require(what) {
            self.refusals.note(who, errand, denied).await;
            return Err(denied.into());
        }
        Ok(())
    }

    /// Counts the people against the caller's budget, leaves an entry and commits it. A reading that found nothing leaves none: there is nothing to be opened.
    pub(super) async fn record(&self, who: &Caller, errand: &Errand, reading: Reading) -> Result<Recorded, DoorError> {
        if self.withholds(who, &reading.people) {
            return Err(DoorError::Held);
        }
        if reading.count > 0 {
            self.spend(who, errand, &reading.people).await?;
            self.refusals.alarms.watch(who, errand, &reading.people).await?;
            let act = errand.act(who, reading.action, reading.object).in_channel(reading.channel).times(reading.count);
            errand.keep(self.audit.record_about(act, reading.people).await?);
        }
        Ok(Recorded(who.tenant))
    }
}

impl Door {
    /// Whether one of these people's data are held or restricted, and the caller is not one who may read them all the same.
    pub(super) fn withholds(&self, who: &Caller, people: &[Uuid]) -> bool {
        if who.require(Permission::HeldRead).is_ok() {
            return false;
        }
        let (snapshot, now) = (self.directory.snapshot(), self.clock.now());
        people.iter().any(|contact| {
            snapshot.is_held(who.tenant, contact, now)
                || snapshot.is_restricted(who.tenant, ContactId::from_uuid(*contact))
        })
    }
}

/// How long refusals of one key for one permission are counted before there is another entry.
const BURST: Duration = Duration::MINUTE;

type Burst = (ApiKeyId, Denied);

/// Leaves entries for those who were refused: one at once, and one for all that follow within a minute. Clones count together.
#[derive(Debug, Clone)]
pub struct Refusals {
    pub(super) alarms: Alarms,
    audit: Audit,
    clock: SharedClock,
    bursts: Arc<Mutex<HashMap<Burst, Counted>>>,
}

/// Refusals that no entry tells of yet.
#[derive(Debug, Clone)]
struct Counted {
    since: OffsetDateTime,
    count: usize,
    who: Caller,
    errand: Errand,
}

impl Refusals {
    /// Nobody was refused yet.
    #[must_use]
    pub fn new(alarms: Alarms, audit: Audit, clock: SharedClock) -> Self {
        Self { alarms, audit, clock, bursts: Arc::default() }
    }

    /// What is raised when there are many.
    #[must_use]
    pub const fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// Notes that a caller was refused.
    pub async fn note(&self, who: &Caller, errand: &Errand, why: Denied) {
        let now = self.clock.now();
        self.alarms.note_refused(who.tenant, RefusedParty::Key(who.key));
        {
            let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(counted) = bursts.get_mut(&(who.key, why)).filter(|counted| counted.is_young(now)) {
                counted.count += 1;
                return;
            }
            let begun = Counted { since: now, count: 0, who: who.clone(), errand: errand.clone() };
            let ended = bursts.insert((who.key, why), begun);
            // What was counted before is told together with this one.
            if let Some(counted) = ended.filter(|counted| counted.count > 0)
                && let Some(begun) = bursts.get_mut(&(who.key, why))
            {
                begun.count = counted.count;
            }
        }
        self.tell(who.key, why, true).await;
    }

    /// Tells of refusals whose minute is over. Called now and then.
    pub async fn flush(&self) {
        let now = self.clock.now();
        let over: Vec<Burst> = {
            let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
            bursts.retain(|_, counted| counted.count > 0 || counted.is_young(now));
            bursts.iter().filter(|(_, counted)| !counted.is_young(now)).map(|(burst, _)| *burst).collect()
        };
        for (key, why) in over {
            self.tell(key, why, false).await;
        }
    }

    /// Leaves an entry for what was counted, and one more when it was just refused.
    async fn tell(&self, key: ApiKeyId, why: Denied, one_more: bool) {
        let counted = {
            let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(counted) = bursts.get_mut(&(key, why)) else { return };
            let told = Counted { count: counted.count + usize::from(one_more), ..counted.clone() };
            counted.count = 0;
            told
        };
        let mut act = counted
            .errand
            .act(&counted.who, Action::AccessRefused, Object::several("permission"))
            .times(counted.count)
            .with(&[why.word()]);
        act.decision = Decision::Refused;
        if let Err(error) = self.audit.record(act).await {
            tracing::warn!(%error, count = counted.count, "a refusal could not be recorded; it is counted with the next");
            let mut bursts = self.bursts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(again) = bursts.get_mut(&(key, why)) {
                again.count += counted.count;
            }
        }
    }
}

impl Counted {
    /// A clock that was set back ends a burst.
    fn is_young(&self, now: OffsetDateTime) -> bool {
        let age = now - self.since;
        !age.is_negative() && age < BURST
    }
}
