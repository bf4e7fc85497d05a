//! The gateway dies with messages on the wire to Meta.

use std::collections::HashSet;

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use waxseal::clock::{Clock, ManualClock, SystemClock};

use super::sending_kills::{FORGET, HOLD, RELEASE};
use crate::support::app::PHONE_NUMBER_ID;
use crate::support::estate::Estate;
use crate::support::wait::{PATIENCE, until};
use crate::support::wire::Wire;
use crate::support::{TestApp, database};

const MESSAGES: usize = 40;

async fn simulator(estate: &Estate, path: &str) -> Value {
    let url = format!("{}/control/{path}", estate.simulator.base_url());
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

fn message(number: usize) -> Value {
    json!({ "messaging_product": "whatsapp", "to": format!("49151999{number:05}"), "type": "text", "text": { "body": "einmal" } })
}

async fn channel(estate: &Estate) -> Value {
    estate.get("/v1/channels").await["data"][0]["id"].clone()
}

async fn queue(estate: &Estate, messages: usize) -> Vec<String> {
    let channel = channel(estate).await;
    let mut ids = Vec::new();
    for number in 0..messages {
        let body = json!({ "channel_id": channel, "message": message(number) });
        let queued = estate.post("/v1/messages", &body, StatusCode::ACCEPTED).await;
        ids.push(queued["id"].as_str().unwrap().to_owned());
    }
    ids
}

async fn states(estate: &Estate, ids: &[String]) -> Vec<String> {
    let mut states = Vec::new();
    for id in ids {
        states.push(estate.get(&format!("/v1/messages/{id}")).await["state"].as_str().unwrap().to_owned());
    }
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_while_it_sends_sends_nothing_twice() {
    let more = [("WAXSEAL_SEND__MAX_IN_FLIGHT", "8")];
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let settings = waxseal::simulator::Settings { delay_ms: 300, ..Default::default() };
    estate.simulator.configure(settings);
    let ids = queue(&estate, MESSAGES).await;
    until("some are sent and more are owed", PATIENCE, async || {
        simulator(&estate, "ledger?summary=true").await["messages_accepted"].as_u64() >= Some(8)
    })
    .await;
    estate.kill_and_restart().await;
    let on_the_wire =
        database::count(&estate.database, "SELECT count(*) FROM outbox WHERE sending_epoch IS NOT NULL").await;
    assert!(on_the_wire > 0, "it died with messages on the wire");

    let owed = "SELECT count(*) FROM outbox";
    until("nothing is owed", PATIENCE, async || database::count(&estate.database, owed).await == 0).await;
    let mut ledger = Value::Null;
    let doubted = "SELECT count(*) FROM message WHERE state = 'in_doubt'";
    let took = until("Meta has accepted all that are not in doubt", PATIENCE, async || {
        ledger = simulator(&estate, "ledger").await;
        let doubted = usize::try_from(database::count(&estate.database, doubted).await).unwrap();
        ledger["messages"].as_array().unwrap().len() + doubted == MESSAGES
    })
    .await;
    assert_eq!(ledger["doubled"], json!({}));
    let accepted = ledger["messages"].as_array().unwrap();
    let distinct: HashSet<&str> =
        accepted.iter().map(|one| one["biz_opaque_callback_data"].as_str().unwrap()).collect();
    assert_eq!(distinct.len(), accepted.len());
    let states = states(&estate, &ids).await;
    assert!(states.iter().all(|state| state != "queued" && state != "failed"), "{states:?}");
    println!("{on_the_wire} on the wire, {} accepted, settled {took:?} after the outbox was empty", accepted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_answer_died_with_the_gateway_is_settled_by_its_status() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    // Meta has it, and its statuses wait until the gateway is dead.
    let control = format!("{}/control", estate.simulator.base_url());
    let client = reqwest::Client::new();
    let ladder = json!({ "ladder": { "gap_ms": 1000 } });
    client.put(format!("{control}/settings")).json(&ladder).send().await.unwrap().error_for_status().unwrap();
    // The answer never comes: the row that would record it cannot be written.
    let mut lock = PgConnection::connect(&estate.database).await.unwrap();
    lock.execute("BEGIN; LOCK TABLE event IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let ids = queue(&estate, 1).await;
    simulator(&estate, "ledger?messages=1&summary=true").await;
    estate.gateway.kill_hard().await;
    lock.close().await.unwrap();
    estate.gateway = estate.in_its_place().await;
    until("its status settles it", PATIENCE, async || states(&estate, &ids).await == ["read"]).await;
    assert_eq!(simulator(&estate, "ledger").await["messages"].as_array().unwrap().len(), 1);
    until("it is accepted", PATIENCE, async || {
        database::count(&estate.database, "SELECT count(*) FROM message WHERE state = 'accepted'").await == 1
    })
    .await;
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM outbox").await, 0);
}

async fn requests(estate: &Estate) -> Option<u64> {
    simulator(estate, "ledger?summary=true").await["requests"].as_u64()
}

async fn accepted_by_meta(estate: &Estate) -> usize {
    simulator(estate, "ledger").await["messages"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_committed_but_not_confirmed_is_sent_once_and_its_key_gives_it_back() {
    let database = database::fresh().await;
    let wire = Wire::to(&database).await;
    let mut estate = Estate::start(wire.url.clone(), &[]).await;
    let body = json!({ "channel_id": channel(&estate).await, "message": message(1) });
    // It dies before the lane has looked: what is marked when it dies is in doubt.
    database::sabotage(&database, HOLD).await;
    wire.lose_answers_to_commits();
    let ask =
        |estate: &Estate| estate.request(Method::POST, "/v1/messages").header("idempotency-key", "lost").json(&body);
    let asked = tokio::spawn(ask(&estate).send());
    until("it is committed", PATIENCE, async || database::count(&database, "SELECT count(*) FROM message").await == 1)
        .await;
    estate.gateway.kill_hard().await;
    assert!(asked.await.unwrap().is_err(), "the application never learns that it was taken");
    wire.restore();
    database::sabotage(&database, RELEASE).await;
    estate.gateway = estate.in_its_place().await;
    let read = "SELECT count(*) FROM event WHERE type = 'message.read'";
    until("it is sent and read", PATIENCE, async || database::count(&database, read).await == 1).await;
    assert_eq!(accepted_by_meta(&estate).await, 1);

    let again = ask(&estate).send().await.unwrap();
    assert_eq!(
        (again.status(), again.headers()["idempotent-replayed"].as_bytes()),
        (StatusCode::ACCEPTED, &b"true"[..])
    );
    assert_eq!(database::count(&database, "SELECT count(*) FROM message").await, 1);
    // Without the key, whoever asks again without having looked sends a second message.
    estate.post("/v1/messages", &body, StatusCode::ACCEPTED).await;
    until("another is sent", PATIENCE, async || accepted_by_meta(&estate).await == 2).await;
    let ledger = simulator(&estate, "ledger").await;
    assert_eq!(ledger["doubled"], json!({}), "two messages of ours, and not one twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_mirror_that_was_on_the_wire_when_the_gateway_died_is_in_doubt_and_not_sent_again() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let ladder = waxseal::simulator::Ladder { enabled: false, ..Default::default() }; // no status settles the doubt
    let settings = waxseal::simulator::Settings { delay_ms: 120_000, ladder, ..Default::default() };
    estate.simulator.configure(settings);
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
    let asked = tokio::spawn(estate.request(Method::POST, &path).json(&message(1)).send());
    until("Meta is asked", PATIENCE, async || requests(&estate).await == Some(1)).await;
    estate.gateway.kill_hard().await;
    assert!(asked.await.unwrap().is_err());
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM outbox WHERE sending_epoch = -1").await, 1);

    // Another gateway, with a Meta of its own, when the answer counts as lost.
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let next = TestApp::spawn_on(estate.database.clone(), clock.clone(), &[]).await;
    clock.advance(time::Duration::minutes(7));
    let doubted = "SELECT count(*) FROM message WHERE state = 'in_doubt'";
    until("it is in doubt", PATIENCE, async || database::count(&estate.database, doubted).await == 1).await;
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM outbox").await, 0, "nothing is owed");
    let told = "SELECT count(*) FROM event WHERE type = 'message.in_doubt'";
    assert_eq!(database::count(&estate.database, told).await, 1);
    let asked_again = next.control(Method::GET, "ledger", json!(null)).await["requests"].as_u64();
    assert_eq!((requests(&estate).await, asked_again), (Some(1), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_marked_and_never_sent_is_in_no_doubt_but_sent_by_whoever_comes_next() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    queue(&estate, 1).await;
    let owed = "SELECT count(*) FROM outbox";
    until("the first is sent", PATIENCE, async || {
        accepted_by_meta(&estate).await == 1 && database::count(&estate.database, owed).await == 0
    })
    .await;
    // Its list of what is on the wire cannot be written, and so nothing goes.
    let mut lock = PgConnection::connect(&estate.database).await.unwrap();
    lock.execute("BEGIN; SELECT 1 FROM on_the_wire FOR UPDATE").await.unwrap();
    queue(&estate, 10).await;
    let marked = "SELECT count(*) FROM outbox WHERE sending_epoch >= 0";
    until("all are marked", PATIENCE, async || database::count(&estate.database, marked).await == 10).await;
    estate.gateway.kill_hard().await;
    let waiting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database::sabotage(&estate.database, &format!("SELECT pg_terminate_backend(pid) {waiting}")).await;
    until("its statements died with it", PATIENCE, async || {
        database::count(&estate.database, &format!("SELECT count(*) {waiting}")).await == 0
    })
    .await;
    lock.close().await.unwrap();
    assert_eq!(accepted_by_meta(&estate).await, 1, "nothing was sent");

    database::sabotage(&estate.database, FORGET).await;
    estate.gateway = estate.in_its_place().await;
    until("they are sent", PATIENCE, async || accepted_by_meta(&estate).await == 11).await;
    until("nothing is owed", PATIENCE, async || database::count(&estate.database, owed).await == 0).await;
    let doubted = "SELECT count(*) FROM event WHERE type = 'message.in_doubt'";
    assert_eq!(database::count(&estate.database, doubted).await, 0);
    assert_eq!(simulator(&estate, "ledger").await["doubled"], json!({}));
    let lists = "SELECT count(*) FROM on_the_wire";
    until("the list of the dead is gone", PATIENCE, async || database::count(&estate.database, lists).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_end_cannot_be_recorded_holds_back_no_other_and_is_never_sent_again() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let ladder = waxseal::simulator::Ladder { enabled: false, ..Default::default() }; // no status settles the doubt
    estate.simulator.configure(waxseal::simulator::Settings { ladder, ..Default::default() });
    database::sabotage(&estate.database, HOLD).await;
    let ids = queue(&estate, 20).await;
    let poison = format!(
        "ALTER TABLE message ADD CONSTRAINT poison CHECK (message_id <> '{}' OR state <> 'accepted') NOT VALID",
        ids[7]
    );
    database::sabotage(&estate.database, &poison).await;
    database::sabotage(&estate.database, RELEASE).await;
    let owed = "SELECT count(*) FROM outbox";
    until("the others are recorded", PATIENCE, async || database::count(&estate.database, owed).await == 1).await;
    assert_eq!(accepted_by_meta(&estate).await, 20);
    queue(&estate, 1).await;
    until("the lane goes on", PATIENCE, async || accepted_by_meta(&estate).await == 21).await;

    estate.gateway.kill_hard().await;
    database::sabotage(&estate.database, FORGET).await;
    estate.gateway = estate.in_its_place().await;
    until("the next owner has looked", PATIENCE, async || database::count(&estate.database, owed).await == 0).await;
    assert_eq!(states(&estate, &ids[7..8]).await, ["in_doubt"]);
    assert_eq!(simulator(&estate, "ledger").await["doubled"], json!({}));
    assert_eq!(accepted_by_meta(&estate).await, 21);
}
