//! Promise: the record of processing says what is set now, through the API and at the command line, and what only people know as they said it.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::{Clock, SystemClock};

use super::{Terminal, of};
use crate::support::{Receiver, TestApp};

/// What is said of this.
fn says(record: &Value, name: &str) -> Option<String> {
    let sections = record["sections"].as_array().unwrap().iter();
    let mut entries = sections.flat_map(|section| section["entries"].as_array().unwrap());
    let entry = entries.find(|entry| entry["name"] == name)?;
    Some(entry["says"].as_str().unwrap().to_owned())
}

async fn change(app: &TestApp, body: Value) {
    let path = format!("/v1/channels/{}", app.channel().await);
    let answer = app.api(Method::PATCH, &path).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    app.directory_is_read().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_the_settings_from_one_request_to_the_next() {
    let app = TestApp::spawn_with(
        Arc::new(SystemClock),
        &[
            ("WAXSEAL_REGION__NAME", "eu"),
            ("WAXSEAL_PRIVACY__EXPORT_DAYS", "3"),
            ("WAXSEAL_RETENTION__CONTENT_DAYS", "60"),
        ],
    )
    .await;
    let before = app.get("/v1/privacy/record").await;
    let told = |record: &Value, name: &str| says(record, name).unwrap_or_else(|| panic!("{name}: {record}"));
    assert!(told(&before, "what they call themselves").starts_with("kept, sealed, on 1 of 1"), "{before}");
    assert!(told(&before, "people").contains("on a card"), "{before}");
    assert_eq!(told(&before, "left out before storing"), "nothing");
    assert_eq!(told(&before, "what was said, files"), "60 days");
    assert_eq!(told(&before, "archives that people asked for"), "3 days");
    assert_eq!(told(&before, "region"), "\"eu\"");
    assert_eq!(told(&before, "applications"), "none");
    assert!(told(&before, "files").starts_with("Meta's references alone"), "{before}");

    let minimise = json!({ "names": "hash", "locations": "drop", "contacts": "drop" });
    change(&app, json!({ "minimise": minimise, "retention": { "received": 30 } })).await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let after = app.get("/v1/privacy/record").await;
    assert_eq!(told(&after, "what they call themselves"), "kept as a keyed hash alone on 1 of 1 numbers");
    assert_eq!(told(&after, "places that they share"), "left out before storing on 1 of 1 numbers");
    assert_eq!(told(&after, "cards of others that they share"), "left out before storing on 1 of 1 numbers");
    assert!(told(&after, "advertisements that they came from").starts_with("kept, sealed"), "{after}");
    assert!(!told(&after, "people").contains("on a card"), "{after}");
    assert!(told(&after, "applications").starts_with("127.0.0.1"), "{after}");
    assert!(told(&after, "application test").contains("standard"), "{after}");
    assert_eq!(told(&after, &format!("received of channel {}", app.channel().await)), "30 days");
    assert!(says(&before, "application test").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_markdown_for_whoever_asks_for_that_and_json_for_everybody_else() {
    let app = TestApp::spawn().await;
    for (accept, kind) in [
        ("text/markdown", "text/markdown; charset=utf-8"),
        ("*/*", "application/json"),
        ("image/png", "application/json"),
        (";;, =", "application/json"),
    ] {
        let answer = app.api(Method::GET, "/v1/privacy/record").header("accept", accept).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{accept}");
        assert_eq!(answer.headers()["content-type"], kind, "{accept}");
        assert!(answer.headers().contains_key("x-audit-index"), "{accept}");
        let text = answer.text().await.unwrap();
        assert_eq!(text.starts_with("# Record of processing activities"), accept == "text/markdown", "{text}");
        assert!(text.contains("MISSING: set privacy.controller") && text.contains("Art. 30(1)(g)"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_processes_for_the_operator_stands_in_it_and_an_agreement_nobody_looked_at_is_red() {
    let today = SystemClock.now().date();
    let long_ago = today - time::Duration::days(400);
    let all = format!("Meta | WhatsApp Cloud API | {today},Example Hosting | servers | {long_ago}");
    let terminal = Terminal::open(&[("WAXSEAL_PRIVACY__PROCESSORS", &all)]).await;
    let record = terminal.app.get("/v1/privacy/record").await;
    assert!(says(&record, "processor Meta").is_some_and(|says| says.contains(&today.to_string())), "{record}");
    let told = terminal.app.get("/v1/posture").await;
    let (state, evidence) = of(&told, "processors");
    assert!(state == "red" && evidence.contains("Example Hosting") && !evidence.contains("Meta"), "{evidence}");
    assert_eq!(terminal.state("processors").await, (state, evidence));

    let looked_at = format!("Meta | WhatsApp Cloud API | {today}");
    let terminal = Terminal::open(&[("WAXSEAL_PRIVACY__PROCESSORS", &looked_at)]).await;
    assert_eq!(of(&terminal.app.get("/v1/posture").await, "processors").0, "green");
    assert_eq!(terminal.state("processors").await.0, "green");
    let output = terminal.run(&["record"]).await;
    assert!(String::from_utf8(output.stdout).unwrap().contains("| processor Meta | WhatsApp Cloud API;"));

    let nobody = Terminal::open(&[]).await;
    assert_eq!(nobody.state("processors").await.0, "red");
    let record = nobody.app.get("/v1/privacy/record").await;
    assert_eq!(says(&record, "processors").unwrap(), "MISSING: set privacy.processors");
}
