//! Certificates: theirs, which must be good, and ours, which must be shown to whom they are for.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;
use waxseal::domain::endpoint::{ClientCertificate, Credentials};
use waxseal::egress::attempt::{Attempt, AttemptClass};
use waxseal::egress::client::{EgressClient, Settings};
use waxseal::egress::tls::{BadTls, check_certificate};
use waxseal::secret::EndpointSecret;

use crate::consumer::{PATIENCE, answer, client_with, dev_policy};

/// Somebody who gives certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate in PEM and its key.
    pub(crate) fn certify(&self, host: &str, until_year: i32) -> ClientCertificate {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(until_year, 1, 1));
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        ClientCertificate { chain, key: EndpointSecret::new(key.serialize_pem()) }
    }

    pub(crate) fn client(&self) -> EgressClient {
        client_with(dev_policy(), Settings { authorities: self.pem.clone(), ..Settings::new(PATIENCE) })
    }
}

fn self_signed() -> ClientCertificate {
    let key = KeyPair::generate().unwrap();
    let chain = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    ClientCertificate { chain, key: EndpointSecret::new(key.serialize_pem()) }
}

/// A consumer that shows `certificate`, wants one of `wanted` when that is given, and answers with the number of bytes of the
/// certificate that it saw in a header. Returns its port.
pub(crate) async fn consumer(certificate: &ClientCertificate, wanted: Option<&Authority>) -> u16 {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let builder = match wanted {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(certificate.chain.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(certificate.key.expose().as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::task::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::task::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while !seen.ends_with(b"{\"body\":1}") {
                    let Ok(count @ 1..) = stream.read(&mut buffer).await else { return };
                    seen.extend_from_slice(&buffer[..count]);
                }
                let shown = stream.get_ref().1.peer_certificates().is_some();
                let status = if shown { "202 Known" } else { "200 Unknown" };
                let _ = stream.write_all(answer(status, "connection: close\r\n").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    port
}

pub(crate) fn url(host: &str, port: u16) -> Url {
    format!("https://{host}:{port}/hook").parse().unwrap()
}

async fn post(client: &EgressClient, url: &Url, certificate: Option<&ClientCertificate>) -> Attempt {
    let credentials = Credentials { certificate: certificate.cloned(), ..Credentials::default() };
    client.deliver(url, &credentials, reqwest::header::HeaderMap::new(), "{\"body\":1}".into(), PATIENCE).await
}

#[tokio::test]
async fn a_good_certificate_is_believed_and_an_expired_foreign_or_self_signed_one_is_not() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let client = ours.client();
    let good = consumer(&ours.certify("localhost", 2100), None).await;
    assert_eq!(post(&client, &url("localhost", good), None).await.class, AttemptClass::Success);
    for (certificate, what) in [
        (ours.certify("localhost", 2020), "expired"),
        (ours.certify("elsewhere.example", 2100), "of another host"),
        (foreign.certify("localhost", 2100), "of an authority that nobody knows"),
        (self_signed(), "self-signed"),
    ] {
        let port = consumer(&certificate, None).await;
        assert_eq!(post(&client, &url("localhost", port), None).await.class, AttemptClass::Tls, "{what}");
    }
    assert_eq!(post(&client, &url("127.0.0.1", good), None).await.class, AttemptClass::Tls, "the name counts");
}

#[tokio::test]
async fn an_endpoint_that_wants_a_certificate_sees_the_one_that_was_made_for_it_and_no_other_endpoint_does() {
    let authority = Authority::new();
    let client = authority.client();
    let of_server = authority.certify("localhost", 2100);
    let (wants, does_not) = (consumer(&of_server, Some(&authority)).await, consumer(&of_server, None).await);
    let (ours, foreign) = (authority.certify("gateway.example", 2100), self_signed());
    let status = async |port, certificate| post(&client, &url("localhost", port), certificate).await.http_status;
    assert_eq!(status(wants, Some(&ours)).await, Some(202));
    assert_eq!(status(does_not, Some(&ours)).await, Some(200), "shown only where it is asked for");
    assert_eq!(status(wants, None).await, None, "the connections of another are not used");
    assert_eq!(status(wants, Some(&foreign)).await, None);
    assert_eq!(status(wants, Some(&ours)).await, Some(202));
    client.sweep();
    assert_eq!(status(wants, Some(&ours)).await, Some(202));
}

#[tokio::test]
async fn a_certificate_of_no_use_is_a_failure_of_the_credentials_and_found_when_it_is_checked() {
    let authority = Authority::new();
    let (one, other) = (authority.certify("gateway.example", 2100), authority.certify("gateway.example", 2100));
    assert_eq!(check_certificate(&one), Ok(()));
    let good = consumer(&authority.certify("localhost", 2100), None).await;
    for broken in [
        ClientCertificate { chain: one.chain.clone(), key: other.key.clone() },
        ClientCertificate { chain: String::new(), key: one.key.clone() },
        ClientCertificate { chain: one.chain.clone(), key: EndpointSecret::new("no key") },
    ] {
        assert_eq!(check_certificate(&broken), Err(BadTls::Certificate));
        let attempt = post(&authority.client(), &url("localhost", good), Some(&broken)).await;
        assert_eq!((attempt.class, attempt.http_status), (AttemptClass::Credentials, None));
    }
}
