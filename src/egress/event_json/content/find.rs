//! Where the one thing that an event is about lies in Meta's envelope.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Content;
use crate::domain::event::EventType;

/// An object's members, doubled keys included. A member is found only where it stands once: of doubled ones, each may
/// hold the item.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Members<'a> {
    fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    fn get(&self, name: &str) -> Option<&'a RawValue> {
        let mut found = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| *value);
        found.next().filter(|_| found.next().is_none())
    }

    /// The single element of the list `name`.
    fn only(&self, name: &str) -> Option<&'a RawValue> {
        match elements(self.get(name)?).as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }
}

fn elements(value: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(value.get()).unwrap_or_default()
}

pub(super) fn find(event_type: Option<EventType>, envelope: &RawValue) -> Option<Content<'_>> {
    let root = Members::of(envelope)?;
    let object: String = serde_json::from_str(root.get("object")?.get()).ok()?;
    if object == "waxseal" {
        return own(&root);
    }
    let change = Members::of(Members::of(root.only("entry")?)?.only("changes")?)?;
    let field = serde_json::from_str(change.get("field")?.get()).ok()?;
    let value = change.get("value")?;
    let content = match event_type? {
        EventType::TemplateUpdated
        | EventType::ChannelUpdated
        | EventType::AccountUpdated
        | EventType::AccountSecurity
        | EventType::FlowUpdated
        | EventType::ThreadHandedOver => Content { item: shown(value), ..Content::default() },
        EventType::Unrecognised => return None,
        _ => listed(&Members::of(value)?)?,
    };
    Some(Content { field: Some(field), ..content })
}

/// An event of our own: what it is called, and what is said of it.
fn own<'a>(root: &Members<'a>) -> Option<Content<'a>> {
    let mut told = root.0.iter().filter(|(key, _)| key != "object");
    let (field, item) = told.next().filter(|_| told.next().is_none())?;
    Some(Content { own: true, field: Some(field.clone()), item: shown(item), ..Content::default() })
}

/// Lists of a value whose elements are items.
const LISTS: [&str; 11] = [
    "messages",
    "statuses",
    "errors",
    "user_actions",
    "message_echoes",
    "state_sync",
    "calls",
    "groups",
    "user_preferences",
    "user_id_update",
    "automatic_events",
];

fn listed<'a>(value: &Members<'a>) -> Option<Content<'a>> {
    let standby = value.get("standby").and_then(Members::of);
    let home = standby.as_ref().unwrap_or(value);
    let (item, thread_id) = match home.only("history") {
        Some(part) => from_history(&Members::of(part)?)?,
        None => (the_one(home, &LISTS)?, None),
    };
    let beside = |name: &str| home.get(name).or_else(|| value.get(name));
    let (contacts, metadata) = (beside("contacts").and_then(shown), beside("metadata").and_then(shown));
    let thread_id = thread_id.and_then(shown);
    Some(Content { item: shown(item), thread_id, contacts, metadata, ..Content::default() })
}

fn from_history<'a>(part: &Members<'a>) -> Option<(&'a RawValue, Option<&'a RawValue>)> {
    let Some(thread) = part.only("threads") else { return Some((part.only("errors")?, None)) };
    let thread = Members::of(thread)?;
    Some((thread.only("messages")?, thread.get("id")))
}

/// The one element of all these lists together. `None` when there are several: choosing would lose the others.
fn the_one<'a>(home: &Members<'a>, lists: &[&str]) -> Option<&'a RawValue> {
    let mut all = home.0.iter().filter(|(key, _)| lists.contains(&key.as_str())).flat_map(|(_, list)| elements(list));
    all.next().filter(|_| all.next().is_none())
}

#[expect(clippy::unnecessary_wraps, reason = "every field of Content may be absent")]
const fn shown(value: &RawValue) -> Option<Cow<'_, RawValue>> {
    Some(Cow::Borrowed(value))
}
