//! What is in the files of `[tls]`, read and checked: whoever holds it can begin to serve.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::key_file::read_private_file;
use super::tls::{ListenerTls, TlsClients};

/// More than any chain needs, and more than the authorities of the whole Web.
const LONGEST_FILE: u64 = 1024 * 1024;
/// More than any key needs.
const LONGEST_KEY: u64 = 64 * 1024;

/// The certificate of a listener and whom it believes.
pub struct TlsFiles {
    /// The chain and the key that belongs to it.
    pub certified: Arc<CertifiedKey>,
    /// The authorities of clients; never empty. `None`: no client is asked for a certificate.
    pub authorities: Option<Arc<RootCertStore>>,
    /// Tells these files from others.
    pub fingerprint: [u8; 32],
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsFiles")
    }
}

impl ListenerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn read_files(&self) -> Result<TlsFiles, Vec<Fault>> {
        let key_of = |what: &str| format!("tls.{}_{what}_file", self.listener);
        let mut faults = Vec::new();
        let mut note = |what: &str, problem: String| faults.push(Fault { key: key_of(what), problem });
        let chain = read(&self.certificate_file).and_then(|text| Ok((certificates(&text)?, text)));
        let chain = chain.map_err(|problem| note("certificate", problem)).ok();
        let key = read_private_file(&self.key_file, LONGEST_KEY).map_err(|error| note("key", error.to_string())).ok();
        let authorities = self.clients.as_ref().map(authorities).transpose();
        let authorities = authorities.map_err(|problem| note("authorities", problem)).ok();
        let (Some((chain, chain_text)), Some(key), Some(authorities)) = (chain, key, authorities) else {
            return Err(faults);
        };
        let certified = certify(chain, &key).map_err(|problem| vec![Fault { key: key_of("key"), problem }])?;
        let mut digest = Sha256::new().chain_update(chain_text).chain_update([0]).chain_update(key.as_bytes());
        if let Some((_, text)) = &authorities {
            digest.update([0]);
            digest.update(text);
        }
        let authorities = authorities.map(|(roots, _)| Arc::new(roots));
        Ok(TlsFiles { certified: Arc::new(certified), authorities, fingerprint: digest.finalize().into() })
    }
}

fn certify(chain: Vec<CertificateDer<'static>>, key: &str) -> Result<CertifiedKey, String> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "is no key in PEM".to_owned())?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|_| "is not the key of the certificate, or of a kind that is not supported".to_owned())
}

fn authorities(clients: &TlsClients) -> Result<(RootCertStore, String), String> {
    let text = read(&clients.authorities_file)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&text)? {
        roots.add(certificate).map_err(|_| "holds a certificate that cannot be one of an authority".to_owned())?;
    }
    Ok((roots, text))
}

/// At least one.
fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    read.ok().filter(|all| !all.is_empty()).ok_or_else(|| "holds no certificates in PEM".to_owned())
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| file.take(LONGEST_FILE).read_to_string(&mut text));
    opened.map_err(|error| format!("{} cannot be read: {}", path.display(), error.kind()))?;
    Ok(text)
}
