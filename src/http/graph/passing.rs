//! Passing a call on: the key is checked, an entry is left, Meta is asked with the channel's token, and its answer goes back with
//! its links turned to us.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use memchr::memmem;

use super::asking::{self, Query};
use super::error::{GraphError, no_token};
use super::table::{How, Row, behind_fields};
use super::target::GraphPath;
use crate::access::{Caller, Denied, FieldClass, Permission, Sight};
use crate::audit::Action;
use crate::domain::channel::Channel;
use crate::http::AppState;
use crate::http::api::trail::Trail;
use crate::meta::answer::Answer;
use crate::meta::client::call::{Call, Outgoing};
use crate::secret::AccessToken;

/// The parameter that names a token to be looked at.
const INSPECTED: &str = "input_token";

/// What somebody asks for, who may ask.
pub(super) struct Asked<'r> {
    pub(super) state: &'r AppState,
    pub(super) caller: &'r Caller,
    pub(super) trail: Trail,
    pub(super) method: &'r Method,
    pub(super) path: GraphPath,
    pub(super) query: Query,
    pub(super) headers: &'r HeaderMap,
    pub(super) body: Body,
}

impl Asked<'_> {
    /// Passes when the key has the permission.
    pub(super) fn permit(&self, what: Permission) -> Result<(), GraphError> {
        self.caller.require(what).map_err(GraphError::denied)
    }

    /// Passes when the key may be shown people in clear, as many as there are.
    fn permit_people(&self) -> Result<(), GraphError> {
        let clear = Sight { class: FieldClass::Personal, unmasked: true };
        self.caller.require_sight(clear).map_err(GraphError::denied)?;
        // Nobody counts whom Meta shows.
        if self.caller.budget.is_some() { Err(GraphError::denied(Denied::Wider)) } else { Ok(()) }
    }

    /// Passes when the key may do what the row says, and may see the fields that are asked for.
    pub(super) fn permit_row(&self, row: &Row) -> Result<(), GraphError> {
        self.permit(row.needs)?;
        if row.how == How::People {
            self.permit_people()?;
        }
        self.permit_fields()
    }

    /// The same for fields that have calls of their own.
    pub(super) fn permit_fields(&self) -> Result<(), GraphError> {
        for behind in self.query.all("fields").flat_map(behind_fields) {
            self.permit(behind.needs)?;
            if behind.how == How::People {
                self.permit_people()?;
            }
        }
        Ok(())
    }

    /// Passes the call on as it is.
    pub(super) async fn pass(self, channel: &Channel, how: How, word: &str) -> Result<Response, GraphError> {
        let token = channel.token.as_ref().ok_or_else(no_token)?;
        let is_read = *self.method == Method::GET;
        let action = if how == How::People { Action::BlocksRead } else { Action::GraphChanged };
        if !is_read || how == How::People {
            let words = [self.method.as_str().to_ascii_lowercase(), word.to_owned()];
            let words = words.each_ref().map(String::as_str);
            let left = self.trail.leave_graph(self.caller, action, channel.id, &words).await;
            left.map_err(|error| GraphError::unrecorded(&error))?;
        }
        let headers = asking::describing(self.headers, matches!(how, How::File(_)));
        let (body, broken): (_, Box<dyn Fn() -> bool + Send + Sync>) = match how {
            How::File(most) => {
                let (body, broken) = asking::file(self.headers, self.body, most)?.part();
                (body, Box::new(broken))
            }
            // What is asked for by GET stands in the URL, where it was looked at.
            _ if is_read => (Outgoing::Whole(Bytes::new()), Box::new(|| false)),
            _ => (Outgoing::Whole(asking::small(self.headers, self.body).await?), Box::new(|| false)),
        };
        let pin = match &body {
            Outgoing::Whole(body) if how == How::Pin => asking::pin(self.headers, &self.query, body)?,
            _ => None,
        };
        let sender = &self.state.sender;
        let change = match pin {
            Some(pin) => Some(sender.begin_pin(channel, pin).await.map_err(|error| GraphError::pin(&error))?),
            None => None,
        };
        let mut query = self.query.for_meta();
        if how == How::Token {
            query.retain(|(name, _)| name != INSPECTED);
            query.push((INSPECTED.to_owned(), token.expose().to_owned()));
        }
        let call = Call {
            method: self.method.clone(),
            version: self.path.version,
            path: self.path.parts,
            query,
            headers,
            body,
        };
        let sent = self.state.mirror.client.call(token, call).await;
        if let Some(change) = change
            && let Err(error) = sender.end_pin(change, &sent).await
        {
            // It is kept all the same, beside the one before, and one of the two is right.
            tracing::warn!(channel = %channel.id, %error, "what became of a PIN could not be recorded");
        }
        match sent {
            Ok(answer) => give_back(self.state, self.headers, token, answer),
            Err(_) if broken() => Err(GraphError::unread()),
            Err(error) => Err(GraphError::unanswered(&error, *self.method != Method::POST)),
        }
    }
}

/// Meta's answer as it came, but for its links: status, body, and the headers that say how much of a limit is used.
pub(super) fn give_back(
    state: &AppState,
    asked_with: &HeaderMap,
    token: &AccessToken,
    answer: Answer,
) -> Result<Response, GraphError> {
    let body = state.mirror.client.relinked(&answer.body, &own_base(state, asked_with));
    let secret = token.expose().as_bytes();
    if secret.len() >= 8 && memmem::find(&body, secret).is_some() {
        tracing::error!("an answer of Meta's held the access token and was not passed on");
        return Err(GraphError::new(StatusCode::BAD_GATEWAY, 131_000, "The answer cannot be passed on"));
    }
    Ok(respond(Answer { body, ..answer }))
}

/// An answer as a response.
pub(super) fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, answer.body).into_response();
    for (name, value) in &answer.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    response
}

/// The base of our links: as the operator says, or else as the caller reached us. The answer is the caller's alone, and cached
/// nowhere, so that a host that is not ours misleads nobody but whoever named it.
pub(super) fn own_base(state: &AppState, asked_with: &HeaderMap) -> String {
    if let Some(url) = &state.mirror.public_url {
        return url.to_string();
    }
    let host = asked_with.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| is_host(host));
    let scheme = if state.mirror.tls { "https" } else { "http" };
    host.map_or_else(|| "/graph".to_owned(), |host| format!("{scheme}://{host}/graph"))
}

/// A name or an address, perhaps with a port, and nothing else that a URL could begin with.
fn is_host(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (1..=255).contains(&text.len())
        && text.bytes().all(known)
        && url::Url::parse(&format!("http://{text}/")).is_ok_and(|url| url.host_str().is_some() && url.path() == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_host_and_nothing_that_leads_elsewhere() {
        for host in ["gateway:8081", "127.0.0.1:1", "[::1]:8081", "waxseal.example"] {
            assert!(is_host(host), "{host}");
        }
        for wrong in ["", "a/b", "user@evil.example", "a b", "evil.example?", "a#b", "http://a", ":", "a:b"] {
            assert!(!is_host(wrong), "{wrong}");
        }
    }
}
