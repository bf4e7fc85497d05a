//! `POST /P/messages`: sending, marking as read, typing.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde_json::{Map, Value, json};

use super::admission::FailLater;
use super::errors::{GraphError, GraphResult};
use super::ladder::{self, Climb};
use super::ledger::Accepted;
use super::payloads::Recipient;
use super::platform::Platform;
use super::validation::{self, text};
use super::wamid::outbound_wamid;

/// Takes a message object, or a read receipt.
pub(super) async fn send(
    State(platform): State<Arc<Platform>>,
    Path((_, id)): Path<(String, String)>,
    fail_later: Option<Extension<FailLater>>,
    body: Bytes,
) -> GraphResult {
    platform.require_number("post", &id)?;
    let message = validation::object(&body)?;
    validation::product(&message)?;
    if message.contains_key("status") {
        return mark_read(&platform, &message);
    }
    let addressee = Addressee::of(&message, &platform)?;
    let kind = validation::check(&message)?;
    let category = references(&platform, &message, kind)?;
    platform.limits.admit(&platform.settings(), addressee.identity(), platform.clock.now())?;
    let wamid = outbound_wamid(addressee.identity());
    let opaque = text(&message, "biz_opaque_callback_data").map(str::to_owned);
    let answer = answer(&addressee, &wamid, kind);
    ladder::climb(
        &platform,
        Climb {
            wamid: wamid.clone(),
            recipient: addressee.recipient.clone(),
            opaque: opaque.clone(),
            category,
            voice: message.get("audio").and_then(|audio| audio.get("voice")) == Some(&Value::Bool(true)),
            fails_with: fail_later.map(|Extension(FailLater(code))| code),
        },
    );
    platform.ledger.accept(Accepted {
        wamid,
        to: addressee.input,
        kind: kind.to_owned(),
        opaque,
        at: platform.seconds(),
        // A copy, because the original is a slice that keeps a whole read buffer alive.
        body: Bytes::copy_from_slice(&body),
    });
    Ok(Json(answer))
}

/// Whom a message is for.
struct Addressee {
    /// As the caller wrote it.
    input: String,
    recipient: Recipient,
}

impl Addressee {
    /// `to` wins over `recipient` when both are given.
    fn of(message: &Map<String, Value>, platform: &Platform) -> Result<Self, GraphError> {
        let group = text(message, "recipient_type") == Some("group");
        let (to, user) = (text(message, "to"), text(message, "recipient"));
        match (to.filter(|to| !to.is_empty()), user.filter(|user| !user.is_empty())) {
            (Some(to), _) if group => {
                let recipient = Recipient { wa_id: Some(to.to_owned()), user_id: None, group: true };
                Ok(Self { input: to.to_owned(), recipient })
            }
            (Some(to), _) => {
                let wa_id = phone_digits(to)?;
                if wa_id == platform.business.display_phone_number {
                    return Err(GraphError::new(131_021, "Sender and recipient phone number are the same"));
                }
                Ok(Self { input: to.to_owned(), recipient: Recipient::of_phone(&wa_id) })
            }
            (None, Some(user)) => {
                let recipient = Recipient { wa_id: None, user_id: Some(user.to_owned()), group: false };
                Ok(Self { input: user.to_owned(), recipient })
            }
            (None, None) => Err(GraphError::missing("to")),
        }
    }

    fn identity(&self) -> &str {
        self.recipient.wa_id.as_deref().or(self.recipient.user_id.as_deref()).unwrap_or_default()
    }
}

/// The digits of a phone number that may be written with `+ - ( )` and spaces.
fn phone_digits(to: &str) -> Result<String, GraphError> {
    let allowed = |character: char| character.is_ascii_digit() || "+-() ".contains(character);
    let digits: String = to.chars().filter(char::is_ascii_digit).collect();
    if to.chars().all(allowed) && (5..=20).contains(&digits.len()) {
        Ok(digits)
    } else {
        Err(GraphError::new(131_009, "Parameter 'to' is not a valid phone number"))
    }
}

/// Checks that what the message names exists. Gives the pricing category.
fn references(platform: &Platform, message: &Map<String, Value>, kind: &str) -> Result<&'static str, GraphError> {
    let content = message.get(kind);
    if kind == "template" {
        let template = content.and_then(Value::as_object).ok_or_else(|| GraphError::missing("template"))?;
        return platform.templates.price(template, platform.settings().check_references);
    }
    let media_id = content.and_then(|content| content.get("id")).and_then(Value::as_str);
    if let Some(media_id) = media_id
        && validation::is_media(kind)
        && platform.settings().check_references
        && platform.media.find(media_id, platform.clock.now()).is_none()
    {
        let parameter = format!("Param {kind}['id'] is not a valid whatsapp business account media attachment ID");
        return Err(GraphError::parameter(parameter));
    }
    Ok("service")
}

fn answer(addressee: &Addressee, wamid: &str, kind: &str) -> Value {
    let recipient = &addressee.recipient;
    let mut contact = Map::from_iter([("input".to_owned(), Value::from(addressee.input.as_str()))]);
    if let Some(wa_id) = &recipient.wa_id {
        contact.insert("wa_id".into(), wa_id.as_str().into());
    } else if let Some(user_id) = &recipient.user_id {
        contact.insert("user_id".into(), user_id.as_str().into());
    }
    let mut message = Map::from_iter([("id".to_owned(), Value::from(wamid))]);
    if kind == "template" {
        message.insert("message_status".into(), "accepted".into());
    }
    if recipient.group {
        message.insert("group_id".into(), addressee.input.as_str().into());
    }
    json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})
}

fn mark_read(platform: &Platform, message: &Map<String, Value>) -> GraphResult {
    if text(message, "status") != Some("read") {
        return Err(GraphError::new(131_009, "Parameter 'status' must be 'read'"));
    }
    let id = text(message, "message_id").ok_or_else(|| GraphError::missing("message_id"))?;
    if !id.starts_with("wamid.") {
        return Err(GraphError::new(131_009, "Parameter 'message_id' is not a message id"));
    }
    platform.ledger.mark_read(id, message.contains_key("typing_indicator"));
    Ok(Json(json!({"success": true})))
}
