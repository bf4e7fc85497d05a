//! Connections to the database are cut.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use sqlx::{Connection, Executor, PgConnection};
use waxseal::clock::SystemClock;
use waxseal::store::Store;

use crate::support::estate::{Folder, durable};
use crate::support::load::{Load, audit};
use crate::support::wait::{PATIENCE, until};
use crate::support::wire::Wire;
use crate::support::{Receiver, TestApp, database, webhook};

/// As many connections as the pool of the data may hold.
const POOL: usize = 8;

const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = 'waxseal'";

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let load = Load::start(&format!("http://{}/webhook", app.at.public), 4);
    let mut cut = 0;
    for _ in 0..20 {
        load.accepted(12).await;
        cut += database::count(&app.database, CUT).await;
    }
    load.accepted(50).await;
    let tries = load.finish().await;
    assert!(cut > 20 && tries.iter().all(|one| matches!(one.status, Some(200 | 503))));
    println!("{cut} connections cut, {} webhooks refused", tries.iter().filter(|one| one.status == Some(503)).count());
    audit(&app.database, &receiver, &tries).await;
    let left = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)";
    until("nothing is owed any more", PATIENCE, async || database::count(&app.database, left).await == 0).await;
}

/// Makes the pool open every connection that it may.
async fn fill_pool(app: &TestApp) {
    let mut lock = PgConnection::connect(&app.database).await.unwrap();
    lock.execute("BEGIN; LOCK TABLE event IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let reads = join_all((0..POOL).map(|_| app.api(Method::GET, "/v1/events").send()));
    let meanwhile = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = (SELECT oid FROM pg_class WHERE relname = 'event')";
        until("all connections wait", PATIENCE, async || {
            database::count(&app.database, waiting).await >= i64::try_from(POOL - 1).unwrap()
        })
        .await;
        lock.close().await.unwrap();
    };
    tokio::join!(reads, meanwhile);
}

async fn post(app: &TestApp, name: &str) -> StatusCode {
    app.webhook(webhook::text("4915199900011", &format!("wamid.{name}"), "Moin")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_webhook_after_all_idle_connections_were_cut_is_answered_200() {
    let app = TestApp::spawn().await;
    for round in 0..5 {
        fill_pool(&app).await;
        assert!(database::count(&app.database, CUT).await >= 8);
        assert_eq!(post(&app, &round.to_string()).await, StatusCode::OK);
    }
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM event").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_webhook_after_a_restart_of_postgres_is_answered_200() {
    let folder = Folder::new("restart");
    let postgres = durable(&folder).await;
    let app = TestApp::spawn_on(postgres.dsn().expose().to_owned(), Arc::new(SystemClock), &[]).await;
    assert_eq!(post(&app, "before").await, StatusCode::OK);
    fill_pool(&app).await;
    postgres.stop().await;
    let _postgres = durable(&folder).await;
    assert_eq!(post(&app, "after").await, StatusCode::OK);
    assert_eq!(app.api(Method::GET, "/v1/events").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_given_up_and_found_again() {
    let database = database::fresh().await;
    let wire = Wire::to(&database).await;
    let more = [("WAXSEAL_DATABASE__STATEMENT_TIMEOUT_MS", "500")];
    let app = TestApp::spawn_on(wire.url.clone(), Arc::new(SystemClock), &more).await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let load = Load::start(&format!("http://{}/webhook", app.at.public), 4);
    load.accepted(20).await;

    // The connections stay open, so that no error tells the gateway that nothing will ever come of what it waits for.
    wire.fall_silent();
    load.until("webhooks are refused", |tries| tries.iter().filter(|one| one.status == Some(503)).count() >= 4).await;
    wire.restore();
    load.accepted(20).await;
    let tries = load.finish().await;
    assert!(tries.iter().all(|one| matches!(one.status, Some(200 | 503))));
    audit(&database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_people_of_a_gateway_that_is_cut_off_in_a_transaction_are_served_by_another_within_seconds() {
    let database = database::fresh().await;
    let wire = Wire::to(&database).await;
    let cut_off = TestApp::spawn_on(wire.url.clone(), Arc::new(SystemClock), &[]).await;
    // Long enough to see when the person is let go.
    let more = [("WAXSEAL_INGEST__COMMIT_TIMEOUT_MS", "20000")];
    let other = TestApp::spawn_on(database.clone(), Arc::new(SystemClock), &more).await;
    let mut lock = PgConnection::connect(&database).await.unwrap();
    lock.execute("BEGIN; LOCK TABLE event IN SHARE ROW EXCLUSIVE MODE").await.unwrap();
    let first = cut_off.webhook(webhook::text("4915199900011", "wamid.first", "Moin"));
    let meanwhile = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'event'::regclass
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until("it has claimed the person and waits", PATIENCE, async || database::count(&database, waiting).await > 0)
            .await;
        wire.fall_silent();
        lock.close().await.unwrap();
        let began = std::time::Instant::now();
        assert_eq!(post(&other, "second").await, StatusCode::OK);
        // An idle transaction is broken off after 5 s.
        assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
        wire.restore();
    };
    let (status, ()) = tokio::join!(first, meanwhile);
    assert!(matches!(status.as_u16(), 200 | 503), "{status}");
}

/// A store with one connection for those who write, so that the next one gets the one that was left.
fn narrow(app: &TestApp) -> Store {
    database::store_under_roles(&app.database)
}

const PID: &str = "SELECT pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_given_up_is_rolled_back_before_its_connection_is_lent_again() {
    let app = TestApp::spawn().await;
    let store = narrow(&app);
    let mut given_up = store.begin().await.unwrap();
    let pid: i32 = sqlx::query_scalar(PID).fetch_one(&mut *given_up).await.unwrap();
    sqlx::query("UPDATE settings_version SET version = version + 1000").execute(&mut *given_up).await.unwrap();
    drop(given_up);
    let mut next = store.connection().await.unwrap();
    let in_transaction = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL";
    let (same, open): (i32, bool) = (
        sqlx::query_scalar(PID).fetch_one(&mut next).await.unwrap(),
        sqlx::query_scalar(in_transaction).fetch_one(&mut next).await.unwrap(),
    );
    assert_eq!((same, open), (pid, false));
    let stepped = "SELECT count(*) FROM settings_version WHERE version >= 1000";
    assert_eq!(database::count(&app.database, stepped).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_statement_was_given_up_or_refused_serves_the_next_one() {
    let app = TestApp::spawn().await;
    let store = narrow(&app);
    let mut connection = store.connection().await.unwrap();
    let slow = sqlx::query("SELECT pg_sleep(1)").execute(&mut connection);
    assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    drop(connection);
    for _ in 0..3 {
        let mut connection = store.connection().await.unwrap();
        assert_eq!(sqlx::query_scalar::<_, i32>("SELECT 1").fetch_one(&mut connection).await.unwrap(), 1);
        assert!(sqlx::query("SELECT 1 / 0").execute(&mut connection).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_connection_waits_for_a_server_that_is_starting() {
    let folder = Folder::new("starting");
    let postgres = durable(&folder).await;
    let store = database::patient_store(postgres.dsn().expose());
    store.ping().await.unwrap();
    postgres.stop().await;
    store.drop_idle_connections();
    let (pinged, _postgres) = tokio::join!(store.ping(), durable(&folder));
    pinged.unwrap();
}
