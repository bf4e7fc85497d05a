//! What an export is asked for with: whose, for whom it is encrypted, and how long a link to it is good for.

use serde_json::value::RawValue;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::body::{Faults, Field, request};
use super::fields::{text, value};
use super::named::{PhoneText, UserIdText, UsernameText};
use super::problem::Problem;
use crate::crypto::age::Passphrase;
use crate::ids::{ContactId, PrivacyRequestId};
use crate::privacy::SealedFor;

/// The most, in seconds: a week. The archive may be gone before.
const LONGEST: u32 = 604_800;

/// A public key of age, `age1…`.
#[derive(ToSchema)]
#[schema(value_type = String, example = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudf5kelsv5qkss")]
pub(super) struct RecipientText(SealedFor);

impl Field for RecipientText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text = text(json, at, faults, 1..=200)?;
        SealedFor::recipient(&text).map(Self).or_else(|| faults.note(at, "recipient", "a public key of age: age1…"))
    }
}

/// By what an archive opens: `key` (a new one, or `recipient`) or `passphrase` (a new one).
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(key|passphrase)$")]
pub(super) struct ProtectText(pub(super) bool);

impl Field for ProtectText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        match value::<String>(json, at, faults, "a text")?.as_str() {
            "key" => Some(Self(false)),
            "passphrase" => Some(Self(true)),
            _ => faults.note(at, "choice", "key, passphrase"),
        }
    }
}

/// 1 to 604800 seconds.
#[derive(ToSchema)]
#[schema(value_type = u32, minimum = 1, maximum = 604_800)]
pub(super) struct LinkSeconds(pub(super) u32);

impl Field for LinkSeconds {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let seconds: u32 = value(json, at, faults, "a number of seconds")?;
        if (1..=LONGEST).contains(&seconds) { Some(Self(seconds)) } else { faults.note(at, "range", "1 to 604800") }
    }
}

request! {
    /// Whose data: by one of `contact_id`, `phone`, `user_id` and `username`.
    NewExport {
        /// By our own id.
        contact_id: Option<ContactId>,
        /// By a number.
        phone: Option<PhoneText>,
        /// By Meta's id.
        user_id: Option<UserIdText>,
        /// By the handle.
        username: Option<UsernameText>,
        /// For whom the archive is encrypted. Absent: for whoever has the new key that stands in the answer.
        recipient: Option<RecipientText>,
        /// By what it opens; `key` when absent. `passphrase`: by a new one, which stands in the answer.
        protect: Option<ProtectText>,
        /// True: you have made sure who asks, although their number, id or device changed of late.
        identity_confirmed: Option<bool>,
        /// The request that it is made for (`/v1/privacy/requests`). Of whoever asked, where nobody else is named.
        request_id: Option<PrivacyRequestId>,
    }
}

request! {
    /// How long the link is to be good for.
    NewExportLink {
        /// 86400 when absent: a day. The archive may be gone before.
        expires_in_seconds: Option<LinkSeconds>,
    }
}

/// For whom an archive is encrypted, and what whoever asks is shown this once: an identity, or a passphrase.
pub(super) struct Opening {
    pub(super) sealed_for: SealedFor,
    pub(super) identity: Option<Zeroizing<String>>,
    pub(super) passphrase: Option<Zeroizing<String>>,
}

impl Opening {
    pub(super) async fn of(recipient: Option<RecipientText>, by_passphrase: bool) -> Result<Self, Problem> {
        let (identity, passphrase) = (None, None);
        if let Some(recipient) = recipient {
            return Ok(Self { sealed_for: recipient.0, identity, passphrase });
        }
        if by_passphrase {
            let (sealed_for, made) = SealedFor::passphrase(Passphrase::generate()).await?;
            let passphrase = Some(Zeroizing::new(made.show().to_owned()));
            return Ok(Self { sealed_for, identity, passphrase });
        }
        let (sealed_for, made) = SealedFor::new_key()?;
        Ok(Self { sealed_for, identity: Some(made), passphrase })
    }
}
