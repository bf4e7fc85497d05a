//! The HTTP client for endpoints. It trusts nobody: the address is vetted, nothing is followed, and neither a slow nor an
//! endless answer holds a delivery for longer than its deadline.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Body, Method, Request, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::attempt::{Attempt, AttemptClass, retry_after};
use super::authorization::header_lines;
use super::connections::{Connections, Pool, Route};
use super::guard::{AddressPolicy, Refused, Target};
use super::proxy::Proxy;
use super::resolver::{GuardedResolver, Names, SystemNames};
use super::tls::{BadTls, Trust};
use super::token::Tokens;
use crate::clock::SharedClock;
use crate::crypto::random;
use crate::domain::endpoint::{Auth, Credentials};
use crate::secret::{EndpointSecret, VerifyToken};

/// As much of an answer as is read. It is read only so that the connection can be used again, and for challenges and tokens.
pub const BODY_CAP: usize = 64 * 1024;

/// How the client connects.
#[derive(Clone)]
pub struct Settings {
    /// How long a connection may take to open.
    pub connect_timeout: Duration,
    /// Certificates of authorities (PEM) that are believed beside the system's.
    pub authorities: String,
    /// What requests go through.
    pub proxy: Option<Proxy>,
    /// Who knows the addresses of names.
    pub names: Arc<dyn Names>,
}

impl Settings {
    /// The system's authorities and names, and no proxy.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> Self {
        Self { connect_timeout, authorities: String::new(), proxy: None, names: Arc::new(SystemNames) }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

/// Sends to endpoints under an [`AddressPolicy`]. Cheap to clone; clones share their connections and tokens.
#[derive(Debug, Clone)]
pub struct EgressClient {
    connections: Arc<Connections>,
    pub(super) tokens: Arc<Tokens>,
    policy: Arc<AddressPolicy>,
    resolver: GuardedResolver,
    pub(super) clock: SharedClock,
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
    /// A client. The clock is asked about dates in `Retry-After` and about the age of tokens and of idle connections.
    ///
    /// # Errors
    /// [`BadTls::Trust`], for want of certificates to trust.
    pub fn new(policy: AddressPolicy, clock: SharedClock, settings: Settings) -> Result<Self, BadTls> {
        let policy = Arc::new(policy);
        let resolver = GuardedResolver::new(Arc::clone(&policy), settings.names);
        let route = Route {
            resolver: resolver.clone(),
            connect_timeout: settings.connect_timeout,
            trust: Trust::new(&settings.authorities)?,
            proxy: settings.proxy.map(Arc::new),
        };
        let connections = Arc::new(Connections::new(route, clock.clone())?);
        Ok(Self { connections, tokens: Arc::default(), policy, resolver, clock })
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
        self.deliver(url, &Credentials::default(), headers, body, deadline).await
    }

    /// As [`Self::post`], and shows the endpoint what it wants to see from us; `headers` go before those of `credentials`. A
    /// token that is answered with 401 is fetched anew, once, and the request is sent again within the same deadline.
    pub async fn deliver(
        &self,
        url: &Url,
        credentials: &Credentials,
        headers: HeaderMap,
        body: Bytes,
        deadline: Duration,
    ) -> Attempt {
        let started = Instant::now(); // monotonic: what a Clock shows may be set back meanwhile
        let (end, mut rejected) = (started + deadline, None);
        loop {
            let asked = self.with_credentials(credentials, headers.clone(), rejected.as_ref(), end).await;
            let (pool, headers, token) = match (asked, rejected.is_some()) {
                (Ok(asked), _) => asked,
                // The endpoint's own answer tells more than that there is no other token.
                (Err(AttemptClass::Credentials), true) => {
                    return Attempt {
                        http_status: Some(401),
                        ..Attempt::without_status(AttemptClass::ClientError, started.elapsed())
                    };
                }
                (Err(class), _) => return Attempt::without_status(class, started.elapsed()),
            };
            let mut request = Request::new(Method::POST, url.clone());
            *request.headers_mut() = headers;
            *request.body_mut() = Some(Body::from(body.clone()));
            let (attempt, _) = self.attempt(&pool, request, started, end).await;
            match token {
                Some(token) if attempt.http_status == Some(401) && rejected.is_none() => rejected = Some(token),
                _ => return Attempt { request_bytes: body.len(), ..attempt },
            }
        }
    }

