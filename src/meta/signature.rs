//! Proof that a webhook is Meta's: `X-Hub-Signature-256`, an HMAC-SHA-256 under the app's secret over the body as it
//! came. The signature carries neither time nor nonce, so that a replay proves as well as the first copy: dedupe is
//! the only defence against it.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::{AccessToken, AppSecret};

/// What stands before the 64 lower-case hexadecimal digits.
const SCHEME: &[u8] = b"sha256=";

/// The secret of a Meta app, prepared once: both key blocks are hashed already.
#[derive(Clone)]
pub struct WebhookSecret(Option<Hmac<Sha256>>);

impl WebhookSecret {
    /// Prepares a secret. An empty one verifies nothing, because anybody can sign with it.
    #[must_use]
    pub fn new(secret: &AppSecret) -> Self {
        let bytes = secret.expose().as_bytes();
        let usable = !bytes.is_empty();
        Self(Hmac::new_from_slice(bytes).ok().filter(|_| usable))
    }

    /// The `appsecret_proof` of a token: shows Meta that whoever sends the token holds this secret too.
    #[must_use]
    pub fn proof_of(&self, token: &AccessToken) -> Option<String> {
        let mac = self.0.clone()?.chain_update(token.expose().as_bytes());
        Some(data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
    }

    /// Compares in a time that depends on the body's length alone.
    fn signed(&self, body: &[u8], signature: &[u8; 32]) -> bool {
        self.0.clone().is_some_and(|mac| mac.chain_update(body).verify_slice(signature).is_ok())
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// A body as it came over the wire. Nothing but [`RawBody::verify`] can be done with it.
pub struct RawBody(Bytes);

impl RawBody {
    /// The bytes as received: neither decoded nor decompressed, or no signature will match.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Proves the body with whichever of `secrets` signed it, and says whose that was. `header` is the one value of
    /// `X-Hub-Signature-256`; a caller that received several must pass `None`. Every secret is tried, also behind a
    /// match, so that the time taken does not tell which one it was.
    pub fn verify<'s, AppRef: Copy>(
        self,
        header: Option<&[u8]>,
        secrets: impl Iterator<Item = (AppRef, &'s WebhookSecret)>,
    ) -> Result<(VerifiedBody, AppRef), SignatureError> {
        let signature = decode(header.ok_or(SignatureError::Missing)?).ok_or(SignatureError::Malformed)?;
        let mut signer = None;
        for (app, secret) in secrets {
            if secret.signed(&self.0, &signature) {
                signer = signer.or(Some(app));
            }
        }
        let app = signer.ok_or(SignatureError::Mismatch)?;
        Ok((VerifiedBody(self.0), app))
    }
}

impl fmt::Debug for RawBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawBody({} bytes)", self.0.len())
    }
}

/// A body that an app's secret signed. Made by [`RawBody::verify`] alone, so that nothing unproved can be parsed.
#[derive(Clone)]
pub struct VerifiedBody(Bytes);

impl VerifiedBody {
    /// The bytes as received. Cloning them copies nothing.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// A body that tests of this room need no signature for.
    #[cfg(test)]
    pub(super) fn trusted(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for VerifiedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedBody({} bytes)", self.0.len())
    }
}

/// Why a body is not proved. Deliberately says no more: the answer to the sender must not help a forger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is no signature, or more than one.
    #[error("signature is missing")]
    Missing,
    /// The header is not `sha256=` and 64 lower-case hexadecimal digits.
    #[error("signature is malformed")]
    Malformed,
    /// No secret that we hold made this signature.
    #[error("signature does not match")]
    Mismatch,
}

