//! More comes than the database takes.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::{Response, StatusCode};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, timeout};

use crate::support::app::APP_SECRET;
use crate::support::estate::Estate;
use crate::support::{database, webhook};

/// The least that the configuration allows.
const QUEUE: usize = 4 << 20;
const EVENTS: &str = "SELECT count(*) FROM event";

async fn post(estate: &Estate, client: &reqwest::Client, name: &str, bytes: usize) -> Response {
    let body = webhook::text("4915199900011", &format!("wamid.{name}"), &"x".repeat(bytes));
    let signature = webhook::signature(APP_SECRET, &body);
    let request = client.post(estate.gateway.webhook()).header("x-hub-signature-256", signature).body(body);
    request.send().await.unwrap()
}

/// Holds what every batch needs, until it is dropped or commits.
async fn block(estate: &Estate) -> PgConnection {
    let mut connection = PgConnection::connect(&estate.database).await.unwrap();
    connection.execute("BEGIN; LOCK TABLE event IN ACCESS EXCLUSIVE MODE").await.unwrap();
    connection
}

async fn refused_at_once(estate: &Estate, client: &reqwest::Client) {
    for name in ["refused.1", "refused.2", "refused.3"] {
        let began = Instant::now();
        let answer = post(estate, client, name, 600_000).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_at_once_and_keeps_what_it_has() {
    let estate = Estate::start(database::fresh().await, &[("WAXSEAL_INGEST__QUEUE_BYTES", &QUEUE.to_string())]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let lock = block(&estate).await;
    let names = ["a", "b", "c", "d"];
    let waiting = futures_util::future::join_all(names.map(|name| post(&estate, &client, name, 950_000)));
    let meanwhile = async {
        let full = || async { estate.gateway.readiness().await == Some(503) };
        crate::support::wait::until("the queue is nearly full", Duration::from_secs(4), full).await;
        refused_at_once(&estate, &client).await;
        lock.close().await.unwrap();
    };
    let (answers, ()) = tokio::join!(waiting, meanwhile);
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::OK), "{answers:?}");
    assert_eq!(database::count(&estate.database, EVENTS).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_plenty_waits_further_bodies_are_left_unread_and_stored_in_the_end() {
    let estate = Estate::start(database::fresh().await, &[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let lock = block(&estate).await;
    let (mut posted, mut sent) = (FuturesUnordered::new(), 0);
    // How many come in before their signatures are proved is a matter of luck.
    while estate.gateway.metric("waxseal_ingest_held_back_total").await < 1.0 {
        assert!(sent < 30, "none of {sent} was held back");
        let (estate, client, name) = (&estate, &client, format!("n{sent}"));
        posted.push(async move { post(estate, client, &name, 950_000).await.status() });
        sent += 1;
        // Begins it, and lets those that have begun go on.
        let _none_ends = timeout(Duration::from_millis(100), posted.next()).await;
    }
    lock.close().await.unwrap();
    assert!(posted.all(async |status| status == StatusCode::OK).await);
    assert_eq!(database::count(&estate.database, EVENTS).await, sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_too_long_is_answered_503_and_a_repetition_doubles_nothing() {
    let estate = Estate::start(database::fresh().await, &[("WAXSEAL_INGEST__QUEUE_BYTES", &QUEUE.to_string())]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut lock = block(&estate).await;
    let names = ["a", "b", "c", "d"];
    let began = Instant::now();
    let answers = futures_util::future::join_all(names.map(|name| post(&estate, &client, name, 950_000))).await;
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE), "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    refused_at_once(&estate, &client).await;
    lock.execute("ROLLBACK").await.unwrap();

    crate::support::wait::until("there is room again", Duration::from_secs(10), async || {
        estate.gateway.readiness().await == Some(200)
    })
    .await;
    for name in names {
        assert_eq!(post(&estate, &client, name, 950_000).await.status(), StatusCode::OK);
    }
    assert_eq!(database::count(&estate.database, EVENTS).await, 4);
}
