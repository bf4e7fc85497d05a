//! Promise: whoever waits for events is told at once, page by page or in a stream, and comes back without a gap; and whoever
//! stays costs no more than a place.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;
use waxseal::access::Permissions;
use waxseal::app::Gateway;
use waxseal::clock::SystemClock;

use crate::support::app::api_key_with;
use crate::support::estate::Estate;
use crate::support::events::{Sent, Stream};
use crate::support::wait::PATIENCE;
use crate::support::{TestApp, database, wait, webhook};

const ANA: &str = "4915199900011";
const BOB: &str = "4915199900022";

/// Events without content, as no webhook could make so many so quickly.
fn many(count: u32, kind: &str) -> String {
    format!(
        "INSERT INTO event (tenant_id, part_day, subject, variant, event_id, type, occurred_at, received_at)
         SELECT '00000000-0000-7000-8000-000000000001', (now() AT TIME ZONE 'UTC')::date,
                decode(md5('{kind}' || n), 'hex'), '\\x0000000000000000', gen_random_uuid(), '{kind}', now(), now()
         FROM generate_series(1, {count}) AS n"
    )
}

async fn say(app: &TestApp, from: &str, text: &str) {
    assert_eq!(app.webhook(webhook::text(from, &format!("wamid.{text}"), text)).await, StatusCode::OK);
}

