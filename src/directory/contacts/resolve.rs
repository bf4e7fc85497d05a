//! Writes what `assign` decided, and starts over when another process was faster.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::assign::{Known, Plan, assign};
use super::names::Names;
use super::{Contacts, Hashed, Remembered, ResolveError, Resolved};
use crate::crypto::envelope::Sealed;
use crate::directory::profile::Profile;
use crate::domain::person::Identifier;
use crate::ids::{ContactId, TenantId};
use crate::keyring::{DekName, KeyringError};
use crate::store::contacts::{self, ContactRow, IdentifierHash, NewContact};
use crate::store::index_versions::{self, IndexVersions};
use crate::store::{Connection, Store, StoreError};

/// Each round another process must have won a claim against us, so more than a few say that something else is wrong.
const ROUNDS: usize = 5;

impl Contacts {
    /// Finds or makes the contacts of these people. Runs inside the caller's transaction; nothing of it may be used
    /// before that commits.
    pub async fn resolve(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        people: &[Hashed<'_>],
    ) -> Result<Resolved, ResolveError> {
        // Before anybody is looked up: from here on nobody goes over to another version before this transaction is over.
        let versions = index_versions::hold(connection, tenant).await?;
        let again = self.hashed_again(tenant, &people.iter().collect::<Vec<_>>(), versions).await?;
        let people = again.as_deref().unwrap_or(people);
        let names = Names::of(people.iter());
        for _ in 0..ROUNDS {
            let known = look_up(connection, tenant, people, &names).await?;
            let plan = assign(people, known, self.clock.now());
            let claims = names.claims(versions.new, &plan.claims);
            let won = contacts::claim_identifiers(connection, tenant, versions.new, &claims).await?;
            if won.len() == claims.len() {
                self.write(connection, tenant, people, (&plan, &names, versions.new)).await?;
                return Ok(self.resolved(people, plan, &names));
            }
        }
        Err(ResolveError::Store(StoreError::Unavailable))
    }

    /// The same people by the keys of now, where these do not find them: another process stepped the version, and this one did not hear of it
    /// yet.
    async fn hashed_again<'p>(
        &self,
        tenant: TenantId,
        people: &[&Hashed<'p>],
        versions: IndexVersions,
    ) -> Result<Option<Vec<Hashed<'p>>>, KeyringError> {
        if people.iter().all(|person| person.finds.covers(versions)) {
            return Ok(None);
        }
        let keys = Box::pin(self.keyring.tenant_finding(tenant, versions)).await?;
        Ok(Some(people.iter().map(|one| Self::hash(&keys, one.person)).collect()))
    }

