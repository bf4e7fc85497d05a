//! `POST /graph/{version}/{phone_number_id}/messages`: the Graph mirror. A WhatsApp SDK works here unchanged when its base URL is
//! ours and its token a Waxseal key; so everything, refusals included, has the form that Meta gives it.

use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::AppState;
use super::api::trail::Trail;
use super::frame::CallerKey;
use crate::access::{Caller, Errand, Permission};
use crate::ids::PhoneNumberId;
use crate::meta::answer::Answer;
use crate::send::{Fault, Limited, MirrorError, Passed};

/// Longest body of a message. Meta's largest, an interactive list, stays far below.
const LONGEST_BODY: usize = 1024 * 1024;
/// How long an application may take to send it.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// The mirror's routes.
pub(super) fn router(state: AppState) -> Router {
    let mirror = Router::new().route("/{version}/{phone_number_id}/messages", post(messages)).fallback(unknown);
    Router::new().nest("/graph", mirror).with_state(state)
}

/// An error as Meta writes it.
struct GraphError {
    status: StatusCode,
    code: i32,
    kind: &'static str,
    message: &'static str,
    details: Option<String>,
    transient: bool,
    retry_after: Option<Duration>,
}

impl GraphError {
    const fn new(status: StatusCode, code: i32, message: &'static str) -> Self {
        Self { status, code, kind: "OAuthException", message, details: None, transient: false, retry_after: None }
    }

    fn transient(self) -> Self {
        Self { transient: true, ..self }
    }
}

impl IntoResponse for GraphError {
    fn into_response(self) -> Response {
        let mut error = json!({
            "message": format!("(#{}) {}", self.code, self.message),
            "type": self.kind,
            "code": self.code,
            "is_transient": self.transient,
            "fbtrace_id": "waxseal",
        });
        if let (Some(details), Some(error)) = (self.details, error.as_object_mut()) {
            let data = json!({ "messaging_product": "whatsapp", "details": details });
            error.insert("error_data".to_owned(), data);
        }
        let mut response = (self.status, axum::Json(json!({ "error": error }))).into_response();
        if let Some(wait) = self.retry_after {
            // Rounded up: who comes a moment too early is refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<MirrorError> for GraphError {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Faulty(faults) => Self {
                details: Some(faults.iter().map(told).collect::<Vec<_>>().join("; ")),
                ..Self::new(StatusCode::BAD_REQUEST, 100, "Invalid parameter")
            },
            MirrorError::UnknownChannel => unknown_object(),
            MirrorError::NoToken => {
                Self::new(StatusCode::FORBIDDEN, 10, "The gateway holds no access token for this phone number")
            }
            MirrorError::NotSent => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, 2, "Meta could not be reached; the message was not sent")
                    .transient()
            }
            // Deliberately not transient: a client that repeats this request may send the message twice.
            MirrorError::InDoubt => Self::new(
                StatusCode::BAD_GATEWAY,
                131_000,
                "The answer of Meta was lost; the message may have been sent and must not be repeated blindly",
            ),
            MirrorError::Limited(Limited { code, retry_after }) => Self {
                retry_after: Some(retry_after),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, limited_message(code)).transient()
            },
            MirrorError::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, 131_016, "The gateway cannot store messages now").transient()
            }
        }
    }
}

/// Meta's titles.
const fn limited_message(code: i32) -> &'static str {
    match code {
        131_056 => "(Business Account, Consumer Account) pair rate limit hit",
        _ => "Rate limit hit",
    }
}

fn told(fault: &Fault) -> String {
    let place = fault.pointer.trim_start_matches('/').replace('/', ".");
    if place.is_empty() { fault.detail.clone().into_owned() } else { format!("{place}: {}", fault.detail) }
}

fn unknown_object() -> GraphError {
    GraphError {
        kind: "GraphMethodException",
        ..GraphError::new(
            StatusCode::BAD_REQUEST,
            100,
            "Unsupported request. Object does not exist, cannot be loaded due to missing permissions, or does not support this operation",
        )
    }
}

const UNREAD: &str = "The body is incomplete, too slow or longer than 1 MiB";

async fn unknown() -> GraphError {
    unknown_object()
}

