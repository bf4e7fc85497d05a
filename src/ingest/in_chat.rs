//! What people ask about their data in the chat, kept with the event in which they do.

use time::OffsetDateTime;

use super::write_error::WriteError;
use crate::domain::consent::Said;
use crate::domain::event::Item;
use crate::domain::in_chat::{Asks, CODE_HOLDS, Words};
use crate::ids::{ChannelId, ContactId, EventId, PrivacyRequestId, TenantId};
use crate::keyring::TenantKeys;
use crate::store::Connection;
use crate::store::events::NewEvent;
use crate::store::in_chat::{self, Asking};

/// What an item asks for.
pub(super) fn of(item: &Item, words: &Words) -> Option<Asks> {
    match &item.said {
        Some(Said::Text(text)) => words.read(text),
        Some(Said::Marketing(_)) | None => None,
    }
}

/// Something that was asked, and the event in which it was.
pub(super) struct Chat<'a> {
    event: EventId,
    contact: ContactId,
    channel: ChannelId,
    asks: &'a Asks,
}

impl<'a> Chat<'a> {
    /// `None`: by nobody, or of a number that is not ours.
    pub(super) fn new(event: &NewEvent, asks: Option<&'a Asks>) -> Option<Self> {
        Some(Self { event: event.event_id, contact: event.contact?, channel: event.channel?, asks: asks? })
    }
}

/// Records what was asked and confirmed in the events that are new.
pub(super) async fn record(
    connection: &mut Connection,
    (tenant, keys, now): (TenantId, &TenantKeys, OffsetDateTime),
    chats: &[Chat<'_>],
    stored: &[EventId],
) -> Result<(), WriteError> {
    for Chat { contact, channel, asks, .. } in chats.iter().filter(|chat| stored.contains(&chat.event)) {
        match asks {
            Asks::For(wish, language) => {
                let expires_at = now + CODE_HOLDS;
                let (wish, language) = (wish.as_str(), language.as_str());
                let asking = Asking { contact: *contact, channel: *channel, wish, language, expires_at };
                in_chat::ask(connection, tenant, PrivacyRequestId::new(now).uuid(), &asking, now).await?;
            }
            Asks::Code(code) => {
                let open = in_chat::to_confirm(connection, tenant, (*contact, *channel), now).await?;
                if let Some(id) = open.filter(|id| keys.chat_code(*id) == *code) {
                    in_chat::confirm(connection, tenant, id, now).await?;
                }
            }
        }
    }
    Ok(())
}
