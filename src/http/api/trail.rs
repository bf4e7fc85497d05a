//! What a handler leaves in the audit log before it changes something: no entry, no change.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::response::Response;
use uuid::Uuid;

use crate::access::{Caller, Errand};
use crate::audit::{Action, Audit, AuditError, Object};
use crate::ids::{ChannelId, ContactId, MessageId};
use crate::send::Found;
use crate::store::audit_entries::NewAuditEntry;

/// The log, and the errand of this request.
pub(in crate::http) struct Trail {
    errand: Errand,
    audit: Audit,
}

impl<S: Send + Sync> FromRequestParts<S> for Trail
where
    Audit: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        Ok(Self { errand: Errand::from_request_parts(parts, state).await?, audit: Audit::from_ref(state) })
    }
}

impl Trail {
    /// Both, where there is no extractor.
    pub(in crate::http) const fn new(errand: Errand, audit: Audit) -> Self {
        Self { errand, audit }
    }

    /// Records that `who` does this to one thing. The members of the body, if there is one, are named.
    pub(in crate::http) async fn leave(
        &self,
        who: &Caller,
        action: Action,
        class: &'static str,
        id: Uuid,
    ) -> Result<(), AuditError> {
        self.errand.keep(self.audit.record(self.errand.act(who, action, Object::one(class, id))).await?);
        Ok(())
    }

    /// Records what `who` has asked of Meta through this channel, in words of ours.
    pub(in crate::http) async fn leave_graph(
        &self,
        who: &Caller,
        action: Action,
        channel: ChannelId,
        words: &[&str],
    ) -> Result<(), AuditError> {
        let act = self.errand.act(who, action, Object::one("channel", channel.uuid()));
        self.errand.keep(self.audit.record(act.in_channel(Some(channel)).with(words)).await?);
        Ok(())
    }

    /// What is recorded when `who` hands over messages: through which channel, when it is one alone, and for whom, as far as they
    /// are known. It is stored with the messages, or else by [`Self::file`], before anything is answered.
    pub(in crate::http) async fn of_messages(
        &self,
        who: &Caller,
        channels: &[ChannelId],
        contacts: &[Option<ContactId>],
    ) -> Result<NewAuditEntry, AuditError> {
        let alone = channels.first().copied().filter(|first| channels.iter().all(|channel| channel == first));
        let act = self.errand.act(who, Action::MessageSent, Object::several("message")).in_channel(alone);
        let contacts = contacts.iter().flatten().map(|contact| contact.uuid()).collect();
        let entry = self.audit.prepare(act.times(channels.len()), contacts).await?;
        self.errand.keep(entry.id);
        Ok(entry)
    }

    /// Records what was to be stored with messages, when none were.
    pub(in crate::http) async fn file(&self, entry: NewAuditEntry) -> Result<(), AuditError> {
        self.audit.append(entry).await.map(drop)
    }

    /// What is recorded when `who` wanted to hand over messages, so many, and could not: they were faulty, or not for a channel of theirs.
    pub(in crate::http) async fn of_faulty(&self, who: &Caller, messages: usize) -> Result<NewAuditEntry, AuditError> {
        let act = self.errand.act(who, Action::MessageSent, Object::several("message"));
        let entry = self.audit.prepare(act.times(messages), Vec::new()).await?;
        self.errand.keep(entry.id);
        Ok(entry)
    }

    /// Records that `who` hands over a file, for this channel alone, and about whom, where that is said.
    pub(in crate::http) async fn leave_file(
        &self,
        who: &Caller,
        channel: Option<ChannelId>,
        contact: Option<ContactId>,
    ) -> Result<(), AuditError> {
        let act = self.errand.act(who, Action::MediaUploaded, Object::several("media")).in_channel(channel);
        let people = contact.map(ContactId::uuid).into_iter().collect();
        self.errand.keep(self.audit.record_about(act, people).await?);
        Ok(())
    }

    /// Records that `who` does this to one message, and to whom it goes.
    pub(in crate::http) async fn leave_about(
        &self,
        who: &Caller,
        action: Action,
        id: MessageId,
        message: &Found,
    ) -> Result<(), AuditError> {
        let act = self.errand.act(who, action, Object::one("message", id.uuid())).in_channel(Some(message.channel));
        self.errand.keep(self.audit.record_about(act, vec![message.contact.uuid()]).await?);
        Ok(())
    }
}
