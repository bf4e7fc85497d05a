//! Promise: the keys of secrets and profiles are replaced while gateways run. Everything is read at every moment of it; nothing is destroyed that
//! something lies under; and what was made by the keys of before is recognised after.

mod older_copies;

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::app::Base;
use waxseal::clock::{Clock, ManualClock, SystemClock};
use waxseal::ids::{ContactId, TenantId};
use waxseal::keyring::DekName;
use waxseal::privacy::{Reseal, Resealed};

use crate::support::app::variables;
use crate::support::process::{self, waxseal};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const TENANT: TenantId = TenantId::DEFAULT;
/// Keys in whose place there is a newer one.
const REPLACED: &str = "SELECT count(*) FROM waxseal_keys.dek d WHERE scope < 2
     AND EXISTS (SELECT 1 FROM waxseal_keys.dek n WHERE n.scope = d.scope AND n.subject_id = d.subject_id AND n.month > d.month)";
/// Profiles under a key in whose place there is a newer one.
const UNDER_OLD: &str = "SELECT count(*) FROM contact c JOIN waxseal_keys.dek d
         ON d.dek_id = encode(substring(c.profile::bytea FROM 5 FOR 16), 'hex')::uuid
     WHERE EXISTS (SELECT 1 FROM waxseal_keys.dek n WHERE n.scope = d.scope AND n.subject_id = d.subject_id AND n.month > d.month)";

fn environment(app: &TestApp) -> Vec<(String, String)> {
    variables(&app.database, app.simulator.base_url())
}

async fn said(words: &[&str], app: &TestApp) -> (bool, String) {
    process::said(words, &environment(app)).await
}

async fn rotate(app: &TestApp) -> String {
    let (is_ok, text) = said(&["keys", "rotate", "data"], app).await;
    assert!(is_ok, "{text}");
    text
}

async fn says(app: &TestApp, number: &str, wamid: &str) {
    let contact = json!({ "profile": { "name": format!("Name of {number}") }, "wa_id": number });
    let item = webhook::text_item(number, wamid, "Moin");
    let post = webhook::messages(json!({ "contacts": [contact], "messages": [item] }));
    assert_eq!(app.webhook(post).await, StatusCode::OK, "{wamid}");
}

/// How many people there are, each shown with their name.
async fn names(app: &TestApp) -> usize {
    let shown = app.get("/v1/contacts?limit=200").await;
    let people = shown["data"].as_array().unwrap();
    let is_named = |one: &Value| one.to_string().contains("Name of ");
    assert!(people.iter().all(is_named), "{people:?}");
    people.len()
}

/// As a gateway that looks so many days later.
async fn end(app: &TestApp, days: i64) -> Resealed {
    let clock = Arc::new(ManualClock::new(SystemClock.now() + Duration::days(days)));
    let base = Box::pin(Base::open(&app.config, clock)).await.unwrap();
    let reseal = Reseal::new(base.store.clone(), base.keyring.clone(), base.audit.clone(), base.clock.clone());
    reseal.end_when_due(TENANT).await.unwrap()
}

