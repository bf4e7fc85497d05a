//! Promise: many messages are handed over in one request, each stands for itself, and a repetition sends nothing twice.

use std::collections::HashSet;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::{TestApp, database};

const MESSAGES: &str = "SELECT count(*) FROM message";

/// Messages for tomorrow: these tests are about what is taken.
fn messages(channel: &str, count: usize) -> Vec<Value> {
    let send_at = (OffsetDateTime::now_utc() + Duration::DAY).format(&Rfc3339).unwrap();
    let message = |number: usize| {
        json!({ "channel_id": channel, "send_at": send_at, "priority": "bulk", "message": {
            "to": format!("49151999{:05}", number % 500), "type": "text", "text": { "body": format!("Nr. {number}") } } })
    };
    (0..count).map(message).collect()
}

async fn post(app: &TestApp, key: Option<&str>, messages: &[Value]) -> Response {
    let request = app.api(Method::POST, "/v1/messages/batch").json(&json!({ "messages": messages }));
    let request = match key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    };
    request.send().await.unwrap()
}

async fn refused(answer: Response, status: StatusCode) -> Value {
    assert_eq!(answer.status(), status);
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_faulty_messages_of_a_thousand_keep_no_other_from_being_taken() {
    let app = TestApp::spawn().await;
    let mut batch = messages(&app.channel().await, 1000);
    batch[0]["message"]["text"]["body"] = json!("");
    batch[500]["channel_id"] = json!("01890000-0000-7000-8000-000000000000");
    batch[999] = json!("nonsense");
    let answer = post(&app, None, &batch).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let told: Value = answer.json().await.unwrap();
    let told = told["data"].as_array().unwrap();
    assert_eq!(told.len(), 1000);
    let problem = |at: usize| (&told[at]["problem"]["code"], &told[at]["problem"]["errors"][0]["pointer"]);
    assert_eq!(problem(0), (&json!("invalid_body"), &json!("/message/text/body")));
    assert_eq!(problem(500), (&json!("invalid_body"), &json!("/channel_id")));
    assert_eq!(told[999]["problem"]["code"], "invalid_json");
    let ids: HashSet<&str> = told.iter().filter_map(|one| one["id"].as_str()).collect();
    assert_eq!(ids.len(), 997);
    assert!(told.iter().all(|one| one["id"].is_null() != (one["state"] == "queued")));
    assert_eq!(database::count(&app.database, MESSAGES).await, 997);
    let second = app.get(&format!("/v1/messages/{}", told[1]["id"].as_str().unwrap())).await;
    assert_eq!(second["request"]["text"]["body"], "Nr. 1", "the answers are in the order of the messages");
    let entries = "SELECT count(*) FROM audit_entry WHERE action = 'message.sent'";
    assert_eq!(database::count(&app.database, entries).await, 1, "one entry for the batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_batch_gives_the_answer_of_the_first_time_and_another_one_is_refused() {
    let app = TestApp::spawn().await;
    let mut batch = messages(&app.channel().await, 20);
    batch[7]["priority"] = json!("urgent");
    let first = post(&app, Some("nightly"), &batch).await;
    assert_eq!((first.status(), first.headers().contains_key("idempotent-replayed")), (StatusCode::ACCEPTED, false));
    let first = first.text().await.unwrap();
    let again = post(&app, Some("nightly"), &batch).await;
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.text().await.unwrap(), first, "problems and all");
    batch.pop();
    let other = refused(post(&app, Some("nightly"), &batch).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(other["code"], "idempotency_key_reused");
    assert_eq!(database::count(&app.database, MESSAGES).await, 19);
    let readable = "SELECT count(*) FROM idempotency WHERE position('queued'::bytea in answer::bytea) > 0";
    assert_eq!(database::count(&app.database, readable).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_batches_at_once_under_one_key_are_one() {
    let app = TestApp::spawn().await;
    let batch = messages(&app.channel().await, 50);
    let answers = futures_util::future::join_all((0..20).map(|_| post(&app, Some("burst"), &batch))).await;
    let mut told = HashSet::new();
    for answer in answers {
        match answer.status() {
            StatusCode::ACCEPTED => drop(told.insert(answer.text().await.unwrap())),
            status => assert_eq!(refused(answer, status).await["code"], "idempotency_in_progress"),
        }
    }
    assert_eq!(told.len(), 1);
    assert_eq!(database::count(&app.database, MESSAGES).await, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_nothing_but_faulty_messages_is_refused_with_the_faults_of_all() {
    let app = TestApp::spawn().await;
    let mut batch = messages(&app.channel().await, 2);
    batch[0]["message"]["to"] = json!("somebody");
    batch[1]["send_at"] = json!("tomorrow");
    let problem = refused(post(&app, Some("all"), &batch).await, StatusCode::UNPROCESSABLE_ENTITY).await;
    assert_eq!(problem["code"], "batch_refused");
    let pointers: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|one| one["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/messages/0/message/to", "/messages/1/send_at"]);
    let mended = post(&app, Some("all"), &messages(&app.channel().await, 2)).await;
    assert_eq!(mended.status(), StatusCode::ACCEPTED, "nothing was taken, so the key is still free");
    for wrong in [&[][..], &vec![json!({}); 1001][..]] {
        let problem = refused(post(&app, None, wrong).await, StatusCode::UNPROCESSABLE_ENTITY).await;
        assert_eq!(problem["errors"][0]["pointer"], "/messages", "{}", wrong.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_to_people_nobody_knew_makes_each_of_them_one_contact() {
    let app = TestApp::spawn().await;
    let batch = messages(&app.channel().await, 600);
    assert_eq!(post(&app, None, &batch).await.status(), StatusCode::ACCEPTED);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM contact").await, 500);
    assert_eq!(database::count(&app.database, "SELECT count(DISTINCT contact_id) FROM outbox").await, 500);
}
