//! Every moment of a rotation, one after the other.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::app::Base;
use waxseal::clock::SystemClock;
use waxseal::domain::person::{Identifier, PhoneNumber};
use waxseal::keyring::IndexKey;
use waxseal::store::index_versions::IndexVersions;

use super::{
    ANA, ANA_ID, BOB, CONTACTS, OLD, TENANT, environment, events_of, hashes, is_stored, open, put_in_force, rotate,
    said, says, status, walk,
};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

/// What must be so of Ana and Bob in every phase, after `rounds` messages of each.
async fn everybody_is_found(app: &TestApp, phase: usize) {
    says(app, Some(ANA), None, &format!("wamid.ana.number.{phase}.{}", "x".repeat(phase))).await;
    says(app, None, Some(ANA_ID), &format!("wamid.ana.id.{phase}.{}", "x".repeat(phase))).await;
    says(app, Some(BOB), None, &format!("wamid.bob.{phase}.{}", "x".repeat(phase))).await;
    // Somebody new in each.
    says(app, Some(&format!("491519990010{phase}")), None, &format!("wamid.new.{phase}")).await;
    let rounds = u64::try_from(phase).unwrap() + 1;
    let ana = 1 + 2 * rounds;
    for name in [json!({ "phone": ANA }), json!({ "user_id": ANA_ID }), json!({ "username": format!("u.{ANA_ID}") })] {
        assert_eq!(events_of(app, name.clone()).await, Some(ana), "{name} in phase {phase}");
    }
    assert_eq!(events_of(app, json!({ "phone": BOB })).await, Some(rounds), "phase {phase}");
    for before in 0..=phase {
        let one = json!({ "phone": format!("491519990010{before}") });
        assert_eq!(events_of(app, one).await, Some(1), "{before} in phase {phase}");
    }
    assert_eq!(database::count(&app.database, CONTACTS).await, 2 + i64::try_from(rounds).unwrap(), "phase {phase}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_found_by_every_name_before_the_step_before_the_walk_in_it_and_behind_it() {
    let app = TestApp::spawn().await;
    let base = open(&app).await;
    says(&app, Some(ANA), Some(ANA_ID), "wamid.ana").await;
    let old = hashes(&base, ANA).await;
    everybody_is_found(&app, 0).await;
    assert!(old.len() == 1 && is_stored(&app.database, &old[0]).await);

    until("the process knows the next key", PATIENCE, async || {
        matches!(base.keyring.next_index_key(TENANT).await.unwrap(), IndexKey::Ready(2))
    })
    .await;
    everybody_is_found(&app, 1).await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM contact_identifier WHERE version <> 1").await, 0);
    assert!(status(&app).await.contains("version 2 waits to be put in force"));

    assert_eq!(put_in_force(&base).await, 2);
    everybody_is_found(&app, 2).await;
    assert!(status(&app).await.contains("0 identifiers brought forward"));
    assert_eq!(base.store.index_versions(TENANT).await.unwrap(), IndexVersions { new: 2, oldest: 1 });

    // Ana's number alone is brought forward, her id is not.
    let keys = base.keyring.tenant(TENANT).await.unwrap();
    let new = keys.identifiers.every(&Identifier::Phone(PhoneNumber::parse(ANA).unwrap()))[1];
    let forward = format!(
        "UPDATE contact_identifier SET hash = '\\x{}', version = 2 WHERE hash = '\\x{}'",
        data_encoding::HEXLOWER.encode(&new),
        old[0]
    );
    database::sabotage(&app.database, &forward).await;
    everybody_is_found(&app, 3).await;

    let text = rotate(&app).await;
    assert!(text.contains("identifiers are found by version 2 of the key, and by none of before"), "{text}");
    everybody_is_found(&app, 4).await;
    assert_eq!(database::count(&app.database, OLD).await, 0);
    assert!(!is_stored(&app.database, &old[0]).await, "whoever knows the old key finds nobody in what is stored");
    until("nothing is looked for by the old one", PATIENCE, async || {
        app.gateway.base().keyring.tenant(TENANT).await.unwrap().identifiers.finds().oldest == 2
    })
    .await;
    everybody_is_found(&app, 5).await;

    // Once more, and the keys above in between.
    for level in ["tenant", "bucket"] {
        assert!(said(&["keys", "rotate", level], &environment(&app)).await.0);
    }
    rotate(&app).await;
    everybody_is_found(&app, 6).await;
    let entries = app.get("/v1/audit?action=keys.index_rotated").await;
    let entries = entries["data"].as_array().unwrap().clone();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1]["said"]["details"], json!(["index", "version=1..2"]));
    assert_eq!(entries[1]["said"]["count"], 5, "but for one that was brought forward by hand");
    let begun = app.get("/v1/audit?action=keys.rotated").await;
    let of_index = begun["data"].as_array().unwrap().iter().filter(|one| one["said"]["details"] == json!(["index"]));
    assert_eq!(of_index.count(), 2, "{begun}");

    // Who knows nothing yet, and one who starts anew.
    let other = TestApp::spawn_on(app.database.clone(), Arc::new(SystemClock), &[]).await;
    everybody_is_found(&other, 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_did_not_hear_of_it_finds_out_before_it_adds_or_misses_anybody() {
    let app = TestApp::spawn().await;
    says(&app, Some(ANA), Some(ANA_ID), "wamid.1").await;
    let base = open(&app).await;
    // It tells nobody, and the step does not ask. A gateway looks every five seconds; this is faster, nearly always.
    until("the key is there", PATIENCE, async || {
        let _waits = base.keyring.next_index_key(TENANT).await.unwrap();
        base.keyring.tenant(TENANT).await.unwrap().identifiers.newest() == 2
    })
    .await;
    assert!(base.store.step_index_version(TENANT, 2, base.clock.now()).await.unwrap());
    walk(&base).await;
    assert_eq!(events_of(&app, json!({ "phone": ANA })).await, Some(1));
    says(&app, Some(ANA), None, "wamid.another.name").await;
    says(&app, Some(BOB), None, "wamid.2").await;
    says(&app, Some(BOB), None, "wamid.2.again").await;
    assert_eq!(database::count(&app.database, CONTACTS).await, 2);
    assert_eq!(database::count(&app.database, OLD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_put_in_force_that_a_living_process_does_not_know() {
    let app = TestApp::spawn().await;
    says(&app, Some(ANA), None, "wamid.1").await;
    let worker = |reads: &str| {
        format!(
            "INSERT INTO worker (worker_id, started_at, lease_until, reads)
             VALUES ('01930000-0000-7000-8000-0000000000aa', now(), now() + interval '1 hour', {reads})
             ON CONFLICT (worker_id) DO UPDATE SET reads = EXCLUDED.reads"
        )
    };
    let waits = async |keys: i64| {
        let (is_ok, text) = said(&["keys", "rotate", "index", "--wait", "6"], &environment(&app)).await;
        assert!(!is_ok && text.contains("the next key is not known yet to 01930000"), "{text}");
        let names = text.split("not known yet to").nth(1).unwrap();
        assert_eq!(names.matches("running since").count(), 1, "it alone is waited for: {text}");
        let made = "SELECT count(*) FROM waxseal_keys.index_key WHERE purpose = 'identifiers'";
        assert_eq!(database::count(&app.database, made).await, keys);
        assert_eq!(database::count(&app.database, "SELECT count(*) FROM index_version").await, 0);
    };
    // Of a release that would leave a second key behind at the next step of the epoch; of this one, but it has not read the key.
    for (reads, keys) in [("NULL", 1), ("'{suite/1,index}'", 2)] {
        database::sabotage(&app.database, &worker(reads)).await;
        waits(keys).await;
        says(&app, Some(BOB), None, &format!("wamid.{keys}.{}", "x".repeat(usize::try_from(keys).unwrap()))).await;
        assert_eq!(
            database::count(&app.database, "SELECT count(*) FROM contact_identifier WHERE version = 2").await,
            0
        );
    }
    database::sabotage(&app.database, &worker(&format!("'{{index,index/{TENANT}/2}}'"))).await;
    rotate(&app).await;
    assert_eq!(database::count(&app.database, CONTACTS).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_changes_hands_in_the_middle_of_it_has_one_owner() {
    let app = TestApp::spawn().await;
    let base = open(&app).await;
    says(&app, Some(ANA), Some(ANA_ID), "wamid.1").await;
    says(&app, Some(BOB), None, "wamid.bob").await;
    put_in_force(&base).await;
    // Somebody else has Ana's number now, and her handle; then she has another, and says so herself.
    says(&app, Some(ANA), Some("DE.9000000000000099"), "wamid.heir").await;
    assert_eq!(events_of(&app, json!({ "phone": ANA })).await, Some(1));
    assert_eq!(events_of(&app, json!({ "user_id": ANA_ID })).await, Some(1));
    let mut change = webhook::text_item(BOB, "wamid.change", "");
    change["type"] = json!("system");
    change["system"] = json!({ "type": "user_changed_number", "wa_id": "4915199900033", "body": "changed" });
    change.as_object_mut().unwrap().remove("text");
    assert_eq!(app.webhook(webhook::messages(json!({ "messages": [change] }))).await, StatusCode::OK);
    let numbers = "SELECT count(*) FROM contact_identifier WHERE kind = 1";
    assert_eq!(database::count(&app.database, numbers).await, 2, "each by one hash");
    assert_eq!(events_of(&app, json!({ "phone": BOB })).await, None, "given up");
    rotate(&app).await;
    assert_eq!(events_of(&app, json!({ "phone": BOB })).await, None, "given up");
    assert_eq!(events_of(&app, json!({ "phone": "4915199900033" })).await, Some(2));
    assert_eq!(database::count(&app.database, CONTACTS).await, 3);
    let twice = "SELECT count(*) - count(DISTINCT (kind, hash)) FROM contact_identifier";
    assert_eq!(database::count(&app.database, twice).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_of_somebody_who_was_forgotten_before_is_still_proven_behind_it() {
    let app = TestApp::spawn().await;
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.1", "STOP")).await, StatusCode::OK);
    let erase = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA })).send().await.unwrap();
    let path = format!("/v1/privacy/erasures/{}", erase.json::<Value>().await.unwrap()["id"].as_str().unwrap());
    until("they are forgotten", PATIENCE, async || app.get(&path).await["state"] == "certified").await;
    rotate(&app).await;
    let proofs = app.api(Method::POST, "/v1/privacy/consent-proofs").json(&json!({ "phone": ANA }));
    let proofs: Value = proofs.send().await.unwrap().json().await.unwrap();
    assert_eq!(proofs["data"][0]["state"], "withdrawn", "{proofs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_older_than_the_data_are_refused_and_nobody_is_made_anew() {
    let app = TestApp::spawn().await;
    says(&app, Some(ANA), None, "wamid.1").await;
    rotate(&app).await;
    for lost in ["version = 2", "version = 1"] {
        let lose = format!(
            "CREATE TABLE IF NOT EXISTS kept AS TABLE waxseal_keys.index_key;
             DELETE FROM waxseal_keys.index_key WHERE purpose = 'identifiers' AND {lost}"
        );
        database::sabotage(&app.database, &lose).await;
        let other = Box::pin(Base::open(&app.config, Arc::new(SystemClock))).await;
        let keys = match other {
            Ok(base) => base.keyring.tenant(TENANT).await.map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(format!("{error:#}")),
        };
        assert!(keys.is_err(), "{lost}");
        let back = "INSERT INTO waxseal_keys.index_key TABLE kept ON CONFLICT DO NOTHING";
        database::sabotage(&app.database, back).await;
    }
    open(&app).await.keyring.tenant(TENANT).await.unwrap();
}
