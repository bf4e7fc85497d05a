//! Connections for readers. Each is lent for one tenant, and Postgres shows it the rows of that tenant alone: there is no way to a
//! reading connection but with a tenant, and one without would see nothing.
//!
//! The tenant is a setting of the session. It is given with the connection and written anew only when another tenant's turn comes,
//! so that it costs no round trip where it stays the same. This is why the driver's own pool will not do: it lends connections without
//! saying whose they were.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Connection as _, Error, Execute, Executor, SqlStr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::connection::{Connection, RETURN_WITHIN, Step};
use crate::ids::TenantId;

/// The setting that policies compare rows with.
pub(super) const SETTING: &str = "waxseal.tenant";
/// A connection that lay idle for so long is closed when somebody next looks.
const IDLE: Duration = Duration::from_mins(10);
/// A connection that lay idle for longer is asked whether it is still there. Under load, where a round trip would count, none does.
const TRUSTED_FOR: Duration = Duration::from_millis(20);
/// A connection is not used for longer: plans, memory and names of hosts grow old.
const LIFE: Duration = Duration::from_mins(30);

/// How many, and how long to wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Connections at the same time.
    pub(super) connections: u32,
    /// How long a reader waits for one.
    pub(super) acquire: Duration,
    /// How long a statement may take.
    pub(super) statement: Duration,
}

/// The connections. Clones share them.
#[derive(Clone)]
pub(super) struct Readers(Arc<Inner>);

struct Inner {
    options: PgConnectOptions,
    limits: Limits,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Seat>>,
}

/// A connection, and the tenant that its session is set to.
struct Seat {
    connection: PgConnection,
    tenant: TenantId,
    made: Instant,
    since: Instant,
}

/// A connection that somebody has.
pub(super) struct Lent {
    seat: Seat,
    readers: Readers,
    place: OwnedSemaphorePermit,
}

/// A way to run single statements as a reader of this tenant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading<'p> {
    readers: &'p Readers,
    tenant: TenantId,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Readers(…)") // the options hold a password
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lent(…)")
    }
}

impl Seat {
    async fn connect(options: &PgConnectOptions, tenant: TenantId) -> Result<Self, Error> {
        let options = options.clone().options([(SETTING, tenant.uuid())]);
        let connection = PgConnection::connect_with(&options).await.map_err(|error| match error {
            // Nobody should repeat at once what just failed to connect.
            Error::Io(_) => Error::PoolTimedOut,
            error => error,
        })?;
        let now = Instant::now();
        Ok(Self { connection, tenant, made: now, since: now })
    }

    /// Sees to it that the connection is there and shows the rows of this tenant.
    async fn prepare(&mut self, tenant: TenantId) -> Result<(), Error> {
        if self.since.elapsed() > TRUSTED_FOR {
            self.connection.ping().await?;
        }
        if self.tenant != tenant {
            let id = tenant.uuid().to_string();
            sqlx::query_scalar!("SELECT set_config('waxseal.tenant', $1, false)", id)
                .fetch_one(&mut self.connection)
                .await?;
            self.tenant = tenant;
        }
        Ok(())
    }
}

impl Readers {
    pub(super) fn new(options: PgConnectOptions, limits: Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        Self(Arc::new(Inner { options, limits, places, idle: Mutex::default() }))
    }

    pub(super) const fn of(&self, tenant: TenantId) -> Reading<'_> {
        Reading { readers: self, tenant }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a connection that shows the rows of this tenant alone.
    pub(super) async fn lend(&self, tenant: TenantId) -> Result<Connection, Error> {
        let lending = async {
            let place = self.0.places.clone().acquire_owned().await.map_err(|_| Error::PoolClosed)?;
            let seat = self.seat(tenant).await?;
            Ok(Connection::lent(Lent { seat, readers: self.clone(), place }, self.0.limits.statement))
        };
        timeout(self.0.limits.acquire, lending).await.unwrap_or(Err(Error::PoolTimedOut))
    }

    async fn seat(&self, tenant: TenantId) -> Result<Seat, Error> {
        while let Some(mut seat) = self.take(tenant) {
            // One that broke is dropped, and the next is tried.
            if seat.prepare(tenant).await.is_ok() {
                return Ok(seat);
            }
        }
        Seat::connect(&self.0.options, tenant).await
    }

    /// An idle connection, of this tenant if there is one, and the one used last, so that the others grow old.
    fn take(&self, tenant: TenantId) -> Option<Seat> {
        let mut idle = self.idle();
        idle.retain(|seat| seat.since.elapsed() < IDLE);
        let of_tenant = idle.iter().rposition(|seat| seat.tenant == tenant);
        let at = of_tenant.or_else(|| idle.len().checked_sub(1))?;
        Some(idle.remove(at))
    }

    /// Closes what lies idle.
    pub(super) fn drop_idle(&self) {
        self.idle().clear();
    }

    /// Connections in use and open.
    pub(super) fn usage(&self) -> (u32, u32) {
        let free = u32::try_from(self.0.places.available_permits()).unwrap_or(u32::MAX);
        let used = self.0.limits.connections.saturating_sub(free);
        (used, used.saturating_add(u32::try_from(self.idle().len()).unwrap_or(u32::MAX)))
    }

    /// Lends no more, and waits for those that are lent.
    pub(super) async fn close(&self) {
        let all = self.0.places.acquire_many(self.0.limits.connections).await;
        self.0.places.close();
        drop(all);
        self.drop_idle();
    }
}

impl Lent {
    pub(super) const fn raw(&mut self) -> &mut PgConnection {
        &mut self.seat.connection
    }

    /// Puts a connection back on which every statement came to its end.
    pub(super) fn give_back(self) {
        let Self { mut seat, readers, place } = self;
        if seat.made.elapsed() < LIFE && !readers.0.places.is_closed() {
            seat.since = Instant::now();
            readers.idle().push(seat);
        }
        drop(place); // after it lies there, so that whoever waits for the place finds it
    }

    /// Puts a connection back that a statement may have been left on, or closes it.
    pub(super) async fn mend(mut self) {
        if matches!(timeout(RETURN_WITHIN, self.seat.connection.ping()).await, Ok(Ok(()))) {
            self.give_back();
        }
    }
}

impl<'p> Executor<'p> for Reading<'p> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let steps = async move { self.readers.lend(self.tenant).await?.run(query).await };
        steps.map_ok(|steps| stream::iter(steps.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { (&mut self.readers.lend(self.tenant).await?).fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        async move { (&mut self.readers.lend(self.tenant).await?).prepare_with(sql, types).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        async move { (&mut self.readers.lend(self.tenant).await?).describe(sql).await }.boxed()
    }
}
