//! What an endpoint wants to see from us beside the signature, as header lines.

use data_encoding::BASE64;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::domain::endpoint::{Auth, ClientCredentials, Credentials};
use crate::secret::EndpointSecret;

/// Header lines that say how the request itself is to be read, and those that the signature stands in.
const OURS: [&str; 16] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-hub-signature-256",
];

/// Credentials that cannot be written as header lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("credentials cannot be written as header lines")]
pub struct Unwritable;

/// Whether an endpoint may ask for a header line of this name. `Authorization` it may.
#[must_use]
pub fn may_be_set(name: &str) -> bool {
    HeaderName::try_from(name).is_ok_and(|name| !OURS.contains(&name.as_str()))
}

/// Whether a text can be the value of a header line.
#[must_use]
pub fn is_header_value(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

/// The header lines of `credentials`, all of them marked as sensitive. What stands in `Authorization` by way of
/// [`Credentials::auth`] replaces a line of that name; of OAuth 2, `token` does.
pub(super) fn header_lines(credentials: &Credentials, token: Option<&EndpointSecret>) -> Result<HeaderMap, Unwritable> {
    let mut lines = HeaderMap::new();
    for (name, value) in &credentials.headers {
        if !may_be_set(name) {
            return Err(Unwritable);
        }
        lines.append(HeaderName::try_from(name.as_str()).map_err(|_| Unwritable)?, sensitive(value.expose())?);
    }
    let authorization = match (&credentials.auth, token) {
        (Some(Auth::Bearer(token)), _) | (Some(Auth::OAuth2(_)), Some(token)) => Some(bearer(token)?),
        (Some(Auth::Basic { user, password }), _) => Some(basic(user, password.expose())?),
        (Some(Auth::OAuth2(_)), None) | (None, _) => None,
    };
    if let Some(value) = authorization {
        lines.insert(AUTHORIZATION, value);
    }
    Ok(lines)
}

/// How a client proves itself to a token URL: both parts form-encoded, then HTTP Basic (RFC 6749 §2.3.1).
pub(super) fn of_client(client: &ClientCredentials) -> Result<HeaderValue, Unwritable> {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    basic(&encoded(&client.client_id), &Zeroizing::new(encoded(client.client_secret.expose())))
}

fn bearer(token: &EndpointSecret) -> Result<HeaderValue, Unwritable> {
    sensitive(&Zeroizing::new(format!("Bearer {}", token.expose())))
}

pub(super) fn basic(user: &str, password: &str) -> Result<HeaderValue, Unwritable> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    sensitive(&Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes()))))
}

fn sensitive(text: &str) -> Result<HeaderValue, Unwritable> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Unwritable)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::endpoint::EndpointUrl;

    fn with(headers: &[(&str, &str)], auth: Option<Auth>) -> Credentials {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), EndpointSecret::new(*value))).collect();
        Credentials { headers, auth, certificate: None }
    }

    #[test]
    fn every_kind_of_credential_becomes_a_line_that_does_not_print() {
        let user = "Aladdin".to_owned(); // the example of RFC 7617 §2
        for (auth, expected) in [
            (Auth::Bearer(EndpointSecret::new("canary")), "Bearer canary"),
            (Auth::Basic { user, password: EndpointSecret::new("open sesame") }, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ] {
            let lines =
                header_lines(&with(&[("authorization", "old"), ("x-key", "canary")], Some(auth)), None).unwrap();
            assert_eq!(
                (lines[AUTHORIZATION].to_str().unwrap(), lines["x-key"].to_str().unwrap()),
                (expected, "canary")
            );
            assert!(!format!("{lines:?}").contains("canary"), "{lines:?}");
        }
        assert_eq!(header_lines(&with(&[("authorization", "own")], None), None).unwrap()[AUTHORIZATION], "own");
    }

    #[test]
    fn a_client_proves_itself_with_both_parts_form_encoded() {
        let url = EndpointUrl::new("https://login.example/token".parse().unwrap());
        let (client_id, client_secret) = ("a b:c".to_owned(), EndpointSecret::new("ü&=%"));
        let client = ClientCredentials { token_url: url, client_id, client_secret, scope: None };
        let value = of_client(&client).unwrap();
        let expected = format!("Basic {}", BASE64.encode(b"a+b%3Ac:%C3%BC%26%3D%25"));
        assert_eq!(value.to_str().unwrap(), expected);
    }

    #[test]
    fn lines_that_would_change_the_request_and_broken_values_are_not_written() {
        for name in ["host", "Content-Length", "transfer-encoding", "webhook-id", "a b", ""] {
            assert!(!may_be_set(name), "{name}");
            assert_eq!(header_lines(&with(&[(name, "x")], None), None), Err(Unwritable));
        }
        assert_eq!(header_lines(&with(&[("x-key", "a\r\nb")], None), None), Err(Unwritable));
        assert_eq!(header_lines(&with(&[], Some(Auth::Bearer(EndpointSecret::new("a\nb")))), None), Err(Unwritable));
    }
}
