//! `/v1/endpoints`: applications that are told of events.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use time::Duration;

use super::body::{self, Faults};
use super::endpoint_json::{CreatedEndpoint, EndpointChange, EndpointJson, NewEndpoint, NewSecret, RotatedSecret};
use super::page::{self, Page};
use super::problem::{Code, Problem, settled};
use super::query::Params;
use super::target::Target;
use super::trail::Trail;
use super::verification::{self, Address};
use crate::access::{Caller, Denied};
use crate::audit::Action;
use crate::clock::SharedClock;
use crate::directory::Directory;
use crate::domain::endpoint::{
    Credentials, Endpoint, EndpointUrl, Fields, Filter, Format, Pace, State as EndpointState,
};
use crate::egress::client::EgressClient;
use crate::egress::sign;
use crate::ids::EndpointId;
use crate::secret::SigningSecret;

/// How long the secret of before a rotation signs beside the new one, unless the caller says otherwise.
const GRACE: Duration = Duration::days(1);

pub(super) fn find(directory: &Directory, who: &Caller, id: EndpointId) -> Result<Endpoint, Problem> {
    let snapshot = directory.snapshot();
    let endpoint = snapshot.endpoint(who.tenant, id).filter(|endpoint| who.covers(&endpoint.filter.channels));
    endpoint.map(|endpoint| endpoint.as_ref().clone()).ok_or(Problem::new(Code::NotFound))
}

/// The endpoints, oldest first.
#[utoipa::path(
    get, path = "/v1/endpoints", tag = "Endpoints", operation_id = "list_endpoints",
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "1 to 200; 50 when absent."),
    ),
    responses((status = 200, description = "A page of endpoints.", body = Page<EndpointJson>)),
)]
pub(super) async fn list(
    who: Caller,
    State(directory): State<Directory>,
    mut params: Params,
) -> Result<Json<Page<EndpointJson>>, Problem> {
    let (after, limit) = (params.cursor(), params.limit());
    params.finish()?;
    let snapshot = directory.snapshot();
    let endpoints = snapshot.endpoints_of(who.tenant).into_iter().filter(|one| who.covers(&one.filter.channels));
    let endpoints = endpoints.map(|endpoint| EndpointJson::for_caller(endpoint, &who));
    Ok(Json(page::of_settings(endpoints, |endpoint| endpoint.id.uuid(), after, limit)))
}

/// One endpoint.
#[utoipa::path(
    get, path = "/v1/endpoints/{id}", tag = "Endpoints", operation_id = "show_endpoint",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses((status = 200, description = "The endpoint.", body = EndpointJson)),
)]
pub(super) async fn show(
    who: Caller,
    State(directory): State<Directory>,
    Target(id): Target<EndpointId>,
    params: Params,
) -> Result<Json<EndpointJson>, Problem> {
    params.finish()?;
    Ok(Json(EndpointJson::for_caller(&find(&directory, &who, id)?, &who)))
}

/// Refuses an endpoint that is shown more than who sets it up may see. A predicate is decided by everything that there is.
fn shows_no_more_than(who: &Caller, endpoint: &Endpoint) -> Result<(), Problem> {
    let most = who.sight.fields();
    let decides_by_more = most < Fields::Full && endpoint.filter.predicate.is_some();
    if endpoint.fields > most || decides_by_more { Err(Denied::Wider.into()) } else { Ok(()) }
}

