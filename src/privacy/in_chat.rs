//! What people asked for in the chat, and said that they mean: it becomes a request with its clock, and an erasure. All have one id, so that
//! whoever is killed between two steps finds what was done.

use time::Duration;

use super::{Asked, Basis, Law, Named, NewRequest, Privacy, PrivacyError, RequestKind};
use crate::audit::{Act, Action, Actor, Object};
use crate::ids::{ErasureId, MessageId, PrivacyRequestId};
use crate::store::in_chat::InChatRow;

/// People who are served at once.
const AT_ONCE: i64 = 50;
/// How long an erasure waits for the message that tells of it: afterwards nobody could be told.
const TOLD_WITHIN: Duration = Duration::minutes(10);

impl Privacy {
    /// Enters what was confirmed, and has those forgotten who asked for it.
    pub async fn act_on_in_chat(&self, law: Law) -> Result<(), PrivacyError> {
        let now = self.clock.now();
        for one in self.store.in_chat(&["answered"], now, AT_ONCE).await? {
            match self.fulfil(&one, law).await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => tracing::warn!(%error, "what somebody asked for in the chat cannot be done"),
            }
            let message = one.message.map(MessageId::from_uuid);
            self.store.move_in_chat(one.tenant, one.id, ("answered", "done"), message, now).await?;
        }
        Ok(())
    }

    /// False: not yet.
    async fn fulfil(&self, one: &InChatRow, law: Law) -> Result<bool, PrivacyError> {
        let (tenant, id, named) = (one.tenant, PrivacyRequestId::from_uuid(one.id), Named::Contact(one.contact));
        let act = |action, class| Act::new(tenant, Actor::GATEWAY, action, Object::one(class, one.id));
        let kind = RequestKind::parse(&one.wish).ok_or(PrivacyError::Unknown)?;
        if self.store.find_privacy_request(tenant, id).await?.is_none() {
            let new = NewRequest { kind, law, named: Some(&named), reference: None, received_at: one.asked_at };
            self.enter_request(id, &new, act(Action::PrivacyRequestEntered, "privacy_request")).await?;
        }
        if kind != RequestKind::Erasure {
            return Ok(true);
        }
        if let Some(message) = one.message
            && self.clock.now() - one.changed_at < TOLD_WITHIN
            && self.store.is_waiting(tenant, one.channel, message).await?
        {
            return Ok(false);
        }
        let erasure = ErasureId::from_uuid(one.id);
        if self.store.find_erasure(tenant, erasure).await?.is_none() {
            // With the step of every day: nobody can have the epoch stepped by writing.
            let (basis, request) = (Basis::Request, Some(id));
            let asked = Asked { named: &named, basis, reference: None, step_now: false, request };
            self.erase(erasure, &asked, act(Action::ErasureRequested, "erasure")).await?;
        }
        Ok(true)
    }
}
