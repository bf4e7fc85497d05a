//! Meta's errors: the table of codes with their HTTP statuses and titles, and the bodies they travel in.

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::crypto::random;

/// A refusal in Meta's words.
#[derive(Debug)]
pub(super) struct GraphError {
    code: u32,
    subcode: Option<u32>,
    http: StatusCode,
    kind: &'static str,
    message: String,
    details: Option<String>,
}

/// What a handler of the Graph side returns.
pub(super) type GraphResult = Result<axum::Json<Value>, GraphError>;

impl GraphError {
    /// The error `code` with its title, its HTTP status from the table (400 for codes it lacks) and `details`.
    pub(super) fn new(code: u32, details: impl Into<String>) -> Self {
        Self {
            code,
            subcode: None,
            http: http_of(code),
            kind: "OAuthException",
            message: format!("(#{code}) {}", title_of(code)),
            details: Some(details.into()),
        }
    }

    /// Code 100, the one for parameters that are wrong in shape, with the whole message given.
    pub(super) fn parameter(message: impl AsRef<str>) -> Self {
        let text = message.as_ref();
        Self { message: format!("(#100) {text}"), details: None, ..Self::new(100, "") }
    }

    /// Code 131008: a required parameter is missing.
    pub(super) fn missing(parameter: &str) -> Self {
        Self::new(131_008, format!("Parameter '{parameter}' is mandatory for this type of message"))
    }

    /// A missing or wrong access token.
    pub(super) fn token() -> Self {
        let message = "Invalid OAuth access token - Cannot parse access token".to_owned();
        Self { message, details: None, ..Self::new(190, "") }
    }

    /// An object that does not exist, or not for this caller.
    pub(super) fn no_object(verb: &str, id: &str) -> Self {
        let message = format!(
            "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
             permissions, or does not support this operation"
        );
        Self { message, details: None, subcode: Some(33), kind: "GraphMethodException", ..Self::new(100, "") }
    }

    /// A path that Meta does not have.
    pub(super) fn no_path(path: &str) -> Self {
        let message = format!("Unknown path components: {path}");
        Self { message, details: None, ..Self::new(2500, "") }
    }

    /// The same error with Meta's finer number.
    pub(super) fn with_subcode(self, subcode: u32) -> Self {
        Self { subcode: Some(subcode), ..self }
    }

    /// The same error with another HTTP status.
    pub(super) fn with_http(self, http: StatusCode) -> Self {
        Self { http, ..self }
    }

    fn body(&self) -> Value {
        json!({ "error": self.inner() })
    }

    /// What stands under `error`.
    pub(super) fn inner(&self) -> Value {
        let mut error = json!({
            "message": self.message,
            "type": self.kind,
            "code": self.code,
            "fbtrace_id": BASE64URL_NOPAD.encode(&random::bytes::<17>()),
        });
        if let Some(fields) = error.as_object_mut() {
            if let Some(details) = &self.details {
                fields.insert("error_data".into(), json!({"messaging_product": "whatsapp", "details": details}));
            }
            if let Some(subcode) = self.subcode {
                fields.insert("error_subcode".into(), subcode.into());
            }
            if matches!(self.code, 1 | 2 | 131_000 | 131_016) {
                fields.insert("is_transient".into(), true.into());
            }
        }
        error
    }
}

impl IntoResponse for GraphError {
    fn into_response(self) -> Response {
        let mut response = (self.http, axum::Json(self.body())).into_response();
        if matches!(self.code, 4 | 80_007 | 80_008) {
            // The unit of the last field is minutes.
            let usage = r#"{"waba":[{"type":"whatsapp","call_count":100,"total_cputime":20,"total_time":20,"estimated_time_to_regain_access":1}]}"#;
            response.headers_mut().insert("x-business-use-case-usage", HeaderValue::from_static(usage));
        }
        response
    }
}

/// The HTTP status that Meta documents for `code`; 400 where it documents none.
fn http_of(code: u32) -> StatusCode {
    match code {
        0 | 190 => StatusCode::UNAUTHORIZED,
        10 | 200..=299 | 368 | 130_497 | 131_005 | 131_031 => StatusCode::FORBIDDEN,
        132_001 => StatusCode::NOT_FOUND,
        613 => StatusCode::TOO_MANY_REQUESTS,
        3 | 131_000 | 131_016 | 131_045 | 131_057 | 133_000 | 134_102 => StatusCode::INTERNAL_SERVER_ERROR,
        2 | 133_004 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// Meta's short name of an error code, as it stands in `message` and in the `title` of a failed status.
pub fn title_of(code: u32) -> &'static str {
    match code {
        0 => "AuthException",
        1 => "API Unknown",
        2 => "API Service",
        3 => "API Method",
        4 => "Application request limit reached",
        10 => "Permission Denied",
        100 => "Invalid parameter",
        190 => "Access token has expired",
        200..=299 => "API Permission",
        368 => "Temporarily blocked for policies violations",
        613 => "Calls to this api have exceeded the rate limit",
        80_007 | 80_008 => "Rate limit issues",
        130_429 => "Rate limit hit",
        130_472 => "User's number is part of an experiment",
        130_497 => "Business account is restricted from messaging users in this country",
        131_000 => "Something went wrong",
        131_005 => "Access denied",
        131_008 => "Required parameter is missing",
        33 | 131_009 => "Parameter value is not valid",
        131_016 => "Service unavailable",
        131_021 => "Recipient cannot be sender",
        131_026 => "Message undeliverable",
        131_030 => "Recipient phone number not in allowed list",
        131_031 => "Account has been locked",
        131_037 => "Display name approval is needed",
        131_042 => "Business eligibility payment issue",
        131_045 => "Incorrect certificate",
        131_047 => "Re-engagement message",
        131_048 => "Spam rate limit hit",
        131_049 => "Message not delivered to maintain healthy ecosystem engagement",
        131_050 => "User has stopped marketing messages",
        131_051 => "Message type unknown",
        131_052 => "Media download error",
        131_053 => "Media upload error",
        131_056 => "(Business Account, Consumer Account) pair rate limit hit",
        131_057 => "Account in maintenance mode",
        132_000 => "Template param count mismatch",
        132_001 => "Template does not exist",
        132_005 => "Template hydrated text too long",
        132_007 => "Template format character policy violated",
        132_012 => "Template parameter format mismatch",
        132_015 => "Template is paused",
        132_016 => "Template is disabled",
        133_010 => "Phone number not registered",
        135_000 => "Generic user error",
        133_005 => "Two step verification PIN Mismatch",
        137_000 => "Identity key hash mismatch",
        139_100 => "Failed to block/unblock some users",
        _ => "Request refused",
    }
}
