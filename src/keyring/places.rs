//! The places of sealed values: which row and column each envelope is bound to. One list, so that the room that seals and the
//! room that opens cannot disagree.

use sha2::{Digest, Sha256};
use time::Date;
use uuid::Uuid;

use crate::crypto::context::Context;
use crate::ids::{ChannelId, ConsentId, ContactId, EventId, MediaId, MessageId, TenantId};

/// Content of an event.
#[must_use]
pub fn event_payload(tenant: TenantId, event: EventId, contact: Option<ContactId>) -> Context {
    let contact = contact.map_or(Uuid::nil(), ContactId::uuid);
    Context { tenant: tenant.uuid(), table: "event_payload", column: "payload", row: event.uuid(), contact }
}

/// What an application asked us to send.
#[must_use]
pub const fn message_request(tenant: TenantId, message: MessageId, contact: ContactId) -> Context {
    Context { tenant: tenant.uuid(), table: "message", column: "request", row: message.uuid(), contact: contact.uuid() }
}

/// The template that goes out when the request is no longer allowed.
#[must_use]
pub const fn message_fallback(tenant: TenantId, message: MessageId, contact: ContactId) -> Context {
    Context {
        tenant: tenant.uuid(),
        table: "message",
        column: "fallback",
        row: message.uuid(),
        contact: contact.uuid(),
    }
}

/// What a batch of messages was answered, for its repetition. `first` is its first message.
#[must_use]
pub const fn batch_answer(tenant: TenantId, first: MessageId) -> Context {
    Context { tenant: tenant.uuid(), table: "idempotency", column: "answer", row: first.uuid(), contact: Uuid::nil() }
}

/// What Meta answered.
#[must_use]
pub const fn message_answer(tenant: TenantId, message: MessageId, contact: ContactId) -> Context {
    Context { tenant: tenant.uuid(), table: "message", column: "answer", row: message.uuid(), contact: contact.uuid() }
}

/// A file in the object store.
#[must_use]
pub fn media_object(tenant: TenantId, media: MediaId, contact: Option<ContactId>) -> Context {
    Context { column: "object", ..media_details(tenant, media, contact) }
}

/// What is known of a file beside its bytes.
#[must_use]
pub fn media_details(tenant: TenantId, media: MediaId, contact: Option<ContactId>) -> Context {
    let contact = contact.map_or(Uuid::nil(), ContactId::uuid);
    Context { tenant: tenant.uuid(), table: "media", column: "details", row: media.uuid(), contact }
}

/// Meta's id of a file that was uploaded through a channel. Belongs to nobody, so that the channel stands where a contact would:
/// an id of one channel is not taken for that of another.
#[must_use]
pub const fn media_at_meta(tenant: TenantId, media: MediaId, channel: ChannelId) -> Context {
    Context {
        tenant: tenant.uuid(),
        table: "media_at_meta",
        column: "meta_id",
        row: media.uuid(),
        contact: channel.uuid(),
    }
}

/// What Meta last called a person.
#[must_use]
pub const fn contact_profile(tenant: TenantId, contact: ContactId) -> Context {
    Context { tenant: tenant.uuid(), table: "contact", column: "profile", row: contact.uuid(), contact: contact.uuid() }
}

/// What a person agreed to, or refused.
#[must_use]
pub const fn consent_wording(tenant: TenantId, consent: ConsentId, contact: ContactId) -> Context {
    Context { tenant: tenant.uuid(), table: "consent", column: "wording", row: consent.uuid(), contact: contact.uuid() }
}

/// What Meta says of a template. Its id is a number of Meta's: as such, it is the row.
#[must_use]
pub fn template(tenant: TenantId, template: &str) -> Context {
    let row = Uuid::from_u128(template.parse().unwrap_or_default());
    Context { tenant: tenant.uuid(), table: "template", column: "content", row, contact: Uuid::nil() }
}

/// A secret or URL that an operator set up. `table` and `column` as in the schema.
#[must_use]
pub const fn setting(tenant: Uuid, table: &'static str, column: &'static str, row: Uuid) -> Context {
    Context { tenant, table, column, row, contact: Uuid::nil() }
}

/// What is known of the rows of a table and day. The row is named after both: the first 16 bytes of SHA-256 over the table, a blank and
/// the day as `YYYY-MM-DD`.
#[must_use]
pub fn row_mark(tenant: TenantId, counted: &str, day: Date) -> Context {
    let hash: [u8; 32] = Sha256::digest(format!("{counted} {day}")).into();
    let row = Uuid::from_u128(hash.iter().take(16).fold(0, |all, byte| all << 8 | u128::from(*byte)));
    Context { tenant: tenant.uuid(), table: "row_mark", column: "content", row, contact: Uuid::nil() }
}

/// Which rows were removed at once.
#[must_use]
pub const fn row_removal(tenant: TenantId, removal: Uuid) -> Context {
    Context { tenant: tenant.uuid(), table: "row_removal", column: "content", row: removal, contact: Uuid::nil() }
}
