//! Notices: who was told what becomes of their data, and who is still to be told.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::ids::{ChannelId, ContactId, MessageId, TenantId};

/// Somebody who wrote and was not told yet.
#[derive(Debug)]
pub struct Untold {
    /// Owner.
    pub tenant: TenantId,
    /// Who, by the contact that stands for them.
    pub contact: ContactId,
    /// Through which number they wrote.
    pub channel: ChannelId,
    /// What they are called, sealed.
    pub profile: Vec<u8>,
}

impl Store {
    /// People whose customer service window ends after `ends_after`, and who were not told of this version, nor put off to after `now`: as
    /// many as that, anybody.
    pub async fn untold(
        &self,
        version: &str,
        (ends_after, now): (OffsetDateTime, OffsetDateTime),
        limit: i64,
    ) -> Result<Vec<Untold>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT DISTINCT ON (k.tenant_id, k.contact_id)
                      k.tenant_id, k.contact_id, w.channel_id, k.profile::bytea AS "profile!"
               FROM service_window w
               JOIN contact c ON c.tenant_id = w.tenant_id AND c.contact_id = w.contact_id
               JOIN contact k ON k.tenant_id = w.tenant_id AND k.contact_id = COALESCE(c.merged_into, c.contact_id)
               WHERE w.closing_hour >= date_trunc('hour', $2::timestamptz, 'UTC') AND w.closes_at > $2
                 AND NOT EXISTS (
                     SELECT 1 FROM notice n
                     WHERE n.tenant_id = k.tenant_id AND n.contact_id IN (k.contact_id, w.contact_id) AND n.version = $1
                       AND (n.again_at IS NULL OR n.again_at > $4))
                 -- Nothing is stored about them: they would be found again and again.
                 AND NOT EXISTS (SELECT 1 FROM erased_contact x WHERE x.tenant_id = k.tenant_id AND x.contact_id = k.contact_id)
               ORDER BY k.tenant_id, k.contact_id, w.closes_at DESC
               LIMIT $3"#,
            version,
            ends_after,
            limit,
            now,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter().map(|row| Untold {
            tenant: TenantId::from_uuid(row.tenant_id),
            contact: ContactId::from_uuid(row.contact_id),
            channel: ChannelId::from_uuid(row.channel_id),
            profile: row.profile,
        });
        Ok(rows.collect())
    }

    /// Says that somebody was told, by this message; or that they cannot be.
    pub async fn note_notice(
        &self,
        tenant: TenantId,
        contact: ContactId,
        (version, message): (&str, Option<MessageId>),
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO notice (tenant_id, contact_id, version, state, message_id, told_at)
             SELECT $1, $2, $3, CASE WHEN $4::uuid IS NULL THEN 'refused' ELSE 'sent' END, $4, $5
             -- Nothing is stored about somebody who was erased.
             WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = $2)
             ON CONFLICT (tenant_id, contact_id, version) DO UPDATE
             SET state = EXCLUDED.state, message_id = EXCLUDED.message_id, told_at = EXCLUDED.told_at, again_at = NULL
             WHERE notice.state = 'put_off'",
            tenant.uuid(),
            contact.uuid(),
            version,
            message.map(MessageId::uuid),
            now,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Says that somebody cannot be told now: it is tried again in a minute, then in twice as long each time, an hour at most. It ends with
    /// their customer service window.
    pub async fn put_notice_off(
        &self,
        tenant: TenantId,
        contact: ContactId,
        version: &str,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "INSERT INTO notice AS n (tenant_id, contact_id, version, state, told_at, tries, again_at)
             SELECT $1, $2, $3, 'put_off', $4::timestamptz, 1, $4 + interval '1 minute'
             WHERE NOT EXISTS (SELECT 1 FROM erased_contact WHERE tenant_id = $1 AND contact_id = $2)
             ON CONFLICT (tenant_id, contact_id, version) DO UPDATE
             SET tries = LEAST(n.tries + 1, 7), again_at = $4 + LEAST(2 ^ n.tries, 60) * interval '1 minute'
             -- Another process may have put them off just now.
             WHERE n.state = 'put_off' AND n.again_at <= $4",
            tenant.uuid(),
            contact.uuid(),
            version,
            now,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// The versions that these people were told, oldest first.
    pub async fn notices_of(
        &self,
        tenant: TenantId,
        contacts: &[Uuid],
    ) -> Result<Vec<(String, OffsetDateTime)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT version, told_at FROM notice
             WHERE tenant_id = $1 AND contact_id = ANY($2) AND state = 'sent' ORDER BY told_at",
            tenant.uuid(),
            contacts,
        );
        let rows = rows.fetch_all(self.reading(tenant)).await?;
        Ok(rows.into_iter().map(|row| (row.version, row.told_at)).collect())
    }
}
