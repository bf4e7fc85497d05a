//! The gateway is killed, told to stop, replaced.

use std::time::Duration;

use rustix::process::Signal;
use sqlx::{Connection, Executor, PgConnection};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::support::app::APP_SECRET;
use crate::support::estate::Estate;
use crate::support::load::{Load, audit};
use crate::support::wait::until;
use crate::support::{Receiver, database, webhook};

/// The configured time to drain.
const DRAIN: Duration = Duration::from_secs(25);
/// Lease, the look for free lanes, and a busy machine.
const TAKEOVER: Duration = Duration::from_secs(20);

const OWNED: &str = "SELECT count(*) FROM lane WHERE worker_id IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_again_and_again_loses_nothing_it_answered_200() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let receiver = estate.receiver().await;
    let load = Load::start(&estate.gateway.webhook(), 4);
    for _ in 0..3 {
        load.accepted(60).await;
        estate.kill_and_restart().await;
    }
    load.accepted(60).await;
    let tries = load.finish().await;
    assert!(tries.iter().any(|one| one.status.is_none()), "the kill was noticed");
    audit(&estate.database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lanes_of_a_killed_gateway_are_taken_over_in_time() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let receiver = estate.receiver().await;
    // The audit log has a lane too.
    let both = async || estate.gateway.metric("waxseal_lanes_owned").await > 2.0;
    until("the first owns the lanes of endpoint and channel", TAKEOVER, both).await;
    let second = estate.second().await;
    let load = Load::start(&second.webhook(), 2);
    load.accepted(20).await;
    receiver.wait_for(20).await;

    estate.gateway.kill_hard().await;
    let killed = Instant::now();
    until("an event that came after the kill arrives", TAKEOVER, async || {
        let first = load.tries().into_iter().find(|one| one.began > killed && one.status == Some(200));
        let arrived = |wamid: &str| receiver.received().iter().any(|one| one.json()["data"]["item"]["id"] == wamid);
        first.is_some_and(|first| arrived(&first.wamid))
    })
    .await;
    println!("taken over after {:?}", killed.elapsed());
    let tries = load.finish().await;
    audit(&estate.database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_told_to_stop_under_load_stores_what_it_answered_and_gives_its_lanes_back() {
    let mut estate = Estate::start(database::fresh().await, &[("WAXSEAL_INGEST__WRITERS", "2")]).await;
    let receiver = estate.receiver().await;
    let load = Load::start(&estate.gateway.webhook(), 6);
    for _ in 0..2 {
        load.accepted(60).await;
        estate.gateway.signal(Signal::TERM);
        let told = Instant::now();
        let status = estate.gateway.ended().await;
        println!("ended with {status} after {:?}", told.elapsed());
        assert_eq!(status.code(), Some(0), "{}", estate.gateway.said());
        assert!(told.elapsed() < DRAIN / 2, "nothing was in its way");
        assert_eq!(database::count(&estate.database, OWNED).await, 0);

        let delivered = receiver.received().len();
        let began = Instant::now();
        estate.gateway = estate.in_its_place().await;
        receiver.wait_for(delivered + 1).await;
        println!("the next one delivered after {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "it did not wait for a lease to run out");
    }
    let tries = load.finish().await;
    audit(&estate.database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batcher_that_waited_beside_a_busy_one_stops_with_it() {
    let mut estate = Estate::start(database::fresh().await, &[("WAXSEAL_INGEST__WRITERS", "2")]).await;
    let (client, url) = (reqwest::Client::new(), estate.gateway.webhook());
    let post = async |from: &str, wamid: &str| {
        let body = webhook::text(from, wamid, "Moin");
        let signature = webhook::signature(APP_SECRET, &body);
        let request = client.post(&url).header("x-hub-signature-256", signature).body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("4915199900011", "wamid.a").await, 200);
    let mut lock = PgConnection::connect(&estate.database).await.unwrap();
    lock.execute("BEGIN; LOCK TABLE contact_identifier IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let held_up = post("4915199900012", "wamid.b"); // of somebody new, who has to be entered first
    let meanwhile = async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("the new one is held up", TAKEOVER, async || database::count(&estate.database, waiting).await == 1).await;
        assert_eq!(post("4915199900011", "wamid.c").await, 200);
        estate.gateway.signal(Signal::TERM);
        lock.close().await.unwrap();
    };
    assert_eq!(tokio::join!(held_up, meanwhile).0, 200);
    let told = Instant::now();
    assert_eq!(estate.gateway.ended().await.code(), Some(0));
    assert!(told.elapsed() < DRAIN / 2, "{:?}", told.elapsed());
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM event").await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_gateway_is_alive_but_not_ready() {
    let more = [("WAXSEAL_DELIVER__TIMEOUT_MS", "4000")];
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    estate.endpoint(&format!("http://{}/", hanging.local_addr().unwrap())).await;
    let load = Load::start(&estate.gateway.webhook(), 1);
    load.accepted(1).await;
    let tries = load.finish().await;
    let _never_answered = hanging.accept().await.unwrap();

    estate.gateway.signal(Signal::TERM);
    until("it says that it is not ready", DRAIN, async || estate.gateway.readiness().await == Some(503)).await;
    assert_eq!(estate.gateway.ended().await.code(), Some(0));
    // What was on the wire is recorded as failed, and owed to the next process.
    let all = i64::try_from(tries.len()).unwrap();
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM attempt WHERE class = 'timeout'").await, all);
    assert_eq!(
        database::count(
            &estate.database,
            "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)"
        )
        .await,
        all
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_never_answers_holds_up_no_other() {
    let estate = Estate::start(database::fresh().await, &[]).await;
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    estate.endpoint(&format!("http://{}/", hanging.local_addr().unwrap())).await;
    let receiver: Receiver = estate.receiver().await;
    let load = Load::start(&estate.gateway.webhook(), 2);
    let _never_answered = hanging.accept().await.unwrap();
    load.accepted(40).await;
    let tries = load.finish().await;
    let last = Instant::now();
    audit(&estate.database, &receiver, &tries).await;
    println!("all were there {:?} after the last 200", last.elapsed());
    assert!(last.elapsed() < Duration::from_secs(5));
    let owed = database::count(
        &estate.database,
        "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)",
    )
    .await;
    assert_eq!(usize::try_from(owed).unwrap(), tries.iter().filter(|one| one.status == Some(200)).count());
}
