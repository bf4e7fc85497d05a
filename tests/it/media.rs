//! Promise: a file that somebody sends is fetched from Meta while it has it, checked, kept sealed, and read by those who may.

pub(crate) mod meta;

use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::Powers;
use waxseal::access::{FieldClass, Permissions, Sight};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use self::meta::{Answer, FakeMeta};
use crate::support::app::{ACCESS_TOKEN, api_key_for};
use crate::support::estate::Estate;
use crate::support::folder::Folder;
use crate::support::sweep::{self, Needle};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

const CANARY: &str = "qcanaryFile am Kanal um 14 Uhr";

async fn app(folder: &Folder) -> TestApp {
    TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &folder.url())]).await
}

/// A gateway whose Meta is the one of this test, with a clock that the test drives.
async fn app_of(folder: &Folder, meta: &FakeMeta) -> (TestApp, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let more = [("WAXSEAL_MEDIA__URL", folder.url()), ("WAXSEAL_META__GRAPH_URL", meta.url())];
    let more: Vec<(&str, &str)> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    (TestApp::spawn_with(clock.clone(), &more).await, clock)
}

/// Somebody sends a file. Returns the id of the event.
async fn sent(app: &TestApp, kind: &str, mime_type: &str, file: &[u8]) -> String {
    let order = json!({ "type": kind, "mime_type": mime_type, "media_base64": BASE64.encode(file) });
    app.control(Method::POST, "inbound", order).await;
    last_event(app).await
}

async fn last_event(app: &TestApp) -> String {
    database::settled(&app.database).await;
    let events = app.get("/v1/events?type=message.received&limit=200").await;
    events["data"].as_array().unwrap().last().expect("the event is there")["id"].as_str().unwrap().to_owned()
}

async fn details(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/v1/media/{id}/details")).await
}

async fn becomes(app: &TestApp, id: &str, state: &str) -> Value {
    until(&format!("the file is {state}"), PATIENCE, async || details(app, id).await["state"] == state).await;
    details(app, id).await
}

