//! Files that applications hand over: kept, uploaded at Meta once for each channel, deleted.

use time::OffsetDateTime;
use uuid::Uuid;

use super::lanes::OwnedLane;
use super::{Store, StoreError};
use crate::crypto::envelope::Sealed;
use crate::domain::file::FileKind;
use crate::ids::{ChannelId, ContactId, ErasureId, MediaId, MessageId, TenantId};

/// Files of one sweep.
const SWEPT: i64 = 100;

/// A file that begins to arrive.
#[derive(Debug, Clone, Copy)]
pub struct NewUpload {
    /// Owner.
    pub tenant: TenantId,
    /// Which.
    pub media: MediaId,
    /// Through which channel alone it may be sent.
    pub channel: Option<ChannelId>,
    /// Whom it is about.
    pub contact: Option<ContactId>,
    /// What it is for Meta.
    pub kind: FileKind,
}

/// What has to be known of a file before it is sent.
#[derive(Debug, Clone)]
pub struct Sendable {
    /// Which.
    pub media: MediaId,
    /// Through which channel alone it may be sent.
    pub channel: Option<ChannelId>,
    /// What it is for Meta.
    pub kind: Option<FileKind>,
    /// Whether it is there.
    pub is_stored: bool,
}

/// A file that somebody began with and did not live to finish.
#[derive(Debug, Clone, Copy)]
pub struct Unfinished {
    /// Owner.
    pub tenant: TenantId,
    /// Which.
    pub media: MediaId,
    /// Whom it is about.
    pub contact: Option<ContactId>,
    /// Whether it was being deleted; else it was arriving.
    pub is_deleted: bool,
}

