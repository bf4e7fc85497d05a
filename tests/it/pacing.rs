//! Promise: messages leave as fast as Meta allows and no faster, over all processes together; whose turn it is, is fair; and when
//! Meta says "too fast" all the same, messages wait and do not fail.

mod given_back;
mod turns;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::simulator::{Ladder, Settings};

use crate::support::app::PHONE_NUMBER_ID;
use crate::support::estate::Estate;
use crate::support::process::Process;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

const MIRROR: &str = "/graph/v25.0/106540352242922/messages";

fn message(to: &str, body: &str) -> Value {
    json!({ "messaging_product": "whatsapp", "to": to, "type": "text", "text": { "body": body } })
}

async fn queue(app: &TestApp, to: &str, body: &str) -> String {
    let message = json!({ "channel_id": app.channel().await, "message": message(to, body) });
    let answer = app.api(Method::POST, "/v1/messages").json(&message).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", answer.text().await.unwrap());
    answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Limits enforced by Meta, and no statuses.
fn strict() -> Settings {
    let ladder = Ladder { enabled: false, ..Ladder::default() };
    Settings { messages_per_second: 80, pair_limit: true, ladder, ..Settings::default() }
}

async fn ledger(app: &TestApp) -> Value {
    app.control(Method::GET, "ledger", json!(null)).await
}

/// Bodies of what Meta accepted, in its order, from those to this number.
async fn bodies(app: &TestApp, to: &str) -> Vec<String> {
    let ledger = ledger(app).await;
    let all = ledger["messages"].as_array().unwrap().iter().filter(|one| one["to"] == to);
    all.map(|one| one["body"]["text"]["body"].as_str().unwrap().to_owned()).collect()
}

/// Nothing leaves through the channel until [`release`].
async fn hold(app: &TestApp) {
    let held = "INSERT INTO channel_pace (tenant_id, channel_id, taken_until, slowed_until)
                SELECT tenant_id, channel_id, now(), now() + interval '10 years' FROM channel
                ON CONFLICT (tenant_id, channel_id) DO UPDATE SET slowed_until = EXCLUDED.slowed_until";
    database::sabotage(&app.database, held).await;
}

async fn release(app: &TestApp) {
    database::sabotage(&app.database, "UPDATE channel_pace SET slowed_until = 'epoch'").await;
}

async fn mirrored(process: &Process, key: &str, to: &str) -> (StatusCode, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.post(process.api(MIRROR)).bearer_auth(key).json(&message(to, "direkt")).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_together_never_exceed_what_meta_allows_a_number_and_use_all_of_it() {
    const QUEUED: usize = 160;
    const MIRRORED: usize = 30;
    assert!(MIRROR.contains(PHONE_NUMBER_ID));
    // Few requests in flight, so that what a busy machine bunches up is less than a second of the limit.
    let estate = Estate::start(database::fresh().await, &[("WAXSEAL_SEND__MAX_IN_FLIGHT", "8")]).await;
    estate.simulator.configure(strict());
    let (second, third) = (estate.second().await, estate.second().await);
    let channel = estate.get("/v1/channels").await["data"][0]["id"].clone();
    let queueing = async {
        for number in 0..QUEUED {
            let body = json!({ "channel_id": channel, "message": message(&format!("49151999{number:05}"), "x") });
            estate.post("/v1/messages", &body, StatusCode::ACCEPTED).await;
        }
    };
    let mirroring = async |process: &Process, range: std::ops::Range<usize>| {
        for number in range {
            // An application that is refused for being too fast comes again.
            loop {
                let (status, answer) = mirrored(process, &estate.key, &format!("49152999{number:05}")).await;
                if status == StatusCode::OK {
                    break;
                }
                assert_eq!((status, &answer["error"]["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!(130_429)));
            }
        }
    };
    tokio::join!(
        queueing,
        mirroring(&estate.gateway, 0..MIRRORED),
        mirroring(&second, MIRRORED..2 * MIRRORED),
        mirroring(&third, 2 * MIRRORED..3 * MIRRORED),
    );
    let summary = || async {
        let url = format!("{}/control/ledger?summary=true", estate.simulator.base_url());
        reqwest::get(url).await.unwrap().json::<Value>().await.unwrap()
    };
    let all = u64::try_from(QUEUED + 3 * MIRRORED).unwrap();
    until("everything is accepted", PATIENCE, async || summary().await["messages_accepted"] == all).await;
    assert_eq!(summary().await["too_fast"], json!({ "throughput": 0, "pair": 0 }));
    let reported = "SELECT messages_per_second::bigint FROM channel";
    assert_eq!(database::count(&estate.database, reported).await, 80, "as Meta reports it");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_gets_45_messages_at_once_then_one_in_six_seconds_in_their_order_and_holds_nobody_up() {
    const ONE: &str = "4915199900011";
    let (app, clock) = TestApp::spawn_with_clock().await;
    app.simulator.configure(strict());
    hold(&app).await;
    for number in 0..48 {
        queue(&app, ONE, &number.to_string()).await;
    }
    queue(&app, "4915199900012", "Moin").await;
    release(&app).await;
    clock.advance(time::Duration::seconds(1));
    until("45 are accepted, and the one to somebody else", PATIENCE, async || {
        bodies(&app, ONE).await.len() == 45 && bodies(&app, "4915199900012").await.len() == 1
    })
    .await;
    let put_off = "SELECT count(*) FROM outbox WHERE sending_epoch IS NULL AND attempts = 0";
    database::until(&app.database, put_off, 3).await;

    // The mirror keeps the same limit, and says so in Meta's words.
    let answer = app.api(Method::POST, MIRROR).json(&message(ONE, "direkt")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], 131_056);

    for accepted in 46..=48 {
        clock.advance(time::Duration::seconds(6));
        until("one more is accepted", PATIENCE, async || bodies(&app, ONE).await.len() == accepted).await;
    }
    let expected: Vec<String> = (0..48).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&app, ONE).await, expected, "in the order in which they were handed over");
    assert_eq!(ledger(&app).await["too_fast"], json!({ "throughput": 0, "pair": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_meta_calls_too_fast_waits_as_long_as_it_asks_in_all_processes_and_nothing_fails() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    app.simulator.configure(Settings { ladder: strict().ladder, ..Settings::default() });
    let fault = json!({ "messages": { "code": 130_429, "retry_after": 30 }, "times": 1 });
    app.control(Method::PUT, "faults", fault).await;
    let mut ids = vec![queue(&app, "4915199900011", "1").await];
    database::until(&app.database, "SELECT count(*) FROM channel_pace WHERE slowed_until > 'epoch'", 1).await;
    database::until(&app.database, "SELECT count(*) FROM outbox WHERE sending_epoch IS NULL AND attempts = 0", 1).await;
    for number in 2..=6 {
        ids.push(queue(&app, &format!("49151999{number:05}"), "x").await);
    }
    clock.advance(time::Duration::seconds(20));
    let answer = app.api(Method::POST, MIRROR).json(&message("4915199900099", "direkt")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()["retry-after"], "10");
    assert_eq!(answer.json::<Value>().await.unwrap()["error"]["code"], 130_429);
    assert_eq!(ledger(&app).await["requests"], 1, "nothing leaves meanwhile");

    clock.advance(time::Duration::seconds(11));
    until("all are accepted", PATIENCE, async || ledger(&app).await["messages_accepted"] == 6).await;
    for id in ids {
        until("it is accepted", PATIENCE, async || app.get(&format!("/v1/messages/{id}")).await["state"] == "accepted")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_whom_meta_says_that_they_get_too_many_waits_four_times_as_long_each_time_and_nobody_else() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    app.simulator.configure(Settings { ladder: strict().ladder, ..Settings::default() });
    app.control(Method::PUT, "faults", json!({ "messages": { "code": 131_056 }, "times": 2 })).await;
    queue(&app, "4915199900011", "1").await;
    let put_back = "SELECT count(*) FROM outbox WHERE sending_epoch IS NULL AND attempts = 0";
    let refused = "SELECT COALESCE(max(refused), 0)::bigint FROM pair_pace";
    database::until(&app.database, refused, 1).await;
    database::until(&app.database, put_back, 1).await;
    clock.advance(time::Duration::seconds(1));
    database::until(&app.database, refused, 2).await;
    database::until(&app.database, put_back, 1).await;
    queue(&app, "4915199900012", "2").await;
    until("the other's is accepted", PATIENCE, async || bodies(&app, "4915199900012").await.len() == 1).await;
    clock.advance(time::Duration::seconds(3));
    queue(&app, "4915199900013", "3").await;
    until("the third's is accepted", PATIENCE, async || bodies(&app, "4915199900013").await.len() == 1).await;
    assert!(bodies(&app, "4915199900011").await.is_empty(), "four seconds are not over");
    clock.advance(time::Duration::seconds(1));
    until("theirs is accepted", PATIENCE, async || bodies(&app, "4915199900011").await.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_says_where_a_message_stands_and_when_it_goes_at_the_pace_of_its_own_channel() {
    let app = TestApp::spawn().await;
    let channel = app.channel().await;
    let path = format!("/v1/channels/{channel}");
    let set = async |per_second: Value| {
        let change = json!({ "messages_per_second": per_second });
        app.api(Method::PATCH, &path).json(&change).send().await.unwrap().status()
    };
    assert_eq!(set(json!(0)).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(set(json!(100_001)).await, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(set(json!(2)).await, StatusCode::OK);
    assert_eq!(app.get(&path).await["messages_per_second"], 2);
    hold(&app).await;
    let one = |more: Value| {
        let mut one = json!({ "channel_id": channel, "message": message("4915199900011", "x") });
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        one
    };
    let ask = async |more: Value| -> Value {
        app.api(Method::POST, "/v1/messages").json(&one(more)).send().await.unwrap().json().await.unwrap()
    };
    let at = |queued: &Value| {
        let text = queued["queue"]["estimated_send_at"].as_str().unwrap();
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap()
    };
    let (first, second) = (ask(json!({})).await, ask(json!({})).await);
    assert_eq!((&first["queue"]["position"], &second["queue"]["position"]), (&json!(0), &json!(1)), "{second}");
    assert_eq!(at(&second) - at(&first), time::Duration::milliseconds(500));
    assert_eq!(ask(json!({ "priority": "high" })).await["queue"]["position"], 0);
    let bulk = ask(json!({ "priority": "bulk" })).await;
    assert_eq!(bulk["queue"]["position"], 3);
    let shown = app.get(&format!("/v1/messages/{}", bulk["id"].as_str().unwrap())).await;
    assert_eq!(shown["queue"], bulk["queue"], "{shown}");
    let tomorrow = time::OffsetDateTime::now_utc() + time::Duration::DAY;
    let tomorrow = tomorrow.format(&time::format_description::well_known::Rfc3339).unwrap();
    assert_eq!(ask(json!({ "send_at": tomorrow })).await["queue"], Value::Null);
    let many =
        [json!({}), json!({ "priority": "high" }), json!({ "priority": "bulk" }), json!({ "send_at": tomorrow })];
    let batch = json!({ "messages": many.map(one) });
    let told = app.api(Method::POST, "/v1/messages/batch").json(&batch).send().await.unwrap();
    let told: Value = told.json().await.unwrap();
    let places: Vec<&Value> = told["data"].as_array().unwrap().iter().map(|one| &one["queue"]["position"]).collect();
    assert_eq!(places, [&json!(3), &json!(1), &json!(6), &Value::Null], "each behind those before it in the batch");
    assert_eq!(set(Value::Null).await, StatusCode::OK);
    assert_eq!(app.get(&path).await["messages_per_second"], Value::Null);
}
