//! The databases: connected, brought up to date, and spoken to under the roles that the configuration asks for.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::config::{Config, RolePrefix, RoleUse};
use crate::store::migrate::MigrationError;
use crate::store::{Pools, RowSecurity, Store, StoreError};
use crate::telemetry;

/// How long a start waits for Postgres before it gives up and lets the supervisor of the process decide.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// How long it waits for tables that something holds before it goes on without the roles, where that is allowed.
const PATIENCE_FOR_TABLES: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// Whether Postgres itself keeps the rows of tenants apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowsKept {
    /// Every pool has taken on its role.
    Yes,
    /// The configuration says so.
    Off,
    /// The roles could not be made: what an administrator of the server has to run.
    Not(String),
    /// Their rights could not be put in force now, because something holds a table. The next start tries again.
    Later,
}

/// Connects as the owner of the tables, and does nothing else.
pub(super) fn unopened(config: &Config) -> anyhow::Result<Store> {
    Ok(Store::connect_lazily(&pools(config, None))?)
}

/// Connects, migrates and takes on the roles.
pub(super) async fn open(config: &Config) -> anyhow::Result<(Store, RowsKept)> {
    let login = Store::connect_lazily(&pools(config, None))?;
    patiently(PATIENCE, MigrationError::is_retryable, async || login.migrate().await)
        .await
        .context("the database could not be migrated")?;
    let (store, kept) = take_roles(login, config).await?;
    metrics::gauge!(telemetry::ROWS_KEPT_APART).set(if kept == RowsKept::Yes { 1.0 } else { 0.0 });
    Ok((store, kept))
}

async fn take_roles(login: Store, config: &Config) -> anyhow::Result<(Store, RowsKept)> {
    let database = &config.database;
    if database.roles == RoleUse::Off {
        return Ok((login, RowsKept::Off));
    }
    // A login that owns no table can do nothing without them.
    let can_do_without = database.roles == RoleUse::Auto && database.migrator_url.is_none();
    let secure = async || login.secure_rows(&database.role_prefix).await;
    let secured = match patiently(PATIENCE_FOR_TABLES, |error: &StoreError| error.is_retryable(), secure).await {
        Err(error) if error.is_retryable() && can_do_without => {
            tracing::warn!(%error, "Postgres does not keep the rows of tenants apart yet: the next start tries again");
            return Ok((login, RowsKept::Later));
        }
        result => result.context("the database roles could not be set up")?,
    };
    let RowSecurity::Missing(sql) = secured else {
        login.close().await;
        let store = Store::connect_lazily(&pools(config, Some(database.role_prefix.clone())))?;
        let speak = async || store.speaks_under_roles(&database.role_prefix).await;
        let speaks = patiently(PATIENCE, |error: &StoreError| error.is_retryable(), speak).await;
        if !speaks.context("a database role could not be taken on")? {
            anyhow::bail!(
                "what a connection asks for does not reach Postgres, as happens behind a pooler: connect without it, or set \
                 database.roles = \"off\""
            );
        }
        return Ok((store, RowsKept::Yes));
    };
    if !can_do_without {
        anyhow::bail!("the database roles are missing; have an administrator of the server run\n\n{sql}");
    }
    tracing::warn!(
        "Postgres does not keep the rows of tenants apart: this login may not make the database roles. `waxseal migrate` prints \
         what an administrator has to run"
    );
    Ok((login, RowsKept::Not(sql)))
}

fn pools(config: &Config, roles: Option<RolePrefix>) -> Pools {
    Pools {
        data: config.database.url.clone(),
        migrator: config.database.migrator_url.clone(),
        keys: config.keys.url.clone(),
        roles,
        max_connections: config.database.max_connections,
        writers: u32::try_from(config.ingest.writers).unwrap_or(1),
        acquire_timeout: config.database.acquire_timeout,
        statement_timeout: config.database.statement_timeout,
    }
}

/// Whether what came of a start is the database's doing, and may pass.
pub(super) fn may_pass(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<StoreError>().is_some_and(StoreError::is_retryable))
}

/// Tries again while Postgres is away or busy, and `patience` lasts.
pub(super) async fn patiently<T, E>(
    patience: Duration,
    is_retryable: impl Fn(&E) -> bool,
    mut step: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + patience;
    loop {
        match step().await {
            Err(error) if is_retryable(&error) && Instant::now() < deadline => {
                tracing::warn!("the database does not answer yet; trying again");
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}
