//! The PIN of a number's two-step verification. One that Meta is being asked to take is kept beside the one that it took last, so that
//! whatever becomes of the question, the right one is among them.

use time::OffsetDateTime;

use super::{Store, StoreError};
use crate::ids::{ChannelId, TenantId};

/// What is kept of a channel's PIN, sealed.
#[derive(Debug)]
pub struct PinRow {
    /// What Meta took last.
    pub pin: Option<Vec<u8>>,
    /// What Meta was asked to take and has not said of.
    pub next: Option<Vec<u8>>,
}

impl Store {
    /// The PINs of a channel; `None`: no such channel.
    pub async fn pins(&self, tenant: TenantId, channel: ChannelId) -> Result<Option<PinRow>, StoreError> {
        let row = sqlx::query_as!(
            PinRow,
            r#"SELECT pin::bytea AS pin, pin_next::bytea AS next FROM channel WHERE tenant_id = $1 AND channel_id = $2"#,
            tenant.uuid(),
            channel.uuid(),
        );
        Ok(row.fetch_optional(&self.data).await?)
    }

    /// Meta is about to be asked to take a PIN; `None`: one of those that are kept already. False: somebody else asks at this moment; who asked before `given_up` and has not said
    /// how it ended does not any more.
    pub async fn begin_pin(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        next: Option<&[u8]>,
        (now, given_up): (OffsetDateTime, OffsetDateTime),
    ) -> Result<bool, StoreError> {
        let begun = sqlx::query!(
            "UPDATE channel SET pin_next = COALESCE($3::bytea, pin_next::bytea), pin_asked_at = $4
             WHERE tenant_id = $1 AND channel_id = $2 AND (pin_asked_at IS NULL OR pin_asked_at < $5)",
            tenant.uuid(),
            channel.uuid(),
            next,
            now,
            given_up,
        );
        Ok(begun.execute(&self.data).await?.rows_affected() == 1)
    }

    /// Meta took it: `pin` is the same, sealed for its place. Only for the question that was asked at this time.
    pub async fn keep_pin(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        asked_at: OffsetDateTime,
        pin: &[u8],
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE channel SET pin = $4::bytea, pin_next = NULL, pin_asked_at = NULL
             WHERE tenant_id = $1 AND channel_id = $2 AND pin_asked_at = $3",
            tenant.uuid(),
            channel.uuid(),
            asked_at,
            pin,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Meta did not take it, or `in_doubt` it may have: then what is in doubt is kept. Only for the question that was asked at this time.
    pub async fn end_pin(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        asked_at: OffsetDateTime,
        in_doubt: bool,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE channel SET pin_next = CASE WHEN $4 THEN pin_next::bytea END, pin_asked_at = NULL
             WHERE tenant_id = $1 AND channel_id = $2 AND pin_asked_at = $3",
            tenant.uuid(),
            channel.uuid(),
            asked_at,
            in_doubt,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }
}
