//! The gateway is killed at any instant while it sends, and answers of Meta are lost: nothing is sent twice, and what may or may not have
//! been sent is said to be in doubt. `SENDING_MESSAGES` and `SENDING_SEED` in the environment make it longer, or repeat a run.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use waxseal::simulator::{Ladder, Settings};

use crate::support::database;
use crate::support::estate::Estate;
use crate::support::wait::{PATIENCE, until};

const KILLS: u64 = 5;
/// Answers that are lost before each kill.
const LOST: u64 = 4;

/// Nothing leaves through any channel until [`RELEASE`].
pub const HOLD: &str = "INSERT INTO channel_pace (tenant_id, channel_id, taken_until, slowed_until)
                    SELECT tenant_id, channel_id, now(), now() + interval '10 years' FROM channel";
pub const RELEASE: &str = "UPDATE channel_pace SET slowed_until = 'epoch'";

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Steele and others' generator for tests, `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % most.max(1)
    }
}

async fn ledger(estate: &Estate, query: &str) -> Value {
    reqwest::get(format!("{}/control/ledger{query}", estate.simulator.base_url())).await.unwrap().json().await.unwrap()
}

async fn accepted(estate: &Estate) -> u64 {
    ledger(estate, "?summary=true").await["messages_accepted"].as_u64().unwrap()
}

/// State of every message, by the text that carries its id to Meta.
async fn states(url: &str) -> HashMap<String, String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT 'waxseal:' || replace(message_id::text, '-', ''), state FROM message")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    rows.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_gateway_is_killed_each_message_is_sent_once_or_called_in_doubt_and_never_twice() {
    let messages = number("SENDING_MESSAGES").unwrap_or(2_000);
    let seed = number("SENDING_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SENDING_SEED={seed}");
    let mut dice = Dice(seed);
    let more = [("WAXSEAL_SEND__MESSAGES_PER_SECOND", "unlimited"), ("WAXSEAL_SEND__MAX_IN_FLIGHT", "48")];
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let ladder = Ladder { enabled: false, ..Ladder::default() }; // no status settles a doubt
    estate.simulator.configure(Settings { delay_ms: 20, ladder, ..Settings::default() });
    let channel = estate.get("/v1/channels").await["data"][0]["id"].clone();
    database::sabotage(&estate.database, HOLD).await;
    let queued = stream::iter(0..messages).for_each_concurrent(16, async |number| {
        let message = json!({ "messaging_product": "whatsapp", "to": format!("49151{number:08}"), "type": "text", "text": { "body": "x" } });
        estate.post("/v1/messages", &json!({ "channel_id": channel, "message": message }), StatusCode::ACCEPTED).await;
    });
    queued.await;
    database::sabotage(&estate.database, RELEASE).await;

    let control = format!("{}/control/faults", estate.simulator.base_url());
    for kill in 1..=KILLS {
        let faults = json!({ "messages": "lost_answer", "times": LOST });
        reqwest::Client::new().put(&control).json(&faults).send().await.unwrap().error_for_status().unwrap();
        let at = (messages * kill / (KILLS + 1)).saturating_sub(dice.below(messages / (2 * KILLS)));
        until("enough are sent for a kill", PATIENCE, async || accepted(&estate).await >= at).await;
        estate.gateway.kill_hard().await;
        // As if its lease had run out.
        database::sabotage(&estate.database, "UPDATE worker SET lease_until = now() - interval '1 second'").await;
        estate.gateway = estate.in_its_place().await;
    }
    let owed = "SELECT count(*) FROM outbox";
    until("nothing is owed", PATIENCE, async || database::count(&estate.database, owed).await == 0).await;
    let unsettled = "SELECT count(*) FROM message WHERE state = 'queued'";
    assert_eq!(database::count(&estate.database, unsettled).await, 0);

    let (ledger, states) = (ledger(&estate, "").await, states(&estate.database).await);
    assert_eq!(ledger["doubled"], json!({}), "sent twice; SENDING_SEED={seed}");
    let sent: HashSet<&str> = ledger["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["biz_opaque_callback_data"].as_str().unwrap())
        .collect();
    assert_eq!(u64::try_from(states.len()).unwrap(), messages);
    let (mut doubted, mut doubted_and_sent) = (0, 0);
    for (id, state) in &states {
        match state.as_str() {
            "accepted" => assert!(sent.contains(id.as_str()), "accepted and never sent; SENDING_SEED={seed}"),
            "in_doubt" => {
                doubted += 1;
                doubted_and_sent += i32::from(sent.contains(id.as_str()));
            }
            other => panic!("{other}; SENDING_SEED={seed}"),
        }
    }
    println!("{} sent, {doubted} in doubt, {doubted_and_sent} of them sent", sent.len());
    assert!(doubted > 0, "answers were lost");
    let told = "SELECT count(*) FROM event WHERE type IN ('message.accepted', 'message.in_doubt')";
    assert_eq!(u64::try_from(database::count(&estate.database, told).await).unwrap(), messages, "each is told of once");
}