    /// Meta's verification handshake, as Meta does it with a webhook URL: `GET` with `hub.mode`, `hub.challenge` and
    /// `hub.verify_token` added to the query. The challenge is a fresh number, because some consumers read it as one.
    pub async fn get_challenge(&self, url: &Url, token: &VerifyToken, deadline: Duration) -> Challenge {
        let started = Instant::now();
        let challenge = u32::from_be_bytes(random::bytes()).to_string();
        let mut asked = url.clone();
        asked
            .query_pairs_mut()
            .append_pair("hub.mode", "subscribe")
            .append_pair("hub.challenge", &challenge)
            .append_pair("hub.verify_token", token.expose());
        let (attempt, body) = match self.connections.presenting(None) {
            Ok(pool) => self.attempt(&pool, Request::new(Method::GET, asked), started, started + deadline).await,
            Err(_) => (Attempt::without_status(AttemptClass::Credentials, started.elapsed()), Vec::new()),
        };
        Challenge { attempt, passed: attempt.http_status == Some(200) && body == challenge.as_bytes() }
    }

    /// Drops connections that no endpoint uses any more. Called about once a minute.
    pub fn sweep(&self) {
        self.connections.sweep();
        self.tokens.sweep(self.clock.now());
    }

    /// The connections, the header lines and the token for a request.
    async fn with_credentials(
        &self,
        credentials: &Credentials,
        mut headers: HeaderMap,
        rejected: Option<&EndpointSecret>,
        end: Instant,
    ) -> Result<(Pool, HeaderMap, Option<EndpointSecret>), AttemptClass> {
        let of_no_use = |_| AttemptClass::Credentials;
        let pool = self.connections.presenting(credentials.certificate.as_ref()).map_err(of_no_use)?;
        let token = match &credentials.auth {
            Some(Auth::OAuth2(client)) => Some(self.token(client, rejected, end).await?),
            Some(Auth::Bearer(_) | Auth::Basic { .. }) | None => None,
        };
        let lines = header_lines(credentials, token.as_ref()).map_err(|_| AttemptClass::Credentials)?;
        headers.extend(lines);
        Ok((pool, headers, token))
    }

    /// One request and its answer, read to its end or to [`BODY_CAP`].
    pub(super) async fn attempt(
        &self,
        pool: &Pool,
        request: Request,
        started: Instant,
        end: Instant,
    ) -> (Attempt, Vec<u8>) {
        let answer = match self.policy.check_url(request.url()) {
            Ok(_) => within(end, pool.send(request)).await,
            Err(_) => Err(AttemptClass::Refused),
        };
        match answer {
            Err(class) => (Attempt::without_status(class, started.elapsed()), Vec::new()),
            Ok(answer) => {
                let (status, asked) = (answer.status(), retry_after(answer.headers(), self.clock.now()));
                let (class, body) = (AttemptClass::of_status(status), drained(answer, end).await);
                let http_status = Some(status.as_u16());
                (
                    Attempt {
                        class,
                        http_status,
                        retry_after: asked,
                        request_bytes: 0,
                        response_bytes: body.len(),
                        elapsed: started.elapsed(),
                    },
                    body,
                )
            }
        }
    }

    /// The connections that present no certificate.
    pub(super) fn plain(&self) -> Result<Pool, BadTls> {
        self.connections.presenting(None)
    }
}

async fn within(
    end: Instant,
    sending: impl Future<Output = Result<Response, AttemptClass>>,
) -> Result<Response, AttemptClass> {
    timeout_at(end, sending).await.unwrap_or(Err(AttemptClass::Timeout))
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