/// Adds an endpoint. It is told of events from now on.
///
/// An endpoint of format `meta` is asked for its challenge first, as Meta asks a webhook URL, and must repeat it.
#[utoipa::path(
    post, path = "/v1/endpoints", tag = "Endpoints", operation_id = "create_endpoint",
    request_body = NewEndpoint,
    responses(
        (status = 201, description = "The endpoint, with its secret.", body = CreatedEndpoint),
        (status = 422, description = "`verification_failed`: the endpoint did not repeat the challenge"),
    ),
)]
pub(super) async fn create(
    (who, trail): (Caller, Trail),
    State(directory): State<Directory>,
    State(egress): State<EgressClient>,
    State(clock): State<SharedClock>,
    params: Params,
    body::Json(new): body::Json<NewEndpoint>,
) -> Result<(StatusCode, Json<CreatedEndpoint>), Problem> {
    params.finish()?;
    let format = new.format.map_or(Format::Standard, |format| format.0);
    let channels = new.channel_ids.unwrap_or_default();
    if channels.is_empty() {
        who.require_unconfined()?;
    }
    let mut faults = Faults::default();
    super::channels::check_all(&who, &directory, &channels, &mut faults);
    if format != Format::Meta && new.secret.is_some() {
        faults.note("/secret", "format", "absent: secrets of this format are made here").unwrap_or(());
    }
    let mut endpoint = Endpoint {
        tenant: who.tenant,
        id: EndpointId::new(clock.now()),
        name: new.name.0,
        url: EndpointUrl::new(new.url.0),
        format,
        filter: Filter { event_types: texts(new.event_types), channels, ..Filter::default() },
        fields: if format == Format::Meta { Fields::Full } else { who.sight.fields() },
        pseudonymous: false,
        pace: Pace::default(),
        secret: new.secret.map_or_else(sign::generate_secret, |secret| SigningSecret::new(secret.0)),
        previous_secret: None,
        credentials: Credentials::default(),
        state: new.state.map_or(EndpointState::Active, |state| state.0),
        disabled_reason: None,
        changed_at: None,
    };
    new.options.apply(&mut endpoint, &mut faults);
    shows_no_more_than(&who, &endpoint)?;
    verification::check_token_url(&egress, &endpoint, &mut faults).await;
    verification::check_credentials(endpoint.url.expose(), &endpoint, &mut faults);
    let address = Address { url: endpoint.url.expose(), format, verify_token: new.verify_token.as_ref() };
    verification::check(&egress, &address, faults).await?;
    verification::challenge(&egress, &address).await?;
    trail.leave(&who, Action::EndpointCreated, "endpoint", endpoint.id.uuid()).await?;
    settled(directory.save_endpoint(&endpoint).await, ())?;
    Ok((StatusCode::CREATED, Json(CreatedEndpoint::new(&endpoint, &who))))
}

fn texts(types: Option<Vec<super::fields::EventTypeText>>) -> Vec<String> {
    types.unwrap_or_default().into_iter().map(|text| text.0).collect()
}

/// Changes an endpoint. Its format stays: whoever reads another format is another endpoint.
#[utoipa::path(
    patch, path = "/v1/endpoints/{id}", tag = "Endpoints", operation_id = "change_endpoint",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body = EndpointChange,
    responses(
        (status = 200, description = "The endpoint.", body = EndpointJson),
        (status = 409, description = "`conflict`: it was changed meanwhile; read it again."),
        (status = 422, description = "`verification_failed`: the endpoint did not repeat the challenge"),
    ),
)]
pub(super) async fn change(
    (who, trail): (Caller, Trail),
    State(directory): State<Directory>,
    State(egress): State<EgressClient>,
    Target(id): Target<EndpointId>,
    params: Params,
    body::Json(change): body::Json<EndpointChange>,
) -> Result<Json<EndpointJson>, Problem> {
    params.finish()?;
    // Another process may have changed it a moment ago.
    directory.reload().await?;
    let mut endpoint = find(&directory, &who, id)?;
    let mut faults = Faults::default();
    if let Some(channels) = change.channel_ids {
        if channels.is_empty() {
            who.require_unconfined()?;
        }
        super::channels::check_all(&who, &directory, &channels, &mut faults);
        endpoint.filter.channels = channels;
    }
    let shows_anew = change.url.is_some() || change.options.shows_anew();
    change.options.apply(&mut endpoint, &mut faults);
    if shows_anew {
        shows_no_more_than(&who, &endpoint)?;
    }
    verification::check_token_url(&egress, &endpoint, &mut faults).await;
    let url = change.url.as_ref().map_or(endpoint.url.expose(), |url| &url.0);
    verification::check_credentials(url, &endpoint, &mut faults);
    match &change.url {
        None => faults.refuse()?,
        Some(url) => {
            let verify_token = change.verify_token.as_ref();
            let address = Address { url: &url.0, format: endpoint.format, verify_token };
            verification::check(&egress, &address, faults).await?;
            verification::challenge(&egress, &address).await?;
        }
    }
    if let Some(url) = change.url {
        endpoint.url = EndpointUrl::new(url.0);
    }
    if let Some(name) = change.name {
        endpoint.name = name.0;
    }
    if change.event_types.is_some() {
        endpoint.filter.event_types = texts(change.event_types);
    }
    if let Some(state) = change.state {
        (endpoint.state, endpoint.disabled_reason) = (state.0, None);
    }
    trail.leave(&who, Action::EndpointChanged, "endpoint", id.uuid()).await?;
    settled(directory.save_endpoint(&endpoint).await, ())?;
    Ok(Json(EndpointJson::for_caller(&endpoint, &who)))
}

