//! The way out through a proxy that the operator set. The guard holds all the same: names are resolved and vetted here, and the
//! proxy is asked to connect to the address (`CONNECT 203.0.113.7:443`); the name is told inside the tunnel alone, as TLS and
//! HTTP want it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use reqwest::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use reqwest::{Body, Method, Request, Response, StatusCode};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;
use url::{Host, Url};

use super::attempt::AttemptClass;
use super::authorization::basic;
use super::connections;
use super::fault::{causes, is_handshake};
use super::guard::Refused;
use super::resolver::GuardedResolver;
use crate::secret::ProxyUrl;

/// A proxy that understands `CONNECT` (RFC 9110 §9.3.6), reached by plain http. Prints its host alone.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

/// A URL of a proxy that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the URL of a proxy: http://[user:password@]host:port")]
pub struct BadProxy;

impl Proxy {
    /// Reads `http://[user:password@]host:port`.
    ///
    /// # Errors
    /// [`BadProxy`], which does not say what stood there.
    pub fn parse(url: &ProxyUrl) -> Result<Self, BadProxy> {
        let url = Url::parse(url.expose()).map_err(|_| BadProxy)?;
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(BadProxy),
        };
        let bare = url.query().is_none() && url.fragment().is_none() && matches!(url.path(), "" | "/");
        if url.scheme() != "http" || !bare {
            return Err(BadProxy);
        }
        let decoded = |text: &str| {
            let pair = format!("v={}", text.replace('+', "%2B"));
            url::form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
        };
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let value = basic(&decoded(user), &decoded(password.unwrap_or_default()));
                Some(value.map_err(|_| BadProxy)?)
            }
        };
        Ok(Self { host, port: url.port_or_known_default().ok_or(BadProxy)?, authorization })
    }
}

impl Proxy {
    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect((self.host.as_str(), self.port)).await
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

/// Why there is no tunnel.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum NoTunnel {
    /// The proxy is not there, does not speak HTTP, or refuses us.
    #[error("the proxy cannot be used")]
    Proxy,
    /// The proxy could not reach the address.
    #[error("the proxy could not connect")]
    Unreachable,
    /// No tunnel within the time for connecting.
    #[error("no tunnel in time")]
    Timeout,
    /// The guard said no, or the name has no address.
    #[error("the address was refused")]
    Refused(#[source] Refused),
}

/// A pool of tunnels. HTTP/1.1 within.
#[derive(Clone)]
pub(super) struct Tunnels(Client<HttpsConnector<Digger>, Body>);

impl Tunnels {
    pub(super) fn new(
        proxy: Arc<Proxy>,
        resolver: GuardedResolver,
        tls: ClientConfig,
        connect_timeout: Duration,
    ) -> Self {
        let digger = Digger { proxy, resolver, connect_timeout };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(digger);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(connections::IDLE_CONNECTION)
            .pool_timer(TokioTimer::new())
            .retry_canceled_requests(false)
            .build(connector);
        Self(client)
    }

    pub(super) async fn send(&self, mut request: Request) -> Result<Response, AttemptClass> {
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(connections::USER_AGENT));
        let request = request.try_into().map_err(|_| AttemptClass::Protocol)?;
        let answer = self.0.request(request).await.map_err(|error| class_of(&error))?;
        Ok(answer.map(Body::wrap).into())
    }
}

fn class_of(error: &hyper_util::client::legacy::Error) -> AttemptClass {
    let no_tunnel = causes(error).find_map(|cause| cause.downcast_ref::<NoTunnel>());
    match no_tunnel {
        Some(NoTunnel::Proxy) => AttemptClass::Proxy,
        Some(NoTunnel::Unreachable | NoTunnel::Refused(Refused::Unresolved)) => AttemptClass::Connect,
        Some(NoTunnel::Timeout) => AttemptClass::Timeout,
        Some(NoTunnel::Refused(_)) => AttemptClass::Refused,
        None if error.is_connect() && causes(error).any(is_handshake) => AttemptClass::Tls,
        None if error.is_connect() => AttemptClass::Connect,
        None => AttemptClass::Protocol,
    }
}

/// Makes tunnels.
#[derive(Debug, Clone)]
struct Digger {
    proxy: Arc<Proxy>,
    resolver: GuardedResolver,
    connect_timeout: Duration,
}

impl Service<Uri> for Digger {
    type Response = Tunnel;
    type Error = NoTunnel;
    type Future = Pin<Box<dyn Future<Output = Result<Tunnel, NoTunnel>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoTunnel>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let target = this.vetted(&uri).await?;
            let stream = timeout(this.connect_timeout, this.proxy.connect()).await;
            let stream = stream.map_or(Err(NoTunnel::Proxy), |stream| stream.map_err(|_| NoTunnel::Proxy))?;
            // From here on, silence may as well be the other side's.
            timeout(this.connect_timeout, this.dig(stream, target)).await.unwrap_or(Err(NoTunnel::Timeout))
        })
    }
}

impl Digger {
    async fn dig(&self, stream: TcpStream, target: SocketAddr) -> Result<Tunnel, NoTunnel> {
        let (mut sender, connection) =
            http1::handshake::<_, Body>(TokioIo::new(stream)).await.map_err(|_| NoTunnel::Proxy)?;
        let mut request = hyper::Request::new(Body::default());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = target.to_string().parse().map_err(|_| NoTunnel::Proxy)?;
        let host = HeaderValue::try_from(target.to_string()).map_err(|_| NoTunnel::Proxy)?;
        request.headers_mut().insert(HOST, host);
        if let Some(authorization) = &self.proxy.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let asking = async move {
            let answer = sender.send_request(request).await.map_err(|_| NoTunnel::Proxy)?;
            match answer.status() {
                status if status.is_success() => hyper::upgrade::on(answer).await.map_err(|_| NoTunnel::Proxy),
                // The proxy is well and says that the other side is not.
                StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                    Err(NoTunnel::Unreachable)
                }
                _ => Err(NoTunnel::Proxy),
            }
        };
        // The connection is driven here until it is handed over, so that no task outlives the attempt.
        let mut driving = pin!(connection.with_upgrades());
        let mut asking = pin!(asking);
        tokio::select! {
            upgraded = &mut asking => upgraded.map(Tunnel),
            _ended = &mut driving => asking.await.map(Tunnel),
        }
    }

    /// The address that the proxy is asked for.
    async fn vetted(&self, uri: &Uri) -> Result<SocketAddr, NoTunnel> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        if let Ok(literal) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Ok(SocketAddr::new(literal, port)); // checked with the URL
        }
        let addresses = self.resolver.lookup(host).await.map_err(NoTunnel::Refused)?;
        let first = addresses.first().ok_or(NoTunnel::Refused(Refused::Unresolved))?;
        Ok(SocketAddr::new(first.ip(), port))
    }
}

/// The stream through the proxy.
struct Tunnel(hyper::upgrade::Upgraded);

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
