//! Under load, with several processes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use waxseal::clock::SystemClock;
use waxseal::directory::contacts::{Rehash, Walked};
use waxseal::keyring::IndexKey;

use super::{ANA, BOB, CONTACTS, OLD, TENANT, environment, events_of, open, put_in_force, rotate, said, says, walk};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

/// Who wrote how often, through both gateways.
#[derive(Default)]
struct Wrote {
    people: u64,
    messages: u64,
}

/// Known people, new people, and the same new person through both at the same moment: by number in one and by number and id in the other.
async fn write(one: &TestApp, two: &TestApp, stopped: &tokio::sync::watch::Receiver<bool>) -> Wrote {
    let mut wrote = Wrote::default();
    while !*stopped.borrow() || wrote.people < 30 {
        let person = wrote.people;
        let (number, id) = (format!("4915188{person:05}"), format!("DE.8000{person:010}"));
        let first = format!("wamid.first.{person}");
        let second = format!("wamid.second.{person}");
        tokio::join!(says(one, Some(&number), None, &first), says(two, Some(&number), Some(&id), &second));
        // Somebody of before, by what the other gateway was told of them.
        let known = person / 2;
        let id = format!("DE.8000{known:010}");
        says(
            one,
            None,
            Some(&id),
            &format!("wamid.known.{person}.{}", "x".repeat(usize::try_from(person % 40).unwrap())),
        )
        .await;
        wrote.people += 1;
        wrote.messages += 3;
    }
    wrote
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_gateways_under_load_nobody_becomes_two_and_every_message_is_found() {
    let one = TestApp::spawn().await;
    let two = TestApp::spawn_on(one.database.clone(), Arc::new(SystemClock), &[]).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let rotating = async {
        let mut rotations = 0;
        for _ in 0..3 {
            rotate(&one).await;
            rotations += 1;
        }
        stop.send(true).unwrap();
        rotations
    };
    let reading = async {
        let mut reads = 0;
        while !*stopped.borrow() {
            for app in [&one, &two] {
                let _nobody_yet = events_of(app, json!({ "phone": "491518800000" })).await;
                assert_eq!(app.get("/v1/contacts?limit=5").await["error"], Value::Null);
            }
            reads += 1;
            tokio::task::yield_now().await;
        }
        reads
    };
    let (wrote, rotations, reads) = tokio::join!(write(&one, &two, &stopped), rotating, reading);
    assert!(rotations == 3 && reads > 0);
    let (people, messages) = (wrote.people, wrote.messages);
    assert_eq!(database::count(&one.database, CONTACTS).await, i64::try_from(people).unwrap());
    let stored = "SELECT count(*) FROM event WHERE type = 'message.received'";
    assert_eq!(database::count(&one.database, stored).await, i64::try_from(messages).unwrap());
    assert_eq!(database::count(&one.database, "SELECT count(*) FROM contact_identifier WHERE version <> 4").await, 0);
    // Each of them with all that they said, by number and by id.
    let mut found = 0;
    for person in 0..people {
        let by_number = events_of(&two, json!({ "phone": format!("4915188{person:05}") })).await;
        let by_id = events_of(&one, json!({ "user_id": format!("DE.8000{person:010}") })).await;
        assert!(by_number.is_some() && by_number == by_id, "{person}: {by_number:?} {by_id:?}");
        found += by_number.unwrap();
    }
    let told =
        u64::try_from(database::count(&one.database, "SELECT count(*) FROM event WHERE type = 'contact.merged'").await);
    assert_eq!(found, messages + told.unwrap(), "nothing is filed under somebody who cannot be found");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_operators_at_once_rotate_once_or_twice_and_leave_nothing_of_before() {
    let app = TestApp::spawn().await;
    for number in 0..20 {
        says(&app, Some(&format!("49151888000{number:02}")), None, &format!("wamid.{number}")).await;
    }
    let environment = environment(&app);
    let words = ["keys", "rotate", "index"];
    let (one, two) = tokio::join!(said(&words, &environment), said(&words, &environment));
    assert!(one.0 || two.0, "{one:?} {two:?}");
    rotate(&app).await;
    let versions = open(&app).await.store.index_versions(TENANT).await.unwrap();
    assert!(versions.new == versions.oldest && (3..=4).contains(&versions.new), "{versions:?}");
    let others = format!("SELECT count(*) FROM contact_identifier WHERE version <> {}", versions.new);
    assert_eq!(database::count(&app.database, &others).await, 0);
    assert_eq!(events_of(&app, json!({ "phone": "4915188800007" })).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_is_changing_is_passed_over_and_looked_at_again() {
    use sqlx::{Connection, Executor, PgConnection};
    let app = TestApp::spawn().await;
    let base = open(&app).await;
    for number in [ANA, BOB] {
        says(&app, Some(number), None, &format!("wamid.{number}")).await;
    }
    put_in_force(&base).await;
    let mut rival = PgConnection::connect(&app.database).await.unwrap();
    rival.execute("BEGIN; UPDATE contact_identifier SET contact_id = contact_id WHERE ctid = (SELECT min(ctid) FROM contact_identifier)").await.unwrap();
    let rehash = Rehash::new(base.store.clone(), base.keyring.clone(), TENANT);
    for _ in 0..4 {
        assert!(matches!(rehash.go_on().await.unwrap(), Walked::To(_)), "not through while one is left");
    }
    assert_eq!(database::count(&app.database, OLD).await, 1);
    rival.execute("COMMIT").await.unwrap();
    rotate(&app).await;
    assert_eq!(database::count(&app.database, OLD).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_step_waits_for_those_who_add_people_by_the_key_of_before() {
    use sqlx::{Connection, Executor, PgConnection};
    let app = TestApp::spawn().await;
    let base = open(&app).await;
    until("the process knows the next key", PATIENCE, async || {
        matches!(base.keyring.next_index_key(TENANT).await.unwrap(), IndexKey::Ready(2))
    })
    .await;
    // As a batch that has asked for the version and is not committed yet.
    let mut rival = PgConnection::connect(&app.database).await.unwrap();
    rival.execute("BEGIN; SELECT version FROM index_version FOR KEY SHARE").await.unwrap();
    let refused = base.store.step_index_version(TENANT, 2, base.clock.now()).await.unwrap_err();
    assert!(refused.is_retryable());
    says(&app, Some(ANA), None, "wamid.1").await;
    assert_eq!(database::count(&app.database, OLD).await, 1);
    rival.execute("COMMIT").await.unwrap();
    assert!(base.store.step_index_version(TENANT, 2, base.clock.now()).await.unwrap());

    // A batch of the gateway holds it: one that waits for something else behind its look at the version.
    let mut rival = PgConnection::connect(&app.database).await.unwrap();
    rival.execute("BEGIN; LOCK TABLE contact_identifier IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let writing = says(&app, Some(BOB), None, "wamid.2");
    let holding = async {
        let held = "SELECT count(*) FROM pg_locks WHERE relation = 'index_version'::regclass AND mode = 'RowShareLock'";
        until("the batch holds the version", PATIENCE, async || database::count(&app.database, held).await > 0).await;
        rival.execute("COMMIT").await.unwrap();
    };
    tokio::join!(writing, holding);
    tokio::time::timeout(Duration::from_secs(30), walk(&base)).await.unwrap();
    assert_eq!(database::count(&app.database, OLD).await, 0);
}
