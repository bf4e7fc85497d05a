//! Connections: a pool for each database role, which is for each kind of work. The keys may be on another server.

use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::bells::Listening;
use super::pool::{Limits, Pool, Single};
use super::roles::Role;
use super::{Connection, StoreError, Transaction};
use crate::config::RolePrefix;
use crate::ids::TenantId;
use crate::secret::Dsn;

/// How many connections, and how long to wait for one.
#[derive(Debug, Clone)]
pub struct Pools {
    /// Where the data lives.
    pub data: Dsn,
    /// Who owns the tables there; `None`: the same login.
    pub migrator: Option<Dsn>,
    /// Where the keys live; `None`: with the data.
    pub keys: Option<Dsn>,
    /// The roles to take on; `None`: the logins do everything. They must have been seen to ([`Store::secure_rows`]).
    pub roles: Option<RolePrefix>,
    /// Upper bound of connections to the data for work, and as many again for reading; but for those of the batchers.
    pub max_connections: u32,
    /// Batchers, each with a connection to the data.
    pub writers: u32,
    /// How long a caller waits for a connection before the database counts as away.
    pub acquire_timeout: Duration,
    /// How long Postgres lets a statement run.
    pub statement_timeout: Duration,
}

/// Both databases. Clones are one and cost next to nothing: there is one in every part of the gateway, and requests clone the parts.
#[derive(Debug, Clone)]
pub struct Store(Arc<Connections>);

/// A pool for each role.
#[derive(Debug)]
pub struct Connections {
    /// As [`Role::Worker`]: what concerns several tenants, and whatever writes for a caller.
    pub(super) data: Pool,
    /// As [`Role::Reader`]: what callers are shown.
    readers: Pool,
    /// As [`Role::Ingest`], for the batchers alone: they never wait behind a reader, and as few connections stay as they were in
    /// the processor's caches as there are batchers.
    ingest: Pool,
    /// As [`Role::Janitor`].
    pub(super) janitor: Pool,
    /// As [`Role::Eraser`].
    pub(super) eraser: Pool,
    /// As [`Role::Keyring`].
    pub(super) keys: Pool,
    /// Owns the tables of the data, and is bound by no policy: for migrations and partitions.
    pub(super) owner: Pool,
    /// Owns the tables of the keys: for migrations.
    pub(super) key_owner: Pool,
    /// For the one connection that listens.
    pub(super) listening: Listening,
    /// Julian day around which the partitions are known to be there; 0: not known.
    pub(super) partitioned_for: AtomicI32,
}

impl Deref for Store {
    type Target = Connections;

    fn deref(&self) -> &Connections {
        &self.0
    }
}

/// How Postgres plans for us. Every statement here is prepared, and looks up by a key or writes a batch: one plan is as good for all
/// values. Left to itself, Postgres plans a statement on a partitioned table anew at each call, which takes
/// longer than to run it. The one plan must not have been made for a table that was small at that moment, so whole tables are
/// read only where there is no other way; and what looks dear because of that is not worth compiling. For the same reason a statement
/// leaves no choice of the index: a single row is looked for by LATERAL with LIMIT and all of its key, no other index begins with the tenant
/// and holds the rest of that key, and rows are changed by ctid, out of a list that ends with a LIMIT which keeps all.
const PLANNING: [(&str, &str); 3] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")];

/// Connections to the keys: they are read on cache misses alone.
const KEY_CONNECTIONS: u32 = 3;
/// Connections that own the tables: they are used when a day begins.
const OWNER_CONNECTIONS: u32 = 2;
/// Connections that remove what is erased.
const ERASER_CONNECTIONS: u32 = 2;
/// How long these stay open when nobody uses them.
const SELDOM_IDLE: Duration = Duration::from_secs(30);
/// How long others do.
const IDLE: Duration = Duration::from_mins(10);
/// How much longer than Postgres itself we wait for a statement: its refusal has to arrive.
const GRACE: Duration = Duration::from_secs(2);
/// How long an open transaction of ours may do nothing. Whoever is cut off in the middle of one holds the people in it locked for so
/// long, and others cannot store what these write. We do nothing for as long as the key server takes to answer: a batch that waits
/// longer for it is refused and comes again.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// Whoever writes is trusted with a connection that lay idle for no longer than this without asking: about as long as a restart of
/// Postgres takes, and a batch whose connection broke is written again.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// The same for those who read, where nobody asks again.
const READER_TRUSTED_FOR: Duration = Duration::from_millis(20);

