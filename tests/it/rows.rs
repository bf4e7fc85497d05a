//! Promise: Postgres itself keeps the rows of tenants apart, and every kind of work may do what it needs and no more. Asked of Postgres,
//! with statements that forget every condition; the tables are enumerated from its catalogue, so that a new one without a policy fails.

mod setting_up;
mod through_the_api;

use futures_util::StreamExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use waxseal::ids::{ContactId, TenantId};

use crate::support::database;

const A: &str = "01930000-0000-7000-8000-00000000000a";
const B: &str = "01930000-0000-7000-8000-00000000000b";
const ROLES: [&str; 6] =
    ["waxseal_ingest", "waxseal_worker", "waxseal_reader", "waxseal_janitor", "waxseal_eraser", "waxseal_keyring"];
/// Tables, parents of partitions among them, and no partitions.
const TABLES: &str = "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                      WHERE n.nspname IN ('public', 'waxseal_keys') AND c.relkind IN ('r', 'p') AND NOT c.relispartition";
const OF_TENANTS: &str = "EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id')";

/// A session of the server's own login.
struct Session(PgConnection);

impl Session {
    async fn of(url: &str) -> Self {
        Self(PgConnection::connect(url).await.unwrap())
    }

    /// A session that has taken on a role.
    async fn under(url: &str, role: &str) -> Self {
        let mut session = Self::of(url).await;
        session.run(&format!("SET ROLE {role}")).await.unwrap();
        session
    }

    /// The rows' first columns as text, or the SQLSTATE of the refusal.
    async fn ask(&mut self, statement: &str) -> Result<Vec<String>, String> {
        let rows = sqlx::query_scalar(AssertSqlSafe(statement.to_owned())).fetch_all(&mut self.0).await;
        rows.map_err(|error| sqlstate(&error))
    }

    async fn run(&mut self, statement: &str) -> Result<(), String> {
        let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut self.0).await;
        done.map(drop).map_err(|error| sqlstate(&error))
    }
}

fn sqlstate(error: &sqlx::Error) -> String {
    let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
    code.unwrap_or_else(|| error.to_string())
}

fn refused<T>() -> Result<T, String> {
    Err("42501".to_owned())
}

/// A database in which two tenants have a row in every table of tenants. Its tables of tenants.
async fn two_tenants() -> (String, Vec<String>) {
    let url = database::fresh().await;
    let store = database::store(&url);
    let today = OffsetDateTime::now_utc().date();
    store.ensure_partitions_between(today - Duration::DAY, today + Duration::DAY).await.unwrap();
    let mut session = Session::of(&url).await;
    session.run(include_str!("rows/one_of_each.sql")).await.unwrap();
    let tables =
        session.ask(&format!("SELECT c.oid::regclass::text {TABLES} AND {OF_TENANTS} ORDER BY 1")).await.unwrap();
    assert!(tables.len() > 25, "{tables:?}");
    for table in &tables {
        let columns = format!(
            "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'tenant_id'"
        );
        let columns = session.ask(&columns).await.unwrap().remove(0);
        if table != "tenant" {
            let copy = format!("INSERT INTO {table} (tenant_id, {columns}) SELECT '{B}', {columns} FROM {table}");
            session.run(&copy).await.unwrap_or_else(|code| panic!("{table} cannot be copied: {code}"));
        }
        let rows = session.ask(&format!("SELECT DISTINCT tenant_id::text FROM {table} ORDER BY 1")).await.unwrap();
        assert_eq!(rows, [A, B], "{table} has no row in tests/it/rows/one_of_each.sql");
    }
    (url, tables)
}

