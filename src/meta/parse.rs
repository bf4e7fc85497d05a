//! From a proved body to items. Parsing never fails and never loses: what we do not know becomes an item of type
//! `unrecognised` with its exact JSON, and what is not JSON at all one with its exact bytes.

mod contacts;
mod cut;
mod envelope;
mod facts;
mod identity;
mod json;
mod trail;

use bytes::Bytes;

use self::cut::{Cut, Leaf};
use self::facts::Facts;
use self::json::{Document, Value};
use self::trail::Trail;
use super::signature::VerifiedBody;
use crate::domain::event::{EventType, Item, Subject};
use crate::ids::Wamid;

/// Longer texts are no message ids. The item stays, and is told from others by all of its JSON.
const LONGEST_WAMID: usize = 1024;

/// A POST of more items is kept whole, as one that is not recognised. Meta says at most 1000.
const MOST_ITEMS: usize = 20_000;
/// Each item's envelope repeats what stands beside it. A POST that would grow to more than this many times its size is kept whole.
const MOST_GROWTH: usize = 16;
/// Below this, growth costs nothing.
const LEAST_LIMIT: usize = 4 * 1024 * 1024;

/// Cuts Meta's POST into items, in the order in which they stand there; at least one. Every item's envelope parses to
/// that item again.
#[must_use]
pub fn parse(body: &VerifiedBody) -> Vec<Item> {
    let Some(document) = Document::read(body.bytes()) else { return vec![unreadable(body)] };
    let root = document.root();
    let mut cut = cut::cut(root);
    let leaves = std::mem::take(&mut cut.leaves);
    if leaves.len() > MOST_ITEMS {
        return vec![unreadable(body)];
    }
    let lone = leaves.len() == 1;
    let envelope = |leaf: &Leaf<'_>| if lone { body.bytes().clone() } else { envelope::write(&cut, leaf, root).into() };
    let most_bytes = body.bytes().len().saturating_mul(MOST_GROWTH).max(LEAST_LIMIT);
    let (mut items, mut bytes) = (Vec::with_capacity(leaves.len()), 0_usize);
    for leaf in leaves {
        let envelope = envelope(&leaf);
        bytes += envelope.len();
        if bytes > most_bytes {
            return vec![unreadable(body)];
        }
        items.push(item(&cut, envelope, leaf));
    }
    items
}

/// Bytes that are no JSON, or nested deeper than anybody reads, or made to grow.
fn unreadable(body: &VerifiedBody) -> Item {
    Item {
        event_type: EventType::Unrecognised,
        waba_id: None,
        phone_number_id: None,
        person: None,
        subject: Subject::Exact(body.bytes().clone()),
        variant: None,
        status: None,
        error_code: None,
        opaque: None,
        has_media: false,
        occurred_at: None,
        opens: None,
        said: None,
        envelope: body.bytes().clone(),
    }
}

fn item(cut: &Cut<'_>, envelope: Bytes, leaf: Leaf<'_>) -> Item {
    let place = leaf.item.or(leaf.trail.value);
    let subject = subject(cut, &leaf);
    let Leaf { trail, facts, .. } = leaf;
    Item {
        event_type: facts.event_type,
        waba_id: place.and_then(|place| trail.waba_id(place)),
        phone_number_id: place.and_then(|place| trail.phone_number_id(place)),
        person: facts.who.into_person(),
        variant: facts.variant.filter(|_| matches!(subject, Subject::Message(_))),
        subject,
        status: facts.status,
        error_code: facts.error_code,
        opaque: facts.opaque,
        has_media: facts.has_media,
        occurred_at: facts.occurred_at,
        opens: facts.opens,
        said: facts.said,
        envelope,
    }
}

fn subject(cut: &Cut<'_>, leaf: &Leaf<'_>) -> Subject {
    if let Some(item) = leaf.item {
        return message_id(&leaf.facts).unwrap_or_else(|| exact(&leaf.trail, item, item.raw()));
    }
    let leftover = envelope::write_leftover(cut, leaf);
    leaf.trail.value.map_or_else(|| Subject::Exact(Bytes::new()), |value| exact(&leaf.trail, value, &leftover))
}

fn message_id(facts: &Facts<'_>) -> Option<Subject> {
    let id = facts.id?.word().filter(|id| id.len() <= LONGEST_WAMID)?;
    Some(Subject::Message(Wamid::new(id)))
}

/// The JSON of an item, and where it came from.
fn exact(trail: &Trail<'_>, item: Value<'_>, json: &str) -> Subject {
    let mut bytes = Vec::with_capacity(json.len() + 128);
    for part in trail.origin(item) {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(json.as_bytes());
    Subject::Exact(bytes.into())
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
