//! Budgets: how many contacts a key is shown in an hour. Whoever steals a key with a budget gets no more than that out of it.

use uuid::Uuid;

use super::errand::Budget;
use super::{Caller, Door, DoorError, Errand};
use crate::audit::{Act, Action, Actor, Object};
use crate::directory::KeyEvent;
use crate::domain::event::EventType;
use crate::store::budgets::Spent;
use crate::telemetry;

impl Door {
    /// Counts the contacts that a caller is about to be shown, before anything is opened. When it would be too many, nothing is
    /// shown and the key is locked: its owner would ask for fewer, and a thief shall not go on.
    pub(super) async fn spend(&self, who: &Caller, errand: &Errand, contacts: &[Uuid]) -> Result<(), DoorError> {
        let Some(budget) = who.budget.filter(|_| !contacts.is_empty()) else { return Ok(()) };
        let keys = self.keyring.tenant(who.tenant).await?;
        let hash = |contact: &Uuid| keys.shown_to(who.key, contact);
        let hashes: Vec<[u8; 16]> = contacts.iter().map(hash).collect();
        match self.store.spend(who.tenant, who.key, &hashes, budget, self.directory.now()).await? {
            Spent::Yes { left } => {
                errand.note_budget(Budget { contacts: budget, left });
                Ok(())
            }
            Spent::Locked => Err(DoorError::Spent),
            Spent::TooMuch => {
                self.lock(who, budget).await?;
                Err(DoorError::Spent)
            }
        }
    }

    async fn lock(&self, who: &Caller, budget: u32) -> Result<(), DoorError> {
        let now = self.directory.now();
        self.store.ensure_partitions(now.date()).await?;
        let event =
            KeyEvent { tenant: who.tenant, key: who.key, event_type: EventType::ReadBudgetExceeded, budget, at: now };
        let told = event.file(&self.keyring, &self.directory.snapshot()).await?;
        let act = Act::new(who.tenant, Actor::GATEWAY, Action::KeyLocked, Object::one("key", who.key.uuid()));
        let entry = self.audit.prepare(act, Vec::new()).await?;
        if self.store.lock_api_key(who.tenant, who.key, told, entry, now).await? {
            tracing::warn!(key = %who.key, budget, "a key was about to be shown more contacts than it may; it is locked");
            metrics::counter!(telemetry::KEYS_LOCKED).increment(1);
            // A failure is made good by the next poll of the settings; the row itself is locked already.
            let _poll = self.directory.reload().await;
        }
        Ok(())
    }
}
