//! Signatures on deliveries: Standard Webhooks v1, and Meta's `X-Hub-Signature-256` for consumers that speak Meta's format.
//! Verification lives beside signing, for the sample consumer and for tests.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::crypto::random;
use crate::domain::endpoint::Format;
use crate::ids::EventId;
use crate::secret::SigningSecret;

/// Stable id of the event: the same on every attempt, so that a consumer can drop duplicates.
pub const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
/// Unix seconds of the attempt, not of the event.
pub const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Space-separated signatures, one for each secret in force.
pub const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Meta's signature header.
pub const HUB_SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// How far a timestamp may be from the verifier's clock, either way (the tolerance of the official libraries).
pub const TOLERANCE: time::Duration = time::Duration::minutes(5);

const SECRET_PREFIX: &str = "whsec_";
const NEW_SECRET_BYTES: usize = 32;
/// Bounds of the specification on a symmetric secret, in bytes before base64.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a text is no Standard Webhooks secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// The text does not begin with `whsec_`.
    #[error("signing secret does not begin with whsec_")]
    Prefix,
    /// What follows the prefix is not padded standard base64.
    #[error("signing secret is not base64")]
    Base64,
    /// Fewer than 24 or more than 64 bytes.
    #[error("signing secret holds {0} bytes instead of 24 to 64")]
    Length(usize),
    /// Nothing to sign with.
    #[error("no signing secret given")]
    Missing,
}

/// Why a delivery is not believed. Says nothing about the expected signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// A header is absent, repeated or malformed.
    #[error("signature header absent or malformed")]
    Header,
    /// The timestamp is further than [`TOLERANCE`] from now.
    #[error("timestamp outside the tolerance")]
    Stale,
    /// No signature matches.
    #[error("no signature matches")]
    Signature,
}

/// A new secret for an endpoint: `whsec_` and 32 random bytes.
#[must_use]
pub fn generate_secret() -> SigningSecret {
    let bytes = Zeroizing::new(random::bytes::<NEW_SECRET_BYTES>());
    SigningSecret::new(format!("{SECRET_PREFIX}{}", BASE64.encode(bytes.as_ref())))
}

/// Signs and verifies after the Standard Webhooks specification, v1 (HMAC-SHA-256 over `id.timestamp.body`).
///
/// Holds every secret in force, newest first: during a rotation each of them signs, and any of them verifies.
pub struct StandardSigner {
    keys: Vec<Zeroizing<Vec<u8>>>,
}

impl StandardSigner {
    /// Decodes the secrets.
    ///
    /// # Errors
    /// When there is none, or one of them is not `whsec_` and base64 of 24 to 64 bytes.
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s SigningSecret>) -> Result<Self, BadSecret> {
        let keys = secrets.into_iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(BadSecret::Missing) } else { Ok(Self { keys }) }
    }

    /// The three headers of one attempt at `at`.
    #[must_use]
    pub fn headers(&self, id: EventId, at: OffsetDateTime, body: &[u8]) -> HeaderMap {
        let (id, timestamp) = (id.to_string(), at.unix_timestamp().to_string());
        let signature = self.signature(&id, &timestamp, body);
        [(WEBHOOK_ID, id), (WEBHOOK_TIMESTAMP, timestamp), (WEBHOOK_SIGNATURE, signature)]
            .into_iter()
            .map(|(name, text)| (name, ascii_value(&text)))
            .collect()
    }

    /// Checks the three headers of a delivery received at `now`, each comparison in constant time.
    ///
    /// # Errors
    /// Whatever [`Unverified`] lists; the body must not be looked at then.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: OffsetDateTime) -> Result<(), Unverified> {
        let id = only_value(headers, &WEBHOOK_ID)?;
        let timestamp = only_value(headers, &WEBHOOK_TIMESTAMP)?;
        let signatures = only_value(headers, &WEBHOOK_SIGNATURE)?;
        let sent: i64 = timestamp.parse().map_err(|_| Unverified::Header)?;
        if now.unix_timestamp().abs_diff(sent) > TOLERANCE.whole_seconds().unsigned_abs() {
            return Err(Unverified::Stale);
        }
        let mut tags = signatures.split(' ').filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?.as_bytes()).ok());
        let known =
            |tag: Vec<u8>| self.keys.iter().any(|key| signed(key, id, timestamp, body).verify_slice(&tag).is_ok());
        if tags.any(known) { Ok(()) } else { Err(Unverified::Signature) }
    }

    fn signature(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let one = |key: &Zeroizing<Vec<u8>>| {
            let tag = signed(key, id, timestamp, body).finalize().into_bytes();
            format!("v1,{}", BASE64.encode(&tag))
        };
        self.keys.iter().map(one).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for StandardSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StandardSigner({} secrets)", self.keys.len())
    }
}

