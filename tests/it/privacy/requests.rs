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
async fn what_is_entered_about_somebody_who_is_being_erased_names_nobody() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.ask.4", "Vergesst mich").await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let fence = "INSERT INTO erased_contact (tenant_id, contact_id, erased_at) SELECT tenant_id, contact_id, now() FROM contact";
    database::sabotage(&app.database, fence).await;
    let body = json!({ "kind": "access", "law": "gdpr", "contact_id": ana, "reference": "Ana A." });
    let id = enter(&app, body).await["id"].as_str().unwrap().to_owned();
    let shown = app.get(&format!("/v1/privacy/requests/{id}")).await;
    assert!(shown["contact_id"].is_null() && shown["reference"].is_null(), "{shown}");
    let id = enter(&app, json!({ "kind": "access", "law": "gdpr", "reference": "B." })).await["id"].clone();
    let shown = app.get(&format!("/v1/privacy/requests/{}", id.as_str().unwrap())).await;
    assert_eq!(shown["reference"], "B.", "whoever is not known is not erased");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_counts_the_requests_that_were_shown_and_no_more() {
    let app = TestApp::spawn().await;
    for _ in 0..3 {
        enter(&app, json!({ "kind": "access", "law": "gdpr" })).await;
    }
    let first = app.get("/v1/privacy/requests?limit=2").await;
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
    let next = first["next_cursor"].as_str().unwrap();
    let rest = app.get(&format!("/v1/privacy/requests?limit=2&cursor={next}")).await;
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["has_more"]), (1, &json!(false)));
    let counts = async || {
        let entries = app.get("/v1/audit?limit=200&action=privacy_requests.read").await;
        let all = entries["data"].as_array().unwrap().iter();
        all.map(|one| one["said"]["count"].as_u64().unwrap_or_default()).collect::<Vec<_>>()
    };
    until("both are shown", PATIENCE, async || counts().await.len() == 2).await;
    assert_eq!(counts().await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_that_is_due_is_told_of_however_many_there_are() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    enter(&app, json!({ "kind": "access", "law": "lgpd" })).await;
    // All are due at the same moment.
    let many = "INSERT INTO privacy_request (tenant_id, request_id, kind, law, state, actor_id, received_at, due_at)
                SELECT tenant_id, gen_random_uuid(), kind, law, state, actor_id, received_at, due_at
                FROM privacy_request, generate_series(1, 249)";
    database::sabotage(&app.database, many).await;
    clock.advance(Duration::days(9));
    let told = "SELECT count(*) FROM event WHERE type = 'security.privacy_request_due'";
    database::until(&app.database, told, 250).await;
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
