//! AWS KMS: a symmetric key that stays there wraps with `Encrypt` and `Decrypt` (AWS KMS API reference). Bound to the installation by
//! the encryption context, which CloudTrail shows: it is a random id. Region and credentials come from where AWS's tools look for them.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_kms::Client;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kms::primitives::Blob;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::sealed_share;
use crate::crypto::keys::KeyBytes;
use crate::crypto::kms::{Kms, KmsError, KmsFuture};

/// How long a call may take, all attempts of the SDK together.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Name of the installation in the encryption context.
const CONTEXT: &str = "waxseal-installation";
/// Codes by which AWS says that the same may succeed later.
const LATER: [&str; 6] = [
    "DependencyTimeoutException",
    "KMSInternalException",
    "KeyUnavailableException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "ThrottlingException",
];

/// Which key.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// Id, ARN or alias of the key.
    pub key: String,
    /// Region; empty: as AWS's tools find it.
    pub region: String,
}

/// A key in AWS KMS.
#[derive(Debug)]
pub struct AwsKms {
    client: Client,
    key: String,
}

impl AwsKms {
    /// A provider. Credentials are looked for when it is first asked.
    pub async fn new(settings: AwsSettings) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(TIMEOUT).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts);
        if !settings.region.is_empty() {
            loader = loader.region(Region::new(settings.region));
        }
        Self { client: Client::new(&loader.load().await), key: settings.key }
    }

    async fn encrypt(&self, installation: Uuid, share: &KeyBytes) -> Result<Vec<u8>, KmsError> {
        let joined = sealed_share::join(installation, share);
        let asked = self.client.encrypt().key_id(&self.key).plaintext(Blob::new(joined.as_slice()));
        let answer = asked.encryption_context(CONTEXT, installation.to_string()).send().await;
        let blob = answer.map_err(|error| verdict(&error))?.ciphertext_blob;
        blob.map(Blob::into_inner).ok_or(KmsError::Unavailable)
    }

    /// The key is named although the ciphertext names it too: a ciphertext of another key is refused.
    async fn decrypt(&self, installation: Uuid, wrapped: &[u8]) -> Result<KeyBytes, KmsError> {
        let asked = self.client.decrypt().key_id(&self.key).ciphertext_blob(Blob::new(wrapped));
        let answer = asked.encryption_context(CONTEXT, installation.to_string()).send().await;
        let joined = answer.map_err(|error| verdict(&error))?.plaintext.ok_or(KmsError::Unavailable)?;
        let joined = Zeroizing::new(joined.into_inner());
        sealed_share::split(installation, &joined).ok_or(KmsError::Refused)
    }
}

/// What an error says: AWS says no, or it cannot be asked now.
fn verdict<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> KmsError {
    match error {
        SdkError::ServiceError(said) if !said.err().code().is_some_and(|code| LATER.contains(&code)) => {
            KmsError::Refused
        }
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
