//! The Graph mirror. A WhatsApp SDK works here unchanged when its base URL is ours and its token a Waxseal key; so everything,
//! refusals included, has the form that Meta gives it.

mod asking;
mod error;
mod messages;
mod objects;
mod passing;
mod table;
mod target;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use self::asking::Query;
use self::error::GraphError;
use self::passing::{Asked, respond};
use self::table::{How, Row};
use self::target::{First, GraphPath, has_whole_account, speaker};
use super::AppState;
use super::api::trail::Trail;
use super::frame::{CallerKey, Routed};
use crate::access::{Caller, Denied, Errand, Permission, Tickets};
use crate::config::AllowedCall;
use crate::domain::channel::Channel;
use crate::meta::client::GraphClient;

/// What passing calls on needs. Clones share connections.
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Asks Meta.
    pub client: GraphClient,
    /// Leave to fetch files.
    pub tickets: Tickets,
    /// Base of links in answers; `None`: what the request names as its host.
    pub public_url: Option<Arc<str>>,
    /// Calls that are passed on beside those of the table.
    pub allow: Arc<[AllowedCall]>,
    /// Whether the listener speaks TLS.
    pub tls: bool,
}

/// The mirror's routes. They are in a table of their own, because what stands at the beginning of a path decides which one it is.
pub(super) fn router(state: AppState) -> Router {
    let mirror = Router::new().route("/{*path}", any(answer)).fallback(unknown);
    Router::new().nest("/graph", mirror).with_state(state)
}

async fn unknown() -> GraphError {
    GraphError::unknown_object()
}

/// What is asked for.
enum Wanted {
    /// A call of the table.
    Row(&'static Row, First),
    /// A call that the operator lets through.
    Allowed(First),
    /// A file.
    Download,
}

impl Wanted {
    const fn route(&self) -> &'static str {
        match self {
            Self::Row(row, _) => row.route,
            Self::Allowed(_) => "/graph/{version}/*",
            Self::Download => objects::DOWNLOAD_ROUTE,
        }
    }
}

async fn answer(State(state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let errand = parts.extensions.get::<Errand>().cloned().unwrap_or_else(|| Errand::application(""));
    let (caller, query, body) = match admit(&state, &parts, body).await {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.into_response(),
    };
    let path = GraphPath::parse(parts.uri.path().strip_prefix('/').unwrap_or_default());
    let first = path.as_ref().map_or_else(String::new, |path| path.first().to_owned());
    let found = path.ok_or_else(GraphError::unknown_object).and_then(|path| {
        let wanted = wanted(&state, &caller, &parts.method, &path)?;
        Ok((path, wanted))
    });
    let route = found.as_ref().map_or("unmatched", |(_, wanted)| wanted.route());
    let served = match found {
        Ok((path, wanted)) => {
            let trail = Trail::new(errand.clone(), state.audit.clone());
            let (state, caller, method, headers) = (&state, &caller, &parts.method, &parts.headers);
            let asked = Asked { state, caller, trail, method, path, query, headers, body };
            Box::pin(serve(asked, wanted)).await
        }
        Err(refusal) => Err(refusal),
    };
    if let Err(GraphError { denied: Some(denied), .. }) = &served {
        state.door.refusals().note(&caller, &errand, *denied).await;
    }
    let refused = |refusal: GraphError| refusal.about(&parts.method, &first).into_response();
    let mut response = served.unwrap_or_else(refused);
    response.extensions_mut().insert(CallerKey(caller.key));
    response.extensions_mut().insert(Routed(route));
    response
}

/// Who asks, by a key in whichever place.
async fn admit(state: &AppState, parts: &Parts, body: Body) -> Result<(Caller, Query, Body), GraphError> {
    let query = Query::parse(parts.uri.query())?;
    let (key, body) = match asking::key_in_headers(&parts.headers) {
        Ok(Some(key)) => (key.to_owned(), body),
        Ok(None) => asking::key_elsewhere(&query, &parts.headers, body).await?,
        Err(refusal) => return Err(refusal),
    };
    let caller = state.caller(&key, &parts.extensions, &parts.headers).map_err(|refused| {
        state.refuse(refused);
        GraphError::no_key()
    })?;
    Ok((caller, query, body))
}

fn wanted(state: &AppState, caller: &Caller, method: &Method, path: &GraphPath) -> Result<Wanted, GraphError> {
    if path.version.is_none() && path.first() == objects::DOWNLOAD {
        let is_read = *method == Method::GET;
        return if is_read { Ok(Wanted::Download) } else { Err(GraphError::unknown_object()) };
    }
    let first = First::of(&state.directory.snapshot(), caller, path.first())?;
    if let Some(row) = first.row(method, path) {
        return Ok(Wanted::Row(row, first));
    }
    if first.is_allowed(&state.mirror.allow, method, path) {
        return Ok(Wanted::Allowed(first));
    }
    Err(unmatched(&first, path))
}

/// A thing that is there, asked for something that we do not pass on, is told so; what is not there is not.
fn unmatched(first: &First, path: &GraphPath) -> GraphError {
    match first {
        First::Phone(_) | First::Account(_) if path.parts.len() > 1 => GraphError::new(
            StatusCode::BAD_REQUEST,
            2500,
            "Unknown path components: the gateway does not pass this call on (graph.allow in its configuration)",
        ),
        _ => GraphError::unknown_object(),
    }
}

async fn serve(asked: Asked<'_>, wanted: Wanted) -> Result<Response, GraphError> {
    match wanted {
        Wanted::Download => objects::download(asked).await,
        Wanted::Row(row, First::Phone(channel)) if row.how == How::Message => {
            asked.permit_row(row)?;
            messages::send(asked, &channel).await.map(respond)
        }
        Wanted::Row(row, first) => {
            if let How::Object { of_files } = row.how {
                return objects::handle(asked, row, of_files).await;
            }
            asked.permit_row(row)?;
            let channel = channel(&asked, first)?;
            let is_change = *asked.method != Method::GET;
            if is_change && row.needs == Permission::NumbersManage && row.path.starts_with("/{waba}") {
                permit_whole_account(&asked, &channel)?;
            }
            asked.pass(&channel, row.how, row.word()).await
        }
        Wanted::Allowed(first) => {
            asked.permit(Permission::GraphAny)?;
            asked.permit_fields()?;
            let channel = channel(&asked, first)?;
            asked.pass(&channel, How::Plain, "allowed").await
        }
    }
}

fn permit_whole_account(asked: &Asked<'_>, channel: &Channel) -> Result<(), GraphError> {
    let whole = has_whole_account(&asked.state.directory.snapshot(), asked.caller, channel);
    if whole { Ok(()) } else { Err(GraphError::denied(Denied::Confined)) }
}

fn channel(asked: &Asked<'_>, first: First) -> Result<Arc<Channel>, GraphError> {
    match first {
        First::Phone(channel) | First::Account(channel) => Ok(channel),
        First::Other => speaker(&asked.state.directory.snapshot(), asked.caller, asked.query.get("phone_number_id")),
    }
}
