//! How fast messages may leave: the place of each channel and of each pair in time. The rate of a channel is kept by Postgres's
//! clock, which all processes share (docs/adr/0012-pace-in-postgres.md); waits of seconds by the clock that was passed in.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Store, StoreError};
use crate::domain::channel::USUAL_PACE;
use crate::ids::{ChannelId, ContactId, TenantId};

/// Whether something may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// After this long.
    In(Duration),
    /// Not now; worth asking again after this long.
    Refused(Duration),
}

fn wait(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

/// Rows that one statement of [`Store::sweep_pairs`] removes.
const SWEPT: i64 = 10_000;

impl Store {
    /// Takes the next place of a channel, unless it is further away than `patience` or the channel is slowed down.
    pub async fn take_turn(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        per_second: Option<i32>,
        patience: Duration,
        now: OffsetDateTime,
    ) -> Result<Turn, StoreError> {
        let taken = sqlx::query_scalar!(
            r#"WITH pace AS MATERIALIZED (
                   SELECT CASE per_second WHEN 0 THEN interval '0' ELSE interval '1 second' / NULLIF(per_second, 0) END AS step
                   FROM (SELECT COALESCE(c.pace_limit, $3::int, c.messages_per_second, $6) AS per_second
                         FROM channel c WHERE c.tenant_id = $1 AND c.channel_id = $2) c
               )
               INSERT INTO channel_pace AS p (tenant_id, channel_id, taken_until)
               SELECT $1, $2, clock_timestamp() + step FROM pace
               ON CONFLICT (tenant_id, channel_id) DO UPDATE
               SET taken_until = GREATEST(p.taken_until, clock_timestamp()) + (SELECT step FROM pace)
               WHERE p.slowed_until <= $5
                 AND ((SELECT step FROM pace) = interval '0' OR p.taken_until <= clock_timestamp() + make_interval(secs => $4))
               RETURNING EXTRACT(EPOCH FROM taken_until - (SELECT step FROM pace) - clock_timestamp())::float8 AS "ahead!""#,
            tenant.uuid(),
            channel.uuid(),
            per_second,
            patience.as_secs_f64(),
            now,
            USUAL_PACE,
        )
        .fetch_optional(&self.data)
        .await?;
        if let Some(ahead) = taken {
            return Ok(Turn::In(wait(ahead)));
        }
        let refused = sqlx::query_scalar!(
            r#"SELECT EXTRACT(EPOCH FROM GREATEST(taken_until - clock_timestamp(), slowed_until - $3))::float8 AS "after!"
               FROM channel_pace WHERE tenant_id = $1 AND channel_id = $2"#,
            tenant.uuid(),
            channel.uuid(),
            now,
        );
        Ok(Turn::Refused(wait(refused.fetch_optional(&self.data).await?.unwrap_or(0.0))))
    }

    /// Takes a place of one contact in a channel, unless there is none now.
    pub async fn take_pair(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        contact: ContactId,
        now: OffsetDateTime,
    ) -> Result<Turn, StoreError> {
        let taken = sqlx::query!(
            "INSERT INTO pair_pace AS p (tenant_id, channel_id, contact_id, taken_until)
             VALUES ($1, $2, $3, $4::timestamptz + interval '6 seconds')
             ON CONFLICT (tenant_id, channel_id, contact_id) DO UPDATE
             SET taken_until = GREATEST(p.taken_until, $4) + interval '6 seconds'
             WHERE p.taken_until <= $4 + interval '264 seconds'",
            tenant.uuid(),
            channel.uuid(),
            contact.uuid(),
            now,
        )
        .execute(&self.data)
        .await?;
        if taken.rows_affected() == 1 {
            return Ok(Turn::In(Duration::ZERO));
        }
        let refused = sqlx::query_scalar!(
            r#"SELECT EXTRACT(EPOCH FROM taken_until - interval '264 seconds' - $4)::float8 AS "after!"
               FROM pair_pace WHERE tenant_id = $1 AND channel_id = $2 AND contact_id = $3"#,
            tenant.uuid(),
            channel.uuid(),
            contact.uuid(),
            now,
        );
        Ok(Turn::Refused(wait(refused.fetch_optional(&self.data).await?.unwrap_or(0.0))))
    }

    /// Gives the place of a contact back: nothing was sent.
    pub async fn return_pair(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        contact: ContactId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE pair_pace SET taken_until = taken_until - interval '6 seconds'
             WHERE tenant_id = $1 AND channel_id = $2 AND contact_id = $3",
            tenant.uuid(),
            channel.uuid(),
            contact.uuid(),
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Meta refused a channel for going too fast: nothing goes before what is returned. Twice as long each time, from a second to about
    /// a quarter of an hour, or as long as Meta asks; refusals of requests that were under way when it was slowed down count as one.
    /// A minute after the last pause it begins anew.
    pub async fn slow_channel(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        asked: Option<Duration>,
        now: OffsetDateTime,
    ) -> Result<OffsetDateTime, StoreError> {
        let until = sqlx::query_scalar!(
            r#"INSERT INTO channel_pace AS p (tenant_id, channel_id, taken_until, slowed_until, slow_step)
               VALUES ($1, $2, clock_timestamp(), $3::timestamptz + make_interval(secs => GREATEST($4::float8, 1)), 1)
               ON CONFLICT (tenant_id, channel_id) DO UPDATE
               SET slow_step = CASE WHEN p.slowed_until > $3 THEN p.slow_step
                                    WHEN p.slowed_until > $3 - interval '1 minute' THEN LEAST(p.slow_step + 1, 11)
                                    ELSE 1 END,
                   slowed_until = GREATEST(p.slowed_until, $3 + make_interval(secs => GREATEST($4::float8,
                       CASE WHEN p.slowed_until > $3 THEN 0
                            WHEN p.slowed_until > $3 - interval '1 minute' THEN 2 ^ LEAST(p.slow_step, 10)
                            ELSE 1 END)))
               RETURNING slowed_until"#,
            tenant.uuid(),
            channel.uuid(),
            now,
            asked.unwrap_or_default().as_secs_f64(),
        );
        Ok(until.fetch_one(&self.data).await?)
    }

    /// Meta refused a message because its person gets too many: nothing goes to them before what is returned. 4^X seconds, X counted
    /// from 0, as Meta asks; about an hour at most. The place of the refused message is still taken: it is to be given back.
    pub async fn slow_pair(
        &self,
        (tenant, channel): (TenantId, ChannelId),
        contact: ContactId,
        now: OffsetDateTime,
    ) -> Result<OffsetDateTime, StoreError> {
        let until = sqlx::query_scalar!(
            r#"INSERT INTO pair_pace AS p (tenant_id, channel_id, contact_id, taken_until, refused)
               VALUES ($1, $2, $3, $4::timestamptz + interval '271 seconds', 1)
               ON CONFLICT (tenant_id, channel_id, contact_id) DO UPDATE
               SET taken_until = GREATEST(p.taken_until, $4 + interval '270 seconds' + 4 ^ LEAST(p.refused, 6) * interval '1 second'),
                   refused = LEAST(p.refused + 1, 7)
               RETURNING taken_until - interval '270 seconds' AS "until!""#,
            tenant.uuid(),
            channel.uuid(),
            contact.uuid(),
            now,
        );
        Ok(until.fetch_one(&self.data).await?)
    }

    /// What Meta reports that a channel may send in a second.
    pub async fn set_throughput(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        per_second: i32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "UPDATE channel SET messages_per_second = $3
             WHERE tenant_id = $1 AND channel_id = $2 AND messages_per_second IS DISTINCT FROM $3",
            tenant.uuid(),
            channel.uuid(),
            per_second,
        )
        .execute(&self.data)
        .await?;
        Ok(())
    }

    /// Forgets pairs whose last place is past, in statements of bounded size.
    pub async fn sweep_pairs(&self, now: OffsetDateTime) -> Result<(), StoreError> {
        loop {
            let swept = sqlx::query!(
                "DELETE FROM pair_pace WHERE ctid = ANY(ARRAY(
                     SELECT ctid FROM pair_pace WHERE taken_until < $1 AND promised_until < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
                now,
                SWEPT,
            );
            if swept.execute(&self.janitor).await?.rows_affected() < SWEPT.unsigned_abs() {
                return Ok(());
            }
        }
    }
}
