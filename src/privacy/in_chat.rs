//! What people asked for in the chat, and said that they mean: it becomes a request with its clock, and an erasure, or an archive where the operator
//! wants that. All have one id, so that whoever is killed between two steps finds what was done.

use time::Duration;

use uuid::Uuid;

use super::identity::{Identity, Method};
use super::{Asked, Basis, Law, Named, NewRequest, Privacy, PrivacyError, RequestKind, SealedFor};
use crate::audit::{Act, Action, Actor, Object};
use crate::crypto::age::Passphrase;
use crate::ids::{ContactId, ErasureId, ExportId, MessageId, PrivacyRequestId, TenantId};
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
            let next = match self.fulfil(&one, law).await {
                Ok(None) => continue,
                Ok(Some(next)) => next,
                Err(error) if error.is_retryable() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "what somebody asked for in the chat cannot be done by itself");
                    "done"
                }
            };
            let message = one.message.map(MessageId::from_uuid);
            self.store.move_in_chat(one.tenant, one.id, ("answered", next), message, now).await?;
        }
        for one in self.store.in_chat(&["making"], now, AT_ONCE).await? {
            let Some(next) = self.look_for_archive(&one).await? else { continue };
            let message = one.message.map(MessageId::from_uuid);
            self.store.move_in_chat(one.tenant, one.id, ("making", next), message, now).await?;
        }
        Ok(())
    }

    /// What state it brings. `None`: not yet.
    async fn fulfil(&self, one: &InChatRow, law: Law) -> Result<Option<&'static str>, PrivacyError> {
        let (tenant, id, named) = (one.tenant, PrivacyRequestId::from_uuid(one.id), Named::Contact(one.contact));
        let act = |action, class| Act::new(tenant, Actor::GATEWAY, action, Object::one(class, one.id));
        let kind = RequestKind::parse(&one.wish).ok_or(PrivacyError::Unknown)?;
        if self.store.find_privacy_request(tenant, id).await?.is_none() {
            let new = NewRequest { kind, law, named: Some(&named), reference: None, received_at: one.asked_at };
            self.enter_request(id, &new, act(Action::PrivacyRequestEntered, "privacy_request")).await?;
        }
        if kind != RequestKind::Erasure {
            return self.begin_archive(one).await;
        }
        if let Some(message) = one.message
            && self.clock.now() - one.changed_at < TOLD_WITHIN
            && self.store.is_waiting(tenant, one.channel, message).await?
        {
            return Ok(None);
        }
        let erasure = ErasureId::from_uuid(one.id);
        if self.store.find_erasure(tenant, erasure).await?.is_none() {
            // With the step of every day: nobody can have the epoch stepped by writing.
            let (basis, request) = (Basis::Request, Some(id));
            let identity = Some(Identity { method: Method::Chat, note: None });
            let asked = Asked { named: &named, basis, reference: None, step_now: false, request, identity };
            self.erase(erasure, &asked, act(Action::ErasureRequested, "erasure")).await?;
        }
        Ok(Some("done"))
    }

    /// Has the archive made that somebody asked for, where the operator wants that. Of whom Meta has told of late that they changed, and whose
    /// data are held or restricted, it waits for a person.
    async fn begin_archive(&self, one: &InChatRow) -> Result<Option<&'static str>, PrivacyError> {
        let (tenant, id) = (one.tenant, ExportId::from_uuid(one.id));
        if !self.exports.in_chat {
            return Ok(Some("done"));
        }
        if self.store.find_export(tenant, id).await?.is_some() {
            return Ok(Some("making"));
        }
        let (contact, everyone) = self.person(tenant, &Named::Contact(one.contact)).await?;
        self.may_export(tenant, &everyone, false).await?;
        if self.is_withheld(tenant, &everyone) {
            return Err(PrivacyError::Refused);
        }
        let passphrase = Passphrase::of(&self.keyring.tenant(tenant).await?.chat_passphrase(one.id));
        let (sealed_for, _) = SealedFor::passphrase(passphrase).await?;
        let act = Act::new(tenant, Actor::GATEWAY, Action::ExportRequested, Object::one("export", one.id));
        self.audit.record_about(act, everyone.clone()).await?;
        let request = Some(PrivacyRequestId::from_uuid(one.id));
        self.export((tenant, id, Uuid::nil()), (contact, &everyone), (&sealed_for, request)).await?;
        Ok(Some("making"))
    }

    fn is_withheld(&self, tenant: TenantId, everyone: &[Uuid]) -> bool {
        let (snapshot, now) = (self.directory.snapshot(), self.clock.now());
        everyone.iter().any(|contact| {
            snapshot.is_held(tenant, contact, now) || snapshot.is_restricted(tenant, ContactId::from_uuid(*contact))
        })
    }

    /// What state it brings that the archive is there, or never will be. `None`: it is still being made.
    async fn look_for_archive(&self, one: &InChatRow) -> Result<Option<&'static str>, PrivacyError> {
        let row = self.store.find_export(one.tenant, ExportId::from_uuid(one.id)).await?;
        match row {
            Some(row) if matches!(row.state.as_str(), "requested" | "building") => Ok(None),
            // Somebody else may have got their number meanwhile.
            Some(row) if row.state == "ready" => match self.may_export(one.tenant, &row.contact_ids, false).await {
                Ok(()) => Ok(Some("ready")),
                Err(error) if error.is_retryable() => Err(error),
                Err(error) => {
                    tracing::warn!(%error, "an archive that somebody asked for in the chat waits for you to make sure who they are");
                    Ok(Some("done"))
                }
            },
            _ => {
                tracing::warn!("an archive that somebody asked for in the chat could not be made");
                Ok(Some("done"))
            }
        }
    }
}
