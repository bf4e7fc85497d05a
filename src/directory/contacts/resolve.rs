//! Writes what `assign` decided, and starts over when another process was faster.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::assign::{Known, Plan, assign};
use super::{Contacts, Hashed, Remembered, ResolveError, Resolved};
use crate::crypto::envelope::Sealed;
use crate::directory::profile::Profile;
use crate::ids::{ContactId, TenantId};
use crate::keyring::DekName;
use crate::store::contacts::{self, ContactRow, IdentifierHash, NewContact};
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
        for _ in 0..ROUNDS {
            let known = look_up(connection, tenant, people).await?;
            let mut plan = assign(people, known, self.clock.now());
            // In one order everywhere, so that two batches cannot wait for each other.
            plan.claims.sort_unstable();
            let won = contacts::claim_identifiers(connection, tenant, &plan.claims).await?;
            if won.len() == plan.claims.len() {
                self.write(connection, tenant, people, &plan).await?;
                return Ok(self.resolved(people, plan));
            }
        }
        Err(ResolveError::Store(StoreError::Unavailable))
    }

    /// The contacts of these people, in their order, as far as there are any already.
    pub async fn known(
        &self,
        store: &Store,
        tenant: TenantId,
        people: &[Hashed<'_>],
    ) -> Result<Vec<Option<ContactId>>, StoreError> {
        let mut known: Vec<_> = people.iter().map(|person| self.remembered(tenant, person)).collect();
        let unknown = people.iter().zip(&known).filter(|(_, contact)| contact.is_none());
        let unknown: Vec<IdentifierHash> = unknown.flat_map(|(person, _)| &person.current).copied().collect();
        if !unknown.is_empty() {
            let owners = contacts::find_identifiers(&mut store.connection().await?, tenant, &unknown).await?;
            let owners: HashMap<_, _> = owners.into_iter().collect();
            for (contact, person) in known.iter_mut().zip(people).filter(|(contact, _)| contact.is_none()) {
                *contact = person.current.iter().find_map(|identifier| owners.get(identifier)).copied();
            }
        }
        Ok(known)
    }

    /// Lets go of those among these people who were erased: this process forgets them, and where the database was restored from a copy
    /// of before, it forgets them again. Whoever writes then is somebody new.
    pub async fn let_go(&self, store: &Store, tenant: TenantId, people: &[Hashed<'_>]) -> Result<(), ResolveError> {
        let names: Vec<IdentifierHash> = people.iter().flat_map(|person| &person.current).copied().collect();
        for name in &names {
            self.remembered.remove(&(tenant, *name));
        }
        let owners = contacts::find_identifiers(&mut store.connection().await?, tenant, &names).await?;
        let owners: Vec<ContactId> = owners.into_iter().map(|(_, contact)| contact).collect();
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
        plan: &Plan,
    ) -> Result<(), ResolveError> {
        let now = self.clock.now();
        for (identifier, contact) in &plan.reassign {
            contacts::reassign_identifier(connection, tenant, *identifier, *contact).await?;
        }
        for (identifier, contact) in &plan.release {
            contacts::release_identifier(connection, tenant, *identifier, *contact).await?;
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

    fn resolved(&self, people: &[Hashed<'_>], plan: Plan) -> Resolved {
        let since = self.clock.now();
        let remember = people.iter().zip(&plan.contacts).flat_map(|(person, contact)| {
            let remembered = Remembered { contact: *contact, profile_mac: person.profile_mac, since };
            person.current.iter().map(move |identifier| (*identifier, remembered))
        });
        let forget = plan.release.iter().map(|(identifier, _)| *identifier).collect();
        Resolved { remember: remember.collect(), forget, merges: plan.merges, contacts: plan.contacts }
    }
}

async fn look_up(connection: &mut Connection, tenant: TenantId, people: &[Hashed<'_>]) -> Result<Known, StoreError> {
    let all: HashSet<IdentifierHash> =
        people.iter().flat_map(|person| person.current.iter().chain(&person.former)).copied().collect();
    let all: Vec<IdentifierHash> = all.into_iter().collect();
    let owners: HashMap<_, _> = contacts::find_identifiers(connection, tenant, &all).await?.into_iter().collect();
    let ids: HashSet<Uuid> = owners.values().map(|contact| contact.uuid()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let with_bsuid = contacts::with_bsuid(connection, tenant, &ids).await?.into_iter().collect();
    Ok(Known { owners, with_bsuid })
}
