//! Two transactions wait for each other, and Postgres ends the gateway's.

use reqwest::StatusCode;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

/// Backends that wait for a lock on this table.
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE NOT granted AND database =
                       (SELECT oid FROM pg_database WHERE datname = current_database()) AND relation = ";

/// By the mode that it asks for: others look at the table too.
async fn waits_for(app: &TestApp, table: &str, mode: &str) {
    let waiting = format!("{WAITING}'{table}'::regclass AND mode = '{mode}'");
    until(table, PATIENCE, async || database::count(&app.database, &waiting).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_loses_a_deadlock_is_written_again_and_answered_200() {
    let app = TestApp::spawn().await;
    let [mut pause, mut rival] =
        [PgConnection::connect(&app.database).await.unwrap(), PgConnection::connect(&app.database).await.unwrap()];
    pause.execute("BEGIN; LOCK TABLE contact IN SHARE MODE").await.unwrap();
    // The rival never looks for deadlocks itself, so that the gateway is always the one that is ended.
    rival.execute("SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE event IN SHARE MODE").await.unwrap();
    let answer = app.webhook(webhook::text("4915199900011", "wamid.a", "Moin"));
    let meanwhile = async {
        // It has claimed the identifiers of somebody new, and stops before their contact.
        waits_for(&app, "contact", "RowExclusiveLock").await;
        let rival = tokio::spawn(async move {
            rival.execute("LOCK TABLE contact_identifier IN ACCESS EXCLUSIVE MODE").await.unwrap();
            rival.close().await.unwrap();
        });
        waits_for(&app, "contact_identifier", "AccessExclusiveLock").await;
        pause.close().await.unwrap(); // now it goes on and waits for the rival, who waits for it
        rival.await.unwrap();
    };
    assert_eq!(tokio::join!(answer, meanwhile).0, StatusCode::OK);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    until("Postgres counts one", PATIENCE, async || database::count(&app.database, deadlocks).await == 1).await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM event").await, 1);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM contact").await, 1);
}