/// Removes an endpoint, with everything that it is still owed.
#[utoipa::path(
    delete, path = "/v1/endpoints/{id}", tag = "Endpoints", operation_id = "remove_endpoint",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    responses((status = 204, description = "The endpoint is gone.")),
)]
pub(super) async fn remove(
    who: Caller,
    trail: Trail,
    State(directory): State<Directory>,
    Target(id): Target<EndpointId>,
    params: Params,
) -> Result<StatusCode, Problem> {
    params.finish()?;
    // Who may do all may also remove what this process has not read, or cannot open.
    if who.require_unconfined().is_err() {
        find(&directory, &who, id)?;
    }
    trail.leave(&who, Action::EndpointRemoved, "endpoint", id.uuid()).await?;
    let there = settled(directory.remove_endpoint(who.tenant, id).await, true)?;
    if there { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::new(Code::NotFound)) }
}

/// Gives an endpoint a new secret. Until the grace is over, deliveries bear the signatures of both.
#[utoipa::path(
    post, path = "/v1/endpoints/{id}/rotate-secret", tag = "Endpoints", operation_id = "rotate_endpoint_secret",
    params(("id" = EndpointId, Path, description = "The endpoint.")),
    request_body = NewSecret,
    responses(
        (status = 200, description = "The new secret.", body = RotatedSecret),
        (status = 409, description = "`conflict`: it was changed meanwhile; read it again."),
    ),
)]
pub(super) async fn rotate_secret(
    (who, trail): (Caller, Trail),
    State(directory): State<Directory>,
    State(clock): State<SharedClock>,
    Target(id): Target<EndpointId>,
    params: Params,
    body::Json(new): body::Json<NewSecret>,
) -> Result<Json<RotatedSecret>, Problem> {
    params.finish()?;
    // Another process may have changed it a moment ago.
    directory.reload().await?;
    let mut endpoint = find(&directory, &who, id)?;
    // Whoever has the secret can show themselves to the endpoint as this gateway, and tell it anything.
    shows_no_more_than(&who, &endpoint)?;
    let mut faults = Faults::default();
    if endpoint.format != Format::Meta && new.secret.is_some() {
        faults.note("/secret", "format", "absent: secrets of this format are made here").unwrap_or(());
    }
    faults.refuse()?;
    let secret = new.secret.map_or_else(sign::generate_secret, |secret| SigningSecret::new(secret.0));
    let grace = new.grace_seconds.map_or(GRACE, |grace| Duration::seconds(grace.0.into()));
    let previous = std::mem::replace(&mut endpoint.secret, secret);
    // Of the secret before the previous one nothing is left: two sign at most.
    endpoint.previous_secret = grace.is_positive().then(|| (previous, clock.now() + grace));
    trail.leave(&who, Action::SecretRotated, "endpoint", id.uuid()).await?;
    settled(directory.save_endpoint(&endpoint).await, ())?;
    Ok(Json(RotatedSecret::of(&endpoint)))
}
