//! Promise: the PIN of a number is set, rotated and used without anybody seeing it, by whichever way it is set.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;

use crate::support::app::{PHONE_NUMBER_ID, TestApp};
use crate::support::database;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};

async fn post(app: &TestApp, path: &str, body: Value) -> (StatusCode, Value) {
    let path = format!("/v1/channels/{}/{path}", app.channel().await);
    let answer = app.api(Method::POST, &path).json(&body).send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

async fn mirror(app: &TestApp, path: &str, body: Value) -> StatusCode {
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}{path}");
    app.api(Method::POST, &path).json(&body).send().await.unwrap().status()
}

async fn registers(app: &TestApp) -> (StatusCode, Value) {
    let (status, problem) = post(app, "register", json!({})).await;
    (status, problem["code"].clone())
}

const DONE: StatusCode = StatusCode::NO_CONTENT;

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_was_set_or_rotated_registers_the_number_and_is_shown_to_nobody() {
    let app = TestApp::spawn().await;
    assert_eq!(post(&app, "pin", json!({ "pin": "482915" })).await, (DONE, Value::Null));
    assert_eq!(registers(&app).await.0, DONE, "with the PIN that is kept");
    assert_eq!(post(&app, "pin", json!({ "rotate": true })).await, (DONE, Value::Null));
    assert_eq!(registers(&app).await.0, DONE);
    let (status, problem) = post(&app, "register", json!({ "pin": "482915" })).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("meta_refused")),
        "it was rotated"
    );
    assert_eq!(problem["detail"], "Meta's error 133005");
    assert_eq!(registers(&app).await.0, DONE, "a wrong one does not take the place of the right one");

    for wrong in
        [json!({}), json!({ "pin": "12345" }), json!({ "pin": "482915", "rotate": true }), json!({ "rotate": false })]
    {
        let (status, problem) = post(&app, "pin", wrong).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_body")), "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], "/pin");
    }
    let sealed = "SELECT count(*) FROM channel WHERE pin IS NOT NULL AND pin_next IS NULL AND pin_asked_at IS NULL
                  AND position('482915'::bytea in pin::bytea) = 0";
    assert_eq!(database::count(&app.database, sealed).await, 1);
    let channel = app.get(&format!("/v1/channels/{}", app.channel().await)).await;
    assert!(!channel.to_string().contains("482915") && channel.get("pin").is_none(), "{channel}");
    let entries = app.get("/v1/audit?limit=200").await.to_string();
    assert!(entries.contains("graph.changed") && !entries.contains("482915"), "{entries}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_an_application_sets_through_the_mirror_is_kept_as_well() {
    let app = TestApp::spawn().await;
    assert_eq!(mirror(&app, "", json!({ "pin": "111222" })).await, StatusCode::OK);
    assert_eq!(registers(&app).await.0, DONE);
    assert_eq!(mirror(&app, "", json!({ "pin": "333444" })).await, StatusCode::OK);
    let register = json!({ "messaging_product": "whatsapp", "pin": "111222" });
    assert_eq!(mirror(&app, "/register", register).await, StatusCode::BAD_REQUEST, "Meta refuses the old one");
    assert_eq!(registers(&app).await.0, DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_answer_to_a_change_is_lost_the_right_pin_is_found_all_the_same() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    assert_eq!(post(&app, "pin", json!({ "pin": "111222" })).await.0, DONE);
    // A gateway died after it had asked, and Meta did not take it; then one died and Meta had.
    let asked = "UPDATE channel SET pin_next = pin, pin_asked_at = now()";
    database::sabotage(&app.database, asked).await;
    let (status, problem) = post(&app, "pin", json!({ "rotate": true })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("conflict")), "{problem}");
    clock.advance(Duration::minutes(7));
    app.control(Method::PUT, "faults", json!({ "account": "lost_answer" })).await;
    let (status, problem) = post(&app, "pin", json!({ "pin": "555666" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GATEWAY_TIMEOUT, &json!("meta_in_doubt")), "{problem}");
    app.control(Method::PUT, "faults", json!({})).await;
    assert_eq!(registers(&app).await.0, DONE);
    assert_eq!(
        mirror(&app, "/register", json!({ "messaging_product": "whatsapp", "pin": "555666" })).await,
        StatusCode::OK
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sets_and_uses_it_at_the_command_line_and_no_line_of_the_log_has_it() {
    let mut estate = crate::support::estate::Estate::start(database::fresh().await, &[]).await;
    let id = estate.get("/v1/channels").await["data"][0]["id"].as_str().unwrap().to_owned();
    let folder = crate::support::estate::Folder::new("pin");
    let file = folder.0.join("pin");
    std::fs::write(&file, "482915\n").unwrap();
    let run = async |words: &[&str]| {
        let done = waxseal(words, &estate.environment).output().await.unwrap();
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{said}");
        said
    };
    let mut said = run(&["channel", "pin", &id, "--secret-file", file.to_str().unwrap()]).await;
    said += &run(&["channel", "register", &id]).await;
    said += &run(&["channel", "pin", &id, "--rotate"]).await;
    said += &run(&["channel", "register", &id]).await;
    said += &run(&["channel", "pace", &id, "--messages-per-second", "7"]).await;
    until("the running gateway knows the pace", PATIENCE, async || {
        estate.get(&format!("/v1/channels/{id}")).await["messages_per_second"] == 7
    })
    .await;
    let path = format!("/v1/channels/{id}/pin");
    let answer = estate.request(Method::POST, &path).json(&json!({ "pin": "482915" })).send().await.unwrap();
    assert_eq!(answer.status(), DONE);
    estate.gateway.kill_hard().await;
    said += &estate.gateway.said();
    // Times of the log may have the same digits behind a point.
    let at = said
        .match_indices("482915")
        .find(|(at, _)| !said[..*at].ends_with(|before: char| before == '.' || before.is_ascii_digit()));
    assert_eq!(at, None, "{said}");
}
