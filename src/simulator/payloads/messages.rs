//! Inbound messages: who wrote, the message around its content, the value and the envelope.

use std::collections::HashSet;

use aws_lc_rs::digest;
use data_encoding::HEXUPPER;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::content::{Content, content};
use super::parts::Media;
use super::{Business, envelope};
use crate::simulator::inbound_wamid;

/// The person who writes. Without `from` and `from_user_id` it is an invented one.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Sender {
    /// Phone number, digits only. Absent, with `from_user_id` given, for a person whose number is hidden.
    pub from: Option<String>,
    /// BSUID. Derived from `from` when not given, as inbound messages always have one.
    pub from_user_id: Option<String>,
    /// Profile name.
    pub name: Option<String>,
    /// Username.
    pub username: Option<String>,
}

impl Sender {
    /// A person known by phone number.
    pub fn of_phone(from: impl Into<String>) -> Self {
        Self { from: Some(from.into()), ..Self::default() }
    }

    /// The phone number, unless it is hidden.
    pub fn phone(&self) -> Option<&str> {
        match (&self.from, &self.from_user_id) {
            (Some(from), _) => Some(from),
            (None, Some(_)) => None,
            (None, None) => Some("16505551234"),
        }
    }

    /// The BSUID.
    pub fn user_id(&self) -> String {
        self.from_user_id.clone().unwrap_or_else(|| user_id_of(self.phone().unwrap_or_default()))
    }
}

/// A BSUID that is always the same for a phone number, and from which the number cannot be read.
pub(super) fn user_id_of(phone: &str) -> String {
    let hash = digest::digest(&digest::SHA256, phone.as_bytes());
    format!("US.{}", HEXUPPER.encode(hash.as_ref().get(..10).unwrap_or_default()))
}

/// An inbound message. In JSON, `type` is the kind and the sender's fields stand beside it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Inbound {
    /// One of [`super::KINDS`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Who writes.
    #[serde(flatten)]
    pub sender: Sender,
    /// The wamid; a new one when not given. The same one twice is a duplicate.
    pub id: Option<String>,
    /// Unix seconds; the present when not given.
    pub timestamp: Option<i64>,
    /// The main text of the kind: body, caption, title, emoji, name.
    pub body: Option<String>,
    /// The file of a media kind.
    pub media: Option<Media>,
    /// The message that is replied to, reacted to, edited or revoked.
    pub reply_to: Option<String>,
    /// The group that the message was written in.
    pub group_id: Option<String>,
    /// Laid over the content object, key by key.
    pub details: Map<String, Value>,
    /// Laid over the message object, key by key; `null` removes a key.
    pub merge: Map<String, Value>,
}

impl Inbound {
    /// A message of `kind` with a new wamid.
    pub fn new(kind: &str, sender: Sender) -> Self {
        let id = inbound_wamid(sender.phone().unwrap_or(&sender.user_id()));
        Self { kind: kind.to_owned(), id: Some(id), sender, ..Self::default() }
    }

    /// A text message with a new wamid.
    pub fn text(from: &str, body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..Self::new("text", Sender::of_phone(from)) }
    }

    /// The wamid, made now when there was none.
    pub fn wamid(&mut self) -> String {
        let sender = &self.sender;
        self.id.get_or_insert_with(|| inbound_wamid(sender.phone().unwrap_or(&sender.user_id()))).clone()
    }
}

/// The element of `contacts[]` for a sender.
pub fn contact(sender: &Sender) -> Value {
    let mut profile = json!({"name": sender.name.as_deref().unwrap_or("Erika Mustermann")});
    if let (Some(fields), Some(username)) = (profile.as_object_mut(), &sender.username) {
        fields.insert("username".into(), username.as_str().into());
    }
    let mut contact = json!({"profile": profile, "user_id": sender.user_id()});
    if let (Some(fields), Some(phone)) = (contact.as_object_mut(), sender.phone()) {
        fields.insert("wa_id".into(), phone.into());
    }
    contact
}

/// The element of `messages[]`. `now` is in Unix seconds.
pub fn message(inbound: &Inbound, now: i64) -> Value {
    let Content { kind, inner, beside } = content(inbound, now);
    let mut message = Map::new();
    message.extend(inbound.sender.phone().map(|phone| ("from".to_owned(), Value::from(phone))));
    message.insert("from_user_id".into(), inbound.sender.user_id().into());
    message.insert("id".into(), inbound.clone().wamid().into());
    message.insert("timestamp".into(), inbound.timestamp.unwrap_or(now).to_string().into());
    message.insert("type".into(), kind.into());
    if let Some(mut inner) = inner {
        if let Some(fields) = inner.as_object_mut() {
            fields.extend(inbound.details.clone());
        }
        message.insert(kind.into(), inner);
    }
    if let (Some(original), true) = (&inbound.reply_to, is_reply(kind)) {
        message.insert("context".into(), json!({"from": "15550000000", "id": original}));
    }
    message.extend(inbound.group_id.iter().map(|group| ("group_id".to_owned(), Value::from(group.as_str()))));
    message.extend(beside);
    message.extend(inbound.merge.clone());
    message.retain(|_, value| !value.is_null());
    Value::Object(message)
}

/// Reactions, edits and revocations name their message inside.
fn is_reply(kind: &str) -> bool {
    !matches!(kind, "reaction" | "edit" | "revoke")
}

/// The value of a `messages` change. `contacts` is absent when no sender is shown, as for changes of number.
pub fn messages_value(business: &Business, inbound: &[Inbound], now: i64) -> Value {
    let mut contacts: Vec<Value> = Vec::new();
    let mut known = HashSet::new();
    for one in inbound.iter().filter(|one| !one.kind.ends_with("changed_number") && one.kind != "system") {
        if known.insert(one.sender.user_id()) {
            contacts.push(contact(&one.sender));
        }
    }
    let messages: Vec<Value> = inbound.iter().map(|one| message(one, now)).collect();
    let mut value = json!({"messaging_product": "whatsapp", "metadata": business.metadata(), "messages": messages});
    if let (Some(fields), false) = (value.as_object_mut(), contacts.is_empty()) {
        fields.insert("contacts".into(), contacts.into());
    }
    value
}

/// A whole envelope with these messages. `now` is in Unix seconds.
pub fn inbound(business: &Business, inbound: &[Inbound], now: i64) -> Value {
    envelope(&business.waba_id, now, vec![("messages".to_owned(), messages_value(business, inbound, now))])
}
