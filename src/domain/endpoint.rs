//! Endpoints: who is told what, and how.

mod credentials;
mod filter;
mod pace;
mod transport;

pub use credentials::{Auth, ClientCertificate, ClientCredentials, Credentials};
pub use filter::{Direction, Filter};
pub use pace::{Order, Pace};
pub use transport::{Transport, is_encrypted, parse_url, port_of};

use std::fmt;

use time::OffsetDateTime;
use url::Url;

use crate::ids::{EndpointId, TenantId};
use crate::secret::SigningSecret;

/// How an endpoint wants its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our event JSON with Standard Webhooks headers.
    Standard,
    /// Meta's own envelope, signed as Meta signs, under the endpoint's own secret.
    Meta,
    /// The event JSON as the data of an event of CloudEvents 1.0 (structured mode), signed as `Standard` is.
    CloudEvents,
}

impl Format {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Meta => "meta",
            Self::CloudEvents => "cloudevents",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Standard, Self::Meta, Self::CloudEvents].into_iter().find(|format| format.as_str() == text)
    }
}

/// How much of an event an endpoint is shown. Each sees more than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fields {
    /// Our ids, the type and the times.
    Ids,
    /// And Meta's words that describe without content: kinds, states, error codes, prices.
    Metadata,
    /// And the content, with names, numbers and Meta's ids of people and messages masked.
    Masked,
    /// Everything, byte for byte.
    Full,
}

impl Fields {
    /// Every policy, from the least to the most.
    pub const ALL: [Self; 4] = [Self::Ids, Self::Metadata, Self::Masked, Self::Full];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Metadata => "metadata",
            Self::Masked => "masked",
            Self::Full => "full",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fields| fields.as_str() == text)
    }
}

/// Why an endpoint was disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledReason {
    /// It answered 410.
    Gone,
    /// Nothing was accepted for days.
    Failing,
}

impl DisabledReason {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Gone, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Whether an endpoint is delivered to. Events are owed to it in every state but `Disabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Delivered to.
    Active,
    /// Events wait.
    Paused,
    /// Answered 410, or failed for days: owed nothing more until somebody activates it.
    Disabled,
}

impl State {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Paused, Self::Disabled].into_iter().find(|state| state.as_str() == text)
    }
}

/// Where an endpoint listens. Callers put tokens into URLs, so it prints its host alone.
#[derive(Clone)]
pub struct EndpointUrl(Url);

impl EndpointUrl {
    /// A URL that the address guard has passed.
    #[must_use]
    pub const fn new(url: Url) -> Self {
        Self(url)
    }

    /// The whole URL, for the request and for its owner.
    #[must_use]
    pub const fn expose(&self) -> &Url {
        &self.0
    }

    /// By what it is reached. Every URL that was saved names one.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::of(&self.0).unwrap_or(Transport::Http)
    }

    /// What may be shown to its owner: everything but the credentials of a broker.
    #[must_use]
    pub fn shown(&self) -> Url {
        let mut url = self.0.clone();
        if self.transport().is_broker() {
            // Refused for URLs without a host alone, which have no credentials.
            let _without_host = url.set_username("").and_then(|()| url.set_password(None));
        }
        url
    }

    /// Host, and port when it is not the scheme's own.
    #[must_use]
    pub fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointUrl({}/…)", self.host())
    }
}

impl Endpoint {
    /// The secrets that sign at `now`, newest first.
    pub fn secrets_at(&self, now: OffsetDateTime) -> impl Iterator<Item = &SigningSecret> {
        let previous = self.previous_secret.as_ref().filter(|(_, until)| now < *until);
        std::iter::once(&self.secret).chain(previous.map(|(secret, _)| secret))
    }
}

/// An internal application that receives events.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Owner.
    pub tenant: TenantId,
    /// Id.
    pub id: EndpointId,
    /// Free text.
    pub name: String,
    /// Where it listens.
    pub url: EndpointUrl,
    /// What it understands.
    pub format: Format,
    /// What it is told of.
    pub filter: Filter,
    /// How much of it.
    pub fields: Fields,
    /// Whether it knows contacts by ids of its own, which no other endpoint's can be joined with.
    pub pseudonymous: bool,
    /// In what order and how fast.
    pub pace: Pace,
    /// What it verifies us with.
    pub secret: SigningSecret,
    /// What it verified us with before the last rotation; signs beside the new one until then.
    pub previous_secret: Option<(SigningSecret, OffsetDateTime)>,
    /// What it wants to see from us besides.
    pub credentials: Credentials,
    /// Whether it is delivered to.
    pub state: State,
    /// Set when it is disabled.
    pub disabled_reason: Option<DisabledReason>,
    /// When what this was read from was last changed; `None`: not stored yet. A change of anything newer is refused.
    pub changed_at: Option<OffsetDateTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_never_prints_its_token() {
        let url = EndpointUrl::new(Url::parse("https://crm.example:8443/hook?token=canary").unwrap());
        assert_eq!(format!("{url:?}"), "EndpointUrl(crm.example:8443/…)");
    }

    #[test]
    fn the_credentials_of_a_broker_are_not_shown() {
        let url = EndpointUrl::new(Url::parse("amqp://user:canary@rabbit.internal/%2f?exchange=events").unwrap());
        assert_eq!(url.shown().as_str(), "amqp://rabbit.internal/%2f?exchange=events");
        assert_eq!(format!("{url:?}"), "EndpointUrl(rabbit.internal/…)");
    }
}
