//! NATS, with `JetStream`.

use std::sync::Arc;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, stream};
use serde_json::json;
use waxseal::clock::SystemClock;

use crate::gateway::{PATIENCE, Received, attempts, check_complete, deliver_all, endpoint, failures, faults, send};
use crate::servers::{Nats, PASSWORD, USER};
use crate::support::child::ChildGateway;
use crate::support::{TestApp, app, database, wait, webhook};

const SUBJECT: &str = "whatsapp.received";

async fn context(nats: &Nats) -> jetstream::Context {
    let options = ConnectOptions::with_user_and_password(USER.to_owned(), PASSWORD.to_owned());
    jetstream::new(options.connect(format!("127.0.0.1:{}", nats.port)).await.unwrap())
}

async fn make_stream(nats: &Nats) -> stream::Stream {
    let config =
        stream::Config { name: "EVENTS".to_owned(), subjects: vec!["whatsapp.>".to_owned()], ..Default::default() };
    context(nats).await.create_stream(config).await.unwrap()
}

async fn count(stream: &stream::Stream) -> u64 {
    stream.get_info().await.map_or(0, |info| info.state.messages)
}

async fn received(stream: &stream::Stream) -> Vec<Received> {
    let mut all = Vec::new();
    for sequence in 1..=count(stream).await {
        let message = stream.get_raw_message(sequence).await.unwrap();
        assert_eq!(message.subject.as_str(), SUBJECT);
        let id = message.headers.get("Nats-Msg-Id").unwrap().as_str().to_owned();
        let headers = message.headers.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| (name, value.as_str().as_bytes()))
        });
        all.push(Received::new(&id, headers, &message.payload));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_in_the_stream_signed_over_one_connection() {
    let nats = Nats::start().await;
    let stream = make_stream(&nats).await;
    let app = TestApp::spawn().await;
    let secret = endpoint(&app, &nats.url(SUBJECT)).await;
    let before = nats.connections().await;
    // All at once, so that as many as may are in flight together.
    let items: Vec<_> = (0..20).map(|at| webhook::text_item("4915199900011", &format!("wamid.{at}"), "Moin")).collect();
    let contacts = json!([{ "profile": { "name": "Ana Beispiel" }, "wa_id": "4915199900011" }]);
    app.webhook(webhook::messages(json!({ "contacts": contacts, "messages": items }))).await;
    wait::until("the events are in the stream", PATIENCE, async || count(&stream).await == 20).await;
    assert_eq!(nats.connections().await - before, 1);
    let all = received(&stream).await;
    check_complete(&all, 20);
    let event = all[0].verify(&secret);
    assert_eq!(event["data"]["item"]["text"]["body"], "Moin");
    assert_eq!(all[0].headers["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_events_come_in_has_each_of_them_once() {
    let mut nats = Nats::start().await;
    let stream = make_stream(&nats).await;
    let (app, clock) = TestApp::spawn_with_clock().await;
    endpoint(&app, &nats.url(SUBJECT)).await;
    let fault = async {
        wait::until("some are in the stream", PATIENCE, async || count(&stream).await >= 5).await;
        nats.stop_hard();
        // However fast the first half went: these meet a server that is away, and as many failures open the breaker.
        send(&app, 20, 20).await;
        failures(&app, 5).await;
        nats.start_again().await;
    };
    tokio::join!(send(&app, 0, 20), fault);
    deliver_all(&app, &clock).await;
    // The stream drops what has an id that it has seen: there are as many messages as events.
    wait::until("the client of the test is back", PATIENCE, async || count(&stream).await > 0).await;
    let all = received(&stream).await;
    assert_eq!(all.len(), 40);
    check_complete(&all, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_stream_an_event_waits_until_there_is_one() {
    let nats = Nats::start().await;
    let (app, clock) = TestApp::spawn_with_clock().await;
    endpoint(&app, &nats.url(SUBJECT)).await;
    send(&app, 0, 3).await;
    attempts(&app, "unroutable", 3).await;
    let stream = make_stream(&nats).await;
    deliver_all(&app, &clock).await;
    check_complete(&received(&stream).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_have_a_class_and_do_not_reach_the_log() {
    let nats = Nats::start().await;
    let simulator = app::simulator(Arc::new(SystemClock)).await;
    let database = database::fresh().await;
    let mut variables = app::variables(&database, simulator.base_url());
    variables.push(("WAXSEAL_LOG__LEVEL".to_owned(), "trace".to_owned()));
    let gateway = ChildGateway::start(&variables).await;
    let url = format!("nats://somebody:canary-of-a-password@127.0.0.1:{}/canary-subject", nats.port);
    let made = gateway.api(reqwest::Method::POST, "/v1/endpoints").json(&json!({ "name": "broker", "url": url }));
    assert_eq!(made.send().await.unwrap().status(), 201);
    let body = webhook::text("4915199900011", "wamid.canary", "canary of a message");
    let signature = webhook::signature(app::APP_SECRET, &body);
    let posted = gateway.request(reqwest::Method::POST, &format!("{}/webhook", gateway.public));
    assert_eq!(posted.header("x-hub-signature-256", signature).body(body).send().await.unwrap().status(), 200);
    let denied = async || database::count(&database, "SELECT count(*) FROM attempt WHERE class = 'denied'").await > 0;
    wait::until("the broker denies", PATIENCE, denied).await;
    let log = gateway.stop().await;
    assert!(log.contains("\"denied\""), "{log}");
    assert!(!log.contains("canary"), "{}", log.lines().find(|line| line.contains("canary")).unwrap_or_default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_cannot_do_is_refused_when_it_is_saved() {
    let app = TestApp::spawn().await;
    let body = |url: &str| json!({ "name": "broker", "url": url });
    assert_eq!(faults(&app, body("nats://127.0.0.1:4222/a.*")).await, ["url_destination"]);
    assert_eq!(faults(&app, body("amqp://127.0.0.1/")).await, ["url_destination"]);
    let mut meta = body("nats://127.0.0.1:4222/a");
    meta["format"] = json!("meta");
    meta["verify_token"] = json!("a-token-to-verify");
    assert_eq!(faults(&app, meta).await, ["format"]);
    let mut with_header = body("nats://127.0.0.1:4222/a");
    with_header["headers"] = json!({ "x-tenant": "7" });
    assert_eq!(faults(&app, with_header).await, ["transport"]);
}
