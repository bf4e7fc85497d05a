//! What Meta says of the numbers.

use time::OffsetDateTime;
use uuid::Uuid;

use super::events::{self, NewEvent};
use super::polls::{self, Turn};
use super::{Store, StoreError};
use crate::ids::{ChannelId, TenantId};

/// The state of a number.
#[derive(Debug)]
pub struct ChannelStateRow {
    /// Sealed.
    pub facts: Vec<u8>,
    /// When Meta was asked.
    pub asked_at: OffsetDateTime,
    /// When it last said something new.
    pub changed_at: OffsetDateTime,
}

impl Store {
    /// What Meta said last of a number.
    pub async fn channel_state(
        &self,
        tenant: TenantId,
        channel: ChannelId,
    ) -> Result<Option<ChannelStateRow>, StoreError> {
        let row = sqlx::query_as!(
            ChannelStateRow,
            r#"SELECT facts::bytea AS "facts!", asked_at, changed_at FROM channel_state WHERE tenant_id = $1 AND channel_id = $2"#,
            tenant.uuid(),
            channel.uuid(),
        );
        Ok(row.fetch_optional(&self.data).await?)
    }

    /// What is wrong with the tokens of channels, of all tenants: how many of each kind.
    pub async fn token_troubles(&self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = sqlx::query!(
            r#"SELECT s.token_trouble AS "trouble!", count(*) AS "count!" FROM channel_state s
               JOIN channel c ON c.tenant_id = s.tenant_id AND c.channel_id = s.channel_id
               WHERE s.token_trouble IS NOT NULL AND c.access_token IS NOT NULL
               GROUP BY s.token_trouble ORDER BY s.token_trouble"#
        );
        Ok(rows.fetch_all(&self.data).await?.into_iter().map(|row| (row.trouble, row.count)).collect())
    }

    /// Keeps what Meta says of a number, tells of what is new, and ends the turn, in one commit. False: the turn was lost, and
    /// nothing was written. Without `facts`, they are as they were.
    pub async fn keep_channel_state(
        &self,
        turn: &Turn,
        channel: Uuid,
        (facts, token_trouble): (Option<&[u8]>, Option<&str>),
        told: &[NewEvent],
        (next_at, now): (OffsetDateTime, OffsetDateTime),
    ) -> Result<bool, StoreError> {
        self.ensure_partitions(now.date()).await?;
        let mut transaction = self.data.begin().await?;
        if !polls::finish(&mut transaction, turn, next_at, now).await? {
            return Ok(false);
        }
        sqlx::query!(
            "UPDATE channel_state SET asked_at = $3, token_trouble = $5 WHERE tenant_id = $1 AND channel_id = $2 AND $4",
            turn.tenant_id,
            channel,
            now,
            facts.is_none(),
            token_trouble,
        )
        .execute(&mut *transaction)
        .await?;
        if let Some(facts) = facts {
            sqlx::query!(
                "INSERT INTO channel_state (tenant_id, channel_id, facts, asked_at, changed_at, token_trouble)
                 VALUES ($1, $2, $3::bytea, $4, $4, $5)
                 ON CONFLICT (tenant_id, channel_id) DO UPDATE
                 SET facts = EXCLUDED.facts, asked_at = EXCLUDED.asked_at, changed_at = EXCLUDED.changed_at,
                     token_trouble = EXCLUDED.token_trouble",
                turn.tenant_id,
                channel,
                facts,
                now,
                token_trouble,
            )
            .execute(&mut *transaction)
            .await?;
        }
        events::insert_batch(&mut transaction, TenantId::from_uuid(turn.tenant_id), told, now).await?;
        transaction.commit().await?;
        Ok(true)
    }
}
