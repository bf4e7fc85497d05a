//! What finds the people of a batch, by every hash that may be stored. They are told apart by the newest; the statements are given all, and
//! what is new is written by the version in force, which may be the one before.

use std::collections::HashMap;

use super::Hashed;
use crate::ids::ContactId;
use crate::store::contacts::{IdentifierHash, Name};

/// Other hashes of the same names. Empty but for the time of a rotation.
pub(super) struct Names {
    older: HashMap<IdentifierHash, Vec<(i16, [u8; 16])>>,
    newest: HashMap<IdentifierHash, IdentifierHash>,
}

impl Names {
    pub(super) fn of<'h>(people: impl Iterator<Item = &'h Hashed<'h>>) -> Self {
        let (mut older, mut newest) = (HashMap::<_, Vec<_>>::new(), HashMap::new());
        for one in people.flat_map(|person| &person.older) {
            // The same person may be there several times.
            if newest.insert((one.newest.0, one.hash), one.newest).is_none() {
                older.entry(one.newest).or_default().push((one.version, one.hash));
            }
        }
        Self { older, newest }
    }

    /// Every hash that this name may be stored by.
    pub(super) fn every(&self, name: IdentifierHash) -> impl Iterator<Item = IdentifierHash> {
        let older = self.older.get(&name).into_iter().flatten();
        std::iter::once(name).chain(older.map(move |(_, hash)| (name.0, *hash)))
    }

    /// The hash by which the name is told apart that is stored by this one.
    pub(super) fn newest(&self, stored: IdentifierHash) -> IdentifierHash {
        self.newest.get(&stored).copied().unwrap_or(stored)
    }

    /// The hash by this version; the newest where it is that.
    pub(super) fn by(&self, version: i16, name: IdentifierHash) -> IdentifierHash {
        let older = self.older.get(&name).into_iter().flatten();
        let mut by_version = older.filter(|(of, _)| *of == version).map(|(_, hash)| (name.0, *hash));
        by_version.next().unwrap_or(name)
    }

    /// What is claimed, as it is written by this version. In one order everywhere, so that two batches cannot wait for each other.
    pub(super) fn claims(
        &self,
        version: i16,
        claims: &[(IdentifierHash, ContactId)],
    ) -> Vec<(IdentifierHash, ContactId)> {
        let mut written: Vec<_> = claims.iter().map(|(name, contact)| (self.by(version, *name), *contact)).collect();
        written.sort_unstable();
        written
    }

    /// A name as the statements want it that change one alone.
    pub(super) fn name(&self, version: i16, name: IdentifierHash) -> Name {
        let every = self.every(name).map(|(_, hash)| hash).collect();
        Name { kind: name.0, version, hash: self.by(version, name).1, every }
    }
}
