//! Exports: what was asked for, how far each has come, and which are over. Every write of who makes one carries the epoch of its lane, and
//! none is made about somebody who was erased.

use time::OffsetDateTime;
use uuid::Uuid;

use super::audit_entries::{self, NewAuditEntry};
use super::lanes::{self, Kind, OwnedLane};
use super::privacy_deeds::{self, Deed, NewDeed};
use super::{Store, StoreError};
use crate::ids::{ContactId, ExportId, PrivacyRequestId, TenantId};

/// What is asked for.
#[derive(Debug)]
pub struct NewExport<'a> {
    /// Id.
    pub id: ExportId,
    /// Of whom.
    pub contact: ContactId,
    /// Every id of the person.
    pub contacts: &'a [Uuid],
    /// `recipient`, `new_key` or `passphrase`.
    pub sealed_for: &'static str,
    /// Sealed: the public key, or the key of the file and how the passphrase wraps it.
    pub recipient: &'a [u8],
    /// The API key; nil: an operator.
    pub actor: Uuid,
    /// The request that it is made for.
    pub request: Option<PrivacyRequestId>,
}

/// What became of a wish for an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is stored.
    Stored,
    /// The person was erased.
    Erased,
    /// The request that it was to be made for is not open, asks for something else, or is about somebody else.
    NoRequest,
}

/// An export as it is stored.
#[derive(Debug, Clone)]
pub struct ExportRow {
    /// Id.
    pub export_id: Uuid,
    /// Of whom.
    pub contact_id: Uuid,
    /// Every id of the person.
    pub contact_ids: Vec<Uuid>,
    /// `requested`, `building`, `ready`, `removed` or `failed`.
    pub state: String,
    /// `recipient`, `new_key` or `passphrase`.
    pub sealed_for: String,
    /// What the archive lies under.
    pub dek_id: Option<Uuid>,
    /// Who asked; nil: an operator.
    pub actor_id: Uuid,
    /// Messages and other events there are.
    pub messages: i64,
    /// Those that are written.
    pub messages_done: i64,
    /// Files there are.
    pub files: i64,
    /// Those that are written.
    pub files_done: i64,
    /// Of the archive.
    pub bytes: Option<i64>,
    /// When it was asked for.
    pub created_at: OffsetDateTime,
    /// When it was there.
    pub ready_at: Option<OffsetDateTime>,
    /// Until when.
    pub expires_at: Option<OffsetDateTime>,
}

/// How far one has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportProgress {
    /// Messages and other events there are.
    pub messages: i64,
    /// Those that are written.
    pub messages_done: i64,
    /// Files there are.
    pub files: i64,
    /// Those that are written.
    pub files_done: i64,
}

/// An archive that is whole.
#[derive(Debug, Clone, Copy)]
pub struct Archived {
    /// What it lies under.
    pub dek: Uuid,
    /// Its length.
    pub bytes: i64,
    /// Until when it is there.
    pub expires_at: OffsetDateTime,
}

