//! Promise: files that people send may lie in a bucket of anything that speaks S3, sealed, and behave there as in a directory. Shown with
//! moto, as it is published, which checks the signature and the policy of each request.

use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::amazon::bucket::{Bucket, NAME};
use crate::media::meta::{Answer, FakeMeta};
use crate::support::sweep::{self, Needle};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

const CANARY: &str = "qcanaryFile am Kanal um 14 Uhr";
const ANA: &str = "4915199900011";

async fn app(bucket: &Bucket, more: &[(&str, &str)]) -> (TestApp, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let settings = bucket.settings("files");
    let all: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    (TestApp::spawn_with(clock.clone(), &[&all[..], more].concat()).await, clock)
}

async fn last_event(app: &TestApp) -> String {
    database::settled(&app.database).await;
    let events = app.get("/v1/events?type=message.received&limit=200").await;
    events["data"].as_array().unwrap().last().expect("the event is there")["id"].as_str().unwrap().to_owned()
}

async fn becomes(app: &TestApp, clock: &ManualClock, id: &str, state: &str) {
    until(&format!("the file is {state}"), PATIENCE, async || {
        clock.advance(time::Duration::seconds(20));
        app.get(&format!("/v1/media/{id}/details")).await["state"] == state
    })
    .await;
}

async fn part(app: &TestApp, id: &str, range: &str) -> (StatusCode, String, Vec<u8>) {
    let asked = app.api(Method::GET, &format!("/v1/media/{id}")).header(RANGE, range);
    let answer = asked.send().await.unwrap();
    let (status, place) = (answer.status(), answer.headers()[CONTENT_RANGE].to_str().unwrap().to_owned());
    (status, place, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_lies_in_the_bucket_sealed_is_read_in_ranges_and_goes_with_whom_it_is_about() {
    let bucket = Bucket::start().await;
    let (app, clock) = app(&bucket, &[]).await;
    let file = [CANARY.as_bytes(), &(0..200_000_u32).map(|at| (at % 251) as u8).collect::<Vec<u8>>()].concat();
    let order = json!({
        "from": ANA, "type": "document", "mime_type": "application/pdf", "media_base64": BASE64.encode(&file) });
    app.control(Method::POST, "inbound", order).await;
    let id = last_event(&app).await;
    becomes(&app, &clock, &id, "stored").await;

    let objects = bucket.objects().await;
    assert_eq!(objects.len(), 1, "{objects:?}");
    assert!(objects[0].starts_with("files/") && objects[0].ends_with(&id), "names are ids: {objects:?}");
    let lies = bucket.object(&objects[0]).await;
    let needles = [Needle::in_every_form("content", CANARY), Needle::in_every_form("name", "document.pdf")];
    assert!(lies.len() > file.len() && sweep::in_bytes(&needles, "bucket", &lies).is_empty());
    let whole = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!((whole.status(), whole.bytes().await.unwrap().to_vec()), (StatusCode::OK, file.clone()));
    let last = file.len() - 1;
    for (range, from, to) in
        [("bytes=0-0", 0, 0), ("bytes=65535-65536", 65_535, 65_536), ("bytes=131072-", 131_072, last)]
    {
        let place = format!("bytes {from}-{to}/{}", file.len());
        let expected = (StatusCode::PARTIAL_CONTENT, place, file[from..=to].to_vec());
        assert!(part(&app, &id, range).await == expected, "{range}");
    }

    // What somebody changes there does not open.
    let mut changed = lies.clone();
    changed[70_000] ^= 1;
    bucket.put(&objects[0], changed).await;
    let (status, ..) = part(&app, &id, "bytes=0-9").await;
    assert_eq!(status, StatusCode::PARTIAL_CONTENT, "another chunk");
    let asked = app.api(Method::GET, &format!("/v1/media/{id}")).header(RANGE, "bytes=69900-69999").send().await;
    let read = match asked {
        Ok(answer) if answer.status().is_success() => answer.bytes().await.ok(),
        _ => None,
    };
    assert!(read.is_none(), "a damaged chunk was read");

    let asked = app.api(Method::POST, "/v1/privacy/erasures").json(&json!({ "phone": ANA })).send().await.unwrap();
    assert_eq!(asked.status(), StatusCode::ACCEPTED);
    until("the file is gone from the bucket", PATIENCE, async || bucket.objects().await.is_empty()).await;
    let gone = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap().status();
    assert!(matches!(gone, StatusCode::GONE | StatusCode::NOT_FOUND), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_many_parts_is_there_whole_or_not_at_all_and_survives_a_bucket_that_refuses() {
    let bucket = Bucket::start().await;
    let file: Vec<u8> = (0..12_000_000_u32).map(|at| (at % 253) as u8).collect();
    let meta = FakeMeta::start(&file).await;
    let (app, clock) = app(&bucket, &[("WAXSEAL_META__GRAPH_URL", &meta.url())]).await;
    // What came was not what Meta had said: nothing of it stays.
    meta.answers(&[Answer::Other, Answer::Cut, Answer::Right]);
    bucket.allow(false).await;
    assert_eq!(app.webhook(FakeMeta::webhook("A")).await, StatusCode::OK);
    let id = last_event(&app).await;
    until("it was tried", PATIENCE, async || {
        clock.advance(time::Duration::seconds(20));
        meta.look_ups() > 0
    })
    .await;
    assert_ne!(app.get(&format!("/v1/media/{id}/details")).await["state"], "stored");
    bucket.allow(true).await;
    becomes(&app, &clock, &id, "stored").await;
    assert_eq!((bucket.objects().await.len(), bucket.unfinished().await), (1, 0));
    for (from, to) in [(0_usize, 99_usize), (5_242_800, 5_242_999), (11_999_900, 11_999_999)] {
        let (status, _, bytes) = part(&app, &id, &format!("bytes={from}-{to}")).await;
        assert!((status, &bytes[..]) == (StatusCode::PARTIAL_CONTENT, &file[from..=to]), "{from}");
    }

    // An object that somebody took away is told from one that never was.
    let objects = bucket.objects().await;
    bucket.remove(&objects[0]).await;
    let answer = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert!(!answer.status().is_success());
    assert!(!answer.json::<Value>().await.unwrap().to_string().contains(NAME), "the bucket is nobody's business");
}
