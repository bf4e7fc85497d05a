//! OpenBao, and Vault, whose transit engine speaks the same: `POST /v1/{mount}/encrypt/{key}` and `…/decrypt/{key}`
//! (OpenBao API, "Transit secrets engine"). The key never leaves it; rotating it there needs nothing here, since a ciphertext names its
//! version.

use data_encoding::BASE64;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::json;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::http::{self, BadSettings};
use super::sealed_share;
use crate::crypto::keys::KeyBytes;
use crate::crypto::kms::{Kms, KmsError, KmsFuture};
use crate::secret::KmsToken;

/// What a request names its token by.
const TOKEN: &str = "x-vault-token";
/// What a request names its namespace by.
const NAMESPACE: &str = "x-vault-namespace";

/// Where it is, and what is used of it.
#[derive(Debug, Clone)]
pub struct OpenBaoSettings {
    /// Such as `https://bao.internal:8200`.
    pub url: Url,
    /// Where the transit engine is mounted.
    pub mount: String,
    /// Name of the key.
    pub key: String,
    /// Namespace; empty: none.
    pub namespace: String,
    /// May encrypt and decrypt with that key, and need not be able to do anything else.
    pub token: KmsToken,
    /// Certificates of authorities that are believed beside the system's, in PEM; empty: none.
    pub authorities: String,
}

/// The transit engine of an OpenBao or a Vault.
#[derive(Debug)]
pub struct OpenBao {
    http: Client,
    settings: OpenBaoSettings,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    plaintext: Zeroizing<String>,
}

impl OpenBao {
    /// A provider. Nothing is asked yet.
    pub fn new(settings: OpenBaoSettings) -> Result<Self, BadSettings> {
        Ok(Self { http: http::client(&settings.authorities)?, settings })
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, verb: &str, body: Zeroizing<Vec<u8>>) -> Result<T, KmsError> {
        let OpenBaoSettings { url, mount, key, namespace, token, .. } = &self.settings;
        let mut url = url.clone();
        let path = ["v1"].into_iter().chain(mount.split('/')).chain([verb, key.as_str()]);
        url.path_segments_mut().map_err(|()| KmsError::Refused)?.pop_if_empty().extend(path);
        let mut request = self.http.post(url).header(TOKEN, token.expose()).body(body.to_vec());
        if !namespace.is_empty() {
            request = request.header(NAMESPACE, namespace);
        }
        let response = request.send().await.map_err(|_| KmsError::Unavailable)?;
        verdict(response.status())?;
        let answer = http::body(response).await?;
        serde_json::from_slice::<Answer<T>>(&answer).map(|answer| answer.data).map_err(|_| KmsError::Unavailable)
    }

    /// Bound to the installation twice: by the context, which counts where the key derives, and by what is wrapped.
    async fn encrypt(&self, installation: Uuid, share: &KeyBytes) -> Result<Vec<u8>, KmsError> {
        let plaintext = Zeroizing::new(BASE64.encode(sealed_share::join(installation, share).as_slice()));
        let body = json!({ "plaintext": plaintext.as_str(), "context": context(installation) });
        let answer: Encrypted = self.ask("encrypt", Zeroizing::new(body.to_string().into_bytes())).await?;
        Ok(answer.ciphertext.into_bytes())
    }

    async fn decrypt(&self, installation: Uuid, wrapped: &[u8]) -> Result<KeyBytes, KmsError> {
        let ciphertext = std::str::from_utf8(wrapped).map_err(|_| KmsError::Refused)?;
        let body = json!({ "ciphertext": ciphertext, "context": context(installation) });
        let answer: Decrypted = self.ask("decrypt", Zeroizing::new(body.to_string().into_bytes())).await?;
        let joined = Zeroizing::new(BASE64.decode(answer.plaintext.as_bytes()).map_err(|_| KmsError::Refused)?);
        sealed_share::split(installation, &joined).ok_or(KmsError::Refused)
    }
}

fn context(installation: Uuid) -> String {
    BASE64.encode(installation.as_bytes())
}

/// What a status says. Sealed, standing by and overloaded ones may do it later; the others say no, to what is asked or to who asks.
fn verdict(status: StatusCode) -> Result<(), KmsError> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(KmsError::Unavailable),
        StatusCode::BAD_REQUEST => Err(KmsError::Refused),
        status if status.is_client_error() && status.as_u16() < 472 => Err(KmsError::Denied),
        _ => Err(KmsError::Unavailable),
    }
}

impl Kms for OpenBao {
    fn name(&self) -> &'static str {
        "openbao"
    }

    fn wrap<'a>(&'a self, installation: Uuid, share: &'a KeyBytes) -> KmsFuture<'a, Vec<u8>> {
        Box::pin(self.encrypt(installation, share))
    }

    fn unwrap<'a>(&'a self, installation: Uuid, wrapped: &'a [u8]) -> KmsFuture<'a, KeyBytes> {
        Box::pin(self.decrypt(installation, wrapped))
    }
}
