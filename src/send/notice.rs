//! Tells people what becomes of their data (GDPR Art. 13): each once for a version of the text, when they have written, through the
//! number that they wrote to. It goes the way of all messages, under an idempotency key, so that whoever is killed on the way has it told once.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{Idempotency, Order, QueueError, Sender, Terms};
use crate::crypto::envelope::Sealed;
use crate::directory::profile::Profile;
use crate::ids::{ApiKeyId, MessageId};
use crate::store::notices::Untold;
use crate::telemetry::Trouble;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);
/// People who are told at once.
const AT_ONCE: i64 = 50;
/// How long a window is open after a message.
const WINDOW: time::Duration = time::Duration::hours(24);
/// Who wrote within this time is looked for every time, and whoever has an open window every so many times: Meta may be late.
const LATELY: time::Duration = time::Duration::minutes(10);
const ALL_EVERY: u32 = 60;

/// What people are told, and which version of it that is.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The operator's name for the text.
    pub version: String,
    /// The text.
    pub text: String,
}

/// Tells until told to stop; at once, when nobody is to be told.
pub async fn run(sender: Sender, stop: CancellationToken) {
    let Some(notice) = sender.notice.clone() else { return };
    let mut trouble = Trouble::none(
        "people cannot be told what becomes of their data",
        "people can be told again what becomes of their data",
    );
    let mut round = 0_u32;
    loop {
        let now = sender.clock.now();
        let ends_after = if round.is_multiple_of(ALL_EVERY) { now } else { now + WINDOW - LATELY };
        let told = sender.tell_of_data(&notice, ends_after).await;
        trouble.note(&told);
        // A full page: there may be more of them.
        if !told.is_ok_and(|told| told == AT_ONCE) {
            round = round.wrapping_add(1);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Whether somebody who cannot be told now may be told later.
pub(super) const fn may_pass(error: &QueueError) -> bool {
    match error {
        QueueError::NoToken | QueueError::UnknownChannel | QueueError::WindowClosed | QueueError::Restricted => true,
        QueueError::Faulty(_)
        | QueueError::OptedOut
        | QueueError::KeyReused
        | QueueError::InProgress
        | QueueError::Store(_)
        | QueueError::Keys(_) => false,
    }
}

impl Sender {
    async fn tell_of_data(&self, notice: &Notice, ends_after: OffsetDateTime) -> Result<i64, QueueError> {
        let looked = (ends_after, self.clock.now());
        let untold = self.store.untold(&notice.version, looked, AT_ONCE).await?;
        for one in &untold {
            let key = format!("notice {} {}", notice.version, one.contact);
            let message = match self.say_to(one, &notice.text, &key).await {
                Err(QueueError::InProgress) => continue,
                Err(error) if may_pass(&error) => {
                    tracing::debug!(contact = %one.contact, %error, "somebody cannot be told yet what becomes of their data");
                    self.store.put_notice_off(one.tenant, one.contact, &notice.version, self.clock.now()).await?;
                    continue;
                }
                result => result?,
            };
            self.store.note_notice(one.tenant, one.contact, (&notice.version, message), self.clock.now()).await?;
        }
        Ok(i64::try_from(untold.len()).unwrap_or(i64::MAX))
    }

    /// Tells somebody something, once for a key. `None`: they cannot be told. Fails for what may pass, and while another does the same.
    pub(super) async fn say_to(&self, to: &Untold, text: &str, key: &str) -> Result<Option<MessageId>, QueueError> {
        match self.hand_over(to, text, key).await {
            Ok(message) => Ok(Some(message)),
            Err(QueueError::Store(error)) if error.is_retryable() => Err(error.into()),
            Err(QueueError::Keys(error)) if error.is_retryable() => Err(error.into()),
            Err(QueueError::InProgress) => Err(QueueError::InProgress),
            Err(error) if may_pass(&error) => Err(error),
            Err(error) => {
                tracing::warn!(contact = %to.contact, %error, "somebody cannot be told what becomes of their data");
                Ok(None)
            }
        }
    }

    /// Takes the message, or finds it taken before.
    async fn hand_over(&self, to: &Untold, text: &str, key: &str) -> Result<MessageId, QueueError> {
        let message = self.addressed_to(to, text).await?;
        let message = zeroize::Zeroizing::new(message.to_string());
        let now = self.clock.now();
        let order = Order::read(&message, None, Terms::default(), now).map_err(QueueError::Faulty)?;
        let addressed = self.addressed(to.tenant, vec![(to.channel, order)]).await?;
        let ready = self.ready(to.tenant, None, addressed).await?.pop().ok_or(QueueError::UnknownChannel)??;
        let id = ready.id();
        let idempotency =
            Idempotency { caller: ApiKeyId::from_uuid(uuid::Uuid::nil()), key, request: key.as_bytes(), answer: None };
        let before = self.queue(to.tenant, vec![ready], Some(idempotency), None).await?;
        Ok(before.map_or(id, |before| before.first))
    }

    /// By the number, or by Meta's id where there is none.
    async fn addressed_to(&self, to: &Untold, text: &str) -> Result<Value, QueueError> {
        let sealed = Sealed::from_stored(to.profile.clone());
        let keys = self.keyring.for_opening(to.tenant, sealed.dek_id()).await?;
        let key = sealed.dek_id().and_then(|dek| keys.get(&dek).cloned());
        let profile =
            key.and_then(|key| Profile::open(&key, to.tenant, to.contact.uuid(), &sealed)).unwrap_or_default();
        let mut message = json!({ "type": "text", "text": { "body": text } });
        let (name, whom) = match profile.phone {
            Some(phone) => ("to", phone),
            None => ("recipient", profile.user_id.unwrap_or_default()),
        };
        if let Some(members) = message.as_object_mut() {
            members.insert(name.to_owned(), json!(whom));
        }
        Ok(message)
    }
}
