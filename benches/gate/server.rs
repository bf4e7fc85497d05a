//! The Postgres that is measured: private, durable, in a folder of its own that is deleted at the end.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use waxseal::cli::postgres::{Durability, PrivatePostgres};
use waxseal::secret::Dsn;

use super::process;

/// Beyond Postgres's defaults. No checkpoint falls into a measurement: each begins with one, so that each pays alike for
/// the full pages that the first changes behind a checkpoint write.
const SETTINGS: [&str; 2] = ["max_wal_size = '24GB'", "checkpoint_timeout = '1h'"];

/// A running server.
pub(crate) struct Server {
    postgres: Option<PrivatePostgres>,
    folder: PathBuf,
    dsn: Dsn,
}

impl Server {
    /// Starts it with `fsync` and `synchronous_commit` on.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        // The same name each time: what a killed run left behind is found by the next one.
        let name = format!("waxseal-bench-{}", rustix::process::getuid().as_raw());
        let postgres = PrivatePostgres::start(&std::env::temp_dir().join(name), Durability::Full).await?;
        let (folder, dsn) = (postgres.dir().to_owned(), postgres.dsn().clone());
        let server = Self { postgres: Some(postgres), folder, dsn };
        let mut connection = server.connect().await?;
        for setting in SETTINGS {
            execute(&mut connection, format!("ALTER SYSTEM SET {setting}")).await?;
        }
        execute(&mut connection, "SELECT pg_reload_conf()".to_owned()).await?;
        Ok(server)
    }

    /// Makes an empty database.
    pub(crate) async fn make_database(&self, name: &str) -> anyhow::Result<Dsn> {
        let mut connection = self.connect().await?;
        execute(&mut connection, format!("DROP DATABASE IF EXISTS {name}")).await?;
        execute(&mut connection, format!("CREATE DATABASE {name}")).await?;
        let base = self.dsn.expose().rsplit_once('/').context("the server's address names no database")?.0;
        Ok(Dsn::new(format!("{base}/{name}")))
    }

    /// The first of the server's processes; 0 where processes cannot be looked at.
    pub(crate) async fn process(&self) -> anyhow::Result<u32> {
        let backend = ask(&mut self.connect().await?, "SELECT pg_backend_pid()::text").await?;
        Ok(process::parent(backend.parse()?).unwrap_or(0))
    }

    /// Version, and the settings that durability hangs on.
    pub(crate) async fn describe(&self) -> anyhow::Result<String> {
        let question =
            "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync')
            || ', synchronous_commit ' || current_setting('synchronous_commit')
            || ', full_page_writes ' || current_setting('full_page_writes')
            || ', shared_buffers ' || current_setting('shared_buffers')";
        ask(&mut self.connect().await?, question).await
    }

    async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(self.dsn.expose()).await?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.postgres.take());
        let _left = fs::remove_dir_all(&self.folder); // the next run clears up what this one cannot
    }
}

/// Runs statements whose text is made of constants, dates, numbers and our own sealed samples.
pub(crate) async fn execute(connection: &mut PgConnection, statements: String) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await?;
    Ok(())
}

/// The one text that a question gives.
#[expect(clippy::disallowed_methods, reason = "a benchmark's questions have no place in the product's query cache")]
pub(crate) async fn ask(connection: &mut PgConnection, question: &'static str) -> anyhow::Result<String> {
    Ok(sqlx::query_scalar(question).fetch_one(connection).await?)
}
