//! Filling empty tables from a backup: as the owner, in one transaction for each of the two databases, which is committed when
//! everything was read and found whole.

use std::ops::Deref;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::dumping::{Dumped, Side};
use super::lanes::Kind;
use super::migrate::MigrationError;
use super::{Store, StoreError};
use crate::crypto::random;
use crate::ids::ErasureId;

/// What a transaction of hours needs, and no other has.
const PATIENT: &str =
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET synchronous_commit = on";
/// Transactions that are counted up with one statement.
const AT_ONCE: usize = 2000;
/// More are not counted up: it would take hours.
const MOST_TRANSACTIONS: i64 = 50_000_000;

/// Why tables are not filled.
#[derive(Debug, thiserror::Error)]
pub enum RefillError {
    /// Something is there.
    #[error("{0} is not empty: a backup is restored into an empty database, and into no other")]
    NotEmpty(String),
    /// The schema is newer than the backup.
    #[error("the tables are those of a later release than the backup's: give a database in which nothing was migrated")]
    Migrated,
    /// A table, or a column, that this release does not know.
    #[error("the backup names a table that there is not: {0}")]
    Unknown(String),
    /// Rows that were written do not number as many as were read.
    #[error("{table}: {found} rows of {wanted}")]
    Rows {
        /// Where.
        table: String,
        /// There are.
        found: u64,
        /// There should be.
        wanted: u64,
    },
    /// The server has counted fewer transactions than the one that the backup is of.
    #[error(
        "this server has counted {here} transactions and the backup's {there}, and events are in their order: stop the server, run \
         `pg_resetwal --epoch={epoch} -D DATA_DIRECTORY` on it, start it and try again"
    )]
    FewTransactions {
        /// Counted here.
        here: i64,
        /// Counted there.
        there: i64,
        /// What makes them enough.
        epoch: i64,
    },
    /// The schema could not be made.
    #[error("the tables could not be made")]
    Schema(#[from] MigrationError),
    /// The database.
    #[error("the tables could not be filled")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for RefillError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Tables that are being filled. Nothing is there before the commit; dropped, nothing is left but empty tables.
#[derive(Debug)]
pub struct Refilling {
    connection: PgConnection,
    side: Side,
    known: Vec<String>,
}

impl Store {
    /// Makes the tables as they were when the backup was made, and begins to fill them. Refused where there are rows already.
    pub async fn begin_refill(&self, side: Side, schema: i64) -> Result<Refilling, RefillError> {
        let pool = if side == Side::Data { &self.owner } else { &self.key_owner };
        let mut connection = pool.unbounded().await?;
        sqlx::raw_sql(PATIENT).execute(&mut connection).await?;
        must_be_empty(&mut connection, side).await?;
        self.migrate_to(side, schema).await?;
        let newest = match side {
            Side::Data => {
                sqlx::query_scalar!(r#"SELECT max(version) AS "version!" FROM _sqlx_migrations"#)
                    .fetch_one(&mut connection)
                    .await?
            }
            Side::Keys => {
                sqlx::query_scalar!(r#"SELECT max(version) AS "version!" FROM waxseal_keys._sqlx_migrations"#)
                    .fetch_one(&mut connection)
                    .await?
            }
        };
        if newest != schema {
            return Err(RefillError::Migrated);
        }
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        if side == Side::Data {
            sqlx::query!("DELETE FROM settings_version").execute(&mut connection).await?;
        }
        Ok(Refilling { connection, side, known: side.tables() })
    }

    /// The keys that are there already, to be looked at.
    pub async fn present_keys(&self) -> Result<Refilling, RefillError> {
        let mut connection = self.key_owner.unbounded().await?;
        sqlx::raw_sql(PATIENT).execute(&mut connection).await?;
        let there = sqlx::query_scalar!(r#"SELECT to_regclass('waxseal_keys.installation') IS NOT NULL AS "there!""#);
        if !there.fetch_one(&mut connection).await? {
            return Err(RefillError::Unknown("waxseal_keys.installation".to_owned()));
        }
        sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
        Ok(Refilling { connection, side: Side::Keys, known: Vec::new() })
    }

    /// Sees to it that the server has counted as many transactions as the one that the backup is of: rows of events and of the audit
    /// log are shown and logged in the order of their transactions, and newer ones have to have higher numbers.
    pub async fn count_transactions_up(&self, to: i64, mut tell: impl FnMut(i64, i64)) -> Result<(), RefillError> {
        let mut connection = self.owner.unbounded().await?;
        sqlx::raw_sql("SET synchronous_commit = off").execute(&mut connection).await?;
        let one = "BEGIN; SELECT pg_current_xact_id(); COMMIT;";
        let mut begun = None;
        loop {
            let counted = sqlx::query_scalar!(r#"SELECT pg_current_xact_id()::text::bigint AS "number!""#);
            let here = counted.fetch_one(&mut connection).await?;
            let (first, missing) = (*begun.get_or_insert(here), to - here);
            if missing <= 0 {
                return Ok(());
            }
            if missing > MOST_TRANSACTIONS {
                return Err(RefillError::FewTransactions { here, there: to, epoch: (to >> 32) + 1 });
            }
            let many = one.repeat(usize::try_from(missing).unwrap_or(AT_ONCE).min(AT_ONCE));
            sqlx::raw_sql(AssertSqlSafe(many)).execute(&mut connection).await?;
            tell(here - first, to - first);
        }
    }

    /// Has Postgres learn how large the tables are, so that it plans well from the first statement on.
    pub async fn analyse(&self) -> Result<(), StoreError> {
        for pool in [&self.owner, &self.key_owner] {
            let mut connection = pool.unbounded().await?;
            sqlx::raw_sql(PATIENT).execute(&mut connection).await?;
            sqlx::raw_sql("SET client_min_messages = error; ANALYZE").execute(&mut connection).await?;
        }
        Ok(())
    }
}

async fn must_be_empty(connection: &mut PgConnection, side: Side) -> Result<(), RefillError> {
    for table in side.tables().iter().filter(|table| *table != "settings_version") {
        let name = side.named(table);
        let there = sqlx::query_scalar!(r#"SELECT to_regclass($1) IS NOT NULL AS "there!""#, name);
        if !there.fetch_one(&mut *connection).await? {
            continue;
        }
        let one = AssertSqlSafe(format!("SELECT FROM {name} LIMIT 1"));
        if sqlx::raw_sql(one).execute(&mut *connection).await?.rows_affected() > 0 {
            return Err(RefillError::NotEmpty(name));
        }
    }
    Ok(())
}

impl Refilling {
    /// Begins a table.
    pub async fn table(&mut self, table: &Dumped) -> Result<Filling<'_>, RefillError> {
        let unknown = || RefillError::Unknown(table.name.clone());
        let parent = table.part_of.as_ref().unwrap_or(&table.name);
        let is_word = |name: &String| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        if !self.known.contains(parent) || !is_word(&table.name) || !table.columns.iter().all(is_word) {
            return Err(unknown());
        }
        if let Some(parent) = &table.part_of {
            for statement in Store::statements_for(parent, &table.name).ok_or_else(unknown)? {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.connection).await?;
            }
        }
        let (name, columns) = (self.side.named(&table.name), table.columns.join(", "));
        let statement = format!("COPY {name} ({columns}) FROM STDIN (FORMAT binary)");
        let copy = self.connection.copy_in_raw(&statement).await?;
        Ok(Filling { copy, table: table.name.clone() })
    }

    /// Of the keys: whose they are, and their epoch.
    pub async fn installation(&mut self) -> Result<Option<(Uuid, i64)>, StoreError> {
        let row = sqlx::query!("SELECT installation_id, epoch FROM waxseal_keys.installation");
        let row = row.fetch_optional(&mut self.connection).await?;
        Ok(row.map(|row| (row.installation_id, row.epoch)))
    }

    /// Of the keys: everybody who was forgotten, as pairs of tenant and contact.
    pub async fn forgotten(&mut self) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let rows = sqlx::query!("SELECT tenant_id, subject_id FROM waxseal_keys.forgotten_subject");
        let rows = rows.fetch_all(&mut self.connection).await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id, row.subject_id)).collect())
    }

    /// Of the data: nobody is at work, what Meta may have been sent since is in doubt, and whoever was forgotten since is to be
    /// forgotten again. Returns how many people these are.
    pub async fn settle(&mut self, forgotten: &[(Uuid, Uuid)], now: OffsetDateTime) -> Result<usize, RefillError> {
        sqlx::query!("UPDATE lane SET worker_id = NULL, epoch = epoch + 1").execute(&mut self.connection).await?;
        let (tenants, contacts): (Vec<Uuid>, Vec<Uuid>) = forgotten.iter().copied().unzip();
        let back = sqlx::query!(
            "SELECT c.tenant_id, c.contact_id FROM contact c
             JOIN UNNEST($1::uuid[], $2::uuid[]) AS f (tenant_id, contact_id)
               ON f.tenant_id = c.tenant_id AND f.contact_id = c.contact_id",
            &tenants,
            &contacts,
        );
        let back = back.fetch_all(&mut self.connection).await?;
        let (tenants, contacts): (Vec<Uuid>, Vec<Uuid>) =
            back.iter().map(|row| (row.tenant_id, row.contact_id)).unzip();
        // The mark of an owner that is gone, without a list of what it had on the wire: everything is in doubt.
        sqlx::query!("UPDATE outbox SET sending_epoch = 0 WHERE sending_epoch IS NULL AND next_at <= $1", now)
            .execute(&mut self.connection)
            .await?;
        // To people who are gone nothing is sent, and nobody waits for it: their erasure takes it away.
        sqlx::query!(
            "UPDATE outbox o SET sending_epoch = NULL FROM UNNEST($1::uuid[], $2::uuid[]) AS f (tenant_id, contact_id)
             WHERE o.tenant_id = f.tenant_id AND o.contact_id = f.contact_id",
            &tenants,
            &contacts,
        )
        .execute(&mut self.connection)
        .await?;
        let erasures: Vec<Uuid> = back.iter().map(|_| ErasureId::new(now).uuid()).collect();
        // A commitment to nothing: nobody asked, so that nobody has a salt.
        let commitments: Vec<Vec<u8>> = back.iter().map(|_| random::bytes::<32>().to_vec()).collect();
        sqlx::query!(
            "WITH new AS (
                 SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::uuid[], $4::bytea[]) AS t (tenant_id, contact_id, erasure_id, commitment)
             ), lanes AS (
                 INSERT INTO lane (tenant_id, kind, owner_id, shard) SELECT tenant_id, $6, erasure_id, 0 FROM new
             )
             INSERT INTO erasure (tenant_id, erasure_id, state, contact_ids, commitment, asked_by, basis, actor_id, step_now, created_at)
             SELECT tenant_id, erasure_id, 'received', ARRAY[contact_id], commitment, 'contact_id', 'restored',
                    '00000000-0000-0000-0000-000000000000', false, $5 FROM new",
            &tenants,
            &contacts,
            &erasures,
            &commitments,
            now,
            Kind::Privacy as i16,
        )
        .execute(&mut self.connection)
        .await?;
        Ok(back.len())
    }

    /// Of the data: revokes every API key. Returns how many were valid.
    pub async fn revoke_api_keys(&mut self, now: OffsetDateTime) -> Result<u64, RefillError> {
        let done = sqlx::query!("UPDATE api_key SET revoked_at = $1 WHERE revoked_at IS NULL AND expires_at > $1", now);
        Ok(done.execute(&mut self.connection).await?.rows_affected())
    }

    /// Of the data: API keys that are neither over nor revoked.
    pub async fn valid_api_keys(&mut self, now: OffsetDateTime) -> Result<u64, RefillError> {
        let valid = sqlx::query_scalar!(
            r#"SELECT count(*) AS "valid!" FROM api_key WHERE revoked_at IS NULL AND expires_at > $1"#,
            now,
        );
        Ok(valid.fetch_one(&mut self.connection).await?.unsigned_abs())
    }

    /// Everything is there from here on.
    pub async fn commit(mut self) -> Result<(), RefillError> {
        sqlx::raw_sql("COMMIT").execute(&mut self.connection).await?;
        Ok(())
    }
}

/// A table that is being filled.
pub struct Filling<'a> {
    copy: sqlx::postgres::PgCopyIn<&'a mut PgConnection>,
    table: String,
}

impl std::fmt::Debug for Filling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Filling({})", self.table)
    }
}

impl Filling<'_> {
    /// More of Postgres's binary format.
    pub async fn push(&mut self, bytes: impl Deref<Target = [u8]>) -> Result<(), RefillError> {
        self.copy.send(bytes).await?;
        Ok(())
    }

    /// The table is through, and has so many rows.
    pub async fn end(self, wanted: u64) -> Result<(), RefillError> {
        let found = self.copy.finish().await?;
        if found == wanted { Ok(()) } else { Err(RefillError::Rows { table: self.table, found, wanted }) }
    }
}
