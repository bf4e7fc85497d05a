//! Certificates made for one test, and a client that shows them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(8);

/// A certificate and its key, in PEM.
pub struct Certificate {
    pub chain: String,
    pub key: String,
}

impl Certificate {
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

/// Somebody who gives certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For a name, in the extension where names belong.
    pub fn certify(&self, name: &str) -> Certificate {
        self.sign(&CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// For a name that stands in the subject alone, as in older certificates.
    pub fn certify_subject(&self, name: &str) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(&params)
    }

    /// For a name, until then.
    pub fn certify_until(&self, name: &str, end: OffsetDateTime) -> Certificate {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = end;
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Certificate {
        let key = KeyPair::generate().unwrap();
        Certificate { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// A folder of its own, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waxseal-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file that only its owner may read. Returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        text_of(&path)
    }

    /// Writes a certificate and its key. Returns both paths.
    pub fn certificate(&self, name: &str, certificate: &Certificate) -> [String; 2] {
        [self.write(&format!("{name}.pem"), &certificate.chain), self.write(&format!("{name}.key"), &certificate.key)]
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// Who connects: whom it believes, what it shows and what it speaks.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
}

impl Client {
    pub fn new(believes: &Authority, shows: Option<&Certificate>) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, believes, shows)
    }

    pub fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        believes: &Authority,
        shows: Option<&Certificate>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(believes.pem.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let config = match shows {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate.der()], key).unwrap()
            }
        };
        Self { config }
    }

    /// Offers these protocols alone.
    pub fn offering(mut self, protocols: &[&[u8]]) -> Self {
        self.config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        self
    }

    /// A connection to `localhost` there. With TLS 1.3 it may stand although the other side refuses what was shown.
    pub async fn connect(&self, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connected = TlsConnector::from(Arc::new(self.config.clone())).connect(name, stream);
        timeout(PATIENCE, connected).await.expect("the handshake ends in time")
    }

    /// Whatever is answered on a connection of its own; nothing when it is refused.
    pub async fn ask(&self, to: SocketAddr, request: &str) -> String {
        let Ok(mut stream) = self.connect(to).await else { return String::new() };
        let _refused = stream.write_all(request.as_bytes()).await;
        rest(stream).await
    }
}

/// Everything until the other side closes.
pub async fn rest(mut stream: TlsStream<TcpStream>) -> String {
    let mut all = Vec::new();
    let _ended = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection is closed in time");
    String::from_utf8(all).unwrap()
}

/// One answer without a body, or the head of one.
pub async fn head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n\r\n") {
        all.push(timeout(PATIENCE, stream.read_u8()).await.expect("the answer comes in time").unwrap());
    }
    String::from_utf8(all).unwrap()
}
