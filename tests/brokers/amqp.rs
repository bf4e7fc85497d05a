//! AMQP, with `RabbitMQ`.

use lapin::options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};

use crate::gateway::{PATIENCE, Received, attempts, check_complete, deliver_all, endpoint, failures, send};
use crate::servers::Rabbit;
use crate::support::{TestApp, wait};

const QUEUE: &str = "whatsapp";

async fn channel(rabbit: &Rabbit) -> (Connection, Channel) {
    let (url, mut connection) = (rabbit.url("").replace('?', ""), None);
    // It listens before it has made its users.
    wait::until("the server lets somebody in", PATIENCE, async || {
        connection = Connection::connect(&url, ConnectionProperties::default()).await.ok();
        connection.is_some()
    })
    .await;
    let connection = connection.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn make_queue(channel: &Channel) {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), durable, FieldTable::default()).await.unwrap();
}

/// Takes the next message out of the queue.
async fn next(channel: &Channel) -> Option<Received> {
    let delivery = channel.basic_get(QUEUE.into(), BasicGetOptions::default()).await.unwrap()?.delivery;
    delivery.ack(BasicAckOptions::default()).await.unwrap();
    let properties = &delivery.properties;
    assert_eq!(*properties.delivery_mode(), Some(2), "kept by a broker that restarts");
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    let headers = properties.headers().as_ref().unwrap().inner().iter().map(|(name, value)| {
        let AMQPValue::LongString(value) = value else { panic!("{name} is no text") };
        (name.as_str(), value.as_bytes())
    });
    Some(Received::new(properties.message_id().as_ref().unwrap().as_str(), headers, &delivery.data))
}

async fn everything(channel: &Channel) -> Vec<Received> {
    let mut all = Vec::new();
    while let Some(one) = next(channel).await {
        all.push(one);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_in_the_queue_signed_and_one_that_no_queue_takes_waits_for_it() {
    let rabbit = Rabbit::start().await;
    let (_connection, channel) = channel(&rabbit).await;
    let (app, clock) = TestApp::spawn_with_clock().await;
    let secret = endpoint(&app, &rabbit.url("routing_key=whatsapp")).await;
    send(&app, 0, 3).await;
    attempts(&app, "unroutable", 3).await;
    make_queue(&channel).await;
    send(&app, 3, 1).await;
    let mut first = None;
    wait::until("an event is in the queue", PATIENCE, async || {
        first = next(&channel).await;
        first.is_some()
    })
    .await;
    first.clone().unwrap().verify(&secret);
    deliver_all(&app, &clock).await;
    let mut all = everything(&channel).await;
    all.extend(first);
    check_complete(&all, 4);

    let nobody = rabbit.url("routing_key=whatsapp").replace("gateway:", "nobody:");
    endpoint(&app, &nobody).await;
    endpoint(&app, &rabbit.url("exchange=nowhere&routing_key=x")).await;
    send(&app, 4, 1).await;
    attempts(&app, "denied", 1).await;
    attempts(&app, "unroutable", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_events_come_in_has_all_of_them() {
    let mut rabbit = Rabbit::start().await;
    let (_connection, before) = channel(&rabbit).await;
    make_queue(&before).await;
    let (app, clock) = TestApp::spawn_with_clock().await;
    endpoint(&app, &rabbit.url("routing_key=whatsapp")).await;
    let mut taken = Vec::new();
    let fault = async {
        wait::until("some are in the queue", PATIENCE, async || {
            taken.extend(next(&before).await);
            taken.len() >= 3
        })
        .await;
        rabbit.stop_hard();
        // However fast the first half went: these meet a server that is away, and as many failures open the breaker.
        send(&app, 20, 20).await;
        failures(&app, 5).await;
        rabbit.start_again().await;
    };
    tokio::join!(send(&app, 0, 20), fault);
    let (_connection, after) = channel(&rabbit).await;
    deliver_all(&app, &clock).await;
    taken.extend(everything(&after).await);
    // Twice at most is what was on its way at the fault, under the same id.
    check_complete(&taken, 40);
    assert!(taken.len() < 40 + 10, "{} messages", taken.len());
}
