//! Promise: what was given up is kept, can be delivered after all, and what became of any event can be asked.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use time::Duration;

use crate::support::endpoint::Scene;
use crate::support::{Receiver, TestApp, database, webhook};

const DEAD: &str = "SELECT count(*) FROM delivery_dead";

impl Scene {
    /// So many events whose content is dropped before they are delivered: dead letters.
    async fn bury(&self, count: usize) {
        self.set("paused").await;
        for number in 0..count {
            self.app.webhook(webhook::text("4915199900011", &format!("wamid.{number}"), "Moin")).await;
        }
        database::sabotage(&self.app.database, "CREATE TABLE kept AS SELECT * FROM event_payload").await;
        database::sabotage(&self.app.database, "DELETE FROM event_payload").await;
        self.set("active").await;
        database::until(&self.app.database, DEAD, i64::try_from(count).unwrap()).await;
    }

    async fn dead(&self, more: &str) -> Value {
        self.app.get(&format!("{}/dead-letters{more}", self.path)).await
    }

    async fn redrive(&self, body: Value) -> (StatusCode, Value) {
        let path = format!("{}/dead-letters/redrive", self.path);
        let answer = self.app.api(Method::POST, &path).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn purge(&self, query: &str) -> (StatusCode, Value) {
        let path = format!("{}/dead-letters{query}", self.path);
        let answer = self.app.api(Method::DELETE, &path).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_newest_first_and_delivered_after_all_under_their_first_id() {
    let scene = Scene::begin().await;
    scene.bury(5).await;
    let (first, mut listed) = (scene.dead("?limit=2").await, Vec::new());
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
    let rest = scene.dead(&format!("?cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (3, &json!(false)));
    listed.extend([first, rest].iter().flat_map(|page| page["data"].as_array().unwrap().clone()));
    assert!(listed.iter().all(|letter| letter["reason"] == "payload_gone"), "{listed:?}");
    assert!(listed.windows(2).all(|two| two[0]["died_at"].as_str() >= two[1]["died_at"].as_str()));
    assert_eq!(scene.dead("?reason=exhausted").await["data"], json!([]));
    assert_eq!(scene.dead("?until=2026-01-01T00:00:00Z").await["data"], json!([]));

    database::sabotage(&scene.app.database, "INSERT INTO event_payload SELECT * FROM kept").await;
    let one = listed[3]["event_id"].as_str().unwrap();
    assert_eq!(scene.redrive(json!({ "event_ids": [one] })).await.1, json!({ "redriven": 1, "complete": true }));
    assert_eq!(scene.receiver.wait_for(1).await[0].header("webhook-id"), one);
    assert_eq!(scene.redrive(json!({ "event_ids": [one] })).await.1["redriven"], 0, "it is dead no longer");
    assert_eq!(scene.redrive(json!({ "reason": "payload_gone" })).await.1["redriven"], 4);
    let received = scene.receiver.wait_for(5).await;
    let mut told: Vec<&str> = received.iter().map(|one| one.header("webhook-id")).collect();
    let mut expected: Vec<&str> = listed.iter().map(|letter| letter["event_id"].as_str().unwrap()).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert_eq!(scene.dead("").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_purged_only_when_it_is_said_which() {
    let scene = Scene::begin().await;
    scene.bury(4).await;
    for (status, problem) in [scene.redrive(json!({})).await, scene.redrive(json!({ "all": false })).await] {
        assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/all")));
    }
    for query in ["", "?reason=tired", "?all=yes", "?event_ids=x"] {
        assert_eq!(scene.purge(query).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    let listed = scene.dead("").await;
    let ids: Vec<&str> = (0..2).map(|at| listed["data"][at]["event_id"].as_str().unwrap()).collect();
    assert_eq!(scene.purge(&format!("?event_ids={}", ids.join(","))).await.1["purged"], 2);
    assert_eq!(scene.purge("?until=2026-01-01T00:00:00Z").await.1["purged"], 0);
    assert_eq!(scene.purge("?all=true").await.1, json!({ "purged": 2, "complete": true }));
    assert_eq!(scene.dead("").await["data"], json!([]));
    assert_eq!(database::count(&scene.app.database, "SELECT count(*) FROM delivery").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_an_event_can_be_asked_with_every_failed_attempt() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let (failing, other) = (Receiver::start().await, Receiver::start().await);
    let made = app.endpoint(&failing, "standard").await;
    let id = made["id"].as_str().unwrap().to_owned();
    let channels = json!({ "name": "x", "url": other.url(), "event_types": ["call.*"] });
    assert_eq!(
        app.api(Method::POST, "/v1/endpoints").json(&channels).send().await.unwrap().status(),
        StatusCode::CREATED
    );
    failing.then_answer(500, &[]);
    failing.then_answer(429, &[]);
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    let received = failing.wait_for(1).await[0].clone();
    database::until(&app.database, "SELECT count(*) FROM attempt", 1).await;
    let of_event = format!("/v1/events/{}/deliveries", received.header("webhook-id"));
    let told = app.get(&of_event).await;
    assert_eq!(told["data"].as_array().unwrap().len(), 1, "the other endpoint did not ask for it: {told}");
    let delivery = &told["data"][0];
    assert_eq!((&delivery["endpoint_id"], &delivery["state"]), (&json!(id), &json!("retrying")));
    assert_eq!(delivery["attempts"], 1);
    assert!(delivery["next_at"].is_string() && delivery["reason"].is_null());

    clock.advance(Duration::seconds(7));
    failing.wait_for(2).await;
    database::until(&app.database, "SELECT count(*) FROM attempt", 2).await;
    let attempts = app.get(&format!("/v1/endpoints/{id}/attempts")).await;
    let classes: Vec<&str> =
        attempts["data"].as_array().unwrap().iter().map(|one| one["class"].as_str().unwrap()).collect();
    assert_eq!(classes, ["throttled", "server_error"], "newest first");
    assert_eq!((&attempts["data"][1]["status"], &attempts["data"][1]["number"]), (&json!(500), &json!(1)));
    assert_eq!(attempts["data"][1]["request_bytes"], received.body.len());
    assert_eq!(attempts["data"][1]["response_bytes"], 0);
    for (query, count) in
        [("?class=throttled", 1), ("?class=tls", 0), ("?until=2026-01-01T00:00:00Z", 0), ("?limit=1", 1)]
    {
        let page = app.get(&format!("/v1/endpoints/{id}/attempts{query}")).await;
        assert_eq!(page["data"].as_array().unwrap().len(), count, "{query}");
    }
    let of_one = format!("/v1/endpoints/{id}/attempts?event_id={}", received.header("webhook-id"));
    assert_eq!(app.get(&of_one).await["data"].as_array().unwrap().len(), 2);

    clock.advance(Duration::minutes(3));
    failing.wait_for(3).await;
    let owed = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_dead)";
    database::until(&app.database, owed, 0).await;
    let told = app.get(&of_event).await;
    assert_eq!(told["data"][0]["state"], "settled");
    assert_eq!(told["data"][0]["failed"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_is_signed_as_any_other_and_leaves_nothing_behind() {
    let scene = Scene::begin().await;
    scene.set("paused").await;
    let path = format!("{}/test", scene.path);
    let test = async || scene.app.api(Method::POST, &path).send().await.unwrap();
    let told: Value = test().await.json().await.unwrap();
    let received = scene.receiver.wait_for(1).await[0].clone();
    Webhook::new(&scene.receiver.secret()).unwrap().verify(&received.body, &received.headers).unwrap();
    let event = received.json();
    assert_eq!((&event["type"], &event["data"]["test"]), (&json!("endpoint.test"), &json!(true)));
    assert_eq!((&told["class"], &told["status"]), (&json!("success"), &json!(200)));
    assert_eq!(told["request_bytes"], received.body.len());
    scene.receiver.then_answer(503, &[]);
    assert_eq!(test().await.json::<Value>().await.unwrap()["class"], "server_error");
    for _ in 2..10 {
        assert_eq!(test().await.status(), StatusCode::OK);
    }
    let refused = test().await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"60".parse().unwrap())
    );
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "rate_limited");
    assert_eq!(scene.receiver.received().len(), 10);
    for table in ["event", "delivery", "attempt", "delivery_dead"] {
        assert_eq!(database::count(&scene.app.database, &format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_metas_format_is_tested_with_a_message_of_metas_form() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let made = app.endpoint(&receiver, "meta").await;
    let path = format!("/v1/endpoints/{}/test", made["id"].as_str().unwrap());
    assert_eq!(app.api(Method::POST, &path).send().await.unwrap().status(), StatusCode::OK);
    let received = receiver.wait_for(1).await[0].clone();
    assert_eq!(received.header("x-hub-signature-256"), webhook::signature(&receiver.secret(), &received.body));
    let message = received.json()["entry"][0]["changes"][0]["value"]["messages"][0].clone();
    assert_eq!((&message["type"], &message["text"]["body"]), (&json!("text"), &json!("This is a test.")));
    assert!(message["timestamp"].as_str().unwrap().parse::<i64>().unwrap() > 1_700_000_000);
}
