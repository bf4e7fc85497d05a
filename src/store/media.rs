//! Files: which of those that people sent are still to be fetched, and what became of each. Every write here carries the epoch of the
//! lane.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::replays::partitions_of;
use super::{Connection, Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::domain::file::FileKind;
use crate::ids::{ChannelId, ContactId, MediaId, TenantId};

/// A file that is to be fetched now.
#[derive(Debug)]
pub struct DueMedia {
    /// Its id, which is that of the event.
    pub media: MediaId,
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
        /// What it is for Meta; `None`: of a type that Meta takes from nobody.
        kind: Option<FileKind>,
        /// Its type and name.
        details: Sealed,
    },
    /// There is nothing to be had; why, in a word from the list that the table holds.
    Lost(&'static str),
}

/// A file as it is known.
#[derive(Debug, Clone)]
pub struct MediaRow {
    /// Which.
    pub media: MediaId,
    /// Through which channel it came, or may be sent; `None`: through every one.
    pub channel: Option<ChannelId>,
    /// Whom it is about.
    pub contact: Option<ContactId>,
    /// `in` or `out`.
    pub direction: String,
    /// What it is for Meta.
    pub kind: Option<String>,
    /// `waiting`, `arriving`, `stored`, `deleting` or `lost`.
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
            media: MediaId::from_uuid(row.media_id),
            part_day: row.part_day,
            contact: row.contact_id.map(ContactId::from_uuid),
            attempts: row.attempts,
            payload: row.payload.map(Sealed::from_stored),
        });
        Ok(due.collect())
    }

    /// Has a file fetched again later. False: the lane is somebody else's.
    pub async fn postpone_media(
        &self,
        lane: OwnedLane,
        media: MediaId,
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

    /// One file, there or not.
    pub async fn find_media(&self, tenant: TenantId, media: MediaId) -> Result<Option<MediaRow>, StoreError> {
        let row = sqlx::query_as!(
            Listed,
            r#"SELECT media_id AS "media_id!", channel_id, contact_id, direction AS "direction!", kind, state AS "state!", reason, bytes,
                      details::bytea AS "details?"
               FROM media WHERE tenant_id = $1 AND media_id = $2
               UNION ALL
               SELECT media_id, channel_id, contact_id, 'in', NULL, 'waiting', NULL, NULL, NULL
               FROM media_fetch WHERE tenant_id = $1 AND media_id = $2"#,
            tenant.uuid(),
            media.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?.map(MediaRow::from))
    }

    /// The message that brought a file, which may be kept nowhere. `None`: no such message.
    pub async fn find_bringer(&self, tenant: TenantId, media: MediaId) -> Result<Option<Bringer>, StoreError> {
        let event = media.event();
        let (first, last) = partitions_of(event.day(), event.day());
        let row = sqlx::query!(
            r#"SELECT e.channel_id, e.contact_id, p.payload::bytea AS "payload?"
               FROM event e LEFT JOIN LATERAL (
                   SELECT payload FROM event_payload
                   WHERE tenant_id = $1 AND part_day = e.part_day AND event_id = e.event_id LIMIT 1
               ) p ON true
               WHERE e.tenant_id = $1 AND e.part_day BETWEEN $2 AND $3 AND e.event_id = $4 AND e.type = 'message.received'"#,
            tenant.uuid(),
            first,
            last,
            event.uuid(),
        );
        let row = row.fetch_optional(self.reading(tenant)).await?;
        Ok(row.map(|row| Bringer {
            channel: row.channel_id.map(ChannelId::from_uuid),
            contact: row.contact_id.map(ContactId::from_uuid),
            payload: row.payload.map(Sealed::from_stored),
        }))
    }

    /// Files of these channels, newest first, older than `before`. `None`: of all, and of none in particular.
    pub async fn page_of_media(
        &self,
        tenant: TenantId,
        before: Uuid,
        channels: Option<&[Uuid]>,
        limit: i64,
    ) -> Result<Vec<MediaRow>, StoreError> {
        let rows = sqlx::query_as!(
            Listed,
            r#"(SELECT media_id AS "media_id!", channel_id, contact_id, direction AS "direction!", kind, state AS "state!", reason, bytes,
                       NULL::bytea AS "details?"
                FROM media
                WHERE tenant_id = $1 AND media_id < $2 AND ($3::uuid[] IS NULL OR channel_id = ANY($3))
                ORDER BY media_id DESC LIMIT $4)
               UNION ALL
               (SELECT media_id, channel_id, contact_id, 'in', NULL, 'waiting', NULL, NULL, NULL
                FROM media_fetch
                WHERE tenant_id = $1 AND media_id < $2 AND ($3::uuid[] IS NULL OR channel_id = ANY($3))
                ORDER BY media_id DESC LIMIT $4)
               ORDER BY 1 DESC LIMIT $4"#,
            tenant.uuid(),
            before,
            channels,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?.into_iter().map(MediaRow::from).collect())
    }
}

/// A message that may have brought a file.
#[derive(Debug)]
pub struct Bringer {
    /// Through which channel.
    pub channel: Option<ChannelId>,
    /// From whom.
    pub contact: Option<ContactId>,
    /// The event; absent once dropped.
    pub payload: Option<Sealed>,
}

/// A row as it is read.
struct Listed {
    media_id: Uuid,
    channel_id: Option<Uuid>,
    contact_id: Option<Uuid>,
    direction: String,
    kind: Option<String>,
    state: String,
    reason: Option<String>,
    bytes: Option<i64>,
    details: Option<Vec<u8>>,
}

impl From<Listed> for MediaRow {
    fn from(row: Listed) -> Self {
        Self {
            media: MediaId::from_uuid(row.media_id),
            channel: row.channel_id.map(ChannelId::from_uuid),
            contact: row.contact_id.map(ContactId::from_uuid),
            direction: row.direction,
            kind: row.kind,
            state: row.state,
            reason: row.reason,
            bytes: row.bytes,
            details: row.details.map(Sealed::from_stored),
        }
    }
}

/// Records what became of a file. False: the lane is somebody else's, or it was recorded before.
pub async fn settle(
    connection: &mut Connection,
    lane: OwnedLane,
    media: MediaId,
    end: &MediaEnd,
    now: OffsetDateTime,
) -> Result<bool, StoreError> {
    let (state, reason, bytes, kind, details) = match end {
        MediaEnd::Stored { bytes, kind, details } => {
            ("stored", None, Some(*bytes), kind.map(FileKind::as_str), Some(details.as_bytes()))
        }
        MediaEnd::Lost(reason) => ("lost", Some(*reason), None, None, None),
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
         INSERT INTO media (tenant_id, media_id, channel_id, contact_id, state, reason, bytes, kind, details, settled_at)
         SELECT $1, media_id, channel_id, contact_id, $6, $7, $8, $9, $10::bytea, $11 FROM fetched",
        lane.tenant.uuid(),
        lane.owner,
        lane.shard,
        lane.epoch,
        media.uuid(),
        state,
        reason,
        bytes,
        kind,
        details,
        now,
    );
    Ok(done.execute(connection).await?.rows_affected() == 1)
}