/// All headers of one delivery at `at`: the content type, and the signature that the format asks for.
///
/// `secrets` are those in force, newest first. Meta's header can hold one signature, which is the newest one's.
///
/// # Errors
/// When the newest secret cannot sign in this format. An older one that cannot is passed over: it was made for another format.
pub fn delivery_headers<'s>(
    format: Format,
    secrets: impl IntoIterator<Item = &'s SigningSecret>,
    id: EventId,
    at: OffsetDateTime,
    body: &[u8],
) -> Result<HeaderMap, BadSecret> {
    let mut secrets = secrets.into_iter();
    let newest = secrets.next().ok_or(BadSecret::Missing)?;
    let mut headers = match format {
        Format::Standard | Format::CloudEvents => {
            let older = secrets.filter(|secret| decode(secret).is_ok());
            StandardSigner::new(std::iter::once(newest).chain(older))?.headers(id, at, body)
        }
        Format::Meta => HeaderMap::from_iter([(HUB_SIGNATURE, hub_signature(newest, body))]),
    };
    let content_type = match format {
        Format::Standard | Format::Meta => "application/json",
        Format::CloudEvents => "application/cloudevents+json",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(headers)
}

/// The value of `X-Hub-Signature-256` for `body`, under the endpoint's own secret, whose text is the key as it stands.
#[must_use]
pub fn hub_signature(secret: &SigningSecret, body: &[u8]) -> HeaderValue {
    let tag = keyed(secret.expose().as_bytes()).chain_update(body).finalize().into_bytes();
    ascii_value(&format!("sha256={}", HEXLOWER.encode(&tag)))
}

/// Checks `X-Hub-Signature-256` in constant time.
///
/// # Errors
/// [`Unverified::Header`] or [`Unverified::Signature`]. Meta's format has no timestamp, so an old delivery passes.
pub fn verify_hub(secret: &SigningSecret, headers: &HeaderMap, body: &[u8]) -> Result<(), Unverified> {
    let hex = only_value(headers, &HUB_SIGNATURE)?.strip_prefix("sha256=").ok_or(Unverified::Header)?;
    let tag = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| Unverified::Header)?;
    let mac = keyed(secret.expose().as_bytes()).chain_update(body);
    mac.verify_slice(&tag).map_err(|_| Unverified::Signature)
}

fn decode(secret: &SigningSecret) -> Result<Zeroizing<Vec<u8>>, BadSecret> {
    let text = secret.expose().strip_prefix(SECRET_PREFIX).ok_or(BadSecret::Prefix)?;
    let bytes = Zeroizing::new(BASE64.decode(text.as_bytes()).map_err(|_| BadSecret::Base64)?);
    if SECRET_BYTES.contains(&bytes.len()) { Ok(bytes) } else { Err(BadSecret::Length(bytes.len())) }
}

fn signed(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    keyed(key).chain_update(id).chain_update(".").chain_update(timestamp).chain_update(".").chain_update(body)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

#[expect(clippy::expect_used, reason = "callers pass digits, letters, base64 and dashes alone")]
fn ascii_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("visible ASCII")
}

