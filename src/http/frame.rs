//! What frames every request: an id, one line in the log, a deadline, and no panic that anybody sees. The line holds the
//! template of the route, never the path or the query: those hold ids, tokens and whatever a stranger types.

use std::any::Any;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::api::problem::{Code, Problem};
use crate::crypto::random;
use crate::ids::ApiKeyId;

/// Names a request in answers, problem documents and the log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken over from a caller.
const LONGEST_ID: usize = 64;

/// How long a request of the API may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// Rides on an answer, so that the log can name the key.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallerKey(pub(super) ApiKeyId);

/// The frame of the API: its problem documents name the request.
pub(super) async fn api(request: Request, next: Next) -> Response {
    let (id, line) = (request_id(&request), Line::begin(&request, "internal"));
    let mut response = match timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(Code::TimedOut).respond(Some(&id)),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let key = response.extensions().get::<CallerKey>().copied();
        response = problem.respond(Some(&id));
        key.and_then(|key| response.extensions_mut().insert(key));
    }
    finish(response, &id, &line)
}

/// The frame of the public listener, whose refusals say nothing.
pub(super) async fn public(request: Request, next: Next) -> Response {
    let (id, line) = (request_id(&request), Line::begin(&request, "public"));
    finish(next.run(request).await, &id, &line)
}

fn finish(mut response: Response, id: &str, line: &Line) -> Response {
    line.end(&response, id);
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// The answer to a request whose handler panicked. What it said may quote content, so it is not looked at.
pub(super) fn panicked(_what: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    Problem::new(Code::Internal).respond(None)
}

/// The same for the public listener.
pub(super) fn panicked_silently(_what: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

struct Line {
    listener: &'static str,
    method: &'static str,
    route: Option<MatchedPath>,
    started: Instant,
}

impl Line {
    fn begin(request: &Request, listener: &'static str) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { listener, method: method(request.method().as_str()), route, started: Instant::now() }
    }

    fn end(&self, response: &Response, id: &str) {
        let key = response.extensions().get::<CallerKey>().map(|key| key.0);
        tracing::info!(
            listener = self.listener,
            method = self.method,
            route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str),
            status = response.status().as_u16(),
            ms = self.started.elapsed().as_secs_f64() * 1000.0,
            request_id = id,
            key = key.map(tracing::field::display),
            "request"
        );
    }
}

/// A method as a constant: callers may invent words of their own.
fn method(text: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == text).unwrap_or("other")
}

/// The caller's own id if it is short and plain, or a new random one.
fn request_id(request: &Request) -> String {
    let plain = |text: &&str| {
        let bytes = text.bytes();
        (1..=LONGEST_ID).contains(&text.len())
            && bytes.into_iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(plain);
    given.map_or_else(|| Uuid::from_bytes(random::bytes()).simple().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn id_for(value: &str) -> String {
        request_id(&Request::builder().header(REQUEST_ID, value).body(Body::empty()).unwrap())
    }

    #[test]
    fn a_plain_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("crm-7f.A_1"), "crm-7f.A_1");
        for bad in ["", "a b", "a\tb", "49151/123", &"x".repeat(65)] {
            let id = id_for(bad);
            assert!(id != bad && id.len() == 32, "{bad:?}");
        }
    }

    #[test]
    fn an_invented_method_does_not_reach_the_log() {
        assert_eq!((method("GET"), method("CANARY")), ("GET", "other"));
    }
}
