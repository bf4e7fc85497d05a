//! Statuses of outbound messages.

use std::collections::HashSet;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::messages::user_id_of;
use super::parts::errors;
use super::{Business, envelope};
use crate::crypto::random;
use crate::simulator::Step;

/// Whom a message went to.
#[derive(Clone, Default)]
pub struct Recipient {
    /// Phone number, digits only, or the group's id.
    pub wa_id: Option<String>,
    /// BSUID.
    pub user_id: Option<String>,
    /// Whether `wa_id` is a group's id.
    pub group: bool,
}

impl Recipient {
    /// A person addressed by phone number, whose BSUID Meta knows.
    pub fn of_phone(wa_id: &str) -> Self {
        Self { wa_id: Some(wa_id.to_owned()), user_id: Some(user_id_of(wa_id)), group: false }
    }
}

/// One status.
#[derive(Clone)]
pub struct Status {
    /// The message.
    pub wamid: String,
    /// Where it stands.
    pub step: Step,
    /// Whom it went to.
    pub recipient: Recipient,
    /// Unix seconds.
    pub timestamp: i64,
    /// `biz_opaque_callback_data` of the send.
    pub opaque: Option<String>,
    /// Pricing category, for the statuses that carry `pricing`.
    pub category: Option<String>,
    /// Whether `conversation` is there, as up to v23.
    pub conversation: bool,
    /// Error code of a failed status.
    pub error: Option<u32>,
}

/// The element of `statuses[]`.
pub fn status(status: &Status) -> Value {
    let mut fields = Map::new();
    fields.insert("id".into(), status.wamid.as_str().into());
    fields.insert("status".into(), status.step.as_str().into());
    fields.insert("timestamp".into(), status.timestamp.to_string().into());
    let recipient = &status.recipient;
    fields.extend(recipient.wa_id.iter().map(|wa_id| ("recipient_id".into(), wa_id.as_str().into())));
    // A failed status to a phone number has no BSUID.
    if status.step != Step::Failed || recipient.wa_id.is_none() {
        fields.extend(recipient.user_id.iter().map(|user| ("recipient_user_id".into(), user.as_str().into())));
    }
    if recipient.group {
        fields.insert("recipient_type".into(), "group".into());
    }
    fields.extend(status.opaque.iter().map(|data| ("biz_opaque_callback_data".into(), data.as_str().into())));
    if status.step == Step::Failed {
        fields.insert("errors".into(), errors(status.error.unwrap_or(131_026)));
    } else if let Some(category) = &status.category {
        fields.insert("pricing".into(), pricing(category));
        if status.conversation {
            fields.insert("conversation".into(), conversation(category, status.timestamp));
        }
    }
    Value::Object(fields)
}

fn pricing(category: &str) -> Value {
    let kind = if category == "service" { "free_customer_service" } else { "regular" };
    json!({"billable": category != "service", "pricing_model": "PMP", "type": kind, "category": category})
}

/// The id is random for every status, as at Meta since conversations are no longer billed.
fn conversation(category: &str, timestamp: i64) -> Value {
    let id = HEXLOWER.encode(&random::bytes::<16>());
    json!({"id": id, "origin": {"type": category}, "expiration_timestamp": (timestamp + 86_400).to_string()})
}

/// The value of a `messages` change with statuses. Failed ones have no element in `contacts`.
pub fn statuses_value(business: &Business, list: &[Status]) -> Value {
    let mut contacts: Vec<Value> = Vec::new();
    let mut known = HashSet::new();
    for one in list.iter().filter(|one| one.step != Step::Failed && !one.recipient.group) {
        if !known.insert((&one.recipient.wa_id, &one.recipient.user_id)) {
            continue;
        }
        let mut contact = Map::new();
        contact.extend(one.recipient.wa_id.iter().map(|wa_id| ("wa_id".to_owned(), Value::from(wa_id.as_str()))));
        contact.extend(one.recipient.user_id.iter().map(|user| ("user_id".to_owned(), Value::from(user.as_str()))));
        contacts.push(Value::Object(contact));
    }
    let statuses: Vec<Value> = list.iter().map(status).collect();
    let mut value = json!({"messaging_product": "whatsapp", "metadata": business.metadata(), "statuses": statuses});
    if let (Some(fields), false) = (value.as_object_mut(), contacts.is_empty()) {
        fields.insert("contacts".into(), contacts.into());
    }
    value
}

/// A whole envelope with these statuses.
pub fn statuses(business: &Business, list: &[Status]) -> Value {
    envelope(&business.waba_id, 0, vec![("messages".to_owned(), statuses_value(business, list))])
}
