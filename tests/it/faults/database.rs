//! Postgres stops, crashes, stays away.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::app::variables;
use crate::support::database::{count, fresh};
use crate::support::estate::{Estate, Folder, durable};
use crate::support::load::{Load, Try, answered, audit};
use crate::support::process::{Ports, Process, waxseal};
use crate::support::wait::{PATIENCE, until};
use crate::support::wire::Wire;

/// The commit time-out of a webhook is 5 s.
const QUICKLY: Duration = Duration::from_secs(6);

/// Begun and answered between the two.
fn within(tries: &[Try], from: Instant, to: Instant) -> Vec<&Try> {
    tries.iter().filter(|one| one.began >= from && one.began + one.took <= to).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_is_away_webhooks_are_refused_quickly_and_none_is_lost() {
    let folder = Folder::new("away");
    let postgres = durable(&folder).await;
    let estate = Estate::start(postgres.dsn().expose().to_owned(), &[]).await;
    let receiver = estate.receiver().await;
    let load = Load::start(&estate.gateway.webhook(), 4);
    load.accepted(50).await;

    postgres.stop().await;
    let stopped = Instant::now();
    load.until("it is away for ten seconds", |tries| {
        tries.iter().any(|one| one.status == Some(503) && one.began > stopped + Duration::from_secs(10))
    })
    .await;
    assert_eq!(estate.gateway.readiness().await, Some(503));
    let starting = Instant::now();
    let _postgres = durable(&folder).await;
    load.accepted(50).await;

    let tries = load.finish().await;
    let meanwhile = within(&tries, stopped, starting);
    assert!(meanwhile.iter().all(|one| one.status == Some(503)), "{meanwhile:?}");
    let slowest = tries.iter().map(|one| one.took).max().unwrap();
    println!("{} refused while away, the slowest answer took {slowest:?}", meanwhile.len());
    assert!(slowest < QUICKLY);
    audit(&estate.database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_of_postgres_everything_answered_200_is_there() {
    let folder = Folder::new("crash");
    let mut postgres = durable(&folder).await;
    let estate = Estate::start(postgres.dsn().expose().to_owned(), &[]).await;
    let receiver = estate.receiver().await;
    let load = Load::start(&estate.gateway.webhook(), 4);
    for _ in 0..3 {
        load.accepted(50).await;
        postgres.kill_hard().await;
        postgres = durable(&folder).await;
    }
    load.accepted(50).await;
    let tries = load.finish().await;
    assert!(tries.iter().all(|one| matches!(one.status, Some(200 | 503))));
    assert_eq!(answered(&tries).len(), tries.iter().filter(|one| one.status == Some(200)).count());
    audit(&estate.database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_lease_leaves_no_lane_behind() {
    let folder = Folder::new("long");
    let postgres = durable(&folder).await;
    let more = [("WAXSEAL_DATABASE__ACQUIRE_TIMEOUT_MS", "100")];
    let estate = Estate::start(postgres.dsn().expose().to_owned(), &more).await;
    let receiver = estate.receiver().await;
    let load = Load::start(&estate.gateway.webhook(), 2);
    load.accepted(20).await;
    let mut tries = load.finish().await;
    // Idle lanes: one that has something to record waits for the database and gives itself back.
    let nothing_owed = async || {
        count(&estate.database, "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)").await
            == 0
    };
    until("all is delivered", PATIENCE, nothing_owed).await;

    postgres.stop().await;
    until("the lanes are given up", PATIENCE, async || estate.gateway.metric("waxseal_lanes_owned").await < 1.0).await;
    let (given_up, load) = (Instant::now(), Load::start(&estate.gateway.webhook(), 1));
    // By then the attempt to give them back has failed as well.
    load.until("it is away for some seconds more", |tries| {
        tries.iter().any(|one| one.status == Some(503) && one.began > given_up + Duration::from_secs(3))
    })
    .await;
    let _postgres = durable(&folder).await;
    load.accepted(20).await;
    tries.extend(load.finish().await);
    audit(&estate.database, &receiver, &tries).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_database_that_keeps_silent() {
    let database = fresh().await;
    let wire = Wire::to(&database).await;
    wire.fall_silent();
    let environment = variables(&wire.url, "http://127.0.0.1:9");
    let mut gateway = Process::launch(waxseal(&["serve"], &environment), Ports::free());
    until("it has tried more than once", PATIENCE, async || gateway.said().matches("trying again").count() > 1).await;
    assert!(!gateway.has_ended(), "{}", gateway.said());
    wire.restore();
    until("it is ready", PATIENCE, async || gateway.readiness().await == Some(200)).await;
}