/// The 32 bytes behind the scheme.
fn decode(header: &[u8]) -> Option<[u8; 32]> {
    let digits = header.strip_prefix(SCHEME).filter(|digits| digits.len() == 64)?;
    let mut signature = [0; 32];
    data_encoding::HEXLOWER.decode_mut(digits, &mut signature).ok()?;
    Some(signature)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;

    fn secret(text: &str) -> WebhookSecret {
        WebhookSecret::new(&AppSecret::new(text))
    }

    fn sign(secret: &str, body: &[u8]) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
        format!("sha256={}", data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
    }

    fn verify(header: Option<&str>, secrets: &[&str]) -> Result<usize, SignatureError> {
        let secrets: Vec<_> = secrets.iter().map(|text| secret(text)).collect();
        let body = RawBody::new(Bytes::from_static(BODY));
        body.verify(header.map(str::as_bytes), secrets.iter().enumerate()).map(|(body, app)| {
            assert_eq!(body.bytes(), BODY);
            app
        })
    }

    #[test]
    fn the_digest_is_the_one_that_rfc_4231_publishes() {
        let header = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let body = RawBody::new(Bytes::from_static(b"what do ya want for nothing?"));
        assert!(body.verify(Some(header.as_bytes()), [((), &secret("Jefe"))].into_iter()).is_ok());
    }

    #[test]
    fn the_secret_that_signed_is_named_wherever_it_stands() {
        let header = sign("new", BODY);
        assert_eq!(verify(Some(&header), &["new", "old"]), Ok(0));
        assert_eq!(verify(Some(&header), &["old", "new"]), Ok(1));
        assert_eq!(verify(Some(&header), &["new", "new"]), Ok(0));
    }

    #[test]
    fn a_missing_header_is_refused() {
        assert_eq!(verify(None, &["secret"]), Err(SignatureError::Missing));
    }

    #[test]
    fn any_other_form_of_the_header_is_refused() {
        let good = sign("secret", BODY);
        let digits = &good["sha256=".len()..];
        for header in [
            String::new(),
            "sha256=".into(),
            digits.into(),
            format!("sha256={}", digits.to_uppercase()),
            format!("SHA256={digits}"),
            format!("sha1={digits}"),
            format!(" {good}"),
            format!("{good} "),
            format!("{good}00"),
            good[..70].into(),
            format!("{good},{good}"),
            format!("sha256={}g", &digits[..63]),
            format!("sha256={}é", &digits[..62]),
        ] {
            assert_eq!(verify(Some(&header), &["secret"]), Err(SignatureError::Malformed), "{header:?}");
        }
    }

    #[test]
    fn a_wrong_secret_no_secret_and_an_empty_secret_prove_nothing() {
        assert_eq!(verify(Some(&sign("other", BODY)), &["secret"]), Err(SignatureError::Mismatch));
        assert_eq!(verify(Some(&sign("secret", BODY)), &[]), Err(SignatureError::Mismatch));
        assert_eq!(verify(Some(&sign("", BODY)), &[""]), Err(SignatureError::Mismatch));
    }

    #[test]
    fn nothing_prints_its_value() {
        assert_eq!(format!("{:?}", secret("canary")), "WebhookSecret(…)");
        assert_eq!(format!("{:?}", RawBody::new(Bytes::from_static(b"canary"))), "RawBody(6 bytes)");
        assert_eq!(format!("{:?}", VerifiedBody::trusted("canary")), "VerifiedBody(6 bytes)");
    }

    proptest! {
        #[test]
        fn a_changed_byte_breaks_the_proof(at in 0..BODY.len(), flip in 1u8..) {
            let mut changed = BODY.to_vec();
            changed[at] ^= flip;
            let body = RawBody::new(changed.into());
            let proof = body.verify(Some(sign("secret", BODY).as_bytes()), [((), &secret("secret"))].into_iter());
            prop_assert_eq!(proof.err(), Some(SignatureError::Mismatch));
        }

        #[test]
        fn no_header_makes_the_check_panic(header: Vec<u8>) {
            let proof = RawBody::new(Bytes::from_static(BODY)).verify(Some(&header), [((), &secret("secret"))].into_iter());
            prop_assert!(proof.is_err());
        }
    }
}
