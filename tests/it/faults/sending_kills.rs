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
use crate::support::process::Process;
use crate::support::wait::{PATIENCE, until};

const KILLS: u64 = 5;
/// Answers that are lost before each kill.
const LOST: u64 = 4;
/// Messages that are handed over together.
const BATCH: u64 = 500;
/// Requests on the wire at most.
const ON_THE_WIRE: u64 = 48;
/// As if the lease of whoever was killed had run out.
pub const FORGET: &str = "UPDATE worker SET lease_until = now() - interval '1 second'";

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

/// Messages to these people, as one request.
fn batch(channel: &Value, people: std::ops::Range<u64>) -> Value {
    let message = |number: u64| {
        let to = format!("49151{number:08}");
        let message = json!({ "messaging_product": "whatsapp", "to": to, "type": "text", "text": { "body": "x" } });
        json!({ "channel_id": channel, "message": message })
    };
    json!({ "messages": people.map(message).collect::<Vec<_>>() })
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_gateway_is_killed_each_message_is_sent_once_or_called_in_doubt_and_never_twice() {
    let messages = number("SENDING_MESSAGES").unwrap_or(10_000);
    let seed = number("SENDING_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SENDING_SEED={seed}");
    let mut dice = Dice(seed);
    let at_once = ON_THE_WIRE.to_string();
    let more = [("WAXSEAL_SEND__MESSAGES_PER_SECOND", "unlimited"), ("WAXSEAL_SEND__MAX_IN_FLIGHT", &at_once)];
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let ladder = Ladder { enabled: false, ..Ladder::default() }; // no status settles a doubt
    estate.simulator.configure(Settings { delay_ms: 20, ladder, ..Settings::default() });
    let channel = estate.get("/v1/channels").await["data"][0]["id"].clone();
    database::sabotage(&estate.database, HOLD).await;
    let queued = stream::iter(0..messages.div_ceil(BATCH)).for_each_concurrent(4, async |number| {
        let first = number * BATCH;
        let batch = batch(&channel, first..messages.min(first + BATCH));
        estate.post("/v1/messages/batch", &batch, StatusCode::ACCEPTED).await;
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
        database::sabotage(&estate.database, FORGET).await;
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
    let (mut doubted, mut doubted_and_sent) = (0_u64, 0);
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
    // What a killed process had marked and not begun to send is in no doubt: on the wire, or listed to be on it in a moment.
    let listed = 2 * ON_THE_WIRE / 8;
    let never_sent = doubted - u64::try_from(doubted_and_sent).unwrap();
    assert!(never_sent <= KILLS * (ON_THE_WIRE + listed), "{never_sent} in doubt for nothing; SENDING_SEED={seed}");
    let told = "SELECT count(*) FROM event WHERE type IN ('message.accepted', 'message.in_doubt')";
    assert_eq!(u64::try_from(database::count(&estate.database, told).await).unwrap(), messages, "each is told of once");
}

/// The ids that a batch was answered; `None`: no answer, or one that says that it should be sent again.
async fn handed_over(request: reqwest::RequestBuilder) -> Option<Vec<String>> {
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let body: Value = answer.json().await.ok()?;
    assert!(status == StatusCode::ACCEPTED || status.is_server_error() || status == StatusCode::CONFLICT, "{body}");
    let data = body["data"].as_array().filter(|_| status == StatusCode::ACCEPTED)?;
    Some(data.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_answered_is_there_whenever_the_gateway_is_killed_and_its_key_doubles_nothing() {
    const BATCHES: u64 = 60;
    const EACH: u64 = 25;
    let seed = number("SENDING_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("SENDING_SEED={seed}");
    let mut dice = Dice(seed);
    let more = [("WAXSEAL_SEND__MESSAGES_PER_SECOND", "unlimited"), ("WAXSEAL_SEND__MAX_IN_FLIGHT", "48")];
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let ladder = Ladder { enabled: false, ..Ladder::default() };
    estate.simulator.configure(Settings { delay_ms: 5, ladder, ..Settings::default() });
    let channel = estate.get("/v1/channels").await["data"][0]["id"].clone();
    let (url, key, at) = (estate.gateway.api("/v1/messages/batch"), estate.key.clone(), estate.gateway.at);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();

    let handing = stream::iter(0..BATCHES).map(|number| {
        let body = batch(&channel, number * EACH..(number + 1) * EACH);
        let request =
            client.post(&url).bearer_auth(&key).header("idempotency-key", format!("batch-{number}")).json(&body);
        async move {
            let mut ids = None;
            until("the batch is answered", PATIENCE, async || {
                ids = handed_over(request.try_clone().unwrap()).await;
                ids.is_some()
            })
            .await;
            // Whatever was said before, it is said again.
            assert_eq!(handed_over(request).await.unwrap_or_else(|| ids.clone().unwrap()), ids.clone().unwrap());
            ids.unwrap()
        }
    });
    let handing = handing.buffer_unordered(4).collect::<Vec<Vec<String>>>();
    let (database, environment) = (estate.database.clone(), estate.environment.clone());
    let killing = async {
        for kill in 1..=3 {
            let stored = i64::try_from(BATCHES * EACH * kill / 4 - dice.below(BATCHES * EACH / 8)).unwrap();
            let count = "SELECT count(*) FROM message";
            until("enough are stored for a kill", PATIENCE, async || database::count(&database, count).await >= stored)
                .await;
            estate.gateway.kill_hard().await;
            database::sabotage(&database, FORGET).await;
            estate.gateway = Process::start(&environment, at).await;
        }
    };
    let (answered, ()) = tokio::join!(handing, killing);
    let answered: Vec<String> = answered.into_iter().flatten().collect();
    let distinct: HashSet<String> = answered.iter().map(|id| format!("waxseal:{}", id.replace('-', ""))).collect();
    assert_eq!((answered.len(), distinct.len()), (usize::try_from(BATCHES * EACH).unwrap(), answered.len()));
    let stored = states(&estate.database).await;
    assert!(stored.keys().all(|id| distinct.contains(id)), "a batch was stored twice; SENDING_SEED={seed}");
    assert_eq!(stored.len(), distinct.len(), "SENDING_SEED={seed}");
    until("nothing is owed", PATIENCE, async || {
        database::count(&estate.database, "SELECT count(*) FROM outbox").await == 0
    })
    .await;
    assert_eq!(ledger(&estate, "").await["doubled"], json!({}), "SENDING_SEED={seed}");
}
