//! Problem documents (RFC 9457): the one form in which the API says no. Their codes are stable; their texts quote nothing of
//! the request.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

pub(in crate::http) use super::codes::Code;
use crate::access::{Denied, DoorError, Refused};
use crate::audit::{AuditError, ProofError};
use crate::directory::{LoadError, SaveError};
use crate::keyring::KeyringError;
use crate::privacy::PrivacyError;
use crate::store::StoreError;

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
            DoorError::NoRequest => Self::new(Code::RequestNotChanged),
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
            PrivacyError::RequestNotChanged => Self::new(Code::RequestNotChanged),
            PrivacyError::IdentityChanged => Self::new(Code::IdentityChanged),
            PrivacyError::NoPlace => Self::new(Code::NoPlaceForFiles),
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
    use axum::http::StatusCode;

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
