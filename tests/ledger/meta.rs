//! Meta: posts signed batches to any of the gateways, each until it is answered 200; some twice, some at the same moment to two
//! gateways, some in the wrong order, some long after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::event::{Event, Fact, Number, body};
use crate::random::Random;
use crate::support::webhook;

/// A poster begins a batch this often at most: gentle to a machine that does everything else as well.
const PACE: Duration = Duration::from_millis(80);
/// After a refusal.
const PAUSE: Duration = Duration::from_millis(60);
const SHUNNED: Duration = Duration::from_secs(3);
/// As long as Meta waits, about.
const LONGEST: Duration = Duration::from_secs(10);
const PEOPLE: usize = 5;
const LONGEST_BATCH: usize = 4;
/// Batches kept to be posted once more, much later.
const REMEMBERED: usize = 40;

/// What was posted, by all.
#[derive(Debug, Default)]
pub struct Counts {
    pub posts: AtomicU64,
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    pub broken: AtomicU64,
    pub duplicates: AtomicU64,
}

#[derive(Clone)]
struct Batch {
    number: u32,
    events: Vec<Event>,
    body: Vec<u8>,
    signature: String,
    posted: Instant,
}

/// One sender with people of its own.
struct Poster {
    number: Number,
    channel: u8,
    first_person: u16,
    sequences: [u32; PEOPLE],
    urls: Arc<Vec<String>>,
    client: reqwest::Client,
    counts: Arc<Counts>,
    random: Random,
    batches: u32,
    facts: Vec<Fact>,
    before: Vec<Batch>,
    /// The gateway that refused last, and until when it is let alone.
    shunned: (usize, Instant),
}

/// Posters at work.
pub struct Meta {
    pub counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    posters: Vec<JoinHandle<Vec<Fact>>>,
}

impl Meta {
    /// A poster for each of `channels`, which are indices into `numbers` and may repeat.
    pub fn start(urls: Vec<String>, numbers: &[Number], channels: &[usize], seed: u64) -> Self {
        let (counts, stop, urls) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)), Arc::new(urls));
        let client = reqwest::Client::builder().no_proxy().timeout(LONGEST).build().unwrap();
        let poster = |(index, channel): (usize, &usize)| Poster {
            number: numbers[*channel].clone(),
            channel: u8::try_from(*channel).unwrap(),
            first_person: u16::try_from(index * PEOPLE).unwrap(),
            sequences: [0; PEOPLE],
            urls: urls.clone(),
            client: client.clone(),
            counts: counts.clone(),
            random: Random::new(seed, 1000 + index as u64),
            batches: 0,
            facts: Vec::new(),
            before: Vec::new(),
            shunned: (0, Instant::now()),
        };
        let posters = channels.iter().enumerate().map(poster);
        let posters = posters.map(|poster| tokio::spawn(poster.run(stop.clone()))).collect();
        Self { counts, stop, posters }
    }

    /// Begins nothing new. Returns everything that was answered 200 when everything was.
    pub async fn finish(self, patience: Duration) -> Vec<Fact> {
        self.stop.store(true, Ordering::Relaxed);
        let mut facts = Vec::new();
        for poster in self.posters {
            let finished = tokio::time::timeout(patience, poster).await;
            facts.extend(finished.expect("in the end everything is answered 200").unwrap());
        }
        facts
    }
}

impl Poster {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Vec<Fact> {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.load(Ordering::Relaxed) {
            pace.tick().await;
            self.turn().await;
        }
        self.facts
    }

