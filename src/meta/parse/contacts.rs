//! Whose is which entry of `contacts`. A batch may hold many people: nobody's item may carry another's name or number.

use std::collections::HashMap;

use super::cut::Leaf;
use super::identity::Who;
use super::json::Value;
use crate::domain::person::Identifier;

/// Gives every leaf the entries of the list `contacts` that belong to it, and what they say of its person. Returns the
/// entries that belong to none.
///
/// A lone entry belongs to a lone item whatever it says, and to items that name nobody: Meta leaves identifiers out of
/// an item that the entry has.
pub(super) fn share<'d>(leaves: &mut [Leaf<'d>], contacts: Value<'d>) -> Vec<Value<'d>> {
    let entries: Vec<_> = contacts.elements().map(|entry| (entry, Who::of_contact(entry))).collect();
    let mut taken = vec![false; entries.len()];
    let lone_item = leaves.len() == 1;
    let directory = (entries.len() > 1).then(|| Directory::of(&entries));
    for leaf in leaves {
        let mine = match (&directory, entries.first()) {
            (Some(directory), _) => directory.entries_of(&leaf.facts.who),
            (None, Some((_, entry))) if lone_item || leaf.facts.who.is_nobody() || leaf.facts.who.matches(entry) => {
                vec![0]
            }
            (None, _) => Vec::new(),
        };
        for at in mine {
            if let (Some((entry, who)), Some(taken)) = (entries.get(at), taken.get_mut(at)) {
                leaf.contacts.push(*entry);
                leaf.facts.who.adopt(who);
                *taken = true;
            }
        }
    }
    entries.iter().zip(taken).filter(|(_, taken)| !taken).map(|((entry, _), _)| *entry).collect()
}

/// Entries by identifier, so that a thousand items and a thousand entries are not a million comparisons.
struct Directory(HashMap<(i16, String), Vec<usize>>);

impl Directory {
    fn of(entries: &[(Value<'_>, Who)]) -> Self {
        let mut directory: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, (_, who)) in entries.iter().enumerate() {
            for id in who.ids.iter().filter(|id| id.identifies()) {
                directory.entry(key(id)).or_default().push(at);
            }
        }
        Self(directory)
    }

    fn entries_of(&self, who: &Who) -> Vec<usize> {
        let ids = who.ids.iter().chain(&who.former).filter(|id| id.identifies());
        let mut found: Vec<_> = ids.filter_map(|id| self.0.get(&key(id))).flatten().copied().collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn key(id: &Identifier) -> (i16, String) {
    (id.kind(), id.canonical())
}
