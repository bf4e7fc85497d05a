//! The gateway is killed in the middle of an erasure.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{ANA, BOB};
use crate::support::app::APP_SECRET;
use crate::support::estate::Estate;
use crate::support::wait::{PATIENCE, until};
use crate::support::{database, webhook};

/// Every state but the last, in their order.
const STATES: [&str; 8] = [
    "received",
    "identity_checked",
    "held",
    "fenced",
    "keys_destroyed",
    "rows_removed",
    "epoch_stepped",
    "downstream_done",
];

/// No erasure leaves a state that is shut: whoever tries fails, and tries again.
const GATE: &str = "CREATE TABLE gate (shut text[]);
    INSERT INTO gate VALUES (ARRAY['received', 'identity_checked', 'fenced', 'keys_destroyed', 'rows_removed', 'epoch_stepped', 'downstream_done']);
    GRANT SELECT ON gate TO PUBLIC;
    CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF OLD.state <> NEW.state AND OLD.state = ANY (SELECT unnest(shut) FROM gate) THEN RAISE EXCEPTION 'shut'; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER stay BEFORE UPDATE ON erasure FOR EACH ROW EXECUTE FUNCTION stay();";

/// Somebody holds the data of the one who wrote first.
const HOLD: &str = "INSERT INTO hold (tenant_id, hold_id, contact_id, state, reason, owner_id, approver_id, created_at, active_at, expires_at)
    SELECT tenant_id, gen_random_uuid(), contact_id, 'active', profile::bytea, contact_id, gen_random_uuid(), now(), now(), now() + interval '1 day'
    FROM contact ORDER BY created_at, contact_id LIMIT 1";

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
    database::sabotage(&estate.database, GATE).await;
    database::sabotage(&estate.database, HOLD).await;
    estate.post("/v1/privacy/erasures", &json!({ "phone": ANA }), StatusCode::ACCEPTED).await;
    for at in STATES {
        until(&format!("it is {at}"), PATIENCE, async || state(&estate).await == at).await;
        estate.kill_and_restart().await;
        assert_eq!(state(&estate).await, at, "it waits for who takes it up");
        let next = match at {
            "held" => "UPDATE hold SET expires_at = created_at".to_owned(),
            _ => format!("UPDATE gate SET shut = array_remove(shut, '{at}')"),
        };
        database::sabotage(&estate.database, &next).await;
    }
    until("it is certified", PATIENCE, async || state(&estate).await == "certified").await;
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
