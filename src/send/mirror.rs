//! The Graph mirror: an application speaks to us as it would to Meta, and waits for Meta's answer. What it sends is kept and
//! tracked like everything else; Meta's token is added here and never leaves.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use time::Duration;

use super::Sender;
use super::check::{Draft, Fault};
use super::outcome::Ending;
use super::pace::{Limited, NoTurn, TooFast};
use super::queue::QueueError;
use super::rules::Outgoing;
use crate::domain::channel::Channel;
use crate::domain::message::for_the_wire;
use crate::ids::{ChannelId, ContactId, TenantId};
use crate::meta::answer::{Answer, Outcome};
use crate::meta::client::{Cause, Edge, SendError};
use crate::store::audit_entries::NewAuditEntry;

/// When an answer that was never recorded counts as lost. Longer than any request may take: `meta.timeout_ms` ends at five
/// minutes.
pub(super) const LOST_AFTER: Duration = Duration::minutes(6);

/// Why there is no answer of Meta's to pass on.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// Faults that Meta would refuse too; told in Meta's own form by the caller.
    #[error("the message is faulty")]
    Faulty(Vec<Fault>),
    /// No such channel for this caller.
    #[error("no such channel")]
    UnknownChannel,
    /// The channel has no access token.
    #[error("the channel cannot send: it has no access token")]
    NoToken,
    /// The person's last message is too old for anything but a template; Meta was not asked.
    #[error("the customer service window is closed")]
    WindowClosed,
    /// The person does not want marketing; Meta was not asked.
    #[error("the contact opted out of marketing")]
    OptedOut,
    /// The person's data are not to be used; Meta was not asked.
    #[error("the contact's data are restricted")]
    Restricted,
    /// Meta was certainly not asked.
    #[error("Meta could not be reached")]
    NotSent,
    /// Meta may have accepted the message; its answer was lost. Sending again may send twice.
    #[error("the answer of Meta was lost")]
    InDoubt,
    /// Meta would refuse it for going too fast, so it was not asked.
    #[error("the limit of the channel or of the person is reached")]
    Limited(Limited),
    /// The database or the keys are away; Meta was not asked.
    #[error("the message could not be stored")]
    Unavailable,
}

impl MirrorError {
    /// Whether the message, and the entry of the audit log with it, was stored when this came about: what the caller has to be told then
    /// waits for nothing more.
    #[must_use]
    pub const fn is_of_stored(&self) -> bool {
        match self {
            Self::NotSent | Self::InDoubt => true,
            Self::Faulty(_)
            | Self::UnknownChannel
            | Self::NoToken
            | Self::WindowClosed
            | Self::OptedOut
            | Self::Restricted
            | Self::Limited(_)
            | Self::Unavailable => false,
        }
    }
}

impl From<NoTurn> for MirrorError {
    fn from(none: NoTurn) -> Self {
        match none {
            NoTurn::Limited(limited) => Self::Limited(limited),
            NoTurn::Unavailable => Self::Unavailable,
        }
    }
}

impl From<QueueError> for MirrorError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Faulty(faults) => Self::Faulty(faults),
            QueueError::UnknownChannel => Self::UnknownChannel,
            QueueError::NoToken => Self::NoToken,
            QueueError::WindowClosed => Self::WindowClosed,
            QueueError::OptedOut => Self::OptedOut,
            QueueError::Restricted => Self::Restricted,
            // The mirror claims no idempotency keys.
            QueueError::KeyReused | QueueError::InProgress | QueueError::Store(_) | QueueError::Keys(_) => {
                Self::Unavailable
            }
        }
    }
}

/// The way to Meta that a caller chose.
#[derive(Debug, Default)]
pub struct Way {
    /// `vNN.0`; `None`: the configured one.
    pub version: Option<String>,
    /// Through which of Meta's doors.
    pub edge: Edge,
}

/// What an application hands to the mirror, read once.
#[derive(Debug)]
pub enum Passed {
    /// A mark-as-read, perhaps with a typing indicator: no message.
    Receipt(Bytes),
    /// A message, or what was meant for one.
    Message(Draft),
}

impl Passed {
    /// Whether it is a mark-as-read.
    #[must_use]
    pub const fn is_receipt(&self) -> bool {
        matches!(self, Self::Receipt(_))
    }

    /// Reads a body.
    #[must_use]
    pub fn read(body: Bytes) -> Self {
        match std::str::from_utf8(&body) {
            Ok(text) if is_receipt(text) => Self::Receipt(body),
            Ok(text) => Self::Message(Draft::read(text)),
            Err(_) => {
                let fault = Fault { pointer: String::new(), detail: "must be UTF-8".into() };
                Self::Message(Draft(Err(vec![fault])))
            }
        }
    }
}

impl Sender {
    /// Whom a body is for, as [`Sender::addressee`] says.
    pub async fn mirror_addressee(&self, tenant: TenantId, passed: &Passed) -> Result<Option<ContactId>, QueueError> {
        match passed {
            Passed::Receipt(_) => Ok(None),
            Passed::Message(draft) => self.addressee(tenant, draft).await,
        }
    }

