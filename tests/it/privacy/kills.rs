//! The gateway is killed in the middle of an erasure.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{ANA, BOB};
use crate::support::app::APP_SECRET;
use crate::support::estate::Estate;
use crate::support::wait::{PATIENCE, until};
use crate::support::{database, webhook};

async fn says(estate: &Estate, person: &str, wamid: &str) {
    let body = webhook::text(person, wamid, "Moin");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request =
        client.post(estate.gateway.webhook()).header("x-hub-signature-256", webhook::signature(APP_SECRET, &body));
    assert_eq!(request.body(body).send().await.unwrap().status(), StatusCode::OK);
}

async fn state(estate: &Estate) -> String {
    database::text(&estate.database, "SELECT state FROM erasure").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_killed_at_every_state_is_finished_once() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let receiver = estate.receiver().await;
    for number in 0..30 {
        says(&estate, ANA, &format!("wamid.kill.{number}")).await;
    }
    says(&estate, BOB, "wamid.kill.bob").await;
    receiver.wait_for(31).await;
    let stored = "SELECT count(*) FROM event WHERE contact_id IN (SELECT contact_id FROM contact_identifier)";
    let all = database::count(&estate.database, stored).await - 1;
    estate.post("/v1/privacy/erasures", &json!({ "phone": ANA }), StatusCode::ACCEPTED).await;
    let (mut before, mut kills) = (String::new(), 0);
    while before != "certified" {
        until("it goes on", PATIENCE, async || state(&estate).await != before).await;
        before = state(&estate).await;
        if before != "certified" {
            estate.kill_and_restart().await;
            kills += 1;
        }
    }
    assert!(kills >= 2, "it was killed {kills} times");
    let done = estate.get("/v1/privacy/erasures").await;
    let id = done["data"][0]["id"].as_str().unwrap().to_owned();
    let done: Value = estate.get(&format!("/v1/privacy/erasures/{id}")).await;
    assert_eq!(done["removed"]["event"], json!(all), "each row was counted once: {done}");
    assert_eq!(done["removed"]["contact"], 1);
    let left = "SELECT count(*) FROM event WHERE contact_id IS NOT NULL";
    assert_eq!(database::count(&estate.database, left).await, 1, "the other person's is there");
    let entries = "SELECT count(*) FROM audit_entry WHERE action = 'erasure.certified'";
    assert_eq!(database::count(&estate.database, entries).await, 1);
    let told = receiver.received().iter().filter(|one| one.json()["type"] == "contact.erased").count();
    assert!(told >= 1);
}