    /// Whose the identifiers of these people are, for each in their order.
    async fn owners_of(
        &self,
        store: &Store,
        tenant: TenantId,
        people: &[&Hashed<'_>],
    ) -> Result<Vec<Vec<ContactId>>, ResolveError> {
        let mut connection = store.connection().await?;
        let found = owners_of_each(&mut connection, tenant, people).await?;
        // Behind the look, because hashes go forward: what is stored by these versions now was stored by one of them then.
        let versions = index_versions::find(&mut connection, tenant).await?;
        drop(connection);
        let Some(again) = self.hashed_again(tenant, people, versions).await? else { return Ok(found) };
        let people: Vec<&Hashed<'_>> = again.iter().collect();
        Ok(owners_of_each(&mut store.connection().await?, tenant, &people).await?)
    }

    /// The contact who is called this, a username included.
    pub async fn find(
        &self,
        store: &Store,
        tenant: TenantId,
        identifier: &Identifier,
    ) -> Result<Option<ContactId>, ResolveError> {
        let mut keys = self.keyring.tenant(tenant).await?;
        loop {
            let (newest, before) = keys.identifiers.hash(identifier);
            let hashes = before.into_iter().map(|(_, hash)| hash).chain([newest]);
            let names: Vec<IdentifierHash> = hashes.map(|hash| (identifier.kind(), hash)).collect();
            let mut connection = store.connection().await?;
            let found = contacts::find_identifiers(&mut connection, tenant, &names).await?;
            let versions = index_versions::find(&mut connection, tenant).await?;
            drop(connection);
            if keys.identifiers.finds().covers(versions) {
                return Ok(found.first().map(|(_, contact)| *contact));
            }
            keys = self.keyring.tenant_finding(tenant, versions).await?;
        }
    }

    /// The contacts of these people, in their order, as far as there are any already.
    pub async fn known(
        &self,
        store: &Store,
        tenant: TenantId,
        people: &[Hashed<'_>],
    ) -> Result<Vec<Option<ContactId>>, ResolveError> {
        let mut known: Vec<_> = people.iter().map(|person| self.remembered(tenant, person)).collect();
        let unknown = people.iter().zip(&known).filter(|(_, contact)| contact.is_none());
        let unknown: Vec<&Hashed<'_>> = unknown.map(|(person, _)| person).collect();
        if !unknown.is_empty() {
            let owners = self.owners_of(store, tenant, &unknown).await?;
            for (contact, owners) in known.iter_mut().filter(|contact| contact.is_none()).zip(owners) {
                *contact = owners.first().copied();
            }
        }
        Ok(known)
    }

    /// Lets go of those among these people who were erased: this process forgets them, and where the database was restored from a copy
    /// of before, it forgets them again. Whoever writes then is somebody new.
    pub async fn let_go(&self, store: &Store, tenant: TenantId, people: &[Hashed<'_>]) -> Result<(), ResolveError> {
        for name in people.iter().flat_map(|person| &person.current) {
            self.remembered.remove(&(tenant, *name));
        }
        let people: Vec<&Hashed<'_>> = people.iter().collect();
        let owners: Vec<ContactId> = self.owners_of(store, tenant, &people).await?.into_iter().flatten().collect();
        let forgotten = self.keyring.forgotten_among(tenant, &owners).await?;
        let forgotten: Vec<Uuid> = forgotten.into_iter().map(|(contact, _)| contact.uuid()).collect();
        if !forgotten.is_empty() {
            tracing::warn!(
                contacts = forgotten.len(),
                "people are stored who were erased before; they are let go again"
            );
            store.fence_again(tenant, &forgotten, self.clock.now()).await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        people: &[Hashed<'_>],
        (plan, names, version): (&Plan, &Names, i16),
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        for (name, contact) in &plan.reassign {
            contacts::reassign_identifier(connection, tenant, &names.name(version, *name), *contact).await?;
        }
        for (name, contact) in &plan.release {
            contacts::release_identifier(connection, tenant, &names.name(version, *name), *contact).await?;
        }
        for merge in &plan.merges {
            contacts::merge(connection, tenant, merge.gone, merge.kept, now).await?;
        }
        let profiles = self.profiles(connection, tenant, people, plan).await?;
        if !profiles.is_empty() {
            contacts::upsert_contacts(connection, tenant, &profiles, now).await?;
        }
        Ok(())
    }

    /// The profiles that these people change, in the order of their contacts.
    async fn profiles(
        &self,
        connection: &mut Connection,
        tenant: TenantId,
        people: &[Hashed<'_>],
        plan: &Plan,
    ) -> Result<Vec<NewContact>, ResolveError> {
        let ids: HashSet<Uuid> = plan.contacts.iter().map(|contact| contact.uuid()).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let rows = contacts::find_contacts(connection, tenant, &ids).await?;
        let stored: HashMap<Uuid, ContactRow> = rows.into_iter().map(|row| (row.contact_id, row)).collect();
        let named = |contact: &ContactId| DekName::profile(tenant, *contact);
        let keys = self.keyring.for_sealing(tenant, plan.contacts.iter().map(named)).await?;
        let touched: HashSet<ContactId> =
            plan.claims.iter().chain(&plan.reassign).chain(&plan.release).map(|(_, contact)| *contact).collect();
        let mut changed: HashMap<ContactId, (Profile, Option<[u8; 8]>)> = HashMap::new();
        for (person, contact) in people.iter().zip(&plan.contacts) {
            let row = stored.get(&contact.uuid());
            let same = row.is_some_and(|row| {
                person.profile_mac.is_none_or(|mac| row.profile_mac == mac) && !touched.contains(contact)
            });
            if same && !changed.contains_key(contact) {
                continue;
            }
            let Some(key) = keys.get(&named(contact)) else { continue };
            let (profile, mac) = changed.remove(contact).unwrap_or_else(|| {
                let opened = row.and_then(|row| {
                    Profile::open(key, tenant, row.contact_id, &Sealed::from_stored(row.profile.clone()))
                });
                let mac = row.and_then(|row| <[u8; 8]>::try_from(row.profile_mac.as_slice()).ok());
                (opened.unwrap_or_default(), mac)
            });
            changed.insert(*contact, (profile.overlaid(person.person), person.profile_mac.or(mac)));
        }
        let mut profiles: Vec<NewContact> = changed
            .into_iter()
            .filter_map(|(contact, (profile, mac))| {
                let sealed = profile.seal(keys.get(&named(&contact))?, tenant, contact);
                Some(NewContact { contact, profile: sealed, profile_mac: mac.unwrap_or_default() })
            })
            .collect();
        profiles.sort_unstable_by_key(|profile| profile.contact);
        Ok(profiles)
    }

    fn resolved(&self, people: &[Hashed<'_>], plan: Plan, names: &Names) -> Resolved {
        let since = self.clock.now();
        let remember = people.iter().zip(&plan.contacts).flat_map(|(person, contact)| {
            let remembered = Remembered { contact: *contact, profile_mac: person.profile_mac, since };
            person.current.iter().map(move |identifier| (*identifier, remembered))
        });
        let forget = plan.release.iter().flat_map(|(name, _)| names.every(*name)).collect();
        Resolved { remember: remember.collect(), forget, merges: plan.merges, contacts: plan.contacts }
    }
}

async fn owners_of_each(
    connection: &mut Connection,
    tenant: TenantId,
    people: &[&Hashed<'_>],
) -> Result<Vec<Vec<ContactId>>, StoreError> {
    let current = people.iter().flat_map(|person| &person.current).copied().collect();
    let found = owners(connection, tenant, &current, &Names::of(people.iter().copied())).await?;
    let of = |person: &&Hashed<'_>| person.current.iter().filter_map(|name| found.get(name)).copied().collect();
    Ok(people.iter().map(of).collect())
}

async fn look_up(
    connection: &mut Connection,
    tenant: TenantId,
    people: &[Hashed<'_>],
    names: &Names,
) -> Result<Known, StoreError> {
    let named = people.iter().flat_map(|person| person.current.iter().chain(&person.former)).copied().collect();
    let owners = owners(connection, tenant, &named, names).await?;
    let ids: HashSet<Uuid> = owners.values().map(|contact| contact.uuid()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let with_bsuid = contacts::with_bsuid(connection, tenant, &ids).await?.into_iter().collect();
    Ok(Known { owners, with_bsuid })
}

/// Whose these names are, by their newest hashes.
async fn owners(
    connection: &mut Connection,
    tenant: TenantId,
    named: &HashSet<IdentifierHash>,
    names: &Names,
) -> Result<HashMap<IdentifierHash, ContactId>, StoreError> {
    let all: Vec<IdentifierHash> = named.iter().flat_map(|name| names.every(*name)).collect();
    let found = contacts::find_identifiers(connection, tenant, &all).await?;
    Ok(found.into_iter().map(|(name, contact)| (names.newest(name), contact)).collect())
}
