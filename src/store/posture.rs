//! What `waxseal posture` measures in the databases: asked by an operator now and then, never on the way of a message.

use time::{Date, OffsetDateTime};
use uuid::Uuid;

use super::pool::Pool;
use super::{Store, StoreError};
use crate::ids::TenantId;

/// A sealed value and its row.
#[derive(Debug)]
pub struct Sampled {
    /// Id of the row.
    pub row: Uuid,
    /// What is stored.
    pub sealed: Vec<u8>,
}

/// How a server of ours is reached, by what it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// The server's address; `None`: a socket of this machine.
    pub address: Option<String>,
    /// Name of the database.
    pub database: String,
    /// What tells one server from another.
    pub server: i64,
}

/// Data that are held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HoldCounts {
    /// In force.
    pub in_force: i64,
    /// Of these, those that end soon.
    pub ending: i64,
    /// Asked for, and not approved for long.
    pub unapproved: i64,
}

/// People who are being forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasureCounts {
    /// Under way.
    pub running: i64,
    /// Of these, those that began long ago and that nobody holds.
    pub overdue: i64,
    /// Of these, those that wait for a hold.
    pub held: i64,
}

/// Which kind of row is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Content of events.
    Events,
    /// What applications asked us to send.
    Messages,
    /// What people are called.
    Contacts,
    /// What is known of files.
    Media,
}

impl Sampling {
    /// Everything that is looked at.
    pub const ALL: [Self; 4] = [Self::Events, Self::Messages, Self::Contacts, Self::Media];

    /// Its column.
    #[must_use]
    pub const fn column(self) -> &'static str {
        match self {
            Self::Events => "event_payload.payload",
            Self::Messages => "message.request",
            Self::Contacts => "contact.profile",
            Self::Media => "media.details",
        }
    }
}

/// Rows of a table that is cut by day.
macro_rules! by_day {
    ($store:expr, $id:literal, $sealed:literal, $table:literal, $tenant:expr, $day:expr, $after:expr, $limit:expr) => {
        sqlx::query_as!(
            Sampled,
            "SELECT "
                + $id
                + r#" AS "row", "#
                + $sealed
                + r#"::bytea AS "sealed!" FROM "#
                + $table
                + " WHERE tenant_id = $1 AND part_day >= $2 AND (part_day > $2 OR "
                + $id
                + " >= $3)
                    ORDER BY part_day, "
                + $id
                + " LIMIT $4",
            $tenant,
            $day,
            $after,
            $limit
        )
        .fetch_all(&$store.data)
        .await?
    };
}

/// Rows of another table, where there is something sealed in them.
macro_rules! by_id {
    ($store:expr, $id:literal, $sealed:literal, $table:literal, $tenant:expr, $after:expr, $limit:expr) => {
        sqlx::query_as!(
            Sampled,
            "SELECT "
                + $id
                + r#" AS "row", "#
                + $sealed
                + r#"::bytea AS "sealed!" FROM "#
                + $table
                + " WHERE tenant_id = $1 AND "
                + $id
                + " >= $2 AND "
                + $sealed
                + " IS NOT NULL ORDER BY "
                + $id
                + " LIMIT $3",
            $tenant,
            $after,
            $limit
        )
        .fetch_all(&$store.data)
        .await?
    };
}

impl Store {
    /// The rows that follow a point which the caller has drawn.
    pub async fn sample(
        &self,
        tenant: TenantId,
        what: Sampling,
        (day, after): (Date, Uuid),
        limit: i64,
    ) -> Result<Vec<Sampled>, StoreError> {
        let tenant = tenant.uuid();
        Ok(match what {
            Sampling::Events => by_day!(self, "event_id", "payload", "event_payload", tenant, day, after, limit),
            Sampling::Messages => by_day!(self, "message_id", "request", "message", tenant, day, after, limit),
            Sampling::Contacts => by_id!(self, "contact_id", "profile", "contact", tenant, after, limit),
            Sampling::Media => by_id!(self, "media_id", "details", "media", tenant, after, limit),
        })
    }

