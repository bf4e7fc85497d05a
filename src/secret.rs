//! Values that open doors. Their types forget how to print, and are wiped when dropped.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// Takes the text of the secret.
            pub fn new(text: impl Into<String>) -> Self {
                Self(SecretString::from(text.into()))
            }

            /// The text, for the one place that must hand it on: a signature, a header, a seal.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }

            /// Compares in a time that depends on the lengths alone.
            #[must_use]
            pub fn matches(&self, candidate: &str) -> bool {
                self.expose().as_bytes().ct_eq(candidate.as_bytes()).into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}

secrets! {
    /// An API key, whole, as its owner holds it.
    ApiKeySecret,
    /// The secret of a Meta app, which signs its webhooks.
    AppSecret,
    /// A connection string, which usually holds a password.
    Dsn,
    /// What an endpoint wants to see from us beside a signature: the value of a header, a token, a password, a private key.
    EndpointSecret,
    /// What opens a KMS: a token, or the PIN of a hardware token.
    KmsToken,
    /// What is presented to the object store beside the id of an access key.
    ObjectStoreSecret,
    /// The PIN of a number's two-step verification.
    Pin,
    /// The URL of the proxy that endpoints are reached through, which may hold a password.
    ProxyUrl,
    /// What an endpoint verifies our deliveries with: `whsec_` and base64 (Standard Webhooks), or free text (Meta format).
    SigningSecret,
    /// What Meta must repeat when it verifies our webhook URL, and we when we verify an endpoint's.
    VerifyToken,
}

/// Meta's token for a channel, and what shows Meta that its bearer holds the secret of the app too.
#[derive(Clone)]
pub struct AccessToken {
    text: SecretString,
    proof: Option<SecretString>,
}

impl AccessToken {
    /// Takes the text of the token.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: SecretString::from(text.into()), proof: None }
    }

    /// The same with its `appsecret_proof`.
    #[must_use]
    pub fn proved(self, proof: String) -> Self {
        Self { proof: Some(SecretString::from(proof)), ..self }
    }

    /// The text, for the one place that must hand it on.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The `appsecret_proof`, where the app is known.
    #[must_use]
    pub fn proof(&self) -> Option<&str> {
        self.proof.as_ref().map(SecretString::expose_secret)
    }

    /// Compares in a time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, candidate: &str) -> bool {
        self.expose().as_bytes().ct_eq(candidate.as_bytes()).into()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints_itself() {
        assert_eq!(format!("{:?}", AppSecret::new("canary")), "AppSecret(…)");
        let token = AccessToken::new("canary").proved("canary".to_owned());
        assert_eq!(format!("{token:?}"), "AccessToken(…)");
    }

    #[test]
    fn a_secret_matches_itself_alone() {
        let token = VerifyToken::new("right");
        assert!(token.matches("right"));
        assert!(!token.matches("righ") && !token.matches("right ") && !token.matches(""));
    }
}
