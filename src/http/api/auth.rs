//! Who calls the API. Every route is wrapped in [`authorise`] by the table of routes; handlers get the caller from there.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};
use crate::access::{Caller, Errand, FieldClass, Permission, Refused};
use crate::http::frame::CallerKey;
use crate::http::state::AppState;
use crate::telemetry;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What one route needs.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) state: AppState,
    pub(super) permission: Permission,
    /// The class of fields below which there is nothing to be shown.
    pub(super) least: FieldClass,
}

/// Lets a request pass whose key is valid and has the permission of the route.
pub(super) async fn authorise(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let shown = presented(request.headers()).ok_or(Refused::Unknown);
    let caller = match shown.and_then(|key| guard.state.caller(key, request.extensions(), request.headers())) {
        Ok(caller) => caller,
        Err(refused) => {
            guard.state.refuse(refused);
            return Problem::from(refused).into_response();
        }
    };
    let key = CallerKey(caller.key);
    let errand = request.extensions().get::<Errand>().cloned();
    let may = caller.require(guard.permission).and_then(|()| caller.require_class(guard.least));
    let mut response = match may {
        Err(denied) => {
            metrics::counter!(telemetry::REFUSED, "reason" => "forbidden").increment(1);
            Problem::from(denied).into_response()
        }
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
    };
    let refused = response.extensions().get::<Problem>().and_then(Problem::unrecorded);
    if let (Some(denied), Some(errand)) = (refused, errand) {
        guard.state.door.refusals().note(&caller, &errand, denied).await;
    }
    response.extensions_mut().insert(key);
    response
}

/// The key of a request that shows exactly one.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(AUTHORIZATION).iter().chain(headers.get_all(API_KEY).iter());
    let only = shown.next().filter(|_| shown.next().is_none())?.to_str().ok()?;
    if headers.contains_key(API_KEY) {
        return Some(only);
    }
    let (scheme, key) = only.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start_matches(' '))
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        // Absent only behind a route that is not in the table.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(Code::Internal).into_response())
    }
}

impl<S: Sync> FromRequestParts<S> for Errand {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        // Absent only outside of the frame.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::new(Code::Internal).into_response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_taken_from_either_header() {
        assert_eq!(presented(&headers(&[(AUTHORIZATION, "Bearer k")])), Some("k"));
        assert_eq!(presented(&headers(&[(AUTHORIZATION, "bearer  k")])), Some("k"));
        assert_eq!(presented(&headers(&[(API_KEY, "k")])), Some("k"));
    }

    #[test]
    fn nothing_other_schemes_and_two_keys_are_no_key() {
        assert_eq!(presented(&headers(&[])), None);
        assert_eq!(presented(&headers(&[(AUTHORIZATION, "Basic a2V5")])), None);
        assert_eq!(presented(&headers(&[(AUTHORIZATION, "k")])), None);
        assert_eq!(presented(&headers(&[(AUTHORIZATION, "Bearer a"), (API_KEY, "b")])), None);
        assert_eq!(presented(&headers(&[(API_KEY, "a"), (API_KEY, "b")])), None);
    }
}
