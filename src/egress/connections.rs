//! The connections to endpoints: one pool for each certificate that we present, so that none is used in another's name.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::{Client, Request, Response, redirect, retry};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::attempt::AttemptClass;
use super::fault::class_of;
use super::proxy::{Proxy, Tunnels};
use super::resolver::GuardedResolver;
use super::tls::{BadTls, Trust};
use crate::clock::SharedClock;
use crate::domain::endpoint::ClientCertificate;

/// Header lines of an answer, and their bytes over HTTP/2. hyper itself bounds them over HTTP/1.1, at about 400 KiB.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Shorter than the 5 s after which common servers close an idle connection: a request that crosses the closing is an
/// attempt lost.
pub(super) const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// A pool that presents a certificate is dropped when nothing went through it for so long: its endpoint is gone or quiet.
const IDLE_POOL: time::Duration = time::Duration::minutes(10);

pub(super) const USER_AGENT: &str = concat!("Waxseal/", env!("CARGO_PKG_VERSION"));

/// Where connections lead, and how.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) resolver: GuardedResolver,
    pub(super) connect_timeout: Duration,
    pub(super) trust: Trust,
    pub(super) proxy: Option<Arc<Proxy>>,
}

/// A pool of connections, straight or through the proxy.
#[derive(Clone)]
pub(super) enum Pool {
    Straight(Client),
    Tunnelled(Box<Tunnels>),
}

/// All pools.
pub(super) struct Connections {
    route: Route,
    plain: Pool,
    presenting: Mutex<HashMap<[u8; 32], (Pool, OffsetDateTime)>>,
    clock: SharedClock,
}

impl Connections {
    pub(super) fn new(route: Route, clock: SharedClock) -> Result<Self, BadTls> {
        let plain = route.pool(None)?;
        Ok(Self { route, plain, presenting: Mutex::default(), clock })
    }

    /// The pool for requests that present `certificate`, or none.
    pub(super) fn presenting(&self, certificate: Option<&ClientCertificate>) -> Result<Pool, BadTls> {
        let Some(certificate) = certificate else { return Ok(self.plain.clone()) };
        let (name, now) = (name_of(certificate), self.clock.now());
        let mut pools = self.presenting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((pool, used_at)) = pools.get_mut(&name) {
            *used_at = now;
            return Ok(pool.clone());
        }
        let pool = self.route.pool(Some(certificate))?;
        pools.insert(name, (pool.clone(), now));
        Ok(pool)
    }

    /// Drops the pools that nothing went through for a while.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        let mut pools = self.presenting.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, (_, used_at)| now - *used_at < IDLE_POOL);
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("route", &self.route).finish_non_exhaustive()
    }
}

impl Route {
    fn pool(&self, certificate: Option<&ClientCertificate>) -> Result<Pool, BadTls> {
        if let Some(proxy) = &self.proxy {
            let tls = self.trust.config(certificate, &[])?;
            return Ok(Pool::Tunnelled(Box::new(Tunnels::new(
                proxy.clone(),
                self.resolver.clone(),
                tls,
                self.connect_timeout,
            ))));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(self.trust.config(certificate, &[b"h2", b"http/1.1"])?)
            .dns_resolver(self.resolver.clone())
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(USER_AGENT)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_CONNECTION)
            .http1_max_headers(MAX_HEADERS)
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            .build();
        client.map(Pool::Straight).map_err(|_| BadTls::Trust)
    }
}

impl Pool {
    pub(super) async fn send(&self, request: Request) -> Result<Response, AttemptClass> {
        match self {
            Self::Straight(client) => client.execute(request).await.map_err(|error| class_of(&error)),
            Self::Tunnelled(tunnels) => tunnels.send(request).await,
        }
    }
}

/// A key is never the name of anything, so the name of a pool is a hash.
fn name_of(certificate: &ClientCertificate) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [certificate.chain.as_str(), certificate.key.expose()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
