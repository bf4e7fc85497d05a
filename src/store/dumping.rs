//! Reading whole tables for a backup: as the owner, in one transaction that sees one moment, table after table, row after row.
//!
//! It has no transaction number, so that no reader of events waits for it. It locks tables against being dropped, parents of
//! partitions excepted, so that days can still be made.

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use super::rights::{DATA_PART, KEYS_PART};
use super::{Store, StoreError};

/// How often is begun anew because a day was dropped or made meanwhile.
const TRIES: u32 = 5;
/// What a transaction of hours needs, and no other has.
const PATIENT: &str =
    "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '20s'";

/// One of the two databases, which may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The data.
    Data,
    /// The keys.
    Keys,
}

impl Side {
    /// Tables whose rows are worth keeping. Not the list of migrations, and not who is at work at this moment.
    pub(super) fn tables(self) -> Vec<String> {
        let part = if self == Self::Data { DATA_PART } else { KEYS_PART };
        part.names().filter(|name| !["_sqlx_migrations", "worker"].contains(name)).map(str::to_owned).collect()
    }

    /// The schema of its tables; that of the connection where there is none.
    pub(super) const fn schema(self) -> Option<&'static str> {
        match self {
            Self::Data => None,
            Self::Keys => Some("waxseal_keys"),
        }
    }

    /// A table as a statement names it. Names are ours and need no quotes.
    pub(super) fn named(self, table: &str) -> String {
        self.schema().map_or_else(|| table.to_owned(), |schema| format!("{schema}.{table}"))
    }
}

/// A table, or one day of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped {
    /// Its name.
    pub name: String,
    /// The table that it is a day of.
    pub part_of: Option<String>,
    /// Its columns, in the order in which they are copied.
    pub columns: Vec<String>,
    /// How large it is on the disk, about.
    pub size: i64,
}

/// What a backup has to know besides rows.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The newest migration.
    pub schema: i64,
    /// No transaction from this number on is in it.
    pub transactions: i64,
}

/// A log as it stood.
#[derive(Debug, Clone)]
pub struct LogHead {
    /// Whose.
    pub tenant: Uuid,
    /// Entries in the tree.
    pub size: i64,
    /// The newest checkpoint; `None`: nothing was logged yet.
    pub checkpoint: Option<String>,
}

/// One moment of a database, for as long as it takes to read it.
#[derive(Debug)]
pub struct Dump {
    connection: PgConnection,
    side: Side,
    /// What there is.
    pub tables: Vec<Dumped>,
}

