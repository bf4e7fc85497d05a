//! Before sending: what would be refused by Meta, or must not be sent to this person, is not sent. Asked when a message is
//! accepted, and again when one that waited goes on the wire.

mod book;
mod consent;
mod template;
mod window;

pub use book::Book;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use self::book::{Known, Page};
use super::Sender;
use super::check::Fault;
use crate::config::{ConsentCheck, WindowCheck};
use crate::domain::channel::Channel;
use crate::ids::ContactId;
use crate::store::StoreError;
use crate::store::windows::Standing;

/// What the operator wants to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether free-form messages go.
    pub window: WindowCheck,
    /// Whether marketing goes.
    pub consent: ConsentCheck,
    /// Whether templates are compared.
    pub templates: bool,
    /// How long before its end a window is told of; zero: never.
    pub window_closing: Duration,
}

/// Why a message is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// The person's last message is too old for anything but a template.
    WindowClosed,
    /// The person does not want marketing.
    OptedOut,
    /// The person's data are not to be used.
    Restricted,
    /// The message does not fit its template.
    Faulty(Vec<Fault>),
}

/// A message that is about to be sent.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// To whom, when they are known already.
    pub contact: Option<ContactId>,
    /// Meta's `type`.
    pub kind: &'a str,
    /// Meta's message object.
    pub body: &'a Map<String, Value>,
    /// Whether it goes later: until then they may write, and it is asked again.
    pub is_later: bool,
    /// Whether it goes through Meta's door for marketing, which makes it marketing whatever we know of its template.
    pub is_marketing: bool,
}

impl Outgoing<'_> {
    /// What decides, and what must be known of the person for it. `None`: nothing has to be asked.
    fn question(&self, category: Option<&str>, rules: Rules) -> Option<Question> {
        if self.kind == "template" {
            let asks = (self.is_marketing || category == Some("MARKETING")) && rules.consent != ConsentCheck::Off;
            return asks.then_some(Question::Consent);
        }
        let to_group = self.body.get("recipient_type").is_some_and(|kind| kind == "group");
        // With a category, Meta makes a template of it (Direct Send).
        let direct = self.body.contains_key("category");
        (rules.window != WindowCheck::Off && !to_group && !direct && !self.is_later).then_some(Question::Window)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Window,
    Consent,
}

