//! Wrapping of keys by keys: AES-256-GCM with a random nonce, 60 bytes: nonce (12) ‖ ciphertext (32) ‖ tag (16).
//! One wrapping key wraps few keys (a bucket about 250), far below the 2³² of NIST SP 800-38D §8.3.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::keys::{KeyBytes, WrappingKey};
use super::random;

const NONCE: usize = 12;
const LABEL: &[u8] = b"waxseal/wrap/1";

/// What a wrapped key is bound to: its level in the tree, its owner and its own id.
#[derive(Debug, Clone, Copy)]
pub struct WrapContext<'n> {
    /// `share`, `check`, `tenant`, `bucket`, `index` or `dek`.
    pub level: &'static str,
    /// Owner; nil above the tenants.
    pub tenant: Uuid,
    /// Id of the wrapped key.
    pub key: Uuid,
    /// What the key is for, where its row says so in other columns: rows that exchange them do not unwrap.
    pub name: &'n [u8],
}

impl WrapContext<'_> {
    fn encode(&self) -> Vec<u8> {
        let level = self.level.as_bytes();
        [LABEL, &[level.len() as u8], level, self.tenant.as_bytes(), self.key.as_bytes(), self.name].concat()
    }
}

/// The bytes are not this key wrapped by that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key did not unwrap: it belongs elsewhere or was changed")]
pub struct UnwrapError;

fn cipher(key: &WrappingKey) -> Result<LessSafeKey, UnwrapError> {
    UnboundKey::new(&AES_256_GCM, key.bytes()).map(LessSafeKey::new).map_err(|_| UnwrapError)
}

/// Wraps `key` under `by`.
///
/// # Panics
/// Never: the lengths are constants that AES-256-GCM accepts.
#[must_use]
#[expect(clippy::expect_used, reason = "the lengths are constants that AES-256-GCM accepts")]
pub fn wrap(by: &WrappingKey, context: &WrapContext<'_>, key: &KeyBytes) -> Vec<u8> {
    let nonce: [u8; NONCE] = random::bytes();
    let mut body = Zeroizing::new(**key);
    let cipher = cipher(by).expect("32 bytes");
    let nonce_value = Nonce::assume_unique_for_key(nonce);
    let tag = cipher
        .seal_in_place_separate_tag(nonce_value, Aad::from(context.encode()), body.as_mut_slice())
        .expect("32 bytes are within the limit of GCM");
    [nonce.as_slice(), body.as_slice(), tag.as_ref()].concat()
}

/// Unwraps what [`wrap`] made under the same key for the same context.
pub fn unwrap(by: &WrappingKey, context: &WrapContext<'_>, wrapped: &[u8]) -> Result<KeyBytes, UnwrapError> {
    let (nonce, body) = wrapped.split_at_checked(NONCE).ok_or(UnwrapError)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| UnwrapError)?;
    let mut body = Zeroizing::new(body.to_vec());
    let plain = cipher(by)?.open_in_place(nonce, Aad::from(context.encode()), &mut body).map_err(|_| UnwrapError)?;
    let mut key = Zeroizing::new([0; 32]);
    if plain.len() != key.len() {
        return Err(UnwrapError);
    }
    key.copy_from_slice(plain);
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::random_key;

    #[test]
    fn a_key_unwraps_in_its_own_place_alone() {
        let by = WrappingKey::new(&random_key());
        let key = random_key();
        let context = WrapContext { level: "dek", tenant: Uuid::from_u128(1), key: Uuid::from_u128(2), name: b"may" };
        let wrapped = wrap(&by, &context, &key);
        assert_eq!(wrapped.len(), 60);
        assert_eq!(*unwrap(&by, &context, &wrapped).unwrap(), *key);
        for other in [
            WrapContext { level: "bucket", ..context },
            WrapContext { tenant: Uuid::nil(), ..context },
            WrapContext { key: Uuid::nil(), ..context },
            WrapContext { name: b"june", ..context },
        ] {
            assert!(unwrap(&by, &other, &wrapped).is_err());
        }
        assert!(unwrap(&WrappingKey::new(&random_key()), &context, &wrapped).is_err());
        assert!((0..60).all(|length| unwrap(&by, &context, &wrapped[..length]).is_err()));
    }
}