/// A header that must stand there once: a second one could be what a proxy, and not the verifier, believes.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Unverified> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Unverified::Header),
        _ => Err(Unverified::Header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use standardwebhooks::Webhook;

    /// The example of the specification (spec/standard-webhooks.md, "signature scheme").
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: &str = "1614265330";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn signer(secrets: &[&str]) -> StandardSigner {
        StandardSigner::new(&secrets.iter().map(|text| SigningSecret::new(*text)).collect::<Vec<_>>()).unwrap()
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_614_265_330).unwrap()
    }

    fn golden_headers() -> HeaderMap {
        HeaderMap::from_iter([
            (WEBHOOK_ID, HeaderValue::from_static(ID)),
            (WEBHOOK_TIMESTAMP, HeaderValue::from_static(TIMESTAMP)),
            (WEBHOOK_SIGNATURE, HeaderValue::from_static(SIGNATURE)),
        ])
    }

    #[test]
    fn the_example_of_the_specification_is_signed_and_verified() {
        assert_eq!(signer(&[SECRET]).signature(ID, TIMESTAMP, BODY), SIGNATURE);
        assert_eq!(signer(&[SECRET]).verify(&golden_headers(), BODY, now()), Ok(()));
    }

    #[test]
    fn the_official_library_accepts_what_we_sign_and_we_accept_what_it_signs() {
        let (now, secret) = (SystemClock.now(), generate_secret());
        let (ours, theirs) = (signer(&[secret.expose()]), Webhook::new(secret.expose()).unwrap());
        let mut headers = ours.headers(EventId::new(now), now, BODY);
        theirs.verify(BODY, &headers).unwrap();

        let signature = theirs.sign(ID, now.unix_timestamp(), BODY).unwrap();
        headers.insert(WEBHOOK_ID, HeaderValue::from_static(ID));
        headers.insert(WEBHOOK_SIGNATURE, signature.parse().unwrap());
        assert_eq!(ours.verify(&headers, BODY, now), Ok(()));
    }

    #[test]
    fn during_a_rotation_both_secrets_sign_and_either_verifies() {
        let (old, new) = (generate_secret(), generate_secret());
        let both = signer(&[new.expose(), old.expose()]);
        let headers = both.headers(EventId::new(now()), now(), b"\xff\x00");
        assert_eq!(headers[WEBHOOK_SIGNATURE].to_str().unwrap().split(' ').count(), 2);
        for one in [&old, &new] {
            assert_eq!(signer(&[one.expose()]).verify(&headers, b"\xff\x00", now()), Ok(()));
        }
        assert_eq!(signer(&[SECRET]).verify(&headers, b"\xff\x00", now()), Err(Unverified::Signature));
    }

    #[test]
    fn a_delivery_is_signed_with_every_secret_in_force_that_can_and_fails_with_the_newest() {
        let (new, old, free) = (generate_secret(), generate_secret(), SigningSecret::new("free text"));
        let sign = |format, secrets: &[&SigningSecret]| {
            delivery_headers(format, secrets.iter().copied(), EventId::new(now()), now(), b"{}")
        };
        for format in [Format::Standard, Format::CloudEvents] {
            let signed = |secrets: &[&SigningSecret]| {
                let headers = sign(format, secrets).unwrap();
                headers[WEBHOOK_SIGNATURE].to_str().unwrap().split(' ').count()
            };
            assert_eq!((signed(&[&new, &old]), signed(&[&new, &free]), signed(&[&new])), (2, 1, 1));
            assert_eq!(sign(format, &[&free, &new]), Err(BadSecret::Prefix));
        }
        let headers = sign(Format::Meta, &[&new, &old]).unwrap();
        assert_eq!(verify_hub(&new, &headers, b"{}"), Ok(()));
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(sign(Format::CloudEvents, &[&new]).unwrap()[CONTENT_TYPE], "application/cloudevents+json");
    }

    #[test]
    fn a_changed_id_time_body_or_signature_is_not_believed() {
        let verify = |headers: &HeaderMap, body: &[u8]| signer(&[SECRET]).verify(headers, body, now());
        assert_eq!(verify(&golden_headers(), b"{}"), Err(Unverified::Signature));
        for (name, value, error) in [
            (WEBHOOK_ID, "msg_other", Unverified::Signature),
            (WEBHOOK_TIMESTAMP, "1614265331", Unverified::Signature),
            (WEBHOOK_TIMESTAMP, "soon", Unverified::Header),
            (WEBHOOK_TIMESTAMP, "-9223372036854775808", Unverified::Stale),
            (WEBHOOK_SIGNATURE, "", Unverified::Signature),
            (WEBHOOK_SIGNATURE, "v1,", Unverified::Signature),
            (WEBHOOK_SIGNATURE, &SIGNATURE.replace("v1,", "v2,"), Unverified::Signature),
        ] {
            let mut headers = golden_headers();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            assert_eq!(verify(&headers, BODY), Err(error), "{value}");
        }
        let mut twice = golden_headers();
        twice.append(WEBHOOK_SIGNATURE, HeaderValue::from_static(SIGNATURE));
        assert_eq!(verify(&twice, BODY), Err(Unverified::Header));
    }

    #[test]
    fn a_timestamp_may_be_five_minutes_off_and_no_more() {
        let at = |offset: i64| {
            let late = now() + time::Duration::seconds(offset);
            signer(&[SECRET]).verify(&golden_headers(), BODY, late)
        };
        assert_eq!((at(300), at(-300)), (Ok(()), Ok(())));
        assert_eq!((at(301), at(-301)), (Err(Unverified::Stale), Err(Unverified::Stale)));
    }

    #[test]
    fn a_secret_is_prefixed_base64_of_24_to_64_bytes() {
        let parse = |text: String| StandardSigner::new(&[SigningSecret::new(text)]).map(|_| ());
        let sized = |bytes: usize| parse(format!("whsec_{}", BASE64.encode(&vec![7; bytes])));
        assert_eq!((sized(24), sized(64)), (Ok(()), Ok(())));
        assert_eq!((sized(23), sized(65)), (Err(BadSecret::Length(23)), Err(BadSecret::Length(65))));
        assert_eq!(parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()), Err(BadSecret::Prefix));
        assert_eq!(parse("whsec_not base64".into()), Err(BadSecret::Base64));
        assert_eq!(StandardSigner::new(&[]).map(|_| ()), Err(BadSecret::Missing));
        assert_ne!(generate_secret().expose(), generate_secret().expose());
    }

    #[test]
    fn a_hub_signature_is_the_hex_hmac_of_the_body_and_verifies() {
        let secret = SigningSecret::new("key");
        let body = b"The quick brown fox jumps over the lazy dog"; // the well-known HMAC-SHA-256 example
        let value = hub_signature(&secret, body);
        assert_eq!(value, "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");

        let headers = HeaderMap::from_iter([(HUB_SIGNATURE, value)]);
        assert_eq!(verify_hub(&secret, &headers, body), Ok(()));
        assert_eq!(verify_hub(&secret, &headers, b"other"), Err(Unverified::Signature));
        assert_eq!(verify_hub(&SigningSecret::new("other"), &headers, body), Err(Unverified::Signature));
        assert_eq!(verify_hub(&secret, &HeaderMap::new(), body), Err(Unverified::Header));
    }

    #[test]
    fn a_signer_never_prints_its_secrets() {
        assert_eq!(format!("{:?}", signer(&[SECRET])), "StandardSigner(1 secrets)");
    }
}
