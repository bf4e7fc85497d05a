//! Endpoints: who is told what, and how.

use std::fmt;

use time::OffsetDateTime;
use url::Url;

use super::event::EventType;
use crate::ids::{ChannelId, EndpointId, TenantId};
use crate::secret::SigningSecret;

/// How an endpoint wants its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our event JSON with Standard Webhooks headers.
    Standard,
    /// Meta's own envelope, signed as Meta signs, under the endpoint's own secret.
    Meta,
}

impl Format {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Meta => "meta",
        }
    }

    /// From the stable name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Standard, Self::Meta].into_iter().find(|format| format.as_str() == text)
    }
}

/// Whether an endpoint is delivered to. Events are owed to it in every state but `Disabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Delivered to.
    Active,
    /// Events wait.
    Paused,
    /// Answered 410: owed nothing more until somebody activates it.
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

/// Which events an endpoint is told of.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Stable names, or `prefix.*`. Empty: all.
    pub event_types: Vec<String>,
    /// Empty: all, also events that belong to no channel.
    pub channels: Vec<ChannelId>,
}

impl Filter {
    /// Whether the endpoint is told of such an event.
    #[must_use]
    pub fn matches(&self, event_type: EventType, channel: Option<ChannelId>) -> bool {
        let type_matches = self.event_types.is_empty()
            || self.event_types.iter().any(|wanted| type_matches(wanted, event_type.as_str()));
        let channel_matches =
            self.channels.is_empty() || channel.is_some_and(|channel| self.channels.contains(&channel));
        type_matches && channel_matches
    }

    /// Whether `wanted` can match any event at all: a known type or the prefix of one.
    #[must_use]
    pub fn is_known(wanted: &str) -> bool {
        EventType::ALL.iter().any(|event_type| type_matches(wanted, event_type.as_str()))
    }
}

fn type_matches(wanted: &str, event_type: &str) -> bool {
    match wanted.strip_suffix(".*") {
        Some(prefix) => event_type.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        None => wanted == event_type,
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
    /// What it is told.
    pub filter: Filter,
    /// What it verifies us with.
    pub secret: SigningSecret,
    /// Whether it is delivered to.
    pub state: State,
    /// When what this was read from was last changed; `None`: not stored yet. A change of anything newer is refused.
    pub changed_at: Option<OffsetDateTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_matches_types_prefixes_and_channels() {
        let now = time::macros::datetime!(2026-11-22 12:00 UTC);
        let (here, there) = (ChannelId::new(now), ChannelId::new(now));
        let all = Filter::default();
        assert!(all.matches(EventType::Unrecognised, None));
        let messages = Filter { event_types: vec!["message.*".into(), "standby".into()], channels: vec![here] };
        assert!(messages.matches(EventType::MessageRead, Some(here)));
        assert!(messages.matches(EventType::Standby, Some(here)));
        assert!(!messages.matches(EventType::MessageRead, Some(there)));
        assert!(!messages.matches(EventType::MessageRead, None));
        assert!(!messages.matches(EventType::CallUpdated, Some(here)));
    }

    #[test]
    fn a_type_that_can_never_match_is_known_as_such() {
        assert!(
            Filter::is_known("message.received") && Filter::is_known("message.*") && Filter::is_known("unrecognised")
        );
        assert!(
            !Filter::is_known("message")
                && !Filter::is_known("mesage.*")
                && !Filter::is_known("*")
                && !Filter::is_known("")
        );
    }

    #[test]
    fn a_url_never_prints_its_token() {
        let url = EndpointUrl::new(Url::parse("https://crm.example:8443/hook?token=canary").unwrap());
        assert_eq!(format!("{url:?}"), "EndpointUrl(crm.example:8443/…)");
    }
}
