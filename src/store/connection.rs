//! Connections on which nothing waits for ever. A server that vanished without a word, or a firewall that forgot the
//! connection, leaves a statement waiting until the system gives up, which takes a quarter of an hour; the driver has no limit
//! of its own. So every statement has one here, and so has giving a connection back to its pool.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::postgres::{PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Either, Error, Execute, Executor, SqlStr};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::pool::Lent;

/// How long a connection may take to become usable again before it is closed instead: whoever left it may have left a statement
/// that still runs.
pub(super) const RETURN_WITHIN: Duration = Duration::from_secs(5);

/// A connection, inside or outside a transaction, on which each statement ends within a limit: with an error, if need be. It
/// goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct Connection {
    /// There until it is dropped.
    held: Option<Lent>,
    in_transaction: bool,
    /// Whether a statement began and did not come to a good end.
    unfinished: bool,
    limit: Duration,
}

/// A transaction of the data store. Rolled back when it is dropped.
#[derive(Debug)]
pub struct Transaction(Connection);

async fn within<T>(limit: Duration, statement: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // Not `Io`: nobody should repeat at once what has just taken so long.
    timeout(limit, statement).await.unwrap_or(Err(Error::PoolTimedOut))
}

impl Connection {
    pub(super) const fn new(lent: Lent, limit: Duration) -> Self {
        Self { held: Some(lent), in_transaction: false, unfinished: false, limit }
    }

    fn raw(&mut self) -> Result<&mut PgConnection, Error> {
        self.unfinished = true;
        self.held.as_mut().map(Lent::raw).ok_or(Error::PoolClosed)
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
        let Some(lent) = self.held.take() else { return };
        match Handle::try_current() {
            Ok(_) if !self.unfinished && !self.in_transaction => lent.give_back(),
            Ok(runtime) => drop(runtime.spawn(lent.mend(self.in_transaction))),
            Err(_) => drop(lent),
        }
    }
}

impl Transaction {
    pub(super) async fn begin(mut connection: Connection) -> Result<Self, Error> {
        connection.in_transaction = true;
        connection.run("BEGIN").await?;
        Ok(Self(connection))
    }

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
