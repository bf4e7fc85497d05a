//! Problem documents (RFC 9457): the one form in which the API says no. Their codes are stable; their texts quote nothing of
//! the request.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{Denied, DoorError, Refused};
use crate::audit::{AuditError, ProofError};
use crate::directory::{LoadError, SaveError};
use crate::keyring::KeyringError;
use crate::privacy::PrivacyError;
use crate::store::StoreError;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = ($text:literal, $status:ident, $title:literal)),+ $(,)?) => {
        /// What went wrong, by what the caller can do about it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::http) enum Code { $($(#[doc = $doc])+ $name),+ }

        impl Code {
            /// Every code, in the order of the documentation.
            pub(in crate::http) const ALL: &[Self] = &[$(Self::$name),+];

            /// The stable name.
            pub(in crate::http) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            pub(in crate::http) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),+ }
            }

            pub(in crate::http) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),+ }
            }

            /// What it means and what to do, for the documentation.
            pub(in crate::http) const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or not an object. `detail` says where reading stopped.
    InvalidJson = ("invalid_json", BAD_REQUEST, "The body is not valid JSON"),
    /// A query parameter is unknown or has a wrong value. `errors` lists all of them.
    InvalidQuery = ("invalid_query", BAD_REQUEST, "A query parameter is not valid"),
    /// `Idempotency-Key` is given twice, or is not 1 to 255 visible ASCII characters. Nothing was sent.
    InvalidIdempotencyKey = ("invalid_idempotency_key", BAD_REQUEST, "The idempotency key has not the right form"),
    /// No valid API key was sent in `Authorization: Bearer` or `X-Api-Key`.
    Unauthenticated = ("unauthenticated", UNAUTHORIZED, "A valid API key is required"),
    /// The key is valid, but may not do this. `detail` names the missing permission.
    Forbidden = ("forbidden", FORBIDDEN, "The API key may not do this"),
    /// There is no such thing, or it is not this caller's to see.
    NotFound = ("not_found", NOT_FOUND, "Not found"),
    /// The path exists, but not with this method.
    MethodNotAllowed = ("method_not_allowed", METHOD_NOT_ALLOWED, "The method is not allowed here"),
    /// The value belongs to another resource, or the resource is still in use or was changed meanwhile; `detail` says so.
    Conflict = ("conflict", CONFLICT, "The value is taken, or the resource is in use or changed"),
    /// A request with the same `Idempotency-Key` is being stored at this moment. Ask again after a second: the answer will be its.
    IdempotencyInProgress = ("idempotency_in_progress", CONFLICT, "The same request is in progress"),
    /// The message does not wait any more: it is on its way to Meta, or its fate is known.
    MessageNotQueued = ("message_not_queued", CONFLICT, "The message is not waiting any more"),
    /// The file is still to be fetched from Meta. Ask again after a second.
    MediaWaiting = ("media_waiting", CONFLICT, "The file is not there yet"),
    /// This person is being erased already (`GET /v1/privacy/erasures`).
    ErasureUnderWay = ("erasure_under_way", CONFLICT, "The person is being erased already"),
    /// The hold is not waiting to be approved, or is over, or its approver is who asked for it, or the person is being erased.
    HoldNotChanged = ("hold_not_changed", CONFLICT, "The hold cannot be changed so"),
    /// The erasure is not over yet; `GET /v1/privacy/erasures/{id}` says how far it is.
    NotCertified = ("not_certified", CONFLICT, "There is no certificate yet"),
    /// Somebody holds these data: they are shown to keys with `held:read` alone.
    ContactHeld = ("contact_held", FORBIDDEN, "The contact's data are held"),
    /// There is no file to be had any more; `detail` says why.
    MediaGone = ("media_gone", GONE, "The file is gone"),
    /// The channel leaves files at Meta (`media: "never"`): this one is not to be had here.
    MediaNotKept = ("media_not_kept", GONE, "The file is not kept"),
    /// The link is over, was never given out, or was changed; or the key that made it is no longer valid, or not used from here.
    LinkOver = ("link_over", NOT_FOUND, "The link is over"),
    /// The range lies behind the end of the file. `Content-Range` says how long it is.
    RangeNotSatisfiable = ("range_not_satisfiable", RANGE_NOT_SATISFIABLE, "The file has no such bytes"),
    /// The entry is in the log, but not in its tree yet. Ask again after a second.
    NotInTree = ("not_in_tree", CONFLICT, "The entry is not in the tree yet"),
    /// The body is longer than 1 MiB.
    BodyTooLarge = ("body_too_large", PAYLOAD_TOO_LARGE, "The body is too large"),
    /// The file is longer than Meta takes of its kind; `detail` says how long it may be. Nothing was kept.
    FileTooLarge = ("file_too_large", PAYLOAD_TOO_LARGE, "The file is too large"),
    /// Meta takes no files of this type (`docs/api.md`, "Files"). Nothing was kept.
    FileTypeNotTaken = ("file_type_not_taken", UNSUPPORTED_MEDIA_TYPE, "Meta takes no such files"),
    /// There is no file in the request, it is empty, or it broke off. Nothing was kept.
    FileIncomplete = ("file_incomplete", BAD_REQUEST, "The file is missing or incomplete"),
    /// The body is not declared as `application/json`.
    UnsupportedMediaType = ("unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body must be application/json"),
    /// Fields are missing, unknown or have wrong values. `errors` lists all of them.
    InvalidBody = ("invalid_body", UNPROCESSABLE_ENTITY, "The body has faults"),
    /// No message of the batch was taken. `errors` lists why, for each of them.
    BatchRefused = ("batch_refused", UNPROCESSABLE_ENTITY, "No message of the batch was taken"),
    /// The `Idempotency-Key` was used for another request within the last 24 hours. Nothing was sent.
    IdempotencyKeyReused = ("idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key stands for another request"),
    /// The endpoint did not repeat the challenge of the verification handshake.
    VerificationFailed = ("verification_failed", UNPROCESSABLE_ENTITY, "The endpoint was not verified"),
    /// The channel has no access token.
    ChannelCannotSend = ("channel_cannot_send", UNPROCESSABLE_ENTITY, "The channel cannot send"),
    /// More than 24 hours have passed since the contact's last message or call to this number: Meta takes templates alone
    /// (`GET /v1/contacts/{id}/window`). Nothing was sent.
    WindowClosed = ("window_closed", UNPROCESSABLE_ENTITY, "The customer service window is closed"),
    /// The contact does not want marketing, or never agreed to it where that is asked for (`GET /v1/contacts/{id}/consent`). Nothing was
    /// sent.
    OptedOut = ("opted_out", UNPROCESSABLE_ENTITY, "The contact does not want marketing"),
    /// This key, or all together, have as many requests that wait for events or as many open streams as there may be. Close one, or
    /// try again after `Retry-After`.
    TooManyReaders = ("too_many_readers", TOO_MANY_REQUESTS, "Too many readers wait for events"),
    /// The key was about to be shown more contacts in an hour than it may, and is locked until somebody unlocks it.
    ReadBudgetExceeded = ("read_budget_exceeded", TOO_MANY_REQUESTS, "The API key is locked"),
    /// Too many of these requests lately. Try again after `Retry-After`.
    RateLimited = ("rate_limited", TOO_MANY_REQUESTS, "Too many requests"),
    /// The request took longer than 30 seconds. It may have had its effect.
    TimedOut = ("timed_out", GATEWAY_TIMEOUT, "The request took too long"),
    /// Meta was asked and refuses it. `detail` has Meta's error code (docs/errors.md).
    MetaRefused = ("meta_refused", UNPROCESSABLE_ENTITY, "Meta refuses it"),
    /// Meta cannot be reached. Nothing was done.
    MetaUnreached = ("meta_unreached", BAD_GATEWAY, "Meta cannot be reached"),
    /// Meta was asked, and its answer was lost: it may have been done. Asking again does no harm.
    MetaInDoubt = ("meta_in_doubt", GATEWAY_TIMEOUT, "The answer of Meta was lost"),
    /// The database or the keys are away. The same request may succeed later.
    Unavailable = ("unavailable", SERVICE_UNAVAILABLE, "Temporarily unavailable"),
    /// A fault of the gateway. The log tells more under the request id.
    Internal = ("internal", INTERNAL_SERVER_ERROR, "Internal error"),
}

