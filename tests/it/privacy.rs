//! Promise: a person is forgotten with everything that is stored about them, provably; what is held stays; what is old goes.

mod attacked;
mod attacked_backup;
mod certificates;
mod concurrent;
mod counted;
mod deeds;
mod erasing;
mod export_buckets;
mod exporting;
mod fields;
mod holding;
mod in_chat;
mod in_chat_links;
mod joined;
mod kills;
mod notices;
mod outliving;
mod passphrases;
mod requests;
mod restoring;
mod restricting;
mod retiring;
mod shorter;
mod waiting;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";

/// The endpoint has failed for days, and is tried no more.
async fn turned_off(app: &TestApp, endpoint: &Value) {
    let off = format!(
        "UPDATE endpoint SET state = 'disabled', disabled_reason = 'failing' WHERE endpoint_id = '{}';
         UPDATE settings_version SET version = version + 1",
        endpoint["id"].as_str().unwrap()
    );
    database::sabotage(&app.database, &off).await;
    app.directory_is_read().await;
}

/// Every table that has a column for a contact, and what is stored there about this one.
const NAMING: &str = "SELECT string_agg(format('SELECT %L AS t, count(*) AS c FROM %s WHERE %I = ''CONTACT''', c.table_name, c.table_name, c.column_name), ' UNION ALL ')
     FROM information_schema.columns c JOIN pg_class p ON p.relname = c.table_name AND NOT p.relispartition AND p.relkind IN ('r', 'p')
     WHERE c.table_schema = 'public' AND c.column_name IN ('contact_id', 'merged_into') AND c.table_name NOT IN ('erased_contact')";

async fn says(app: &TestApp, person: &str, wamid: &str, words: &str) {
    assert_eq!(app.webhook(webhook::text(person, wamid, words)).await, StatusCode::OK);
}

/// The id of the one contact there is with this number.
async fn contact_of(app: &TestApp, number: &str) -> Option<String> {
    let contacts = app.get("/v1/contacts").await;
    let all = contacts["data"].as_array().unwrap();
    all.iter().find(|one| one["phone"] == number).map(|one| one["id"].as_str().unwrap().to_owned())
}

/// Tables that still have something about a contact.
async fn traces(database: &str, contact: &str) -> Vec<String> {
    let statement = database::text(database, NAMING).await.replace("CONTACT", contact);
    let found = format!("SELECT COALESCE(string_agg(t || ' ' || c, ', '), '') FROM ({statement}) x WHERE c > 0");
    let found = database::text(database, &found).await;
    found.split(", ").filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// Asks for an erasure. Its id and the salt.
async fn erase(app: &TestApp, body: Value) -> (String, String) {
    let answer = app.api(Method::POST, "/v1/privacy/erasures").json(&body).send().await.unwrap();
    let (status, answer) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    (answer["id"].as_str().unwrap().to_owned(), answer["subject_salt"].as_str().unwrap().to_owned())
}

async fn erasure(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/v1/privacy/erasures/{id}")).await
}

async fn reaches(app: &TestApp, id: &str, state: &str) -> Value {
    until(&format!("the erasure is {state}"), PATIENCE, async || erasure(app, id).await["state"] == state).await;
    erasure(app, id).await
}

/// Has a person forgotten, to the end.
async fn erased(app: &TestApp, number: &str) -> Value {
    let (id, _) = erase(app, json!({ "phone": number })).await;
    reaches(app, &id, "certified").await
}

async fn sends(app: &TestApp, body: Value) -> String {
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    let (status, answer) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// Looks that the audit log has these actions.
async fn has_entries(app: &TestApp, actions: &[&str]) {
    let entries = app.get("/v1/audit?limit=200").await.to_string();
    for action in actions {
        assert!(entries.contains(action), "{action}");
    }
}
