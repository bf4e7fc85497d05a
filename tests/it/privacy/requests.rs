//! What people ask about their data is entered, and its clock runs until it is answered.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;
use waxseal::clock::Clock;

use super::{ANA, contact_of, reaches, says};
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

async fn enter(app: &TestApp, body: Value) -> Value {
    let answer = app.api(Method::POST, "/v1/privacy/requests").json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

async fn act(app: &TestApp, id: &str, what: &str, body: Value) -> (StatusCode, Value) {
    let answer = app.api(Method::POST, &format!("/v1/privacy/requests/{id}/{what}")).json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_law_has_its_clock_and_a_request_is_given_longer_once_and_closed_once() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    says(&app, ANA, "wamid.ask.1", "Was wisst ihr über mich?").await;
    let received = (clock.now() - Duration::days(3)).replace_nanosecond(0).unwrap();
    let at = received.format(&Rfc3339).unwrap();
    let ccpa =
        enter(&app, json!({ "kind": "access", "law": "ccpa", "phone": ANA, "received_at": at, "reference": "Fall 7" }))
            .await;
    let id = ccpa["id"].as_str().unwrap();
    let shown = app.get(&format!("/v1/privacy/requests/{id}")).await;
    assert_eq!(shown["due_at"], ccpa["due_at"]);
    assert_eq!(shown["contact_id"], contact_of(&app, ANA).await.unwrap().as_str());
    assert_eq!(
        (&shown["reference"], &shown["state"], &shown["overdue"]),
        (&json!("Fall 7"), &json!("open"), &json!(false))
    );
    let looked = "SELECT count(*) FROM audit_entry WHERE action = 'privacy_requests.read'";
    assert_eq!(database::count(&app.database, looked).await, 1, "who reads the case is recorded");
    let readable = "SELECT count(*) FROM privacy_request r WHERE r::text LIKE '%Fall%'";
    assert_eq!(database::count(&app.database, readable).await, 0);

    let due = |value: &Value| time::OffsetDateTime::parse(value["due_at"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!((due(&shown) - received).whole_days(), 45);
    assert_eq!(act(&app, id, "extend", json!({ "reason": "viele Akten" })).await.0, StatusCode::NO_CONTENT);
    let longer = app.get(&format!("/v1/privacy/requests/{id}")).await;
    assert_eq!((due(&longer) - received).whole_days(), 90);
    assert_eq!(longer["reason"], "viele Akten");
    let (status, problem) = act(&app, id, "extend", json!({ "reason": "noch mehr" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("request_not_changed")));
    assert_eq!(act(&app, id, "close", json!({ "outcome": "done" })).await.0, StatusCode::NO_CONTENT);
    assert_eq!(act(&app, id, "close", json!({ "outcome": "refused" })).await.0, StatusCode::CONFLICT);

    let lgpd = enter(&app, json!({ "kind": "objection", "law": "lgpd" })).await;
    let (status, _) = act(&app, lgpd["id"].as_str().unwrap(), "extend", json!({ "reason": "x" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "this law knows no longer time");
    let open = app.get("/v1/privacy/requests?state=open").await;
    assert_eq!(open["data"].as_array().unwrap().len(), 1, "{open}");
    let bad =
        app.api(Method::POST, "/v1/privacy/requests").json(&json!({ "kind": "x", "law": "y" })).send().await.unwrap();
    let bad: Value = bad.json().await.unwrap();
    assert_eq!(bad["errors"].as_array().unwrap().len(), 2, "{bad}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_made_for_a_request_ends_it_and_nothing_says_any_more_who_asked() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.ask.2", "Vergesst mich").await;
    let entered = enter(&app, json!({ "kind": "erasure", "law": "gdpr", "phone": ANA, "reference": "Ana A." })).await;
    let id = entered["id"].as_str().unwrap();
    let begun = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA, "request_id": id }));
    let begun: Value = begun.send().await.unwrap().json().await.unwrap();
    reaches(&app, begun["id"].as_str().unwrap(), "certified").await;
    let shown = app.get(&format!("/v1/privacy/requests/{id}")).await;
    assert_eq!(shown["state"], "done", "{shown}");
    assert_eq!(shown["erasure_id"], begun["id"]);
    assert!(shown["contact_id"].is_null() && shown["reference"].is_null(), "{shown}");

    says(&app, ANA, "wamid.ask.3", "Ich bin wieder da").await;
    let again = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA, "request_id": id }));
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
    let running = "SELECT count(*) FROM erasure WHERE state <> 'certified'";
    assert_eq!(database::count(&app.database, running).await, 0, "a request that is over begins nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_are_told_before_a_request_is_due_and_when_it_is_overdue() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let receiver = Receiver::start().await;
    app.endpoint(&receiver, "standard").await;
    let entered = enter(&app, json!({ "kind": "access", "law": "lgpd" })).await;
    let told = async |overdue: bool| {
        until("the application is told", PATIENCE, async || {
            receiver.received().iter().map(crate::support::receiver::Received::json).any(|event| {
                let text = event.to_string();
                text.contains("security.privacy_request_due")
                    && text.contains(entered["id"].as_str().unwrap())
                    && text.contains(&format!("\"overdue\":{overdue}"))
            })
        })
        .await;
    };
    clock.advance(Duration::days(9));
    told(false).await;
    clock.advance(Duration::days(7));
    told(true).await;
}
