//! Promise: what sending a message costs the database does not grow with how many there are, not even on a new day, of which the planner
//! knows nothing yet.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::SystemClock;

use crate::support::app::TestApp;
use crate::support::database;
use crate::support::wait::{PATIENCE, until};

const MESSAGES: i64 = 2000;
const BATCH: i64 = 500;
/// Entries of indexes that are read for one message, with room for lanes that look again.
const READS: i64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn a_message_costs_a_handful_of_reads_however_many_there_are() {
    let more = [("WAXSEAL_SEND__MESSAGES_PER_SECOND", "unlimited")];
    let app = TestApp::spawn_with(Arc::new(SystemClock), &more).await;
    let channel = app.channel().await;
    let message = |number: i64| {
        let to = format!("49151{:08}", number % 200);
        json!({ "channel_id": channel, "message": { "to": to, "type": "text", "text": { "body": "Hallo" } } })
    };
    for first in (0..MESSAGES).step_by(usize::try_from(BATCH).unwrap()) {
        let messages: Vec<Value> = (first..first + BATCH).map(message).collect();
        let batch = app.api(Method::POST, "/v1/messages/batch").json(&json!({ "messages": messages }));
        assert_eq!(batch.send().await.unwrap().status(), StatusCode::ACCEPTED);
    }
    let accepted = "SELECT count(*) FROM message WHERE state = 'accepted'";
    until("all are sent", PATIENCE, async || database::count(&app.database, accepted).await == MESSAGES).await;
    let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
                WHERE relname LIKE 'message%' OR relname IN ('outbox', 'pair_pace')";
    let read = database::count(&app.database, read).await;
    assert!(read < MESSAGES * READS, "{read} entries were read for {MESSAGES} messages");
}
