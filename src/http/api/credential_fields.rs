//! What an endpoint wants to see from us, as bodies hold it: header lines, authorization, a client certificate.

use std::collections::BTreeMap;

use axum::http::header::{HeaderName, HeaderValue};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::{Faults, Field, object, request};
use super::fields::{UrlText, text, value};
use crate::domain::endpoint::{Auth, ClientCertificate, ClientCredentials, EndpointUrl};
use crate::egress::authorization::may_be_set;
use crate::egress::tls::check_certificate;
use crate::secret::EndpointSecret;

/// Header lines of one endpoint.
const MAX_HEADERS: usize = 20;
/// Characters of a value.
const MAX_VALUE: usize = 4096;
/// What the API refuses beyond [`may_be_set`]: it is said by `auth`, or by the gateway and its client themselves.
const RESERVED: [&str; 3] = ["accept-encoding", "authorization", "user-agent"];
/// The same of whole families.
const RESERVED_PREFIXES: [&str; 2] = ["proxy-", "webhook-"];

/// Names and values of header lines: at most 20, a value at most 4096 visible ASCII characters.
#[derive(ToSchema)]
#[schema(value_type = Object, example = json!({"x-tenant": "blue"}))]
pub(super) struct HeaderLines(pub(super) Vec<(String, EndpointSecret)>);

impl Field for HeaderLines {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let lines: BTreeMap<String, Box<RawValue>> = value(json, at, faults, "an object of texts")?;
        if lines.len() > MAX_HEADERS {
            return faults.note(at, "length", "at most 20 header lines");
        }
        let read = lines.iter().map(|(name, line)| header_line(name, line, at, faults));
        // Every line is read before one that is missing counts: its fault is noted.
        read.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(Self)
    }
}

fn header_line(name: &str, json: &RawValue, at: &str, faults: &mut Faults) -> Option<(String, EndpointSecret)> {
    let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    let Ok(known) = name.parse::<HeaderName>() else {
        return faults.note(&pointer, "header_name", "a name of a header (RFC 9110 §5.1)");
    };
    let name = known.as_str();
    if is_reserved(name) {
        return faults.note(&pointer, "reserved", "a header that the gateway and HTTP do not use themselves");
    }
    let line = text(json, &pointer, faults, 1..=MAX_VALUE)?;
    if HeaderValue::from_str(&line).is_err() || !line.is_ascii() || line.trim() != line {
        return faults.note(&pointer, "characters", "visible ASCII characters, without space at the ends");
    }
    Some((name.to_owned(), EndpointSecret::new(line)))
}

/// Whatever passes here must be written by `egress`: a line that it refuses would fail every delivery.
fn is_reserved(name: &str) -> bool {
    let has_prefix = RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    !may_be_set(name) || RESERVED.contains(&name) || has_prefix
}

/// A secret of an endpoint's, 1 to 4096 characters. Never shown again.
#[derive(ToSchema)]
#[schema(value_type = String, format = Password, min_length = 1, max_length = 4096)]
pub(super) struct EndpointSecretText(EndpointSecret);

impl Field for EndpointSecretText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text = text(json, at, faults, 1..=MAX_VALUE)?;
        Some(Self(EndpointSecret::new(text)))
    }
}

/// A token (RFC 6750 §2.1), 1 to 4096 characters. Never shown again.
#[derive(ToSchema)]
#[schema(value_type = String, format = Password, min_length = 1, max_length = 4096)]
pub(super) struct BearerToken(EndpointSecret);

impl Field for BearerToken {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text = text(json, at, faults, 1..=MAX_VALUE)?;
        if text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(Self(EndpointSecret::new(text)));
        }
        faults.note(at, "characters", "visible ASCII characters without space")
    }
}

/// A user or client name, 1 to 256 characters, without a colon (RFC 7617 §2).
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 256)]
pub(super) struct UserText(String);

impl Field for UserText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text = text(json, at, faults, 1..=256)?;
        if text.contains(':') { faults.note(at, "characters", "a text without a colon") } else { Some(Self(text)) }
    }
}

