//! What people ask about their data in the chat: from the word to the request that it becomes. Every step is an update from the state before.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, Store, StoreError};
use crate::ids::{ChannelId, ContactId, MessageId, TenantId};

/// Somebody asked, and something is to be done about it.
#[derive(Debug)]
pub struct InChatRow {
    /// Owner.
    pub tenant: TenantId,
    /// Id; also of the request that it becomes, and of what that leads to.
    pub id: Uuid,
    /// Who.
    pub contact: ContactId,
    /// Through which number.
    pub channel: ChannelId,
    /// What for: a word of `domain::in_chat::Wish`.
    pub wish: String,
    /// In which language.
    pub language: String,
    /// `asked`, `told`, `confirmed`, `answered`, `making`, `ready` or `done`.
    pub state: String,
    /// What they are called, sealed.
    pub profile: Vec<u8>,
    /// The last message to them.
    pub message: Option<Uuid>,
    /// When they asked.
    pub asked_at: OffsetDateTime,
    /// When it came to be what it is.
    pub changed_at: OffsetDateTime,
}

/// What a word says.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    /// Who.
    pub contact: ContactId,
    /// Through which number.
    pub channel: ChannelId,
    /// What for.
    pub wish: &'static str,
    /// In which language.
    pub language: &'static str,
    /// Until when it may be confirmed.
    pub expires_at: OffsetDateTime,
}

/// Keeps that somebody asked. Whoever asks for the same again is not asked again while the code is good.
pub async fn ask(
    connection: &mut Connection,
    tenant: TenantId,
    id: Uuid,
    asking: &Asking,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "INSERT INTO in_chat (tenant_id, in_chat_id, contact_id, channel_id, wish, language, state, asked_at, expires_at, changed_at)
         VALUES ($1, $2, $3, $4, $5, $6, 'asked', $7, $8, $7)
         ON CONFLICT (tenant_id, contact_id) WHERE state IN ('asked', 'told') DO UPDATE
         SET in_chat_id = EXCLUDED.in_chat_id, channel_id = EXCLUDED.channel_id, wish = EXCLUDED.wish, language = EXCLUDED.language,
             state = 'asked', message_id = NULL, asked_at = EXCLUDED.asked_at, expires_at = EXCLUDED.expires_at,
             changed_at = EXCLUDED.changed_at
         WHERE in_chat.expires_at <= EXCLUDED.asked_at OR in_chat.wish <> EXCLUDED.wish",
        tenant.uuid(),
        id,
        asking.contact.uuid(),
        asking.channel.uuid(),
        asking.wish,
        asking.language,
        now,
        asking.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What this person may confirm now, through this number.
pub async fn to_confirm(
    connection: &mut Connection,
    tenant: TenantId,
    (contact, channel): (ContactId, ChannelId),
    now: OffsetDateTime,
) -> Result<Option<Uuid>, StoreError> {
    let id = sqlx::query_scalar!(
        "SELECT in_chat_id FROM in_chat
         WHERE tenant_id = $1 AND contact_id = $2 AND channel_id = $3 AND state IN ('asked', 'told') AND expires_at > $4",
        tenant.uuid(),
        contact.uuid(),
        channel.uuid(),
        now,
    );
    Ok(id.fetch_optional(connection).await?)
}

/// Somebody means it.
pub async fn confirm(
    connection: &mut Connection,
    tenant: TenantId,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query!(
        "UPDATE in_chat SET state = 'confirmed', message_id = NULL, changed_at = $3
         WHERE tenant_id = $1 AND in_chat_id = $2 AND state IN ('asked', 'told')",
        tenant.uuid(),
        id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl Store {
    /// What is in one of these states, the oldest change first; not what can be confirmed no longer.
    pub async fn in_chat(
        &self,
        states: &[&str],
        now: OffsetDateTime,
        limit: i64,
    ) -> Result<Vec<InChatRow>, StoreError> {
        let states: Vec<String> = states.iter().map(|state| (*state).to_owned()).collect();
        let rows = sqlx::query!(
            r#"SELECT i.tenant_id, i.in_chat_id, i.contact_id, i.channel_id, i.wish, i.language, i.state, i.message_id, i.asked_at,
                      i.changed_at, k.profile::bytea AS "profile!"
               FROM in_chat i
               JOIN contact c ON c.tenant_id = i.tenant_id AND c.contact_id = i.contact_id
               JOIN contact k ON k.tenant_id = i.tenant_id AND k.contact_id = COALESCE(c.merged_into, c.contact_id)
               WHERE i.state NOT IN ('told', 'done') AND i.state = ANY($1)
                 AND (i.state <> 'asked' OR i.expires_at > $2)
               ORDER BY i.changed_at LIMIT $3"#,
            &states,
            now,
            limit,
        );
        let rows = rows.fetch_all(&self.data).await?.into_iter().map(|row| InChatRow {
            tenant: TenantId::from_uuid(row.tenant_id),
            id: row.in_chat_id,
            contact: ContactId::from_uuid(row.contact_id),
            channel: ChannelId::from_uuid(row.channel_id),
            wish: row.wish,
            language: row.language,
            state: row.state,
            profile: row.profile,
            message: row.message_id,
            asked_at: row.asked_at,
            changed_at: row.changed_at,
        });
        Ok(rows.collect())
    }

    /// Takes it a step further. Does nothing where somebody else did.
    pub async fn move_in_chat(
        &self,
        tenant: TenantId,
        id: Uuid,
        (from, to): (&str, &str),
        message: Option<MessageId>,
        now: OffsetDateTime,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE in_chat SET state = $4, message_id = $5, changed_at = $6
             WHERE tenant_id = $1 AND in_chat_id = $2 AND state = $3",
            tenant.uuid(),
            id,
            from,
            to,
            message.map(MessageId::uuid),
            now,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Whether a message still waits to be sent, or is on the wire.
    pub async fn is_waiting(&self, tenant: TenantId, channel: ChannelId, message: Uuid) -> Result<bool, StoreError> {
        let waits = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT 1 FROM outbox WHERE tenant_id = $1 AND channel_id = $2 AND message_id = $3) AS "waits!""#,
            tenant.uuid(),
            channel.uuid(),
            message,
        );
        Ok(waits.fetch_one(&self.data).await?)
    }

    /// Forgets what nobody confirmed, and what is long done.
    pub async fn sweep_in_chat(&self, unconfirmed: OffsetDateTime, done: OffsetDateTime) -> Result<(), StoreError> {
        sqlx::query!(
            "DELETE FROM in_chat
             WHERE (state IN ('asked', 'told') AND expires_at < $1) OR (state = 'done' AND changed_at < $2)",
            unconfirmed,
            done,
        )
        .execute(&self.eraser)
        .await?;
        Ok(())
    }
}
