//! Promise: others are told of an endpoint that fails, recovers or is disabled, once for each outage.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::clock::ManualClock;

use crate::support::wait::until;
use crate::support::{Receiver, TestApp, database, webhook};

const POSTPONED: &str = "SELECT count(*) FROM delivery_retry";
const FAILED: &str = "SELECT count(*) FROM attempt";

struct Scene {
    app: TestApp,
    clock: Arc<ManualClock>,
    /// The endpoint that fails, told of everything.
    failing: Receiver,
    made: Value,
    /// Told of endpoints alone.
    observer: Receiver,
}

impl Scene {
    async fn start() -> Self {
        let (app, clock) = TestApp::spawn_with_clock().await;
        let (failing, observer) = (Receiver::start().await, Receiver::start().await);
        let made = app.endpoint(&failing, "standard").await;
        let body = json!({ "name": "watch", "url": observer.url(), "event_types": ["endpoint.*"] });
        let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        Self { app, clock, failing, made, observer }
    }

    /// Five failures: from then on it is only probed.
    async fn fail(&self) {
        self.failing.answer(500);
        for number in 0..5 {
            self.write(&format!("wamid.{number}")).await;
        }
        database::until(&self.app.database, POSTPONED, 5).await;
    }

    async fn write(&self, wamid: &str) {
        assert_eq!(self.app.webhook(webhook::text("4915199900011", wamid, "Moin")).await, StatusCode::OK);
    }

    /// What the observer was told: types and details.
    async fn told(&self, count: usize) -> Vec<(String, Value)> {
        let received = self.observer.wait_for(count).await;
        let told =
            received.iter().map(|one| (one.json()["type"].as_str().unwrap().to_owned(), one.json()["data"].clone()));
        told.collect()
    }

    /// What the endpoint is shown as, once it is disabled: settings are read again a moment after they changed.
    async fn shown_disabled(&self) -> Value {
        let patience = std::time::Duration::from_secs(10);
        until("it is disabled", patience, async || self.shown().await["state"] == "disabled").await;
        self.shown().await
    }

    async fn shown(&self) -> Value {
        self.app.get(&format!("/v1/endpoints/{}", self.made["id"].as_str().unwrap())).await
    }

    fn types_at_the_failing(&self) -> Vec<String> {
        let received = self.failing.received();
        let mut types: Vec<String> =
            received.iter().map(|one| one.json()["type"].as_str().unwrap().to_owned()).collect();
        types.dedup();
        types
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_ten_minutes_and_its_end_are_told_to_others_once() {
    let scene = Scene::start().await;
    scene.fail().await;
    for attempts in 6..9 {
        scene.clock.advance(Duration::minutes(11));
        database::until(&scene.app.database, FAILED, attempts).await;
        scene.told(1).await;
    }
    scene.failing.answer(200);
    scene.clock.advance(Duration::minutes(11));
    let told = scene.told(2).await;
    assert_eq!(
        told.iter().map(|(event, _)| event.as_str()).collect::<Vec<_>>(),
        ["endpoint.failing", "endpoint.recovered"]
    );
    for (_, data) in &told {
        assert!(data.to_string().contains(scene.made["id"].as_str().unwrap()), "{data}");
    }
    database::until(&scene.app.database, "SELECT count(*) FROM lane WHERE failing_since IS NOT NULL", 0).await;
    assert_eq!(scene.types_at_the_failing(), ["message.received"]);
    assert_eq!(scene.shown().await["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_for_five_days_is_disabled_and_others_are_told() {
    let scene = Scene::start().await;
    scene.fail().await;
    scene.clock.advance(Duration::days(5) - Duration::hours(1));
    database::until(&scene.app.database, FAILED, 6).await;
    assert_eq!(scene.shown().await["state"], "active");
    scene.clock.advance(Duration::hours(2));
    let told = scene.told(2).await;
    assert_eq!(told[1].0, "endpoint.disabled");
    assert!(told[1].1.to_string().contains(r#""reason":"failing""#), "{}", told[1].1);
    let shown = scene.shown_disabled().await;
    assert_eq!((&shown["state"], &shown["disabled_reason"]), (&"disabled".into(), &"failing".into()));

    // What it was owed is still owed, and whoever activates it begins anew.
    scene.failing.answer(200);
    let path = format!("/v1/endpoints/{}", scene.made["id"].as_str().unwrap());
    let answer = scene.app.api(Method::PATCH, &path).json(&json!({ "state": "active" })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    scene.clock.advance(Duration::days(1));
    database::until(&scene.app.database, POSTPONED, 0).await;
    assert_eq!(scene.shown().await["state"], "active");
    assert_eq!(scene.types_at_the_failing(), ["message.received"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_answers_410_is_disabled_and_others_are_told() {
    let scene = Scene::start().await;
    scene.failing.then_answer(410, &[]);
    scene.write("wamid.a").await;
    let told = scene.told(1).await;
    assert_eq!(told[0].0, "endpoint.disabled");
    assert!(told[0].1.to_string().contains(r#""reason":"gone""#), "{}", told[0].1);
    assert_eq!(scene.shown_disabled().await["disabled_reason"], "gone");
}
