//! Daily partitions: made ahead, dropped whole. The one room for DDL outside the migrations.

use std::sync::atomic::Ordering;

use sqlx::AssertSqlSafe;
use time::macros::format_description;
use time::{Date, Duration};

use super::{Store, StoreError, Transaction};

/// Every table that is cut by day.
const PARTITIONED: [&str; 6] = ["event", "event_payload", "attempt", "message", "audit_entry", "audit_subject"];
/// Days before today that must be there: the oldest own timestamp that an event is filed under, and a day of clock error.
pub const DAYS_BACK: i64 = 11;
/// Days made ahead.
pub const DAYS_AHEAD: i64 = 7;

impl Store {
    /// Makes the partitions around `today` that are missing. Asked before every write that needs one, and answered from memory
    /// except on the first write of a day, so that no row waits for the housekeeping after a clock has jumped.
    pub async fn ensure_partitions(&self, today: Date) -> Result<(), StoreError> {
        if self.partitioned_for.load(Ordering::Relaxed) == today.to_julian_day() {
            return Ok(());
        }
        let tomorrow = today + Duration::days(1);
        self.ensure_partitions_between(today - Duration::days(DAYS_BACK), tomorrow).await?;
        self.partitioned_for.store(today.to_julian_day(), Ordering::Relaxed);
        // Those ahead are there before they are needed; one that another session's lock delays must not delay a webhook.
        if let Err(error) = self.ensure_partitions_between(tomorrow, today + Duration::days(DAYS_AHEAD)).await {
            tracing::warn!(error = %error, "partitions of the days to come could not be made yet");
        }
        Ok(())
    }

    /// Makes the partitions of all days from `first` to `last` that are missing.
    pub async fn ensure_partitions_between(&self, first: Date, last: Date) -> Result<(), StoreError> {
        let days = std::iter::successors(Some(first), |day| day.next_day()).take_while(|day| *day <= last);
        let wanted: Vec<(&str, Date, String)> =
            days.flat_map(|day| PARTITIONED.map(|table| (table, day, partition_name(table, day)))).collect();
        let names: Vec<String> = wanted.iter().map(|(.., name)| name.clone()).collect();
        let existing = sqlx::query_scalar!(
            r#"SELECT relname::text AS "name!" FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid WHERE relname = ANY($1::text[])"#,
            &names,
        )
        .fetch_all(&self.owner)
        .await?;
        for (table, day, name) in wanted.iter().filter(|(.., name)| !existing.contains(name)) {
            self.make_partition(table, *day, name).await?;
        }
        Ok(())
    }

    /// Built beside the parent and attached, which locks the parent against DDL alone, not against inserts.
    #[expect(clippy::disallowed_methods, reason = "DDL; all parts of the text are constants and dates")]
    async fn make_partition(&self, table: &str, day: Date, name: &str) -> Result<(), StoreError> {
        let next = day.next_day().unwrap_or(day);
        let mut transaction = self.owner.begin().await?;
        // Two processes that start together take turns; the loser finds the table and leaves.
        sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('waxseal partitions'))").execute(&mut *transaction).await?;
        let there = sqlx::query_scalar!(r#"SELECT to_regclass($1) IS NOT NULL AS "there!""#, name)
            .fetch_one(&mut *transaction)
            .await?;
        if there {
            return Ok(());
        }
        let statements = [
            "SET LOCAL lock_timeout = '2s'".to_owned(),
            format!("CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"),
            format!("ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{day}') TO ('{next}')"),
        ];
        for statement in statements {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The statements that make the partition of a day, which a backup names; nothing where it is no partition of ours.
    pub(super) fn statements_for(table: &str, partition: &str) -> Option<[String; 2]> {
        let day = Date::parse(partition.rsplit_once('_')?.1, format_description!("[year][month][day]")).ok()?;
        let next = day.next_day()?;
        let is_ours = PARTITIONED.contains(&table) && partition_name(table, day) == partition;
        is_ours.then(|| {
            [
                format!("CREATE TABLE {partition} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"),
                format!("ALTER TABLE {table} ATTACH PARTITION {partition} FOR VALUES FROM ('{day}') TO ('{next}')"),
            ]
        })
    }

    /// The days before `end` that a table has a partition for, the oldest first.
    pub(super) async fn partitioned_days(&self, table: &str, end: Date) -> Result<Vec<Date>, StoreError> {
        let names = sqlx::query_scalar!(
            r#"SELECT c.relname::text AS "name!" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
               WHERE i.inhparent = to_regclass($1) ORDER BY 1"#,
            table,
        );
        let names = names.fetch_all(&self.data).await?;
        let day = |name: &String| Date::parse(name.rsplit_once('_')?.1, format_description!("[year][month][day]")).ok();
        Ok(names.iter().filter_map(day).filter(|day| *day < end).collect())
    }

    /// Begins as the owner of the tables: nobody else may remove an entry. `None`: another process is at work on partitions.
    pub(super) async fn begin_dropping(&self) -> Result<Option<Transaction>, StoreError> {
        let mut transaction = self.owner.begin().await?;
        let ours =
            sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtext('waxseal partitions')) AS "ours!""#);
        let is_ours = ours.fetch_one(&mut *transaction).await?;
        Ok(is_ours.then_some(transaction))
    }

    /// Drops the partitions of a day, in a transaction that has looked whether they may go. Whoever uses the tables is not kept
    /// waiting for long: when the locks are not to be had, it fails and is done another time.
    #[expect(clippy::disallowed_methods, reason = "DDL; all parts of the text are constants and dates")]
    pub(super) async fn drop_day(transaction: &mut Transaction, tables: &[&str], day: Date) -> Result<(), StoreError> {
        let names = tables.iter().map(|table| partition_name(table, day)).collect::<Vec<_>>().join(", ");
        for statement in ["SET LOCAL lock_timeout = '1s'".to_owned(), format!("DROP TABLE IF EXISTS {names}")] {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut **transaction).await?;
        }
        Ok(())
    }

    /// Forgets ledger entries older than `before`: Meta redelivers for seven days.
    pub async fn sweep_ledger(&self, before: Date) -> Result<u64, StoreError> {
        let done = sqlx::query!("DELETE FROM event_ledger WHERE seen_on < $1", before).execute(&self.janitor).await?;
        Ok(done.rows_affected())
    }
}

fn partition_name(table: &str, day: Date) -> String {
    // A date of four digits has nothing that formatting could refuse.
    let stamp = day.format(format_description!("[year][month][day]")).unwrap_or_default();
    format!("{table}_{stamp}")
}
