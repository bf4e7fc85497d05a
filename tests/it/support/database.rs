//! A database for each test, copied from a migrated template. The server is the one that `waxseal dev postgres` started (see
//! `make test`), or one of our own.

use std::sync::atomic::{AtomicU32, Ordering};

use super::wait::PATIENCE;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use waxseal::cli::postgres::PrivatePostgres;
use waxseal::config::RolePrefix;
use waxseal::secret::Dsn;
use waxseal::store::{Pools, RowSecurity, Store};

/// The server's connection string, and the server when it is ours: a static is never dropped, so its own watcher stops it when
/// this process is gone.
static SERVER: OnceCell<(String, Option<PrivatePostgres>)> = OnceCell::const_new();
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(0);

async fn server() -> &'static str {
    let start = || async {
        match std::env::var("DATABASE_URL")
            .ok()
            .filter(|url| !url.is_empty() && std::env::var("WAXSEAL_TEST_SERVER").is_ok())
        {
            Some(url) => (url, None),
            None => {
                let own = PrivatePostgres::throwaway().await.expect("Postgres starts; see `make test`");
                (own.dsn().expose().to_owned(), Some(own))
            }
        }
    };
    &SERVER.get_or_init(start).await.0
}

/// The same server, another database.
pub fn with_database(url: &str, name: &str) -> String {
    let mut url = url::Url::parse(url).expect("a connection string is a URL");
    url.set_path(name);
    url.into()
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the statement is right");
    connection.close().await.expect("the connection closes");
}

fn fresh_name(kind: &str) -> String {
    format!("{kind}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn template() -> &'static str {
    let make = || async {
        let name = fresh_name("template");
        execute(server().await, format!("CREATE DATABASE {name}")).await;
        prepare(&with_database(server().await, &name)).await;
        name
    };
    TEMPLATE.get_or_init(make).await
}

/// Brings a database up to date, as the start of a gateway would.
async fn prepare(url: &str) {
    let store = store(url);
    store.migrate().await.expect("the migrations run");
    let secured = store.secure_rows(&RolePrefix::default()).await.expect("the roles can be seen to");
    assert_eq!(secured, RowSecurity::InForce);
    store.close().await;
}

/// A database of the test's own, empty, that belongs to this login or to the server's own.
pub async fn bare(owner: Option<&str>) -> String {
    let name = fresh_name("bare");
    let owner = owner.map(|owner| format!(" OWNER {owner}")).unwrap_or_default();
    execute(server().await, format!("CREATE DATABASE {name}{owner}")).await;
    with_database(server().await, &name)
}

/// The database of a test, as the gateway reaches it.
pub fn store(url: &str) -> Store {
    Store::connect_lazily(&pools(&Dsn::new(url.to_owned()))).expect("the connection string is right")
}

/// The same, which waits for a connection as long as tests wait for anything.
pub fn patient_store(url: &str) -> Store {
    let pools = Pools { acquire_timeout: PATIENCE, ..pools(&Dsn::new(url.to_owned())) };
    Store::connect_lazily(&pools).expect("the connection string is right")
}

/// A store that has taken the roles on, with one connection for readers.
pub fn store_under_roles(url: &str) -> Store {
    let roles = Some(RolePrefix::default());
    let pools = Pools { roles, max_connections: 1, ..pools(&Dsn::new(url.to_owned())) };
    Store::connect_lazily(&pools).expect("the connection string is right")
}

fn pools(url: &Dsn) -> Pools {
    Pools {
        data: url.clone(),
        migrator: None,
        keys: None,
        roles: None,
        max_connections: 2,
        writers: 1,
        acquire_timeout: std::time::Duration::from_secs(10),
        statement_timeout: std::time::Duration::from_secs(30),
    }
}

/// A migrated, empty database of the test's own.
pub async fn fresh() -> String {
    let (template, name) = (template().await, fresh_name("test"));
    execute(server().await, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
    with_database(server().await, &name)
}

/// A server of the test's own, whose files can be looked at, with a migrated database.
pub async fn own_server() -> (PrivatePostgres, String) {
    let server = PrivatePostgres::throwaway().await.expect("Postgres starts; see `make test`");
    let url = server.dsn().clone();
    prepare(url.expose()).await;
    (server, url.expose().to_owned())
}

/// Waits until a statement yields this number.
pub async fn until(url: &str, statement: &str, wanted: i64) {
    let what = format!("{statement} yields {wanted}");
    super::wait::until(&what, PATIENCE, async || count(url, statement).await == wanted).await;
}

/// Waits until every event that was committed can be read behind a cursor: that is when no older transaction of the whole
/// server is open, and other tests share the server.
pub async fn settled(url: &str) {
    until(url, "SELECT count(*) FROM event WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())", 0).await;
}

/// Runs a statement that no room of the product would.
pub async fn sabotage(url: &str, statement: &str) {
    execute(url, statement.to_owned()).await;
}

/// Gives up what is owed and chosen by a condition, as if every attempt had failed.
pub async fn bury(url: &str, condition: &str) {
    let statement = format!(
        "WITH gone AS (DELETE FROM delivery WHERE {condition} RETURNING *)
         INSERT INTO delivery_dead (tenant_id, endpoint_id, event_id, part_day, event_xid, attempts, reason, died_at)
         SELECT tenant_id, endpoint_id, event_id, part_day, event_xid, 12, 'exhausted', now() FROM gone"
    );
    execute(url, statement).await;
}

/// One number out of the database.
pub async fn count(url: &str, statement: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    let row: (i64,) =
        sqlx::query_as(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.expect("a number");
    row.0
}

/// One text out of the database.
pub async fn text(url: &str, statement: &str) -> String {
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    let row: (String,) =
        sqlx::query_as(AssertSqlSafe(statement.to_owned())).fetch_one(&mut connection).await.expect("a text");
    row.0
}