impl Sender {
    /// Whether these messages may be sent through the channel now: an objection, or none, for each. One look into the database for
    /// all of them together, and none when nothing has to be known.
    pub async fn permit(
        &self,
        channel: &Channel,
        messages: &[Outgoing<'_>],
    ) -> Result<Vec<Option<Objection>>, StoreError> {
        let looked: Vec<Result<Option<Arc<Known>>, Fault>> =
            messages.iter().map(|message| self.look_up(channel, message)).collect();
        let asked: Vec<Option<Question>> = messages
            .iter()
            .zip(&looked)
            .map(|(message, known)| {
                let category = known.as_ref().ok().and_then(Option::as_ref).map(|known| known.category.as_str());
                message.question(category, self.rules)
            })
            .collect();
        let people: Vec<ContactId> =
            messages.iter().zip(&asked).filter_map(|(message, question)| question.and(message.contact)).collect();
        let standings = if people.is_empty() {
            Vec::new()
        } else {
            self.store.standings(channel.tenant, channel.id, &people).await?
        };
        let (now, nobody, snapshot) = (self.clock.now(), Standing::default(), self.directory.snapshot());
        let decided = messages.iter().zip(looked).zip(asked).map(|((message, known), question)| {
            if message.contact.is_some_and(|contact| snapshot.is_restricted(channel.tenant, contact)) {
                return Some(Objection::Restricted);
            }
            let faults = match known {
                Err(fault) => vec![fault],
                Ok(Some(known)) if self.rules.templates => template::misfits(&known.shape, message.body),
                Ok(_) => Vec::new(),
            };
            if !faults.is_empty() {
                return Some(Objection::Faulty(faults));
            }
            let of = |one: &&Standing| message.contact.is_some_and(|contact| contact.uuid() == one.contact_id);
            // Somebody who is not known yet said nothing.
            let standing = standings.iter().find(of).unwrap_or(&nobody);
            match question? {
                Question::Window => {
                    window::is_closed(self.rules.window, standing, now).then_some(Objection::WindowClosed)
                }
                Question::Consent => consent::forbids(self.rules.consent, standing).then_some(Objection::OptedOut),
            }
        });
        Ok(decided.collect())
    }

    /// What does not fit in a template that stands in for a message.
    pub(super) fn fallback_faults(&self, channel: &Channel, body: &Map<String, Value>) -> Vec<Fault> {
        let message = Outgoing { contact: None, kind: "template", body, is_later: true, is_marketing: false };
        match self.look_up(channel, &message) {
            Err(fault) => vec![fault],
            Ok(Some(known)) if self.rules.templates => template::misfits(&known.shape, body),
            Ok(_) => Vec::new(),
        }
    }

    /// The template of a message, if it is one and we know it. A fault: it cannot be sent.
    fn look_up(&self, channel: &Channel, message: &Outgoing<'_>) -> Result<Option<Arc<Known>>, Fault> {
        let template = message.body.get("template").filter(|_| message.kind == "template");
        let word = |at: &str| template.and_then(|template| template.pointer(at)).and_then(Value::as_str);
        let (Some(name), Some(language)) = (word("/name"), word("/language/code")) else { return Ok(None) };
        let account = (channel.tenant, &channel.waba_id);
        let (pointer, detail) = match self.book.look(account, name, language, self.clock.now()) {
            Page::Unsure => return Ok(None),
            Page::Known(known) => match template::refused(&known.status) {
                Some(why) => ("/template/name", why),
                None => return Ok(Some(known)),
            },
            Page::NoName => ("/template/name", "is not in the account's list of templates, which is now read anew"),
            Page::NoLanguage => (
                "/template/language/code",
                "is no language of this template by the account's list, which is now read anew",
            ),
        };
        if !self.rules.templates {
            return Ok(None);
        }
        Err(Fault { pointer: pointer.to_owned(), detail: detail.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ALL: Rules = Rules {
        window: WindowCheck::Known,
        consent: ConsentCheck::OptOut,
        templates: true,
        window_closing: Duration::ZERO,
    };

    #[expect(clippy::needless_pass_by_value, reason = "a literal is handed over where it is written")]
    fn question(kind: &str, body: Value, category: Option<&str>, rules: Rules) -> Option<Question> {
        Outgoing { contact: None, kind, body: body.as_object().unwrap(), is_later: false, is_marketing: false }
            .question(category, rules)
    }

    #[test]
    fn templates_may_go_at_any_time_and_marketing_only_to_those_who_want_it() {
        assert_eq!(question("text", json!({}), None, ALL), Some(Question::Window));
        assert_eq!(question("reaction", json!({}), None, ALL), Some(Question::Window));
        assert_eq!(question("template", json!({}), Some("UTILITY"), ALL), None);
        assert_eq!(question("template", json!({}), Some("MARKETING"), ALL), Some(Question::Consent));
        assert_eq!(question("text", json!({ "recipient_type": "group" }), None, ALL), None);
        assert_eq!(question("text", json!({ "category": "utility" }), None, ALL), None);
    }

    #[test]
    fn what_goes_through_the_door_for_marketing_is_marketing_whatever_is_known_of_its_template() {
        let body = Map::new();
        let message = Outgoing { contact: None, kind: "template", body: &body, is_later: false, is_marketing: true };
        assert_eq!([None, Some("UTILITY")].map(|known| message.question(known, ALL)), [Some(Question::Consent); 2]);
    }

    #[test]
    fn what_is_switched_off_is_not_asked() {
        let off = Rules { window: WindowCheck::Off, consent: ConsentCheck::Off, ..ALL };
        assert_eq!(question("text", json!({}), None, off), None);
        assert_eq!(question("template", json!({}), Some("MARKETING"), off), None);
    }
}
