//! Meta under load: posters that send one webhook after the other, each until it is answered 200, and keep a book.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::app::APP_SECRET;
use super::receiver::Receiver;
use super::wait::{PATIENCE, until};
use super::{database, webhook};

/// Each poster posts this often at most: enough to be under way at every instant, and gentle to the machine.
const PACE: Duration = Duration::from_millis(25);
/// Longer than anything may take.
const LONGEST: Duration = Duration::from_secs(20);

/// Keeps the messages of one load apart from those of another.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// One POST.
#[derive(Debug, Clone)]
pub struct Try {
    pub wamid: String,
    pub began: Instant,
    pub took: Duration,
    /// `None` when the connection was refused or broken.
    pub status: Option<u16>,
}

/// Posters at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    posters: Vec<JoinHandle<()>>,
    book: Arc<Mutex<Vec<Try>>>,
}

impl Load {
    pub fn start(url: &str, posters: usize) -> Self {
        let (stop, book) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let client = reqwest::Client::builder().no_proxy().timeout(LONGEST).build().unwrap();
        let load = NEXT.fetch_add(1, Ordering::Relaxed);
        let posters = (0..posters)
            .map(|poster| {
                tokio::spawn(post([load, poster], url.to_owned(), client.clone(), stop.clone(), book.clone()))
            })
            .collect();
        Self { stop, posters, book }
    }

    /// Everything so far.
    pub fn tries(&self) -> Vec<Try> {
        self.book.lock().unwrap().clone()
    }

    pub async fn until(&self, what: &str, holds: impl Fn(&[Try]) -> bool) {
        until(what, PATIENCE, async || holds(&self.book.lock().unwrap())).await;
    }

    /// Waits until this many more are answered 200, beginning from now.
    pub async fn accepted(&self, more: usize) {
        let now = Instant::now();
        self.until("webhooks are accepted", |tries| {
            tries.iter().filter(|one| one.status == Some(200) && one.began >= now).count() >= more
        })
        .await;
    }

    /// Begins nothing new, and returns when everything that was begun is answered 200.
    pub async fn finish(self) -> Vec<Try> {
        self.stop.store(true, Ordering::Relaxed);
        for poster in self.posters {
            tokio::time::timeout(PATIENCE, poster).await.expect("in the end everything is accepted").unwrap();
        }
        self.book.lock().unwrap().clone()
    }
}

async fn post(
    [load, poster]: [usize; 2],
    url: String,
    client: reqwest::Client,
    stop: Arc<AtomicBool>,
    book: Arc<Mutex<Vec<Try>>>,
) {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let wamid = format!("wamid.{load}.{poster}.{number:06}");
        let body = webhook::text(&format!("49151999{:05}", poster * 10 + number % 10), &wamid, "Moin");
        let signature = webhook::signature(APP_SECRET, &body);
        number += 1;
        loop {
            pace.tick().await;
            let began = Instant::now();
            let request = client.post(&url).header("x-hub-signature-256", &signature).body(body.clone());
            let status = request.send().await.ok().map(|answer| answer.status().as_u16());
            book.lock().unwrap().push(Try { wamid: wamid.clone(), began, took: began.elapsed(), status });
            if status == Some(200) {
                break;
            }
        }
    }
}

/// The wamids that were answered 200.
pub fn answered(tries: &[Try]) -> HashSet<&str> {
    tries.iter().filter(|one| one.status == Some(200)).map(|one| one.wamid.as_str()).collect()
}

/// Compares both ends: what was answered 200 is stored once and arrives, nothing unknown arrives, and what arrives twice has
/// the same id both times.
pub async fn audit(url: &str, receiver: &Receiver, tries: &[Try]) {
    let (sent, promised) = (tries.iter().map(|one| one.wamid.as_str()).collect::<HashSet<_>>(), answered(tries));
    assert!(!promised.is_empty());
    let received = "FROM event e JOIN event_payload p USING (tenant_id, event_id) WHERE e.type = 'message.received'";
    let stored = database::count(url, "SELECT count(*) FROM event WHERE type = 'message.received'").await;
    let subjects = format!("SELECT count(DISTINCT e.subject) {received}");
    assert_eq!(database::count(url, &subjects).await, stored, "stored twice, or without its content");
    assert_eq!(database::count(url, &format!("SELECT count(*) {received}")).await, stored);
    let stored = usize::try_from(stored).unwrap();
    assert!(promised.len() <= stored && stored <= sent.len(), "{} <= {stored} <= {}", promised.len(), sent.len());

    let mut seen = 0;
    let mut arrived: HashMap<String, String> = HashMap::new();
    until("everything that was answered 200 arrives", PATIENCE, async || {
        let received = receiver.received();
        for one in &received[seen..] {
            let wamid = one.json()["data"]["item"]["id"].as_str().unwrap().to_owned();
            assert!(sent.contains(wamid.as_str()), "nobody sent {wamid}");
            let id = one.header("webhook-id").to_owned();
            assert_eq!(arrived.entry(wamid).or_insert_with(|| id.clone()), &id, "one event under two ids");
        }
        seen = received.len();
        promised.iter().all(|wamid| arrived.contains_key(*wamid))
    })
    .await;
    println!("{} answered, {stored} stored, {} arrived in {seen} deliveries", promised.len(), arrived.len());
}
