//! Connections of one database role, lent and given back. The driver has a pool too; it asks each connection on its way back whether
//! it is still there, and with as many connections as batchers the next batch would wait for that round trip. Here one goes back as it is when
//! every statement on it came to its end, and is asked when it lay idle for a while or when nobody knows what was left on it.
//!
//! A connection of readers is lent for one tenant, and Postgres shows it the rows of that tenant alone: there is no way to a
//! reading connection but with a tenant, and one without would see nothing. The tenant is a setting of the session. It is given with
//! the connection and written anew only when another tenant's turn comes, so that it costs no round trip where it stays the same.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Connection as _, Error, Execute, Executor, SqlStr};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::connection::{Connection, RETURN_WITHIN, Step, Transaction};
use crate::ids::TenantId;

/// The setting that policies compare rows with.
pub(super) const SETTING: &str = "waxseal.tenant";
/// A connection is not used for longer: plans, memory and names of hosts grow old.
const LIFE: Duration = Duration::from_mins(30);

/// Too many connections; the server is starting or stopping (PostgreSQL, appendix A).
const NOT_NOW: [&str; 2] = ["53300", "57P03"];
/// How long after a connection could not be made it is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How many, and how long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at the same time.
    pub(super) connections: u32,
    /// How long somebody waits for one.
    pub(super) acquire: Duration,
    /// How long a statement may take.
    pub(super) statement: Duration,
    /// A connection that lay idle for longer is asked whether it is still there. Under load, where a round trip would count, none does.
    pub(super) trusted: Duration,
    /// One that lay idle for so long is closed.
    pub(super) idle: Duration,
}

/// The connections. Clones share them.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    limits: Limits,
    places: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    seats: Vec<Seat>,
    /// Whether somebody closes what lies there for too long.
    is_swept: bool,
}

/// A connection, and the tenant that its session is set to.
struct Seat {
    connection: PgConnection,
    tenant: Option<TenantId>,
    made: Instant,
    since: Instant,
}

/// A connection that somebody has.
pub(super) struct Lent {
    seat: Seat,
    pool: Pool,
    place: OwnedSemaphorePermit,
}

/// A way to run single statements: as a reader of a tenant, or, where none is named, as whatever role this is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Single<'p> {
    pool: &'p Pool,
    tenant: Option<TenantId>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool(…)") // the options hold a password
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lent(…)")
    }
}

impl Seat {
    async fn connect(options: &PgConnectOptions, tenant: Option<TenantId>) -> Result<Self, Error> {
        let options = options.clone().options(tenant.map(|tenant| (SETTING, tenant.uuid())));
        let connection = PgConnection::connect_with(&options).await?;
        let now = Instant::now();
        Ok(Self { connection, tenant, made: now, since: now })
    }

    /// Sees to it that the connection is there and shows the rows of this tenant.
    async fn prepare(&mut self, tenant: Option<TenantId>, trusted: Duration) -> Result<(), Error> {
        if self.since.elapsed() > trusted {
            self.connection.ping().await?;
        }
        if let Some(of_tenant) = tenant.filter(|_| self.tenant != tenant) {
            let id = of_tenant.uuid().to_string();
            sqlx::query_scalar!("SELECT set_config('waxseal.tenant', $1, false)", id)
                .fetch_one(&mut self.connection)
                .await?;
            self.tenant = tenant;
        }
        Ok(())
    }
}

impl Pool {
    pub(super) fn new(options: PgConnectOptions, limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        Self(Arc::new(Inner { options, limits, places, idle: Mutex::default() }))
    }

