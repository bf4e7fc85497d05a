//! Entries for steps of the key epoch. A step is written down in the key tables in its own commit, so that its entry is made even when
//! the process that took it was killed behind it.

use super::act::{Act, Action, Actor, Object};
use super::recorder::{Audit, AuditError};
use crate::ids::TenantId;

impl Audit {
    /// Makes an entry for every step of the key epoch that has none yet. Two, of the same words, when it is interrupted.
    pub async fn note_key_steps(&self) -> Result<(), AuditError> {
        let store = &self.inner.store;
        for step in store.unnoted_steps().await? {
            let act = Act::new(TenantId::DEFAULT, Actor::GATEWAY, Action::KeysStepped, Object::several("key_epoch"));
            let epochs = format!("epoch={}..{}", step.epoch - 1, step.epoch);
            let places = format!("places={}/{}", step.places_written, step.places);
            let count = usize::try_from(step.keys_forgotten).unwrap_or_default();
            self.record(act.times(count).with(&[&epochs, &places])).await?;
            store.note_step(step.epoch, self.inner.clock.now()).await?;
        }
        Ok(())
    }
}
