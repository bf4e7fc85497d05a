//! The kinds of value that bodies hold. Each says what it expects and quotes nothing.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{Faults, Field};
use crate::access::permissions::ADMIN;
use crate::access::{Permission, Permissions};
use crate::config::looks_like_an_example;
use crate::domain::channel::MediaMode;
use crate::domain::door::{DoorPolicy, Treatment};
use crate::domain::endpoint::{Filter, Format, State, parse_url};
use crate::domain::keeping::{ContentClass, Keep, KeepPolicy};
use crate::domain::message::{OnDoubt, Priority};
use crate::ids::{ChannelId, ContactId, EventId, PhoneNumberId, PrivacyRequestId, WabaId};

pub(super) fn value<T: DeserializeOwned>(json: &RawValue, at: &str, faults: &mut Faults, expected: &str) -> Option<T> {
    serde_json::from_str(json.get()).ok().or_else(|| faults.note(at, "type", expected))
}

pub(super) fn text(
    json: &RawValue,
    at: &str,
    faults: &mut Faults,
    length: std::ops::RangeInclusive<usize>,
) -> Option<String> {
    let text: String = value(json, at, faults, "a text")?;
    let expected = || format!("{} to {} characters", length.start(), length.end());
    if !length.contains(&text.chars().count()) {
        return faults.note(at, "length", expected());
    }
    if text.chars().any(char::is_control) {
        return faults.note(at, "characters", "a text without control characters");
    }
    Some(text)
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $from:tt..=$to:tt),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[schema(value_type = String, min_length = $from, max_length = $to)]
        pub(super) struct $name(pub(super) String);

        impl Field for $name {
            fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
                text(json, at, faults, $from..=$to).map(Self)
            }
        }
    )+};
}

texts! {
    /// Free text for people, 1 to 100 characters. Not for names of persons: it is stored readable.
    Name: 1..=100,
    /// Of the case, 1 to 500 characters. It is stored sealed, and stands in no certificate.
    ReferenceText: 1..=500,
    /// Why, 1 to 2000 characters. It is stored sealed.
    WhyText: 1..=2000,
    /// What was agreed to, 1 to 4096 characters. It is stored sealed.
    Wording: 1..=4096,
}

/// One of Meta's ids: 1 to 32 digits.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9]{1,32}$", example = "106540352242922")]
pub(super) struct MetaId(String);

impl Field for MetaId {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "Meta's id, as a text of digits")?;
        if (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self(text));
        }
        faults.note(at, "digits", "1 to 32 digits")
    }
}

impl From<MetaId> for PhoneNumberId {
    fn from(id: MetaId) -> Self {
        Self::new(id.0)
    }
}

impl From<MetaId> for WabaId {
    fn from(id: MetaId) -> Self {
        Self::new(id.0)
    }
}

macro_rules! secret_texts {
    ($($(#[$doc:meta])* $name:ident: $from:tt..=$to:tt),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(ToSchema)]
        #[schema(value_type = String, format = Password, min_length = $from, max_length = $to)]
        pub(super) struct $name(pub(super) String);

        impl Field for $name {
            fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
                let text = text(json, at, faults, $from..=$to)?;
                if looks_like_an_example(&text) {
                    return faults.note(at, "example", "a secret of your own, not an example");
                }
                if text.trim() != text {
                    return faults.note(at, "characters", "a text without space at its ends");
                }
                Some(Self(text))
            }
        }
    )+};
}

secret_texts! {
    /// The secret of a Meta app, from its dashboard. Never shown again.
    AppSecretText: 16..=256,
    /// An access token of Meta's. Never shown again.
    TokenText: 16..=4096,
    /// What Meta's format is signed with for this endpoint. Never shown again.
    HubSecretText: 8..=256,
    /// What is repeated in the verification handshake. Never shown again.
    VerifyTokenText: 8..=256,
}

/// Where an endpoint listens: `https`, or a broker (docs/brokers.md): `nats`, `tls`, `amqp`, `amqps`, `kafka`, `kafkas`. Its host is looked up and its addresses are checked before it is stored.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = "uri", max_length = 2048, example = "https://crm.example.com/hooks/whatsapp")]
pub(super) struct UrlText(pub(super) Url);

