//! Cuts a webhook into its items: every element of every list of every change of every entry, once each. What has
//! another form than documented becomes an item too, at the innermost place that holds all of it.

use super::contacts;
use super::facts::{self, Facts, Kind};
use super::json::Value;
use super::trail::{Field, Trail};

/// One item, still in its place.
pub(super) struct Leaf<'d> {
    pub(super) trail: Trail<'d>,
    /// `None` for the entries of `contacts` that belong to no item: they form one themselves.
    pub(super) item: Option<Value<'d>>,
    pub(super) facts: Facts<'d>,
    /// The entries of shared `contacts` that belong to this item.
    pub(super) contacts: Vec<Value<'d>>,
}

/// All items of a webhook.
#[derive(Default)]
pub(super) struct Cut<'d> {
    pub(super) leaves: Vec<Leaf<'d>>,
    /// Places that were taken apart. Of those, an item's envelope holds nothing but the way to the item.
    opened: Vec<u32>,
    /// Places of `contacts` lists. Of those, an item's envelope holds what belongs to the item's person.
    shared: Vec<u32>,
}

/// Cuts the webhook whose outermost value is `root`.
pub(super) fn cut(root: Value<'_>) -> Cut<'_> {
    let mut cut = Cut::default();
    let ours = root.get("object").and_then(Value::text).is_some_and(|object| object == "whatsapp_business_account");
    if !ours || !cut.each(root, "entry", Cut::entry) {
        cut.keep(Kind::Unknown, Trail::default(), root);
    }
    cut.opened.sort_unstable();
    cut.shared.sort_unstable();
    cut
}

impl<'d> Cut<'d> {
    /// Whether the items of this value are in leaves of their own.
    pub(super) fn is_opened(&self, value: Value<'_>) -> bool {
        self.opened.binary_search(&value.place()).is_ok()
    }

    /// Whether this is a list of `contacts` of which every item has its share.
    pub(super) fn is_shared(&self, value: Value<'_>) -> bool {
        self.shared.binary_search(&value.place()).is_ok()
    }

    fn keep(&mut self, kind: Kind, trail: Trail<'d>, item: Value<'d>) {
        let kind = if item.is_object() { kind } else { Kind::Unknown };
        let facts = facts::read(kind, item, &trail);
        self.leaves.push(Leaf { trail, item: Some(item), facts, contacts: Vec::new() });
    }

    /// Visits the elements of the list `name` of `object`. False when there are none.
    fn each(&mut self, object: Value<'d>, name: &str, mut visit: impl FnMut(&mut Self, Value<'d>)) -> bool {
        let before = self.opened.len();
        for (_, list) in object.members().filter(|(key, _)| key.is(name)) {
            if list.elements().next().is_some() {
                self.opened.push(list.place());
                list.elements().for_each(|element| visit(self, element));
            }
        }
        self.opened.len() > before
    }

    fn entry(&mut self, entry: Value<'d>) {
        let trail = Trail { entry: Some(entry), ..Trail::default() };
        if !self.each(entry, "changes", |cut, change| cut.change(trail, change)) {
            self.keep(Kind::Unknown, Trail::default(), entry);
        }
    }

    fn change(&mut self, trail: Trail<'d>, change: Value<'d>) {
        let field = change.get("field").and_then(Value::text).and_then(|name| Field::named(&name));
        let values = || change.members().filter(|(key, _)| key.is("value")).map(|(_, value)| value);
        let Some(field) = field.filter(|_| values().next().is_some()) else {
            return self.keep(Kind::Unknown, trail, change);
        };
        let trail = Trail { field: Some(field), change: Some(change), ..trail };
        for value in values() {
            self.opened.push(value.place());
            match field {
                Field::One(event_type) => self.keep(Kind::One(event_type), trail, value),
                _ if self.lists(Trail { value: Some(value), ..trail }, value) => {}
                _ => self.keep(Kind::Unknown, trail, value),
            }
        }
    }

    /// Takes the lists of `home` apart: a value, or `standby` in it. False when there is nothing that we know.
    fn lists(&mut self, trail: Trail<'d>, home: Value<'d>) -> bool {
        let first = self.leaves.len();
        for (key, member) in home.members() {
            if is_nothing(member) {
                continue;
            }
            match list_named(&key.text()) {
                None => {}
                Some(List::Of(kind)) => self.list(trail, member, |cut, item| cut.keep(kind, trail, item)),
                Some(List::Histories) => self.list(trail, member, |cut, part| cut.history(trail, part)),
                Some(List::Standby) => self.standby(trail, member),
            }
        }
        let found = self.leaves.len() > first;
        if found {
            self.share_contacts(trail, home, first);
        }
        found
    }

    /// Visits the elements of a list. What stands in a list's place without being one is one item.
    fn list(&mut self, trail: Trail<'d>, list: Value<'d>, mut visit: impl FnMut(&mut Self, Value<'d>)) {
        self.opened.push(list.place());
        if list.is_array() {
            list.elements().for_each(|element| visit(self, element));
        } else {
            self.keep(Kind::Unknown, trail, list);
        }
    }

    fn standby(&mut self, trail: Trail<'d>, standby: Value<'d>) {
        self.opened.push(standby.place());
        // One level: a standby in a standby is unknown to us, and to Meta.
        let inside = trail.inner.is_none() && self.lists(Trail { inner: Some(standby), ..trail }, standby);
        if !inside {
            self.keep(Kind::Unknown, trail, standby);
        }
    }

    fn history(&mut self, trail: Trail<'d>, part: Value<'d>) {
        let inside = Trail { inner: Some(part), ..trail };
        let threads = self.each(part, "threads", |cut, thread| cut.thread(inside, thread));
        let errors = self.each(part, "errors", |cut, error| cut.keep(Kind::Error, inside, error));
        if !threads && !errors {
            self.keep(Kind::Unknown, trail, part);
        }
    }

    fn thread(&mut self, trail: Trail<'d>, thread: Value<'d>) {
        let inside = Trail { thread: Some(thread), ..trail };
        if !self.each(thread, "messages", |cut, message| cut.keep(Kind::Message, inside, message)) {
            self.keep(Kind::Unknown, trail, thread);
        }
    }

    /// Gives the entries of `contacts` to the items from `first` on. Those that nobody takes become an item.
    fn share_contacts(&mut self, trail: Trail<'d>, home: Value<'d>, first: usize) {
        for (_, list) in home.members().filter(|(key, _)| key.is("contacts")) {
            if list.elements().next().is_none() {
                continue;
            }
            self.shared.push(list.place());
            let contacts = contacts::share(self.leaves.get_mut(first..).unwrap_or_default(), list);
            if !contacts.is_empty() {
                let facts = facts::read(Kind::Unknown, home, &trail);
                self.leaves.push(Leaf { trail, item: None, facts, contacts });
            }
        }
    }
}

enum List {
    Of(Kind),
    Histories,
    Standby,
}

/// The list that a value's member of that name is.
fn list_named(name: &str) -> Option<List> {
    Some(List::Of(match name {
        "messages" => Kind::Message,
        "statuses" => Kind::Status,
        "errors" => Kind::Error,
        "user_actions" => Kind::Click,
        "message_echoes" => Kind::Echo,
        "state_sync" => Kind::Address,
        "calls" => Kind::Call,
        "groups" => Kind::Group,
        "user_preferences" => Kind::Preference,
        "user_id_update" => Kind::IdChange,
        "automatic_events" => Kind::Conversion,
        "history" => return Some(List::Histories),
        "standby" => return Some(List::Standby),
        _ => return None,
    }))
}

/// `null`, or an empty list: nothing happened.
fn is_nothing(value: Value<'_>) -> bool {
    value.is_null() || (value.is_array() && value.elements().next().is_none())
}
