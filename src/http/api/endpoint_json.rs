//! Endpoints as the API reads and shows them.

use serde::Serialize;
use utoipa::ToSchema;

use super::body::request;
use super::fields::{EventTypeText, FormatText, HubSecretText, Name, StateText, UrlText, VerifyTokenText};
use crate::access::{Caller, Permission};
use crate::domain::endpoint::Endpoint;
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
    }
}

request! {
    /// May be `{}`.
    NewSecret {
        /// Format `meta` alone. When absent, one is made.
        secret: Option<HubSecretText>,
    }
}

/// An endpoint. Its secret is never shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = Endpoint)]
pub(super) struct EndpointJson {
    pub(super) id: EndpointId,
    name: String,
    /// Where it listens. Null for keys without `endpoints:manage`, because URLs may hold tokens.
    url: Option<String>,
    /// The host of the URL, and its port when it is not the usual one.
    url_host: String,
    /// `standard` or `meta`.
    format: &'static str,
    /// Empty: all.
    event_types: Vec<String>,
    /// Empty: all.
    channel_ids: Vec<ChannelId>,
    /// `active`, `paused`, or `disabled` after it answered 410.
    state: &'static str,
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
            url: manages.then(|| endpoint.url.expose().as_str().to_owned()),
            url_host: endpoint.url.host(),
            format: endpoint.format.as_str(),
            event_types: endpoint.filter.event_types.clone(),
            channel_ids: endpoint.filter.channels.clone(),
            state: endpoint.state.as_str(),
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
