//! The load generator of `benches/gate`, against stand-ins: what it sends is what Meta sends, and what it reports is so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what is missing fails the test")]

#[path = "../benches/gate/closed.rs"]
mod closed;
#[path = "../benches/gate/histogram.rs"]
mod histogram;
#[path = "../benches/gate/http1.rs"]
mod http1;
#[path = "../benches/gate/load.rs"]
mod load;
#[path = "../benches/gate/open.rs"]
mod open;
#[path = "../benches/gate/process.rs"]
mod process;
#[path = "../benches/gate/receiver.rs"]
mod receiver;
#[path = "../benches/gate/webhook.rs"]
mod webhook;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use waxseal::domain::event::{EventType, Item, Subject};
use waxseal::meta::parse::parse;
use waxseal::meta::signature::{RawBody, WebhookSecret};
use waxseal::secret::AppSecret;

use load::{Meta, POOL, People, Target, Window};
use process::Watched;
use webhook::{Business, Facts, Kind, Webhook};

const BUSINESS: Business = Business { waba_id: "1", phone_number_id: "2", app_secret: "a secret of the test" };
const NOW: i64 = 1_795_000_000;

/// Through the gateway's own proof and parser.
fn received(request: &[u8]) -> Vec<Item> {
    let text = std::str::from_utf8(request).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    assert_eq!(header("Content-Length:"), body.len().to_string());
    let secret = WebhookSecret::new(&AppSecret::new(BUSINESS.app_secret));
    let body = RawBody::new(Bytes::copy_from_slice(body.as_bytes()));
    let (verified, ()) =
        body.verify(Some(header("X-Hub-Signature-256:").as_bytes()), [((), &secret)].into_iter()).unwrap();
    parse(&verified)
}

fn subject(item: &Item) -> String {
    match &item.subject {
        Subject::Message(wamid) => wamid.as_str().to_owned(),
        Subject::Exact(_) => panic!("the item has no message id"),
    }
}

#[test]
fn every_kind_of_webhook_is_proved_and_understood() {
    let types = [
        (Kind::Message, EventType::MessageReceived),
        (Kind::Sent, EventType::MessageSent),
        (Kind::Delivered, EventType::MessageDelivered),
        (Kind::Read, EventType::MessageRead),
    ];
    for (kind, event_type) in types {
        let mut webhook = Webhook::new(BUSINESS, kind, 3, 7).unwrap();
        let facts = |item: usize| Facts { person: item as u64, message: 100 + item as u64, at: NOW };
        let items = received(webhook.renewed(facts));
        assert_eq!(items.len(), 3, "{kind:?}");
        assert!(items.iter().all(|item| item.event_type == event_type), "{kind:?}");
        assert!(items.iter().all(|item| item.occurred_at.unwrap().unix_timestamp() == NOW), "{kind:?}");
        let people: HashSet<String> = items
            .iter()
            .flat_map(|item| &item.person.as_ref().unwrap().identifiers)
            .map(waxseal::domain::person::Identifier::canonical)
            .collect();
        assert_eq!(people.len(), 6, "{kind:?}: a number and an id for each of three people");
    }
}

#[test]
fn a_message_has_the_size_of_a_real_one() {
    let mut webhook = Webhook::new(BUSINESS, Kind::Message, 1, 7).unwrap();
    webhook.renewed(|_| Facts { person: 1, message: 1, at: NOW });
    assert!((700..900).contains(&webhook.body().len()), "{}", webhook.body().len());
}

#[test]
fn no_two_messages_are_one_and_the_statuses_of_a_message_are_about_it() {
    let mut message = Webhook::new(BUSINESS, Kind::Message, 1, 7).unwrap();
    let mut other_run = Webhook::new(BUSINESS, Kind::Message, 1, 8).unwrap();
    let mut read = Webhook::new(BUSINESS, Kind::Read, 1, 7).unwrap();
    let about = |webhook: &mut Webhook, number| {
        let items = received(webhook.renewed(|_| People::Known.facts(number, NOW)));
        subject(&items[0])
    };
    let numbers = 0..2000;
    let seen: HashSet<String> = numbers.clone().map(|number| about(&mut message, number)).collect();
    assert_eq!(seen.len(), 2000);
    assert!(numbers.clone().all(|number| !seen.contains(&about(&mut other_run, number))));
    assert!(numbers.into_iter().all(|number| seen.contains(&about(&mut read, number))));
}

#[test]
fn a_consumer_finds_the_number_of_a_message_in_what_it_is_told() {
    let mut webhook = Webhook::new(BUSINESS, Kind::Message, 1, 7).unwrap();
    for message in [0, 1, 0xffff_ffff_ffff] {
        let request = webhook.renewed(|_| Facts { person: 3, message, at: NOW });
        assert_eq!(webhook::message_number(request), Some(message));
    }
    assert_eq!(webhook::message_number(b"nothing of that kind"), None);
}

