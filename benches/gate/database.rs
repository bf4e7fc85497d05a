//! One database of the server: its schema, its history, and how each measurement finds it as the last one did.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use time::macros::format_description;
use time::{Date, OffsetDateTime};
use waxseal::clock::{Clock, SystemClock};
use waxseal::secret::Dsn;
use waxseal::store::{Pools, Store};

use super::server::{Server, ask, execute};

/// Days that events are kept for in the benchmark, today included.
pub(crate) const DAYS: i64 = 30;

/// A migrated database.
pub(crate) struct Database {
    /// How to reach it.
    pub(crate) dsn: Dsn,
    has_history: bool,
}

impl Database {
    /// Makes it, with partitions for the last [`DAYS`] and for tomorrow.
    pub(crate) async fn make(server: &Server, name: &str) -> anyhow::Result<Self> {
        let dsn = server.make_database(name).await?;
        let store = store(&dsn, 1)?;
        store.migrate().await?;
        let today = today();
        store
            .ensure_partitions_between(today - time::Duration::days(DAYS - 1), today + time::Duration::days(1))
            .await?;
        store.close().await;
        Ok(Self { dsn, has_history: false })
    }

    /// The gateway's way to the database, without the gateway.
    pub(crate) fn store(&self, connections: u32) -> anyhow::Result<Store> {
        store(&self.dsn, connections)
    }

    /// A connection of the benchmark's own.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect(self.dsn.expose()).await?)
    }

    /// What is stored now is what every measurement is to begin with: keeps a copy of today's.
    pub(crate) async fn keep_history(&mut self) -> anyhow::Result<()> {
        let day = today();
        let copy = format!(
            "CREATE UNLOGGED TABLE bench_event AS SELECT * FROM event WHERE part_day = '{day}';
             CREATE UNLOGGED TABLE bench_payload AS SELECT * FROM event_payload WHERE part_day = '{day}'"
        );
        execute(&mut self.connect().await?, copy).await?;
        self.has_history = true;
        Ok(())
    }

    /// Takes back what a measurement stored. Contacts and keys stay.
    pub(crate) async fn reset(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        let day = stamp(today())?;
        execute(
            &mut connection,
            format!("TRUNCATE event_{day}, event_payload_{day}, attempt_{day}, delivery, delivery_retry"),
        )
        .await?;
        if self.has_history {
            let restore =
                "INSERT INTO event SELECT * FROM bench_event; INSERT INTO event_payload SELECT * FROM bench_payload";
            execute(&mut connection, restore.to_owned()).await?;
        }
        execute(&mut connection, "CHECKPOINT".to_owned()).await
    }

    /// Events that have their content, of this day and the two before: midnight may fall between two looks.
    pub(crate) async fn stored_lately(&self) -> anyhow::Result<u64> {
        let question = "SELECT count(*)::text FROM event e JOIN event_payload p USING (tenant_id, part_day, event_id)
                        WHERE e.part_day >= current_date - 2";
        let mut connection = self.connect().await?;
        execute(&mut connection, "SET TIME ZONE 'UTC'".to_owned()).await?;
        Ok(ask(&mut connection, question).await?.parse()?)
    }
}

/// The UTC day.
pub(crate) fn today() -> Date {
    now().date()
}

/// The present.
pub(crate) fn now() -> OffsetDateTime {
    SystemClock.now()
}

fn stamp(day: Date) -> anyhow::Result<String> {
    Ok(day.format(format_description!("[year][month][day]"))?)
}

fn store(dsn: &Dsn, connections: u32) -> anyhow::Result<Store> {
    Ok(Store::connect_lazily(&Pools {
        data: dsn.clone(),
        migrator: None,
        keys: None,
        roles: None,
        max_connections: connections,
        writers: 1,
        acquire_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_mins(1),
    })?)
}
