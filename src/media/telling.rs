//! What became of a file that somebody sent: recorded together with the event that tells applications of it.

use serde_json::json;

use super::Fetcher;
use crate::directory::{ChannelEvent, OwnEvent};
use crate::domain::event::EventType;
use crate::domain::file::FileKind;
use crate::ids::ChannelId;
use crate::keyring::KeyringError;
use crate::store::lanes::OwnedLane;
use crate::store::media::{self, DueMedia, MediaEnd};
use crate::store::{Store, StoreError, events};

/// Why it was not recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum TellError {
    #[error("the database is away")]
    Store(#[from] StoreError),
    #[error("the keys are away")]
    Keys(#[from] KeyringError),
}

impl TellError {
    /// Whether no later attempt records it.
    pub(super) fn is_for_good(&self) -> bool {
        matches!(self, Self::Keys(error) if !error.is_retryable())
    }
}

impl Fetcher {
    /// Records the end of a file and tells the endpoints, in one commit. False: the lane is somebody else's, or it was recorded before.
    pub(super) async fn tell(&self, lane: OwnedLane, due: &DueMedia, end: &MediaEnd) -> Result<bool, TellError> {
        let now = self.clock.now();
        self.store.ensure_partitions(now.date()).await?;
        let event_type = match end {
            MediaEnd::Stored { .. } => EventType::MediaStored,
            MediaEnd::Lost(_) => EventType::MediaFailed,
        };
        let (tenant, channel, details) = (lane.tenant, ChannelId::from_uuid(lane.owner), told(due, end));
        let snapshot = self.directory.snapshot();
        let event = match due.contact {
            Some(contact) => {
                let (channel, message, error_code) = (Some(channel), None, None);
                let own = OwnEvent { tenant, event_type, channel, contact, message, error_code, details };
                own.file(&self.keyring, &snapshot, now).await?
            }
            None => {
                let own = ChannelEvent { tenant, channel, event_type, details, at: now };
                own.file(&self.keyring, &snapshot).await?
            }
        };
        let mut transaction = self.store.begin().await?;
        if !media::settle(&mut transaction, lane, due.media, end, now).await? {
            return Ok(false);
        }
        events::insert_batch(&mut transaction, tenant, std::slice::from_ref(&event), now).await?;
        Store::commit(transaction).await?;
        for (owner, _) in &event.owed_to {
            self.bells.ring(owner.uuid());
        }
        self.bells.ring_for_events();
        Ok(true)
    }
}

/// Our ids and words alone: where the file is to be had, and not where Meta has it.
fn told(due: &DueMedia, end: &MediaEnd) -> serde_json::Value {
    let media = due.media;
    match end {
        MediaEnd::Stored { bytes, kind, .. } => json!({
            "media_id": media, "event_id": media, "state": "stored", "kind": kind.map(FileKind::as_str), "bytes": bytes,
            "path": format!("/v1/media/{media}"),
        }),
        MediaEnd::Lost(reason) => json!({ "media_id": media, "event_id": media, "state": "lost", "reason": reason }),
    }
}
