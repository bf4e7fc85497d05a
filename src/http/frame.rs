//! What frames every request: an id, a line in the log, a deadline, and no panic that anybody sees. The line holds the
//! template of the route, never the path or the query: those hold ids, tokens and whatever a stranger types.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::api::problem::{Code, Problem};
use crate::access::Errand;
use crate::access::errand::Budget;
use crate::crypto::random;
use crate::ids::ApiKeyId;
use crate::store::budgets;

/// Names a request in answers, problem documents and the log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Entries of the audit log that tell of this request. Their ids, because where they stand in the tree is known later.
const AUDIT_INDEX: HeaderName = HeaderName::from_static("x-audit-index");

/// What a key with a budget may be shown, and how much of it is left (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Lengths of ids that are taken over from a caller. Phone numbers have at most 15 digits (E.164).
const ID_LENGTHS: std::ops::RangeInclusive<usize> = 16..=64;

/// How long a request of the API may take, unless it has leave to wait.
const DEADLINE: Duration = Duration::from_secs(30);

/// Rides on an answer, so that the log can name the key.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallerKey(pub(super) ApiKeyId);

/// Rides on an answer of the mirror, whose routes are in a table of its own: which one it was, for the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Routed(pub(super) &'static str);

/// Rides on a request: how much longer than others it may take, because it asked to wait for something.
#[derive(Debug, Clone, Default)]
pub(super) struct Leave(Arc<AtomicU64>);

impl Leave {
    /// Gives the request so many milliseconds more.
    pub(super) fn grant(&self, wait: Duration) {
        self.0.store(wait.as_millis() as u64, Ordering::Relaxed);
    }
}

async fn within<T>(deadline: Duration, leave: &Leave, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut work = pin!(work);
    match timeout(deadline, &mut work).await {
        Ok(done) => Ok(done),
        Err(_elapsed) => timeout(Duration::from_millis(leave.0.load(Ordering::Relaxed)), work).await,
    }
}

/// The frame of the API: its problem documents name the request.
pub(super) async fn api(mut request: Request, next: Next) -> Response {
    let (id, line, leave) = (request_id(&request), Line::begin(&request, "internal"), Leave::default());
    let errand = Errand::application(&id);
    request.extensions_mut().insert(leave.clone());
    request.extensions_mut().insert(errand.clone());
    let mut response = match within(DEADLINE, &leave, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(Code::TimedOut).respond(Some(&id)),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let key = response.extensions().get::<CallerKey>().copied();
        response = problem.respond(Some(&id));
        key.and_then(|key| response.extensions_mut().insert(key));
    }
    receipt(&mut response, &errand);
    finish(response, &id, &line)
}

/// Names the entries of the audit log that were left on the way, and says what is left of the budget of the key.
fn receipt(response: &mut Response, errand: &Errand) {
    if let Some(Budget { contacts, left }) = errand.budget() {
        let policy = format!("\"contacts\";q={contacts};w={}", budgets::COUNTED.whole_seconds());
        for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, format!("\"contacts\";r={left}"))] {
            // Digits and quotes are always a header.
            let _set = HeaderValue::from_str(&text).map(|value| response.headers_mut().insert(name, value));
        }
    }
    let receipts: Vec<String> = errand.receipts().iter().map(ToString::to_string).collect();
    // Ids and commas are always a header.
    if let Some(value) = HeaderValue::from_str(&receipts.join(",")).ok().filter(|value| !value.is_empty()) {
        response.headers_mut().insert(AUDIT_INDEX, value);
    }
}

/// The frame of the Graph mirror: no deadline but Meta's.
pub(super) async fn mirror(mut request: Request, next: Next) -> Response {
    let (id, mut line) = (request_id(&request), Line::begin(&request, "internal"));
    let errand = Errand::application(&id);
    request.extensions_mut().insert(errand.clone());
    let mut response = next.run(request).await;
    line.route = response.extensions().get::<Routed>().map(|routed| Route::Only(routed.0));
    receipt(&mut response, &errand);
    finish(response, &id, &line)
}

/// The frame of the public listener, whose refusals say nothing. `route` is the one it has.
pub(super) async fn public<F>(request: Request, route: &'static str, handler: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let (id, mut line) = (request_id(&request), Line::begin(&request, "public"));
    line.route = Some(Route::Only(route)).filter(|_| request.uri().path() == route);
    let answer = AssertUnwindSafe(async { handler(request).await }).catch_unwind().await;
    let response = answer.unwrap_or_else(panicked_silently);
    // Thousands a second would bury the log, and the metrics count them.
    line.quiet = line.method == "POST" && response.status() == StatusCode::OK;
    finish(response, &id, &line)
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

enum Route {
    Matched(MatchedPath),
    Only(&'static str),
}

impl Route {
    fn as_str(&self) -> &str {
        match self {
            Self::Matched(path) => path.as_str(),
            Self::Only(path) => path,
        }
    }
}

struct Line {
    listener: &'static str,
    method: &'static str,
    route: Option<Route>,
    started: Instant,
    /// Whether the line is for those who ask for details.
    quiet: bool,
}

impl Line {
    fn begin(request: &Request, listener: &'static str) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned().map(Route::Matched);
        Self { listener, method: method(request.method().as_str()), route, started: Instant::now(), quiet: false }
    }

    fn end(&self, response: &Response, id: &str) {
        if self.quiet && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let key = response.extensions().get::<CallerKey>().map(|key| key.0);
        tracing::info!(
            listener = self.listener,
            method = self.method,
            route = self.route.as_ref().map_or("unmatched", Route::as_str),
            status = response.status().as_u16(),
            ms = self.started.elapsed().as_micros() as f64 / 1000.0,
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

/// The caller's own id if it is a UUID or other hexadecimal text, or a new random one. It stands in the log, so it must
/// not be able to be a number, a name, a key or a message id of Meta's.
fn request_id(request: &Request) -> String {
    let plain = |text: &&str| {
        ID_LENGTHS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
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
    fn a_hexadecimal_request_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("0192f0a1-7c3e-7000-8000-5f0c1d0c5f0c"), "0192f0a1-7c3e-7000-8000-5f0c1d0c5f0c");
        for bad in ["", "4915112345678", "wamid.HBgLMTY1MDM4Nzk0MzkV", "request-from-jane-doe", &"a".repeat(65)] {
            let id = id_for(bad);
            assert!(id != bad && id.len() == 32, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn whoever_has_leave_to_wait_may_take_longer_and_nobody_else() {
        let (short, leave) = (Duration::from_millis(1), Leave::default());
        let work = || tokio::time::sleep(Duration::from_millis(20));
        assert!(within(short, &leave, work()).await.is_err());
        leave.grant(Duration::from_mins(1));
        assert!(within(short, &leave, work()).await.is_ok());
    }

    #[test]
    fn an_invented_method_does_not_reach_the_log() {
        assert_eq!((method("GET"), method("CANARY")), ("GET", "other"));
    }
}