impl Field for UrlText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text = text(json, at, faults, 1..=2048)?;
        parse_url(&text).map(Self).or_else(|| faults.note(at, "url", "an absolute URL"))
    }
}

/// The stable name of an event type, or a prefix of several: `message.*`.
#[derive(Debug, Clone, ToSchema)]
#[schema(value_type = String, example = "message.received")]
pub(super) struct EventTypeText(pub(super) String);

impl Field for EventTypeText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        if Filter::is_known(&text) {
            return Some(Self(text));
        }
        faults.note(at, "event_type", "an event type of the documentation, or a prefix such as message.*")
    }
}

/// `standard`: our event JSON with Standard Webhooks headers. `meta`: Meta's own envelope, signed as Meta signs. `cloudevents`:
/// the event JSON in a CloudEvent, signed as `standard`.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, pattern = "^(standard|meta|cloudevents)$")]
pub(super) struct FormatText(pub(super) Format);

impl Field for FormatText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        Format::parse(&text).map(Self).or_else(|| faults.note(at, "choice", "standard, meta or cloudevents"))
    }
}

/// `active`: delivered to. `paused`: events wait.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, pattern = "^(active|paused)$")]
pub(super) struct StateText(pub(super) State);

impl Field for StateText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let state = State::parse(&text).filter(|state| *state != State::Disabled);
        state.map(Self).or_else(|| faults.note(at, "choice", "active or paused"))
    }
}

/// `high`: before all else that waits in the channel. `normal`. `bulk`: after all else.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, pattern = "^(high|normal|bulk)$")]
pub(super) struct PriorityText(pub(super) Priority);

impl Field for PriorityText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        Priority::parse(&text).map(Self).or_else(|| faults.note(at, "choice", "high, normal or bulk"))
    }
}

/// When Meta's answer is lost, a message may have been sent. `hold`: it stays `in_doubt` until a status settles it. `resend`: it is
/// sent once more, and may arrive twice.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, pattern = "^(hold|resend)$")]
pub(super) struct OnDoubtText(pub(super) OnDoubt);

impl Field for OnDoubtText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        OnDoubt::parse(&text).map(Self).or_else(|| faults.note(at, "choice", "hold or resend"))
    }
}

/// What is done with data of people before they are stored: `{"names": "drop", "locations": "hash"}`. `keep`, `drop` or `hash` for
/// `names`, `locations`, `contacts` and `referrals`; what is absent is kept.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct MinimiseObject(pub(super) DoorPolicy);

impl Field for MinimiseObject {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let given: BTreeMap<String, String> = value(json, at, faults, "an object of texts")?;
        let (mut policy, mut is_good) = (DoorPolicy::default(), true);
        for (kind, word) in given {
            let done = Treatment::parse(&word).and_then(|treatment| policy.set(&kind, treatment));
            if done.is_none() {
                let expected = "keep, drop or hash for names, locations, contacts, referrals";
                is_good = faults.note(at, "choice", expected).unwrap_or(false);
            }
        }
        is_good.then_some(Self(policy))
    }
}

/// For how long what is said through the number is kept: `{"received": 7, "statuses": "delivered"}`. Days for `received`, `statuses` (4 or
/// more, since endpoints are tried for as long), `sent` and `files` (1 or more); `delivered`: until every endpoint has acknowledged it. `names`,
/// `locations`, `contacts` and `referrals` (4 or more) are fields of what is received, which go before the rest.
/// What is absent is kept as `retention.content_days` says, which nothing may exceed.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct RetentionObject(pub(super) KeepPolicy);

impl Field for RetentionObject {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let given: BTreeMap<String, serde_json::Value> = value(json, at, faults, "an object of days")?;
        let (mut policy, mut is_good) = (KeepPolicy::default(), true);
        for (name, rule) in given {
            let class = ContentClass::parse(&name);
            let text = rule.as_str().map_or_else(|| rule.to_string(), str::to_owned);
            match (class, class.and_then(|class| Keep::parse(class, &text))) {
                (Some(class), Some(rule)) => policy.set(class, Some(rule)),
                (Some(class), None) => {
                    is_good = faults.note(&format!("{at}/{name}"), "range", class.expected()).unwrap_or(false);
                }
                (None, _) => {
                    is_good = faults
                        .note(at, "choice", "received, statuses, sent, files, names, locations, contacts, referrals")
                        .unwrap_or(false);
                }
            }
        }
        is_good.then_some(Self(policy))
    }
}

