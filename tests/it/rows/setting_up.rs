//! How the roles come to be: made by who may, asked for by who may not, and given to a login that owns nothing.

use std::sync::Arc;

use reqwest::Method;
use url::Url;
use waxseal::app::{Gateway, RowsKept};
use waxseal::clock::SystemClock;
use waxseal::config::{Config, RolePrefix};
use waxseal::store::RowSecurity;

use super::Session;
use crate::support::app::variables;
use crate::support::process::waxseal;
use crate::support::{TestApp, database, webhook};

/// A login that may make neither roles nor databases, and a prefix of its own for the roles.
async fn plain_login(name: &str) -> (String, String) {
    let url = database::bare(None).await;
    let login = format!("{name}_{}", std::process::id());
    Session::of(&url).await.run(&format!("CREATE ROLE {login} LOGIN PASSWORD 'plain-login-of-a-test'")).await.unwrap();
    (format!("{login}_waxseal"), login)
}

/// The same database, as this login.
fn as_login(url: &str, login: &str) -> String {
    let mut url = Url::parse(url).unwrap();
    url.set_username(login).unwrap();
    url.set_password(Some("plain-login-of-a-test")).unwrap();
    url.into()
}

fn environment(url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut variables = variables(url, "http://127.0.0.1:9");
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

/// What `waxseal migrate` says, and whether it succeeds.
async fn migrate(url: &str, more: &[(&str, &str)]) -> (bool, String) {
    let output = waxseal(&["migrate"], &environment(url, more)).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

/// The lines of SQL in what was said.
fn sql(said: &str) -> String {
    said.lines().filter(|line| line.ends_with(';')).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn who_may_not_make_roles_is_told_what_an_administrator_has_to_run_and_it_works_afterwards() {
    let (prefix, login) = plain_login("asking").await;
    let admin = database::bare(Some(&login)).await;
    let (url, prefix) = (as_login(&admin, &login), ("WAXSEAL_DATABASE__ROLE_PREFIX", &*prefix));
    let (succeeded, said) = migrate(&url, &[prefix]).await;
    assert!(succeeded, "{said}");
    assert!(said.contains("does not keep the rows of tenants apart"), "{said}");
    assert!(said.contains(&format!("CREATE ROLE {}_reader NOLOGIN;", prefix.1)), "{said}");
    assert!(said.contains(&format!("GRANT {}_keyring TO {login};", prefix.1)), "{said}");
    assert!(!said.contains("plain-login-of-a-test"), "the password is nobody's business");

    let (succeeded, refused) = migrate(&url, &[prefix, ("WAXSEAL_DATABASE__ROLES", "required")]).await;
    assert!(!succeeded && refused.contains("the database roles are missing"), "{refused}");

    Session::of(&admin).await.run(&sql(&said)).await.unwrap();
    let (succeeded, said) = migrate(&url, &[prefix, ("WAXSEAL_DATABASE__ROLES", "required")]).await;
    assert!(succeeded && said.contains("Postgres keeps the rows of tenants apart"), "{said}");
    let (succeeded, said) = migrate(&url, &[prefix]).await;
    assert!(succeeded && said.contains("Postgres keeps the rows of tenants apart"), "twice: {said}");
}

#[tokio::test]
async fn a_login_that_owns_nothing_is_enough_to_run_a_gateway_beside_one_that_migrates() {
    let (prefix, login) = plain_login("working").await;
    let admin = database::bare(None).await;
    let url = as_login(&admin, &login);
    let more = [
        ("WAXSEAL_DATABASE__ROLE_PREFIX", &*prefix),
        ("WAXSEAL_DATABASE__ROLES", "required"),
        ("WAXSEAL_DATABASE__MIGRATOR_URL", &*admin),
    ];
    let app = TestApp::spawn_on(url.clone(), Arc::new(SystemClock), &more).await;
    assert_eq!(app.gateway.base().rows_kept, RowsKept::Yes);
    assert_eq!(app.webhook(webhook::text("491701234567", "wamid.rows", "hello")).await, 200);
    assert_eq!(app.get("/v1/contacts").await["data"].as_array().unwrap().len(), 1);
    assert!(app.api(Method::GET, "/v1/audit").send().await.unwrap().status().is_success());
    let owned = format!("SELECT count(*) FROM pg_class WHERE relowner = '{login}'::regrole");
    assert_eq!(database::count(&admin, &owned).await, 0);
    app.gateway.shutdown().await;
}

#[tokio::test]
async fn a_database_from_before_the_roles_gets_them_at_the_next_start() {
    let url = database::bare(None).await;
    let start = async |roles: &'static str| {
        let config = Config::load(None, environment(&url, &[("WAXSEAL_DATABASE__ROLES", roles)]).into_iter());
        Box::pin(Gateway::start(&config.unwrap(), Arc::new(SystemClock))).await.unwrap()
    };
    let before = start("off").await;
    assert_eq!(before.base().rows_kept, RowsKept::Off);
    assert_eq!(database::count(&url, "SELECT count(*) FROM pg_policy").await, 0);
    // The release before goes on beside the new one, which has taken the roles on.
    let after = start("auto").await;
    assert_eq!(after.base().rows_kept, RowsKept::Yes);
    assert!(database::count(&url, "SELECT count(*) FROM pg_policy").await > 25);
    for gateway in [before, after] {
        gateway.base().directory.reload().await.unwrap();
        gateway.shutdown().await;
    }
}

#[tokio::test]
async fn a_table_that_somebody_holds_puts_the_rights_off_until_it_is_free() {
    let url = database::bare(None).await;
    database::store(&url).migrate().await.unwrap();
    let mut dump = Session::of(&url).await;
    dump.run("BEGIN; LOCK TABLE contact IN ACCESS SHARE MODE").await.unwrap();
    let (succeeded, said) = migrate(&url, &[]).await;
    assert!(succeeded && said.contains("could not be put in force now"), "{said}");
    dump.run("ROLLBACK").await.unwrap();
    let (succeeded, said) = migrate(&url, &[("WAXSEAL_DATABASE__ROLES", "required")]).await;
    assert!(succeeded && said.contains("Postgres keeps the rows of tenants apart"), "{said}");
}

#[tokio::test]
async fn rights_that_somebody_took_away_are_put_in_force_again() {
    let url = database::fresh().await;
    database::sabotage(&url, "DROP POLICY waxseal_one_tenant ON contact").await;
    let store = database::store(&url);
    store.secure_rows(&RolePrefix::default()).await.unwrap();
    assert_eq!(
        database::count(
            &url,
            "SELECT count(*) FROM pg_policy WHERE polname = 'waxseal_one_tenant' AND polrelid = 'contact'::regclass"
        )
        .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_at_once_make_the_roles_together() {
    let prefix: RolePrefix = format!("together_{}", std::process::id()).parse().unwrap();
    let (one, other) = (database::bare(None).await, database::bare(None).await);
    for url in [&one, &other] {
        database::store(url).migrate().await.unwrap();
    }
    // Of two databases, because roles are of the whole server.
    let starts = [&one, &other, &one, &other, &one, &other].map(|url| {
        let (store, prefix) = (database::store(url), prefix.clone());
        tokio::spawn(async move { store.secure_rows(&prefix).await.unwrap() })
    });
    for start in starts {
        assert_eq!(start.await.unwrap(), RowSecurity::InForce);
    }
}

#[tokio::test]
async fn keys_that_lie_apart_from_the_data_have_their_role_there() {
    let (data, keys) = (database::bare(None).await, database::bare(None).await);
    let more = [("WAXSEAL_KEYS__URL", &*keys), ("WAXSEAL_DATABASE__ROLES", "required")];
    let app = TestApp::spawn_on(data.clone(), Arc::new(SystemClock), &more).await;
    assert_eq!(app.webhook(webhook::text("491701234567", "wamid.apart", "hello")).await, 200);
    assert_eq!(database::count(&keys, "SELECT count(*) FROM waxseal_keys.dek WHERE scope = 1").await, 1);
    let policies = "SELECT count(*) FROM pg_policy WHERE polname = 'waxseal_all_tenants'";
    assert_eq!(database::count(&keys, policies).await, 10, "and those of the keys alone");
    app.gateway.shutdown().await;
}
