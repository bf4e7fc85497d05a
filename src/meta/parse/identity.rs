//! Who an item is about: the names that Meta puts into a dozen differently called members.

use super::json::Value;
use crate::domain::person::{Identifier, Person, PhoneNumber};

/// Longer texts are no identifiers: `CC.ENT.` and 128 characters is the longest documented.
const LONGEST_ID: usize = 200;
/// Longer texts are no names. They stay in the envelope.
const LONGEST_NAME: usize = 1024;

/// What a member is meant to hold. A BSUID is recognised wherever it stands, because Meta also puts it into numbers.
#[derive(Clone, Copy)]
pub(super) enum Slot {
    Number,
    User,
    Parent,
    Handle,
}

/// Members of one object, and what they hold.
pub(super) type Slots = &'static [(&'static str, Slot)];

/// The person who wrote, clicked, changed a preference; also an entry of `contacts`.
pub(super) const SENDER: Slots = &[
    ("from", Slot::Number),
    ("wa_id", Slot::Number),
    ("from_user_id", Slot::User),
    ("user_id", Slot::User),
    ("from_parent_user_id", Slot::Parent),
    ("parent_user_id", Slot::Parent),
    ("username", Slot::Handle),
];
/// The person a call or an echo went to.
pub(super) const RECEIVER: Slots = &[
    ("to", Slot::Number),
    ("to_user_id", Slot::User),
    ("to_parent_user_id", Slot::Parent),
    ("recipient_id", Slot::Number),
    ("recipient_user_id", Slot::User),
    ("recipient_parent_user_id", Slot::Parent),
    // The name until May 2026.
    ("parent_recipient_user_id", Slot::Parent),
];
/// The member of a group whom a status of a group message concerns; `recipient_id` is the group then.
pub(super) const PARTICIPANT: Slots = &[
    ("recipient_participant_id", Slot::Number),
    ("recipient_participant_user_id", Slot::User),
    ("recipient_participant_parent_user_id", Slot::Parent),
];
/// A thread of a history synchronisation.
pub(super) const THREAD: Slots = &[
    ("id", Slot::Number),
    ("wa_id", Slot::Number),
    ("user_id", Slot::User),
    ("parent_user_id", Slot::Parent),
    ("username", Slot::Handle),
];
/// An address-book entry of the WhatsApp Business app.
pub(super) const ADDRESS: Slots = &[
    ("phone_number", Slot::Number),
    ("wa_id", Slot::Number),
    ("user_id", Slot::User),
    ("parent_user_id", Slot::Parent),
    ("username", Slot::Handle),
];

/// What is known of a person while an item is read.
#[derive(Default)]
pub(super) struct Who {
    pub(super) ids: Vec<Identifier>,
    pub(super) former: Vec<Identifier>,
    pub(super) name: Option<String>,
}

impl Who {
    /// Everybody that `slots` of `object` name.
    pub(super) fn of(object: Value<'_>, slots: Slots) -> Self {
        let mut who = Self::default();
        who.add(object, slots);
        who
    }

    /// An entry of `contacts`.
    pub(super) fn of_contact(contact: Value<'_>) -> Self {
        let mut who = Self::of(contact, SENDER);
        if let Some(profile) = contact.get("profile") {
            who.add(profile, &[("username", Slot::Handle)]);
            who.name = profile.get("name").and_then(name);
        }
        who
    }

    /// Adds what `slots` of `object` name.
    pub(super) fn add(&mut self, object: Value<'_>, slots: Slots) {
        let mut left = slots.len();
        for (key, value) in object.members() {
            if let Some(&(_, slot)) = slots.iter().find(|(name, _)| key.is(name)) {
                if let Some(id) = identify(slot, value) {
                    push(&mut self.ids, id);
                }
                left = left.saturating_sub(1);
            }
            if left == 0 {
                return;
            }
        }
    }