/// `store`: files that people send are fetched at once and kept. `proxy`: nothing is kept, and who asks gets them from Meta while Meta
/// has them, seven days. `never`: they are left at Meta.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, pattern = "^(store|proxy|never)$")]
pub(super) struct MediaModeText(pub(super) MediaMode);

impl Field for MediaModeText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        MediaMode::parse(&text).map(Self).or_else(|| faults.note(at, "choice", "store, proxy or never"))
    }
}

/// A permission, or `admin` for all of them.
#[derive(Debug, Clone, Copy, ToSchema)]
#[schema(value_type = String, example = "events:read")]
pub(super) struct PermissionText(pub(super) Permissions);

impl Field for PermissionText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        if text == ADMIN {
            return Some(Self(Permissions::admin()));
        }
        let one = Permission::parse(&text).map(|permission| Self(std::iter::once(permission).collect()));
        one.or_else(|| faults.note(at, "permission", "a permission of the documentation, or admin"))
    }
}

macro_rules! ids {
    ($($id:ident),+) => {$(
        impl Field for $id {
            fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
                value::<Uuid>(json, at, faults, "a UUID").map(Self::from_uuid)
            }
        }
    )+};
}

ids!(ChannelId, ContactId, EventId, PrivacyRequestId);

impl Field for OffsetDateTime {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let parsed = Self::parse(&text, &time::format_description::well_known::Rfc3339);
        parsed.ok().or_else(|| faults.note(at, "date_time", "a date and time such as 2027-01-31T12:00:00Z"))
    }
}

impl Field for bool {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        value(json, at, faults, "true or false")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code<T: Field>(json: &str) -> String {
        let mut faults = Faults::default();
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        match T::read(&raw, "/x", &mut faults) {
            Some(_) => "ok".to_owned(),
            None => {
                let told = faults.refuse().unwrap_err().json(None);
                let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
                told["errors"][0]["code"].as_str().unwrap().to_owned()
            }
        }
    }

    #[test]
    fn every_kind_of_value_is_checked() {
        for (got, expected) in [
            (code::<Name>(r#""Support""#), "ok"),
            (code::<Name>(r#""a\u0000b""#), "characters"),
            (code::<Name>("7"), "type"),
            (code::<Name>(&format!("{:?}", "x".repeat(101))), "length"),
            (code::<MetaId>(r#""106540352242922""#), "ok"),
            (code::<MetaId>(r#""+49 151""#), "digits"),
            (code::<MetaId>("106540352242922"), "type"),
            (code::<AppSecretText>(r#""5f0c1d0c5f0c1d0c""#), "ok"),
            (code::<AppSecretText>(r#""aaaaaaaaaaaaaaaa""#), "example"),
            (code::<AppSecretText>(r#""5f0c1d0c""#), "length"),
            (code::<TokenText>(r#"" EAAGm0PX4ZCpsBAKx""#), "characters"),
            (code::<UrlText>(r#""https://crm.example.com/""#), "ok"),
            (code::<UrlText>(r#""crm.example.com""#), "url"),
            (code::<EventTypeText>(r#""message.*""#), "ok"),
            (code::<EventTypeText>(r#""mesage.*""#), "event_type"),
            (code::<FormatText>(r#""meta""#), "ok"),
            (code::<FormatText>(r#""xml""#), "choice"),
            (code::<StateText>(r#""paused""#), "ok"),
            (code::<StateText>(r#""disabled""#), "choice"),
            (code::<PriorityText>(r#""bulk""#), "ok"),
            (code::<PriorityText>(r#""urgent""#), "choice"),
            (code::<OnDoubtText>(r#""resend""#), "ok"),
            (code::<OnDoubtText>("true"), "type"),
            (code::<PermissionText>(r#""admin""#), "ok"),
            (code::<PermissionText>(r#""events:write""#), "permission"),
            (code::<OffsetDateTime>(r#""2027-01-31T12:00:00+01:00""#), "ok"),
            (code::<OffsetDateTime>(r#""tomorrow""#), "date_time"),
            (code::<ChannelId>(r#""x""#), "type"),
        ] {
            assert_eq!(got, expected);
        }
    }
}
