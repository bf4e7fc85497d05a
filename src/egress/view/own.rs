//! Events of our own, whose items hold our ids and our words alone.

use uuid::Uuid;

use super::metadata::is_word;
use super::pseudonym::Pseudonyms;
use super::rewrite::{Rule, Shown};
use crate::domain::endpoint::Fields;
use crate::ids::ContactId;

/// What is shown of the item of such an event: our ids always, words and numbers from [`Fields::Metadata`] on.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    fields: Fields,
    pseudonyms: Option<&'a Pseudonyms>,
    is_contact: bool,
}

impl<'a> Own<'a> {
    pub(super) const fn new(fields: Fields, pseudonyms: Option<&'a Pseudonyms>) -> Self {
        Self { fields, pseudonyms, is_contact: false }
    }
}

impl Rule for Own<'_> {
    fn member(self, key: &str) -> Option<Self> {
        Some(Self { is_contact: key.ends_with("contact_id") || key.ends_with("contact_ids"), ..self })
    }

    fn key(self, _: &str) -> Shown {
        Shown::AsIs
    }

    fn string(self, text: Option<&str>) -> Shown {
        let text = text.unwrap_or_default();
        match (Uuid::try_parse(text), self.pseudonyms) {
            (Ok(id), Some(pseudonyms)) if self.is_contact => {
                Shown::Instead(pseudonyms.of(ContactId::from_uuid(id)).to_string().into())
            }
            (Ok(_), _) => Shown::AsIs,
            (Err(_), _) if self.fields > Fields::Ids && is_word(text) => Shown::AsIs,
            (Err(_), _) => Shown::Nothing,
        }
    }

    fn number(self, _: &str) -> Shown {
        if self.fields > Fields::Ids { Shown::AsIs } else { Shown::Nothing }
    }
}