/// Scopes of OAuth 2.0, parted by spaces (RFC 6749 §3.3).
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 1024)]
pub(super) struct ScopeText(String);

impl Field for ScopeText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text = text(json, at, faults, 1..=1024)?;
        let allowed = |byte: u8| byte == b' ' || (byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if text.bytes().all(allowed) {
            Some(Self(text))
        } else {
            faults.note(at, "characters", "scopes, parted by spaces")
        }
    }
}

request! {
    /// A bearer token.
    BearerBody {
        /// The token.
        token: BearerToken,
    }
}

request! {
    /// A user and a password.
    BasicBody {
        /// The user.
        user: UserText,
        /// The password.
        password: EndpointSecretText,
    }
}

request! {
    /// The client credentials grant of OAuth 2.0.
    OAuth2Body {
        /// Where tokens are fetched; the rules for addresses of endpoints hold.
        token_url: UrlText,
        /// Who the gateway is there.
        client_id: UserText,
        /// And how it proves that, by HTTP Basic.
        client_secret: EndpointSecretText,
        /// What is asked for.
        scope: Option<ScopeText>,
    }
}

/// One of `bearer`, `basic` and `oauth2`.
#[derive(ToSchema)]
#[schema(value_type = Object, example = json!({"bearer": {"token": "…"}}))]
pub(super) struct AuthBody(pub(super) Auth);

impl Field for AuthBody {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let members: BTreeMap<String, Box<RawValue>> = value(json, at, faults, "an object")?;
        let mut members = members.iter();
        let (Some((kind, inner)), None) = (members.next(), members.next()) else {
            return faults.note(at, "choice", "exactly one of bearer, basic and oauth2");
        };
        let at_kind = format!("{at}/{kind}");
        let auth = match kind.as_str() {
            "bearer" => Auth::Bearer(object::<BearerBody>(inner, &at_kind, faults)?.token.0),
            "basic" => {
                let BasicBody { user, password } = object(inner, &at_kind, faults)?;
                Auth::Basic { user: user.0, password: password.0 }
            }
            "oauth2" => {
                let OAuth2Body { token_url, client_id, client_secret, scope } = object(inner, &at_kind, faults)?;
                let (token_url, scope) = (EndpointUrl::new(token_url.0), scope.map(|scope| scope.0));
                Auth::OAuth2(ClientCredentials {
                    token_url,
                    client_id: client_id.0,
                    client_secret: client_secret.0,
                    scope,
                })
            }
            _ => return faults.note(at, "choice", "exactly one of bearer, basic and oauth2"),
        };
        Some(Self(auth))
    }
}

request! {
    /// A certificate and its key.
    CertificatePair {
        /// The chain, the leaf first.
        certificate: PemText,
        /// The private key: PKCS#8, PKCS#1 or SEC1.
        private_key: PemText,
    }
}

/// PEM (RFC 7468), at most 64 KiB.
#[derive(ToSchema)]
#[schema(value_type = String, max_length = 65_536)]
pub(super) struct PemText(String);

impl Field for PemText {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let text: String = value(json, at, faults, "a text")?;
        let is_pem = text.len() <= 65_536 && text.is_ascii() && text.trim_start().starts_with("-----BEGIN ");
        if is_pem { Some(Self(text)) } else { faults.note(at, "pem", "PEM of at most 64 KiB") }
    }
}

/// A client certificate: `certificate` and `private_key`, both PEM.
#[derive(ToSchema)]
#[schema(value_type = CertificatePair)]
pub(super) struct CertificateBody(pub(super) ClientCertificate);

impl Field for CertificateBody {
    fn read(json: &RawValue, at: &str, faults: &mut Faults) -> Option<Self> {
        let pair: CertificatePair = object(json, at, faults)?;
        let certificate = ClientCertificate { chain: pair.certificate.0, key: EndpointSecret::new(pair.private_key.0) };
        if check_certificate(&certificate).is_err() {
            return faults.note(at, "certificate", "a chain of certificates and the private key of the first");
        }
        Some(Self(certificate))
    }
}
