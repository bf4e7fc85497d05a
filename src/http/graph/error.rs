//! Refusals of the mirror, in Meta's form: an SDK reads them as Meta's own.

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::Denied;
use crate::meta::client::SendError;
use crate::send::accounts::PinError;
use crate::send::{Fault, Limited, MirrorError};

/// The type of errors about things that are not there.
const UNKNOWN: &str = "GraphMethodException";

/// An error as Meta writes it.
#[derive(Debug)]
pub(super) struct GraphError {
    status: StatusCode,
    code: i32,
    kind: &'static str,
    message: &'static str,
    details: Option<String>,
    transient: bool,
    retry_after: Option<Duration>,
    /// What Meta says of a thing that is not there, with its id.
    about: Option<Box<str>>,
    /// Why the key was not enough, for the audit log. Nothing of it is shown.
    pub(super) denied: Option<Denied>,
}

impl GraphError {
    pub(super) const fn new(status: StatusCode, code: i32, message: &'static str) -> Self {
        Self {
            status,
            code,
            kind: "OAuthException",
            message,
            details: None,
            transient: false,
            retry_after: None,
            about: None,
            denied: None,
        }
    }

    /// A parameter that is missing, wrong or not to be used here.
    pub(super) const fn parameter(message: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 100, message)
    }

    /// What Meta says of things that are not there, or not for the caller; which of the two is not told.
    pub(super) fn unknown_object() -> Self {
        Self { kind: UNKNOWN, ..Self::parameter("Unsupported request") }
    }

    /// The same refusal of this method of this thing. Only of what is unknown is the id repeated, as Meta does.
    pub(super) fn about(self, method: &Method, id: &str) -> Self {
        let known = ["get", "post", "delete"].into_iter().find(|verb| method.as_str().eq_ignore_ascii_case(verb));
        let verb = known.unwrap_or("get");
        let message = format!(
            "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing permissions, or does not support this operation"
        );
        Self { about: Some(message.into()).filter(|_| self.kind == UNKNOWN), ..self }
    }

    pub(super) const fn no_key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token: not a valid Waxseal key")
    }

    pub(super) fn denied(denied: Denied) -> Self {
        let refusal = Self::new(StatusCode::FORBIDDEN, 10, "This Waxseal key may not do this");
        Self { details: Some(denied.to_string()), denied: Some(denied), ..refusal }
    }

    pub(super) const fn unread() -> Self {
        Self::parameter("The body is incomplete, too slow or too long")
    }

    /// The log of who did what cannot be written now, or our keys are away: nothing was asked of Meta.
    pub(super) fn unrecorded(error: &dyn std::error::Error) -> Self {
        tracing::warn!(%error, "Meta was not asked, because that could not be recorded");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 131_016, "The gateway cannot record this now").transient()
    }

    /// A PIN that cannot be kept is not told to Meta.
    pub(super) fn pin(error: &PinError) -> Self {
        match error {
            PinError::UnderWay => {
                Self::new(StatusCode::CONFLICT, 133_009, "The PIN of this number is being changed at this moment")
            }
            other => Self::unrecorded(other),
        }
    }

    /// There is no answer of Meta's. `is_safe`: asking again does no harm.
    pub(super) fn unanswered(error: &SendError, is_safe: bool) -> Self {
        match error {
            SendError::NotSent(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, 2, "Meta could not be reached; nothing was done").transient()
            }
            SendError::InDoubt(_) if is_safe => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, 2, "The answer of Meta was lost").transient()
            }
            // Deliberately not transient: a client that repeats this may do it twice.
            SendError::InDoubt(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                131_000,
                "The answer of Meta was lost; it may have been done. Look before you ask again",
            ),
        }
    }

    pub(super) fn transient(self) -> Self {
        Self { transient: true, ..self }
    }

    pub(super) fn with_details(self, details: String) -> Self {
        Self { details: Some(details), ..self }
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
        if let Some(message) = self.about {
            let kind = self.kind;
            error = json!({ "message": message, "type": kind, "code": self.code, "error_subcode": 33, "fbtrace_id": "waxseal" });
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
            MirrorError::Faulty(faults) => Self::parameter("Invalid parameter")
                .with_details(faults.iter().map(told).collect::<Vec<_>>().join("; ")),
            MirrorError::UnknownChannel => Self::unknown_object(),
            MirrorError::NoToken => no_token(),
            MirrorError::WindowClosed => Self {
                details: Some(WINDOW_CLOSED.to_owned()),
                ..Self::new(StatusCode::BAD_REQUEST, 131_047, "Re-engagement message")
            },
            MirrorError::OptedOut => Self {
                details: Some(OPTED_OUT.to_owned()),
                ..Self::new(StatusCode::BAD_REQUEST, 131_050, "User has stopped marketing messages")
            },
            MirrorError::Restricted => Self {
                details: Some(RESTRICTED.to_owned()),
                ..Self::new(StatusCode::BAD_REQUEST, 131_026, "Message undeliverable")
            },
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

pub(super) const fn no_token() -> GraphError {
    GraphError::new(StatusCode::FORBIDDEN, 10, "The gateway holds no access token for this phone number")
}

/// As Meta says it.
const WINDOW_CLOSED: &str =
    "Message failed to send because more than 24 hours have passed since the customer last replied to this number.";
const OPTED_OUT: &str = "Unable to deliver the message. This recipient has chosen to stop receiving marketing messages on \
    WhatsApp from your business.";
const RESTRICTED: &str = "The gateway does not write to this recipient: their data are restricted.";

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
