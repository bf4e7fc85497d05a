//! Promise: events of the past come once more when somebody asks, each once, under their first id, whatever dies meanwhile.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::support::endpoint::Scene;
use crate::support::estate::Estate;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, database, webhook};

fn hours(from_now: i64) -> String {
    (OffsetDateTime::now_utc() + time::Duration::hours(from_now)).format(&Rfc3339).unwrap()
}

impl Scene {
    async fn ask(&self, body: &Value) -> (StatusCode, Value) {
        let path = format!("{}/replays", self.path);
        let answer = self.app.api(Method::POST, &path).json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    /// How many events a replay would find.
    async fn count(&self, body: &Value) -> u64 {
        let mut body = body.clone();
        body["dry_run"] = json!(true);
        let (status, told) = self.ask(&body).await;
        assert_eq!((status, &told["complete"]), (StatusCode::OK, &json!(true)), "{told}");
        told["counted"].as_u64().unwrap()
    }

    /// Runs a replay to its end.
    async fn replay(&self, body: &Value) -> Value {
        let (status, made) = self.ask(body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{made}");
        let path = format!("{}/replays/{}", self.path, made["id"].as_str().unwrap());
        until("the replay is done", PATIENCE, async || self.app.get(&path).await["state"] == "done").await;
        self.app.get(&path).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn single_events_come_once_more_under_their_first_id() {
    let scene = Scene::begin().await;
    for wamid in ["wamid.a", "wamid.b", "wamid.c"] {
        scene.app.webhook(webhook::text("4915199900011", wamid, "Moin")).await;
    }
    let received = scene.receiver.wait_for(3).await;
    database::until(&scene.app.database, "SELECT count(*) FROM delivery", 0).await;
    let ids: Vec<&str> = received.iter().take(2).map(|one| one.header("webhook-id")).collect();
    let wanted = json!({ "event_ids": [ids[0], ids[1], "01890000-0000-7000-8000-000000000000"] });
    assert_eq!(scene.count(&wanted).await, 2, "an unknown one is passed over");
    let (status, replay) = scene.ask(&wanted).await;
    assert_eq!((status, &replay["state"]), (StatusCode::ACCEPTED, &json!("done")));
    assert_eq!((&replay["counted"], &replay["inserted"]), (&json!(2), &json!(2)));
    let again = scene.receiver.wait_for(5).await;
    for one in again.iter().skip(3) {
        let id = one.header("webhook-id");
        let first = received.iter().find(|first| first.header("webhook-id") == id).unwrap();
        assert!(ids.contains(&id) && first.body.len() == one.body.len());
    }
    let listed = scene.app.get(&format!("{}/replays", scene.path)).await;
    assert_eq!(listed["data"][0]["id"], replay["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_replayed_as_far_as_replay_and_endpoint_ask_for_it_and_a_dry_run_tells_how_many_come() {
    let scene = Scene::with(json!({ "event_types": ["message.*"] })).await;
    for (number, wamid) in [("4915199900011", "wamid.a"), ("4915199900022", "wamid.b"), ("4915199900011", "wamid.c")] {
        scene.app.webhook(webhook::text(number, wamid, "Moin")).await;
    }
    let read = webhook::status_item("4915199900011", "wamid.out", "read");
    scene.app.webhook(webhook::messages(json!({ "statuses": [read] }))).await;
    scene.app.webhook(br#"{"object":"something else"}"#.to_vec()).await;
    scene.receiver.wait_for(4).await;
    assert_eq!(database::count(&scene.app.database, "SELECT count(*) FROM event").await, 5);
    database::until(&scene.app.database, "SELECT count(*) FROM delivery", 0).await;
    let contacts = scene.app.get("/v1/contacts").await;
    let ana = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == "4915199900011").unwrap();
    let channel = scene.app.channel().await;
    let mut seen = 4;
    for (more, expected) in [
        (json!({}), 4),
        (json!({ "event_types": ["message.received", "unrecognised"] }), 3),
        (json!({ "contact_id": ana["id"] }), 3),
        (json!({ "contact_id": ana["id"], "event_types": ["message.read"] }), 1),
        (json!({ "channel_ids": [channel] }), 4),
        (json!({ "until": hours(-1) }), 0),
    ] {
        let mut wanted = json!({ "since": hours(-2) });
        wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(scene.count(&wanted).await, expected, "{more}");
        let done = scene.replay(&wanted).await;
        assert_eq!((&done["counted"], &done["inserted"]), (&json!(expected), &json!(expected)), "{more}");
        seen += usize::try_from(expected).unwrap();
        scene.receiver.wait_for(seen).await;
        database::until(&scene.app.database, "SELECT count(*) FROM delivery", 0).await;
    }
    assert_eq!(scene.receiver.received().len(), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_waiting_already_is_not_doubled_and_what_is_dead_lives_again() {
    let scene = Scene::begin().await;
    scene.set("paused").await;
    for wamid in ["wamid.a", "wamid.b"] {
        scene.app.webhook(webhook::text("4915199900011", wamid, "Moin")).await;
    }
    database::bury(&scene.app.database, "event_id = (SELECT event_id FROM delivery LIMIT 1)").await;
    let done = scene.replay(&json!({ "since": hours(-1) })).await;
    assert_eq!((&done["counted"], &done["inserted"]), (&json!(2), &json!(1)));
    assert_eq!(database::count(&scene.app.database, "SELECT count(*) FROM delivery").await, 2);
    assert_eq!(database::count(&scene.app.database, "SELECT count(*) FROM delivery_dead").await, 0);
    scene.set("active").await;
    let received = scene.receiver.wait_for(2).await;
    assert_ne!(received[0].header("webhook-id"), received[1].header("webhook-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_content_is_gone_becomes_a_dead_letter() {
    let scene = Scene::begin().await;
    scene.app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    scene.receiver.wait_for(1).await;
    database::until(&scene.app.database, "SELECT count(*) FROM delivery", 0).await;
    database::sabotage(&scene.app.database, "DELETE FROM event_payload").await;
    assert_eq!(scene.replay(&json!({ "since": hours(-1) })).await["inserted"], 1);
    let dead = "SELECT count(*) FROM delivery_dead WHERE reason = 'payload_gone'";
    database::until(&scene.app.database, dead, 1).await;
    assert_eq!(scene.receiver.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_cannot_be_is_refused_with_the_reason() {
    let scene = Scene::begin().await;
    let id = "01890000-0000-7000-8000-000000000000";
    for (body, place) in [
        (json!({}), "/since"),
        (json!({ "event_ids": [id], "since": hours(-1) }), "/event_ids"),
        (json!({ "event_ids": [id], "event_types": ["message.*"] }), "/event_ids"),
        (json!({ "event_ids": vec![id; 1001] }), "/event_ids"),
        (json!({ "since": hours(-1), "until": hours(-2) }), "/until"),
        (json!({ "since": hours(1) }), "/until"),
        (json!({ "since": hours(-1), "channel_ids": [id] }), "/channel_ids/0"),
    ] {
        let (status, problem) = scene.ask(&body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(problem["errors"][0]["pointer"], place, "{body}");
    }
    let missing = scene.app.api(Method::GET, &format!("{}/replays/{id}", scene.path)).send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    scene.receiver.then_answer(410, &[]);
    scene.app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    let state = async || scene.app.get(&scene.path).await["state"] == "disabled";
    until("the endpoint is disabled", PATIENCE, state).await;
    assert_eq!(scene.ask(&json!({ "since": hours(-1) })).await.0, StatusCode::CONFLICT);
    assert_eq!(scene.app.get(&format!("{}/replays", scene.path)).await["data"], json!([]));
}

/// Stores events as many transactions would have, an hour ago. Without content: this is about which of them are owed.
async fn store(database: &str, transactions: usize, each: usize) {
    for transaction in 0..transactions {
        let from = transaction * each;
        let statement = format!(
            "INSERT INTO event (tenant_id, part_day, subject, variant, event_id, type, occurred_at, received_at)
             SELECT t.tenant_id, (at AT TIME ZONE 'UTC')::date, decode(lpad(to_hex(i), 32, '0'), 'hex'), '\\x0000000000000000',
                    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid,
                    'message.received', at, at
             FROM tenant t, (
                 SELECT i, date_trunc('hour', now()) - interval '1 hour' + i * interval '10 milliseconds' AS at
                 FROM generate_series({from}, {from} + {each} - 1) AS i
             ) made"
        );
        database::sabotage(database, &statement).await;
    }
}

/// What was put among what is owed since the last look, put aside as if it had been delivered.
const TAKE: &str = "WITH gone AS (DELETE FROM delivery RETURNING event_id) INSERT INTO taken SELECT event_id FROM gone";

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_worker_is_killed_again_and_again_owes_every_event_exactly_once() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let receiver = Receiver::start().await;
    let body = json!({ "name": "test", "url": receiver.url(), "state": "paused" });
    let made = estate.post("/v1/endpoints", &body, StatusCode::CREATED).await;
    let path = format!("/v1/endpoints/{}/replays", made["id"].as_str().unwrap());
    store(&estate.database, 50, 1000).await;
    database::sabotage(&estate.database, "CREATE TABLE taken (event_id uuid NOT NULL)").await;
    let wanted = json!({ "since": hours(-3) });
    let mut dry = wanted.clone();
    dry["dry_run"] = json!(true);
    let counted = estate.post(&path, &dry, StatusCode::OK).await["counted"].as_i64().unwrap();
    assert_eq!(counted, 50_000);

    estate.post(&path, &wanted, StatusCode::ACCEPTED).await;
    let inserted = "SELECT inserted FROM replay";
    // Twice in the middle of the work, once while it waits because enough is waiting.
    for most in [2_000, 12_000, 20_000] {
        let far_enough = async || database::count(&estate.database, inserted).await >= most;
        until("it has come so far", PATIENCE, far_enough).await;
        estate.gateway.kill_hard().await;
        // As if the lease had run out.
        database::sabotage(&estate.database, "UPDATE worker SET lease_until = now()").await;
        estate.gateway = estate.in_its_place().await;
    }
    let waiting = database::count(&estate.database, "SELECT count(*) FROM delivery").await;
    assert!((20_000..=22_000).contains(&waiting), "{waiting} wait: it does not flood the endpoint");
    let running = "SELECT count(*) FROM replay WHERE state = 'running'";
    assert_eq!(database::count(&estate.database, running).await, 1);
    until("it is done", PATIENCE, async || {
        database::sabotage(&estate.database, TAKE).await;
        database::count(&estate.database, running).await == 0
    })
    .await;
    database::sabotage(&estate.database, TAKE).await;
    let done = &estate.get(&path).await["data"][0];
    assert_eq!((&done["counted"], &done["inserted"]), (&json!(counted), &json!(counted)));
    assert_eq!(done["state"], "done");
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM taken").await, counted);
    assert_eq!(database::count(&estate.database, "SELECT count(DISTINCT event_id) FROM taken").await, counted);
    assert_eq!(database::count(&estate.database, "SELECT count(*) FROM lane WHERE kind = 3").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_cancelled_goes_no_further_and_one_of_a_removed_endpoint_goes_with_it() {
    let scene = Scene::begin().await;
    scene.set("paused").await;
    store(&scene.app.database, 30, 1000).await;
    let (_, made) = scene.ask(&json!({ "since": hours(-3) })).await;
    let path = format!("{}/replays/{}", scene.path, made["id"].as_str().unwrap());
    database::until(&scene.app.database, "SELECT count(*) FROM delivery", 20_000).await;
    let answer = scene.app.api(Method::DELETE, &path).send().await.unwrap();
    let told: Value = answer.json().await.unwrap();
    assert_eq!((&told["state"], &told["inserted"]), (&json!("cancelled"), &json!(20_000)));
    assert!(told["position"].is_string() && told["ended_at"].is_string());
    database::sabotage(&scene.app.database, "DELETE FROM delivery").await;
    assert_eq!(scene.app.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::OK, "once more");
    let (_, second) = scene.ask(&json!({ "since": hours(-3) })).await;
    assert_ne!(second["id"], made["id"]);
    assert_eq!(scene.app.get(&path).await["inserted"], 20_000);
    assert_eq!(scene.app.api(Method::DELETE, &scene.path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let left = "SELECT (SELECT count(*) FROM replay) + (SELECT count(*) FROM lane WHERE kind = 3)";
    assert_eq!(database::count(&scene.app.database, left).await, 0);
}
