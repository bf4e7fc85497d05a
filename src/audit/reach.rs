//! How far a breach went: by action, by class of data, and by endpoint.

use super::classes::DataClass;
use super::recorder::Audit;
use crate::ids::{AuditEntryId, TenantId};
use crate::store::StoreError;
use crate::store::audit_reach::SentRow;
use crate::store::audit_scope::{ActionRow, Scope, ScopeSums};

/// What was reached, by everything or by one action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionSum {
    /// As in the entries.
    pub action: String,
    /// What was reached by it.
    pub sum: Sum,
}

/// Entries, and whom they are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    /// How many entries.
    pub entries: i64,
    /// How many people they are about, each counted once.
    pub contacts: i64,
    /// The first entry.
    pub first: AuditEntryId,
    /// The last.
    pub last: AuditEntryId,
}

/// What was reached of a class of data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassSum {
    /// The class.
    pub class: DataClass,
    /// How many entries show it.
    pub entries: i64,
    /// How many people they are about, each counted once; sums of deliveries name nobody.
    pub contacts: i64,
}

/// What was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Altogether. `None`: there is no entry.
    pub all: Option<Sum>,
    /// By each action, in the order of their names.
    pub actions: Vec<ActionSum>,
    /// Of each class of data that some entry shows.
    pub classes: Vec<ClassSum>,
}

impl Reached {
    fn of(sums: &ScopeSums) -> Self {
        let all: Vec<&ActionRow> = sums.actions.iter().collect();
        let action = |row: &ActionRow| Some(ActionSum { action: row.action.clone(), sum: sum(&[row], sums)? });
        let class = |class: DataClass| {
            let of: Vec<&ActionRow> =
                all.iter().copied().filter(|row| DataClass::of(&row.action) == Some(class)).collect();
            let Sum { entries, contacts, .. } = sum(&of, sums)?;
            Some(ClassSum { class, entries, contacts })
        };
        Self {
            all: sum(&all, sums),
            actions: sums.actions.iter().filter_map(action).collect(),
            classes: DataClass::ALL.into_iter().filter_map(class).collect(),
        }
    }
}

/// Of these actions together; people whom several of them reached are counted once.
fn sum(of: &[&ActionRow], sums: &ScopeSums) -> Option<Sum> {
    let bits = of.iter().fold(0, |bits, row| bits | row.bit);
    Some(Sum {
        entries: of.iter().map(|row| row.entries).sum(),
        contacts: sums.people.iter().filter(|row| row.actions & bits != 0).map(|row| row.people).sum(),
        first: of.iter().map(|row| row.first).min()?,
        last: of.iter().map(|row| row.last).max()?,
    })
}

impl Audit {
    /// Sums over the entries of that time.
    pub async fn scope(&self, tenant: TenantId, scope: Scope) -> Result<Reached, StoreError> {
        Ok(Reached::of(&self.inner.store.audit_scope(tenant, scope).await?))
    }

    /// What each endpoint was sent in that time, by whoever's doing.
    pub async fn scope_endpoints(&self, tenant: TenantId, scope: Scope) -> Result<Vec<SentRow>, StoreError> {
        self.inner.store.audit_scope_endpoints(tenant, scope).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Action;
    use crate::store::audit_scope::{ACTIONS_AT_MOST, PeopleRow};
    use time::macros::datetime;

    #[test]
    fn every_action_has_a_bit() {
        assert!(i64::try_from(Action::ALL.len()).unwrap() <= ACTIONS_AT_MOST);
    }

    #[test]
    fn people_whom_several_actions_of_a_class_reached_count_once() {
        let at = AuditEntryId::lowest_of(datetime!(2026-11-24 0:00 UTC));
        let row = |action: &str, entries, place: u32| ActionRow {
            action: action.to_owned(),
            entries,
            first: at,
            last: at,
            bit: 1 << place,
        };
        let (events, messages, contacts, other) = (0, 1, 62, 63);
        let people = |places: &[u32], people| PeopleRow {
            actions: places.iter().fold(0, |bits, place| bits | 1 << place),
            people,
        };
        let sums = ScopeSums {
            actions: vec![
                row("contacts.read", 3, contacts),
                row("events.read", 4, events),
                row("messages.read", 5, messages),
                row("of.another.release", 6, other),
            ],
            people: vec![people(&[events], 10), people(&[events, messages], 20), people(&[contacts, other], 40)],
        };
        let reached = Reached::of(&sums);
        let all = reached.all.unwrap();
        assert_eq!((all.entries, all.contacts), (18, 70));
        let each: Vec<i64> = reached.actions.iter().map(|one| one.sum.contacts).collect();
        assert_eq!(each, [40, 30, 20, 40]);
        let classes: Vec<_> = reached.classes.iter().map(|one| (one.class, one.entries, one.contacts)).collect();
        assert_eq!(classes, [(DataClass::Content, 9, 30), (DataClass::Profile, 3, 40)]);
        assert_eq!(Reached::of(&ScopeSums::default()).all, None);
    }
}
