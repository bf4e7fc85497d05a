//! Promise: several gateway processes on one database share the lanes, and one that stops hands them on at once.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::Instant;
use waxseal::ids::{EventId, TenantId};
use waxseal::store::deliveries::Wanted;
use waxseal::store::lanes::{Kind, OwnedLane};
use waxseal::store::rounds::{Again, AttemptRow, Dead, Owed, Round};

use crate::support::app::APP_SECRET;
use crate::support::estate::Estate;
use crate::support::load::{Load, audit};
use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::{Receiver, TestApp, database, webhook};

/// Lanes are counted and shared twice a second, on a busy machine.
const SOON: Duration = Duration::from_secs(8);
/// Far less than a lease.
const AT_ONCE: Duration = Duration::from_secs(5);
const ENDPOINTS: i64 = 6;

async fn lanes(process: &Process) -> i64 {
    process.metric("waxseal_lanes_owned").await as i64
}

async fn post(process: &Process, wamid: &str) {
    let body = webhook::text("4915199900011", wamid, "Moin");
    let signature = webhook::signature(APP_SECRET, &body);
    let request = reqwest::Client::new().post(process.webhook()).header("x-hub-signature-256", signature).body(body);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_the_lanes_and_one_that_is_told_to_stop_hands_them_on_at_once() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let mut receivers = Vec::new();
    for _ in 0..ENDPOINTS {
        receivers.push(estate.receiver().await);
    }
    // The channel has two lanes, for messages and for files, and the audit log has one.
    let all = ENDPOINTS + 3;
    until("one owns everything", SOON, async || lanes(&estate.gateway).await == all).await;
    let load = Load::start(&estate.gateway.webhook(), 2);
    load.accepted(20).await;
    let second = estate.second().await;
    let shared = until("both have their share", SOON, async || {
        let (one, other) = (lanes(&estate.gateway).await, lanes(&second).await);
        one + other == all && one.abs_diff(other) <= 1
    })
    .await;
    load.accepted(40).await;
    let tries = load.finish().await;
    for receiver in &receivers {
        audit(&estate.database, receiver, &tries).await;
    }

    estate.gateway.signal(Signal::TERM);
    let moved = until("the other owns everything", AT_ONCE, async || lanes(&second).await == all).await;
    assert_eq!(estate.gateway.ended().await.code(), Some(0));
    assert!(second.metric("waxseal_lane_takeovers_total").await < 1.0, "they were given, not taken");
    println!("shared after {shared:?}, handed on after {moved:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_another_process_took_in_arrives_with_and_without_calls_between_them() {
    for (notify, patience) in [("true", Duration::from_secs(20)), ("false", Duration::from_secs(20))] {
        let more = [("WAXSEAL_DELIVER__NOTIFY", notify)];
        let estate = Estate::start(database::fresh().await, &more).await;
        let receivers = [estate.receiver().await, estate.receiver().await, estate.receiver().await];
        let second = estate.second().await;
        // Of three endpoints, the audit log, and what goes out and comes in through the channel.
        let shared = async || [lanes(&estate.gateway).await, lanes(&second).await];
        until("both have lanes", SOON, async || shared().await == [3, 3]).await;
        let began = Instant::now();
        for number in 1..=10 {
            post(&second, &format!("wamid.{number}")).await;
            until("all have it", patience, async || receivers.iter().all(|one| one.received().len() >= number)).await;
        }
        println!("notify {notify}: ten events in {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_broken_off_because_the_gateway_stops_counts_as_no_attempt() {
    let more = [("WAXSEAL_DELIVER__TIMEOUT_MS", "120000")];
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    estate.endpoint(&format!("http://{}/", hanging.local_addr().unwrap())).await;
    // More comes in all the while, so that the lane has something else to do when it is told to stop.
    let load = Load::start(&estate.gateway.webhook(), 4);
    load.accepted(20).await;
    let _never_answered = hanging.accept().await.unwrap();
    let told = Instant::now();
    estate.gateway.signal(Signal::TERM);
    assert_eq!(estate.gateway.ended().await.code(), Some(0));
    println!("ended after {:?}", told.elapsed());
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM attempt").await, 0);
    let not_owed = "SELECT (SELECT count(*) FROM event) - (SELECT count(*) FROM delivery)";
    assert_eq!(database::count(&estate.database, not_owed).await, 0);
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM lane WHERE worker_id IS NOT NULL").await, 0);
    let _next = estate.in_its_place().await;
    let asked_again = tokio::time::timeout(AT_ONCE, hanging.accept()).await;
    assert!(asked_again.is_ok(), "the next one tries at once");
    load.finish().await;
}

/// Everything that a round may write, as the digits of one number.
const WRITTEN: &str = "SELECT (SELECT count(*) FROM delivery) * 1000 + (SELECT count(*) FROM delivery_retry) * 100
    + (SELECT count(*) FROM delivery_dead) * 10 + (SELECT count(*) FROM attempt)
    + (SELECT count(*) FROM lane WHERE failing_since IS NOT NULL) * 10000";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_its_lane_reads_and_writes_nothing_and_the_owner_everything() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let made = app.endpoint(&receiver, "standard").await;
    let id = made["id"].as_str().unwrap();
    let pause = app.api(reqwest::Method::PATCH, &format!("/v1/endpoints/{id}")).json(&json!({ "state": "paused" }));
    assert_eq!(pause.send().await.unwrap().status().as_u16(), 200);
    for number in 0..3 {
        app.webhook(webhook::text("4915199900011", &format!("wamid.{number}"), "Moin")).await;
    }
    database::settled(&app.database).await;
    let page = app.get("/v1/events").await;
    let events: Vec<EventId> =
        page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().parse().unwrap()).collect();
    let owed = |at: usize| Owed { event: events[at], postponed_to: None };
    let now = app.gateway.base().clock.now();
    let attempt = |at: usize| AttemptRow {
        event: events[at],
        number: 1,
        class: "timeout",
        http_status: None,
        millis: 1,
        request_bytes: 0,
        response_bytes: 0,
    };
    let dead = Dead { owed: owed(2), reason: "exhausted", attempts: 1, last_class: Some("timeout"), last_status: None };
    let round = |now: OffsetDateTime| Round {
        done: vec![owed(0)],
        again: vec![Again { owed: owed(1), at: now, attempts: 1 }],
        dead: vec![dead],
        attempts: vec![attempt(1), attempt(2)],
        failing_since: Some(Some(now)),
    };
    // The epoch rises when the lane is taken.
    database::until(&app.database, "SELECT count(*) FROM lane WHERE kind = 1 AND worker_id IS NOT NULL", 1).await;
    let epoch = database::count(&app.database, "SELECT epoch FROM lane WHERE kind = 1").await;
    let lane = |epoch| OwnedLane {
        tenant: TenantId::DEFAULT,
        kind: Kind::Endpoint,
        owner: id.parse().unwrap(),
        shard: 0,
        epoch,
    };
    let store = &app.gateway.base().store;
    let wanted = Wanted { fresh: 10, retries: 10, bytes: 1 << 20, in_hand: Vec::new(), held_back: Vec::new() };
    assert_eq!(store.due_deliveries(lane(epoch), &wanted, now).await.unwrap().len(), 3);
    for stale in [epoch - 1, epoch + 1] {
        assert!(store.due_deliveries(lane(stale), &wanted, now).await.unwrap().is_empty());
        assert!(!store.finish_round(lane(stale), &round(now), now).await.unwrap());
        let plain = Round { done: vec![owed(0)], ..Round::default() };
        assert!(!store.finish_round(lane(stale), &plain, now).await.unwrap());
        assert_eq!(database::count(&app.database, WRITTEN).await, 3_000);
    }
    assert!(store.finish_round(lane(epoch), &round(now), now).await.unwrap());
    assert_eq!(database::count(&app.database, WRITTEN).await, 10_112);
}