#[tokio::test]
async fn every_table_of_tenants_has_policies_and_every_other_is_named_here() {
    let (url, tables) = two_tenants().await;
    let mut session = Session::of(&url).await;
    let open = format!("SELECT c.oid::regclass::text {TABLES} AND {OF_TENANTS} AND NOT c.relrowsecurity");
    assert_eq!(session.ask(&open).await.unwrap(), [""; 0], "no row security");
    for table in &tables {
        let policies = format!("SELECT polname::text FROM pg_policy WHERE polrelid = '{table}'::regclass");
        assert!(!session.ask(&policies).await.unwrap().is_empty(), "{table} has no policy");
    }
    let others = format!("SELECT c.oid::regclass::text {TABLES} AND NOT ({OF_TENANTS}) ORDER BY 1");
    let known = [
        "_sqlx_migrations",
        "settings_version",
        "waxseal_keys._sqlx_migrations",
        "waxseal_keys.epoch_step",
        "waxseal_keys.installation",
        "worker",
    ];
    assert_eq!(session.ask(&others).await.unwrap(), known);
}

#[tokio::test]
async fn a_reader_sees_the_rows_of_its_tenant_and_without_one_none() {
    let (url, tables) = two_tenants().await;
    let mut reader = Session::under(&url, "waxseal_reader").await;
    let mut seen = 0;
    for table in &tables {
        let all = format!("SELECT tenant_id::text FROM {table}");
        reader.run("RESET waxseal.tenant").await.unwrap();
        let Ok(without) = reader.ask(&all).await else { continue };
        seen += 1;
        assert_eq!(without, [""; 0], "{table}: without a tenant");
        for (tenant, rows) in [(A, vec![A]), (B, vec![B]), (&*Uuid::nil().to_string(), vec![]), ("", vec![])] {
            reader.run(&format!("SET waxseal.tenant = '{tenant}'")).await.unwrap();
            assert_eq!(reader.ask(&all).await.unwrap(), rows, "{table}: as {tenant}");
            let other = if tenant == A { B } else { A };
            let theirs = format!("SELECT tenant_id::text FROM {table} WHERE tenant_id = '{other}'");
            assert_eq!(reader.ask(&theirs).await.unwrap(), [""; 0], "{table}: rows of {other} by name, as {tenant}");
        }
    }
    assert!(seen > 12, "only {seen} tables are readable at all");
}

#[tokio::test]
async fn a_join_that_forgets_every_condition_leaks_nothing_to_a_reader() {
    let (url, _) = two_tenants().await;
    let mut reader = Session::under(&url, "waxseal_reader").await;
    reader.run(&format!("SET waxseal.tenant = '{A}'")).await.unwrap();
    for statement in [
        "SELECT p.tenant_id::text FROM event e, event_payload p, message m, contact c",
        "SELECT p.tenant_id::text FROM event e LEFT JOIN LATERAL (SELECT * FROM event_payload LIMIT 10) p ON true",
        "WITH all_of_it AS MATERIALIZED (SELECT * FROM message) SELECT tenant_id::text FROM all_of_it",
        "SELECT tenant_id::text FROM audit_entry UNION SELECT tenant_id::text FROM delivery",
        "SELECT DISTINCT tenant_id::text FROM contact WHERE tenant_id <> current_setting('waxseal.tenant')::uuid OR true",
    ] {
        assert_eq!(reader.ask(statement).await.unwrap(), [A], "{statement}");
    }
    let copied: Vec<_> =
        reader.0.copy_out_raw("COPY contact TO STDOUT").await.unwrap().map(Result::unwrap).collect().await;
    let copied = String::from_utf8(copied.concat()).unwrap();
    assert!(copied.contains(A) && !copied.contains(B), "nor by COPY: {copied}");
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let (url, tables) = two_tenants().await;
    let mut reader = Session::under(&url, "waxseal_reader").await;
    reader.run(&format!("SET waxseal.tenant = '{A}'")).await.unwrap();
    for table in &tables {
        for statement in [
            format!("DELETE FROM {table}"),
            format!("UPDATE {table} SET tenant_id = tenant_id"),
            format!("INSERT INTO {table} SELECT * FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"),
        ] {
            assert_eq!(reader.run(&statement).await, refused(), "{statement}");
        }
    }
}

