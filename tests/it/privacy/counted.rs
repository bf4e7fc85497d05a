//! What is counted before is what goes.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use waxseal::clock::SystemClock;

use super::{ANA, contact_of, erase, reaches, says};
use crate::support::{Receiver, TestApp, database};

/// Every table of which an erasure says how many rows went.
const COUNTED: &[&str] = &[
    "attempt",
    "audit_subject",
    "consent",
    "contact",
    "contact_identifier",
    "delivery",
    "delivery_dead",
    "delivery_retry",
    "event",
    "event_payload",
    "export",
    "hold",
    "idempotency",
    "in_chat",
    "key_read",
    "media",
    "media_fetch",
    "message",
    "notice",
    "outbox",
    "pair_pace",
    "passing",
    "replay",
    "restriction",
    "service_window",
];

/// Rows of which the way through the gateway is long, beside what is there by then. Nobody works on them.
const MORE: &str = "
CREATE TEMPORARY TABLE known AS
    SELECT c.tenant_id AS t, c.contact_id AS c, e.event_id AS e, e.part_day AS day, h.channel_id AS n, p.endpoint_id AS p,
           p.url::bytea AS content, m.message_id AS m, m.part_day AS m_day, now() AS at, now() + interval '1 day' AS later
    FROM contact c JOIN event e USING (tenant_id, contact_id) JOIN message m USING (tenant_id, contact_id)
    JOIN channel h ON h.tenant_id = c.tenant_id JOIN endpoint p ON p.tenant_id = c.tenant_id
    WHERE c.contact_id = 'CONTACT' AND e.type = 'message.received' ORDER BY m.message_id LIMIT 1;
INSERT INTO in_chat SELECT t, gen_random_uuid(), c, n, 'erasure', 'de', 'done', NULL, at, at, at FROM known;
INSERT INTO passing SELECT t, e, day, c, day FROM known;
INSERT INTO notice SELECT t, c, '1', 'sent', n, at, 0, NULL FROM known;
INSERT INTO replay (tenant_id, replay_id, endpoint_id, state, event_ids, contact_id, event_types, channel_ids, end_xid, created_at, ended_at)
    SELECT t, gen_random_uuid(), p, 'done', ARRAY[e], c, '{}', '{}', '1', at, at FROM known;
INSERT INTO media_fetch (tenant_id, media_id, part_day, channel_id, next_at) SELECT t, e, day, n, later FROM known;
INSERT INTO media SELECT t, gen_random_uuid(), n, c, 'lost', 'gone', NULL, NULL, at FROM known;
INSERT INTO export (tenant_id, export_id, contact_id, contact_ids, state, sealed_for, recipient, actor_id, created_at, expires_at)
    SELECT t, gen_random_uuid(), c, ARRAY[c], 'failed', 'recipient', content, c, at, later FROM known;
INSERT INTO hold (tenant_id, hold_id, contact_id, state, reason, owner_id, created_at, expires_at)
    SELECT t, gen_random_uuid(), c, 'requested', content, c, at, later FROM known;
INSERT INTO restriction SELECT t, c, content, c, at FROM known;
INSERT INTO delivery_dead (tenant_id, endpoint_id, event_id, part_day, event_xid, attempts, reason, died_at)
    SELECT t, p, e, day, '1', 12, 'exhausted', at FROM known;
INSERT INTO delivery_retry SELECT t, p, 0, later, e, day, '1', NULL, 1 FROM known;
INSERT INTO attempt SELECT t, day, p, e, 1, 'timeout', NULL, 1, 1, 1, at FROM known;
INSERT INTO attempt SELECT t, day, p, e, 2, 'timeout', NULL, 1, 1, 1, later FROM known;
";

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_counts_what_the_certificate_says_went_table_by_table() {
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[]).await;
    let receiver = Receiver::start().await;
    let endpoint = app.endpoint(&receiver, "standard").await;
    let pause = format!("/v1/endpoints/{}", endpoint["id"].as_str().unwrap());
    let paused = app.api(Method::PATCH, &pause).json(&json!({ "state": "paused" })).send().await.unwrap();
    assert!(paused.status().is_success(), "{}", paused.text().await.unwrap());
    app.directory_is_read().await;
    let key = json!({ "name": "reader", "role": "admin", "contacts_per_hour": 100 });
    let key: Value = app.api(Method::POST, "/v1/keys").json(&key).send().await.unwrap().json().await.unwrap();
    app.directory_is_read().await;
    says(&app, ANA, "wamid.counted.1", "Moin").await;
    says(&app, ANA, "wamid.counted.2", "STOP").await;
    let channel = app.channel().await;
    let ahead = time::OffsetDateTime::now_utc() + time::Duration::days(2);
    let ahead = ahead.format(&time::format_description::well_known::Rfc3339).unwrap();
    for (number, at) in [None, Some(&ahead)].into_iter().enumerate() {
        let mut order =
            json!({ "channel_id": channel, "message": { "to": ANA, "type": "text", "text": { "body": "Antwort" } } });
        if let Some(at) = at {
            order["send_at"] = json!(at);
        }
        let order = app.api(Method::POST, "/v1/messages").header("idempotency-key", format!("{number}")).json(&order);
        assert!(order.send().await.unwrap().status().is_success());
    }
    database::until(&app.database, "SELECT count(*) FROM outbox", 1).await;
    database::until(&app.database, "SELECT count(*) FROM event WHERE type = 'message.read'", 1).await;
    database::settled(&app.database).await;
    let ana = contact_of(&app, ANA).await.unwrap();
    let read =
        app.api_as(key["key"].as_str().unwrap(), Method::GET, &format!("/v1/contacts/{ana}")).send().await.unwrap();
    assert!(read.status().is_success());
    database::sabotage(&app.database, &MORE.replace("CONTACT", &ana)).await;

    let dry_run = json!({ "phone": ANA, "dry_run": true });
    let counted = app.api(Method::POST, "/v1/privacy/erasures").json(&dry_run).send().await.unwrap();
    let counted = counted.json::<Value>().await.unwrap()["removed"].clone();
    let missing: Vec<_> =
        COUNTED.iter().filter(|table| counted[**table].as_i64().is_none_or(|rows| rows == 0)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {counted}");

    let (id, _) = erase(&app, json!({ "phone": ANA })).await;
    reaches(&app, &id, "epoch_stepped").await;
    let removed = app.get(&format!("/v1/privacy/erasures/{id}")).await["removed"].clone();
    assert_eq!(counted, removed);
}
