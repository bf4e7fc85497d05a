//! Finds or makes the contact of a person. Known people cost one look into memory; unknown ones a few statements for the
//! whole batch, inside the transaction that stores what they said.

mod assign;
mod names;
mod rehash;
mod resolve;

use std::collections::HashSet;
use std::sync::Arc;

use quick_cache::sync::Cache;
use time::{Duration, OffsetDateTime};

use super::{Snapshot, profile};
use crate::clock::SharedClock;
use crate::domain::person::{Identifier, Person};
use crate::ids::{ContactId, TenantId};
use crate::keyring::{Keyring, KeyringError, TenantKeys};
use crate::store::StoreError;
use crate::store::contacts::IdentifierHash;
use crate::store::index_versions::IndexVersions;

pub use assign::Merge;
pub use rehash::{Rehash, Walked};

/// People remembered in memory; about 100 bytes each.
const REMEMBERED: usize = 50_000;
/// After this a contact is looked up again, because another process may have merged it.
const REMEMBERED_FOR: Duration = Duration::minutes(5);

/// Why a contact was not found or made.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The database.
    #[error("contacts could not be looked up")]
    Store(#[from] StoreError),
    /// The keys.
    #[error("a profile could not be sealed")]
    Keys(#[from] KeyringError),
}

/// A person with everything hashed that finds them: by the newest key that this process has. Hashes of before are beside it while there may
/// be some.
#[derive(Debug)]
pub struct Hashed<'p> {
    person: &'p Person,
    /// What says who they are.
    current: Vec<IdentifierHash>,
    /// What said so until now.
    former: Vec<IdentifierHash>,
    /// What may change hands.
    usernames: Vec<IdentifierHash>,
    /// Of name and identifiers, when the item shows the name.
    profile_mac: Option<[u8; 8]>,
    /// The same names by keys of before.
    older: Vec<Older>,
    /// What is found by all of them.
    finds: IndexVersions,
}

/// What a name was by the key of a version of before.
#[derive(Debug)]
struct Older {
    newest: IdentifierHash,
    version: i16,
    hash: [u8; 16],
}

/// What became of the people of a batch.
#[derive(Debug, Default)]
pub struct Resolved {
    /// One for each person, in their order.
    pub contacts: Vec<ContactId>,
    /// Contacts that turned out to be one person.
    pub merges: Vec<Merge>,
    remember: Vec<(IdentifierHash, Remembered)>,
    /// Identifiers that were given up.
    forget: Vec<IdentifierHash>,
}

impl Resolved {
    /// Whether a contact has just become one with somebody whose data are not used, which the settings do not know yet.
    #[must_use]
    pub fn joins_restricted(&self, snapshot: &Snapshot, tenant: TenantId, contact: ContactId) -> bool {
        let is_restricted =
            |gone| snapshot.is_restricted(tenant, gone) || self.joins_restricted(snapshot, tenant, gone);
        self.merges.iter().any(|merge| merge.kept == contact && is_restricted(merge.gone))
    }
}

#[derive(Debug, Clone, Copy)]
struct Remembered {
    contact: ContactId,
    profile_mac: Option<[u8; 8]>,
    since: OffsetDateTime,
}

/// The address book. Clones share its memory.
#[derive(Debug, Clone)]
pub struct Contacts {
    keyring: Keyring,
    clock: SharedClock,
    remembered: Arc<Cache<(TenantId, IdentifierHash), Remembered>>,
}

impl Contacts {
    /// An address book that remembers nobody yet.
    #[must_use]
    pub fn new(keyring: Keyring, clock: SharedClock) -> Self {
        Self { keyring, clock, remembered: Arc::new(Cache::new(REMEMBERED)) }
    }

    /// Hashes what finds a person.
    #[must_use]
    pub fn hash<'p>(keys: &TenantKeys, person: &'p Person) -> Hashed<'p> {
        let mut older = Vec::new();
        let mut hash = |identifier: &Identifier| {
            let (newest, before) = keys.identifiers.hash(identifier);
            let newest = (identifier.kind(), newest);
            older.extend(before.into_iter().map(|(version, hash)| Older { newest, version, hash }));
            newest
        };
        let (known, handles): (Vec<_>, Vec<_>) = person.identifiers.iter().partition(|one| one.identifies());
        let profile_mac = person.name.as_ref().map(|name| {
            // As they are written: the profile shows the spelling that Meta used last.
            let written = person.identifiers.iter().map(|one| profile::text_of(one).as_bytes());
            let parts: Vec<&[u8]> = std::iter::once(name.as_bytes()).chain(written).collect();
            keys.profiles.hash(&parts)
        });
        Hashed {
            person,
            current: known.into_iter().map(&mut hash).collect(),
            former: person.former.iter().filter(|one| one.identifies()).map(&mut hash).collect(),
            usernames: handles.into_iter().map(&mut hash).collect(),
            profile_mac,
            older,
            finds: keys.identifiers.finds(),
        }
    }

    /// The contact, when this process knows them and the item says nothing new of them.
    #[must_use]
    pub fn remembered(&self, tenant: TenantId, hashed: &Hashed<'_>) -> Option<ContactId> {
        if !hashed.former.is_empty() {
            return None;
        }
        let now = self.clock.now();
        let mut contact = None;
        for identifier in &hashed.current {
            let one = self.remembered.get(&(tenant, *identifier))?;
            let nothing_new = hashed.profile_mac.is_none() || hashed.profile_mac == one.profile_mac;
            let same_contact = contact.is_none_or(|contact| contact == one.contact);
            if !nothing_new || !same_contact || now - one.since > REMEMBERED_FOR {
                return None;
            }
            contact = Some(one.contact);
        }
        contact
    }

    /// The same for the people of a batch. What one of them gave up is looked up again for all of them.
    #[must_use]
    pub fn all_remembered(&self, tenant: TenantId, people: &[Option<&Hashed<'_>>]) -> Vec<Option<ContactId>> {
        let given_up: HashSet<IdentifierHash> = people.iter().flatten().flat_map(|one| &one.former).copied().collect();
        let is_sure = |person: &&Hashed<'_>| person.current.iter().all(|identifier| !given_up.contains(identifier));
        people.iter().map(|person| self.remembered(tenant, person.filter(is_sure)?)).collect()
    }

    /// Forgets these contacts, by whatever they are found.
    pub fn forget_contacts(&self, erased: &[ContactId]) {
        self.remembered.retain(|_, one| !erased.contains(&one.contact));
    }

    /// To be called when the transaction of a resolution has committed, and never before.
    pub fn remember(&self, tenant: TenantId, resolved: &Resolved) {
        for (identifier, remembered) in &resolved.remember {
            self.remembered.insert((tenant, *identifier), *remembered);
        }
        // Last: an item before in the batch may still have shown what a later one gave up.
        for identifier in &resolved.forget {
            self.remembered.remove(&(tenant, *identifier));
        }
        if !resolved.merges.is_empty() {
            self.remembered.retain(|_, one| resolved.merges.iter().all(|merge| merge.gone != one.contact));
        }
    }
}
