//! Two-step verification and registration of a number. The PIN is made or taken over here, told to Meta and kept sealed.

use bytes::Bytes;
use serde_json::{Value, json};

use super::Sender;
use crate::crypto::random;
use crate::directory::{LoadError, PinChange, SaveError};
use crate::domain::channel::Channel;
use crate::ids::{ChannelId, TenantId};
use crate::meta::answer::{Answer, Outcome};
use crate::meta::client::SendError;
use crate::meta::client::call::{Call, Method, Outgoing};
use crate::secret::Pin;

/// Meta's code for a wrong PIN.
const WRONG_PIN: i32 = 133_005;

/// Why a PIN was not set, or a number not registered.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// No such channel.
    #[error("no such channel")]
    UnknownChannel,
    /// The channel has no access token.
    #[error("the channel has no access token")]
    NoToken,
    /// Another change is being asked for.
    #[error("the PIN of this number is being changed at this moment")]
    UnderWay,
    /// Meta refused.
    #[error("Meta refuses it{}", .0.map(|code| format!(" (error {code})")).unwrap_or_default())]
    Refused(Option<i32>),
    /// Meta was certainly not asked.
    #[error("Meta could not be reached; nothing was done")]
    Unreached,
    /// Meta may have done it.
    #[error("the answer of Meta was lost; it may have been done")]
    InDoubt,
    /// The PIN cannot be read.
    #[error("the PIN cannot be read")]
    Load(#[from] LoadError),
    /// The PIN cannot be kept.
    #[error("the PIN cannot be kept")]
    Save(#[from] SaveError),
}

/// Whether it is six digits.
#[must_use]
pub fn is_pin(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn random_pin() -> Pin {
    Pin::new(format!("{:06}", u64::from_be_bytes(random::bytes()) % 1_000_000))
}

impl Sender {
    /// Sets the PIN of a number at Meta; `None`: a random one. Finished even if whoever asks leaves.
    pub async fn set_pin(&self, tenant: TenantId, channel: ChannelId, pin: Option<Pin>) -> Result<(), PinError> {
        let (sender, channel) = (self.clone(), self.number_of(tenant, channel)?);
        let task = self.tasks.spawn(async move {
            let pin = pin.unwrap_or_else(random_pin);
            let body = json!({ "pin": pin.expose() });
            sender.tell_pin(&channel, pin, false, &[], &body).await
        });
        task.await.unwrap_or(Err(PinError::InDoubt))
    }

    /// Registers a number with this PIN; `None`: with the one that is kept, or a random one where none is. Finished even if whoever
    /// asks leaves.
    pub async fn register(&self, tenant: TenantId, channel: ChannelId, pin: Option<Pin>) -> Result<(), PinError> {
        let (sender, channel) = (self.clone(), self.number_of(tenant, channel)?);
        let (mut pins, mut are_kept) = match pin {
            Some(pin) => (vec![pin], false),
            None => (self.directory.pins(tenant, channel.id).await?, true),
        };
        if pins.is_empty() {
            pins.push(random_pin());
            are_kept = false;
        }
        let task = self.tasks.spawn(async move {
            let mut last = PinError::Refused(None);
            for pin in pins {
                let body = json!({ "messaging_product": "whatsapp", "pin": pin.expose() });
                match sender.tell_pin(&channel, pin, are_kept, &["register"], &body).await {
                    // Where the answer to an earlier change was lost, the other one is right.
                    Err(wrong @ PinError::Refused(Some(WRONG_PIN))) => last = wrong,
                    done => return done,
                }
            }
            Err(last)
        });
        task.await.unwrap_or(Err(PinError::InDoubt))
    }

    fn number_of(&self, tenant: TenantId, channel: ChannelId) -> Result<std::sync::Arc<Channel>, PinError> {
        let channel = self.directory.snapshot().channel(tenant, channel).cloned().ok_or(PinError::UnknownChannel)?;
        if channel.token.is_some() { Ok(channel) } else { Err(PinError::NoToken) }
    }

    /// A call with a PIN in it: kept before Meta sees it, and what Meta says of it afterwards.
    async fn tell_pin(
        &self,
        channel: &Channel,
        pin: Pin,
        is_kept: bool,
        path: &[&str],
        body: &Value,
    ) -> Result<(), PinError> {
        let begun = self.directory.begin_pin(channel.tenant, channel.id, pin, is_kept).await?;
        let change = begun.ok_or(PinError::UnderWay)?;
        let sent = self.call_number(channel, path, body).await;
        self.end_pin(change, &sent).await?;
        match sent.map(|answer| answer.outcome()) {
            Ok(Outcome::Accepted { .. }) => Ok(()),
            Ok(Outcome::Refused { code, .. }) => Err(PinError::Refused(code)),
            Err(SendError::NotSent(_)) => Err(PinError::Unreached),
            Err(SendError::InDoubt(_)) => Err(PinError::InDoubt),
        }
    }

    /// Keeps a PIN that Meta is about to be told, by whichever call.
    pub async fn begin_pin(&self, channel: &Channel, pin: Pin) -> Result<PinChange, PinError> {
        self.directory.begin_pin(channel.tenant, channel.id, pin, false).await?.ok_or(PinError::UnderWay)
    }

    /// Notes what became of it.
    pub async fn end_pin(&self, change: PinChange, sent: &Result<Answer, SendError>) -> Result<(), PinError> {
        let taken = match sent {
            Ok(answer) => Some((200..300).contains(&answer.status)),
            Err(SendError::NotSent(_)) => Some(false),
            Err(SendError::InDoubt(_)) => None,
        };
        Ok(self.directory.end_pin(change, taken).await?)
    }

    async fn call_number(&self, channel: &Channel, path: &[&str], body: &Value) -> Result<Answer, SendError> {
        let token = channel.token.as_ref().ok_or(SendError::NotSent(crate::meta::client::Cause::NoToken))?;
        let number = [channel.phone_number_id.as_str()];
        let call = Call {
            method: Method::POST,
            version: None,
            path: number.iter().chain(path).map(|part| (*part).to_owned()).collect(),
            query: Vec::new(),
            headers: Call::of_json(),
            body: Outgoing::Whole(Bytes::from(body.to_string())),
        };
        self.graph.call(token, call).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_six_digits() {
        assert!(is_pin("012345") && (0..50).all(|_| is_pin(random_pin().expose())));
        for wrong in ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"] {
            assert!(!is_pin(wrong), "{wrong}");
        }
    }
}
