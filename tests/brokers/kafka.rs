//! Kafka, played by the stand-in of its client: no server is to be had as a package.

use krafka::testing::FakeBroker;

use crate::gateway::{PATIENCE, Received, attempts, check_complete, deliver_all, endpoint, send};
use crate::support::{TestApp, database, wait};

const TOPIC: &str = "whatsapp";

fn received(kafka: &FakeBroker) -> Vec<(String, Received)> {
    let records = kafka.all_records(TOPIC).unwrap();
    let one = |record: &krafka::consumer::ConsumerRecord| {
        let headers: Vec<(String, Vec<u8>)> =
            record.headers.iter().map(|header| (header.0.clone(), header.1.as_ref().unwrap().to_vec())).collect();
        let id = headers.iter().find(|(name, _)| name == "webhook-id").unwrap().1.clone();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let key = String::from_utf8(record.key.as_ref().unwrap().to_vec()).unwrap();
        (key, Received::new(&String::from_utf8(id).unwrap(), headers, record.value.as_ref().unwrap()))
    };
    records.iter().map(one).collect()
}

fn url(kafka: &FakeBroker, user: &str) -> String {
    format!("kafka://{user}{}/{TOPIC}", kafka.bootstrap_servers())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_in_the_topic_signed_under_the_key_of_its_contact() {
    let kafka = FakeBroker::start_cluster(2).await.unwrap();
    kafka.create_topic(TOPIC, 4);
    let app = TestApp::spawn().await;
    let secret = endpoint(&app, &url(&kafka, "")).await;
    send(&app, 0, 20).await;
    wait::until("the events are in the topic", PATIENCE, async || received(&kafka).len() == 20).await;
    let all = received(&kafka);
    let (key, first) = &all[0];
    let event = first.verify(&secret);
    assert_eq!(event["data"]["contact_id"], key.as_str());
    check_complete(&all.into_iter().map(|(_, one)| one).collect::<Vec<_>>(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_while_events_come_in_has_each_of_them_once() {
    let kafka = FakeBroker::start().await.unwrap();
    kafka.create_topic(TOPIC, 2);
    let (app, clock) = TestApp::spawn_with_clock().await;
    endpoint(&app, &url(&kafka, "")).await;
    let fault = async {
        wait::until("some are in the topic", PATIENCE, async || received(&kafka).len() >= 5).await;
        kafka.crash(0);
        let stored = "SELECT count(*) FROM event";
        wait::until("more came in", PATIENCE, async || database::count(&app.database, stored).await >= 30).await;
        kafka.restart(0);
    };
    tokio::join!(send(&app, 0, 40), fault);
    deliver_all(&app, &clock).await;
    let all: Vec<_> = received(&kafka).into_iter().map(|(_, one)| one).collect();
    check_complete(&all, 40);
    assert_eq!(all.len(), 40, "the producer is idempotent");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_topic_an_event_waits_and_wrong_credentials_are_denied() {
    let kafka = FakeBroker::start().await.unwrap();
    let (app, clock) = TestApp::spawn_with_clock().await;
    kafka.require_sasl_plain("gateway", "right");
    endpoint(&app, &(url(&kafka, "gateway:right@") + "?sasl=plain")).await;
    send(&app, 0, 2).await;
    attempts(&app, "unroutable", 2).await;
    kafka.create_topic(TOPIC, 1);
    deliver_all(&app, &clock).await;
    check_complete(&received(&kafka).into_iter().map(|(_, one)| one).collect::<Vec<_>>(), 2);
    endpoint(&app, &(url(&kafka, "gateway:wrong@") + "?sasl=plain")).await;
    send(&app, 2, 1).await;
    attempts(&app, "denied", 1).await;
}