    /// Passes a message or a mark-as-read on to Meta and its answer back. `contact` is whom [`Self::mirror_addressee`] found. A
    /// caller that leaves does not break it off: what Meta answers is recorded all the same. The entry of the audit log is committed
    /// with the message, before Meta is asked; with a mark-as-read, and after an error, whoever brought it sees to it.
    pub async fn mirror(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        way: Way,
        passed: Passed,
        (contact, entry): (Option<ContactId>, NewAuditEntry),
    ) -> Result<Answer, MirrorError> {
        let channel = self.sending_channel(tenant, channel)?;
        let sender = self.clone();
        let task = self.tasks.spawn(async move {
            match passed {
                Passed::Receipt(body) => sender.pass_receipt(&channel, &way, body).await,
                Passed::Message(draft) => sender.pass_message(channel, &way, draft, (contact, entry)).await,
            }
        });
        // The task panicked: what it had stored, the lane calls in doubt.
        task.await.unwrap_or(Err(MirrorError::InDoubt))
    }

    async fn pass_receipt(&self, channel: &Channel, way: &Way, body: Bytes) -> Result<Answer, MirrorError> {
        self.wait_for_turn(channel, None).await?;
        // Read twice is read: no harm in asking again.
        self.post(channel, way, body).await.map_err(|_| MirrorError::NotSent)
    }

    async fn pass_message(
        &self,
        channel: Arc<Channel>,
        way: &Way,
        draft: Draft,
        (contact, entry): (Option<ContactId>, NewAuditEntry),
    ) -> Result<Answer, MirrorError> {
        let checked = draft.0.map_err(MirrorError::Faulty)?;
        let is_marketing = way.edge == Edge::MarketingMessages;
        let outgoing = Outgoing { contact, kind: checked.kind, body: &checked.body, is_later: false, is_marketing };
        let objection = self.permit(&channel, &[outgoing]).await.map_err(QueueError::from)?.pop().flatten();
        if let Some(objection) = objection {
            return Err(QueueError::from(objection).into());
        }
        self.wait_for_turn(&channel, contact).await?;
        let kept = self.keep(channel.tenant, channel, checked, entry).await?;
        if contact.is_none() {
            self.note_first(&kept.channel, kept.contact).await;
        }
        let sent = self.post(&kept.channel, way, kept.body.clone().into()).await;
        let (ending, result) = match sent {
            Ok(answer) => {
                let ending = match answer.outcome() {
                    Outcome::Accepted { wamid } => Ending::Accepted { wamid, answer: answer.body.to_vec() },
                    Outcome::Refused { code, retry_after, .. } => {
                        if let Some(what) = TooFast::of(code) {
                            self.slow_down(&kept.channel, kept.contact, what, retry_after).await;
                            self.give_pair_back(&kept.channel, kept.contact).await;
                        }
                        Ending::Failed { code, answer: answer.body.to_vec() }
                    }
                };
                (ending, Ok(answer))
            }
            Err(SendError::NotSent(_)) => {
                (Ending::Failed { code: None, answer: Vec::new() }, Err(MirrorError::NotSent))
            }
            Err(SendError::InDoubt(_)) => (Ending::InDoubt, Err(MirrorError::InDoubt)),
        };
        if let Err(error) = self.settle_mirrored(&kept.channel, kept.message, kept.contact, &ending).await {
            // Meta has answered and the caller shall know. The lane finds the open row after LOST_AFTER and calls it in doubt.
            tracing::warn!(message = %kept.message, error = %error, "the answer of Meta could not be recorded");
        }
        result
    }

    pub(super) async fn post(&self, channel: &Channel, way: &Way, body: Bytes) -> Result<Answer, SendError> {
        let token = channel.token.as_ref().ok_or(SendError::NotSent(Cause::NoToken))?;
        let body = match for_the_wire(&body) {
            Cow::Borrowed(_) => body,
            Cow::Owned(short) => short.into(),
        };
        self.graph.send_message(&channel.phone_number_id, token, body, (way.version.as_deref(), way.edge)).await
    }
}

/// Exactly `{"messaging_product","status":"read","message_id"[,"typing_indicator"]}`: no message, but a receipt of ours.
fn is_receipt(body: &str) -> bool {
    const MEMBERS: [&str; 4] = ["messaging_product", "status", "message_id", "typing_indicator"];
    let Ok(Value::Object(body)) = serde_json::from_str(body) else { return false };
    body.keys().all(|name| MEMBERS.contains(&name.as_str()))
        && body.get("status").is_some_and(|status| status == "read")
        && body.get("message_id").is_some_and(Value::is_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_calls_itself_read_is_no_receipt() {
        assert!(is_receipt(
            r#"{"messaging_product":"whatsapp","status":"read","message_id":"a","typing_indicator":{"type":"text"}}"#
        ));
        assert!(!is_receipt(r#"{"status":"read","message_id":"a","to":"4915199900011","text":{"body":"x"}}"#));
        assert!(!is_receipt(r#"{"status":"read"}"#) && !is_receipt("[]"));
    }
}
