//! Tokens for endpoints that ask for OAuth 2 (client credentials grant, RFC 6749 §4.4): fetched by one request at a time, kept
//! until shortly before they expire.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Body, Method, Request};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::attempt::AttemptClass;
use super::authorization::{is_header_value, of_client};
use super::client::EgressClient;
use crate::domain::endpoint::ClientCredentials;
use crate::secret::EndpointSecret;

/// A token is not used in its last minute, or the last half of a shorter life: it must still be good when it arrives.
const MARGIN: Duration = Duration::MINUTE;
/// How long a token is believed to live when its giver does not say, and how long at most.
const UNSAID: Duration = Duration::minutes(5);
const LONGEST: Duration = Duration::DAY;
/// After a fetch that failed, or that gave a token which was refused at once, the next one waits so long.
const PAUSE: Duration = Duration::seconds(5);
/// A token that nobody asked for is forgotten after this.
const IDLE: Duration = Duration::HOUR;

/// The tokens in hand, under hashes of what they are fetched with: changed credentials never meet an old token.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<[u8; 32], Kept>>);

/// A slot, and when it was last asked for.
type Kept = (Arc<AsyncMutex<Slot>>, OffsetDateTime);

/// What is known of one token. Locked while it is fetched.
#[derive(Default)]
struct Slot {
    token: Option<Held>,
    asked_at: Option<OffsetDateTime>,
}

struct Held {
    token: EndpointSecret,
    until: OffsetDateTime,
}

impl Tokens {
    fn slot(&self, client: &ClientCredentials, now: OffsetDateTime) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (slot, used_at) = slots.entry(name_of(client)).or_insert_with(|| (Arc::default(), now));
        *used_at = now;
        slot.clone()
    }

    pub(super) fn sweep(&self, now: OffsetDateTime) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (_, used_at)| now - *used_at < IDLE);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl EgressClient {
    /// A token of `client` other than the `rejected` one, from memory or from its token URL.
    ///
    /// # Errors
    /// [`AttemptClass::Credentials`]: there is none now.
    pub(super) async fn token(
        &self,
        client: &ClientCredentials,
        rejected: Option<&EndpointSecret>,
        end: Instant,
    ) -> Result<EndpointSecret, AttemptClass> {
        let slot = self.tokens.slot(client, self.clock.now());
        let mut slot = timeout_at(end, slot.lock()).await.map_err(|_| AttemptClass::Credentials)?;
        let now = self.clock.now();
        let is_rejected = |held: &Held| rejected.is_some_and(|rejected| rejected.matches(held.token.expose()));
        if let Some(held) = slot.token.as_ref().filter(|held| now < held.until && !is_rejected(held)) {
            return Ok(held.token.clone());
        }
        // An endpoint that refuses every token must not have its token URL asked for each event.
        if slot.asked_at.is_some_and(|asked_at| (asked_at..asked_at + PAUSE).contains(&now)) {
            return Err(AttemptClass::Credentials);
        }
        slot.asked_at = Some(now);
        slot.token = None;
        let (token, lives) = self.fetch(client, end).await.ok_or(AttemptClass::Credentials)?;
        slot.token = Some(Held { token: token.clone(), until: now + lives - MARGIN.min(lives / 2) });
        Ok(token)
    }

    async fn fetch(&self, client: &ClientCredentials, end: Instant) -> Option<(EndpointSecret, Duration)> {
        let scope = client.scope.as_ref().map(|scope| ("scope", scope.as_str()));
        let form = [("grant_type", "client_credentials")].into_iter().chain(scope);
        let form = Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::new(Method::POST, client.token_url.expose().clone());
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, of_client(client).ok()?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(Body::from(form));
        let (attempt, body) = self.attempt(&self.plain().ok()?, request, Instant::now(), end).await;
        let body = Zeroizing::new(body);
        if attempt.class.is_final_success() { read(&body) } else { None }
    }
}

/// The token and its life out of an answer (RFC 6749 §5.1). Only bearer tokens are understood.
fn read(body: &[u8]) -> Option<(EndpointSecret, Duration)> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let token = text("access_token").filter(|token| !token.is_empty() && is_header_value(token))?;
    let lives = answer.get("expires_in").and_then(|lives| lives.as_i64().or_else(|| lives.as_str()?.parse().ok()));
    let is_bearer = text("token_type").is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let lives = lives.map_or(UNSAID, |seconds| Duration::seconds(seconds.max(0)).min(LONGEST));
    is_bearer.then(|| (EndpointSecret::new(token), lives))
}

fn name_of(client: &ClientCredentials) -> [u8; 32] {
    let mut hash = Sha256::new();
    let parts = [client.token_url.expose().as_str(), &client.client_id, client.client_secret.expose()];
    for part in parts.into_iter().chain(client.scope.as_deref()) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(answer: &str) -> Option<i64> {
        read(answer.as_bytes()).map(|(token, lives)| {
            assert_eq!(token.expose(), "t");
            lives.whole_seconds()
        })
    }

    #[test]
    fn a_token_is_read_with_its_life_and_nothing_but_a_bearer_token_is_taken() {
        assert_eq!(lives(r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#), Some(3600));
        assert_eq!(lives(r#"{"access_token":"t","token_type":"bearer","expires_in":"60"}"#), Some(60));
        assert_eq!(lives(r#"{"access_token":"t"}"#), Some(300));
        assert_eq!(lives(r#"{"access_token":"t","expires_in":9e99}"#), Some(300));
        assert_eq!(lives(r#"{"access_token":"t","expires_in":99999999999}"#), Some(86400));
        assert_eq!(lives(r#"{"access_token":"t","expires_in":-5}"#), Some(0));
        for none in ["", "[]", "{}", r#"{"access_token":""}"#, r#"{"access_token":"a\nb"}"#] {
            assert_eq!(lives(none), None, "{none}");
        }
        assert_eq!(lives(r#"{"access_token":"t","token_type":"mac"}"#), None);
    }
}