/// The sealed columns that a role can read.
async fn sealed_columns_of(session: &mut Session, role: &str) -> Vec<String> {
    let statement = format!(
        "SELECT c.relname || '.' || a.attname FROM pg_attribute a
         JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
         WHERE a.atttypid = 'sealed'::regtype AND has_column_privilege('{role}', c.oid, a.attnum, 'SELECT') ORDER BY 1"
    );
    session.ask(&statement).await.unwrap()
}

#[tokio::test]
async fn nobody_reads_sealed_columns_that_are_none_of_their_business() {
    let (url, _) = two_tenants().await;
    let mut session = Session::of(&url).await;
    assert_eq!(sealed_columns_of(&mut session, "waxseal_janitor").await, [""; 0]);
    assert_eq!(sealed_columns_of(&mut session, "waxseal_eraser").await, [""; 0]);
    assert_eq!(sealed_columns_of(&mut session, "waxseal_keyring").await, [""; 0]);
    assert_eq!(sealed_columns_of(&mut session, "waxseal_ingest").await, ["contact.profile"], "to merge people");
    let readable = [
        "consent.wording",
        "contact.profile",
        "erasure.identity_note",
        "erasure.reference",
        "event_payload.payload",
        "hold.reason",
        "media.details",
        "message.answer",
        "message.fallback",
        "message.request",
        "privacy_request.reason",
        "privacy_request.reference",
        "restriction.reason",
    ];
    assert_eq!(sealed_columns_of(&mut session, "waxseal_reader").await, readable, "and no token, secret or URL");
    assert!(sealed_columns_of(&mut session, "waxseal_worker").await.len() > 10, "the scan finds sealed columns");
}

#[tokio::test]
async fn ingest_adds_and_does_not_read() {
    let (url, _) = two_tenants().await;
    let mut ingest = Session::under(&url, "waxseal_ingest").await;
    for statement in [
        "SELECT payload FROM event_payload",
        "SELECT count(*)::text FROM event_payload",
        "SELECT request FROM message",
        "SELECT answer FROM message",
        "SELECT entry FROM audit_entry",
        "SELECT entry_id FROM audit_subject",
        "SELECT hash FROM api_key",
        "SELECT app_secret FROM meta_app",
        "SELECT url FROM endpoint",
        "SELECT access_token FROM channel",
        "SELECT event_id FROM delivery",
        "SELECT wrapped FROM waxseal_keys.dek",
        "DELETE FROM event",
        "UPDATE event SET type = type",
        "DELETE FROM delivery",
        "UPDATE message SET request = request",
        "DELETE FROM contact",
        "SELECT wording FROM consent",
        "UPDATE consent SET state = state",
        "DELETE FROM service_window",
        "INSERT INTO audit_entry SELECT * FROM audit_entry",
        "INSERT INTO api_key SELECT * FROM api_key",
    ] {
        assert_eq!(ingest.run(statement).await, refused(), "{statement}");
    }
}

#[tokio::test]
async fn the_janitor_removes_what_is_over_and_reads_nothing_of_it() {
    let (url, _) = two_tenants().await;
    let mut janitor = Session::under(&url, "waxseal_janitor").await;
    for statement in [
        "SELECT * FROM delivery",
        "SELECT subject FROM event_ledger",
        "SELECT event_id FROM delivery_dead",
        "SELECT contact_id FROM contact",
        "DELETE FROM contact",
        "DELETE FROM event",
        "DELETE FROM event_payload",
        "DELETE FROM audit_entry",
        "DELETE FROM audit_leaf",
        "DELETE FROM endpoint",
        "DELETE FROM message",
        "UPDATE delivery SET event_id = event_id",
        "INSERT INTO delivery SELECT * FROM delivery",
        "SELECT wrapped FROM waxseal_keys.dek",
    ] {
        assert_eq!(janitor.run(statement).await, refused(), "{statement}");
    }
}

