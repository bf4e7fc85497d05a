//! What one reader is shown of an event, and in which form: the field policy, the pseudonyms and the format of an endpoint, or
//! of whoever reads events himself.

mod cloud_event;
mod masked;
mod metadata;
mod own;
mod pseudonym;
mod rewrite;

pub use pseudonym::Pseudonyms;

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::event_json::{self, Content, EventMeta, Payload};
use crate::domain::endpoint::Fields;
use crate::ids::{ContactId, TenantId};
use masked::Mask;
use metadata::Descriptive;
use own::Own;
use rewrite::{Rule, rewritten};

/// How much of an event a reader is shown, and by which ids of contacts.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    fields: Fields,
    pseudonyms: Option<&'a Pseudonyms>,
}

impl<'a> View<'a> {
    /// A view. With pseudonyms no more is shown than [`Fields::Masked`], because a number would say who stands behind them.
    #[must_use]
    pub fn new(fields: Fields, pseudonyms: Option<&'a Pseudonyms>) -> Self {
        Self { fields: if pseudonyms.is_some() { fields.min(Fields::Masked) } else { fields }, pseudonyms }
    }

    /// The event JSON of format `standard`.
    #[must_use]
    pub fn standard(&self, meta: &EventMeta<'_>, payload: Payload<'_>) -> Vec<u8> {
        event_json::write(&self.meta(meta), self.content(meta.event_type, payload))
    }

    /// The event after CloudEvents 1.0 in structured mode, whose `data` is the `data` of [`Self::standard`].
    #[must_use]
    pub fn cloud_event(&self, tenant: TenantId, meta: &EventMeta<'_>, payload: Payload<'_>) -> Vec<u8> {
        cloud_event::write(tenant, &self.meta(meta), self.content(meta.event_type, payload))
    }

    /// Meta's own envelope. `None` where nothing is left of it that a client of Meta's would understand: under
    /// [`Fields::Ids`] and [`Fields::Metadata`] always, under [`Fields::Masked`] for what is no JSON.
    #[must_use]
    pub fn envelope<'p>(&self, payload: &'p [u8]) -> Option<Cow<'p, [u8]>> {
        match self.fields {
            Fields::Full => Some(Cow::Borrowed(payload)),
            Fields::Masked => Some(Cow::Owned(rewritten(event_json::json(payload)?, Mask::Plain)?.into_bytes())),
            Fields::Ids | Fields::Metadata => None,
        }
    }

    /// The id by which the reader knows a contact.
    #[must_use]
    pub fn contact(&self, contact: ContactId) -> ContactId {
        self.pseudonyms.map_or(contact, |pseudonyms| pseudonyms.of(contact))
    }

    fn meta<'m>(&self, meta: &EventMeta<'m>) -> EventMeta<'m> {
        let contact = meta.contact.map(|contact| self.contact(contact));
        let phone_number_id = meta.phone_number_id.filter(|_| self.fields > Fields::Ids);
        EventMeta { phone_number_id, contact, ..*meta }
    }

    fn content<'p>(&self, event_type: &str, payload: Payload<'p>) -> Content<'p> {
        let content = Content::of(event_type, payload);
        if content.own && (self.pseudonyms.is_some() || self.fields < Fields::Full) {
            let rule = Own::new(self.fields, self.pseudonyms);
            return Content { item: content.item.and_then(|item| again(&item, rule)), ..content };
        }
        match self.fields {
            Fields::Full => content,
            Fields::Masked => masked(content),
            Fields::Metadata => described(content),
            Fields::Ids => Content { erased: content.erased, damaged: content.damaged, ..Content::default() },
        }
    }
}

fn masked(content: Content<'_>) -> Content<'_> {
    Content {
        item: content.item.and_then(|item| again(&item, Mask::Plain)),
        thread_id: content.thread_id.and_then(|thread| again(&thread, Mask::Hidden)),
        contacts: content.contacts.and_then(|contacts| again(&contacts, Mask::Card)),
        metadata: content.metadata.and_then(|metadata| again(&metadata, Mask::Plain)),
        meta: content.meta.and_then(|meta| again(&meta, Mask::Plain)),
        withheld: content.raw_base64.is_some(),
        raw_base64: None,
        ..content
    }
}

fn described(content: Content<'_>) -> Content<'_> {
    Content {
        field: content.field.filter(|field| metadata::is_word(field)),
        item: content.item.and_then(|item| again(&item, Descriptive::Inside)),
        metadata: content.metadata.and_then(|metadata| again(&metadata, Descriptive::Inside)),
        erased: content.erased,
        damaged: content.damaged,
        ..Content::default()
    }
}

/// What a rule leaves of a value. `None`: nothing.
fn again<'a>(value: &RawValue, rule: impl Rule) -> Option<Cow<'a, RawValue>> {
    RawValue::from_string(rewritten(value, rule)?).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests;
