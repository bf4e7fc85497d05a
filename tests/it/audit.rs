//! Promise: every read of personal data leaves an entry in the audit log before anything is opened, and the log proves itself.

mod acts;
mod cosigned;
mod damage;
mod independent;
mod pruning;
mod scope;
mod tree;
mod verify;
mod witness;

use std::collections::BTreeSet;
use std::time::Instant;

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::{Permission, Permissions};
use waxseal::audit::{Act, Action, Actor, Entry, Object, commitment};
use waxseal::ids::TenantId;
use waxseal::tlog::merkle::leaf_hash;
use waxseal::tlog::note::VerifierKey;
use waxseal::tlog::policy::Policy;
use waxseal::tlog::proof::Proof;

use crate::support::app::api_key_with;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";
const ENTRIES: &str = "SELECT count(*) FROM audit_entry";

/// A gateway that heard of two people.
async fn scene() -> TestApp {
    let app = TestApp::spawn().await;
    for (number, person) in [ANA, BOB].into_iter().enumerate() {
        let post = webhook::text(person, &format!("wamid.audit.{number}"), "Moin");
        assert_eq!(app.webhook(post).await, StatusCode::OK);
    }
    database::settled(&app.database).await;
    app
}

async fn entries(app: &TestApp) -> i64 {
    database::count(&app.database, &format!("{ENTRIES} WHERE action NOT LIKE 'events.%ed'")).await
}

/// Entries that the API shows, newest first.
async fn listed(app: &TestApp, query: &str) -> Vec<Value> {
    app.get(&format!("/v1/audit?limit=200{query}")).await["data"].as_array().unwrap().clone()
}

/// The receipt of an answer.
fn receipt(answer: &reqwest::Response) -> Option<String> {
    answer.headers().get("x-audit-index").map(|value| value.to_str().unwrap().to_owned())
}

/// The proof of an entry, once it is in the tree.
async fn proof(app: &TestApp, which: &str) -> String {
    let path = format!("/v1/audit/proof/{which}");
    let ask = || async { app.api(Method::GET, &path).send().await.unwrap() };
    until("the entry is in the tree", PATIENCE, async || {
        let answer = ask().await;
        assert!(matches!(answer.status(), StatusCode::OK | StatusCode::CONFLICT), "{}", answer.status());
        answer.status() == StatusCode::OK
    })
    .await;
    ask().await.text().await.unwrap()
}

