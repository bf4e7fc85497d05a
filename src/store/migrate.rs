//! Brings both schemas up to this release. Forward only; several processes may try at once, one does it.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnection;

use super::dumping::Side;
use super::pool::Pool;
use super::{Store, StoreError};

static DATA: Migrator = sqlx::migrate!("migrations/data");
static KEYS: Migrator = sqlx::migrate!("migrations/keys");

/// Why the schemas are not up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A migration did not run.
    #[error("a migration failed")]
    Failed(#[source] Box<MigrateError>),
    /// The database is newer than this release, or does not answer.
    #[error("the database could not be prepared")]
    Store(#[from] StoreError),
}

impl MigrationError {
    /// Whether another try may succeed. One that was broken off has left nothing: each migration is a transaction.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_retryable(),
            Self::Failed(error) => match &**error {
                MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                    matches!(error, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)
                }
                _ => false,
            },
        }
    }
}

impl From<MigrateError> for MigrationError {
    fn from(error: MigrateError) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl Store {
    /// Runs what is missing in the data and in the key schema.
    pub async fn migrate(&self) -> Result<(), MigrationError> {
        DATA.run(&mut self.owner.unbounded().await.map_err(StoreError::from)?).await?;
        let mut keys = key_schema(&self.key_owner).await?;
        KEYS.run(&mut keys).await?;
        Ok(())
    }

    /// Brings an empty schema up to where a backup was made, on a connection of its own.
    pub(super) async fn migrate_to(&self, side: Side, version: i64) -> Result<(), MigrationError> {
        let (known, mut connection) = match side {
            Side::Data => (&DATA, self.owner.unbounded().await.map_err(StoreError::from)?),
            Side::Keys => (&KEYS, key_schema(&self.key_owner).await?),
        };
        known.run_to(version, &mut connection).await?;
        Ok(())
    }

    /// Whether this release knows a migration.
    #[must_use]
    pub fn knows_schema(side: Side, version: i64) -> bool {
        if side == Side::Data { DATA.version_exists(version) } else { KEYS.version_exists(version) }
    }

    /// How many migrations of the data schema this release knows and the database lacks.
    pub async fn pending_migrations(&self) -> Result<usize, StoreError> {
        let applied = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM _sqlx_migrations WHERE success"#)
            .fetch_one(&self.data)
            .await?;
        Ok(DATA.iter().count().saturating_sub(usize::try_from(applied).unwrap_or(0)))
    }
}

/// A connection of its own whose record of migrations lies in the key schema, apart from the data's.
async fn key_schema(pool: &Pool) -> Result<PgConnection, StoreError> {
    let mut connection = pool.unbounded().await?;
    // Not checked at compile time: the macros do not know DDL.
    sqlx::raw_sql("CREATE SCHEMA IF NOT EXISTS waxseal_keys; SET search_path = waxseal_keys")
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// The columns of the data that hold envelopes alone, as the migrations make them: `table.column`, in order.
#[must_use]
pub fn sealed_columns() -> Vec<String> {
    let text: String = DATA.iter().map(|migration| migration.sql.as_str()).collect::<Vec<_>>().join("\n");
    let (mut columns, mut table) = (Vec::new(), "");
    for line in text.lines() {
        let code = line.split("--").next().unwrap_or_default();
        let words: Vec<&str> = code.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["CREATE" | "ALTER", "TABLE", name, ..] | ["CREATE", "UNLOGGED", "TABLE", name, ..] => table = name,
            _ => {}
        }
        let column = words.iter().zip(words.iter().skip(1)).find(|(_, kind)| kind.trim_end_matches(';') == "sealed");
        if let Some((name, _)) = column.filter(|(name, _)| **name != "DOMAIN") {
            columns.push(format!("{table}.{name}"));
        }
    }
    columns.sort_unstable();
    columns
}
