//! TLS of a listener: its certificate, whom it believes, and how both are read anew while connections go on.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::client_name::OfOneName;
use crate::clock::SharedClock;
use crate::config::{Fault, ListenerTls, TlsClients, TlsFiles};
use crate::telemetry;

/// Sessions of a listener that may be taken up again without a whole handshake. Each costs some hundred bytes.
const SESSIONS: usize = 4096;

/// Why a listener has no TLS, or keeps the one it had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The files are of no use.
    #[error("the files of [tls] have faults:{}", .0.iter().fold(String::new(), |list, fault| list + "\n  - " + &fault.to_string()))]
    Files(Vec<Fault>),
    /// The library refuses what is in them.
    #[error("TLS cannot be set up")]
    Library(#[source] rustls::Error),
    /// Authorities that cannot be used to verify anybody.
    #[error("the authorities of clients cannot be used")]
    Authorities,
}

/// What a listener agrees TLS with. Clones are one.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: ListenerTls,
    clock: SharedClock,
    current: RwLock<Current>,
}

#[derive(Debug, Clone)]
struct Current {
    config: Arc<ServerConfig>,
    fingerprint: [u8; 32],
}

impl Tls {
    /// Reads the files for the first time.
    pub fn open(files: ListenerTls, clock: SharedClock) -> Result<Self, TlsError> {
        let read = files.read_files().map_err(TlsError::Files)?;
        let current = RwLock::new(current(&files, read, &clock)?);
        Ok(Self(Arc::new(Inner { files, clock, current })))
    }

    /// Reads the files anew. From now on new connections are agreed with what is in them, unless it is faulty: then everything
    /// stays as it was. Connections that stand are not touched. Says whether anything changed.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let read = self.0.files.read_files().map_err(TlsError::Files)?;
        if read.fingerprint == self.current().fingerprint {
            return Ok(false);
        }
        let next = current(&self.0.files, read, &self.0.clock)?;
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(true)
    }

    /// `public`, `internal` or `admin`.
    #[must_use]
    pub fn listener(&self) -> &'static str {
        self.0.files.listener
    }

    /// Agrees TLS with whoever connected. It is for the caller to lose patience.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        TlsAcceptor::from(self.current().config).accept(stream).await
    }

    /// Counts a connection that came to nothing.
    pub(super) fn count_refused(&self) {
        metrics::counter!(telemetry::TLS_REFUSED, "listener" => self.listener()).increment(1);
    }

    fn current(&self) -> Current {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn current(files: &ListenerTls, read: TlsFiles, clock: &SharedClock) -> Result<Current, TlsError> {
    let provider = Arc::new(provider());
    let builder = ServerConfig::builder_with_details(provider.clone(), Arc::new(OurTime(clock.clone())))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Library)?;
    let clients = match (&files.clients, read.authorities) {
        (Some(clients), Some(authorities)) => {
            let chain = WebPkiClientVerifier::builder_with_provider(authorities, provider);
            Some(verifier(clients, chain.clear_root_hint_subjects())?)
        }
        _ => None,
    };
    let certificate = Arc::new(SingleCertAndKey::from(read.certified));
    let mut config = match clients {
        None => {
            let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
            config
        }
        Some(verifier) => {
            let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(certificate);
            // A session that is taken up again shows no certificate: one that has ended meanwhile would go on being let in.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Current { config: Arc::new(config), fingerprint: read.fingerprint })
}

/// The names of the authorities are not told to strangers: whoever may connect knows them.
fn verifier(
    clients: &TlsClients,
    chain: rustls::server::ClientCertVerifierBuilder,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let chain = if clients.optional { chain.allow_unauthenticated() } else { chain };
    let chain = chain.build().map_err(|_| TlsError::Authorities)?;
    Ok(match &clients.name {
        Some(name) => Arc::new(OfOneName::new(chain, name.clone())),
        None => chain,
    })
}

/// The library's, with the exchange first that a quantum computer would not undo, for clients that know it.
fn provider() -> CryptoProvider {
    use aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519, X25519MLKEM768};
    CryptoProvider { kx_groups: vec![X25519MLKEM768, X25519, SECP256R1, SECP384R1], ..aws_lc_rs::default_provider() }
}

/// The clock that everything else is told the time by.
#[derive(Debug)]
struct OurTime(SharedClock);

impl TimeProvider for OurTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().unix_timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}
