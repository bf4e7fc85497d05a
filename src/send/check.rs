//! What a message must be before Meta is asked: the shape that all types share here, the content of each in [`super::schema`]. Every
//! fault is listed at once.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::schema;

use crate::domain::message::{LONGEST_CALLBACK_DATA, is_reserved};
use crate::domain::person::{Identifier, Person, PhoneNumber};

/// Members that say whom a message is for.
pub(super) const RECIPIENT: [&str; 3] = ["recipient_type", "to", "recipient"];

/// One thing that is wrong, and where (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Pointer into the message.
    pub pointer: String,
    /// What is wrong, without a value of the message.
    pub detail: Cow<'static, str>,
}

/// A message that may be sent.
pub(super) struct Checked {
    pub(super) body: Map<String, Value>,
    pub(super) kind: &'static str,
    pub(super) recipient: Person,
}

impl Checked {
    /// The message that goes to the same recipient in its place.
    pub(super) fn replaced_by(self, mut template: Map<String, Value>) -> Self {
        let members = RECIPIENT.into_iter().filter_map(|name| Some((name.to_owned(), self.body.get(name)?.clone())));
        template.extend(members);
        Self { body: template, kind: "template", recipient: self.recipient }
    }
}

impl std::fmt::Debug for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checked({})", self.kind)
    }
}

/// A message as an application wrote it, read and checked once. One that is faulty is still told of in the audit log.
#[derive(Debug)]
pub struct Draft(pub(super) Result<Checked, Vec<Fault>>);

impl Draft {
    /// Reads a message object.
    #[must_use]
    pub fn read(message: &str) -> Self {
        Self(check(message))
    }
}

/// Checks a message object.
fn check(message: &str) -> Result<Checked, Vec<Fault>> {
    let body = object(message)?;
    let mut faults = product(&body);
    let recipient = recipient(&body);
    if recipient.is_none() {
        faults.push(fault("/to", "must be a phone number, or give a business-scoped user id in \"recipient\""));
    }
    let (kind, body, more) = content(body);
    faults.extend(more);
    match (recipient, faults.is_empty()) {
        (Some(recipient), true) => Ok(Checked { body, kind, recipient }),
        _ => Err(faults),
    }
}

/// Checks a template that goes to the recipient of another message, and so names none.
pub(super) fn fallback(message: &str) -> Result<Map<String, Value>, Vec<Fault>> {
    let body = object(message)?;
    let mut faults = product(&body);
    for name in RECIPIENT.into_iter().filter(|name| body.contains_key(*name)) {
        faults.push(fault(&format!("/{name}"), "must be left out: the recipient is that of the message"));
    }
    if body.get("type").is_none_or(|kind| kind != "template") {
        faults.push(fault("/type", "must be \"template\""));
    }
    let (_, body, more) = content(body);
    faults.extend(more);
    if faults.is_empty() { Ok(body) } else { Err(faults) }
}

fn fault(pointer: &str, detail: &'static str) -> Fault {
    Fault { pointer: pointer.to_owned(), detail: detail.into() }
}

fn object(message: &str) -> Result<Map<String, Value>, Vec<Fault>> {
    match serde_json::from_str(message) {
        Ok(Value::Object(body)) => Ok(body),
        _ => Err(vec![fault("", "must be a JSON object")]),
    }
}

fn product(body: &Map<String, Value>) -> Vec<Fault> {
    let is_another = body.get("messaging_product").is_some_and(|product| product != "whatsapp");
    if is_another { vec![fault("/messaging_product", "must be \"whatsapp\"")] } else { Vec::new() }
}

