//! What providers share that are asked over HTTP.

use reqwest::{Certificate, Client, Response};
use zeroize::Zeroizing;

use super::bounded::TIMEOUT;
use crate::crypto::kms::KmsError;

/// Longer answers are refused; one is below 1000 bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why there is no such provider.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// The authorities are no certificates, or the system has none.
    #[error("the certificates for the KMS cannot be used")]
    Certificates(#[source] reqwest::Error),
    /// The environment names an identity that is not whole.
    #[cfg(feature = "kms-aws")]
    #[error("the environment (AWS_…) does not say who we are at AWS")]
    Identity(#[source] object_store::Error),
}

/// Believes the system's authorities and these, in PEM. No redirect is followed and no proxy asked.
pub(super) fn client(authorities: &str) -> Result<Client, BadSettings> {
    let authorities = Certificate::from_pem_bundle(authorities.as_bytes()).map_err(BadSettings::Certificates)?;
    let builder = Client::builder()
        .user_agent(concat!("waxseal/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    let builder = authorities.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
    builder.build().map_err(BadSettings::Certificates)
}

/// The body of an answer, wiped when dropped.
pub(super) async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let mut answer = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|_| KmsError::Unavailable)? {
        if answer.len() + chunk.len() > LONGEST_ANSWER {
            return Err(KmsError::Unavailable);
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}
