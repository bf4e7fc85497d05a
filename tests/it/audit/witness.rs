//! `waxseal witness`: signs what continues what it signed before, and never two views of one log.

use std::process::Stdio;

use reqwest::StatusCode;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use waxseal::tlog::checkpoint::Checkpoint;
use waxseal::tlog::merkle::{Hash, Head, consistency, leaf_hash};
use waxseal::tlog::note::{Note, Signer, Use};
use waxseal::tlog::policy::Policy;
use waxseal::tlog::proof::AddCheckpoint;
use zeroize::Zeroizing;

use super::tree::{root, root_of};
use super::{entries, scene};
use crate::support::estate::Folder;
use crate::support::process::waxseal;
use crate::support::{app, database};

pub struct Witness {
    process: Child,
    url: String,
    pub key: String,
}

impl Witness {
    async fn start(folder: &Folder, log: &str) -> Self {
        Self::start_at(folder, "example.com/w", log, "127.0.0.1:0").await
    }

    /// A witness of this name that listens there.
    pub async fn start_at(folder: &Folder, name: &str, log: &str, listen: &str) -> Self {
        let (key, state) = (folder.0.join("key"), folder.0.join("state"));
        let (key, state) = (key.display().to_string(), state.display().to_string());
        let words = ["witness", "--listen", listen, "--name", name, "--log", log];
        let words: Vec<&str> = words.into_iter().chain(["--key-file", &key, "--state", &state]).collect();
        let mut process = waxseal(&words, &[]).stdout(Stdio::piped()).spawn().unwrap();
        let line = BufReader::new(process.stdout.take().unwrap()).lines().next_line().await.unwrap().unwrap();
        let (url, key) = line.strip_prefix("witness at ").unwrap().split_once(", key ").unwrap();
        Self { process, url: format!("{url}/add-checkpoint"), key: key.to_owned() }
    }

    async fn ask(&self, request: &str) -> (StatusCode, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.post(&self.url).body(request.to_owned()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn restarted(self, folder: &Folder, log: &str) -> Self {
        self.killed().await;
        Self::start(folder, log).await
    }

    pub async fn killed(mut self) {
        self.process.kill().await.unwrap();
    }
}

fn leaves(view: &str, count: u64) -> Vec<Hash> {
    (0..count).map(|number| leaf_hash(format!("{view} {number}").as_bytes())).collect()
}

fn signer(seed: u8) -> Signer {
    Signer::new("example.com/log", Use::Log, Zeroizing::new([seed; 32])).unwrap()
}

/// What a log asks that shows these leaves and says that it showed `old` of them before.
fn request(log: &Signer, leaves: &[Hash], old: u64) -> AddCheckpoint {
    let head = Head { size: leaves.len() as u64, root: root(leaves) };
    let text = Checkpoint { origin: log.verifier().name().to_owned(), head }.to_string();
    let mut checkpoint = Note::unsigned(&text).unwrap();
    checkpoint.add(&log.line(&text, 0)).unwrap();
    let ranges = consistency(old, head.size).unwrap_or_default();
    AddCheckpoint { old, path: ranges.into_iter().map(|range| root_of(leaves, range)).collect(), checkpoint }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_signs_what_continues_and_refuses_a_split_view_also_after_it_was_killed() {
    let (folder, log) = (Folder::new("witness"), signer(1));
    let key = log.verifier().to_string();
    let mut witness = Witness::start(&folder, &key).await;
    let policy = format!("log {key}\nwitness w {}\nquorum w\n", witness.key);
    let policy = Policy::parse(&policy).unwrap();
    let one = leaves("one", 9);
    let mut signed = 0;
    for size in [3, 5, 5, 8] {
        let request = request(&log, &one[..size], signed);
        let (status, line) = witness.ask(&request.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{size}");
        let mut note = request.checkpoint;
        assert!(policy.accept(&note).is_err(), "the log alone is not enough");
        note.add(&line).unwrap();
        assert_eq!(policy.accept(&note).unwrap().head.size, size as u64);
        signed = size as u64;
    }
    // The log shows something else to others: not to this witness.
    let other = [&one[..4], &leaves("other", 9)].concat();
    for _ in 0..2 {
        let asked = async |request: AddCheckpoint| witness.ask(&request.to_string()).await;
        assert_eq!(asked(request(&log, &other[..8], 8)).await.0, StatusCode::CONFLICT);
        assert_eq!(asked(request(&log, &other[..9], 8)).await.0, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(asked(request(&log, &one[..9], 5)).await, (StatusCode::CONFLICT, "8\n".to_owned()));
        assert_eq!(asked(request(&log, &one[..5], 8)).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(asked(request(&signer(2), &one, 8)).await.0, StatusCode::FORBIDDEN);
        let stranger = Signer::new("example.com/other", Use::Log, Zeroizing::new([1; 32])).unwrap();
        assert_eq!(asked(request(&stranger, &one, 0)).await.0, StatusCode::NOT_FOUND);
        assert_eq!(witness.ask("old 8\n").await.0, StatusCode::BAD_REQUEST);
        witness = witness.restarted(&folder, &key).await;
    }
    assert_eq!(witness.ask(&request(&log, &one, 8).to_string()).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_signs_the_log_of_a_gateway_while_it_grows() {
    let app = scene().await;
    let environment = app::variables(&app.database, app.simulator.base_url());
    let says = async |words: &[&str]| {
        let output = waxseal(words, &environment).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = Folder::new("witnessed");
    let witness = Witness::start(&folder, says(&["audit", "key"]).await.trim()).await;
    let mut old = "0".to_owned();
    for _ in 0..3 {
        app.get("/v1/contacts").await;
        assert!(entries(&app).await > 0);
        let pending = "SELECT count(*) FROM audit_entry WHERE entry_id NOT IN (SELECT entry_id FROM audit_leaf)";
        database::until(&app.database, pending, 0).await;
        let request = says(&["audit", "witness-request", "--old", &old]).await;
        let (status, said) = witness.ask(&request).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        let checkpoint = AddCheckpoint::parse(&request).unwrap().checkpoint;
        old = Checkpoint::parse(checkpoint.text()).unwrap().head.size.to_string();
    }
}
