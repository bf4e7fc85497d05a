//! How far a breach went is told by the log.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::scene;
use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, app, database, webhook};

/// A key that somebody else has: its id, and what it is.
async fn stolen(app: &TestApp) -> (String, String) {
    let wanted = json!({ "name": "stolen", "role": "admin" });
    let made = app.api(Method::POST, "/v1/keys").json(&wanted).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

async fn at_a_terminal(app: &TestApp, words: &[&str]) -> String {
    let environment = app::variables(&app.database, app.simulator.base_url());
    let output = waxseal(words, &environment).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stolen_key_reached_is_told_with_each_person_counted_once() {
    let app = scene().await;
    let ana = app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned();
    let (thief, key) = stolen(&app).await;
    for _ in 0..2 {
        let read = app.api_as(&key, Method::GET, &format!("/v1/contacts/{ana}/messages")).send().await.unwrap();
        assert_eq!(read.status(), StatusCode::OK);
    }
    let scope = app.get(&format!("/v1/audit/scope?actor_id={thief}")).await;
    assert_eq!((&scope["all"]["entries"], &scope["all"]["contacts"]), (&json!(2), &json!(1)), "{scope}");
    let actions: Vec<&Value> = scope["actions"].as_array().unwrap().iter().map(|one| &one["action"]).collect();
    assert_eq!(actions, ["messages.read"]);
    let contacts = app.get(&format!("/v1/audit/scope/contacts?actor_id={thief}")).await;
    assert_eq!(contacts["data"], json!([{ "id": ana }]));
    let before = app.get("/v1/audit/scope?until=2020-01-01T00:00:00Z").await;
    assert_eq!(before, json!({ "all": null, "actions": [], "classes": [], "endpoints": [] }));
    let ids = at_a_terminal(&app, &["breach", "--from", "1h", "--actor", &thief, "--contacts"]).await;
    assert_eq!(ids.trim(), ana);
    let table = at_a_terminal(&app, &["breach", "--from", "1h", "--actor", &thief]).await;
    assert!(table.contains("messages.read") && table.contains("72 hours"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn classes_of_data_and_what_endpoints_were_sent_are_told_with_counts() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let endpoint = app.endpoint(&receiver, "standard").await["id"].as_str().unwrap().to_owned();
    for number in 0..3 {
        let body = webhook::text("4915199900031", &format!("wamid.scope.{number}"), "Moin");
        assert_eq!(app.webhook(body).await, StatusCode::OK);
    }
    receiver.wait_for(3).await;
    let ana = app.get("/v1/contacts").await["data"][0]["id"].as_str().unwrap().to_owned();
    let (thief, key) = stolen(&app).await;
    for path in ["/v1/contacts", "/v1/events", &format!("/v1/contacts/{ana}/messages"), "/v1/audit"] {
        assert_eq!(app.api_as(&key, Method::GET, path).send().await.unwrap().status(), StatusCode::OK, "{path}");
    }
    // Deliveries are summed for some seconds.
    let summed = "SELECT count(*) FROM audit_entry WHERE action = 'events.delivered'";
    until("deliveries are summed", PATIENCE, async || database::count(&app.database, summed).await > 0).await;
    let path = format!("/v1/audit/scope?actor_id={thief}");
    let mut scope = Value::Null;
    until("all three are told", PATIENCE, async || {
        scope = app.get(&path).await;
        scope["endpoints"] == json!([{ "endpoint_id": endpoint, "events": 3 }])
    })
    .await;
    let class =
        |class: &str, entries: i64, contacts: i64| json!({ "class": class, "entries": entries, "contacts": contacts });
    let wanted = [class("content", 2, 1), class("profile", 1, 1), class("audit", 1, 0)];
    assert_eq!(scope["classes"], json!(wanted), "events and messages are of one person: {scope}");
    let table = at_a_terminal(&app, &["breach", "--from", "1h", "--actor", &thief]).await;
    assert!(table.contains("content") && table.contains("profile") && table.contains(&endpoint), "{table}");
    let past = app.get("/v1/audit/scope?until=2020-01-01T00:00:00Z").await;
    assert_eq!(past["endpoints"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_people_whom_a_breach_is_about_are_listed_page_by_page() {
    let app = scene().await;
    assert_eq!(app.get("/v1/contacts").await["data"].as_array().unwrap().len(), 2);
    let page = |rest: String| {
        let app = &app;
        async move { app.get(&format!("/v1/audit/scope/contacts?limit=1{rest}")).await }
    };
    let first = page(String::new()).await;
    assert_eq!(first["has_more"], true, "{first}");
    let second = page(format!("&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((&second["has_more"], &second["next_cursor"]), (&json!(false), &Value::Null), "{second}");
    assert!(first["data"][0]["id"].as_str() < second["data"][0]["id"].as_str());
}
