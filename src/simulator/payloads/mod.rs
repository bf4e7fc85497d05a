//! Webhook bodies of every shape Meta posts. Pure: nothing is posted or stored here.
//!
//! [`inbound()`] and [`statuses()`] give whole envelopes; [`message()`], [`contact()`] and [`status()`] their parts; [`envelope()`]
//! wraps any `(field, value)`; [`sample`] is a realistic value for every other webhook field.

mod account_fields;
mod content;
mod messages;
mod parts;
mod statuses;
mod thread_fields;

pub use content::KINDS;
pub use messages::{Inbound, Sender, contact, inbound, message, messages_value};
pub use parts::Media;
pub use statuses::{Recipient, Status, status, statuses, statuses_value};

use serde_json::{Value, json};

/// The business side of every webhook.
#[derive(Debug, Clone)]
pub struct Business {
    /// Meta's id of the WABA: `entry[].id`.
    pub waba_id: String,
    /// Meta's id of the phone number.
    pub phone_number_id: String,
    /// The number, digits only, as webhooks spell it.
    pub display_phone_number: String,
}

impl Business {
    /// The `metadata` of a messages value.
    pub fn metadata(&self) -> Value {
        json!({"display_phone_number": self.display_phone_number, "phone_number_id": self.phone_number_id})
    }
}

/// The outermost shape: one entry with the given `(field, value)` changes. `time` is in Unix seconds and appears in
/// entries without messages, as at Meta.
pub fn envelope(waba_id: &str, time: i64, changes: Vec<(String, Value)>) -> Value {
    let untimed = changes.iter().any(|(field, _)| field == "messages");
    let changes: Vec<Value> =
        changes.into_iter().map(|(field, value)| json!({"field": field, "value": value})).collect();
    let entry = if untimed {
        json!({"id": waba_id, "changes": changes})
    } else {
        json!({"id": waba_id, "time": time, "changes": changes})
    };
    json!({"object": "whatsapp_business_account", "entry": [entry]})
}

/// A realistic value for a webhook field other than plain `messages`; none for a field that is not known here.
pub fn sample(field: &str, business: &Business, time: i64) -> Option<Value> {
    account_fields::sample(field, business, time).or_else(|| thread_fields::sample(field, business, time))
}
