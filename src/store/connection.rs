//! Connections on which nothing waits for ever. A server that vanished without a word, or a firewall that forgot the
//! connection, leaves a statement waiting until the system gives up, which takes a quarter of an hour; the driver has no limit
//! of its own. So every statement has one here, and so has giving a connection back to its pool.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Either, Error, Execute, Executor, SqlStr};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::readers::Lent;

/// How long a connection may take to become usable again before it is closed instead: whoever left it may have left a statement
/// that still runs.
pub(super) const RETURN_WITHIN: Duration = Duration::from_secs(5);

/// A pool whose statements end. Clones share the connections.
#[derive(Debug, Clone)]
pub(super) struct Bounded {
    pool: PgPool,
    limit: Duration,
}

/// A connection, inside or outside a transaction, on which each statement ends within a limit: with an error, if need be. It
/// goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// There until it is dropped.
    held: Option<Held>,
    in_transaction: bool,
    /// Whether a statement began and did not come to a good end.
    unfinished: bool,
    limit: Duration,
}

/// Where a connection came from, and goes back to.
#[derive(Debug)]
enum Held {
    Pooled(PoolConnection<Postgres>),
    Lent(Lent),
}

/// A transaction of the data store. Rolled back when it is dropped.
#[derive(Debug)]
pub struct Transaction(Connection);

async fn within<T>(limit: Duration, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // Not `Io`: nobody should repeat at once what has just taken so long.
    timeout(limit, statement).await.unwrap_or(Err(Error::PoolTimedOut))
}

impl Bounded {
    pub(super) const fn new(pool: PgPool, limit: Duration) -> Self {
        Self { pool, limit }
    }

    /// The pool itself, for what may take as long as it takes: migrations.
    pub(super) const fn unbounded(&self) -> &PgPool {
        &self.pool
    }

    pub(super) async fn acquire(&self) -> Result<Connection, Error> {
        Ok(Connection::new(Held::Pooled(self.pool.acquire().await?), self.limit))
    }

    pub(super) async fn begin(&self) -> Result<Transaction, Error> {
        let mut connection = self.acquire().await?;
        connection.in_transaction = true;
        connection.run("BEGIN").await?;
        Ok(Transaction(connection))
    }
}

impl Connection {
    const fn new(held: Held, limit: Duration) -> Self {
        Self { held: Some(held), in_transaction: false, unfinished: false, limit }
    }

    /// One that belongs to the readers.
    pub(super) const fn lent(lent: Lent, limit: Duration) -> Self {
        Self::new(Held::Lent(lent), limit)
    }

    fn raw(&mut self) -> Result<&mut PgConnection, Error> {
        self.unfinished = true;
        match self.held.as_mut() {
            Some(Held::Pooled(pooled)) => Ok(pooled),
            Some(Held::Lent(lent)) => Ok(lent.raw()),
            None => Err(Error::PoolClosed),
        }
    }

    fn finished<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        self.unfinished = result.is_err();
        result
    }

    /// Runs a statement to its end.
    pub(super) async fn run<'q>(&mut self, query: impl Execute<'q, Postgres> + 'q) -> Result<Vec<Step>, Error> {
        let result = within(self.limit, self.raw()?.fetch_many(query).try_collect()).await;
        self.finished(result)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        match (held, Handle::try_current()) {
            (Held::Pooled(pooled), Ok(runtime)) => drop(runtime.spawn(give_back(pooled, self.in_transaction))),
            (Held::Pooled(pooled), Err(_)) => drop(pooled.detach()),
            (Held::Lent(lent), _) if !self.unfinished => lent.give_back(),
            (Held::Lent(lent), Ok(runtime)) => drop(runtime.spawn(lent.mend())),
            (Held::Lent(lent), Err(_)) => drop(lent),
        }
    }
}

/// What the driver does when it drops a connection, but within a limit: one that hangs would keep its place in the pool.
async fn give_back(mut pooled: PoolConnection<Postgres>, in_transaction: bool) {
    if in_transaction {
        let rolled_back = timeout(RETURN_WITHIN, (&mut *pooled).execute("ROLLBACK")).await;
        if !matches!(rolled_back, Ok(Ok(_))) {
            return drop(pooled.detach());
        }
    }
    // Hidden in the driver's documentation, but what it does itself, without a limit; one that is late is closed.
    let _in_time = timeout(RETURN_WITHIN, pooled.return_to_pool()).await;
}

impl Transaction {
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.0.run("COMMIT").await?;
        self.0.in_transaction = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

pub(super) type Step = Either<PgQueryResult, PgRow>;

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let steps = self.run(query).map_ok(|steps| stream::iter(steps.into_iter().map(Ok)));
        steps.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move {
            let result = within(self.limit, self.raw()?.fetch_optional(query)).await;
            self.finished(result)
        }
        .boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'c: 'e,
    {
        async move {
            let result = within(self.limit, self.raw()?.prepare_with(sql, types)).await;
            self.finished(result)
        }
        .boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        async move {
            let result = within(self.limit, self.raw()?.describe(sql)).await;
            self.finished(result)
        }
        .boxed()
    }
}

impl<'p> Executor<'p> for &'p Bounded {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Step, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let steps = async move { self.acquire().await?.run(query).await };
        steps.map_ok(|steps| stream::iter(steps.into_iter().map(Ok))).try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { (&mut self.acquire().await?).fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, types: &'e [PgTypeInfo]) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        async move { (&mut self.acquire().await?).prepare_with(sql, types).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        async move { (&mut self.acquire().await?).describe(sql).await }.boxed()
    }
}