impl Store {
    /// Stores what is asked for, to be worked on from now.
    pub async fn insert_export(
        &self,
        tenant: TenantId,
        new: &NewExport<'_>,
        now: OffsetDateTime,
    ) -> Result<Asked, StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query!(
            "INSERT INTO export (tenant_id, export_id, contact_id, contact_ids, state, sealed_for, recipient, actor_id, created_at)
             SELECT $1, $2, $3, $4, 'requested', $5, $6::bytea, $7, $8
             WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = ANY($4))",
            tenant.uuid(),
            new.id.uuid(),
            new.contact.uuid(),
            new.contacts,
            new.sealed_for,
            new.recipient,
            new.actor,
            now,
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(Asked::Erased);
        }
        if let Some(request) = new.request {
            let deed = NewDeed { request, deed: Deed::Export, id: new.id.uuid(), people: new.contacts };
            if !privacy_deeds::join(&mut transaction, tenant, &deed, now).await? {
                return Ok(Asked::NoRequest);
            }
        }
        lanes::ensure(&mut transaction, tenant, Kind::Export, new.id.uuid()).await?;
        transaction.commit().await?;
        Ok(Asked::Stored)
    }

    /// One export.
    pub async fn find_export(&self, tenant: TenantId, id: ExportId) -> Result<Option<ExportRow>, StoreError> {
        let row = sqlx::query_as!(
            ExportRow,
            "SELECT export_id, contact_id, contact_ids, state, sealed_for, dek_id, actor_id, messages, messages_done, files, files_done,
                    bytes, created_at, ready_at, expires_at
             FROM export WHERE tenant_id = $1 AND export_id = $2",
            tenant.uuid(),
            id.uuid(),
        );
        Ok(row.fetch_optional(self.reading(tenant)).await?)
    }

    /// Exports, newest first, older than `before`.
    pub async fn page_of_exports(
        &self,
        tenant: TenantId,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<ExportRow>, StoreError> {
        let rows = sqlx::query_as!(
            ExportRow,
            "SELECT export_id, contact_id, contact_ids, state, sealed_for, dek_id, actor_id, messages, messages_done, files, files_done,
                    bytes, created_at, ready_at, expires_at
             FROM export WHERE tenant_id = $1 AND export_id < $2 ORDER BY export_id DESC LIMIT $3",
            tenant.uuid(),
            before,
            limit,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// Whom it is encrypted for: sealed.
    pub async fn recipient_of_export(&self, lane: OwnedLane) -> Result<Option<Vec<u8>>, StoreError> {
        let recipient = sqlx::query_scalar!(
            "SELECT recipient::bytea FROM export WHERE tenant_id = $1 AND export_id = $2",
            lane.tenant.uuid(),
            lane.owner,
        );
        Ok(recipient.fetch_optional(&self.data).await?.flatten())
    }

    /// Takes the lane of an export that nobody works on: for who makes it at the command line. Whoever claims it later goes on in its place.
    pub async fn take_export(&self, tenant: TenantId, id: ExportId) -> Result<Option<OwnedLane>, StoreError> {
        let epoch = sqlx::query_scalar!(
            "UPDATE lane SET epoch = epoch + 1, worker_id = NULL
             WHERE tenant_id = $1 AND kind = 7 AND owner_id = $2 AND shard = 0
               AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.worker_id = lane.worker_id AND w.lease_until > now())
             RETURNING epoch",
            tenant.uuid(),
            id.uuid(),
        );
        let epoch = epoch.fetch_optional(&self.data).await?;
        Ok(epoch.map(|epoch| OwnedLane { tenant, kind: Kind::Export, owner: id.uuid(), shard: 0, epoch }))
    }

    /// Says how far it has come. False: the lane is somebody else's, or the person is being erased.
    pub async fn note_export(&self, lane: OwnedLane, so_far: ExportProgress) -> Result<bool, StoreError> {
        let done = sqlx::query!(
            "UPDATE export SET state = 'building', messages = $4, messages_done = $5, files = $6, files_done = $7
             WHERE tenant_id = $1 AND export_id = $2 AND state IN ('requested', 'building')
               AND EXISTS (SELECT 1 FROM lane
                           WHERE tenant_id = $1 AND kind = 7 AND owner_id = $2 AND shard = 0 AND epoch = $3)
               AND NOT EXISTS (SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = ANY(export.contact_ids))",
            lane.tenant.uuid(),
            lane.owner,
            lane.epoch,
            so_far.messages,
            so_far.messages_done,
            so_far.files,
            so_far.files_done,
        );
        Ok(done.execute(&self.data).await?.rows_affected() == 1)
    }

    /// Says that the archive is there, with the entry that says so. False: the lane is somebody else's, or the person is being erased.
    pub async fn finish_export(
        &self,
        lane: OwnedLane,
        archived: Archived,
        entry: NewAuditEntry,
        now: OffsetDateTime,
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        let done = sqlx::query!(
            "WITH fence AS (
                 SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 7 AND owner_id = $2 AND shard = 0 AND epoch = $3 FOR SHARE
             )
             UPDATE export SET state = 'ready', recipient = NULL, dek_id = $4, bytes = $5, expires_at = $6, ready_at = $7,
                    messages_done = messages, files_done = files
             WHERE tenant_id = $1 AND export_id = $2 AND state = 'building' AND EXISTS (SELECT 1 FROM fence)
               AND NOT EXISTS (SELECT 1 FROM erased_contact x WHERE x.tenant_id = $1 AND x.contact_id = ANY(export.contact_ids))",
            lane.tenant.uuid(),
            lane.owner,
            lane.epoch,
            archived.dek,
            archived.bytes,
            archived.expires_at,
            now,
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        lanes::remove(&mut transaction, lane.tenant, Kind::Export, lane.owner).await?;
        audit_entries::insert(&mut transaction, &[entry]).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Says that the archive cannot be made. False: the lane is somebody else's, or the person is gone.
    pub async fn fail_export(&self, lane: OwnedLane, now: OffsetDateTime) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query!(
            "WITH fence AS (
                 SELECT 1 FROM lane WHERE tenant_id = $1 AND kind = 7 AND owner_id = $2 AND shard = 0 AND epoch = $3 FOR SHARE
             )
             UPDATE export SET state = 'failed', recipient = NULL, expires_at = $4
             WHERE tenant_id = $1 AND export_id = $2 AND state IN ('requested', 'building') AND EXISTS (SELECT 1 FROM fence)",
            lane.tenant.uuid(),
            lane.owner,
            lane.epoch,
            now,
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        lanes::remove(&mut transaction, lane.tenant, Kind::Export, lane.owner).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Whether the lane is still in the hands of who asks.
    pub async fn owns_export(&self, lane: OwnedLane) -> Result<bool, StoreError> {
        let owns = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM lane
                              WHERE tenant_id = $1 AND kind = 7 AND owner_id = $2 AND shard = 0 AND epoch = $3) AS "owns!""#,
            lane.tenant.uuid(),
            lane.owner,
            lane.epoch,
        );
        Ok(owns.fetch_one(&self.data).await?)
    }

    /// Has nobody work on it any more: there is no such export.
    pub async fn drop_export_lane(&self, lane: OwnedLane) -> Result<(), StoreError> {
        lanes::remove(&mut self.connection().await?, lane.tenant, Kind::Export, lane.owner).await
    }

    /// Archives that are over: owner, export and person.
    pub async fn exports_over(
        &self,
        now: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<(TenantId, ExportId, ContactId)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT tenant_id, export_id, contact_id FROM export
             WHERE state = 'ready' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
            now,
            limit,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter().map(|row| {
            (
                TenantId::from_uuid(row.tenant_id),
                ExportId::from_uuid(row.export_id),
                ContactId::from_uuid(row.contact_id),
            )
        });
        Ok(rows.collect())
    }

    /// Says that an archive is gone, with the entry that says so.
    pub async fn remove_export(&self, tenant: TenantId, id: ExportId, entry: NewAuditEntry) -> Result<(), StoreError> {
        self.ensure_partitions(entry.id.day()).await?;
        let mut transaction = self.begin().await?;
        let done = sqlx::query!(
            "UPDATE export SET state = 'removed', dek_id = NULL WHERE tenant_id = $1 AND export_id = $2 AND state = 'ready'",
            tenant.uuid(),
            id.uuid(),
        );
        if done.execute(&mut *transaction).await?.rows_affected() == 1 {
            audit_entries::insert(&mut transaction, &[entry]).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// The archives of a person, there or on their way.
    pub async fn exports_of(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
    ) -> Result<Vec<(ExportId, ContactId)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT export_id, contact_id FROM export WHERE tenant_id = $1 AND contact_id = ANY($2)",
            tenant.uuid(),
            contacts,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter();
        Ok(rows.map(|row| (ExportId::from_uuid(row.export_id), ContactId::from_uuid(row.contact_id))).collect())
    }

    /// Forgets exports whose archives went, or that failed, before that time.
    pub async fn sweep_exports(&self, before: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!("DELETE FROM export WHERE state IN ('removed', 'failed') AND expires_at < $1", before)
            .execute(&self.eraser)
            .await?;
        Ok(())
    }
}
