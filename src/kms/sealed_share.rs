//! What is handed to a KMS: the share behind the id of its installation, so that a KMS which binds nothing itself still does not
//! give one installation the share of another.

use uuid::Uuid;
use zeroize::Zeroizing;

use crate::crypto::keys::KeyBytes;

/// Bytes that are wrapped: `installation (16) ‖ share (32)`.
pub(super) const LEN: usize = 48;

/// The bytes for the KMS.
pub(super) fn join(installation: Uuid, share: &KeyBytes) -> Zeroizing<[u8; LEN]> {
    let mut joined = Zeroizing::new([0; LEN]);
    let parts = installation.as_bytes().iter().chain(share.iter());
    joined.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
    joined
}

/// The share in what a KMS gave back. `None`: it is of another installation, or no share.
pub(super) fn split(installation: Uuid, joined: &[u8]) -> Option<KeyBytes> {
    let (id, share) = joined.split_first_chunk::<16>()?;
    let share: &[u8; 32] = share.try_into().ok()?;
    (id == installation.as_bytes()).then(|| Zeroizing::new(*share))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keys::random_key;

    #[test]
    fn a_share_is_read_for_its_own_installation_alone() {
        let (share, id) = (random_key(), Uuid::from_u128(7));
        let joined = join(id, &share);
        assert_eq!(*split(id, joined.as_slice()).unwrap(), *share);
        assert!(split(Uuid::from_u128(8), joined.as_slice()).is_none());
        assert!(split(id, &joined[..47]).is_none());
        assert!(split(id, &[joined.as_slice(), &[0]].concat()).is_none());
        assert!(split(id, &[]).is_none());
    }
}