/// One fault in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::http) struct Fault {
    /// JSON pointer into the body, or `?name` for a query parameter.
    pub(in crate::http) pointer: String,
    /// What is expected.
    pub(in crate::http) detail: String,
    /// Stable name of the rule.
    pub(in crate::http) code: String,
}

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub(in crate::http) struct Problem {
    code: Code,
    detail: Option<String>,
    errors: Vec<Fault>,
    /// What the caller may not, where no entry tells of it yet.
    unrecorded: Option<Denied>,
}

/// The document that every refusal carries, as `application/problem+json` (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(in crate::http) struct Document<'a> {
    /// Where the documentation explains the code.
    #[serde(rename = "type")]
    type_uri: String,
    /// Short and always the same for one code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Stable, for programs.
    code: &'static str,
    /// More about this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// To be quoted to the operator; the log has the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    /// Everything that is wrong with the request.
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    errors: &'a [Fault],
}

impl Problem {
    pub(in crate::http) const fn new(code: Code) -> Self {
        Self { code, detail: None, errors: Vec::new(), unrecorded: None }
    }

    pub(in crate::http) fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    pub(in crate::http) const fn with_errors(code: Code, errors: Vec<Fault>) -> Self {
        Self { code, detail: None, errors, unrecorded: None }
    }

