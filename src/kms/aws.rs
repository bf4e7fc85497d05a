//! AWS KMS: a symmetric key that never leaves it encrypts and decrypts (`POST /` with `X-Amz-Target: TrentService.Encrypt` and
//! `TrentService.Decrypt`, AWS KMS API Reference). Who we are, and the signature of each request, are `object_store`'s, which the files
//! of people have from it anyway. Turning the key's material over at AWS needs nothing here, since a ciphertext names it.

use bytes::Bytes;
use data_encoding::BASE64;
use object_store::StaticCredentialProvider;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::http::{self, BadSettings};
use super::sealed_share;
use crate::crypto::keys::KeyBytes;
use crate::crypto::kms::{Kms, KmsError, KmsFuture};
use crate::secret::KmsToken;

/// What a request names its operation by.
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Which key, and who asks.
#[derive(Debug, Clone)]
pub struct AwsKmsSettings {
    /// Where the service answers, such as `https://kms.eu-central-1.amazonaws.com`.
    pub url: Url,
    /// The region that signatures are for.
    pub region: String,
    /// ARN, id or alias of the key. Nothing that another key wrapped is unwrapped.
    pub key: String,
    /// Id and secret of an access key. None: the environment, the token of a pod, the container or the machine says who we are.
    pub credentials: Option<(String, KmsToken)>,
}

/// A key in AWS KMS.
#[derive(Debug)]
pub struct AwsKms {
    http: Client,
    credentials: AwsCredentialProvider,
    settings: AwsKmsSettings,
}

#[derive(Deserialize)]
struct Encrypted {
    #[serde(rename = "CiphertextBlob")]
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted {
    #[serde(rename = "Plaintext")]
    plaintext: Zeroizing<String>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "__type")]
    kind: String,
}

impl AwsKms {
    /// A provider. Nothing is asked yet.
    pub fn new(settings: AwsKmsSettings) -> Result<Self, BadSettings> {
        let credentials = match &settings.credentials {
            Some((id, secret)) => {
                let (key_id, secret_key) = (id.clone(), secret.expose().to_owned());
                Arc::new(StaticCredentialProvider::new(AwsCredential { key_id, secret_key, token: None })) as _
            }
            None => identity(&settings.region).map_err(BadSettings::Identity)?,
        };
        Ok(Self { http: http::client("")?, credentials, settings })
    }

    async fn ask<T: for<'de> Deserialize<'de>>(&self, target: &'static str, body: &Value) -> Result<T, KmsError> {
        let Ok(credential) = self.credentials.get_credential().await else {
            tracing::warn!("nobody says who we are at AWS: neither the environment nor the container nor the machine");
            return Err(KmsError::Unavailable);
        };
        let body = Bytes::from(body.to_string());
        let headers = self.signed(&credential, target, body.clone())?;
        let request = self.http.post(self.settings.url.clone()).headers(headers).body(body);
        let response = request.send().await.map_err(|_| KmsError::Unavailable)?;
        let status = response.status();
        let answer = http::body(response).await?;
        if !status.is_success() {
            return Err(verdict(status, &answer));
        }
        serde_json::from_slice(&answer).map_err(|_| KmsError::Unavailable)
    }

