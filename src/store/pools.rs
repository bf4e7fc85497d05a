//! Connections: a pool for each database role, which is for each kind of work. The keys may be on another server.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::bells::Listening;
use super::connection::Bounded;
use super::readers::{self, Readers, Reading};
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

/// Both databases. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Store {
    /// As [`Role::Worker`]: what concerns several tenants, and whatever writes for a caller.
    pub(super) data: Bounded,
    /// As [`Role::Reader`]: what callers are shown.
    readers: Readers,
    /// As [`Role::Ingest`], for the batchers alone: they never wait behind a reader, and as few connections stay as they were in
    /// the processor's caches as there are batchers.
    ingest: Bounded,
    /// As [`Role::Janitor`].
    pub(super) janitor: Bounded,
    /// As [`Role::Eraser`].
    pub(super) eraser: Bounded,
    /// As [`Role::Keyring`].
    pub(super) keys: Bounded,
    /// Owns the tables of the data, and is bound by no policy: for migrations and partitions.
    pub(super) owner: Bounded,
    /// Owns the tables of the keys: for migrations.
    pub(super) key_owner: Bounded,
    /// For the one connection that listens.
    pub(super) listening: Listening,
    /// Julian day around which the partitions are known to be there; 0: not known.
    pub(super) partitioned_for: Arc<AtomicI32>,
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
/// How long such a connection stays open when nobody uses it.
const OWNER_IDLE: Duration = Duration::from_secs(30);
/// How much longer than Postgres itself we wait for a statement: its refusal has to arrive.
const GRACE: Duration = Duration::from_secs(2);
/// How long an open transaction of ours may do nothing. Whoever is cut off in the middle of one holds the people in it locked for so
/// long, and others cannot store what these write. We do nothing for as long as the key server takes to answer: a batch that waits
/// longer for it is refused and comes again.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// A connection that lay idle for longer is asked whether it is still there: a restart of Postgres takes about as long, and
/// under load, where a round trip would count, connections are not idle for so long.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

impl Store {
    /// Pools that connect when first used, so that a gateway starts and answers 503 while Postgres is away.
    pub fn connect_lazily(pools: &Pools) -> Result<Self, StoreError> {
        let options = |dsn: &Dsn| options(pools, dsn);
        let pool = |options: PgConnectOptions, connections: u32| pool(pools, connections).connect_lazy_with(options);
        let bounded = |pool| Bounded::new(pool, pools.statement_timeout + GRACE);
        let role = |dsn: &Dsn, role: Role| {
            Ok::<_, StoreError>(match &pools.roles {
                Some(prefix) => options(dsn)?.options([("role", role.name(prefix))]),
                None => options(dsn)?,
            })
        };
        let owner = pools.migrator.as_ref().unwrap_or(&pools.data);
        let (keys, key_owner) = (pools.keys.as_ref().unwrap_or(&pools.data), pools.keys.as_ref().unwrap_or(owner));
        let owned = |dsn: &Dsn| {
            let seldom = self::pool(pools, OWNER_CONNECTIONS).idle_timeout(OWNER_IDLE);
            Ok::<_, StoreError>(bounded(seldom.connect_lazy_with(options(dsn)?)))
        };
        // Used for moments, and not at all on most days.
        let owned_by = |options: PgConnectOptions| {
            bounded(self::pool(pools, ERASER_CONNECTIONS).idle_timeout(OWNER_IDLE).connect_lazy_with(options))
        };
        let readers = readers::Limits {
            connections: pools.max_connections,
            acquire: pools.acquire_timeout,
            statement: pools.statement_timeout + GRACE,
        };
        Ok(Self {
            data: bounded(pool(role(&pools.data, Role::Worker)?, pools.max_connections)),
            readers: Readers::new(role(&pools.data, Role::Reader)?, readers),
            ingest: bounded(pool(role(&pools.data, Role::Ingest)?, pools.writers)),
            janitor: bounded(pool(role(&pools.data, Role::Janitor)?, 1)),
            eraser: owned_by(role(&pools.data, Role::Eraser)?),
            keys: bounded(pool(role(keys, Role::Keyring)?, KEY_CONNECTIONS)),
            owner: owned(owner)?,
            key_owner: owned(key_owner)?,
            listening: Listening(role(&pools.data, Role::Worker)?),
            partitioned_for: Arc::default(),
        })
    }

    /// Runs single statements as a reader, to whom Postgres shows the rows of this tenant alone.
    pub(super) const fn reading(&self, tenant: TenantId) -> Reading<'_> {
        self.readers.of(tenant)
    }

    /// A connection for reading what is this tenant's.
    pub(super) async fn reading_connection(&self, tenant: TenantId) -> Result<Connection, StoreError> {
        Ok(self.readers.lend(tenant).await?)
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
        self.readers.drop_idle();
        for pool in self.pools() {
            while let Some(idle) = pool.unbounded().try_acquire() {
                drop(idle.detach());
            }
        }
    }

    /// Connections to the data in use and open, for the metrics.
    #[must_use]
    pub fn usage(&self) -> (u32, u32) {
        let pools = [&self.data, &self.ingest, &self.janitor, &self.owner].map(Bounded::unbounded);
        let open: u32 = pools.iter().map(|pool| pool.size()).sum();
        let idle: usize = pools.iter().map(|pool| pool.num_idle()).sum();
        let (reading, readers) = self.readers.usage();
        (open.saturating_sub(u32::try_from(idle).unwrap_or(open)) + reading, open + readers)
    }

    /// Closes the pools; statements under way finish.
    pub async fn close(&self) {
        for pool in self.pools() {
            pool.unbounded().close().await;
        }
        self.readers.close().await;
    }

    const fn pools(&self) -> [&Bounded; 7] {
        [&self.data, &self.ingest, &self.janitor, &self.eraser, &self.keys, &self.owner, &self.key_owner]
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

fn pool(pools: &Pools, connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(pools.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move { Ok(idle.idle_for < TRUSTED_FOR || connection.ping().await.is_ok()) })
        })
}
