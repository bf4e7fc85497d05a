//! Things that Meta alone knows: files, templates, flows. Their ids do not say what they are, and ours is no list of them, so Meta is
//! asked what a thing is before anything is done with it: what a key needs depends on it, and a number or a group that stands on no
//! list of ours is none of these.

use axum::http::Method;
use axum::http::header::{CONTENT_DISPOSITION, RANGE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use super::asking::Query;
use super::error::{GraphError, no_token};
use super::passing::{Asked, give_back, own_base};
use super::table::{How, Row};
use super::target::speaker;
use crate::access::tickets::Ticket;
use crate::access::{Denied, FieldClass, Permission};
use crate::audit::Action;
use crate::domain::channel::Channel;
use crate::http::AppState;
use crate::ids::ChannelId;
use crate::meta::answer::Answer;
use crate::meta::client::call::{Call, Outgoing};
use crate::meta::client::links;

/// The first word of the path of links to files.
pub(super) const DOWNLOAD: &str = "media-download";
/// The same for the log.
pub(super) const DOWNLOAD_ROUTE: &str = "/graph/media-download/{channel}/{file}/{ends}/{seal}";

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    File,
    /// A template or a flow.
    Form,
}

impl Class {
    /// By what Meta shows of it when nobody asks for fields.
    fn of(answer: &Answer) -> Option<Self> {
        let Ok(Value::Object(shown)) = serde_json::from_slice(&answer.body) else { return None };
        let has = |name: &str| shown.contains_key(name);
        if has("mime_type") && has("url") {
            return Some(Self::File);
        }
        let is_template = has("name") && has("language") && has("status");
        let is_flow = has("name") && has("status") && (has("categories") || has("validation_errors"));
        (is_template || is_flow).then_some(Self::Form)
    }
}

/// Whether Meta says that there is no such thing. It says so of looking at it, which is not what the caller asked for.
fn is_unknown(seen: &Answer) -> bool {
    let refusal = serde_json::from_slice::<Value>(&seen.body).unwrap_or_default();
    refusal.pointer("/error/type").is_some_and(|kind| kind == "GraphMethodException")
}

/// Looks at the thing, and then does what was asked for.
pub(super) async fn handle(asked: Asked<'_>, row: &Row, of_files: Option<Permission>) -> Result<Response, GraphError> {
    let may = |what: Permission| asked.caller.permissions.contains(what);
    if !may(row.needs) && !of_files.is_some_and(may) {
        let refusal = GraphError::denied(Denied::Missing(row.needs));
        return Err(match of_files {
            Some(file) => {
                refusal.with_details(format!("the key lacks the permission {}, and {file} for files", row.needs))
            }
            None => refusal,
        });
    }
    asked.permit_fields()?;
    let named = asked.query.get("phone_number_id");
    let channel = speaker(&asked.state.directory.snapshot(), asked.caller, named)?;
    let token = channel.token.as_ref().ok_or_else(no_token)?;
    let seen = look_up(asked.state, &channel, asked.path.version.clone(), asked.path.first(), &asked.query).await?;
    if !(200..300).contains(&seen.status) {
        if *asked.method != Method::GET && is_unknown(&seen) {
            return Err(GraphError::unknown_object());
        }
        return give_back(asked.state, asked.headers, token, seen);
    }
    let is_read = *asked.method == Method::GET;
    match Class::of(&seen).ok_or_else(GraphError::unknown_object)? {
        Class::Form => asked.permit(row.needs)?,
        Class::File => {
            asked.permit(of_files.ok_or_else(GraphError::unknown_object)?)?;
            if is_read {
                asked.caller.require_class(FieldClass::Sensitive).map_err(GraphError::denied)?;
                let base = own_base(asked.state, asked.headers);
                let link = link(asked.state, &channel, asked.path.first(), &base).await?;
                let body = links::with_member(&seen.body, "url", &link);
                return give_back(asked.state, asked.headers, token, Answer { body, ..seen });
            }
        }
    }
    if is_read && asked.query.get("fields").is_none() {
        return give_back(asked.state, asked.headers, token, seen);
    }
    asked.pass(&channel, How::Plain, row.word()).await
}