impl Store {
    /// Pools that connect when first used, so that a gateway starts and answers 503 while Postgres is away.
    pub fn connect_lazily(pools: &Pools) -> Result<Self, StoreError> {
        let options = |dsn: &Dsn| options(pools, dsn);
        let limits = |connections| Limits {
            connections,
            acquire: pools.acquire_timeout,
            statement: pools.statement_timeout + GRACE,
            trusted: TRUSTED_FOR,
            idle: IDLE,
        };
        let role = |dsn: &Dsn, role: Role| {
            Ok::<_, StoreError>(match &pools.roles {
                Some(prefix) => options(dsn)?.options([("role", role.name(prefix))]),
                None => options(dsn)?,
            })
        };
        let owner = pools.migrator.as_ref().unwrap_or(&pools.data);
        let (keys, key_owner) = (pools.keys.as_ref().unwrap_or(&pools.data), pools.keys.as_ref().unwrap_or(owner));
        // Used for moments, and not at all on most days.
        let seldom = |connections| Limits { idle: SELDOM_IDLE, ..limits(connections) };
        let owned = |dsn: &Dsn| Ok::<_, StoreError>(Pool::new(options(dsn)?, seldom(OWNER_CONNECTIONS)));
        let reading = Limits { trusted: READER_TRUSTED_FOR, ..limits(pools.max_connections) };
        Ok(Self(Arc::new(Connections {
            data: Pool::new(role(&pools.data, Role::Worker)?, limits(pools.max_connections)),
            readers: Pool::new(role(&pools.data, Role::Reader)?, reading),
            ingest: Pool::new(role(&pools.data, Role::Ingest)?, limits(pools.writers)),
            janitor: Pool::new(role(&pools.data, Role::Janitor)?, limits(1)),
            eraser: Pool::new(role(&pools.data, Role::Eraser)?, seldom(ERASER_CONNECTIONS)),
            keys: Pool::new(role(keys, Role::Keyring)?, limits(KEY_CONNECTIONS)),
            owner: owned(owner)?,
            key_owner: owned(key_owner)?,
            listening: Listening(role(&pools.data, Role::Worker)?),
            partitioned_for: AtomicI32::default(),
        })))
    }

    /// Runs single statements as a reader, to whom Postgres shows the rows of this tenant alone.
    pub(super) fn reading(&self, tenant: TenantId) -> Single<'_> {
        self.readers.of(tenant)
    }

    /// A connection for reading what is this tenant's.
    pub(super) async fn reading_connection(&self, tenant: TenantId) -> Result<Connection, StoreError> {
        Ok(self.readers.lend(Some(tenant)).await?)
    }

    /// Begins a transaction in which what is this tenant's is read.
    pub(super) async fn begin_reading(&self, tenant: TenantId) -> Result<Transaction, StoreError> {
        Ok(Transaction::begin(self.readers.lend(Some(tenant)).await?).await?)
    }

    /// A connection on which each statement is its own transaction.
    pub async fn connection(&self) -> Result<Connection, StoreError> {
        Ok(self.data.acquire().await?)
    }

    /// The same for a batcher.
    pub async fn ingest_connection(&self) -> Result<Connection, StoreError> {
        Ok(self.ingest.acquire().await?)
    }

    /// Begins a transaction of a batcher's.
    pub async fn begin_ingest(&self) -> Result<Transaction, StoreError> {
        Ok(self.ingest.begin().await?)
    }

    /// Begins a transaction on the data.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(self.data.begin().await?)
    }

    /// Commits. The caller may answer for what is in it when this returns `Ok`, and not before.
    pub async fn commit(transaction: Transaction) -> Result<(), StoreError> {
        Ok(transaction.commit().await?)
    }

    /// Whether the data answers a trivial statement.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("SELECT 1").fetch_one(&self.data).await?;
        Ok(())
    }

    /// Whether the keys answer a trivial statement.
    pub async fn ping_keys(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("SELECT 1").fetch_one(&self.keys).await?;
        Ok(())
    }

    /// Closes what lies idle in the pools: when one connection broke, the others may have broken with it.
    pub fn drop_idle_connections(&self) {
        for pool in self.pools() {
            pool.drop_idle();
        }
    }

    /// Connections to the data in use and open, for the metrics.
    #[must_use]
    pub fn usage(&self) -> (u32, u32) {
        let pools = [&self.data, &self.readers, &self.ingest, &self.janitor, &self.owner];
        pools.into_iter().map(Pool::usage).fold((0, 0), |(used, open), one| (used + one.0, open + one.1))
    }

    /// Closes the pools; statements under way finish.
    pub async fn close(&self) {
        for pool in self.pools() {
            pool.close().await;
        }
    }

    fn pools(&self) -> [&Pool; 8] {
        [&self.data, &self.readers, &self.ingest, &self.janitor, &self.eraser, &self.keys, &self.owner, &self.key_owner]
    }
}

fn options(pools: &Pools, dsn: &Dsn) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(dsn.expose())
        .map_err(|_| StoreError::Refused { sqlstate: "connection string".into() })?;
    let limits = [
        ("statement_timeout", pools.statement_timeout.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION.as_millis().to_string()),
    ];
    Ok(options.application_name("waxseal").options(limits).options(PLANNING))
}
