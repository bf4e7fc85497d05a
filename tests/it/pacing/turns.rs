//! Whose turn it is, what is too late, and what is sent once more.

use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use waxseal::clock::SystemClock;
use waxseal::simulator::Settings;

use super::{hold, ledger, queue, release, strict};
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

/// What Meta accepted, in its order.
async fn order(app: &TestApp) -> Vec<String> {
    let ledger = ledger(app).await;
    let all = ledger["messages"].as_array().unwrap();
    all.iter().map(|one| one["body"]["text"]["body"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_go_before_bulk_and_a_key_with_few_messages_waits_for_none_with_many() {
    let one_at_a_time = [("WAXSEAL_SEND__MAX_IN_FLIGHT", "1"), ("WAXSEAL_SEND__MESSAGES_PER_SECOND", "200")];
    let app = TestApp::spawn_with(Arc::new(SystemClock), &one_at_a_time).await;
    app.simulator.configure(Settings { ladder: strict().ladder, ..Settings::default() });
    hold(&app).await;
    let mut ids = Vec::new();
    for number in 0..40 {
        let body = match number {
            0..30 => format!("many {number}"),
            30..33 => format!("bulk {number}"),
            33..36 => format!("reply {number}"),
            _ => format!("few {number}"),
        };
        ids.push((body.clone(), queue(&app, &format!("49151999{number:05}"), &body).await));
    }
    for (body, id) in &ids {
        let (key, priority) = match body.split(' ').next().unwrap() {
            "many" => ("a", 1),
            "bulk" => ("a", 2),
            "reply" => ("a", 0),
            _ => ("b", 1),
        };
        let choose = format!(
            "UPDATE outbox SET api_key_id = '01930000-0000-7000-8000-00000000000{key}', priority = {priority} WHERE message_id = '{id}'"
        );
        database::sabotage(&app.database, &choose).await;
    }
    release(&app).await;
    until("all are accepted", PATIENCE, async || order(&app).await.len() == 40).await;
    let order = order(&app).await;
    let places = |kind: &str| -> Vec<usize> {
        order.iter().enumerate().filter(|(_, body)| body.starts_with(kind)).map(|(place, _)| place).collect()
    };
    assert_eq!(places("reply"), [0, 1, 2], "{order:?}");
    assert_eq!(places("bulk"), [37, 38, 39], "{order:?}");
    let few = places("few");
    assert!(few.windows(2).all(|two| two[1] - two[0] == 2) && few[0] <= 4, "one of each key by turns: {order:?}");
    let many: Vec<&String> = order.iter().filter(|body| body.starts_with("many")).collect();
    let expected: Vec<String> = (0..30).map(|number| format!("many {number}")).collect();
    assert_eq!(many, expected.iter().collect::<Vec<_>>(), "each key's oldest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_too_late_is_never_sent_and_its_application_is_told() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    hold(&app).await;
    let late = queue(&app, "4915199900011", "zu spät").await;
    let in_time = queue(&app, "4915199900012", "rechtzeitig").await;
    let until_then = format!(
        "UPDATE outbox SET expires_at = next_at + interval '5 seconds' WHERE message_id = '{late}';
         UPDATE outbox SET expires_at = next_at + interval '5 minutes' WHERE message_id = '{in_time}'"
    );
    database::sabotage(&app.database, &until_then).await;
    clock.advance(time::Duration::seconds(6));
    // Also while nothing may be sent.
    until("it is expired", PATIENCE, async || app.get(&format!("/v1/messages/{late}")).await["state"] == "expired")
        .await;
    release(&app).await;
    clock.advance(time::Duration::seconds(1));
    until("the other is sent", PATIENCE, async || order(&app).await == ["rechtzeitig"]).await;
    until("its application is told", PATIENCE, async || {
        receiver.received().iter().any(|one| {
            let told = one.json();
            told["type"] == "message.expired" && told["data"]["message_id"] == late.as_str()
        })
    })
    .await;
    assert_eq!(ledger(&app).await["requests"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_answer_is_lost_is_sent_once_more_only_where_its_application_asked_for_it() {
    let app = TestApp::spawn().await;
    app.simulator.configure(Settings { ladder: strict().ladder, ..Settings::default() });
    app.control(Method::PUT, "faults", json!({ "messages": "lost_answer", "times": 2 })).await;
    hold(&app).await;
    let (held, resent) = (queue(&app, "4915199900011", "held").await, queue(&app, "4915199900012", "resent").await);
    let choose = format!("UPDATE message SET on_doubt = 'resend' WHERE message_id = '{resent}'");
    database::sabotage(&app.database, &choose).await;
    release(&app).await;
    let state = async |id: &str| app.get(&format!("/v1/messages/{id}")).await["state"].clone();
    until("both have ended", PATIENCE, async || state(&held).await == "in_doubt" && state(&resent).await == "accepted")
        .await;
    let mut order = order(&app).await;
    order.sort();
    assert_eq!(order, ["held", "resent", "resent"], "the price of asking for it");
    // A second lost answer is the last.
    app.control(Method::PUT, "faults", json!({ "messages": "lost_answer", "times": 2 })).await;
    hold(&app).await;
    let again = queue(&app, "4915199900013", "again").await;
    let choose = format!("UPDATE message SET on_doubt = 'resend' WHERE message_id = '{again}'");
    database::sabotage(&app.database, &choose).await;
    release(&app).await;
    until("it is in doubt", PATIENCE, async || state(&again).await == "in_doubt").await;
    assert_eq!(ledger(&app).await["messages_accepted"], 5);
}