    /// Single statements as a reader of this tenant.
    pub(super) const fn of(&self, tenant: TenantId) -> Single<'_> {
        Single { pool: self, tenant: Some(tenant) }
    }

    const fn any(&self) -> Single<'_> {
        Single { pool: self, tenant: None }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a connection. A reader's shows the rows of its tenant alone.
    pub(super) async fn lend(&self, tenant: Option<TenantId>) -> Result<Connection, Error> {
        let lending = async {
            let place = self.0.places.clone().acquire_owned().await.map_err(|_| Error::PoolClosed)?;
            let seat = self.seat(tenant).await?;
            Ok(Connection::new(Lent { seat, pool: self.clone(), place }, self.0.limits.statement))
        };
        timeout(self.0.limits.acquire, lending).await.unwrap_or(Err(Error::PoolTimedOut))
    }

    /// Lends a connection that belongs to nobody in particular.
    pub(super) async fn acquire(&self) -> Result<Connection, Error> {
        self.lend(None).await
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<Transaction, Error> {
        Transaction::begin(self.acquire().await?).await
    }

    /// A connection beside the pool, without any limit of ours, and closed when it is dropped.
    pub(super) async fn unbounded(&self) -> Result<PgConnection, Error> {
        let connecting = connect(&self.0.options, None);
        Ok(timeout(self.0.limits.acquire, connecting).await.unwrap_or(Err(Error::PoolTimedOut))?.connection)
    }

    async fn seat(&self, tenant: Option<TenantId>) -> Result<Seat, Error> {
        while let Some(mut seat) = self.take(tenant) {
            // One that broke is dropped, and the next is tried.
            if seat.prepare(tenant, self.0.limits.trusted).await.is_ok() {
                return Ok(seat);
            }
        }
        connect(&self.0.options, tenant).await
    }

    /// An idle connection, of this tenant if there is one, and the one used last, so that the others grow old.
    fn take(&self, tenant: Option<TenantId>) -> Option<Seat> {
        let seats = &mut self.idle().seats;
        let of_tenant = seats.iter().rposition(|seat| seat.tenant == tenant);
        let at = of_tenant.or_else(|| seats.len().checked_sub(1))?;
        Some(seats.remove(at))
    }

    /// Lays a connection down for the next who asks.
    fn put(&self, mut seat: Seat) {
        seat.since = Instant::now();
        let mut idle = self.idle();
        idle.seats.push(seat);
        if let (false, Ok(runtime)) = (idle.is_swept, Handle::try_current()) {
            idle.is_swept = true;
            // Nobody waits for it: it ends with the runtime, or with the pool.
            drop(runtime.spawn(sweep(Arc::downgrade(&self.0), self.0.limits.idle)));
        }
    }

    /// Closes what lies idle.
    pub(super) fn drop_idle(&self) {
        self.idle().seats.clear();
    }

    /// Connections in use and open.
    pub(super) fn usage(&self) -> (u32, u32) {
        let free = u32::try_from(self.0.places.available_permits()).unwrap_or(u32::MAX);
        let used = self.0.limits.connections.saturating_sub(free);
        (used, used.saturating_add(u32::try_from(self.idle().seats.len()).unwrap_or(u32::MAX)))
    }

    /// Lends no more, and waits for those that are lent.
    pub(super) async fn close(&self) {
        let all = self.0.places.acquire_many(self.0.limits.connections).await;
        self.0.places.close();
        drop(all);
        self.drop_idle();
    }
}

/// Connects, again and again while Postgres is away or cannot serve one more: whoever waits for it ends that.
async fn connect(options: &PgConnectOptions, tenant: Option<TenantId>) -> Result<Seat, Error> {
    loop {
        match Seat::connect(options, tenant).await {
            Err(Error::Io(_)) => {}
            Err(Error::Database(error)) if error.code().is_some_and(|code| NOT_NOW.contains(&&*code)) => {}
            result => return result,
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// Closes connections that lay idle for so long, until none lies there.
async fn sweep(pool: Weak<Inner>, after: Duration) {
    loop {
        sleep(after).await;
        let Some(inner) = pool.upgrade() else { return };
        let mut idle = inner.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.seats.retain(|seat| seat.since.elapsed() < after);
        if idle.seats.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}

impl Lent {
    pub(super) const fn raw(&mut self) -> &mut PgConnection {
        &mut self.seat.connection
    }

    /// Puts a connection back on which every statement came to its end.
    pub(super) fn give_back(self) {
        let Self { seat, pool, place } = self;
        if seat.made.elapsed() < LIFE && !pool.0.places.is_closed() {
            pool.put(seat);
        }
        drop(place); // after it lies there, so that whoever waits for the place finds it
    }

    /// Puts a connection back that a statement or a transaction may have been left on, or closes it.
    pub(super) async fn mend(mut self, in_transaction: bool) {
        let connection = &mut self.seat.connection;
        let mending = async {
            if in_transaction {
                sqlx::raw_sql("ROLLBACK").execute(connection).await.map(drop)
            } else {
                connection.ping().await
            }
        };
        if matches!(timeout(RETURN_WITHIN, mending).await, Ok(Ok(()))) {
            self.give_back();
        }
    }
}

impl<'p> Executor<'p> for Single<'p> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let steps = async move { self.pool.lend(self.tenant).await?.run(query).await };
        steps.map_ok(|steps| stream::iter(steps.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { (&mut self.pool.lend(self.tenant).await?).fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        async move { (&mut self.pool.lend(self.tenant).await?).prepare_with(sql, types).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        async move { (&mut self.pool.lend(self.tenant).await?).describe(sql).await }.boxed()
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.any().fetch_many(query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.any().fetch_optional(query)
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        self.any().prepare_with(sql, types)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        self.any().describe(sql)
    }
}
