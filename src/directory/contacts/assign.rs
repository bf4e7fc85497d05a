//! Decides who is who, from what is known. Pure: the statements are in `resolve`.
//!
//! A business-scoped user id says more than a phone number, because numbers are given to new owners. So the id wins, a
//! number that belonged to a contact with another id changes hands, and two contacts become one only when one item names
//! both and the second has no id of its own.

use std::collections::{HashMap, HashSet};

use time::OffsetDateTime;

use super::Hashed;
use crate::ids::ContactId;
use crate::store::contacts::IdentifierHash;

const PHONE: i16 = 1;
const BSUID: i16 = 2;

/// Two contacts that turned out to be one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merge {
    /// Is now part of the other.
    pub gone: ContactId,
    /// Is both from now on.
    pub kept: ContactId,
}

/// Whose identifiers these are, and who has a user id.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) owners: HashMap<IdentifierHash, ContactId>,
    pub(super) with_bsuid: HashSet<ContactId>,
}

/// What must be written so that the decision is true.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The contact of each person.
    pub(super) contacts: Vec<ContactId>,
    /// Contacts that do not exist yet.
    pub(super) new: HashSet<ContactId>,
    /// Free identifiers.
    pub(super) claims: Vec<(IdentifierHash, ContactId)>,
    /// Identifiers that change hands.
    pub(super) reassign: Vec<(IdentifierHash, ContactId)>,
    /// Identifiers that were given up.
    pub(super) release: Vec<(IdentifierHash, ContactId)>,
    /// Contacts that become one.
    pub(super) merges: Vec<Merge>,
}