/// As gateways that look every three days from this one on, until it is over: what the running one writes by a key that it still had is sealed
/// anew first, and rests.
async fn over(app: &TestApp, days: i64) -> (usize, usize) {
    for days in (days..days + 12).step_by(3) {
        match end(app, days).await {
            Resealed::Over(forgotten, kept) => return (forgotten, kept),
            Resealed::Rests(_) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("it does not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_destroy_the_keys_of_before_days_later_and_the_log_tells_of_beginning_and_end() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    for number in 0..5 {
        says(&app, &format!("491519900001{number}"), &format!("wamid.{number}")).await;
    }
    let told = rotate(&app).await;
    assert!(told.contains("6 keys were replaced"), "{told}");
    assert_eq!(database::count(&app.database, UNDER_OLD).await, 0);
    let status = said(&["keys", "status"], &app).await.1;
    assert!(status.contains("keys of before go at the earliest"), "{status}");
    assert_eq!((names(&app).await, database::count(&app.database, REPLACED).await), (5, 6));
    // What is asked for meanwhile is the same rotation.
    rotate(&app).await;
    assert_eq!(database::count(&app.database, REPLACED).await, 6);
    clock.advance(Duration::days(3));
    let ended = "SELECT count(*) FROM waxseal_keys.data_rotation";
    until("the keys of before are gone", 4 * PATIENCE, async || {
        if database::count(&app.database, ended).await == 0 {
            return true;
        }
        clock.advance(Duration::hours(4));
        false
    })
    .await;
    assert_eq!(database::count(&app.database, REPLACED).await, 0);
    assert_eq!(names(&app).await, 5);
    says(&app, "4915199000019", "wamid.after").await;
    assert_eq!(names(&app).await, 6);
    let entries = "SELECT count(*) FROM audit_entry WHERE action = 'keys.rotated' AND strpos(encode(entry, 'escape'), 'ended') > 0";
    assert_eq!(database::count(&app.database, entries).await, 1);
    // And once more, from keys that were rotated.
    rotate(&app).await;
    assert_eq!((names(&app).await, database::count(&app.database, UNDER_OLD).await), (6, 0));
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_process_writes_under_a_key_of_before_keeps_that_key_until_it_is_sealed_anew() {
    let app = TestApp::spawn().await;
    says(&app, "4915199000011", "wamid.1").await;
    says(&app, "4915199000012", "wamid.2").await;
    database::sabotage(&app.database, "CREATE TABLE slow AS SELECT contact_id, profile FROM contact").await;
    rotate(&app).await;
    let write = "UPDATE contact c SET profile = s.profile FROM slow s WHERE s.contact_id = c.contact_id";
    database::sabotage(&app.database, write).await;
    assert_eq!(database::count(&app.database, UNDER_OLD).await, 2);
    assert_eq!(names(&app).await, 2, "it opens all the time");
    assert!(matches!(end(&app, 3).await, Resealed::Rests(_)));
    assert_eq!(database::count(&app.database, UNDER_OLD).await, 0);
    assert!(matches!(end(&app, 4).await, Resealed::GoOn(_)), "it rests anew");
    assert_eq!(over(&app, 6).await, (3, 0));
    assert_eq!(names(&app).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_end_it_one_seals_anew_and_the_other_destroys_nothing() {
    let app = TestApp::spawn().await;
    for number in 0..4 {
        says(&app, &format!("491519900001{number}"), &format!("wamid.{number}")).await;
    }
    database::sabotage(&app.database, "CREATE TABLE slow AS SELECT contact_id, profile FROM contact").await;
    rotate(&app).await;
    let write = "UPDATE contact c SET profile = s.profile FROM slow s WHERE s.contact_id = c.contact_id";
    database::sabotage(&app.database, write).await;
    let (one, two) = tokio::join!(end(&app, 3), end(&app, 3));
    assert!(![&one, &two].iter().any(|ended| matches!(ended, Resealed::Over(..))), "{one:?} {two:?}");
    assert_eq!(database::count(&app.database, REPLACED).await, 5);
    assert_eq!(names(&app).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_sealed_anew_raise_no_alarm() {
    let app = TestApp::spawn().await;
    says(&app, "4915199000011", "wamid.1").await;
    let attest = said(&["audit", "rows", "--accept"], &app).await;
    assert!(attest.0, "{}", attest.1);
    let before = "SELECT md5(string_agg(app_secret::bytea::text, '')) FROM meta_app";
    let secrets = database::text(&app.database, before).await;
    rotate(&app).await;
    assert_ne!(database::text(&app.database, before).await, secrets);
    let (is_ok, text) = said(&["audit", "rows"], &app).await;
    assert!(is_ok, "{text}");
    assert!(matches!(end(&app, 3).await, Resealed::Rests(_)), "the marks are sealed anew");
    assert_eq!(over(&app, 6).await, (2, 0));
    let (is_ok, text) = said(&["audit", "rows"], &app).await;
    assert!(is_ok, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_open_keeps_its_key_and_nothing_else() {
    let app = TestApp::spawn().await;
    says(&app, "4915199000011", "wamid.1").await;
    says(&app, "4915199000012", "wamid.2").await;
    let spoil = "UPDATE contact SET profile = set_byte(profile::bytea, 90, 255 - get_byte(profile::bytea, 90))
                 WHERE contact_id = (SELECT contact_id FROM contact ORDER BY 1 LIMIT 1)";
    database::sabotage(&app.database, "CREATE TABLE whole AS SELECT contact_id, profile FROM contact").await;
    database::sabotage(&app.database, spoil).await;
    rotate(&app).await;
    assert_eq!(over(&app, 3).await, (2, 1));
    assert_eq!(database::count(&app.database, REPLACED).await, 1);
    // Whoever mends it finds the key.
    let mend = "UPDATE contact c SET profile = w.profile FROM whole w WHERE w.contact_id = c.contact_id
                AND c.contact_id = (SELECT contact_id FROM contact ORDER BY 1 LIMIT 1)";
    database::sabotage(&app.database, mend).await;
    assert_eq!(names(&app).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keyed_hashes_that_data_keys_give_are_the_same_after_two_rotations() {
    let app = TestApp::spawn().await;
    says(&app, "4915199000011", "wamid.1").await;
    let contact = database::text(&app.database, "SELECT contact_id::text FROM contact").await;
    let names = [
        DekName::profile(TENANT, contact.parse::<uuid::Uuid>().map(ContactId::from_uuid).unwrap()),
        DekName::system(TENANT),
    ];
    let hashes = async || {
        let base = Box::pin(Base::open(&app.config, Arc::new(SystemClock))).await.unwrap();
        let keys = base.keyring.hash_keys(TENANT, names).await.unwrap();
        names.map(|name| keys[&name].hash::<32>(&[b"x"]))
    };
    let before = hashes().await;
    for days in [3, 15] {
        rotate(&app).await;
        assert_eq!(hashes().await, before);
        assert_eq!(over(&app, days).await, (2, 0));
        assert_eq!(hashes().await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_in_the_middle_of_it_leaves_no_key_of_any_rotation() {
    let app = TestApp::spawn().await;
    says(&app, "4915199000011", "wamid.1").await;
    says(&app, "4915199000012", "wamid.2").await;
    rotate(&app).await;
    let contact = database::text(&app.database, "SELECT contact_id::text FROM contact ORDER BY 1 LIMIT 1").await;
    let base = Box::pin(Base::open(&app.config, Arc::new(SystemClock))).await.unwrap();
    let id = ContactId::from_uuid(contact.parse().unwrap());
    let gone = base.keyring.forget_contact(TENANT, id).await.unwrap();
    assert_eq!(gone.keys.len(), 4, "two of the profile, one of hashes, one of the month");
    let left = format!("SELECT count(*) FROM waxseal_keys.dek WHERE subject_id = '{contact}'");
    assert_eq!(database::count(&app.database, &left).await, 0);
    assert!(base.keyring.generations(TENANT, DekName::profile(TENANT, id)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_while_a_process_knows_of_one_key_alone() {
    let app = TestApp::spawn().await;
    says(&app, "4915199000011", "wamid.1").await;
    let older = "INSERT INTO worker (worker_id, started_at, lease_until, reads)
                 VALUES ('01930000-0000-7000-8000-0000000000aa', now(), now() + interval '1 hour', '{suite/1,index}')";
    database::sabotage(&app.database, older).await;
    let (is_ok, text) = said(&["keys", "rotate", "data", "--wait", "1"], &app).await;
    assert!(!is_ok && text.contains("01930000-0000-7000-8000-0000000000aa"), "{text}");
    let rotations = "SELECT count(*) FROM waxseal_keys.data_rotation";
    assert_eq!(database::count(&app.database, rotations).await + database::count(&app.database, REPLACED).await, 0);
    database::sabotage(&app.database, "DELETE FROM worker WHERE lease_until > now() + interval '10 minutes'").await;
    rotate(&app).await;
    assert_eq!(database::count(&app.database, REPLACED).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_again_and_again_under_two_gateways_goes_on_and_no_read_fails() {
    let ttl = [("WAXSEAL_KEYS__CACHE_TTL_SECONDS", "1")];
    let one = TestApp::spawn_with(Arc::new(SystemClock), &ttl).await;
    let two = TestApp::spawn_on(one.database.clone(), Arc::new(SystemClock), &ttl).await;
    for number in 0..60 {
        says(&one, &format!("49151990001{number:02}"), &format!("wamid.{number}")).await;
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = async {
        let mut round = 0;
        while !*stopped.borrow() || round < 3 {
            for app in [&one, &two] {
                assert!(names(app).await >= 60);
                says(app, &format!("49151990002{:02}", round % 40), &format!("wamid.load.{round}.{}", app.at.public))
                    .await;
                assert_eq!(app.api(Method::GET, "/v1/endpoints").send().await.unwrap().status(), StatusCode::OK);
            }
            round += 1;
        }
        round
    };
    let rotating = async {
        for tenths in 0..12 {
            let mut child = waxseal(&["keys", "rotate", "data"], &environment(&one)).spawn().unwrap();
            tokio::time::timeout(std::time::Duration::from_millis(200 + 60 * tenths), child.wait()).await.ok();
            child.kill().await.unwrap();
        }
        rotate(&one).await;
        stop.send(true).unwrap();
    };
    let (rounds, ()) = tokio::join!(load, rotating);
    assert!(rounds > 2);
    let mut days = 3;
    while !matches!(end(&one, days).await, Resealed::Over(..) | Resealed::None) {
        days += 3;
        assert!(days < 30);
    }
    assert_eq!(database::count(&one.database, REPLACED).await, 0);
    assert!(names(&one).await >= 61 && names(&two).await >= 61);
}
