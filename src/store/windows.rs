//! Customer service windows and what else decides whether somebody may be written to. Windows are opened in [`super::events`].

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::{ChannelId, ContactId, TenantId};

/// How a contact stands with a channel.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Whom it is about, as they were asked for.
    pub contact_id: Uuid,
    /// When the window closes or closed; absent: they never wrote or called here, as far as is known.
    pub closes_at: Option<OffsetDateTime>,
    /// Since when the channel is known.
    pub channel_since: Option<OffsetDateTime>,
    /// What they said last of marketing; absent: nothing.
    pub marketing: Option<String>,
}

/// A window.
#[derive(Debug, Clone, Copy)]
pub struct WindowRow {
    /// Through which channel.
    pub channel_id: Uuid,
    /// Until when, or since when it is closed.
    pub closes_at: OffsetDateTime,
}

/// A window that closes soon and was not told of.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// Owner.
    pub tenant_id: Uuid,
    /// With whom.
    pub contact_id: Uuid,
    /// Through which channel.
    pub channel_id: Uuid,
    /// When.
    pub closes_at: OffsetDateTime,
}

impl Store {
    /// How these contacts stand with a channel, each together with everybody who turned out to be the same person.
    pub async fn standings(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        contacts: &[ContactId],
    ) -> Result<Vec<Standing>, StoreError> {
        let rows = sqlx::query_as!(
            Standing,
            r#"SELECT t.contact_id AS "contact_id!",
                      (SELECT max(w.closes_at) FROM service_window w
                       WHERE w.tenant_id = $1 AND w.contact_id = ANY(p.ids) AND w.channel_id = $2) AS closes_at,
                      (SELECT c.created_at FROM channel c WHERE c.tenant_id = $1 AND c.channel_id = $2) AS channel_since,
                      (SELECT s.state FROM consent s
                       WHERE s.tenant_id = $1 AND s.contact_id = ANY(p.ids) AND s.purpose = 'marketing'
                         AND (s.channel_id IS NULL OR s.channel_id = $2)
                       ORDER BY s.occurred_at DESC, s.consent_id DESC LIMIT 1) AS marketing
               FROM UNNEST($3::uuid[]) AS t (contact_id)
               CROSS JOIN LATERAL (
                   SELECT COALESCE((SELECT c.merged_into FROM contact c
                                    WHERE c.tenant_id = $1 AND c.contact_id = t.contact_id), t.contact_id) AS kept
               ) k
               CROSS JOIN LATERAL (
                   SELECT ARRAY(SELECT k.kept UNION SELECT t.contact_id UNION
                                SELECT c.contact_id FROM contact c
                                WHERE c.tenant_id = $1 AND c.merged_into = k.kept) AS ids
               ) p"#,
            tenant.uuid(),
            channel.uuid(),
            &contacts.iter().map(|contact| contact.uuid()).collect::<Vec<_>>(),
        );
        // As a reader: it is asked for each message that is handed over, and must not wait behind those who send.
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }

    /// The windows of a person, by whichever of these contacts.
    pub async fn windows_of(&self, tenant: TenantId, contacts: &[Uuid]) -> Result<Vec<WindowRow>, StoreError> {
        let rows = sqlx::query_as!(
            WindowRow,
            r#"SELECT channel_id, max(closes_at) AS "closes_at!" FROM service_window
               WHERE tenant_id = $1 AND contact_id = ANY($2) GROUP BY channel_id"#,
            tenant.uuid(),
            contacts,
        );
        Ok(rows.fetch_all(self.reading(tenant)).await?)
    }
}

/// Windows that close between `now` and `until`, of all tenants, marked as told of: to be committed with what tells of them.
/// What another process is about to tell of is left to it.
pub async fn take_closing(
    connection: &mut Connection,
    now: OffsetDateTime,
    until: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Closing>, StoreError> {
    let rows = sqlx::query_as!(
        Closing,
        "WITH closing AS (
             SELECT tenant_id, contact_id, channel_id FROM service_window
             WHERE closing_hour BETWEEN date_trunc('hour', $1::timestamptz, 'UTC') AND $2
               AND closes_at > $1 AND closes_at <= $2 AND told_of IS DISTINCT FROM closes_at
             LIMIT $3 FOR UPDATE SKIP LOCKED
         )
         UPDATE service_window w SET told_of = w.closes_at FROM closing c
         WHERE (w.tenant_id, w.contact_id, w.channel_id) = (c.tenant_id, c.contact_id, c.channel_id)
         RETURNING w.tenant_id, w.contact_id, w.channel_id, w.closes_at",
        now,
        until,
        limit,
    );
    Ok(rows.fetch_all(connection).await?)
}