    /// What the caller may not, to be recorded.
    pub(in crate::http) const fn unrecorded(&self) -> Option<Denied> {
        self.unrecorded
    }

    pub(in crate::http) fn json(&self, request_id: Option<&str>) -> Vec<u8> {
        let document = Document {
            type_uri: format!("/docs#problem-{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: self.detail.as_deref(),
            request_id,
            errors: &self.errors,
        };
        // Strings and numbers: there is nothing that would not serialise.
        serde_json::to_vec(&document).unwrap_or_default()
    }

    /// Everything that is wrong, for a part of a larger body that stands at this place.
    pub(in crate::http) fn faults_at(&self, place: &str) -> Vec<Fault> {
        if self.errors.is_empty() {
            let detail = self.detail.clone().unwrap_or_else(|| self.code.title().to_owned());
            return vec![Fault { pointer: place.to_owned(), detail, code: self.code.as_str().to_owned() }];
        }
        let placed = |fault: &Fault| Fault { pointer: format!("{place}{}", fault.pointer), ..fault.clone() };
        self.errors.iter().map(placed).collect()
    }

    /// The whole answer. The problem rides along, so that whoever knows the request's id can write it again with it.
    pub(in crate::http) fn respond(self, request_id: Option<&str>) -> Response {
        let mut response = (self.code.status(), self.json(request_id)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.code {
            Code::Unauthenticated => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="waxseal""#));
            }
            Code::RateLimited => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
            }
            Code::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Code::TooManyReaders => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }

    /// For errors that the caller cannot do anything about: logged here once, with their causes, which hold no values.
    fn of_inside(error: &(dyn std::error::Error + 'static), is_retryable: bool) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        let chain = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        if is_retryable {
            tracing::warn!(error = %chain, "a request was not served");
            return Self::new(Code::Unavailable);
        }
        tracing::error!(error = %chain, "a request failed");
        Self::new(Code::Internal)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.respond(None)
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self { unrecorded: Some(denied), ..Self::new(Code::Forbidden).with_detail(denied.to_string()) }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self::new(match refused {
            Refused::Unknown => Code::Unauthenticated,
            Refused::Locked => Code::ReadBudgetExceeded,
        })
    }
}

impl From<DoorError> for Problem {
    fn from(error: DoorError) -> Self {
        match error {
            // The door has recorded it.
            DoorError::Denied(denied) => Self { unrecorded: None, ..denied.into() },
            DoorError::Store(error) => error.into(),
            DoorError::Keys(error) => error.into(),
            DoorError::Audit(error) => error.into(),
            DoorError::Held => Self::new(Code::ContactHeld),
            DoorError::Spent => Self::new(Code::ReadBudgetExceeded),
        }
    }
}

impl From<ProofError> for Problem {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Unknown => Self::new(Code::NotFound),
            ProofError::NotYet => Self::new(Code::NotInTree),
            ProofError::Damaged => Self::of_inside(&error, false),
            ProofError::Store(error) => error.into(),
        }
    }
}

