//! Files that people sent: which are still to be fetched, and what became of each. Every write carries the epoch of the lane.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::ids::{ChannelId, ContactId, EventId, TenantId};

/// A file that is to be fetched now.
#[derive(Debug)]
pub struct DueMedia {
    /// The event's id, which is the media's.
    pub media: EventId,
    /// Partition of the event.
    pub part_day: Date,
    /// Who sent it.
    pub contact: Option<ContactId>,
    /// How often it was tried.
    pub attempts: i16,
    /// The event; absent once dropped.
    pub payload: Option<Sealed>,
}

/// What became of a file.
#[derive(Debug, Clone)]
pub enum MediaEnd {
    /// It is in the object store.
    Stored {
        /// Its length as it is kept.
        bytes: i64,
        /// Its type and name.
        details: Sealed,
    },
    /// There is nothing to be had; why, in a word from the list that the table holds.
    Lost(&'static str),
}

/// A file as it is known.
#[derive(Debug, Clone)]
pub struct MediaRow {
    /// Through which channel it came.
    pub channel: ChannelId,
    /// Who sent it.
    pub contact: Option<ContactId>,
    /// `waiting`, `stored` or `lost`.
    pub state: String,
    /// Why it is lost.
    pub reason: Option<String>,
    /// Its length, when it is stored.
    pub bytes: Option<i64>,
    /// Its type and name, when it is stored.
    pub details: Option<Sealed>,
}

impl Store {
    /// What is due in a lane, but for what is in hand. Nothing when the lane is somebody else's.
    pub async fn due_media(
        &self,
        lane: OwnedLane,
        now: OffsetDateTime,
        in_hand: &[Uuid],
        limit: i64,
    ) -> Result<Vec<DueMedia>, StoreError> {
        let rows = sqlx::query!(
            r#"WITH due AS (
                   SELECT media_id, part_day, contact_id, attempts FROM media_fetch
                   WHERE tenant_id = $1 AND channel_id = $2 AND next_at <= $5 AND media_id <> ALL($6)
                     AND EXISTS (
                         SELECT 1 FROM lane
                         WHERE tenant_id = $1 AND kind = 6 AND owner_id = $2 AND shard = $3 AND epoch = $4)
                   ORDER BY next_at, media_id
                   LIMIT $7
               )
               SELECT d.media_id, d.part_day, d.contact_id, d.attempts, p.payload::bytea AS "payload?"
               FROM due d LEFT JOIN LATERAL (
                   SELECT payload FROM event_payload
                   WHERE tenant_id = $1 AND part_day = d.part_day AND event_id = d.media_id LIMIT 1
               ) p ON true"#,
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            now,
            in_hand,
            limit,
        )
        .fetch_all(&self.data)
        .await?;
        let due = rows.into_iter().map(|row| DueMedia {
            media: EventId::from_uuid(row.media_id),
            part_day: row.part_day,
            contact: row.contact_id.map(ContactId::from_uuid),
            attempts: row.attempts,
            payload: row.payload.map(Sealed::from_stored),
        });
        Ok(due.collect())
    }

    /// Records what became of a file. False: the lane is somebody else's, or it was recorded before.
    pub async fn settle_media(
        &self,
        lane: OwnedLane,
        media: EventId,
        end: &MediaEnd,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let (state, reason, bytes, details) = match end {
            MediaEnd::Stored { bytes, details } => ("stored", None, Some(*bytes), Some(details.as_bytes())),
            MediaEnd::Lost(reason) => ("lost", Some(*reason), None, None),
        };
        let done = sqlx::query!(
            "WITH fence AS (
                 SELECT 1 FROM lane
                 WHERE tenant_id = $1 AND kind = 6 AND owner_id = $2 AND shard = $3 AND epoch = $4
                 FOR SHARE
             ), fetched AS (
                 DELETE FROM media_fetch
                 WHERE tenant_id = $1 AND media_id = $5 AND EXISTS (SELECT 1 FROM fence)
                 RETURNING media_id, channel_id, contact_id
             )
             INSERT INTO media (tenant_id, media_id, channel_id, contact_id, state, reason, bytes, details, settled_at)
             SELECT $1, media_id, channel_id, contact_id, $6, $7, $8, $9::bytea, $10 FROM fetched",
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            media.uuid(),
            state,
            reason,
            bytes,
            details,
            now,
        );
        Ok(done.execute(&self.data).await?.rows_affected() == 1)
    }

    /// Has a file fetched again later. False: the lane is somebody else's.
    pub async fn postpone_media(
        &self,
        lane: OwnedLane,
        media: EventId,
        until: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "WITH fence AS (
                 SELECT 1 FROM lane
                 WHERE tenant_id = $1 AND kind = 6 AND owner_id = $2 AND shard = $3 AND epoch = $4
                 FOR SHARE
             )
             UPDATE media_fetch SET next_at = $6, attempts = LEAST(attempts + 1, 10000)
             WHERE tenant_id = $1 AND media_id = $5 AND EXISTS (SELECT 1 FROM fence)",
            lane.tenant.uuid(),
            lane.owner,
            lane.shard,
            lane.epoch,
            media.uuid(),
            until,
        );
        Ok(done.execute(&self.data).await?.rows_affected() == 1)
    }

    /// One file, fetched or not.
    pub async fn find_media(&self, tenant: TenantId, media: EventId) -> Result<Option<MediaRow>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT channel_id AS "channel_id!", contact_id, state AS "state!", reason, bytes, details::bytea AS "details?"
               FROM media WHERE tenant_id = $1 AND media_id = $2
               UNION ALL
               SELECT channel_id, contact_id, 'waiting', NULL, NULL, NULL
               FROM media_fetch WHERE tenant_id = $1 AND media_id = $2"#,
            tenant.uuid(),
            media.uuid(),
        );
        let row = row.fetch_optional(self.reading(tenant)).await?;
        Ok(row.map(|row| MediaRow {
            channel: ChannelId::from_uuid(row.channel_id),
            contact: row.contact_id.map(ContactId::from_uuid),
            state: row.state,
            reason: row.reason,
            bytes: row.bytes,
            details: row.details.map(Sealed::from_stored),
        }))
    }
}
