//! TLS towards endpoints: whose certificates are believed, and which of ours is presented.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls_platform_verifier::Verifier;

use crate::domain::endpoint::ClientCertificate;

/// Why there is no TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTls {
    /// The system's certificates cannot be read, or an extra one is none.
    #[error("there are no certificates to trust")]
    Trust,
    /// A certificate of ours cannot be read, or its key does not belong to it.
    #[error("the client certificate or its key is of no use")]
    Certificate,
}

/// Whom we believe: the system's authorities and those that the operator added.
#[derive(Debug, Clone)]
pub(super) struct Trust {
    verifier: Arc<Verifier>,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    /// `extra`: certificates of authorities, in PEM.
    pub(super) fn new(extra: &str) -> Result<Self, BadTls> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(certificates(extra).ok_or(BadTls::Trust)?, provider.clone());
        Ok(Self { verifier: Arc::new(verifier.map_err(|_| BadTls::Trust)?), provider })
    }

    /// The settings for connections that present `certificate` and offer `protocols` (ALPN); none of them means HTTP/1.1.
    pub(super) fn config(
        &self,
        certificate: Option<&ClientCertificate>,
        protocols: &[&[u8]],
    ) -> Result<ClientConfig, BadTls> {
        let verifier: Arc<dyn ServerCertVerifier> = self.verifier.clone();
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|_| BadTls::Trust)?
            .dangerous() // the name of the method; the verifier is the system's
            .with_custom_certificate_verifier(verifier);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = read(certificate).ok_or(BadTls::Certificate)?;
                builder.with_client_auth_cert(chain, key).map_err(|_| BadTls::Certificate)?
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

/// Whether TLS can be agreed with this certificate of ours: it is read, and the key belongs to it.
///
/// # Errors
/// [`BadTls::Certificate`]
pub fn check_certificate(certificate: &ClientCertificate) -> Result<(), BadTls> {
    let (chain, key) = read(certificate).ok_or(BadTls::Certificate)?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map(|_| ()).map_err(|_| BadTls::Certificate)
}

fn read(certificate: &ClientCertificate) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = certificates(&certificate.chain).filter(|chain| !chain.is_empty())?;
    Some((chain, PrivateKeyDer::from_pem_slice(certificate.key.expose().as_bytes()).ok()?))
}

fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()
}