/// The kind of a message, its faults beside those of its recipient, and the message again.
fn content(body: Map<String, Value>) -> (&'static str, Map<String, Value>, Vec<Fault>) {
    let mut faults = Vec::new();
    // Meta takes a message without a type for a text.
    let kind = body.get("type").map_or(Some("text"), Value::as_str).map(str::to_owned);
    let kind = kind.as_deref();
    match kind {
        None => faults.push(fault("/type", "must be a string")),
        Some(kind) if !body.get(kind).is_some_and(|content| content.is_object() || content.is_array()) => {
            let pointer = format!("/{}", escape(kind));
            faults.push(fault(&pointer, "the content that \"type\" names is missing"));
        }
        Some(_) => {}
    }
    match body.get("biz_opaque_callback_data").map(Value::as_str) {
        Some(None) => faults.push(fault("/biz_opaque_callback_data", "must be a string")),
        Some(Some(text)) if text.chars().count() > LONGEST_CALLBACK_DATA => {
            faults.push(fault("/biz_opaque_callback_data", "must have at most 512 characters"));
        }
        Some(Some(text)) if is_reserved(text) => {
            let detail = "must not begin with \"waxseal:\", which marks the gateway's own";
            faults.push(fault("/biz_opaque_callback_data", detail));
        }
        _ => {}
    }
    let kind = kind.unwrap_or_default();
    let message = Value::Object(body);
    faults.extend(schema::faults(&message, kind));
    let body = match message {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    (crate::domain::message::kind(kind), body, faults)
}

/// A member name as a part of a JSON pointer, cut to what a person would still read.
pub(super) fn escape(name: &str) -> String {
    name.chars().take(40).collect::<String>().replace('~', "~0").replace('/', "~1")
}

/// Whom the message is for, by one name alone. `to` is a phone number, `recipient` a user id; Meta lets the number win when both
/// are there, and so do we: that the two are one person only Meta can say, not an application. A group is a person of its own.
fn recipient(body: &Map<String, Value>) -> Option<Person> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty() && text.len() <= 200);
    let identifier = match (text("to"), text("recipient")) {
        (Some(group), _) if text("recipient_type") == Some("group") => Identifier::Bsuid(format!("group:{group}")),
        (Some(number), _) => Identifier::Phone(PhoneNumber::parse(number)?),
        (None, Some(user)) => Identifier::bsuid(user)?,
        (None, None) => return None,
    };
    Person::new(vec![identifier], Vec::new(), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(message: &str) -> Vec<String> {
        check(message).map_or_else(|faults| faults.into_iter().map(|fault| fault.pointer).collect(), |_| Vec::new())
    }

    #[test]
    fn every_fault_is_listed_at_once() {
        let message = r#"{"messaging_product":"sms","type":"text","text":{"body":""},"biz_opaque_callback_data":1}"#;
        assert_eq!(pointers(message), ["/messaging_product", "/to", "/biz_opaque_callback_data", "/text/body"]);
    }

    #[test]
    fn messages_of_every_type_pass_when_their_content_is_there() {
        for message in [
            r#"{"messaging_product":"whatsapp","to":"+49 151 99900011","text":{"body":"Moin"}}"#,
            r#"{"to":"4915199900011","type":"template","template":{"name":"a","language":{"code":"de"}}}"#,
            r#"{"recipient":"DE.123abc","type":"contacts","contacts":[{"name":{"formatted_name":"A"}}]}"#,
            r#"{"recipient_type":"group","to":"Y2FwaV9ncm91cA","type":"text","text":{"body":"x"}}"#,
        ] {
            assert_eq!(pointers(message), Vec::<String>::new(), "{message}");
        }
    }

    #[test]
    fn two_names_in_one_message_are_not_taken_for_one_person() {
        let both = r#"{"to":"4915199900011","recipient":"DE.123abc","text":{"body":"x"}}"#;
        let person = check(both).unwrap().recipient;
        assert!(matches!(person.identifiers[..], [Identifier::Phone(_)]));
    }

    #[test]
    fn a_fallback_is_a_template_that_names_nobody() {
        let pointers = |message: &str| {
            let faults = fallback(message).err().unwrap_or_default();
            faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
        };
        assert!(pointers(r#"{"type":"template","template":{"name":"a","language":{"code":"de"}}}"#).is_empty());
        assert_eq!(pointers(r#"{"to":"4915199900011","text":{"body":"x"}}"#), ["/to", "/type"]);
        assert_eq!(pointers(r#"{"type":"template","template":{"name":"a"}}"#), ["/template/language"]);
        assert_eq!(pointers("7"), [""]);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        assert_eq!(pointers("[]"), [""]);
        assert_eq!(pointers("nonsense"), [""]);
        assert_eq!(pointers(r#"{"to":"4915199900011","type":"image"}"#), ["/image"]);
        assert_eq!(pointers(r#"{"recipient":"crm-4711","type":"text","text":{"body":"x"}}"#), ["/to"]);
        assert_eq!(pointers(r#"{"recipient":"group:a","type":"text","text":{"body":"x"}}"#), ["/to"]);
        let forged = r#"{"to":"4915199900011","text":{"body":"x"},"biz_opaque_callback_data":"waxseal:0"}"#;
        assert_eq!(pointers(forged), ["/biz_opaque_callback_data"]);
        assert_eq!(pointers(r#"{"to":"somebody","type":"text","text":{"body":"x"}}"#), ["/to"]);
        let long = format!(r#"{{"to":"4915199900011","text":{{"body":"{}"}}}}"#, "x".repeat(4097));
        assert_eq!(pointers(&long), ["/text/body"]);
    }
}
