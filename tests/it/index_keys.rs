//! Promise: the key by which people are found is replaced while gateways run. Everybody is found at every moment of it, nobody becomes two, and
//! whoever knew the old key confirms nobody's number any more.

mod cut_off;
mod load;
mod phases;

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::app::Base;
use waxseal::clock::SystemClock;
use waxseal::directory::contacts::{Rehash, Walked};
use waxseal::domain::person::{Identifier, PhoneNumber};
use waxseal::ids::TenantId;
use waxseal::keyring::IndexKey;

use crate::support::app::variables;
use crate::support::process::said;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const TENANT: TenantId = TenantId::DEFAULT;
const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";
const ANA_ID: &str = "DE.9000000000000011";

/// Hashes that a key of before has made.
const OLD: &str = "SELECT count(*) FROM contact_identifier WHERE version = 1";
/// People.
const CONTACTS: &str = "SELECT count(*) FROM contact WHERE merged_into IS NULL";

fn environment(app: &TestApp) -> Vec<(String, String)> {
    variables(&app.database, app.simulator.base_url())
}

/// `waxseal keys rotate index`, to its end.
async fn rotate(app: &TestApp) -> String {
    let (is_ok, text) = said(&["keys", "rotate", "index"], &environment(app)).await;
    assert!(is_ok, "{text}");
    text
}

async fn status(app: &TestApp) -> String {
    said(&["keys", "status"], &environment(app)).await.1
}

/// Another process that does nothing.
async fn open(app: &TestApp) -> Base {
    Box::pin(Base::open(&app.config, Arc::new(SystemClock))).await.unwrap()
}

/// A message from somebody of whom Meta says a number, an id, or both.
async fn says(app: &TestApp, number: Option<&str>, id: Option<&str>, wamid: &str) {
    let mut contact =
        json!({ "profile": { "name": format!("N {}", wamid.len()), "username": id.map(|id| format!("u.{id}")) } });
    let mut item = webhook::text_item("", wamid, wamid);
    item.as_object_mut().unwrap().remove("from");
    if let Some(number) = number {
        (contact["wa_id"], item["from"]) = (json!(number), json!(number));
    }
    if let Some(id) = id {
        (contact["user_id"], item["from_user_id"]) = (json!(id), json!(id));
    } else {
        contact["profile"].as_object_mut().unwrap().remove("username");
    }
    let post = webhook::messages(json!({ "contacts": [contact], "messages": [item] }));
    assert_eq!(app.webhook(post).await, StatusCode::OK, "{wamid}");
}

/// Who is found by a name, as an erasure would find them: how many of their events it would remove.
async fn events_of(app: &TestApp, named: Value) -> Option<u64> {
    let mut body = named;
    body["dry_run"] = json!(true);
    let answer = app.api(Method::POST, "/v1/privacy/erasures").json(&body).send().await.unwrap();
    if answer.status() == StatusCode::NOT_FOUND {
        return None;
    }
    assert_eq!(answer.status(), StatusCode::OK);
    answer.json::<Value>().await.unwrap()["removed"]["event"].as_u64()
}

/// Puts the next key in force without walking.
async fn put_in_force(base: &Base) -> i16 {
    let mut version = 0;
    until("every process knows the next key", PATIENCE, async || {
        match base.keyring.next_index_key(TENANT).await.unwrap() {
            IndexKey::Ready(next) => {
                version = next;
                true
            }
            IndexKey::Waits(_) => false,
        }
    })
    .await;
    assert!(base.store.step_index_version(TENANT, version, base.clock.now()).await.unwrap());
    version
}

/// Walks to the end.
async fn walk(base: &Base) {
    let rehash = Rehash::new(base.store.clone(), base.keyring.clone(), TENANT);
    loop {
        match rehash.go_on().await.unwrap() {
            Walked::To(_) => {}
            Walked::Through(_) | Walked::None => return,
        }
    }
}

/// A phone number's hashes by every key that a process knows, the oldest first.
async fn hashes(base: &Base, number: &str) -> Vec<String> {
    let keys = base.keyring.tenant(TENANT).await.unwrap();
    let every = keys.identifiers.every(&Identifier::Phone(PhoneNumber::parse(number).unwrap()));
    every.iter().map(|hash| data_encoding::HEXLOWER.encode(hash)).collect()
}

async fn is_stored(database: &str, hash: &str) -> bool {
    let there = format!("SELECT count(*) FROM contact_identifier WHERE hash = '\\x{hash}'");
    database::count(database, &there).await == 1
}