/// Decides for all people of a batch, in order: what one item says is known to the next.
pub(super) fn assign(people: &[Hashed<'_>], mut known: Known, now: OffsetDateTime) -> Plan {
    let mut plan = Plan::default();
    for person in people {
        let contact = choose(person, &known).unwrap_or_else(|| {
            let contact = ContactId::new(now);
            plan.new.insert(contact);
            contact
        });
        let contact = settle_identifiers(person, contact, &mut known, &mut plan);
        plan.contacts.push(contact);
    }
    // A later item may have merged a contact that an earlier one was given.
    for merge in &plan.merges {
        plan.contacts.iter_mut().filter(|contact| **contact == merge.gone).for_each(|contact| *contact = merge.kept);
    }
    plan
}

fn choose(person: &Hashed<'_>, known: &Known) -> Option<ContactId> {
    let owner = |identifier: &IdentifierHash| known.owners.get(identifier).copied();
    let by_id = person.current.iter().filter(|(kind, _)| *kind != PHONE).find_map(owner);
    let by_former = person.former.iter().find_map(owner);
    let has_id = person.current.iter().any(|(kind, _)| *kind == BSUID);
    let by_phone = person
        .current
        .iter()
        .filter(|(kind, _)| *kind == PHONE)
        .find_map(owner)
        .filter(|contact| !(has_id && known.with_bsuid.contains(contact)));
    by_id.or(by_former).or(by_phone)
}

fn settle_identifiers(person: &Hashed<'_>, contact: ContactId, known: &mut Known, plan: &mut Plan) -> ContactId {
    let mut contact = contact;
    for identifier in &person.current {
        match known.owners.get(identifier).copied() {
            None => take(*identifier, contact, plan),
            Some(owner) if owner == contact => {}
            Some(other) if may_merge(person, identifier, other, known) => {
                // The older one is kept: applications know it longer.
                let merge = Merge { gone: contact.max(other), kept: contact.min(other) };
                known.owners.values_mut().filter(|owner| **owner == merge.gone).for_each(|owner| *owner = merge.kept);
                plan.claims
                    .iter_mut()
                    .filter(|(_, owner)| *owner == merge.gone)
                    .for_each(|(_, owner)| *owner = merge.kept);
                plan.new.remove(&merge.gone);
                plan.merges.push(merge);
                contact = merge.kept;
            }
            Some(_) => plan.reassign.push((*identifier, contact)),
        }
        known.owners.insert(*identifier, contact);
        if identifier.0 == BSUID {
            known.with_bsuid.insert(contact);
        }
    }
    let given_up = person.former.iter().filter(|former| !person.current.contains(former));
    for identifier in given_up.filter(|former| known.owners.get(former) == Some(&contact)).copied().collect::<Vec<_>>()
    {
        known.owners.remove(&identifier);
        plan.release.push((identifier, contact));
    }
    plan.reassign.extend(person.usernames.iter().map(|username| (*username, contact)));
    contact
}

/// Gives a contact an identifier that nobody has. What an item before in the batch gave up is still somebody's in the
/// database, where a claim would never be won.
fn take(identifier: IdentifierHash, contact: ContactId, plan: &mut Plan) {
    let released = plan.release.len();
    plan.release.retain(|(given_up, _)| *given_up != identifier);
    let was_given_up = plan.release.len() < released;
    let changes = if was_given_up { &mut plan.reassign } else { &mut plan.claims };
    changes.push((identifier, contact));
}

fn may_merge(person: &Hashed<'_>, identifier: &IdentifierHash, other: ContactId, known: &Known) -> bool {
    identifier.0 == PHONE && person.former.is_empty() && !known.with_bsuid.contains(&other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::person::Person;
    use crate::store::index_versions::IndexVersions;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn id(kind: i16, value: u8) -> IdentifierHash {
        (kind, [value; 16])
    }

    fn somebody() -> Person {
        Person { identifiers: vec![], former: vec![], name: None }
    }

    fn hashed<'p>(person: &'p Person, current: &[IdentifierHash], former: &[IdentifierHash]) -> Hashed<'p> {
        let (current, former, finds) = (current.to_vec(), former.to_vec(), IndexVersions { new: 1, oldest: 1 });
        Hashed { person, current, former, usernames: vec![], profile_mac: None, older: vec![], finds }
    }

    fn known(owners: &[(IdentifierHash, ContactId)]) -> Known {
        let with_bsuid = owners.iter().filter(|((kind, _), _)| *kind == BSUID).map(|(_, contact)| *contact).collect();
        Known { owners: owners.iter().copied().collect(), with_bsuid }
    }

    #[test]
    fn an_unknown_person_becomes_one_new_contact_for_all_items_of_the_batch() {
        let person = somebody();
        let people = [
            hashed(&person, &[id(1, 1), id(2, 1)], &[]),
            hashed(&person, &[id(2, 1)], &[]),
            hashed(&person, &[id(1, 1)], &[]),
        ];
        let plan = assign(&people, Known::default(), NOW);
        assert!(plan.contacts.iter().all(|contact| *contact == plan.contacts[0]));
        assert_eq!((plan.new.len(), plan.claims.len(), plan.merges.len()), (1, 2, 0));
    }

    #[test]
    fn a_number_and_an_id_of_two_contacts_make_them_one_and_the_older_is_kept() {
        let (person, old, young) = (somebody(), ContactId::new(NOW), ContactId::new(NOW));
        let before = known(&[(id(1, 1), old), (id(2, 1), young)]);
        let plan = assign(&[hashed(&person, &[id(1, 1), id(2, 1)], &[])], before, NOW);
        assert_eq!(plan.merges, [Merge { gone: young, kept: old }]);
        assert_eq!(plan.contacts, [old]);
    }

    #[test]
    fn a_number_that_was_given_to_a_new_owner_does_not_hand_over_the_old_ones_history() {
        let (person, before) = (somebody(), ContactId::new(NOW));
        let owners = known(&[(id(1, 1), before), (id(2, 1), before)]);
        let plan = assign(&[hashed(&person, &[id(1, 1), id(2, 2)], &[])], owners, NOW);
        assert_ne!(plan.contacts, [before]);
        assert!(plan.merges.is_empty());
        assert_eq!(plan.reassign, [(id(1, 1), plan.contacts[0])]);
    }

    #[test]
    fn a_changed_number_stays_with_the_person_and_the_old_one_is_released() {
        let (person, contact) = (somebody(), ContactId::new(NOW));
        let plan = assign(&[hashed(&person, &[id(1, 2)], &[id(1, 1)])], known(&[(id(1, 1), contact)]), NOW);
        assert_eq!(plan.contacts, [contact]);
        assert_eq!(plan.claims, [(id(1, 2), contact)]);
        assert_eq!(plan.release, [(id(1, 1), contact)]);
    }

    #[test]
    fn a_number_that_is_given_up_and_taken_in_one_batch_changes_hands() {
        let (person, before) = (somebody(), ContactId::new(NOW));
        let moved = hashed(&person, &[id(1, 2)], &[id(1, 1)]);
        let plan = assign(&[moved, hashed(&person, &[id(1, 1)], &[])], known(&[(id(1, 1), before)]), NOW);
        let next = plan.contacts[1];
        assert_ne!(next, before);
        assert_eq!(plan.claims, [(id(1, 2), before)]);
        assert_eq!((plan.reassign, plan.release), (vec![(id(1, 1), next)], vec![]));
    }

    #[test]
    fn a_changed_id_stays_with_the_person() {
        let (person, contact) = (somebody(), ContactId::new(NOW));
        let before = known(&[(id(1, 1), contact), (id(2, 1), contact)]);
        let plan = assign(&[hashed(&person, &[id(2, 2)], &[id(2, 1)])], before, NOW);
        assert_eq!((plan.contacts, plan.claims), (vec![contact], vec![(id(2, 2), contact)]));
    }
}
