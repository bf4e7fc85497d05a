//! What an endpoint wants to see from us beside the signature.

use super::EndpointUrl;

use crate::secret::EndpointSecret;

/// What is added to each request, or presented when connecting. Sealed wherever it is stored.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Header lines: name in lower case, and value.
    pub headers: Vec<(String, EndpointSecret)>,
    /// What goes into `Authorization`.
    pub auth: Option<Auth>,
    /// What we prove ourselves with when TLS is agreed.
    pub certificate: Option<ClientCertificate>,
}

/// What goes into `Authorization`.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The chain in PEM, the leaf first.
    pub chain: String,
    /// The private key in PEM: PKCS#8, PKCS#1 or SEC1.
    pub key: EndpointSecret,
}