#[test]
fn known_people_are_all_of_the_pool_and_strangers_are_never_met_again() {
    let known: HashSet<u64> = (0..200_000).map(|number| People::Known.facts(number, NOW).person).collect();
    assert_eq!(known, (0..POOL).collect());
    let strangers: HashSet<u64> = (0..200_000).map(|number| People::New.facts(number, NOW).person).collect();
    assert_eq!(strangers.len(), 200_000);
    assert!(known.is_disjoint(&strangers));
}

#[test]
fn a_quantile_is_off_by_two_percent_at_most() {
    let mut one = histogram::Histogram::default();
    let mut other = histogram::Histogram::default();
    for micros in 1..=100_000u64 {
        let half = if micros % 2 == 0 { &mut one } else { &mut other };
        half.record(Duration::from_micros(micros));
    }
    one.add(&other);
    for (share, exact) in [(0.0, 0.000_001), (0.5, 0.05), (0.99, 0.099), (0.999, 0.0999), (1.0, 0.1)] {
        let quantile = one.quantile(share).as_secs_f64();
        assert!(quantile >= exact && quantile <= exact * 1.02, "{share}: {quantile}");
    }
    assert_eq!(histogram::Histogram::default().quantile(0.5), Duration::ZERO);
}

/// A gateway that takes its time for each answer, one connection at a time.
async fn slow_gateway(per_answer: Duration) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = http1::Connection::new(stream).unwrap();
        while connection.receive().await.unwrap().is_some() {
            tokio::time::sleep(per_answer).await;
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    });
    address
}

fn target(address: std::net::SocketAddr) -> Target {
    Target { address, watched: Watched { gateway: std::process::id(), postgres: std::process::id() } }
}

const WINDOW: Window = Window { warm_up: Duration::from_millis(50), measured: Duration::from_millis(200) };

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_counts_what_was_answered() {
    let gateway = receiver::Receiver::start().await.unwrap();
    let meta = Arc::new(Meta::new(BUSINESS, 1));
    let shape = closed::Shape { connections: 4, items: 10, people: People::Known };
    let (tally, usage) = closed::run(target(gateway.address), &meta, shape, WINDOW).await.unwrap();
    assert!(usage.is_none_or(|usage| usage.cpu.generator > 0.0 && usage.memory.postgres > 1 << 20));
    assert_eq!(tally.acknowledged, gateway.arrived() * 10);
    assert!(tally.items > 0 && tally.items < tally.acknowledged, "the warm-up does not count");
    assert_eq!(meta.numbers(0), tally.acknowledged);
    closed::introduce(target(gateway.address), &meta).await.unwrap();
    assert_eq!(meta.numbers(0), tally.acknowledged + POOL);
}

/// One answer takes 5 ms, and one update comes each millisecond: a generator that waited for answers would report 5 ms.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_does_not_hide_that_the_gateway_falls_behind() {
    let gateway = slow_gateway(Duration::from_millis(5)).await;
    let meta = Arc::new(Meta::new(BUSINESS, 1));
    let schedule = open::Schedule { rate: 1000, connections: 1 };
    let (tally, _) = open::run(target(gateway), &meta, schedule, WINDOW).await.unwrap();
    assert_eq!(tally.acknowledged, 250);
    assert!(tally.latency.quantile(0.5) > Duration::from_millis(300), "{:?}", tally.latency.quantile(0.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_loop_keeps_its_rate_whatever_the_answers() {
    let gateway = receiver::Receiver::start().await.unwrap();
    let meta = Arc::new(Meta::new(BUSINESS, 1));
    let schedule = open::Schedule { rate: 2000, connections: 8 };
    let (tally, _) = open::run(target(gateway.address), &meta, schedule, WINDOW).await.unwrap();
    assert_eq!(tally.acknowledged, 500);
    assert_eq!(gateway.arrived(), 500);
    assert!(gateway.wait_for(500, Duration::ZERO).await.is_some());
}

#[tokio::test]
async fn work_is_seen_where_there_is_a_proc() {
    let own = target("127.0.0.1:1".parse().unwrap()).watched;
    let Some(before) = own.cpu() else { return };
    let mut spun = 0u64;
    // At least three of the ticks that processor time is counted in.
    while own.cpu().unwrap().generator - before.generator < 0.03 {
        spun = (0..100_000u64).fold(spun, u64::wrapping_add);
    }
    assert!(own.cpu().unwrap().percent_since(&before, 1.0).gateway > 2.0, "{spun}");
    assert!(own.memory().unwrap().gateway > 1 << 20);
    assert!(process::parent(std::process::id()).is_some());
}
