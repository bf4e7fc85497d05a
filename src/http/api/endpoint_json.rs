//! Endpoints as the API reads and shows them.

use std::num::{NonZeroU16, NonZeroU32};

use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::request;
use super::endpoint_options::{EndpointOptions, GraceSeconds};
use super::fields::{EventTypeText, FormatText, HubSecretText, Name, StateText, UrlText, VerifyTokenText};
use crate::access::{Caller, Permission};
use crate::domain::endpoint::{Auth, Direction, DisabledReason, Endpoint};
use crate::ids::{ChannelId, EndpointId};

request! {
    /// A new endpoint.
    NewEndpoint {
        /// Free text.
        name: Name,
        /// Where it listens.
        url: UrlText,
        /// `standard` when absent. Cannot be changed later.
        format: Option<FormatText>,
        /// Which events; absent or empty: all.
        event_types: Option<Vec<EventTypeText>>,
        /// Events of which channels; absent or empty: all, also events that belong to no channel.
        channel_ids: Option<Vec<ChannelId>>,
        /// `active` when absent.
        state: Option<StateText>,
        /// Format `meta` alone: what deliveries are signed with. When absent, one is made.
        secret: Option<HubSecretText>,
        /// Format `meta` alone, and required there: what the endpoint expects as `hub.verify_token`. It is not stored.
        verify_token: Option<VerifyTokenText>,
        /// The rest, all of it optional.
        #[serde(flatten)]
        options: EndpointOptions,
    }
}

request! {
    /// What is absent stays as it is.
    EndpointChange {
        /// Free text.
        name: Option<Name>,
        /// Where it listens.
        url: Option<UrlText>,
        /// Which events; empty: all.
        event_types: Option<Vec<EventTypeText>>,
        /// Events of which channels; empty: all.
        channel_ids: Option<Vec<ChannelId>>,
        /// `active` also brings an endpoint back that was disabled.
        state: Option<StateText>,
        /// Format `meta` alone: required when the URL changes.
        verify_token: Option<VerifyTokenText>,
        /// The rest.
        #[serde(flatten)]
        options: EndpointOptions,
    }
}

request! {
    /// May be `{}`.
    NewSecret {
        /// Format `meta` alone. When absent, one is made.
        secret: Option<HubSecretText>,
        /// How long the old secret goes on signing beside the new one; a day when absent. Format `meta` has room for one
        /// signature, which is the new one's at once.
        grace_seconds: Option<GraceSeconds>,
    }
}

/// An endpoint. Its secret is never shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub(super) struct EndpointJson {
    pub(super) id: EndpointId,
    name: String,
    /// Where it listens. Null for keys without `endpoints:manage`, because URLs may hold tokens. Without the user and
    /// password of a broker.
    url: Option<String>,
    /// The host of the URL, and its port when it is not the usual one.
    url_host: String,
    /// `standard`, `meta` or `cloudevents`.
    format: &'static str,
    /// Empty: all.
    event_types: Vec<String>,
    /// Empty: all.
    channel_ids: Vec<ChannelId>,
    /// `in`, `out`, or null for both and for events that are about no message.
    direction: Option<&'static str>,
    /// Null: none, or a key without `endpoints:manage`, because it may quote what people write.
    #[schema(value_type = Option<Object>)]
    predicate: Option<serde_json::Value>,
    /// `ids`, `metadata`, `masked` or `full`.
    fields: &'static str,
    /// Whether contacts have ids of their own here.
    pseudonymous: bool,
    /// `none`, `block` or `skip`.
    order: &'static str,
    /// With the order `skip`: after how many failed attempts.
    skip_after: Option<u16>,
    /// Null: no limit.
    max_per_second: Option<u32>,
    /// Null: as the gateway is configured.
    max_in_flight: Option<u16>,
    /// Null: as the gateway is configured.
    timeout_ms: Option<u64>,
    /// The names of the header lines that are added. Their values are not shown.
    headers: Vec<String>,
    /// `bearer`, `basic`, `oauth2` or null.
    auth: Option<&'static str>,
    /// Whether a client certificate is presented.
    client_certificate: bool,
    /// Until when the secret of before the last rotation signs too.
    #[serde(with = "time::serde::rfc3339::option")]
    rotation_ends_at: Option<OffsetDateTime>,
    /// `active`, `paused` or `disabled`.
    state: &'static str,
    /// `gone` after it answered 410, `failing` after days without success; otherwise null.
    disabled_reason: Option<&'static str>,
}

/// An endpoint that was just added.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedEndpoint {
    #[serde(flatten)]
    endpoint: EndpointJson,
    /// What its deliveries are signed with. Shown this once.
    secret: String,
}

/// A new secret.
#[derive(Serialize, ToSchema)]
pub(super) struct RotatedSecret {
    /// What deliveries are signed with from now on. Shown this once.
    secret: String,
}

impl EndpointJson {
    /// The endpoint as this caller may see it.
    pub(super) fn for_caller(endpoint: &Endpoint, who: &Caller) -> Self {
        let manages = who.permissions.contains(Permission::EndpointsManage);
        Self {
            id: endpoint.id,
            name: endpoint.name.clone(),
            url: manages.then(|| endpoint.url.shown().into()),
            url_host: endpoint.url.host(),
            format: endpoint.format.as_str(),
            event_types: endpoint.filter.event_types.clone(),
            channel_ids: endpoint.filter.channels.clone(),
            direction: endpoint.filter.direction.map(Direction::as_str),
            predicate: endpoint.filter.predicate.as_ref().filter(|_| manages).map(|one| one.source().clone()),
            fields: endpoint.fields.as_str(),
            pseudonymous: endpoint.pseudonymous,
            order: endpoint.pace.order.as_str(),
            skip_after: endpoint.pace.order.after().map(NonZeroU16::get),
            max_per_second: endpoint.pace.max_per_second.map(NonZeroU32::get),
            max_in_flight: endpoint.pace.max_in_flight.map(NonZeroU16::get),
            timeout_ms: endpoint.pace.timeout.and_then(|timeout| timeout.as_millis().try_into().ok()),
            headers: endpoint.credentials.headers.iter().map(|(name, _)| name.clone()).collect(),
            auth: endpoint.credentials.auth.as_ref().map(Auth::as_str),
            client_certificate: endpoint.credentials.certificate.is_some(),
            rotation_ends_at: endpoint.previous_secret.as_ref().map(|(_, until)| *until),
            state: endpoint.state.as_str(),
            disabled_reason: endpoint.disabled_reason.map(DisabledReason::as_str),
        }
    }
}

impl CreatedEndpoint {
    /// The one time that the secret is shown with it.
    pub(super) fn new(endpoint: &Endpoint, who: &Caller) -> Self {
        Self { endpoint: EndpointJson::for_caller(endpoint, who), secret: endpoint.secret.expose().to_owned() }
    }
}

impl RotatedSecret {
    /// The one time that the new secret is shown.
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        Self { secret: endpoint.secret.expose().to_owned() }
    }
}