/// One page.
async fn page(app: &TestApp, query: &str, cursor: &str) -> (Vec<Value>, String, bool) {
    let cursor = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
    let page = app.get(&format!("/v1/events?{query}{cursor}")).await;
    let next = page["next_cursor"].as_str().unwrap().to_owned();
    (page["data"].as_array().unwrap().clone(), next, page["has_more"].as_bool().unwrap())
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// `where=` as it stands in a URL.
fn looking_for(predicate: &Value) -> String {
    let text = predicate.to_string();
    url::form_urlencoded::Serializer::new(String::new()).append_pair("where", &text).finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_commits_late_comes_before_those_that_overtook_it_to_every_kind_of_reader() {
    let app = TestApp::spawn().await;
    let mut late = PgConnection::connect(&app.database).await.unwrap();
    let mut late = late.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(many(1, "standby"))).execute(&mut *late).await.unwrap();
    say(&app, ANA, "overtakes").await;

    let (events, cursor, has_more) = page(&app, "", "").await;
    assert!(events.is_empty() && !has_more, "an older transaction is open");
    let mut stream = Stream::open(&app, "").await;
    let waits = async {
        let (mut seen, mut cursor) = (Vec::new(), cursor);
        while seen.len() < 2 {
            let (events, next, _) = page(&app, "wait=20", &cursor).await;
            seen.extend(events);
            cursor = next;
        }
        seen
    };
    let (seen, ()) = tokio::join!(waits, async { late.commit().await.unwrap() });
    assert_eq!(types(&seen), ["standby", "message.received"]);
    assert_eq!(stream.next().await.event, "standby");
    assert_eq!(stream.next().await.body(), "overtakes");
    database::settled(&app.database).await;
    assert_eq!(types(&page(&app, "", "").await.0), ["standby", "message.received"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_lets_almost_nothing_pass_gets_on_with_every_page_and_finds_it() {
    let app = TestApp::spawn().await;
    database::sabotage(&app.database, &many(45_000, "message.sent")).await;
    say(&app, ANA, "rare").await;
    database::settled(&app.database).await;

    let (mut pages, mut cursor) = (0, String::new());
    let found = loop {
        let (events, next, has_more) = page(&app, "type=message.received", &cursor).await;
        assert!(next != cursor, "it gets on");
        (cursor, pages) = (next, pages + 1);
        if !has_more {
            break events;
        }
        assert!(events.is_empty());
    };
    assert_eq!((types(&found), pages), (vec!["message.received"], 3));
    assert_eq!(page(&app, "type=message.received", &cursor).await, (Vec::new(), cursor.clone(), false));
    // A filter that lets nothing pass remembers what it has seen.
    let (mut passed, mut has_more) = (String::new(), true);
    while has_more {
        (_, passed, has_more) = page(&app, "type=call.*", &passed).await;
    }
    assert_eq!(passed, cursor);

    let (waited, _, _) = page(&app, "type=message.received&wait=20", "").await;
    assert_eq!(types(&waited), ["message.received"]);
    let mut stream = Stream::open(&app, "?type=message.received").await;
    assert_eq!(stream.next().await.body(), "rare");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_choose_by_direction_person_and_what_stands_in_the_event() {
    let app = TestApp::spawn().await;
    say(&app, ANA, "PING").await;
    for number in 0..30 {
        say(&app, BOB, &format!("Moin {number}")).await;
    }
    let status = webhook::status_item(ANA, "wamid.out", "read");
    app.webhook(webhook::messages(json!({ "statuses": [status] }))).await;
    database::settled(&app.database).await;
    let found = async |query: &str| page(&app, query, "").await.0;
    assert_eq!(types(&found("direction=out").await), ["message.read"]);
    assert_eq!(found("direction=in&limit=200").await.len(), 31);
    assert!(found("direction=in&type=message.read").await.is_empty());

    let contacts = app.get("/v1/contacts").await;
    let ana = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == ANA).unwrap()["id"].clone();
    let of_ana = format!("contact_id={}", ana.as_str().unwrap());
    assert_eq!(types(&found(&of_ana).await), ["message.received", "message.read"]);
    assert!(found("contact_id=01890000-0000-7000-8000-000000000000").await.is_empty());

    let text = "/data/item/text/body";
    let stop = looking_for(&json!({ "at": text, "starts_with": "PING" }));
    assert_eq!(found(&stop).await.len(), 1);
    assert!(found(&format!("{stop}&direction=out")).await.is_empty());
    let moin = looking_for(&json!({ "at": text, "contains": "Moin" }));
    let (mut seen, mut cursor, mut has_more) = (Vec::new(), String::new(), true);
    while has_more {
        let (events, next, more) = page(&app, &format!("{moin}&limit=7"), &cursor).await;
        assert!(events.len() <= 7);
        seen.extend(events);
        (cursor, has_more) = (next, more);
    }
    let said: Vec<_> = seen.iter().map(|event| event["data"]["item"]["text"]["body"].as_str().unwrap()).collect();
    assert_eq!(said, (0..30).map(|number| format!("Moin {number}")).collect::<Vec<_>>());
    let mut stream = Stream::open(&app, &format!("?{stop}&{of_ana}")).await;
    assert_eq!(stream.next().await.body(), "PING");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_shown_as_much_as_they_ask_for_and_judge_by_the_whole() {
    let app = TestApp::spawn().await;
    say(&app, ANA, "STOP").await;
    database::settled(&app.database).await;
    let stop = looking_for(&json!({ "at": "/data/item/text/body", "is": "STOP" }));
    let mut shown = Vec::new();
    for fields in ["ids", "metadata", "masked", "full"] {
        let (events, ..) = page(&app, &format!("fields={fields}&{stop}"), "").await;
        assert_eq!(events.len(), 1, "{fields}");
        shown.push(events[0].clone());
    }
    assert_eq!(shown[0]["data"].get("item"), None);
    assert_eq!((&shown[1]["data"]["item"]["type"], shown[1]["data"]["item"].get("text")), (&json!("text"), None));
    assert_eq!(shown[2]["data"]["item"]["text"]["body"], "STOP");
    assert!(shown[..3].iter().all(|event| !event.to_string().contains(ANA)));
    assert_eq!(shown[3]["data"]["item"]["from"], ANA);
    let mut stream = Stream::open(&app, "?fields=masked").await;
    assert!(!format!("{:?}", stream.next().await.data).contains(ANA));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_with_the_parameters_is_told_at_once() {
    let app = TestApp::spawn().await;
    let wrong = looking_for(&json!({ "all": [{ "at": "x", "is": 1 }, { "at": "/y" }] }));
    let query = format!("cursor=x&direction=up&contact_id=x&fields=most&since=1&{wrong}");
    let shared = ["?cursor", "?direction", "?contact_id", "?fields", "?since", "?where/all/0/at", "?where/all/1"];
    for (path, own) in
        [("/v1/events?wait=61&limit=0&", vec!["?wait", "?limit"]), ("/v1/events/stream?limit=1&", vec!["?limit"])]
    {
        let answer = app.api(Method::GET, &format!("{path}{query}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let problem: Value = answer.json().await.unwrap();
        let mut told: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        let mut expected: Vec<_> = shared.iter().chain(&own).copied().collect();
        told.sort_unstable();
        expected.sort_unstable();
        assert_eq!(told, expected);
    }
    let request = app.api(Method::GET, "/v1/events/stream").header("last-event-id", "x");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_answered_when_something_comes_through_whichever_process_or_when_the_time_is_over() {
    let app = TestApp::spawn().await;
    let second = Gateway::start(&app.config, Arc::new(SystemClock)).await.unwrap();
    let began = Instant::now();
    let (events, cursor, has_more) = page(&app, "wait=1", "").await;
    assert!(events.is_empty() && !has_more && began.elapsed() >= Duration::from_secs(1));

    let elsewhere = format!("http://{}/v1/events/stream", second.addresses.internal);
    let mut stream = Stream::of(reqwest::Client::new().get(elsewhere).bearer_auth(&app.key)).await;
    let query = format!("wait=60&cursor={cursor}");
    let elsewhere = format!("http://{}/v1/events?{query}", second.addresses.internal);
    let there = reqwest::Client::new().get(elsewhere).bearer_auth(&app.key).send();
    let (here, there, ()) = tokio::join!(page(&app, &query, ""), there, say(&app, ANA, "now"));
    assert_eq!(types(&here.0), ["message.received"]);
    assert_eq!(there.unwrap().json::<Value>().await.unwrap()["data"], json!(here.0));
    assert_eq!(stream.next().await.body(), "now");
    assert!(began.elapsed() < PATIENCE);
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_was_left() {
    let app = TestApp::spawn().await;
    for text in ["one", "two", "three"] {
        say(&app, ANA, text).await;
    }
    let mut stream = Stream::open(&app, "").await;
    let first = [stream.next().await, stream.next().await];
    assert_eq!(first.each_ref().map(Sent::body), ["one", "two"]);
    assert_eq!(first[0].data["type"], "message.received");
    drop(stream);
    say(&app, ANA, "four").await;
    let resume = |query: &str| app.api(Method::GET, &format!("/v1/events/stream{query}"));
    // The URL is the one of the first time, as EventSource asks again.
    let query = format!("?cursor={}", first[0].id);
    let mut by_header = Stream::of(resume(&query).header("last-event-id", &first[1].id)).await;
    let mut by_cursor = Stream::of(resume(&format!("?cursor={}", first[1].id))).await;
    for stream in [&mut by_header, &mut by_cursor] {
        assert_eq!(stream.next().await.body(), "three");
        assert_eq!(stream.next().await.body(), "four");
    }
    let (events, _, _) = page(&app, "", &by_header.last_id).await;
    assert!(events.is_empty(), "pages and streams have the same cursors");
    say(&app, ANA, "five").await;
    assert_eq!(by_header.next().await.body(), "five");
    assert_eq!(by_cursor.next().await.body(), "five");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_survives_the_loss_of_the_database_connections() {
    let app = TestApp::spawn().await;
    say(&app, ANA, "before").await;
    let mut stream = Stream::open(&app, "").await;
    assert_eq!(stream.next().await.body(), "before");
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'waxseal'";
    assert!(database::count(&app.database, cut).await > 0);
    wait::until("a webhook is taken", PATIENCE, async || {
        app.webhook(webhook::text(ANA, "wamid.after", "after")).await == StatusCode::OK
    })
    .await;
    assert_eq!(stream.next().await.body(), "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_says_that_it_is_alive_and_how_far_it_has_looked() {
    let app = TestApp::spawn().await;
    say(&app, ANA, "not for this reader").await;
    let mut stream = Stream::open(&app, "?type=call.*").await;
    assert!(stream.other().await.starts_with(':'));
    let (_, cursor, _) = page(&app, "", "").await;
    assert_eq!(stream.last_id, cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_taken_back_or_runs_out() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let until = (waxseal::clock::Clock::now(&*clock) + time::Duration::HOUR)
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let make = async |body: Value| -> Value {
        app.api(Method::POST, "/v1/keys").json(&body).send().await.unwrap().json().await.unwrap()
    };
    let revoked = make(json!({ "name": "x", "permissions": ["events:read"] })).await;
    let expiring = make(json!({ "name": "x", "permissions": ["events:read"], "expires_at": until })).await;
    let open = async |made: &Value| {
        Stream::of(app.api_as(made["key"].as_str().unwrap(), Method::GET, "/v1/events/stream")).await
    };
    let (mut first, mut second) = (open(&revoked).await, open(&expiring).await);
    say(&app, ANA, "still").await;
    assert_eq!((first.next().await.body(), second.next().await.body()), ("still", "still"));

    let path = format!("/v1/keys/{}", revoked["id"].as_str().unwrap());
    assert_eq!(app.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let began = Instant::now();
    first.end().await;
    clock.advance(time::Duration::HOUR);
    second.end().await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stays_leaves_when_the_gateway_is_told_to_stop() {
    let mut estate = Estate::start(database::fresh().await, &[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |path: &str| client.get(estate.gateway.api(path)).bearer_auth(&estate.key);
    let stream = Stream::of(ask("/v1/events/stream")).await;
    let waits = tokio::spawn(ask("/v1/events?wait=60").send());
    let name = "waxseal_event_readers";
    wait::until("both stay", PATIENCE, async || estate.gateway.metric(name).await > 1.5).await;

    let began = Instant::now();
    estate.gateway.signal(rustix::process::Signal::TERM);
    stream.end().await;
    let answer: Value = waits.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!((&answer["data"], &answer["has_more"]), (&json!([]), &json!(false)));
    assert!(estate.gateway.ended().await.success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_its_share_of_the_streams_and_gets_a_place_back_when_one_is_closed() {
    let app = TestApp::spawn().await;
    let own = api_key_with(&app.gateway, Permissions::admin()).await;
    let ask = || app.api_as(&own, Method::GET, "/v1/events/stream");
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(Stream::of(ask()).await);
    }
    let refused = ask().send().await.unwrap();
    assert_eq!(
        (refused.status(), refused.headers()["retry-after"].as_bytes()),
        (StatusCode::TOO_MANY_REQUESTS, &b"5"[..])
    );
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "too_many_readers");
    Stream::open(&app, "").await;
    let pages = app.api_as(&own, Method::GET, "/v1/events?wait=1").send().await.unwrap();
    assert_eq!(pages.status(), StatusCode::OK);
    streams.pop();
    wait::until("there is a place again", PATIENCE, async || ask().send().await.unwrap().status() == StatusCode::OK)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_its_share_of_the_waiting_requests_and_all_of_them_are_woken() {
    let app = TestApp::spawn().await;
    let ask = || async { app.api(Method::GET, "/v1/events?wait=60").send().await.unwrap() };
    let mut asked: FuturesUnordered<_> = (0..129).map(|_| ask()).collect();
    let refused = asked.next().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let began = Instant::now();
    say(&app, ANA, "all of you").await;
    while let Some(answer) = asked.next().await {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.json::<Value>().await.unwrap()["data"].as_array().unwrap().len(), 1);
    }
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_events_are_held_back_is_measured() {
    let estate = Estate::start(database::fresh().await, &[]).await;
    let mut open = PgConnection::connect(&estate.database).await.unwrap();
    let mut open = open.begin().await.unwrap();
    sqlx::raw_sql("SELECT pg_current_xact_id()").execute(&mut *open).await.unwrap();
    database::sabotage(&estate.database, &many(1, "standby")).await;
    let name = "waxseal_events_held_back_seconds";
    wait::until("it is told", PATIENCE, async || estate.gateway.metric(name).await > 0.0).await;
    open.commit().await.unwrap();
    wait::until("it is over", PATIENCE, async || estate.gateway.metric(name).await == 0.0).await;
}