impl Store {
    /// Begins to read one moment.
    pub async fn begin_dump(&self, side: Side) -> Result<Dump, StoreError> {
        let pool = if side == Side::Data { &self.owner } else { &self.key_owner };
        let mut tries = 0;
        loop {
            let mut connection = pool.unbounded().await?;
            sqlx::raw_sql(PATIENT).execute(&mut connection).await?;
            let result = lock(&mut connection, side).await;
            tries += 1;
            match result {
                Ok(Some(tables)) => return Ok(Dump { connection, side, tables }),
                // A table that is listed and gone: 42P01.
                Err(StoreError::Refused { sqlstate }) if sqlstate == "42P01" && tries < TRIES => {}
                Ok(None) if tries < TRIES => {}
                Ok(None) => return Err(StoreError::Unavailable),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Locks every table and takes the snapshot behind that. `None`: there are other tables now.
async fn lock(connection: &mut PgConnection, side: Side) -> Result<Option<Vec<Dumped>>, StoreError> {
    let before = list(connection, side).await?;
    let names = before.iter().map(|table| side.named(&table.name)).collect::<Vec<_>>().join(", ");
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    sqlx::raw_sql(AssertSqlSafe(format!("{begin}; LOCK TABLE {names} IN ACCESS SHARE MODE")))
        .execute(&mut *connection)
        .await?;
    let tables = list(connection, side).await?;
    let same = tables.iter().map(|table| &table.name).eq(before.iter().map(|table| &table.name));
    Ok(same.then_some(tables))
}

/// The tables that hold rows, `tenant` first, because others refer to it.
async fn list(connection: &mut PgConnection, side: Side) -> Result<Vec<Dumped>, StoreError> {
    let tables = sqlx::query_as!(
        Dumped,
        r#"SELECT c.relname::text AS "name!", p.relname::text AS "part_of?", pg_table_size(c.oid) AS "size!",
                  ARRAY(SELECT attname::text FROM pg_attribute
                        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
                        ORDER BY attnum) AS "columns!"
           FROM pg_class c
           LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
           WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = COALESCE($1, current_schema()::text))
             AND c.relkind = 'r' AND c.relpersistence = 'p' AND COALESCE(p.relname, c.relname)::text = ANY($2::text[])
           ORDER BY c.relname <> 'tenant', c.relname"#,
        side.schema(),
        &side.tables(),
    );
    Ok(tables.fetch_all(connection).await?)
}

impl Dump {
    /// The rows of a table in Postgres's binary format. One piece for each row: the first begins with the header, and the last
    /// holds the end and no row.
    pub async fn rows(&mut self, table: &Dumped) -> Result<BoxStream<'_, Result<Bytes, StoreError>>, StoreError> {
        let (name, columns) = (self.side.named(&table.name), table.columns.join(", "));
        let statement = format!("COPY {name} ({columns}) TO STDOUT (FORMAT binary)");
        let rows = self.connection.copy_out_raw(&statement).await?;
        Ok(rows.map(|row| row.map_err(StoreError::from)).boxed())
    }

    /// What has to be known of the moment.
    pub async fn moment(&mut self) -> Result<Moment, StoreError> {
        let schema = match self.side {
            Side::Data => {
                sqlx::query_scalar!(r#"SELECT max(version) AS "version!" FROM _sqlx_migrations"#)
                    .fetch_one(&mut self.connection)
                    .await?
            }
            Side::Keys => {
                sqlx::query_scalar!(r#"SELECT max(version) AS "version!" FROM waxseal_keys._sqlx_migrations"#)
                    .fetch_one(&mut self.connection)
                    .await?
            }
        };
        let transactions =
            sqlx::query_scalar!(r#"SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS "number!""#);
        Ok(Moment { schema, transactions: transactions.fetch_one(&mut self.connection).await? })
    }

    /// Of the keys: whose they are, and their epoch. `None`: nobody's yet.
    pub async fn installation(&mut self) -> Result<Option<(Uuid, i64)>, StoreError> {
        let row = sqlx::query!("SELECT installation_id, epoch FROM waxseal_keys.installation");
        let row = row.fetch_optional(&mut self.connection).await?;
        Ok(row.map(|row| (row.installation_id, row.epoch)))
    }

    /// Of the data: the logs as they stand.
    pub async fn logs(&mut self) -> Result<Vec<LogHead>, StoreError> {
        let logs = sqlx::query_as!(
            LogHead,
            r#"SELECT tenant_id AS tenant, size,
                      (SELECT note FROM audit_checkpoint c WHERE c.tenant_id = l.tenant_id ORDER BY c.size DESC LIMIT 1) AS checkpoint
               FROM audit_log l ORDER BY tenant_id"#
        );
        Ok(logs.fetch_all(&mut self.connection).await?)
    }

    /// Of the data: files that lie in the object store, behind `after`, a thousand at most.
    pub async fn files(&mut self, after: (Uuid, Uuid)) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
        let rows = sqlx::query!(
            "SELECT tenant_id, media_id FROM media WHERE state = 'stored' AND (tenant_id, media_id) > ($1, $2)
             ORDER BY tenant_id, media_id LIMIT 1000",
            after.0,
            after.1,
        );
        let rows = rows.fetch_all(&mut self.connection).await?;
        Ok(rows.into_iter().map(|row| (row.tenant_id, row.media_id)).collect())
    }
}
