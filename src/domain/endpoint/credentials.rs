//! What an endpoint wants to see from us beside the signature. Printed, it is kinds and counts: a user or the name of a header
//! may tell who somebody is.

use std::fmt;

use super::EndpointUrl;
use crate::secret::EndpointSecret;

/// What is added to each request, or presented when connecting. Sealed wherever it is stored.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Header lines: name in lower case, and value.
    pub headers: Vec<(String, EndpointSecret)>,
    /// What goes into `Authorization`.
    pub auth: Option<Auth>,
    /// What we prove ourselves with when TLS is agreed.
    pub certificate: Option<ClientCertificate>,
}

/// What goes into `Authorization`.
#[derive(Clone)]
pub enum Auth {
    /// RFC 6750.
    Bearer(EndpointSecret),
    /// RFC 7617.
    Basic {
        /// User, without a colon.
        user: String,
        /// Password.
        password: EndpointSecret,
    },
    /// A bearer token that is fetched with these (RFC 6749 §4.4) and kept while it is valid.
    OAuth2(ClientCredentials),
}

impl Auth {
    /// The stable name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "bearer",
            Self::Basic { .. } => "basic",
            Self::OAuth2(_) => "oauth2",
        }
    }
}

/// The client credentials grant.
#[derive(Clone)]
pub struct ClientCredentials {
    /// Where tokens are fetched. The address guard holds for it too.
    pub token_url: EndpointUrl,
    /// Who we are there.
    pub client_id: String,
    /// And how that is proved: by HTTP Basic (RFC 6749 §2.3.1).
    pub client_secret: EndpointSecret,
    /// What is asked for.
    pub scope: Option<String>,
}

/// A certificate of ours, and its key.
#[derive(Clone)]
pub struct ClientCertificate {
    /// The chain in PEM, the leaf first.
    pub chain: String,
    /// The private key in PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: EndpointSecret,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("headers", &self.headers.len())
            .field("auth", &self.auth)
            .field("certificate", &self.certificate)
            .finish()
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({})", self.as_str())
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCredentials(…)")
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_credentials_tell_their_kinds_and_nothing_of_what_they_say() {
        let secret = || EndpointSecret::new("canary");
        let client = ClientCredentials {
            token_url: EndpointUrl::new("https://canary.example/canary".parse().unwrap()),
            client_id: "canary".to_owned(),
            client_secret: secret(),
            scope: Some("canary".to_owned()),
        };
        assert_eq!(format!("{client:?}"), "ClientCredentials(…)");
        let basic = Auth::Basic { user: "canary".to_owned(), password: secret() };
        for (auth, kind) in [(Auth::Bearer(secret()), "bearer"), (basic, "basic"), (Auth::OAuth2(client), "oauth2")] {
            let headers = vec![("x-canary".to_owned(), secret())];
            let certificate = Some(ClientCertificate { chain: "canary".to_owned(), key: secret() });
            let printed = format!("{:?}", Credentials { headers, auth: Some(auth), certificate });
            assert!(printed.contains("headers: 1") && printed.contains(&format!("Auth({kind})")), "{printed}");
            assert!(!printed.contains("canary"), "{printed}");
        }
    }
}