/// As [`becomes`], while time goes on.
async fn becomes_in_time(app: &TestApp, clock: &ManualClock, id: &str, state: &str) -> Value {
    let passing = async || {
        clock.advance(time::Duration::seconds(20));
        details(app, id).await["state"] == state
    };
    until(&format!("the file is {state}"), PATIENCE, passing).await;
    details(app, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_kept_sealed_and_read_whole_and_in_ranges() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let file = [CANARY.as_bytes(), &(0..200_000_u32).map(|at| (at % 251) as u8).collect::<Vec<u8>>()].concat();
    let id = sent(&app, "document", "application/pdf", &file).await;
    let known = becomes(&app, &id, "stored").await;
    assert_eq!((&known["mime_type"], &known["filename"]), (&json!("application/pdf"), &json!("document.pdf")));
    assert_eq!((&known["bytes"], &known["stripped"]), (&json!(file.len()), &json!(false)));

    let path = format!("/v1/media/{id}");
    let whole = app.api(Method::GET, &path).send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    let header = |name| whole.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/pdf");
    assert_eq!(header("content-disposition"), format!("attachment; filename=\"{id}.pdf\""));
    assert_eq!((header("x-content-type-options"), header("cache-control")), ("nosniff".into(), "no-store".into()));
    assert!(!header("x-audit-index").is_empty(), "the reading is in the audit log");
    let tag = header("etag");
    assert_eq!(whole.bytes().await.unwrap(), file);

    let last = file.len() - 1;
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=65535-65536".to_owned(), 65_535, 65_536),
        ("bytes=131072-".to_owned(), 131_072, last),
        ("bytes=-10".to_owned(), last - 9, last),
        (format!("bytes=1000-{}", 10 * file.len()), 1000, last),
    ] {
        let part = app.api(Method::GET, &path).header(RANGE, &range).send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(part.headers()[CONTENT_RANGE], format!("bytes {from}-{to}/{}", file.len()));
        assert_eq!(part.headers()[ETAG], tag);
        assert_eq!(part.bytes().await.unwrap(), file[from..=to], "{range}");
    }
    let behind = app.api(Method::GET, &path).header(RANGE, format!("bytes={}-", file.len())).send().await.unwrap();
    assert_eq!(behind.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(behind.headers()[CONTENT_RANGE], format!("bytes */{}", file.len()));

    let needles = [Needle::in_every_form("content", CANARY), Needle::in_every_form("name", "document.pdf")];
    let (found, read) = sweep::in_files(&needles, folder.path());
    assert!(found.is_empty() && read > file.len(), "{found:?} in {read} bytes");
    assert!(folder.files().iter().all(|file| file.ends_with(&id)), "names are ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_for_those_who_see_content_and_anybody_else_learns_nothing() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let id = sent(&app, "document", "text/html", b"<script>alert(1)</script>").await;
    becomes(&app, &id, "stored").await;
    let path = format!("/v1/media/{id}");
    let shown = app.api(Method::GET, &path).send().await.unwrap();
    assert_eq!(shown.headers()[CONTENT_TYPE], "application/octet-stream");
    assert_eq!(shown.headers()[CONTENT_DISPOSITION], format!("attachment; filename=\"{id}.bin\""));

    let reader = || Powers::Scopes(Permissions::of_scopes(["media:read"]));
    let masked = api_key_for(&app.gateway, reader(), Sight::MASKED).await;
    let personal = Sight { class: FieldClass::Personal, unmasked: true };
    let without = api_key_for(&app.gateway, reader(), personal).await;
    for path in [path.clone(), format!("{path}/details")] {
        assert_eq!(app.api_as(&without, Method::GET, &path).send().await.unwrap().status(), StatusCode::FORBIDDEN);
        assert_eq!(app.without_key(Method::GET, &path).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let told = app.api_as(&masked, Method::GET, &format!("{path}/details")).send().await.unwrap();
    assert_eq!(told.json::<Value>().await.unwrap()["filename"], json!(null), "files are called after people");
    // An event without a file is as absent as one that nobody has.
    app.control(Method::POST, "inbound", json!({ "type": "text", "body": "Moin" })).await;
    let text = last_event(&app).await;
    for absent in [text.as_str(), "01930000-0000-7000-8000-000000000001", "nonsense"] {
        let answer = app.api(Method::GET, &format!("/v1/media/{absent}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{absent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_loses_what_it_says_beside_the_picture() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let chunk = |kind: &[u8], content: &[u8]| {
        let size = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&size[..], kind, content, &[0; 4]].concat()
    };
    let (head, end) = ([b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &[1; 13])[..]].concat(), chunk(b"IEND", b""));
    let pixels = chunk(b"IDAT", b"pixels");
    let picture = [&head[..], &chunk(b"eXIf", b"53.55 N, 9.99 E"), &pixels, &end].concat();
    let id = sent(&app, "image", "image/png", &picture).await;
    let known = becomes(&app, &id, "stored").await;
    let bare = [head, pixels, end].concat();
    assert_eq!((&known["stripped"], &known["bytes"]), (&json!(true), &json!(bare.len())));
    let read = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), bare);
}

#[tokio::test(flavor = "multi_thread")]
async fn films_and_sound_lose_what_they_say_beside_themselves() {
    let folder = Folder::new();
    let app = app(&folder).await;
    let boxed = |kind: &[u8], content: &[u8]| {
        let size = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&size[..], kind, content].concat()
    };
    let film = |kind: &[u8], told: &[u8]| {
        [boxed(b"ftyp", b"isom"), boxed(b"moov", &boxed(kind, told)), boxed(b"mdat", b"moving pictures")].concat()
    };
    let place = b"+53.55+009.99/";
    let sound = [&[0xff, 0xfb, 0x90, 0][..], &[7; 100]].concat();
    let tagged = [&b"ID3\x03\0\0\0\0\0\x0e"[..], place, &sound].concat();
    for (kind, mime_type, file, bare) in
        [("video", "video/mp4", film(b"udta", place), film(b"free", &[0; 14])), ("audio", "audio/mpeg", tagged, sound)]
    {
        let id = sent(&app, kind, mime_type, &file).await;
        let known = becomes(&app, &id, "stored").await;
        assert_eq!((&known["stripped"], &known["bytes"]), (&json!(true), &json!(bare.len())), "{kind}");
        let read = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
        assert_eq!(read.bytes().await.unwrap(), bare, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_broken_is_fetched_again_until_it_is_what_meta_said() {
    let (folder, meta) = (Folder::new(), FakeMeta::start(b"the right bytes").await);
    meta.answers(&[Answer::Other, Answer::Cut, Answer::Missing, Answer::Right]);
    let (app, clock) = app_of(&folder, &meta).await;
    assert_eq!(app.webhook(FakeMeta::webhook("A")).await, StatusCode::OK);
    let id = last_event(&app).await;
    becomes_in_time(&app, &clock, &id, "stored").await;
    let read = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!(read.bytes().await.unwrap(), &b"the right bytes"[..]);
    assert_eq!(meta.downloads(), 4);
    assert!(meta.tokens().iter().all(|token| *token == format!("Bearer {ACCESS_TOKEN}")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_to_be_had_is_given_up_and_leaves_nothing() {
    let (folder, meta) = (Folder::new(), FakeMeta::start(b"bytes").await);
    let (app, clock) = app_of(&folder, &meta).await;
    for (wamid, answer, reason) in
        [("GONE", Answer::Gone, "gone"), ("LARGE", Answer::TooLarge, "too_large"), ("OTHER", Answer::Other, "damaged")]
    {
        meta.answers(&[answer]);
        assert_eq!(app.webhook(FakeMeta::webhook(wamid)).await, StatusCode::OK);
        let id = last_event(&app).await;
        // In small steps: all attempts must fit into the week in which Meta has the file.
        until("the file is given up", PATIENCE, async || {
            clock.advance(time::Duration::minutes(10));
            details(&app, &id).await["state"] == "lost"
        })
        .await;
        assert_eq!(details(&app, &id).await["reason"], reason, "{wamid}");
        let answer = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::GONE);
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "media_gone");
    }
    assert!(folder.files().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_shown_to_no_other_host_and_meta_is_not_asked_for_ever() {
    let (folder, meta, stranger) = (Folder::new(), FakeMeta::start(b"bytes").await, FakeMeta::start(b"bytes").await);
    meta.answers(&[Answer::At(stranger.url())]);
    let (app, clock) = app_of(&folder, &meta).await;
    assert_eq!(app.webhook(FakeMeta::webhook("A")).await, StatusCode::OK);
    let id = last_event(&app).await;
    until("Meta was asked", PATIENCE, async || {
        clock.advance(time::Duration::seconds(1));
        meta.look_ups() > 1
    })
    .await;
    let waiting = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!(waiting.status(), StatusCode::CONFLICT);
    assert_eq!(waiting.json::<Value>().await.unwrap()["code"], "media_waiting");
    clock.advance(time::Duration::days(8));
    let known = becomes_in_time(&app, &clock, &id, "lost").await;
    assert_eq!(known["reason"], "too_old");
    assert_eq!((stranger.downloads(), stranger.tokens().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_in_the_middle_of_a_file_fetches_it_again() {
    let (folder, meta) = (Folder::new(), FakeMeta::start(&vec![7; 300_000]).await);
    meta.answers(&[Answer::Never, Answer::Right]);
    let (place, graph) = (folder.url(), meta.url());
    let more = [("WAXSEAL_MEDIA__URL", place.as_str()), ("WAXSEAL_META__GRAPH_URL", graph.as_str())];
    let mut estate = Estate::start(database::fresh().await, &more).await;
    let body = FakeMeta::webhook("A");
    let signature = crate::support::webhook::signature(crate::support::app::APP_SECRET, &body);
    let post =
        reqwest::Client::new().post(estate.gateway.webhook()).header("x-hub-signature-256", signature).body(body);
    assert_eq!(post.send().await.unwrap().status(), StatusCode::OK);
    until("the file is on its way", PATIENCE, async || meta.downloads() == 1).await;
    estate.kill_and_restart().await;
    until("the file is fetched again", PATIENCE, async || meta.downloads() == 2).await;
    let find = async || {
        let events = estate.request(Method::GET, "/v1/events?type=message.received").send().await.unwrap();
        let events: Value = events.json().await.unwrap();
        let id = events["data"][0]["id"].as_str()?.to_owned();
        let read = estate.request(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
        if read.status() == StatusCode::OK { read.bytes().await.ok() } else { None }
    };
    until("the file is whole", PATIENCE, async || find().await.is_some_and(|file| file[..] == vec![7; 300_000])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_for_files_none_is_owed() {
    let app = TestApp::spawn().await;
    let id = sent(&app, "image", "image/png", b"pixels").await;
    let answer = app.api(Method::GET, &format!("/v1/media/{id}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}
