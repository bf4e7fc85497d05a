//! The top of the key tree: something that wraps the root share and is not in the database. Providers sit behind one trait.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::keys::{KeyBytes, WrappingKey};
use super::wrap::{self, WrapContext};

/// Answer of a provider, later.
pub type KmsFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, KmsError>> + Send + 'a>>;

/// Why the KMS did not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// It answers, and these bytes are not its own: another installation's, or changed.
    #[error("the KMS refuses the key share: it belongs to another installation or was changed")]
    Refused,
    /// It answers, and does nothing for us. To be mended where its rules are made.
    #[error(
        "the KMS refuses us: what we identify ourselves by is not good for the key, or the key was disabled or deleted"
    )]
    Denied,
    /// It does not answer. Worth another try.
    #[error("the KMS does not answer")]
    Unavailable,
}

/// A place that keeps one secret and wraps with it. Called once when a process starts and when the root is renewed;
/// never for a message. Whoever calls one that is not on this machine bounds the call.
pub trait Kms: Send + Sync + fmt::Debug {
    /// `file` or `env`, for the operator.
    fn name(&self) -> &'static str;
    /// Wraps the root share of `installation`.
    fn wrap<'a>(&'a self, installation: Uuid, share: &'a KeyBytes) -> KmsFuture<'a, Vec<u8>>;
    /// Unwraps it again.
    fn unwrap<'a>(&'a self, installation: Uuid, wrapped: &'a [u8]) -> KmsFuture<'a, KeyBytes>;
}

/// The secret lies on this machine: in a file or in the environment.
#[derive(Debug)]
pub struct LocalKms {
    name: &'static str,
    key: WrappingKey,
}

impl LocalKms {
    /// `name` says where `secret` came from.
    #[must_use]
    pub fn new(name: &'static str, secret: &KeyBytes) -> Self {
        Self { name, key: WrappingKey::new(secret) }
    }
}

fn share_context(installation: Uuid) -> WrapContext<'static> {
    WrapContext { level: "share", tenant: Uuid::nil(), key: installation, name: &[] }
}

impl Kms for LocalKms {
    fn name(&self) -> &'static str {
        self.name
    }

    fn wrap<'a>(&'a self, installation: Uuid, share: &'a KeyBytes) -> KmsFuture<'a, Vec<u8>> {
        Box::pin(async move { Ok(wrap::wrap(&self.key, &share_context(installation), share)) })
    }

    fn unwrap<'a>(&'a self, installation: Uuid, wrapped: &'a [u8]) -> KmsFuture<'a, KeyBytes> {
        Box::pin(async move {
            wrap::unwrap(&self.key, &share_context(installation), wrapped).map_err(|_| KmsError::Refused)
        })
    }
}

struct RootLen;

impl KeyType for RootLen {
    fn len(&self) -> usize {
        32
    }
}

/// The root of `epoch`: `HKDF-SHA-256(salt = epoch cell, ikm = root share, info = "waxseal/root/1" ‖ installation ‖ epoch)`.
/// Both inputs are needed; an installation without an epoch cell uses an empty one.
///
/// # Panics
/// Never: 32 bytes are within HKDF's limit.
#[must_use]
#[expect(clippy::expect_used, reason = "32 bytes are within HKDF's limit")]
pub fn root(share: &KeyBytes, cell: Option<&KeyBytes>, installation: Uuid, epoch: i64) -> WrappingKey {
    let salt = Salt::new(HKDF_SHA256, cell.map_or(&[][..], |cell| cell.as_slice()));
    let prk = salt.extract(share.as_slice());
    let epoch = epoch.to_be_bytes();
    let info = [b"waxseal/root/1".as_slice(), installation.as_bytes(), &epoch];
    let mut key = Zeroizing::new([0; 32]);
    prk.expand(&info, RootLen).and_then(|okm| okm.fill(key.as_mut_slice())).expect("32 bytes are within HKDF's limit");
    WrappingKey::new(&key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::random_key;

    #[tokio::test]
    async fn a_share_unwraps_for_its_own_installation_and_secret_alone() {
        let share = random_key();
        let kms = LocalKms::new("file", &random_key());
        let wrapped = kms.wrap(Uuid::from_u128(1), &share).await.unwrap();
        assert_eq!(*kms.unwrap(Uuid::from_u128(1), &wrapped).await.unwrap(), *share);
        assert_eq!(kms.unwrap(Uuid::from_u128(2), &wrapped).await.unwrap_err(), KmsError::Refused);
        let other = LocalKms::new("file", &random_key());
        assert_eq!(other.unwrap(Uuid::from_u128(1), &wrapped).await.unwrap_err(), KmsError::Refused);
    }

    #[test]
    fn the_root_needs_share_cell_installation_and_epoch() {
        let (share, cell, id) = (random_key(), random_key(), Uuid::from_u128(1));
        let base = root(&share, Some(&cell), id, 1);
        let others = [
            root(&random_key(), Some(&cell), id, 1),
            root(&share, None, id, 1),
            root(&share, Some(&random_key()), id, 1),
            root(&share, Some(&cell), Uuid::nil(), 1),
            root(&share, Some(&cell), id, 2),
        ];
        assert!(others.iter().all(|other| other.bytes() != base.bytes()));
        assert_eq!(root(&share, Some(&cell), id, 1).bytes(), base.bytes());
    }
}
