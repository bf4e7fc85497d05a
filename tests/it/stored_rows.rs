//! Promise: whoever can write to the database and is not the gateway removes no row, and puts none back, without being found out; and what
//! the gateway rightly removes is never missed.

mod measured;
mod rolled_back;

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use waxseal::access::{Permission, Permissions};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::support::process::waxseal;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, app, database, webhook};

const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";
/// The clock begins on the day before, so that the command line, which has the real one, looks when a day has passed.
const BEFORE: Duration = Duration::hours(26);
/// And is a little behind it: an act of now is over for who looks.
const BEHIND: Duration = Duration::minutes(10);

struct Shop {
    app: TestApp,
    clock: Arc<ManualClock>,
    environment: Vec<(String, String)>,
}

impl Shop {
    async fn open() -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now() - BEFORE - BEHIND));
        let app = TestApp::spawn_with(clock.clone(), &[]).await;
        let environment = app::variables(&app.database, app.simulator.base_url());
        Self { app, clock, environment }
    }

    async fn says(&self, person: &str, wamid: &str) {
        assert_eq!(self.app.webhook(webhook::text(person, wamid, "Worte")).await, StatusCode::OK);
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let answer = self.app.api(method, path).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let told = answer.text().await.unwrap();
        self.app.directory_is_read().await;
        serde_json::from_str(&told).unwrap_or_default()
    }

    /// Lets time pass until the log says anew what is stored.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        let today = self.clock.now().date();
        let done =
            format!("SELECT count(*) FROM audit_entry WHERE action = 'retention.attested' AND part_day = '{today}'");
        database::until(&self.app.database, &done, 1).await;
    }

    async fn sabotage(&self, statement: &str) {
        database::sabotage(&self.app.database, statement).await;
    }

    /// What the command line says of the rows, and what it ends with.
    async fn rows(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = waxseal(&[&["audit", "rows"], words].concat(), &self.environment).output().await.unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    async fn are_right(&self) {
        let (code, said) = self.rows(&[]).await;
        assert!(code == Some(0) && said.starts_with("ok: "), "{code:?} {said}");
    }

    async fn are_told(&self, fault: &str) {
        let (code, said) = self.rows(&[]).await;
        let lines: Vec<&str> = said.lines().collect();
        assert!(code == Some(4) && lines == [format!("diverged: {fault}")], "{fault}: {code:?} {said}");
    }

    /// Under which day what people said is filed.
    async fn day(&self) -> String {
        let day = "SELECT min(part_day)::text FROM event WHERE type = 'message.received'";
        database::text(&self.app.database, day).await
    }

    async fn contact(&self, number: &str) -> String {
        let contacts = self.app.get("/v1/contacts").await;
        let all = contacts["data"].as_array().unwrap();
        let one = all.iter().find(|one| one["phone"] == number).unwrap();
        one["id"].as_str().unwrap().to_owned()
    }

    async fn erased(&self, number: &str) {
        let asked = self.call(Method::POST, "/v1/privacy/erasures", json!({ "phone": number })).await;
        let path = format!("/v1/privacy/erasures/{}", asked["id"].as_str().unwrap());
        until("they are erased", PATIENCE, async || self.app.get(&path).await["state"] == "certified").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_removed_changed_or_made_up_is_told_with_its_table_and_day() {
    let shop = Shop::open().await;
    shop.says(ANA, "wamid.rows.1").await;
    shop.says(BOB, "wamid.rows.2").await;
    let message = json!({ "channel_id": shop.app.channel().await, "message": { "to": ANA, "type": "text", "text": { "body": "Gesagt" } } });
    let sent = shop.call(Method::POST, "/v1/messages", message).await;
    let path = format!("/v1/messages/{}", sent["id"].as_str().unwrap());
    until("it is sent", PATIENCE, async || shop.app.get(&path).await["state"] != "queued").await;
    let (code, said) = shop.rows(&[]).await;
    assert!(code == Some(0) && said.contains("has not said yet"), "{said}");
    shop.pass(BEFORE).await;
    shop.are_right().await;

    let ana = shop.contact(ANA).await;
    for table in ["contact", "event", "event_payload", "message"] {
        shop.sabotage(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    let day = shop.day().await;
    let sent_on = database::text(&shop.app.database, "SELECT min(part_day)::text FROM message").await;
    let hers = format!("(SELECT event_id FROM event WHERE contact_id = '{ana}' AND type = 'message.received')");
    let again = |table: &str| format!("INSERT INTO {table} SELECT * FROM kept_{table} ON CONFLICT DO NOTHING");
    let harm = [
        (
            format!("DELETE FROM event_payload WHERE event_id IN {hers}"),
            format!("event_payload of {day}: 1 rows are missing"),
        ),
        (format!("DELETE FROM event WHERE event_id IN {hers}"), format!("event of {day}: 1 rows are missing")),
        (format!("DELETE FROM contact WHERE contact_id = '{ana}'"), "contact: 1 rows are missing".to_owned()),
        ("DELETE FROM message".to_owned(), format!("message of {sent_on}: 1 rows are missing")),
    ];
    for (statement, fault) in &harm {
        shop.sabotage(statement).await;
        shop.are_told(fault).await;
        for table in ["contact", "event", "event_payload", "message"] {
            shop.sabotage(&again(table)).await;
        }
        shop.are_right().await;
    }
    shop.sabotage(&format!("UPDATE event SET occurred_at = occurred_at - interval '1 hour' WHERE event_id IN {hers}"))
        .await;
    shop.are_told(&format!("event of {day}: rows were put in the place of others")).await;
    shop.sabotage(&format!("DELETE FROM event WHERE event_id IN {hers}")).await;
    shop.sabotage(&again("event")).await;
    shop.are_right().await;
    let twice = "INSERT INTO event SELECT * FROM (SELECT tenant_id, part_day, subject, '\\x0102030405060708'::bytea, event_id, type, channel_id,
                 contact_id, message_id, status_rank, error_code, occurred_at, received_at, xid FROM event
                 WHERE type = 'message.received' LIMIT 1) e (tenant_id, part_day,
                 subject, variant, event_id, type, channel_id, contact_id, message_id, status_rank, error_code, occurred_at, received_at, xid)";
    shop.sabotage(twice).await;
    shop.are_told(&format!("event of {day}: 1 rows too many")).await;

    // It is red, and stays so when the next day says anew what is stored.
    let output = waxseal(&["posture", "--json"], &shop.environment).output().await.unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let control = told["controls"].as_array().unwrap().iter().find(|one| one["control"] == "rows").unwrap();
    assert_eq!((&control["state"], output.status.code()), (&json!("red"), Some(4)), "{control}");
    assert!(control["evidence"].as_str().unwrap().contains("1 rows too many"), "{control}");
    shop.pass(Duration::days(1)).await;
    shop.are_told(&format!("event of {day}: 1 rows too many")).await;
    let said = shop.app.get("/v1/audit?action=rows.attested").await;
    assert!(said["data"][0].to_string().contains("astray=1"), "{said}");

    // Until an operator takes it for right, which stands in the log.
    let (code, said) = shop.rows(&["--accept"]).await;
    assert!(code == Some(0) && said.starts_with("ok: "), "{said}");
    assert_eq!(shop.app.get("/v1/audit?action=rows.accepted").await["data"].as_array().unwrap().len(), 1);
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_erased_person_are_not_missed_and_are_told_when_they_are_put_back() {
    let shop = Shop::open().await;
    shop.says(ANA, "wamid.back.1").await;
    shop.says(BOB, "wamid.back.2").await;
    shop.pass(BEFORE).await;
    let ana = shop.contact(ANA).await;
    let (day, hers) = (shop.day().await, format!("contact_id = '{ana}'"));
    for table in ["contact", "event", "event_payload"] {
        shop.sabotage(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    // What is younger than what was said is removed with the rest.
    shop.says(ANA, "wamid.back.3").await;
    shop.erased(ANA).await;
    // The log knows of it already: nobody takes that it was removed away with the removal.
    assert_eq!(database::count(&shop.app.database, "SELECT count(*) FROM row_removal").await, 0);
    shop.are_right().await;

    let put_back = format!("INSERT INTO event SELECT * FROM kept_event WHERE {hers}");
    let rows = database::count(&shop.app.database, &format!("SELECT count(*) FROM kept_event WHERE {hers}")).await;
    for _ in 0..2 {
        shop.sabotage(&put_back).await;
        shop.are_told(&format!("event of {day}: {rows} rows too many")).await;
        shop.sabotage(&format!("DELETE FROM event WHERE {hers}")).await;
        shop.sabotage(&format!("INSERT INTO contact SELECT * FROM kept_contact WHERE {hers}")).await;
        shop.are_told("contact: 1 rows too many").await;
        shop.sabotage(&format!("DELETE FROM contact WHERE {hers}")).await;
        shop.are_right().await;
        // The same on the next day, when the log has said anew what is stored.
        shop.pass(Duration::days(1)).await;
        assert_eq!(database::count(&shop.app.database, "SELECT count(*) FROM row_removal").await, 0);
        shop.are_right().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_rows_cannot_be_put_back_with_them_nor_written_by_others() {
    let shop = Shop::open().await;
    shop.says(ANA, "wamid.marks.1").await;
    shop.says(BOB, "wamid.marks.2").await;
    shop.pass(BEFORE).await;
    let tables = ["contact", "event", "event_payload", "row_mark"];
    for table in tables {
        shop.sabotage(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }
    shop.erased(ANA).await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;
    shop.sabotage("CREATE TABLE new_mark AS TABLE row_mark").await;

    // Everything as it was on the day before, marks and all.
    for table in tables {
        shop.sabotage(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept_{table}")).await;
    }
    let (code, said) = shop.rows(&[]).await;
    assert!(code == Some(4) && said.contains("row_mark: they are not those that the log commits to"), "{said}");
    // An entry of that day, copied: it has another id.
    let entry = "INSERT INTO audit_entry (tenant_id, part_day, entry_id, actor_id, action, entry, salt)
                 SELECT tenant_id, part_day, overlay(entry_id::text placing 'ffffffffffff' from 25)::uuid, actor_id, action, entry, salt
                 FROM audit_entry WHERE action = 'rows.attested' AND part_day = (SELECT max(part_day) FROM audit_entry WHERE action = 'rows.attested')
                 LIMIT 1";
    shop.sabotage(entry).await;
    let (_, said) = shop.rows(&[]).await;
    assert!(said.contains("row_mark: they are not those that the log commits to"), "{said}");
    shop.sabotage("DELETE FROM audit_entry WHERE entry_id::text LIKE '%ffffffffffff'").await;

    // None at all, or one in the place of another.
    shop.sabotage("DELETE FROM row_mark").await;
    let (_, said) = shop.rows(&[]).await;
    assert!(said.contains("row_mark: they are not those that the log commits to"), "{said}");
    shop.sabotage("INSERT INTO row_mark SELECT * FROM new_mark").await;
    shop.sabotage(
        "UPDATE row_mark SET content = (SELECT content FROM new_mark WHERE counted = 'contact') WHERE counted = 'event'",
    )
    .await;
    let (_, said) = shop.rows(&[]).await;
    assert!(said.contains("row_mark: what is known of it was changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_with_its_delivery_or_its_age_is_not_missed() {
    let shop = Shop::open().await;
    let channel = format!("/v1/channels/{}", shop.app.channel().await);
    shop.call(Method::PATCH, &channel, json!({ "retention": { "received": "delivered" } })).await;
    shop.says(ANA, "wamid.goes.1").await;
    until("it went", PATIENCE, async || database::count(&shop.app.database, "SELECT count(*) FROM passing").await == 0)
        .await;
    let restriction = format!("/v1/contacts/{}/restriction", shop.contact(ANA).await);
    shop.call(Method::PUT, &restriction, json!({ "reason": "x" })).await;
    shop.says(ANA, "wamid.goes.2").await;
    shop.says(BOB, "wamid.goes.3").await;
    until("his went, and hers stays", PATIENCE, async || {
        database::count(&shop.app.database, "SELECT count(*) FROM passing").await == 1
    })
    .await;
    shop.pass(BEFORE).await;
    shop.are_right().await;
    shop.sabotage("CREATE TABLE kept AS TABLE event_payload").await;
    let day = shop.day().await;

    shop.call(Method::DELETE, &restriction, json!({})).await;
    until("it went too", PATIENCE, async || {
        database::count(&shop.app.database, "SELECT count(*) FROM passing").await == 0
    })
    .await;
    shop.are_right().await;
    shop.sabotage("CREATE TABLE told AS TABLE row_removal; DELETE FROM row_removal").await;
    shop.are_told(&format!("event_payload of {day}: 1 rows are missing")).await;
    shop.sabotage("INSERT INTO row_removal SELECT * FROM told").await;
    shop.are_right().await;
    shop.sabotage("INSERT INTO event_payload SELECT * FROM kept ON CONFLICT DO NOTHING").await;
    shop.are_told(&format!("event_payload of {day}: 1 rows too many")).await;
    shop.sabotage(
        "DELETE FROM event_payload p USING event e WHERE e.event_id = p.event_id AND e.type = 'message.received'",
    )
    .await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;

    shop.pass(Duration::days(100)).await;
    assert_eq!(
        database::count(&shop.app.database, "SELECT count(*) FROM event_payload WHERE part_day < now()").await,
        0
    );
    shop.are_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_and_settings_of_before_are_told_when_they_are_put_back() {
    let shop = Shop::open().await;
    let receiver = Receiver::start().await;
    let endpoint = shop.app.endpoint(&receiver, "standard").await["id"].as_str().unwrap().to_owned();
    let key = shop.call(Method::POST, "/v1/keys", json!({ "name": "old", "permissions": ["events:read"] })).await;
    let key = key["id"].as_str().unwrap().to_owned();
    let channel = shop.app.channel().await;
    shop.pass(BEFORE).await;
    shop.are_right().await;
    for table in ["api_key", "channel", "endpoint"] {
        shop.sabotage(&format!("CREATE TABLE kept_{table} AS TABLE {table}")).await;
    }

    // Within a day: what the log says since counts.
    shop.call(Method::DELETE, &format!("/v1/keys/{key}"), json!({})).await;
    shop.call(Method::PATCH, &format!("/v1/channels/{channel}"), json!({ "access_token": "EAAGm0PX4ZCpsBAKnew" }))
        .await;
    shop.are_right().await;
    let in_force = format!("UPDATE api_key SET revoked_at = NULL WHERE key_id = '{key}'");
    shop.sabotage(&in_force).await;
    shop.are_told(&format!("key {key}: it was revoked, and is in force")).await;
    shop.sabotage(&format!("UPDATE api_key SET revoked_at = now() WHERE key_id = '{key}'")).await;

    // And on every later one.
    shop.call(Method::DELETE, &format!("/v1/endpoints/{endpoint}"), json!({})).await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;
    shop.sabotage(&in_force).await;
    shop.are_told(&format!("key {key}: it was changed, and no entry tells of it")).await;
    shop.sabotage(&format!("DELETE FROM api_key WHERE key_id = '{key}'")).await;
    shop.are_told(&format!("key {key}: it is gone, and no entry tells of it")).await;
    shop.sabotage(&format!("INSERT INTO api_key SELECT * FROM kept_api_key WHERE key_id = '{key}'")).await;
    shop.are_told(&format!("key {key}: it was changed, and no entry tells of it")).await;
    shop.call(Method::DELETE, &format!("/v1/keys/{key}"), json!({})).await;
    shop.pass(Duration::days(1)).await;
    shop.are_right().await;

    let old =
        "UPDATE channel SET access_token = k.access_token FROM kept_channel k WHERE k.channel_id = channel.channel_id";
    shop.sabotage(old).await;
    shop.are_told(&format!("channel {channel}: it was changed, and no entry tells of it")).await;
    shop.call(Method::PATCH, &format!("/v1/channels/{channel}"), json!({ "access_token": "EAAGm0PX4ZCpsBAKnew" }))
        .await;
    shop.are_right().await;
    shop.pass(Duration::days(2)).await;
    shop.sabotage("INSERT INTO endpoint SELECT * FROM kept_endpoint").await;
    shop.are_told(&format!("endpoint {endpoint}: it is there, and no entry tells of it")).await;
    shop.sabotage("DELETE FROM endpoint").await;
    shop.are_right().await;

    // A key that nobody of ours made.
    app::api_key_with(&shop.app.gateway, Permissions::from_iter([Permission::EventsRead])).await;
    let (code, said) = shop.rows(&[]).await;
    assert!(code == Some(4) && said.contains("it is there, and no entry tells of it"), "{said}");
}