impl Store {
    /// Says that a file arrives, before any of it is kept. Broken off: whom it is about is being erased, and is nobody when it is
    /// tried again.
    pub async fn begin_upload(&self, new: &NewUpload, now: OffsetDateTime) -> Result<(), StoreError> {
        let begun = sqlx::query!(
            "INSERT INTO media (tenant_id, media_id, channel_id, contact_id, direction, kind, state, settled_at)
             SELECT $1, $2, $3, $4, 'out', $5, 'arriving', $6
             WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = $4)",
            new.tenant.uuid(),
            new.media.uuid(),
            new.channel.map(ChannelId::uuid),
            new.contact.map(ContactId::uuid),
            new.kind.as_str(),
            now,
        );
        if begun.execute(&self.data).await?.rows_affected() == 1 { Ok(()) } else { Err(StoreError::BrokenOff) }
    }

    /// Says that all of it is there. False: it took so long that it was swept, or whom it is about was erased meanwhile.
    pub async fn finish_upload(
        &self,
        tenant: TenantId,
        media: MediaId,
        (bytes, details): (i64, &Sealed),
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE media SET state = 'stored', bytes = $3, details = $4::bytea, settled_at = $5
             WHERE tenant_id = $1 AND media_id = $2 AND state = 'arriving' AND NOT EXISTS (
                 SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = media.contact_id)",
            tenant.uuid(),
            media.uuid(),
            bytes,
            details.as_bytes(),
            now,
        );
        Ok(done.execute(&self.data).await?.rows_affected() == 1)
    }

    /// Gives up a file that did not arrive, so that it cannot be said any more that it did. False: that was said already.
    pub async fn give_up_upload(
        &self,
        tenant: TenantId,
        media: MediaId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE media SET state = 'deleting', settled_at = $3
             WHERE tenant_id = $1 AND media_id = $2 AND state = 'arriving'",
            tenant.uuid(),
            media.uuid(),
            now,
        );
        Ok(done.execute(&self.data).await?.rows_affected() == 1)
    }

    /// Forgets a file that did not arrive. Nothing of it may lie in the object store any more.
    pub async fn forget_upload(&self, tenant: TenantId, media: MediaId) -> Result<(), StoreError> {
        sqlx::query!(
            "DELETE FROM media WHERE tenant_id = $1 AND media_id = $2
               AND (state = 'arriving' OR state = 'deleting' AND bytes IS NULL)",
            tenant.uuid(),
            media.uuid(),
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Those of these files that applications handed over.
    pub async fn sendable_media(&self, tenant: TenantId, files: &[Uuid]) -> Result<Vec<Sendable>, StoreError> {
        let rows = sqlx::query!(
            "SELECT media_id, channel_id, kind, state FROM media
             WHERE tenant_id = $1 AND media_id = ANY($2) AND direction = 'out'",
            tenant.uuid(),
            files,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter().map(|row| Sendable {
            media: MediaId::from_uuid(row.media_id),
            channel: row.channel_id.map(ChannelId::from_uuid),
            kind: row.kind.as_deref().and_then(FileKind::parse),
            is_stored: row.state == "stored",
        });
        Ok(rows.collect())
    }

    /// Meta's ids of those of these files that were uploaded through this channel and that Meta has until then.
    pub async fn media_at_meta(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        files: &[Uuid],
        until: OffsetDateTime,
    ) -> Result<Vec<(MediaId, Sealed)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT media_id, meta_id::bytea AS "meta_id!" FROM media_at_meta m
               WHERE tenant_id = $1 AND channel_id = $2 AND media_id = ANY($3) AND expires_at > $4
                 -- One that is being deleted is not sent any more.
                 AND EXISTS (SELECT 1 FROM media WHERE tenant_id = $1 AND media_id = m.media_id AND state = 'stored')"#,
            tenant.uuid(),
            channel.uuid(),
            files,
            until,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter();
        Ok(rows.map(|row| (MediaId::from_uuid(row.media_id), Sealed::from_stored(row.meta_id))).collect())
    }

    /// Remembers Meta's id of a file. Of two that were uploaded at the same time, the one that lives longer stays: each is right.
    /// False: it was not this one, or the file is being deleted.
    pub async fn note_at_meta(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        media: MediaId,
        meta_id: &Sealed,
        expires_at: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "INSERT INTO media_at_meta AS m (tenant_id, media_id, channel_id, meta_id, expires_at)
             SELECT $1, media_id, $3, $4::bytea, $5 FROM media
             WHERE tenant_id = $1 AND media_id = $2 AND state = 'stored' FOR SHARE
             ON CONFLICT (tenant_id, media_id, channel_id) DO UPDATE
             SET meta_id = EXCLUDED.meta_id, expires_at = EXCLUDED.expires_at
             WHERE m.expires_at <= EXCLUDED.expires_at",
            tenant.uuid(),
            media.uuid(),
            channel.uuid(),
            meta_id.as_bytes(),
            expires_at,
        );
        Ok(done.execute(&self.data).await?.rows_affected() == 1)
    }

    /// Meta's ids of a file, through whichever channels.
    pub async fn everywhere_at_meta(
        &self,
        tenant: TenantId,
        media: MediaId,
    ) -> Result<Vec<(ChannelId, Sealed)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT channel_id, meta_id::bytea AS "meta_id!" FROM media_at_meta
               WHERE tenant_id = $1 AND media_id = $2 ORDER BY channel_id"#,
            tenant.uuid(),
            media.uuid(),
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter();
        Ok(rows.map(|row| (ChannelId::from_uuid(row.channel_id), Sealed::from_stored(row.meta_id))).collect())
    }

    /// Forgets Meta's id of a file through this channel.
    pub async fn forget_at_meta(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        media: MediaId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "DELETE FROM media_at_meta WHERE tenant_id = $1 AND media_id = $2 AND channel_id = $3",
            tenant.uuid(),
            media.uuid(),
            channel.uuid(),
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Forgets the same of a file that Meta did not delete, and counts it with the erasure that it was to be deleted for.
    pub async fn leave_at_meta(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        media: MediaId,
        erasure: ErasureId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "WITH gone AS (
                 DELETE FROM media_at_meta WHERE tenant_id = $1 AND media_id = $2 AND channel_id = $3 RETURNING media_id
             )
             INSERT INTO erasure_count (tenant_id, erasure_id, counted, removed) SELECT $1, $4, 'left_at_meta', 1 FROM gone
             ON CONFLICT (tenant_id, erasure_id, counted) DO UPDATE SET removed = erasure_count.removed + 1",
            tenant.uuid(),
            media.uuid(),
            channel.uuid(),
            erasure.uuid(),
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// How many files Meta did not delete for an erasure.
    pub async fn left_at_meta(&self, tenant: TenantId, id: ErasureId) -> Result<i64, StoreError> {
        let left = sqlx::query_scalar!(
            "SELECT removed FROM erasure_count WHERE tenant_id = $1 AND erasure_id = $2 AND counted = 'left_at_meta'",
            tenant.uuid(),
            id.uuid(),
        );
        Ok(left.fetch_optional(self.reading(tenant)).await?.unwrap_or(0))
    }

    /// Begins to delete a file, or goes on with it: nobody reads or sends it from now on. False: there is none, or
    /// somebody holds the data of whom it is about.
    pub async fn begin_deleting_media(
        &self,
        tenant: TenantId,
        media: MediaId,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE media SET state = 'deleting', settled_at = $3
             WHERE tenant_id = $1 AND media_id = $2 AND (state = 'deleting' OR state = 'stored' AND NOT EXISTS (
                 SELECT 1 FROM hold h
                 WHERE h.tenant_id = $1 AND h.state = 'active' AND h.expires_at > $3 AND h.contact_id IN (
                     SELECT media.contact_id
                     UNION ALL SELECT c.merged_into FROM contact c WHERE c.tenant_id = $1 AND c.contact_id = media.contact_id
                     UNION ALL SELECT c.contact_id FROM contact c WHERE c.tenant_id = $1 AND c.merged_into = media.contact_id)))",
            tenant.uuid(),
            media.uuid(),
            now,
        );
        Ok(done.execute(&self.data).await?.rows_affected() == 1)
    }

    /// Says that nothing is left of a file.
    pub async fn finish_deleting_media(
        &self,
        tenant: TenantId,
        media: MediaId,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE media SET state = 'lost', reason = 'deleted', bytes = NULL, details = NULL, settled_at = $3
             WHERE tenant_id = $1 AND media_id = $2 AND state = 'deleting'",
            tenant.uuid(),
            media.uuid(),
            now,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// What began to arrive, or to be deleted, before these times and was not finished; of any tenant.
    pub async fn unfinished_media(
        &self,
        arriving: OffsetDateTime,
        deleting: OffsetDateTime,
    ) -> Result<Vec<Unfinished>, StoreError> {
        let rows = sqlx::query!(
            "SELECT tenant_id, media_id, contact_id, state FROM media
             WHERE (state = 'arriving' AND settled_at < $1) OR (state = 'deleting' AND settled_at < $2)
             LIMIT $3",
            arriving,
            deleting,
            SWEPT,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter().map(|row| Unfinished {
            tenant: TenantId::from_uuid(row.tenant_id),
            media: MediaId::from_uuid(row.media_id),
            contact: row.contact_id.map(ContactId::from_uuid),
            is_deleted: row.state == "deleting",
        });
        Ok(rows.collect())
    }

    /// Makes messages due at once that were put back until their file is at Meta.
    pub async fn hasten_messages(
        &self,
        lane: OwnedLane,
        messages: &[MessageId],
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE outbox SET next_at = $4
             WHERE tenant_id = $1 AND channel_id = $2 AND message_id = ANY($3) AND sending_epoch IS NULL AND next_at > $4
               AND EXISTS (
                   SELECT 1 FROM lane
                   WHERE tenant_id = $1 AND kind = 2 AND owner_id = $2 AND shard = $5 AND epoch = $6)",
            lane.tenant.uuid(),
            lane.owner,
            &messages.iter().map(|message| message.uuid()).collect::<Vec<_>>(),
            now,
            lane.shard,
            lane.epoch,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }
}
