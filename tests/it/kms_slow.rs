//! Promise: a KMS that takes requests and never answers holds nothing up. What comes in is stored, what is stored is opened for as long as
//! it may be and then by nobody, nobody waits long to be told so, and it is told before that.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::support::app::APP_SECRET;
use crate::support::estate::Estate;
use crate::support::wait::{PATIENCE, until};
use crate::support::{database, webhook};

/// How long what is stored is opened after the KMS was last heard of: longer than it takes to find that it is silent.
const SHUT_AFTER: &str = "45";

/// Wraps by doing nothing, and answers while it is not told to hang.
struct Kms {
    url: String,
    hangs: Arc<watch::Sender<bool>>,
}

impl Kms {
    async fn start() -> Self {
        let hangs = Arc::new(watch::Sender::new(false));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(hangs.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, hangs }
    }
}

async fn answer(State(hangs): State<Arc<watch::Sender<bool>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> String {
    hangs.subscribe().wait_for(|hangs| !hangs).await.unwrap();
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let text = |member: &str| asked[member].as_str().unwrap().to_owned();
    let target = headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
    match target.as_deref() {
        Some("TrentService.Encrypt") => json!({ "CiphertextBlob": text("Plaintext") }),
        Some(_) => json!({ "Plaintext": text("CiphertextBlob") }),
        None if uri.path().contains("/encrypt/") => json!({ "data": { "ciphertext": text("plaintext") } }),
        None => json!({ "data": { "plaintext": text("ciphertext") } }),
    }
    .to_string()
}

async fn says(estate: &Estate, number: usize) -> StatusCode {
    let body = webhook::text("4915199900011", &format!("wamid.slow.{number}"), "Moin");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(estate.gateway.webhook());
    let signed = request.header("x-hub-signature-256", webhook::signature(APP_SECRET, &body)).body(body);
    signed.send().await.unwrap().status()
}

async fn read(estate: &Estate) -> StatusCode {
    estate.request(Method::GET, "/v1/contacts").send().await.unwrap().status()
}

async fn warnings(estate: &Estate) -> String {
    let answer = reqwest::get(format!("http://127.0.0.1:{}/readyz", estate.gateway.at.admin)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "webhooks are still to be sent here");
    answer.json::<Value>().await.unwrap()["warnings"].to_string()
}

fn one(warning: &str) -> String {
    json!([{ "name": warning, "count": 1 }]).to_string()
}

async fn calls(estate: &Estate, outcome: &str) -> u64 {
    let url = format!("http://127.0.0.1:{}/metrics", estate.gateway.at.admin);
    let told = reqwest::get(url).await.unwrap().text().await.unwrap();
    let start = format!("waxseal_kms_calls_total{{outcome=\"{outcome}\"}} ");
    told.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or(0)
}

async fn is_in_time(estate: &Estate) -> bool {
    estate.gateway.metric("waxseal_kms_in_time").await > 0.5
}

async fn holds_nothing_up(kms: &Kms, settings: &[(&str, &str)]) {
    let more = [settings, &[("WAXSEAL_KEYS__SECRET", ""), ("WAXSEAL_KEYS__CACHE_TTL_SECONDS", SHUT_AFTER)]].concat();
    let estate = Estate::start(database::fresh().await, &more).await;
    assert_eq!((says(&estate, 1).await, read(&estate).await), (StatusCode::OK, StatusCode::OK));
    until("all is well", PATIENCE, async || is_in_time(&estate).await && warnings(&estate).await == "[]").await;
    assert!(calls(&estate, "answered").await > 0);

    kms.hangs.send_replace(true);
    until("it is told that the KMS is silent", PATIENCE, async || warnings(&estate).await == one("kms_silent")).await;
    assert!(calls(&estate, "silent").await > 0);
    assert!(is_in_time(&estate).await);
    assert_eq!((says(&estate, 2).await, read(&estate).await), (StatusCode::OK, StatusCode::OK), "for now");

    until("the word of the KMS is too old", PATIENCE, async || !is_in_time(&estate).await).await;
    assert_eq!(warnings(&estate).await, one("kms"));
    assert!(estate.gateway.metric("waxseal_kms_heard_seconds").await >= 45.0);
    let began = std::time::Instant::now();
    let together = [read(&estate), read(&estate), read(&estate), read(&estate), read(&estate), read(&estate)];
    for status in futures_util::future::join_all(together).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let waited = began.elapsed();
    assert!(waited < Duration::from_secs(8), "nobody waits for more than one who asks: {waited:?}");
    for number in 3..=20 {
        assert_eq!(says(&estate, number).await, StatusCode::OK);
    }
    let bodies = "SELECT count(*) FROM event_payload WHERE encode(payload::bytea, 'escape') LIKE '%Moin%'";
    assert_eq!(database::count(&estate.database, bodies).await, 0);
    let stored = "SELECT count(*) FROM event WHERE type = 'message.received'";
    assert_eq!(database::count(&estate.database, stored).await, 20);

    kms.hangs.send_replace(false);
    until("what is stored can be read again", PATIENCE, async || read(&estate).await == StatusCode::OK).await;
    until("it is told", PATIENCE, async || is_in_time(&estate).await && warnings(&estate).await == "[]").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openbao_that_never_answers_holds_nothing_up_and_is_told_of_at_once() {
    let kms = Kms::start().await;
    let settings = [
        ("WAXSEAL_KEYS__KMS", "openbao"),
        ("WAXSEAL_KEYS__OPENBAO_URL", &kms.url),
        ("WAXSEAL_KEYS__OPENBAO_KEY", "waxseal"),
        ("WAXSEAL_KEYS__OPENBAO_TOKEN", "token-of-the-test"),
    ];
    holds_nothing_up(&kms, &settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_kms_that_never_answers_holds_nothing_up_and_is_told_of_at_once() {
    let kms = Kms::start().await;
    let settings = [
        ("WAXSEAL_KEYS__KMS", "aws"),
        ("WAXSEAL_KEYS__AWS_KEY", "arn:aws:kms:eu-central-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab"),
        ("WAXSEAL_KEYS__AWS_ENDPOINT", &kms.url),
        ("WAXSEAL_KEYS__AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("WAXSEAL_KEYS__AWS_SECRET_ACCESS_KEY", "secret-of-the-test"),
    ];
    holds_nothing_up(&kms, &settings).await;
}