impl From<PrivacyError> for Problem {
    fn from(error: PrivacyError) -> Self {
        match error {
            PrivacyError::Unknown => Self::new(Code::NotFound),
            PrivacyError::UnderWay => Self::new(Code::ErasureUnderWay),
            PrivacyError::Refused => Self::new(Code::HoldNotChanged),
            other => Self::of_inside(&other, other.is_retryable()),
        }
    }
}

impl From<AuditError> for Problem {
    /// What cannot be recorded is not done now.
    fn from(error: AuditError) -> Self {
        Self::of_inside(&error, true)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::new(Code::Conflict),
            other => Self::of_inside(&other, other.is_retryable()),
        }
    }
}

impl From<KeyringError> for Problem {
    fn from(error: KeyringError) -> Self {
        Self::of_inside(&error, error.is_retryable())
    }
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        Self::of_inside(&error, error.is_retryable())
    }
}

/// What became of a change of the settings. One that was stored but not yet read back has succeeded: the periodic reload
/// will read it, and a refusal would make the caller do it twice.
pub(super) fn settled<T>(result: Result<T, SaveError>, stored: T) -> Result<T, Problem> {
    match result {
        Ok(value) => Ok(value),
        Err(SaveError::Conflict) => Err(Problem::new(Code::Conflict)),
        Err(SaveError::Stale) => Err(Problem::new(Code::Conflict).with_detail("changed meanwhile; read it again")),
        Err(SaveError::Gone) => Err(Problem::new(Code::NotFound)),
        Err(SaveError::Store(error)) => Err(error.into()),
        Err(SaveError::Keys(error)) => Err(error.into()),
        Err(SaveError::Load(error)) => {
            tracing::warn!(%error, "a change of the settings is stored, but not yet read back");
            Ok(stored)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_form_of_rfc_9457_and_lists_every_fault() {
        let fault = |pointer: &str| Fault { pointer: pointer.into(), detail: "a text".into(), code: "type".into() };
        let problem = Problem::with_errors(Code::InvalidBody, vec![fault("/name"), fault("/url")]);
        let json: serde_json::Value = serde_json::from_slice(&problem.json(Some("abc"))).unwrap();
        insta::assert_json_snapshot!(json, @r#"
        {
          "code": "invalid_body",
          "errors": [
            {
              "code": "type",
              "detail": "a text",
              "pointer": "/name"
            },
            {
              "code": "type",
              "detail": "a text",
              "pointer": "/url"
            }
          ],
          "request_id": "abc",
          "status": 422,
          "title": "The body has faults",
          "type": "/docs#problem-invalid_body"
        }
        "#);
    }

    #[test]
    fn a_forbidden_caller_learns_which_permission_it_lacks() {
        let problem = Problem::from(Denied::Missing(crate::access::Permission::KeysManage));
        let json = String::from_utf8(problem.json(None)).unwrap();
        assert!(json.contains("keys:manage") && json.contains(r#""status":403"#) && !json.contains("request_id"));
    }

    #[test]
    fn an_answer_to_strangers_says_how_to_authenticate() {
        let response = Problem::new(Code::Unauthenticated).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], r#"Bearer realm="waxseal""#);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn no_two_codes_share_a_name() {
        let names: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
