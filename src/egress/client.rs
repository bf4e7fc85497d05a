//! The HTTP client for endpoints. It trusts nobody: the address is vetted, nothing is followed, and neither a slow nor an
//! endless answer holds a delivery for longer than its deadline.

use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Client, Identity, RequestBuilder, Response, redirect, retry};
use tokio::time::{Instant, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::attempt::{Attempt, AttemptClass, retry_after};
use super::guard::{AddressPolicy, Refused, Target};
use super::resolver::GuardedResolver;
use crate::clock::SharedClock;
use crate::crypto::random;
use crate::domain::endpoint::ClientCertificate;
use crate::secret::VerifyToken;

/// As much of an answer as is read. It is read only so that the connection can be used again, and for challenges.
pub const BODY_CAP: usize = 64 * 1024;

/// Header lines of an answer, and their bytes over HTTP/2. hyper itself bounds them over HTTP/1.1, at about 400 KiB.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Shorter than the 5 s after which common servers close an idle connection: a request that crosses the closing is an
/// attempt lost.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// The client cannot be built: the system's certificate store is unreadable.
#[derive(Debug, thiserror::Error)]
#[error("the client for endpoints cannot be built")]
pub struct ClientUnavailable(#[source] reqwest::Error);

/// Sends to endpoints under an [`AddressPolicy`]. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct EgressClient {
    http: Client,
    policy: Arc<AddressPolicy>,
    resolver: GuardedResolver,
    clock: SharedClock,
}

/// The outcome of Meta's verification handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// The request itself.
    pub attempt: Attempt,
    /// Whether the endpoint repeated the challenge, in an answer with status 200 and nothing else in it.
    pub passed: bool,
}

impl EgressClient {
    /// A client that gives up on a connection after `connect_timeout`. The clock is asked only about dates in `Retry-After`.
    ///
    /// # Errors
    /// [`ClientUnavailable`], for want of certificates to trust.
    pub fn new(
        policy: AddressPolicy,
        clock: SharedClock,
        connect_timeout: Duration,
    ) -> Result<Self, ClientUnavailable> {
        let policy = Arc::new(policy);
        let resolver = GuardedResolver::new(Arc::clone(&policy));
        let http = Client::builder()
            .dns_resolver(resolver.clone())
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("Waxseal/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .build()
            .map_err(ClientUnavailable)?;
        Ok(Self { http, policy, resolver, clock })
    }

    /// Checks a URL with the addresses that its name has now: what saving an endpoint asks. Every request asks again.
    ///
    /// # Errors
    /// The first reason to refuse.
    pub async fn vet(&self, url: &Url) -> Result<Target, Refused> {
        let target = self.policy.check_url(url)?;
        if target.literal().is_none() {
            self.resolver.lookup(target.host()).await?;
        }
        Ok(target)
    }

    /// Posts `body`, all of it within `deadline`, the connection and the answer's body included.
    ///
    /// The status decides: a 2xx whose body then breaks off, drags on or never ends is a success all the same, because the
    /// endpoint has said that it has the event, and would otherwise get it twice.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes, deadline: Duration) -> Attempt {
        let request_bytes = body.len();
        let post = |client: &Client| client.post(url.clone()).headers(headers).body(body);
        Attempt { request_bytes, ..self.attempt(url, deadline, post).await.0 }
    }

    /// Meta's verification handshake, as Meta does it with a webhook URL: `GET` with `hub.mode`, `hub.challenge` and
    /// `hub.verify_token` added to the query. The challenge is a fresh number, because some consumers read it as one.
    pub async fn get_challenge(&self, url: &Url, token: &VerifyToken, deadline: Duration) -> Challenge {
        let challenge = u32::from_be_bytes(random::bytes()).to_string();
        let mut asked = url.clone();
        asked
            .query_pairs_mut()
            .append_pair("hub.mode", "subscribe")
            .append_pair("hub.challenge", &challenge)
            .append_pair("hub.verify_token", token.expose());
        let (attempt, body) = self.attempt(&asked, deadline, |client| client.get(asked.clone())).await;
        Challenge { attempt, passed: attempt.http_status == Some(200) && body == challenge.as_bytes() }
    }

    async fn attempt(
        &self,
        url: &Url,
        deadline: Duration,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> (Attempt, Vec<u8>) {
        let started = Instant::now(); // monotonic: what a Clock shows may be set back meanwhile
        let end = started + deadline;
        let answer = match self.policy.check_url(url) {
            Ok(_) => within(end, request(&self.http).send()).await,
            Err(_) => Err(AttemptClass::Refused),
        };
        let (class, status, retry_after, body) = match answer {
            Err(class) => (class, None, None, Vec::new()),
            Ok(answer) => {
                let status = answer.status();
                let asked = retry_after(answer.headers(), self.clock.now());
                (AttemptClass::of_status(status), Some(status.as_u16()), asked, drained(answer, end).await)
            }
        };
        let attempt = Attempt {
            class,
            http_status: status,
            retry_after,
            request_bytes: 0,
            response_bytes: body.len(),
            elapsed: started.elapsed(),
        };
        (attempt, body)
    }
}

/// What a client presents to prove itself. `None`: the texts are not PEM of certificates and a key.
#[must_use]
pub fn identity(certificate: &ClientCertificate) -> Option<Identity> {
    let both = Zeroizing::new(format!("{}\n{}", certificate.key.expose().trim(), certificate.chain.trim()));
    Identity::from_pem(both.as_bytes()).ok()
}

async fn within(
    end: Instant,
    sending: impl Future<Output = reqwest::Result<Response>>,
) -> Result<Response, AttemptClass> {
    match timeout_at(end, sending).await {
        Ok(answer) => answer.map_err(|error| class_of(&error)),
        Err(_elapsed) => Err(AttemptClass::Timeout),
    }
}

/// The body until its end, [`BODY_CAP`], the deadline or a fault, whichever comes first. What is left goes with the connection.
async fn drained(mut answer: Response, end: Instant) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = timeout_at(end, answer.chunk()).await {
        let room = BODY_CAP - body.len();
        body.extend(chunk.iter().take(room));
        if chunk.len() >= room {
            break;
        }
    }
    body
}

/// The class of a request that got no answer. Only the kinds of the causes are looked at: their texts contain the URL.
fn class_of(error: &reqwest::Error) -> AttemptClass {
    let is_refused = |cause: &&(dyn Error + 'static)| {
        cause.downcast_ref::<Refused>().is_some_and(|refused| *refused != Refused::Unresolved)
    };
    // A TCP connection fails in neither of these ways; the TLS handshake upon it does.
    let is_handshake = |cause: &&(dyn Error + 'static)| {
        let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof))
    };
    if causes(error).any(|cause| is_refused(&cause)) {
        AttemptClass::Refused
    } else if error.is_timeout() {
        AttemptClass::Timeout
    } else if error.is_connect() && causes(error).any(|cause| is_handshake(&cause)) {
        AttemptClass::Tls
    } else if error.is_connect() {
        AttemptClass::Connect
    } else {
        AttemptClass::Protocol
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&cause| {
        // The source of an io::Error is the source of what it wraps, so what it wraps would be passed over.
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        }
    })
}