async fn look_up(
    state: &AppState,
    channel: &Channel,
    version: Option<String>,
    id: &str,
    query: &Query,
) -> Result<Answer, GraphError> {
    let token = channel.token.as_ref().ok_or_else(no_token)?;
    let named = query.get("phone_number_id").map(|named| ("phone_number_id".to_owned(), named.to_owned()));
    let call = Call {
        method: Method::GET,
        version,
        path: vec![id.to_owned()],
        query: named.into_iter().collect(),
        headers: HeaderMap::new(),
        body: Outgoing::Whole(axum::body::Bytes::new()),
    };
    state.mirror.client.call(token, call).await.map_err(|error| GraphError::unanswered(&error, true))
}

/// Our link to a file in place of Meta's: an unmodified SDK sends its key to it.
async fn link(state: &AppState, channel: &Channel, file: &str, base: &str) -> Result<String, GraphError> {
    let ticket = state.mirror.tickets.issue(channel.tenant, channel.id, file).await;
    let Ticket { ends, seal } = ticket.map_err(|error| GraphError::unrecorded(&error))?;
    Ok(format!("{base}/{DOWNLOAD}/{}/{file}/{ends}/{seal}", channel.id))
}

/// `GET` of a link that a lookup gave: the file, as it comes from Meta.
pub(super) async fn download(asked: Asked<'_>) -> Result<Response, GraphError> {
    asked.permit(Permission::MediaRead)?;
    asked.caller.require_class(FieldClass::Sensitive).map_err(GraphError::denied)?;
    let (state, caller) = (asked.state, asked.caller);
    let [_, channel, file, ends, seal] = asked.path.parts.as_slice() else { return Err(over()) };
    let channel = Uuid::parse_str(channel).map(ChannelId::from_uuid).map_err(|_| over())?;
    let ticket = Ticket { ends: ends.parse().map_err(|_| over())?, seal: seal.clone() };
    let good = state.mirror.tickets.is_good(caller.tenant, channel, file, &ticket).await;
    if !good.map_err(|error| GraphError::unrecorded(&error))? || !caller.may_use(channel) {
        return Err(over());
    }
    let channel = state.directory.snapshot().channel(caller.tenant, channel).cloned().ok_or_else(over)?;
    let token = channel.token.as_ref().ok_or_else(no_token)?;
    let seen = look_up(state, &channel, None, file, &asked.query).await?;
    let Some(url) = Some(&seen).filter(|seen| seen.status == 200).and_then(|seen| links::member(&seen.body, "url"))
    else {
        return give_back(state, asked.headers, token, seen);
    };
    let left = asked.trail.leave_graph(caller, Action::MediaRead, channel.id, &["download"]).await;
    left.map_err(|error| GraphError::unrecorded(&error))?;
    let got = state.mirror.client.download(token, &url, asked.headers.get(RANGE)).await;
    let got = got.map_err(|error| {
        tracing::warn!(%error, cause = std::error::Error::source(&error).map(tracing::field::display), "a file could not be fetched");
        GraphError::new(StatusCode::BAD_GATEWAY, 131_052, "The file cannot be fetched from Meta")
    })?;
    let status = StatusCode::from_u16(got.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, axum::body::Body::from_stream(got.body)).into_response();
    response.headers_mut().extend(got.headers);
    response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

/// A link that is over, was never given, or not to this caller.
const fn over() -> GraphError {
    GraphError::new(StatusCode::NOT_FOUND, 100, "The link is over; look the file up again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(body: &'static str) -> Option<Class> {
        let body = body.into();
        Class::of(&Answer { status: 200, headers: HeaderMap::new(), body })
    }

    #[test]
    fn a_thing_is_known_by_what_meta_shows_of_it() {
        assert_eq!(class(r#"{"url":"u","mime_type":"image/png","sha256":"a","id":"1"}"#), Some(Class::File));
        assert_eq!(class(r#"{"name":"a","language":"de","status":"APPROVED","id":"1"}"#), Some(Class::Form));
        assert_eq!(class(r#"{"id":"1","name":"a","status":"DRAFT","categories":[]}"#), Some(Class::Form));
        for other in [
            r#"{"id":"1"}"#,
            r#"{"id":"1","verified_name":"a","display_phone_number":"1"}"#,
            "[]",
            "",
            r#"{"id":"1","name":"a","timezone_id":"1"}"#,
            r#"{"id":"1","subject":"a","participants":[]}"#,
        ] {
            assert_eq!(class(other), None, "{other}");
        }
    }
}
