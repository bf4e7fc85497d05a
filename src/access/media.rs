//! Files behind the door: what is known of one, and the key that opens it, once the reading was recorded.

use std::sync::Arc;

use uuid::Uuid;

use super::admission::Reading;
use super::door::{Door, DoorError};
use super::errand::Errand;
use super::open::Keys;
use super::views::{Content, Page, one_more};
use super::{Caller, Permission};
use crate::audit::{Action, Object};
use crate::crypto::envelope::Sealed;
use crate::crypto::versions;
use crate::domain::channel::MediaMode;
use crate::ids::{ChannelId, ContactId, MediaId, TenantId};
use crate::keyring::{OwnedDek, places};
use crate::meta::client::media::NamedFile;
use crate::store::media::MediaRow;

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
    /// It is at Meta, and is passed on to whoever asks while Meta has it.
    AtMeta,
    /// It was left at Meta, as its channel says.
    NotKept,
}

/// A file, opened so far that it can be read.
#[derive(Debug)]
pub struct MediaView {
    /// Owner.
    pub tenant: TenantId,
    /// Its id.
    pub id: MediaId,
    /// Through which channel it came, or may be sent; `None`: through every one.
    pub channel: Option<ChannelId>,
    /// Whom it is about.
    pub contact: Option<ContactId>,
    /// Whether an application handed it over.
    pub is_outbound: bool,
    /// What it is for Meta.
    pub kind: Option<String>,
    /// What became of it.
    pub state: MediaState,
    /// Its length, when it is stored.
    pub bytes: Option<i64>,
    /// Its type and name, as JSON.
    pub details: Option<Content>,
    /// What opens it.
    pub key: Option<Arc<OwnedDek>>,
    /// What its message says of it, when Meta alone has it.
    pub named: Option<NamedFile>,
}

impl MediaView {
    fn of(tenant: TenantId, row: MediaRow) -> (Self, Option<Sealed>) {
        let state = match row.state.as_str() {
            "stored" => MediaState::Stored,
            "lost" => MediaState::Lost(row.reason.unwrap_or_default()),
            "deleting" => MediaState::Lost("deleted".to_owned()),
            _ => MediaState::Waiting,
        };
        let sealed = row.details.filter(|_| state == MediaState::Stored);
        let view = Self {
            tenant,
            id: row.media,
            channel: row.channel,
            contact: row.contact,
            is_outbound: row.direction == "out",
            kind: row.kind,
            bytes: row.bytes.filter(|_| state == MediaState::Stored),
            state,
            details: None,
            key: None,
            named: None,
        };
        (view, sealed)
    }
}

impl Caller {
    /// Whether it may see and use a file of this channel, or of none in particular.
    #[must_use]
    pub fn may_use_file(&self, channel: Option<ChannelId>) -> bool {
        channel.map_or(self.channels.is_empty(), |channel| self.may_use(channel))
    }
}

impl Door {
    /// One file. `None`: unknown, without a file, or of another channel.
    pub async fn media(&self, who: &Caller, errand: &Errand, id: MediaId) -> Result<Option<MediaView>, DoorError> {
        self.admit(who, errand, Permission::MediaRead).await?;
        let Some(row) = self.store.find_media(who.tenant, id).await? else {
            return self.media_at_meta(who, errand, id).await;
        };
        if !who.may_use_file(row.channel) {
            return Ok(None);
        }
        let (mut view, sealed) = MediaView::of(who.tenant, row);
        if view.contact.is_some_and(|contact| self.withholds(who, &[contact.uuid()])) {
            return Err(DoorError::Held);
        }
        let Some(sealed) = sealed else { return Ok(Some(view)) };
        let people = view.contact.map(ContactId::uuid).into_iter().collect();
        let reading = Reading::one(Action::MediaRead, Object::one("media", id.uuid()));
        let recorded = self.record(who, errand, reading.of(view.channel, 1, people)).await?;
        let tenant = recorded.tenant();
        let keys = Keys::fetch(&self.keyring, tenant, sealed.dek_id().into_iter().collect()).await?;
        view.key = keys.shared(&sealed);
        if view.key.is_none() {
            view.state = MediaState::Erased;
        }
        view.details = Some(keys.open(&places::media_details(tenant, id, view.contact), &sealed));
        Ok(Some(view))
    }

    /// A file that is kept nowhere, because its channel passes files on, or leaves them.
    async fn media_at_meta(&self, who: &Caller, errand: &Errand, id: MediaId) -> Result<Option<MediaView>, DoorError> {
        let tenant = who.tenant;
        let Some(bringer) = self.store.find_bringer(tenant, id).await? else { return Ok(None) };
        let Some(channel) = bringer.channel.filter(|channel| who.may_use(*channel)) else { return Ok(None) };
        let mode = self.directory.snapshot().channel(tenant, channel).map(|channel| channel.media);
        let state = match mode {
            Some(MediaMode::Proxy) => MediaState::AtMeta,
            Some(MediaMode::Never) => MediaState::NotKept,
            Some(MediaMode::Store) | None => return Ok(None),
        };
        let Some(sealed) = bringer.payload else { return Ok(None) };
        let people = bringer.contact.map(ContactId::uuid).into_iter().collect();
        let reading = Reading::one(Action::MediaRead, Object::one("media", id.uuid()));
        let recorded = self.record(who, errand, reading.of(Some(channel), 1, people)).await?;
        let keys = Keys::fetch(&self.keyring, recorded.tenant(), sealed.dek_id().into_iter().collect()).await?;
        let opened = keys.open(&places::event_payload(tenant, id.event(), bringer.contact), &sealed);
        let (named, state) = match &opened {
            Content::Opened(envelope) => match NamedFile::find(versions::rest(envelope)) {
                Some(named) => (Some(named), state),
                None => return Ok(None),
            },
            _ => (None, MediaState::Erased),
        };
        Ok(Some(MediaView {
            tenant,
            id,
            channel: Some(channel),
            contact: bringer.contact,
            is_outbound: false,
            kind: None,
            state,
            bytes: None,
            details: None,
            key: None,
            named,
        }))
    }

    /// Files, newest first, older than `before`: ids, states and lengths, and nothing that has to be opened.
    pub async fn list_media(
        &self,
        who: &Caller,
        errand: &Errand,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<MediaView, Uuid>, DoorError> {
        self.admit(who, errand, Permission::MediaRead).await?;
        let channels: Vec<Uuid> = who.channels.iter().map(|channel| channel.uuid()).collect();
        let channels = (!channels.is_empty()).then_some(channels);
        let before = before.unwrap_or(Uuid::max());
        let mut rows = self.store.page_of_media(who.tenant, before, channels.as_deref(), one_more(limit)).await?;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().map(|row| row.media.uuid()).filter(|_| has_more);
        rows.retain(|row| row.contact.is_none_or(|contact| !self.withholds(who, &[contact.uuid()])));
        let items = rows.into_iter().map(|row| MediaView::of(who.tenant, row).0).collect();
        Ok(Page { items, next, has_more })
    }
}
