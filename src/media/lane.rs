//! The lane of a channel's files: a few at a time, each recorded when it is kept or lost, and tried again otherwise.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Fetcher;
use super::shelf::{Place, Shelf};
use crate::domain::channel::Channel;
use crate::ids::ChannelId;
use crate::store::lanes::OwnedLane;
use crate::store::media::{DueMedia, MediaEnd};
use crate::telemetry;

/// The lane looks this often.
const POLL: time::Duration = time::Duration::seconds(1);
/// Pause after the database failed.
const PAUSE: Duration = Duration::from_millis(250);
/// Seconds before a file is tried again; the last one repeats.
const AGAIN: [i64; 7] = [2, 10, 60, 300, 900, 3600, 10_800];

/// Works on a lane until `stop` is cancelled or the lane is lost. Nothing here must be finished to be right: what is cut off is
/// fetched again.
pub async fn run(fetcher: Fetcher, lane: OwnedLane, stop: CancellationToken) {
    let Some(shelf) = fetcher.shelf.clone() else { return stop.cancelled().await };
    let work = async {
        let mut flying = FuturesUnordered::new();
        let mut in_hand: Vec<Uuid> = Vec::new();
        loop {
            let wake = fetcher.clock.now() + POLL;
            let id = ChannelId::from_uuid(lane.owner);
            let Some(channel) = fetcher.directory.snapshot().channel(lane.tenant, id).cloned() else { return };
            let room = fetcher.max_in_flight.saturating_sub(in_hand.len());
            if room > 0 {
                for due in fetcher.due(lane, &in_hand, room).await {
                    in_hand.push(due.media.uuid());
                    flying.push(fetcher.one(&shelf, lane, channel.clone(), due));
                }
            }
            tokio::select! {
                Some(done) = flying.next() => in_hand.retain(|media| *media != done),
                () = fetcher.clock.wait_until(wake) => {}
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

impl Fetcher {
    async fn due(&self, lane: OwnedLane, in_hand: &[Uuid], room: usize) -> Vec<DueMedia> {
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        match self.store.due_media(lane, self.clock.now(), in_hand, limit).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(channel = %lane.owner, %error, "which files are to be fetched could not be read");
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    /// Sees to one file. Returns which.
    async fn one(&self, shelf: &Shelf, lane: OwnedLane, channel: Arc<Channel>, due: DueMedia) -> Uuid {
        if self.is_too_old(&due) {
            return self.give_up(shelf, lane, &due, "too_old").await;
        }
        let Some(token) = &channel.token else {
            self.postpone(lane, &due).await;
            return due.media.uuid();
        };
        match self.fetch(shelf, &channel, token, &due).await {
            Ok(end) => self.settle(shelf, lane, &due, &end).await,
            Err(failure) => {
                tracing::warn!(media = %due.media, error = %failure, attempts = due.attempts, "a file could not be fetched");
                match failure.loss(due.attempts) {
                    Some(reason) => return self.give_up(shelf, lane, &due, reason).await,
                    None => self.postpone(lane, &due).await,
                }
            }
        }
        due.media.uuid()
    }

    /// What an earlier owner wrote and did not live to record goes first, so that no object is left that no row names.
    async fn give_up(&self, shelf: &Shelf, lane: OwnedLane, due: &DueMedia, reason: &'static str) -> Uuid {
        let place = Place { tenant: lane.tenant, media: due.media, contact: due.contact };
        match shelf.remove(place).await {
            Ok(()) => self.settle(shelf, lane, due, &MediaEnd::Lost(reason)).await,
            Err(error) => {
                tracing::warn!(media = %due.media, %error, "a file that is given up could not be removed yet");
                self.postpone(lane, due).await;
            }
        }
        due.media.uuid()
    }

    /// What cannot be recorded now is fetched again.
    async fn settle(&self, shelf: &Shelf, lane: OwnedLane, due: &DueMedia, end: &MediaEnd) {
        let outcome = if matches!(end, MediaEnd::Lost(_)) { "lost" } else { "stored" };
        match self.tell(lane, due, end).await {
            Ok(true) => metrics::counter!(telemetry::MEDIA_FETCHES, "outcome" => outcome).increment(1),
            // Somebody else's lane by now, who sees to it; or the person was erased meanwhile, and nobody will.
            Ok(false) => self.remove_unowed(shelf, lane, due).await,
            Err(error) => {
                // The person was forgotten meanwhile: when the row is gone, nobody comes back for the file.
                if error.is_for_good() {
                    self.remove_unowed(shelf, lane, due).await;
                }
                tracing::warn!(media = %due.media, %error, "what became of a file could not be recorded yet");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Removes what was fetched for a row that is gone.
    async fn remove_unowed(&self, shelf: &Shelf, lane: OwnedLane, due: &DueMedia) {
        let place = Place { tenant: lane.tenant, media: due.media, contact: due.contact };
        if let Ok(None) = self.store.find_media(lane.tenant, due.media).await
            && let Err(error) = shelf.remove(place).await
        {
            tracing::warn!(media = %due.media, %error, "a file that nobody is owed any more could not be removed");
        }
    }

    async fn postpone(&self, lane: OwnedLane, due: &DueMedia) {
        let rung = usize::from(due.attempts.unsigned_abs()).min(AGAIN.len() - 1);
        metrics::counter!(telemetry::MEDIA_FETCHES, "outcome" => "postponed").increment(1);
        let wait = time::Duration::seconds(AGAIN.get(rung).copied().unwrap_or(10_800));
        if let Err(error) = self.store.postpone_media(lane, due.media, self.clock.now() + wait).await {
            tracing::warn!(media = %due.media, %error, "a file could not be put off");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
