//! The keys of the hashes that find people. A rotation adds one, which hashes what the keys of before have made of an identifier: so every hash
//! that is stored can be brought forward without the identifier, and knowing a key that was replaced confirms nobody's number.

use crate::crypto::keyed_hash::HashKey;
use crate::domain::person::Identifier;
use crate::store::index_versions::IndexVersions;

/// All versions of a tenant's key. The first is 1.
#[derive(Debug)]
pub struct IdentifierKeys {
    first: HashKey,
    later: Vec<HashKey>,
    /// The least version of which there may be hashes.
    oldest: i16,
}

impl IdentifierKeys {
    /// These versions. `None`: one is missing that the data are hashed by.
    pub(super) fn new(first: HashKey, later: Vec<HashKey>, versions: IndexVersions) -> Option<Self> {
        let keys = Self { first, later, oldest: versions.oldest };
        (keys.newest() >= versions.new).then_some(keys)
    }

    /// The newest version. It may not be in force yet.
    #[must_use]
    pub fn newest(&self) -> i16 {
        i16::try_from(self.later.len()).map_or(i16::MAX, |later| later.saturating_add(1))
    }

    /// What is found by these: hashes of all these versions.
    #[must_use]
    pub fn finds(&self) -> IndexVersions {
        IndexVersions { new: self.newest(), oldest: self.oldest }
    }

    /// Whether these are all there are, and nothing too old is looked for.
    pub(super) fn is_of(&self, versions: IndexVersions, newest: i16) -> bool {
        self.finds() == IndexVersions { new: newest, oldest: versions.oldest }
    }

    /// The hashes of an identifier by the newest version, and by those of before of which there may be hashes.
    #[must_use]
    pub fn hash(&self, identifier: &Identifier) -> ([u8; 16], Vec<(i16, [u8; 16])>) {
        self.hash_since(self.oldest, identifier)
    }

    /// The hashes of an identifier by all versions, the first one first.
    #[must_use]
    pub fn every(&self, identifier: &Identifier) -> Vec<[u8; 16]> {
        let (newest, before) = self.hash_since(1, identifier);
        before.into_iter().map(|(_, hash)| hash).chain([newest]).collect()
    }

    fn hash_since(&self, oldest: i16, identifier: &Identifier) -> ([u8; 16], Vec<(i16, [u8; 16])>) {
        let canonical = zeroize::Zeroizing::new(identifier.canonical());
        let mut hash = self.first.hash(&[&identifier.kind().to_be_bytes(), canonical.as_bytes()]);
        let mut before = Vec::new();
        for (version, next) in (1..).zip(&self.later) {
            if version >= oldest {
                before.push((version, hash));
            }
            hash = further(next, &hash);
        }
        (hash, before)
    }

    /// What a hash by one version is by another that is not before it.
    #[must_use]
    pub fn forward(&self, hash: [u8; 16], from: i16, to: i16) -> [u8; 16] {
        let (skipped, wanted) = (usize::try_from(from - 1), usize::try_from(to - from));
        let (Ok(skipped), Ok(wanted)) = (skipped, wanted) else { return hash };
        self.later.iter().skip(skipped).take(wanted).fold(hash, |hash, key| further(key, &hash))
    }
}

fn further(key: &HashKey, hash: &[u8; 16]) -> [u8; 16] {
    key.hash(&[hash])
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn key(byte: u8) -> HashKey {
        HashKey::new(&Zeroizing::new([byte; 32]))
    }

    fn keys(later: &[u8], oldest: i16) -> Option<IdentifierKeys> {
        let new = i16::try_from(later.len()).unwrap() + 1;
        IdentifierKeys::new(key(1), later.iter().map(|byte| key(*byte)).collect(), IndexVersions { new, oldest })
    }

    #[test]
    fn what_is_stored_becomes_what_is_made_of_the_identifier_itself() {
        let (keys, who) = (keys(&[2, 3], 1).unwrap(), Identifier::bsuid("DE.9000000000000001").unwrap());
        let every = keys.every(&who);
        for (from, before) in (1..).zip(&every) {
            for (to, after) in (1..).zip(&every).filter(|(to, _)| *to >= from) {
                assert_eq!(keys.forward(*before, from, to), *after, "{from} to {to}");
            }
        }
        assert!(every.len() == 3 && every[0] != every[1] && every[1] != every[2] && every[0] != every[2]);
        let before = vec![(1, every[0]), (2, every[1])];
        assert_eq!(keys.hash(&who), (every[2], before));
    }

    #[test]
    fn whoever_knows_all_keys_but_one_cannot_make_the_hash() {
        let who = Identifier::bsuid("DE.9000000000000001").unwrap();
        let last = |later: &[u8]| keys(later, 1).unwrap().hash(&who).0;
        assert_ne!(last(&[2, 3]), last(&[2, 4]));
        assert_ne!(last(&[2, 3]), last(&[4, 3]));
    }

    #[test]
    fn nothing_is_looked_for_under_versions_that_are_over_and_a_missing_key_is_found_out() {
        let who = Identifier::bsuid("DE.9000000000000001").unwrap();
        assert_eq!(keys(&[2, 3], 3).unwrap().hash(&who).1, []);
        assert_eq!(keys(&[2, 3], 2).unwrap().hash(&who).1.len(), 1);
        assert!(IdentifierKeys::new(key(1), Vec::new(), IndexVersions { new: 2, oldest: 1 }).is_none());
        let finds = keys(&[2], 2).unwrap().finds();
        assert!(finds.covers(IndexVersions { new: 2, oldest: 2 }));
        assert!(!finds.covers(IndexVersions { new: 2, oldest: 1 }));
        assert!(!finds.covers(IndexVersions { new: 3, oldest: 2 }));
    }
}