    /// Whether Postgres refuses what is not of the form of an envelope where one belongs.
    pub async fn refuses_plaintext(&self) -> Result<bool, StoreError> {
        let guarded = sqlx::query_scalar!(
            r#"SELECT EXISTS (
                   SELECT 1 FROM pg_constraint c JOIN pg_type t ON t.oid = c.contypid
                   WHERE t.typname = 'sealed' AND t.typnamespace = current_schema()::regnamespace AND c.contype = 'c'
                     AND c.convalidated AND pg_get_constraintdef(c.oid) LIKE '%5701%') AS "guarded!""#
        );
        Ok(guarded.fetch_one(&self.data).await?)
    }

    /// The columns that hold envelopes alone, as `table.column`, in order.
    pub async fn sealed_columns(&self) -> Result<Vec<String>, StoreError> {
        let columns = sqlx::query_scalar!(
            r#"SELECT (c.relname || '.' || a.attname)::text AS "column!" FROM pg_attribute a
               JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
               WHERE t.typname = 'sealed' AND t.typtype = 'd' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                 AND NOT a.attisdropped AND c.relnamespace = current_schema()::regnamespace
               ORDER BY 1"#
        );
        Ok(columns.fetch_all(&self.data).await?)
    }

    /// How the data and the keys are reached.
    pub async fn reached(&self) -> Result<[Reached; 2], StoreError> {
        Ok([reached(&self.data).await?, reached(&self.keys).await?])
    }

    /// Holds: those that end before `soon`, and those that were asked for before `long_ago`, apart.
    pub async fn count_holds(
        &self,
        tenant: TenantId,
        now: OffsetDateTime,
        (soon, long_ago): (OffsetDateTime, OffsetDateTime),
    ) -> Result<HoldCounts, StoreError> {
        let counts = sqlx::query_as!(
            HoldCounts,
            r#"SELECT count(*) FILTER (WHERE state = 'active' AND expires_at > $2) AS "in_force!",
                      count(*) FILTER (WHERE state = 'active' AND expires_at > $2 AND expires_at < $3) AS "ending!",
                      count(*) FILTER (WHERE state = 'requested' AND expires_at > $2 AND created_at < $4) AS "unapproved!"
               FROM hold WHERE tenant_id = $1"#,
            tenant.uuid(),
            now,
            soon,
            long_ago,
        );
        Ok(counts.fetch_one(&self.data).await?)
    }

    /// Erasures that are not over.
    pub async fn count_erasures(
        &self,
        tenant: TenantId,
        long_ago: OffsetDateTime,
    ) -> Result<ErasureCounts, StoreError> {
        let counts = sqlx::query_as!(
            ErasureCounts,
            r#"SELECT count(*) AS "running!", count(*) FILTER (WHERE state <> 'held' AND created_at < $2) AS "overdue!",
                      count(*) FILTER (WHERE state = 'held') AS "held!"
               FROM erasure WHERE tenant_id = $1 AND state <> 'certified'"#,
            tenant.uuid(),
            long_ago,
        );
        Ok(counts.fetch_one(&self.data).await?)
    }

    /// The last day since `since` on which it was recorded how old the oldest data are.
    pub async fn last_attestation(&self, tenant: TenantId, since: Date) -> Result<Option<Date>, StoreError> {
        let day = sqlx::query_scalar!(
            "SELECT max(part_day) FROM audit_entry WHERE tenant_id = $1 AND part_day >= $2 AND action = 'retention.attested'",
            tenant.uuid(),
            since,
        );
        Ok(day.fetch_one(&self.data).await?)
    }

    /// When the audit log was founded, and when its newest checkpoint was made that is shown.
    pub async fn audit_times(
        &self,
        tenant: TenantId,
    ) -> Result<Option<(OffsetDateTime, Option<OffsetDateTime>)>, StoreError> {
        let row = sqlx::query!(
            r#"SELECT l.created_at, (SELECT c.made_at FROM audit_checkpoint c WHERE c.tenant_id = l.tenant_id AND c.published
                                     ORDER BY c.size DESC LIMIT 1) AS "made_at?"
               FROM audit_log l WHERE l.tenant_id = $1"#,
            tenant.uuid(),
        );
        Ok(row.fetch_optional(&self.data).await?.map(|row| (row.created_at, row.made_at)))
    }

    /// Channels that have a PIN of Meta's two-step verification, and channels that send.
    pub async fn count_pins(&self, tenant: TenantId) -> Result<(i64, i64), StoreError> {
        let row = sqlx::query!(
            r#"SELECT count(*) FILTER (WHERE pin IS NOT NULL) AS "pins!", count(*) AS "channels!"
               FROM channel WHERE tenant_id = $1 AND access_token IS NOT NULL"#,
            tenant.uuid(),
        );
        let row = row.fetch_one(&self.data).await?;
        Ok((row.pins, row.channels))
    }
}

async fn reached(pool: &Pool) -> Result<Reached, StoreError> {
    let row = sqlx::query_as!(
        Reached,
        r#"SELECT COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS "encrypted!",
                  host(inet_server_addr()) AS address, current_database()::text AS "database!",
                  (SELECT system_identifier FROM pg_control_system()) AS "server!""#
    );
    Ok(row.fetch_one(pool).await?)
}
