//! Archives that are on their way into a bucket, when the way fails: nothing of them stays, and they are made anew.

use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::SystemClock;
use waxseal::crypto::age::{Identity, Reader};

use super::{ANA, says};
use crate::amazon::bucket::Bucket;
use crate::support::estate::Estate;
use crate::support::gate::Verdict;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database};

/// Somebody's file of twelve megabytes: an archive of three parts.
fn large() -> Value {
    let file: Vec<u8> = (0..12_000_000_u32).map(|at| (at % 253) as u8).collect();
    json!({ "from": ANA, "type": "document", "mime_type": "application/pdf", "media_base64": BASE64.encode(&file) })
}

fn is_second_part(method: &Method, path: &str) -> bool {
    method == Method::PUT && path.contains("partNumber=2")
}

fn opens(archive: &[u8], identity: &Value) -> bool {
    let identity = Identity::parse(identity.as_str().unwrap()).unwrap();
    let mut plain = Vec::new();
    let mut reader = Reader::new(archive, std::slice::from_ref(&identity)).unwrap();
    std::io::Read::read_to_end(&mut reader, &mut plain).unwrap();
    plain.starts_with(b"PK") && plain.len() > 12_000_000
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_which_a_part_is_refused_leaves_nothing_in_the_bucket_and_is_made_anew() {
    let bucket = Bucket::start().await;
    let gate = bucket.gate().await;
    let settings = bucket.settings_through(&gate, "files");
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let app = TestApp::spawn_with(Arc::new(SystemClock), &settings).await;
    says(&app, ANA, "wamid.part.1", "Moin").await;
    app.control(Method::POST, "inbound", large()).await;
    database::until(&app.database, "SELECT count(*) FROM media WHERE state = 'stored'", 1).await;
    gate.rule(|method, path| if is_second_part(method, path) { Verdict::Refuse } else { Verdict::Pass });
    let made = app.api(Method::POST, "/v1/privacy/exports").json(&json!({ "phone": ANA })).send().await.unwrap();
    let made: Value = made.json().await.unwrap();
    let path = format!("/v1/privacy/exports/{}", made["id"].as_str().unwrap());
    gate.stops_one().await;
    // While it is refused, it is tried again and again: what each try began is aborted.
    until("nothing is left of it", PATIENCE, async || bucket.unfinished().await == 0).await;
    assert_eq!(bucket.objects().await.len(), 1, "the file, and no archive");
    assert!(matches!(app.get(&path).await["state"].as_str().unwrap(), "requested" | "building"));
    gate.rule(|_, _| Verdict::Pass);
    until("the archive is there", PATIENCE, async || app.get(&path).await["state"] == "ready").await;
    assert_eq!((bucket.objects().await.len(), bucket.unfinished().await), (2, 0));
    let archive = app.api(Method::GET, &format!("{path}/archive")).send().await.unwrap();
    assert_eq!(archive.status(), StatusCode::OK);
    assert!(opens(&archive.bytes().await.unwrap(), &made["identity"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_process_is_killed_between_two_parts_is_no_object_and_is_made_anew() {
    let bucket = Bucket::start().await;
    let gate = bucket.gate().await;
    let settings = bucket.settings_through(&gate, "files");
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut estate = Estate::start(database::fresh().await, &settings).await;
    let order = reqwest::Client::new().post(format!("{}/control/inbound", estate.simulator.base_url())).json(&large());
    assert!(order.send().await.unwrap().status().is_success());
    database::until(&estate.database, "SELECT count(*) FROM media WHERE state = 'stored'", 1).await;
    gate.rule(|method, path| if is_second_part(method, path) { Verdict::Hold } else { Verdict::Pass });
    let made = estate.post("/v1/privacy/exports", &json!({ "phone": ANA }), StatusCode::ACCEPTED).await;
    gate.stops_one().await;
    estate.gateway.kill_hard().await;
    assert_eq!(bucket.objects().await.len(), 1, "the file, and no archive");
    gate.rule(|_, _| Verdict::Pass);
    estate.gateway = estate.in_its_place().await;
    let path = format!("/v1/privacy/exports/{}", made["id"].as_str().unwrap());
    until("the archive is there", PATIENCE, async || estate.get(&path).await["state"] == "ready").await;
    let archive = estate.request(Method::GET, &format!("{path}/archive")).send().await.unwrap();
    assert!(opens(&archive.bytes().await.unwrap(), &made["identity"]));
    // What the killed process had begun is no object, and is for the bucket's own rule (`docs/operations.md`): nobody knows it any more.
    assert_eq!((bucket.objects().await.len(), bucket.unfinished().await), (2, 1));
}
