//! Behind the end of a rotation and a step of the epoch, no older copy of the key tables opens what lay under the keys of before.

use uuid::Uuid;
use waxseal::keyring::{Keyring, KeyringError};

use super::*;
use crate::support::estate::Folder;

const TABLES: &str = "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables
     WHERE schemaname = 'waxseal_keys' AND tablename <> '_sqlx_migrations'";
/// Keys that the profile and the secrets lie under.
const UNDER: &str = "SELECT string_agg(DISTINCT encode(substring(sealed::bytea FROM 5 FOR 16), 'hex'), ' ') FROM
     (SELECT profile AS sealed FROM contact UNION ALL SELECT app_secret FROM meta_app UNION ALL SELECT signing_key FROM audit_log) s";

async fn ids(app: &TestApp) -> Vec<Uuid> {
    database::text(&app.database, UNDER).await.split(' ').map(|id| id.parse().unwrap()).collect()
}

fn keyring(app: &TestApp) -> &Keyring {
    &app.gateway.base().keyring
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_key_tables_opens_nothing_that_lay_under_keys_of_before() {
    let folder = Folder::new("rotated-copies");
    let places = [1, 2, 3].map(|number| folder.0.join(number.to_string()).join("cell"));
    for place in &places {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    }
    let places = places.map(|place| place.display().to_string()).join(",");
    // What a process has opened it may keep so long.
    let cell = [("WAXSEAL_KEYS__CELL_FILES", places.as_str()), ("WAXSEAL_KEYS__CACHE_TTL_SECONDS", "1")];
    let app = TestApp::spawn_with(Arc::new(SystemClock), &cell).await;
    says(&app, "4915199000011", "wamid.1").await;
    let old = ids(&app).await;
    assert_eq!(old.len(), 2, "of the person, and of the tenant");
    assert_eq!(keyring(&app).for_opening(TENANT, old.clone()).await.unwrap().len(), 2);
    let tables = database::text(&app.database, TABLES).await;
    let copy = |table: &str| format!("CREATE TABLE older.{table} AS TABLE waxseal_keys.{table};");
    let copies: String = tables.split(' ').map(copy).collect();
    database::sabotage(&app.database, &format!("CREATE SCHEMA older; {copies}")).await;

    let environment = [environment(&app), vec![("WAXSEAL_KEYS__CELL_FILES".to_owned(), places.clone())]].concat();
    let run = async |words: &[&str]| {
        let (is_ok, text) = process::said(words, &environment).await;
        assert!(is_ok, "{text}");
    };
    run(&["keys", "rotate", "data"]).await;
    assert_eq!(over(&app, 3).await, (2, 0));
    run(&["keys", "step"]).await;
    assert!(ids(&app).await.iter().all(|id| !old.contains(id)));
    until("nothing is opened from memory any more", PATIENCE, async || {
        keyring(&app).for_opening(TENANT, old.clone()).await.unwrap().is_empty()
    })
    .await;

    // The rows of those keys brought back, with the traces of their end removed, and the keys above them as they were.
    let graft = "DELETE FROM waxseal_keys.forgotten_key;
         INSERT INTO waxseal_keys.dek SELECT * FROM older.dek ON CONFLICT DO NOTHING;
         UPDATE waxseal_keys.bucket_key b SET bucket_key_id = o.bucket_key_id, wrapped = o.wrapped, kek_id = o.kek_id
             FROM older.bucket_key o WHERE o.bucket = b.bucket;
         UPDATE waxseal_keys.tenant_kek k SET kek_id = o.kek_id, wrapped = o.wrapped FROM older.tenant_kek o";
    database::sabotage(&app.database, graft).await;
    // By a process that has no keys in memory: one that runs may have the KEK of before.
    let opened = match Box::pin(Base::open(&app.config, Arc::new(SystemClock))).await {
        Ok(base) => base.keyring.for_opening(TENANT, old).await.map(drop).unwrap_err(),
        Err(error) => error.downcast::<KeyringError>().unwrap(),
    };
    assert!(matches!(opened, KeyringError::Damaged { level: "tenant" }), "{opened:?}");

    // The whole copy, with the KMS secret and the cell of now.
    let (database, config) = (app.database.clone(), app.config.clone());
    app.gateway.shutdown().await;
    let put = |table: &str| {
        format!("DELETE FROM waxseal_keys.{table}; INSERT INTO waxseal_keys.{table} SELECT * FROM older.{table};")
    };
    database::sabotage(&database, &tables.split(' ').map(put).collect::<String>()).await;
    let refused = Box::pin(Base::open(&config, Arc::new(SystemClock))).await.map(drop).unwrap_err();
    let refused = format!("{refused:#}");
    assert!(refused.contains("the key tables are of epoch"), "{refused}");
}
