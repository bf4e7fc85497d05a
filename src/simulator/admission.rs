//! The door of the Graph side: version, access token, and the faults that were asked for.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER_PERMISSIVE;

use super::errors::GraphError;
use super::faults::{Break, Fault, Surface};
use super::line::Line;
use super::media::DOWNLOAD_PATH;
use super::platform::Platform;
use super::settings::Proof;

/// Asks a handler to accept a message and to report it as failed with this code afterwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct FailLater(pub(super) u32);

/// Lets a request through to its handler, or answers in its stead.
pub(super) async fn admit(
    State(platform): State<Arc<Platform>>,
    ConnectInfo(line): ConnectInfo<Line>,
    mut request: Request,
    next: Next,
) -> Response {
    let surface = Surface::of(request.uri().path());
    if surface == Surface::Messages {
        platform.ledger.count_request();
    }
    if let Err(refusal) = check(&platform, &request) {
        return refusal.into_response();
    }
    let delay = platform.settings().delay_ms;
    if surface == Surface::Messages && delay > 0 {
        platform.pause(Duration::from_millis(delay)).await;
    }
    let Some(fault) = platform.faults.take(surface) else {
        return with_usage(next.run(request).await);
    };
    if fault.delay_ms > 0 {
        platform.pause(Duration::from_millis(fault.delay_ms)).await;
    }
    if fault.connection == Some(Break::Reset) {
        line.reset();
        return StatusCode::NO_CONTENT.into_response();
    }
    if let Some(refusal) = refusal(&fault) {
        return refusal;
    }
    if let Some(code) = fault.failed_status {
        request.extensions_mut().insert(FailLater(code));
    }
    let response = next.run(request).await;
    if fault.connection == Some(Break::LostAnswer) {
        line.close();
    }
    response
}

/// How much of its limits the app has used, as Meta says with every answer.
fn with_usage(mut response: Response) -> Response {
    let usage = HeaderValue::from_static(r#"{"call_count":3,"total_cputime":1,"total_time":2}"#);
    response.headers_mut().insert("x-app-usage", usage);
    response
}

/// The answer that a fault gives in place of the handler.
fn refusal(fault: &Fault) -> Option<Response> {
    let http = fault.http.and_then(|http| StatusCode::from_u16(http).ok());
    let mut response = match (fault.code, http) {
        (Some(code), Some(http)) => GraphError::new(code, "Asked for by a fault").with_http(http).into_response(),
        (Some(code), None) => GraphError::new(code, "Asked for by a fault").into_response(),
        (None, Some(http)) => (http, "<html><body>Sorry, something went wrong.</body></html>").into_response(),
        (None, None) => return None,
    };
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Some(response)
}

fn check(platform: &Platform, request: &Request) -> Result<(), GraphError> {
    let path = request.uri().path();
    let version = path.split('/').nth(1).unwrap_or_default();
    if path != DOWNLOAD_PATH && !is_version(version) {
        return Err(GraphError::no_path(path));
    }
    let query = request.uri().query().unwrap_or_default();
    let in_header = bearer(request.headers());
    let in_query = if in_header.is_none() { parameter(query, "access_token") } else { None };
    let token = in_header.or(in_query.as_deref()).unwrap_or_default();
    if !platform.config.access_token.matches(token) {
        return Err(GraphError::token());
    }
    match parameter(query, "appsecret_proof") {
        Some(proof) if !proves(platform, &proof) => {
            Err(GraphError::parameter("Invalid appsecret_proof provided in the API argument"))
        }
        None if path != DOWNLOAD_PATH && platform.settings().proof == Proof::Required => {
            Err(GraphError::parameter("API calls from the server require an appsecret_proof argument"))
        }
        _ => Ok(()),
    }
}

/// `v` and two numbers, as in `v25.0`.
fn is_version(text: &str) -> bool {
    let parts = text.strip_prefix('v').and_then(|rest| rest.split_once('.'));
    parts.is_some_and(|(major, minor)| major.parse::<u16>().is_ok() && minor.parse::<u16>().is_ok())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth");
    known.then(|| token.trim())
}

fn parameter(query: &str, name: &str) -> Option<String> {
    if query.is_empty() {
        return None;
    }
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// `appsecret_proof` is the hex HMAC-SHA256 of the access token under the app secret.
fn proves(platform: &Platform, proof: &str) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, platform.config.app_secret.expose().as_bytes());
    let Ok(proof) = HEXLOWER_PERMISSIVE.decode(proof.as_bytes()) else {
        return false;
    };
    hmac::verify(&key, platform.config.access_token.expose().as_bytes(), &proof).is_ok()
}