async fn policy(app: &TestApp) -> Policy {
    let answer = app.api(Method::GET, "/v1/audit/checkpoint").send().await.unwrap();
    let key = answer.headers()["x-audit-key"].to_str().unwrap();
    Policy::only_log(VerifierKey::parse(key).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_leaves_exactly_one_entry_that_says_who_what_and_why_and_nothing_personal() {
    let app = scene().await;
    let contact = app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned();
    let mut seen = BTreeSet::new();
    for (path, action, object, count) in [
        ("/v1/events".to_owned(), "events.read", "event", 2),
        ("/v1/contacts".to_owned(), "contacts.read", "contact", 2),
        (format!("/v1/contacts/{contact}"), "contacts.read", "contact", 1),
        (format!("/v1/contacts/{contact}/messages"), "messages.read", "contact", 1),
    ] {
        let before = entries(&app).await;
        let answer = app.api(Method::GET, &path).send().await.unwrap();
        assert_eq!((answer.status(), entries(&app).await), (StatusCode::OK, before + 1), "{path}");
        let (receipt, request) = (receipt(&answer).unwrap(), answer.headers()["x-request-id"].clone());
        let entry = listed(&app, "").await.into_iter().find(|entry| entry["id"] == receipt.as_str()).unwrap();
        let said = &entry["said"];
        assert_eq!((&said["action"], &said["object"], &said["count"]), (&json!(action), &json!(object), &json!(count)));
        assert_eq!((&said["decision"], &said["actor"]), (&json!("allowed"), &json!("key")));
        assert_eq!((&said["request_id"], &said["purpose"]), (&json!(request.to_str().unwrap()), &json!("application")));
        assert_eq!((&said["subjects"], &entry["damaged"]), (&json!(count), &json!(false)));
        assert!(!entry.to_string().contains(ANA) && !entry.to_string().contains("Moin"));
        assert!(seen.insert(said["subjects_commitment"].to_string()), "commitments tell no two entries alike");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_finds_nothing_leaves_no_entry_and_no_receipt() {
    let app = TestApp::spawn().await;
    let before = entries(&app).await;
    let unknown = "/v1/contacts/01900000-0000-7000-8000-000000000000";
    for (path, status) in [("/v1/events", StatusCode::OK), (unknown, StatusCode::NOT_FOUND)] {
        let answer = app.api(Method::GET, path).send().await.unwrap();
        assert_eq!((answer.status(), receipt(&answer)), (status, None));
    }
    assert_eq!(entries(&app).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_entry_nothing_is_opened_changed_or_sent() {
    let app = scene().await;
    let channel = app.channel().await;
    database::sabotage(&app.database, "ALTER TABLE audit_entry RENAME TO audit_entry_away").await;
    for path in ["/v1/events", "/v1/contacts", "/v1/audit"] {
        let answer = app.api(Method::GET, path).send().await.unwrap();
        let refused =
            if path == "/v1/audit" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!((answer.status(), receipt(&answer)), (refused, None), "{path}");
        let said = answer.text().await.unwrap();
        assert!(!said.contains(ANA) && !said.contains("Moin"));
    }
    let message =
        json!({ "channel_id": channel, "message": { "to": ANA, "type": "text", "text": { "body": "Moin" } } });
    let new_key = json!({ "name": "x", "permissions": ["events:read"] });
    for (path, body) in [("/v1/messages", message), ("/v1/keys", new_key)] {
        let answer = app.api(Method::POST, path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM message").await, 0);
    database::sabotage(&app.database, "ALTER TABLE audit_entry_away RENAME TO audit_entry").await;
    assert_eq!(app.get("/v1/contacts").await["data"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_access_leaves_an_entry_and_a_burst_of_it_no_more() {
    let app = scene().await;
    let key = api_key_with(&app.gateway, std::iter::once(Permission::EventsRead).collect()).await;
    for path in ["/v1/contacts", "/v1/contacts", "/v1/contacts", "/v1/keys"] {
        let answer = app.api_as(&key, Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
    let told: Vec<Value> = listed(&app, "&action=access.refused").await.iter().map(|one| one["said"].clone()).collect();
    let details: Vec<&Value> = told.iter().map(|said| &said["details"]).collect();
    assert_eq!(details, [&json!(["keys:read"]), &json!(["contacts:read"])]);
    assert!(told.iter().all(|said| said["decision"] == "refused" && said["count"] == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_leave_entries_that_name_the_object_and_the_members_and_no_values() {
    let app = scene().await;
    let channel = app.channel().await;
    let rename = json!({ "name": "canary name", "waba_id": "4242" });
    let answer = app.api(Method::PATCH, &format!("/v1/channels/{channel}")).json(&rename).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let entry = listed(&app, "&action=channel.changed").await.remove(0);
    assert_eq!(
        (&entry["said"]["object_id"], &entry["said"]["details"]),
        (&json!(channel), &json!(["name", "waba_id"]))
    );
    let bytes = BASE64.decode(entry["entry"].as_str().unwrap().as_bytes()).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_found_by_whom_they_are_about_by_action_and_by_time() {
    let app = scene().await;
    let contacts = app.get("/v1/contacts").await["data"].clone();
    let [one, other] = [0, 1].map(|at| contacts[at]["id"].as_str().unwrap().to_owned());
    app.get(&format!("/v1/contacts/{one}")).await;
    let of = async |contact: &str| listed(&app, &format!("&contact_id={contact}&action=contacts.read")).await.len();
    assert_eq!((of(&one).await, of(&other).await), (2, 1));
    assert_eq!(listed(&app, "&until=2020-01-01T00:00:00Z").await.len(), 0);
    assert!(listed(&app, "&since=2020-01-01T00:00:00Z").await.len() > 2);
    let first = app.get("/v1/audit?limit=1").await;
    assert_eq!((first["has_more"].clone(), first["data"].as_array().unwrap().len()), (json!(true), 1));
    let wrong = app.api(Method::GET, "/v1/audit?action=world.rule").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_leads_to_a_proof_that_verifies_alone() {
    let app = scene().await;
    let answer = app.api(Method::GET, "/v1/contacts").send().await.unwrap();
    let proof = Proof::parse(&proof(&app, &receipt(&answer).unwrap()).await).unwrap();
    let (salt, bytes) = proof.extra.as_ref().unwrap().split_first_chunk::<32>().unwrap();
    let (entry, leaf) = (Entry::decode(bytes).unwrap(), leaf_hash(&commitment(bytes, salt)));
    assert_eq!(entry.act.action, "contacts.read");
    let policy = policy(&app).await;
    proof.verify(&leaf, &policy).unwrap();
    assert!(proof.verify(&leaf_hash(b"another"), &policy).is_err());
    let by_index = app.api(Method::GET, &format!("/v1/audit/proof/{}", proof.index)).send().await.unwrap();
    assert_eq!(Proof::parse(&by_index.text().await.unwrap()).unwrap().extra, proof.extra);
    let none = app.api(Method::GET, "/v1/audit/proof/999999").send().await.unwrap();
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_confined_to_channels_reads_nothing_of_the_log() {
    let app = scene().await;
    let body = json!({ "name": "x", "permissions": ["audit:read"], "channel_ids": [app.channel().await] });
    let made: Value = app.api(Method::POST, "/v1/keys").json(&body).send().await.unwrap().json().await.unwrap();
    for path in ["/v1/audit", "/v1/audit/checkpoint", "/v1/audit/proof/0", "/v1/audit/tile/0/000"] {
        let answer = app.api_as(made["key"].as_str().unwrap(), Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let refused = listed(&app, "&action=access.refused").await;
    assert_eq!((refused.len(), &refused[0]["said"]["details"]), (1, &json!(["all_channels"])));
    let all = api_key_with(&app.gateway, Permissions::admin()).await;
    assert_eq!(app.api_as(&all, Method::GET, "/v1/audit").send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_leave_entries_at_once_share_transactions() {
    const ACTS: usize = 5000;
    let app = TestApp::spawn().await;
    let (audit, before) = (&app.gateway.base().audit, entries(&app).await);
    let act = || Act::new(TenantId::DEFAULT, Actor::GATEWAY, Action::AuditRead, Object::several("audit_entry"));
    let began = Instant::now();
    let recorded = futures_util::future::join_all((0..ACTS).map(|_| audit.record(act()))).await;
    let took = began.elapsed();
    let ids: BTreeSet<_> = recorded.into_iter().map(Result::unwrap).collect();
    assert_eq!((ids.len(), entries(&app).await), (ACTS, before + 5000));
    let transactions = database::count(&app.database, "SELECT count(DISTINCT xid::text) FROM audit_entry").await;
    assert!(transactions < 200, "{transactions} transactions");
    println!("{ACTS} entries in {took:?}, in {transactions} transactions");
}