    async fn turn(&mut self) {
        match self.random.below(100) {
            // The later one first.
            0..6 => {
                let (first, second) = (self.batch(), self.batch());
                self.post(second).await;
                self.post(first).await;
            }
            // Both at once: the way of the first is longer or shorter.
            6..12 => {
                let (mut first, mut second) = (self.batch(), self.batch());
                let (one, other) = (self.any(), self.any());
                first.posted = Instant::now();
                second.posted = first.posted;
                let (one, other) = tokio::join!(self.attempt(&first, one), self.attempt(&second, other));
                self.settle(first, one).await;
                self.settle(second, other).await;
            }
            // The same twice at once, to two gateways.
            12..24 => {
                let mut batch = self.batch();
                let one = self.any();
                let other = (one + 1) % self.urls.len();
                batch.posted = Instant::now();
                self.counts.duplicates.fetch_add(1, Ordering::Relaxed);
                let (one, other) = tokio::join!(self.attempt(&batch, one), self.attempt(&batch, other));
                self.settle(batch, one || other).await;
            }
            // The same again at once.
            24..34 => {
                let batch = self.batch();
                self.post(batch.clone()).await;
                self.again(&batch).await;
            }
            // The same again much later.
            34..40 if !self.before.is_empty() => {
                let at = self.random.below(self.before.len());
                self.again(&self.before[at].clone()).await;
            }
            _ => {
                let batch = self.batch();
                self.post(batch).await;
            }
        }
    }

    /// As a load balancer would choose that looks whether its gateways are well.
    fn any(&mut self) -> usize {
        let to = self.random.below(self.urls.len());
        let (shunned, until) = self.shunned;
        if to == shunned && Instant::now() < until { (to + 1) % self.urls.len() } else { to }
    }

    fn batch(&mut self) -> Batch {
        let count = 1 + self.random.below(LONGEST_BATCH);
        let events: Vec<Event> = (0..count).map(|_| self.next_event()).collect();
        let body = body(&self.number, &events);
        let signature = webhook::signature(self.number.app_secret, &body);
        self.batches += 1;
        Batch { number: self.batches, events, body, signature, posted: Instant::now() }
    }

    fn next_event(&mut self) -> Event {
        let person = self.random.below(PEOPLE);
        let sequence = self.sequences[person];
        self.sequences[person] += 1;
        Event { channel: self.channel, contact: self.first_person + u16::try_from(person).unwrap(), sequence }
    }

    /// Posts once. Whether it was answered 200.
    async fn attempt(&self, batch: &Batch, to: usize) -> bool {
        self.counts.posts.fetch_add(1, Ordering::Relaxed);
        let request = self.client.post(&self.urls[to]).header("x-hub-signature-256", &batch.signature);
        let answer = request.body(batch.body.clone()).send().await;
        let (accepted, count) = match answer.map(|answer| answer.status().as_u16()) {
            Ok(200) => (true, &self.counts.accepted),
            Ok(503) => (false, &self.counts.refused),
            Ok(status) => panic!("a webhook was answered {status}"),
            Err(_) => (false, &self.counts.broken),
        };
        count.fetch_add(1, Ordering::Relaxed);
        accepted
    }

    async fn post(&mut self, mut batch: Batch) {
        batch.posted = Instant::now();
        self.settle(batch, false).await;
    }

    /// Posts until it is answered 200, unless it was.
    async fn settle(&mut self, batch: Batch, mut accepted: bool) {
        while !accepted {
            let to = self.any();
            accepted = self.attempt(&batch, to).await;
            if !accepted {
                self.shunned = (to, Instant::now() + SHUNNED);
                tokio::time::sleep(PAUSE).await;
            }
        }
        let answered = Instant::now();
        let Batch { number: batch_number, posted, .. } = batch;
        let fact =
            |(place, event): (usize, &Event)| Fact { event: *event, posted, answered, batch: batch_number, place };
        self.facts.extend(batch.events.iter().enumerate().map(fact));
        if self.before.len() >= REMEMBERED {
            let at = self.random.below(self.before.len());
            self.before.swap_remove(at);
        }
        self.before.push(batch);
    }

    /// Posts what was answered 200 before.
    async fn again(&mut self, batch: &Batch) {
        self.counts.duplicates.fetch_add(1, Ordering::Relaxed);
        let to = self.any();
        self.attempt(batch, to).await;
    }
}