#[tokio::test]
async fn the_log_and_the_events_are_changed_by_nobody_who_works_and_the_keys_are_read_by_the_keyring_alone() {
    let (url, tables) = two_tenants().await;
    for role in ROLES {
        let mut session = Session::under(&url, role).await;
        for table in ["audit_entry", "audit_leaf", "event", "event_payload"] {
            assert_eq!(session.run(&format!("UPDATE {table} SET tenant_id = tenant_id")).await, refused(), "{role}");
            // What is erased, and what is too old.
            if role == "waxseal_eraser" && table.starts_with("event") {
                continue;
            }
            assert_eq!(session.run(&format!("DELETE FROM {table}")).await, refused(), "{role} {table}");
        }
        for table in tables.iter().chain(&["settings_version".to_owned(), "waxseal_keys.installation".to_owned()]) {
            let is_key = table.starts_with("waxseal_keys.");
            if is_key == (role != "waxseal_keyring") {
                assert_eq!(session.run(&format!("SELECT * FROM {table}")).await, refused(), "{role} {table}");
            }
        }
    }
}

#[tokio::test]
async fn no_role_reaches_a_partition_past_the_policy_of_its_parent() {
    let (url, _) = two_tenants().await;
    let partitions = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relispartition AND c.relkind = 'r'";
    let partitions = Session::of(&url).await.ask(partitions).await.unwrap();
    assert!(partitions.len() >= 12, "{partitions:?}");
    for role in ROLES {
        let mut session = Session::under(&url, role).await;
        for partition in &partitions {
            assert_eq!(session.run(&format!("SELECT 1 FROM {partition}")).await, refused(), "{role} {partition}");
            assert_eq!(session.run(&format!("DELETE FROM {partition}")).await, refused(), "{role} {partition}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_goes_from_tenant_to_tenant_shows_each_its_own() {
    let (url, _) = two_tenants().await;
    // It has one connection for readers.
    let store = database::store_under_roles(&url);
    let contact = Session::of(&url).await.ask("SELECT DISTINCT contact_id::text FROM contact").await.unwrap();
    let contact = ContactId::from_uuid(contact[0].parse().unwrap());
    let [a, b] = [A, B].map(|tenant| TenantId::from_uuid(tenant.parse().unwrap()));
    let nobody = TenantId::from_uuid(Uuid::nil());
    for tenant in [a, b, b, nobody, a, nobody, b, a] {
        let found = store.find_contact(tenant, contact).await.unwrap();
        assert_eq!(found.is_some(), tenant != nobody);
    }
    let reads = (0..40).map(|number| {
        let (store, tenant) = (store.clone(), if number % 2 == 0 { a } else { b });
        tokio::spawn(async move { store.find_merged(tenant, contact).await.unwrap().len() })
    });
    for read in reads.collect::<Vec<_>>() {
        assert_eq!(read.await.unwrap(), 1);
    }
}

#[tokio::test]
async fn the_cursor_of_events_uses_its_index_under_the_policy() {
    let (url, _) = two_tenants().await;
    let mut reader = Session::under(&url, "waxseal_reader").await;
    reader
        .run(&format!("SET waxseal.tenant = '{A}'; SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan"))
        .await
        .unwrap();
    reader
        .run(
            "PREPARE page (uuid, bigint, uuid) AS SELECT * FROM event
             WHERE tenant_id = $1 AND (xid, event_id) > ($2::bigint::text::xid8, $3)
               AND xid < pg_snapshot_xmin(pg_current_snapshot())
             ORDER BY xid, event_id LIMIT 100",
        )
        .await
        .unwrap();
    let plan = reader.ask(&format!("EXPLAIN (COSTS OFF) EXECUTE page ('{A}', 1, '{A}')")).await.unwrap().join("\n");
    // Conditions that are not proof against leaks would be looked at behind the policy, row by row.
    assert!(plan.contains("Index Cond: ((tenant_id = $1) AND (ROW(xid, event_id) > ROW("), "{plan}");
    assert!(!plan.replace("One-Time Filter", "").contains("Filter"), "{plan}");
}