async fn messages(
    State(state): State<AppState>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let Some(caller) = caller(&state, request.extensions(), request.headers()) else {
        let refusal =
            GraphError::new(StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token: not a valid Waxseal key");
        return refusal.into_response();
    };
    let mut response = match path {
        Ok(Path((version, number))) => {
            send(&state, &caller, version, number, request).await.map_or_else(GraphError::into_response, pass_on)
        }
        Err(_) => unknown_object().into_response(),
    };
    response.extensions_mut().insert(CallerKey(caller.key));
    response
}

/// Reads the body last: until then, nobody knows whether the caller may send one.
async fn send(
    state: &AppState,
    caller: &Caller,
    version: String,
    number: String,
    request: Request,
) -> Result<Answer, GraphError> {
    let errand = request.extensions().get::<Errand>().cloned().unwrap_or_else(|| Errand::application(""));
    if let Err(denied) = caller.require(Permission::MessagesSend) {
        state.door.refusals().note(caller, &errand, denied).await;
        return Err(GraphError::new(StatusCode::FORBIDDEN, 10, "This Waxseal key may not send messages"));
    }
    let snapshot = state.directory.snapshot();
    let channel = snapshot
        .channel_by_number(caller.tenant, &PhoneNumberId::new(number))
        .filter(|channel| caller.may_use(channel.id) && is_version(&version))
        .ok_or_else(unknown_object)?
        .id;
    drop(snapshot);
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY_DEADLINE, to_bytes(body, LONGEST_BODY)).await {
        Ok(Ok(body)) => as_json(&parts.headers, body)?,
        Ok(Err(_)) => return Err(GraphError::new(StatusCode::BAD_REQUEST, 100, UNREAD)),
        Err(_elapsed) => return Err(GraphError::new(StatusCode::REQUEST_TIMEOUT, 100, UNREAD)),
    };
    let unrecorded = |error: &dyn std::error::Error| {
        tracing::warn!(error = %error, "a message was not sent, because that could not be recorded");
        GraphError::from(MirrorError::Unavailable)
    };
    let passed = Passed::read(body);
    let contact = state.sender.mirror_addressee(caller.tenant, &passed).await.map_err(|error| unrecorded(&error))?;
    let trail = Trail::new(errand, state.audit.clone());
    trail.leave_message(caller, channel, contact).await.map_err(|error| unrecorded(&error))?;
    Ok(state.sender.mirror(caller.tenant, channel, version, passed).await?)
}

/// Whether it is `v`, digits, a dot and digits. It goes into the URL for Meta and is stored, so it is nothing else.
fn is_version(text: &str) -> bool {
    let number = |text: &str| (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

/// Some SDKs send forms, as Graph allows: each field is a string, objects are JSON in it.
fn as_json(headers: &HeaderMap, body: Bytes) -> Result<Bytes, GraphError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/x-www-form-urlencoded") {
        return Ok(body);
    }
    let mut object = serde_json::Map::new();
    for (name, value) in url::form_urlencoded::parse(&body) {
        let parsed = serde_json::from_str::<Value>(&value).ok().filter(|value| value.is_object() || value.is_array());
        object.insert(name.into_owned(), parsed.unwrap_or_else(|| Value::from(value.into_owned())));
    }
    serde_json::to_vec(&object)
        .map(Bytes::from)
        .map_err(|_| GraphError::new(StatusCode::BAD_REQUEST, 100, "Invalid parameter"))
}

fn caller(state: &AppState, extensions: &Extensions, headers: &HeaderMap) -> Option<Caller> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let only = shown.next().filter(|_| shown.next().is_none())?.to_str().ok()?;
    let (scheme, key) = only.split_once(' ')?;
    let bearer = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth");
    let caller = state.caller(key.trim(), extensions, headers).map_err(|refused| state.refuse(refused));
    caller.ok().filter(|_| bearer)
}

/// Meta's answer as it came: status, body, and the headers that say how much of a limit is used.
fn pass_on(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = (status, answer.body).into_response();
    for (name, value) in &answer.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response.headers_mut().entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers_and_nothing_that_could_be_a_path() {
        assert!(is_version("v25.0") && is_version("v3.12"));
        for wrong in [
            "", "v", "v25", "v25.", "v.0", "25.0", "V25.0", "v25.0/..", "v25.0.1", "v-1.0", "v25.0 ", "v12345.0",
            "v٣.0",
        ] {
            assert!(!is_version(wrong), "{wrong}");
        }
    }
}