    fn signed(&self, credential: &AwsCredential, target: &'static str, body: Bytes) -> Result<HeaderMap, KmsError> {
        // The signer puts these into headers, and takes for granted that they fit there.
        let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits(&credential.key_id) || !credential.token.as_deref().is_none_or(fits) {
            return Err(KmsError::Denied);
        }
        let mut request = HttpRequest::new(HttpRequestBody::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.settings.url.as_str().parse().map_err(|_| KmsError::Denied)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
        request.headers_mut().insert(TARGET, HeaderValue::from_static(target));
        let authorizer = AwsAuthorizer::new(credential, "kms", &self.settings.region);
        authorizer.try_authorize(&mut request, None).map_err(|_| KmsError::Denied)?;
        Ok(request.into_parts().0.headers)
    }

    /// Bound to the installation twice: by the context, which AWS's own log of uses shows too, and by what is wrapped.
    async fn encrypt(&self, installation: Uuid, share: &KeyBytes) -> Result<Vec<u8>, KmsError> {
        let plaintext = Zeroizing::new(BASE64.encode(sealed_share::join(installation, share).as_slice()));
        let body = json!({
            "KeyId": self.settings.key, "Plaintext": plaintext.as_str(), "EncryptionContext": context(installation) });
        let answer: Encrypted = self.ask("TrentService.Encrypt", &body).await?;
        BASE64.decode(answer.ciphertext.as_bytes()).map_err(|_| KmsError::Unavailable)
    }

    async fn decrypt(&self, installation: Uuid, wrapped: &[u8]) -> Result<KeyBytes, KmsError> {
        let body = json!({
            "KeyId": self.settings.key, "CiphertextBlob": BASE64.encode(wrapped),
            "EncryptionContext": context(installation) });
        let answer: Decrypted = self.ask("TrentService.Decrypt", &body).await?;
        let joined = Zeroizing::new(BASE64.decode(answer.plaintext.as_bytes()).map_err(|_| KmsError::Refused)?);
        sealed_share::split(installation, &joined).ok_or(KmsError::Refused)
    }
}

/// As AWS's own programs find it. The builder wants a bucket; there is none, and none is asked for.
fn identity(region: &str) -> object_store::Result<AwsCredentialProvider> {
    let chain = AmazonS3Builder::from_env().with_bucket_name("none").with_region(region).build()?;
    Ok(chain.credentials().clone())
}

fn context(installation: Uuid) -> Value {
    json!({ "waxseal:installation": installation.to_string(), "waxseal:use": "root share" })
}

/// What a refusal means. Slow and failing services may do it later; a ciphertext may be somebody else's; in all other cases it is us who may not:
/// the identity, the policy or the key is not what it was.
fn verdict(status: StatusCode, body: &[u8]) -> KmsError {
    let fault = serde_json::from_slice::<Fault>(body).map(|fault| fault.kind).unwrap_or_default();
    match fault.rsplit('#').next().unwrap_or_default() {
        "InvalidCiphertextException" | "IncorrectKeyException" => KmsError::Refused,
        "ThrottlingException" => KmsError::Unavailable,
        _ if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => KmsError::Unavailable,
        _ if status.is_client_error() => KmsError::Denied,
        _ => KmsError::Unavailable,
    }
}

impl Kms for AwsKms {
    fn name(&self) -> &'static str {
        "aws"
    }

    fn wrap<'a>(&'a self, installation: Uuid, share: &'a KeyBytes) -> KmsFuture<'a, Vec<u8>> {
        Box::pin(self.encrypt(installation, share))
    }

    fn unwrap<'a>(&'a self, installation: Uuid, wrapped: &'a [u8]) -> KmsFuture<'a, KeyBytes> {
        Box::pin(self.decrypt(installation, wrapped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_service_that_fails_and_from_anothers_ciphertext() {
        for (status, kind, expected) in [
            (400, "InvalidCiphertextException", KmsError::Refused),
            (400, "com.amazonaws.kms#IncorrectKeyException", KmsError::Refused),
            (400, "ThrottlingException", KmsError::Unavailable),
            (400, "DisabledException", KmsError::Denied),
            (400, "KMSInvalidStateException", KmsError::Denied),
            (400, "NotFoundException", KmsError::Denied),
            (400, "AccessDeniedException", KmsError::Denied),
            (400, "UnrecognizedClientException", KmsError::Denied),
            (500, "KeyUnavailableException", KmsError::Unavailable),
            (500, "KMSInternalException", KmsError::Unavailable),
        ] {
            let body = json!({ "__type": kind, "message": "…" }).to_string();
            assert_eq!(verdict(StatusCode::from_u16(status).unwrap(), body.as_bytes()), expected, "{kind}");
        }
        assert_eq!(verdict(StatusCode::FORBIDDEN, b"<Error/>"), KmsError::Denied);
        assert_eq!(verdict(StatusCode::TOO_MANY_REQUESTS, b""), KmsError::Unavailable);
        assert_eq!(verdict(StatusCode::BAD_GATEWAY, b"<html>"), KmsError::Unavailable);
    }

    #[test]
    fn an_identity_that_fits_into_no_header_is_refused_before_it_is_used() {
        let url = Url::parse("https://kms.eu-central-1.amazonaws.com").unwrap();
        let credentials = Some(("id\r\nx: y".to_owned(), KmsToken::new("secret")));
        let settings = AwsKmsSettings { url, region: "eu-central-1".into(), key: "alias/waxseal".into(), credentials };
        let kms = AwsKms::new(settings).unwrap();
        let credential = AwsCredential { key_id: "id\r\nx: y".into(), secret_key: "secret".into(), token: None };
        let refused = kms.signed(&credential, "TrentService.Encrypt", Bytes::new());
        assert_eq!(refused.unwrap_err(), KmsError::Denied);
        assert!(!format!("{kms:?}").contains("secret\""), "{kms:?}");
    }
}
