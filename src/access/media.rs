//! Files behind the door: what is known of one, and the key that opens it, once the reading was recorded.

use std::sync::Arc;

use super::admission::Reading;
use super::door::{Door, DoorError};
use super::errand::Errand;
use super::open::Keys;
use super::views::Content;
use super::{Caller, Permission};
use crate::audit::{Action, Object};
use crate::ids::{ChannelId, ContactId, EventId, TenantId};
use crate::keyring::{OwnedDek, places};

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaState {
    /// It is still to be fetched.
    Waiting,
    /// It is kept.
    Stored,
    /// There is none; why, in a word from a closed list.
    Lost(String),
    /// It was kept, and its key is gone.
    Erased,
}

/// A file, opened so far that it can be read.
#[derive(Debug)]
pub struct MediaView {
    /// Owner.
    pub tenant: TenantId,
    /// The event's id.
    pub id: EventId,
    /// Through which channel it came.
    pub channel: ChannelId,
    /// Who sent it.
    pub contact: Option<ContactId>,
    /// What became of it.
    pub state: MediaState,
    /// Its length, when it is stored.
    pub bytes: Option<i64>,
    /// Its type and name, as JSON.
    pub details: Option<Content>,
    /// What opens it.
    pub key: Option<Arc<OwnedDek>>,
}

impl Door {
    /// One file. `None`: unknown, without a file, or of another channel.
    pub async fn media(&self, who: &Caller, errand: &Errand, id: EventId) -> Result<Option<MediaView>, DoorError> {
        self.admit(who, errand, Permission::MediaRead).await?;
        let row = self.store.find_media(who.tenant, id).await?;
        let Some(row) = row.filter(|row| who.may_use(row.channel)) else { return Ok(None) };
        let mut view = MediaView {
            tenant: who.tenant,
            id,
            channel: row.channel,
            contact: row.contact,
            state: match row.state.as_str() {
                "stored" => MediaState::Stored,
                "lost" => MediaState::Lost(row.reason.unwrap_or_default()),
                _ => MediaState::Waiting,
            },
            bytes: row.bytes,
            details: None,
            key: None,
        };
        let Some(sealed) = row.details else { return Ok(Some(view)) };
        let people = row.contact.map(ContactId::uuid).into_iter().collect();
        let reading = Reading::one(Action::MediaRead, Object::one("media", id.uuid()));
        let recorded = self.record(who, errand, reading.of(Some(row.channel), 1, people)).await?;
        let tenant = recorded.tenant();
        let keys = Keys::fetch(&self.keyring, tenant, sealed.dek_id().into_iter().collect()).await?;
        view.key = keys.shared(&sealed);
        if view.key.is_none() {
            view.state = MediaState::Erased;
        }
        view.details = Some(keys.open(&places::media_details(tenant, id, row.contact), &sealed));
        Ok(Some(view))
    }
}
