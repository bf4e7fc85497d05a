//! What was taken for a message that does not go is given back: the place of its person, and the time of its channel.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use waxseal::clock::SystemClock;
use waxseal::simulator::Settings;

use super::{hold, ledger, queue, release, strict};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

const ANA: &str = "4915199900011";
/// Nothing goes on the wire as long as this is open: what goes is listed before.
const UNLISTED: &str = "BEGIN; LOCK TABLE on_the_wire IN EXCLUSIVE MODE";

/// A gateway whose lane is at work, with a message that it has in hand and that cannot go yet; and what keeps it.
async fn in_hand(app: &TestApp) -> (String, PgConnection) {
    app.simulator.configure(Settings { ladder: strict().ladder, ..Settings::default() });
    let first = queue(app, "4915199900099", "first").await;
    let path = format!("/v1/messages/{first}");
    until("the lane is at work", PATIENCE, async || app.get(&path).await["state"] == "accepted").await;
    let mut keeper = PgConnection::connect(&app.database).await.unwrap();
    keeper.execute(UNLISTED).await.unwrap();
    let message = queue(app, ANA, "in hand").await;
    let claimed = "SELECT count(*) FROM outbox WHERE sending_epoch >= 0";
    database::until(&app.database, claimed, 1).await;
    (message, keeper)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_when_its_person_is_restricted_does_not_go() {
    let app = TestApp::spawn().await;
    let (message, mut keeper) = in_hand(&app).await;
    let contacts = app.get("/v1/contacts").await;
    let ana = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == ANA).unwrap()["id"].clone();
    let restriction = app.api(Method::PUT, &format!("/v1/contacts/{}/restriction", ana.as_str().unwrap()));
    let answer = restriction.json(&json!({ "reason": "x" })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    app.directory_is_read().await;
    keeper.execute("ROLLBACK").await.unwrap();
    let path = format!("/v1/messages/{message}");
    until("it has failed", PATIENCE, async || app.get(&path).await["state"] == "failed").await;
    assert_eq!(app.get(&path).await["error_code"], 131_026);
    assert_eq!(ledger(&app).await["requests"], 1, "the first alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_a_person_is_given_back_also_while_a_claim_takes_another() {
    let app = TestApp::spawn().await;
    let (_, mut keeper) = in_hand(&app).await;
    // Meta takes none for an hour, so that nothing is tried again meanwhile.
    let fault = json!({ "messages": { "code": 130_429, "http": 429, "retry_after": 3600 } });
    app.control(Method::PUT, "faults", fault).await;
    // The first message has used a place of its own: it was sent to somebody else.
    let mut claim = PgConnection::connect(&app.database).await.unwrap();
    let taken = "BEGIN; UPDATE pair_pace SET taken_until = taken_until + interval '6 seconds'
                 WHERE contact_id = (SELECT contact_id FROM outbox)";
    claim.execute(taken).await.unwrap();
    keeper.execute("ROLLBACK").await.unwrap();
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH back AS%'";
    database::until(&app.database, waits, 1).await;
    let taken = "SELECT (extract(epoch FROM taken_until) * 1000)::bigint FROM pair_pace
                 WHERE contact_id = (SELECT contact_id FROM outbox)";
    let before = database::count(&app.database, taken).await;
    claim.execute("COMMIT").await.unwrap();
    // One was taken by the claim, and one given back.
    let unmarked = "SELECT count(*) FROM outbox WHERE sending_epoch IS NULL";
    database::until(&app.database, unmarked, 1).await;
    assert_eq!(database::count(&app.database, taken).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_takes_no_place_of_its_people_and_no_time_of_its_channel() {
    const PEOPLE: i64 = 20;
    let one_a_second = [("WAXSEAL_SEND__MESSAGES_PER_SECOND", "1")];
    let app = TestApp::spawn_with(Arc::new(SystemClock), &one_a_second).await;
    app.simulator.configure(Settings { ladder: strict().ladder, ..Settings::default() });
    hold(&app).await;
    for number in 0..PEOPLE {
        queue(&app, &format!("49151999{number:05}"), "x").await;
    }
    database::sabotage(&app.database, "ALTER TABLE message RENAME COLUMN on_doubt TO unreadable").await;
    release(&app).await;
    // All were claimed once at least, a second of the channel's time each, and nothing is left of that.
    let given_back = format!(
        "SELECT count(*) FROM channel_pace c WHERE taken_until <= now() + interval '2 seconds'
           AND (SELECT count(*) FROM pair_pace) = {PEOPLE}
           AND NOT EXISTS (SELECT 1 FROM outbox WHERE sending_epoch IS NOT NULL)
           AND NOT EXISTS (SELECT 1 FROM pair_pace WHERE taken_until > now())"
    );
    database::until(&app.database, &given_back, 1).await;
    assert_eq!(ledger(&app).await["requests"], 0);
    database::sabotage(&app.database, "ALTER TABLE message RENAME COLUMN unreadable TO on_doubt").await;
    until("they go on", PATIENCE, async || ledger(&app).await["requests"].as_u64() >= Some(1)).await;
}
