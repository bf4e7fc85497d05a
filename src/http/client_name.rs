//! Whose certificates a listener lets in: those of its authorities and, where one is set, of one name alone.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::EndEntityCert;

/// Object identifier of a common name (2.5.4.3), with its tag and length.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

/// Asks another verifier first, and then for the name.
#[derive(Debug)]
pub(super) struct OfOneName {
    chain: Arc<dyn ClientCertVerifier>,
    /// In lower case.
    name: String,
}

impl OfOneName {
    pub(super) const fn new(chain: Arc<dyn ClientCertVerifier>, name: String) -> Self {
        Self { chain, name }
    }
}

impl ClientCertVerifier for OfOneName {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = EndEntityCert::try_from(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let is_right = bears(&certificate, &self.name);
        is_right.then_some(verified).ok_or(Error::InvalidCertificate(CertificateError::NotValidForName))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Whether a certificate is for a name. The names of its extension count; where it has none, as client certificates are still
/// made, its common name.
fn bears(certificate: &EndEntityCert<'_>, name: &str) -> bool {
    if certificate.valid_dns_names().next().is_some() {
        let wanted = ServerName::try_from(name);
        return wanted.is_ok_and(|wanted| certificate.verify_is_valid_for_subject_name(&wanted).is_ok());
    }
    common_name(certificate.subject()).is_some_and(|common| common.eq_ignore_ascii_case(name.as_bytes()))
}

/// The only common name of a subject, which is a sequence of sets of pairs, without its outermost frame. `None` as well for what
/// is not understood and for names that are several: of two, somebody might have meant the other.
fn common_name(mut subject: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    while !subject.is_empty() {
        let (set, rest) = value(subject, 0x31)?;
        subject = rest;
        let mut pairs = set;
        while !pairs.is_empty() {
            let (pair, rest) = value(pairs, 0x30)?;
            pairs = rest;
            let Some(text) = pair.strip_prefix(COMMON_NAME) else { continue };
            // UTF8String or PrintableString.
            let (text, _end) = value(text, 0x0c).or_else(|| value(text, 0x13))?;
            if found.replace(text).is_some() {
                return None;
            }
        }
    }
    found
}

/// The content of the DER value with this tag at the beginning, and what follows it. Longer values than 127 bytes are not
/// understood: no name that we look for is so long, and no set that holds it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    match der {
        [found, length @ 0..=0x7f, rest @ ..] if *found == tag => rest.split_at_checked(usize::from(*length)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    const NAME: &str = "client.webhooks.example";

    fn is_let_in(names: &[&str], common: &[&str]) -> bool {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::OrganizationName, "Somebody");
        for common in common {
            params.distinguished_name.push(DnType::CommonName, *common);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        bears(&EndEntityCert::try_from(certificate.der()).unwrap(), NAME)
    }

    #[test]
    fn the_names_of_the_extension_count_and_without_them_the_common_name() {
        assert!(is_let_in(&[NAME], &[]) && is_let_in(&["other.example", NAME], &["other.example"]));
        assert!(is_let_in(&[], &[NAME]) && is_let_in(&[], &["Client.Webhooks.Example"]));
        assert!(!is_let_in(&["other.example"], &[NAME]), "a common name beside other names is decoration");
        assert!(!is_let_in(&[], &[]) && !is_let_in(&[], &["a.client.webhooks.example"]));
        assert!(!is_let_in(&["client.webhooks.example.evil.example"], &[]));
    }

    #[test]
    fn two_common_names_and_nonsense_are_none() {
        let pair = |name: &[u8]| {
            [&[0x31, 9 + name.len() as u8, 0x30, 7 + name.len() as u8], COMMON_NAME, &[0x0c, name.len() as u8], name]
                .concat()
        };
        assert_eq!(common_name(&pair(b"a")), Some(&b"a"[..]));
        assert_eq!(common_name(&[pair(b"a"), pair(b"b")].concat()), None);
        for cut in 1..pair(b"abc").len() {
            assert_eq!(common_name(&pair(b"abc")[..cut]), None);
        }
        assert_eq!(common_name(b""), None);
    }
}
