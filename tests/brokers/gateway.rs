//! What the tests ask of a gateway.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use waxseal::clock::ManualClock;

use crate::support::{TestApp, database, wait, webhook};

pub const PATIENCE: Duration = Duration::from_mins(2);

/// A message as a consumer sees it.
#[derive(Debug, Clone)]
pub struct Received {
    pub id: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    /// Headers may be in any form that a broker has.
    pub fn new<'a>(id: &str, headers: impl Iterator<Item = (&'a str, &'a [u8])>, body: &[u8]) -> Self {
        let header = |(name, value): (&str, &[u8])| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap())
        };
        Self { id: id.to_owned(), headers: headers.map(header).collect(), body: body.to_vec() }
    }

    /// By a library that is not ours.
    pub fn verify(&self, secret: &str) -> Value {
        Webhook::new(secret).unwrap().verify(&self.body, &self.headers).unwrap();
        let event: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(event["id"], self.id.as_str());
        assert_eq!(self.headers["webhook-id"], self.id.as_str());
        assert_eq!(event["type"], "message.received");
        event
    }
}

/// Adds an endpoint for received messages; its secret.
pub async fn endpoint(app: &TestApp, url: &str) -> String {
    let body = json!({ "name": "broker", "url": url, "event_types": ["message.received"] });
    let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, StatusCode::CREATED, "{text}");
    let made: Value = serde_json::from_str(&text).unwrap();
    assert!(!made["url"].as_str().unwrap().contains('@'), "credentials are not shown");
    made["secret"].as_str().unwrap().to_owned()
}

/// The codes of the faults that an endpoint with this URL has.
pub async fn faults(app: &TestApp, body: Value) -> Vec<String> {
    let answer = app.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let problem: Value = answer.json().await.unwrap();
    let codes = problem["errors"].as_array().unwrap().iter();
    codes.map(|fault| fault["code"].as_str().unwrap().to_owned()).collect()
}

/// Messages of as many people, one after the other; the events' ids.
pub async fn send(app: &TestApp, from: usize, count: usize) {
    for number in from..from + count {
        let body = webhook::text(&format!("49151999{number:05}"), &format!("wamid.{number}"), "Moin");
        assert_eq!(app.webhook(body).await, StatusCode::OK);
    }
}

/// Waits until this many attempts have ended in a class.
pub async fn attempts(app: &TestApp, class: &str, at_least: i64) {
    let statement = format!("SELECT count(*) FROM attempt WHERE class = '{class}'");
    let enough = async || database::count(&app.database, &statement).await >= at_least;
    wait::until(&format!("{at_least} attempts are {class}"), PATIENCE, enough).await;
}

/// Waits until this many attempts have not ended well.
pub async fn failures(app: &TestApp, at_least: i64) {
    let statement = "SELECT count(*) FROM attempt WHERE class <> 'success'";
    let enough = async || database::count(&app.database, statement).await >= at_least;
    wait::until(&format!("{at_least} attempts have failed"), PATIENCE, enough).await;
}

/// Lets time pass until nothing is owed any more.
pub async fn deliver_all(app: &TestApp, clock: &ManualClock) {
    let nothing_is_owed = async || {
        clock.advance(time::Duration::seconds(10));
        let owed = "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)";
        database::count(&app.database, owed).await == 0
    };
    wait::until("everything is delivered", PATIENCE, nothing_is_owed).await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM delivery_dead").await, 0);
}

/// Every event is there, nothing unknown is, and what is there twice has one id.
pub fn check_complete(received: &[Received], events: usize) {
    let mut ids = HashSet::new();
    for one in received {
        let event: Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(event["id"], one.id.as_str());
        ids.insert(one.id.clone());
    }
    assert_eq!(ids.len(), events, "{} messages", received.len());
}
