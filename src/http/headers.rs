//! Headers that every answer carries: nothing is cached, guessed at, framed or run.

use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// Our answers load nothing. The documentation page loads its own style sheet from the same listener.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SECURITY: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
];

/// Adds them.
pub(super) async fn security(request: Request, next: Next) -> Response {
    secured(next.run(request).await)
}

/// The answer with them. One that has a policy of its own for what is in it keeps that.
pub(super) fn secured(mut response: Response) -> Response {
    let has_policy = response.headers().contains_key(CONTENT_SECURITY_POLICY);
    for (name, value) in SECURITY.into_iter().filter(|(name, _)| !has_policy || *name != CONTENT_SECURITY_POLICY) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
