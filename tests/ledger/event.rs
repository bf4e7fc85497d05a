//! An event as this test knows it: it carries its own place in its person's sequence wherever it goes.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::webhook;

/// One of Meta's items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// Index of its channel.
    pub channel: u8,
    /// The person's number among those of the channel.
    pub contact: u16,
    /// Counts up for each person.
    pub sequence: u32,
}

/// What kind of item it is: told by its place in the sequence, so that everybody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Message,
    Read,
}

impl Event {
    pub fn kind(self) -> Kind {
        if self.sequence % 4 == 3 { Kind::Read } else { Kind::Message }
    }

    /// Its id at Meta.
    pub fn wamid(self) -> String {
        format!("wamid.{}.{}.{}", self.channel, self.contact, self.sequence)
    }

    pub fn of_wamid(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("wamid.")?.split('.');
        let event = Self {
            channel: parts.next()?.parse().ok()?,
            contact: parts.next()?.parse().ok()?,
            sequence: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(event)
    }

    /// The name of the list it stands in, and the item.
    pub fn item(self) -> (&'static str, Value) {
        let (wamid, person) = (self.wamid(), self.person());
        match self.kind() {
            Kind::Message => ("messages", webhook::text_item(&person, &wamid, &format!("#{}", self.sequence))),
            Kind::Read => ("statuses", webhook::status_item(&person, &wamid, "read")),
        }
    }

    /// The phone number. Every channel has the same people, so that nothing but the channel keeps them apart.
    fn person(self) -> String {
        format!("49151999{:05}", self.contact)
    }
}

/// Meta's body with these events in their order: a change for each.
pub fn body(number: &Number, events: &[Event]) -> Vec<u8> {
    let change = |event: &Event| {
        let (list, item) = event.item();
        let metadata = json!({ "display_phone_number": "15550001234", "phone_number_id": number.phone_number_id });
        json!({ "field": "messages", "value": { "messaging_product": "whatsapp", "metadata": metadata, list: [item] } })
    };
    let changes: Vec<Value> = events.iter().map(change).collect();
    let entry = json!({ "id": number.waba_id, "changes": changes });
    serde_json::to_vec(&json!({ "object": "whatsapp_business_account", "entry": [entry] })).unwrap()
}

/// A business phone number, and who signs for it.
#[derive(Debug, Clone)]
pub struct Number {
    pub phone_number_id: &'static str,
    pub waba_id: &'static str,
    pub app_secret: &'static str,
    /// Index of the tenant.
    pub tenant: usize,
}

/// What became of an event on the way in.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    pub event: Event,
    /// When the first POST that held it began.
    pub posted: Instant,
    /// When a POST that held it was first answered 200.
    pub answered: Instant,
    /// The POST's number among those of its poster, and the place in it.
    pub batch: u32,
    pub place: usize,
}