    /// Whether nothing says who it is. A username does not.
    pub(super) fn is_nobody(&self) -> bool {
        !self.ids.iter().chain(&self.former).any(Identifier::identifies)
    }

    /// Whether an entry of `contacts` describes this person, now or formerly.
    pub(super) fn matches(&self, contact: &Self) -> bool {
        let ids = || self.ids.iter().chain(&self.former);
        contact.ids.iter().filter(|id| id.identifies()).any(|id| ids().any(|own| same(own, id)))
    }

    /// Whether both have an identifier of one kind and none agree: two people, as far as one can see.
    fn contradicts(&self, contact: &Self) -> bool {
        let comparable =
            contact.ids.iter().any(|id| id.identifies() && self.ids.iter().any(|own| own.kind() == id.kind()));
        comparable && !self.matches(contact)
    }

    /// Takes over what an entry of `contacts` adds. Behind a change of number nothing but the name is sure.
    pub(super) fn adopt(&mut self, contact: &Self) {
        if self.contradicts(contact) {
            return;
        }
        if self.former.is_empty() {
            for id in &contact.ids {
                push(&mut self.ids, id.clone());
            }
        }
        self.name = self.name.take().or_else(|| contact.name.clone());
    }

    /// Moves to `former` what is not among `now`, and makes `now` current. Without anything new nothing moves.
    pub(super) fn become_now(&mut self, now: Self) {
        if now.ids.is_empty() {
            return;
        }
        let was = std::mem::replace(&mut self.ids, now.ids);
        for id in was {
            self.retire(id);
        }
    }

    /// Adds a former identifier, unless it is a current one.
    pub(super) fn retire(&mut self, id: Identifier) {
        if !self.ids.iter().any(|current| same(current, &id)) {
            push(&mut self.former, id);
        }
    }

    /// The person, when anything identifies them.
    pub(super) fn into_person(self) -> Option<Person> {
        Person::new(self.ids, self.former, self.name)
    }
}

/// A name that a person or their business gave them.
pub(super) fn name(value: Value<'_>) -> Option<String> {
    value.text().filter(|name| !name.trim().is_empty() && name.len() <= LONGEST_NAME).map(Into::into)
}

/// The identifier in a value. `None` for what is empty, absent or no identifier: the id of a group, say.
pub(super) fn identify(slot: Slot, value: Value<'_>) -> Option<Identifier> {
    let word = value.word()?;
    let text = word.trim();
    if text.is_empty() || text.len() > LONGEST_ID {
        return None;
    }
    match (slot, business_scoped(text)) {
        (Slot::Handle, _) => Some(Identifier::Username(text.to_owned())),
        (Slot::Parent, _) | (_, Some(Scope::Parent)) => Some(Identifier::ParentBsuid(text.to_owned())),
        (Slot::User, _) | (_, Some(Scope::Portfolio)) => Some(Identifier::Bsuid(text.to_owned())),
        (Slot::Number, None) => PhoneNumber::parse(text).map(Identifier::Phone),
    }
}

enum Scope {
    Portfolio,
    Parent,
}

/// Whether `text` has the form of a BSUID (`CC.` and up to 128 alphanumerics) or a parent's (`CC.ENT.…`).
fn business_scoped(text: &str) -> Option<Scope> {
    let (country, rest) = text.split_once('.')?;
    let (scope, id) = rest.strip_prefix("ENT.").map_or((Scope::Portfolio, rest), |id| (Scope::Parent, id));
    let country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_alphabetic());
    let id = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (country && id).then_some(scope)
}

/// Whether two identifiers are spellings of one.
pub(super) fn same(one: &Identifier, other: &Identifier) -> bool {
    one.kind() == other.kind() && (one == other || one.canonical() == other.canonical())
}

fn push(list: &mut Vec<Identifier>, id: Identifier) {
    if !list.iter().any(|known| same(known, &id)) {
        list.push(id);
    }
}
