//! The gateway asks witnesses by itself: a checkpoint is shown when enough of them have signed, the log grows meanwhile, and
//! nobody's lie is believed.

use std::fs;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode as Status;
use axum::routing::post;
use clap::Parser;
use reqwest::{Method, StatusCode};
use tokio::net::TcpListener;
use waxseal::cli::{Cli, run};
use waxseal::clock::SystemClock;
use waxseal::tlog::note::{Note, Signer, Use};
use waxseal::tlog::policy::Policy;
use waxseal::tlog::proof::AddCheckpoint;
use zeroize::Zeroizing;

use super::PATIENCE;
use super::tree::{checkpoints, leaves, root};
use super::witness::Witness;
use crate::support::estate::Folder;
use crate::support::process::{Ports, Process, waxseal};
use crate::support::wait::until;
use crate::support::{TestApp, app, database};

pub const SIZE: &str = "SELECT size FROM audit_log";
pub const SHOWN: &str = "SELECT COALESCE(max(size), 0) FROM audit_checkpoint WHERE published";

/// What `waxseal` prints on a database, with these variables besides.
pub async fn says(database: &str, words: &[&str], more: &[(&str, &str)]) -> String {
    let mut environment = app::variables(database, "http://127.0.0.1:1");
    environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let output = waxseal(words, &environment).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A witness in a process of its own that can be killed and comes back where it was.
struct Neighbour {
    folder: Folder,
    name: String,
    at: String,
    running: Option<Witness>,
    line: String,
}

impl Neighbour {
    async fn start(name: &str, log: &str) -> Self {
        let (folder, at) = (Folder::new(name), format!("127.0.0.1:{}", Ports::free().public));
        let name = format!("example.com/{name}");
        let running = Witness::start_at(&folder, &name, log, &at).await;
        let line = format!("{} http://{at}", running.key);
        Self { folder, name, at, running: Some(running), line }
    }

    async fn die(&mut self) {
        self.running.take().unwrap().killed().await;
    }

    async fn rise(&mut self, log: &str) {
        self.running = Some(Witness::start_at(&self.folder, &self.name, log, &self.at).await);
    }
}

/// Leaves an entry and waits until it is in the tree. Returns the size of the tree.
pub async fn grow(app: &TestApp) -> i64 {
    let before = database::count(&app.database, SIZE).await;
    assert_eq!(app.api(Method::GET, "/v1/audit?limit=1").send().await.unwrap().status(), StatusCode::OK);
    until("the tree grows", PATIENCE, async || database::count(&app.database, SIZE).await > before).await;
    database::count(&app.database, SIZE).await
}

pub async fn shown(app: &TestApp, size: i64) {
    until("the checkpoint is shown", PATIENCE, async || database::count(&app.database, SHOWN).await >= size).await;
}

async fn note(app: &TestApp) -> Note {
    let answer = app.api(Method::GET, "/v1/audit/checkpoint").send().await.unwrap();
    Note::parse(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_shown_when_two_of_three_witnesses_have_signed_and_the_log_grows_meanwhile() {
    let database = database::fresh().await;
    let log = says(&database, &["audit", "key"], &[]).await;
    let [mut one, mut two, three] = [
        Neighbour::start("w-one", &log).await,
        Neighbour::start("w-two", &log).await,
        Neighbour::start("w-three", &log).await,
    ];
    let lines = [&one, &two, &three].map(|witness| witness.line.as_str()).join(",");
    let settings = [("WAXSEAL_AUDIT__WITNESSES", lines.as_str()), ("WAXSEAL_AUDIT__QUORUM", "2")];
    let policy = says(&database, &["audit", "policy"], &settings).await + "\n";
    let app = TestApp::spawn_on(database, Arc::new(SystemClock), &settings).await;
    let size = grow(&app).await;
    shown(&app, size).await;
    let accepted = Policy::parse(&policy).unwrap().accept(&note(&app).await).unwrap();
    assert!(accepted.head.size >= size.unsigned_abs());

    one.die().await;
    let size = grow(&app).await;
    shown(&app, size).await;

    two.die().await;
    // Whatever was asked for while it died is out of the way.
    let store = database::store(&app.database);
    until("a checkpoint waits", PATIENCE, async || {
        grow(&app).await;
        store.audit_unpublished_since().await.unwrap().is_some()
    })
    .await;
    let before = database::count(&app.database, SHOWN).await;
    let size = grow(&app).await;
    let answer = app.api(Method::GET, &format!("/v1/audit/proof/{}", size - 1)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CONFLICT, "nobody has seen this tree but the log");
    assert_eq!(database::count(&app.database, SHOWN).await, before);

    two.rise(&log).await;
    shown(&app, size).await;
    assert_eq!(store.audit_unpublished_since().await.unwrap(), None);

    let folder = Folder::new("cosigned");
    let (text, rule, all) = (folder.0.join("checkpoint"), folder.0.join("policy"), folder.0.join("all"));
    fs::write(&text, note(&app).await.to_string()).unwrap();
    fs::write(&rule, &policy).unwrap();
    fs::write(&all, policy.replace("group witnesses 2", "group witnesses all")).unwrap();
    for (rule, code) in [(rule, ExitCode::SUCCESS), (all, ExitCode::from(5))] {
        let words = ["waxseal", "verify", "checkpoint", text.to_str().unwrap(), "--policy", rule.to_str().unwrap()];
        let mut out = Vec::new();
        assert_eq!(run(Cli::parse_from(words), &mut out).await.unwrap(), code, "{}", String::from_utf8_lossy(&out));
    }
}

/// Somebody with a witness's key who does not behave like one.
struct Liar {
    how: &'static str,
    signer: Signer,
    asked: AtomicU64,
}

async fn lie(State(liar): State<Arc<Liar>>, body: String) -> (Status, String) {
    let asked = liar.asked.fetch_add(1, Ordering::Relaxed);
    let request = AddCheckpoint::parse(&body).unwrap();
    let text = request.checkpoint.text();
    match liar.how {
        "forges" => (Status::OK, liar.signer.line(&text.replacen('\n', "\n1", 1), 1)),
        "impersonates" => {
            let other = Signer::new(liar.signer.verifier().name(), Use::Witness, Zeroizing::new([99; 32])).unwrap();
            (Status::OK, other.line(text, 1))
        }
        "boasts" => (Status::CONFLICT, "1000000000\n".to_owned()),
        "wavers" => (Status::CONFLICT, format!("{}\n", asked % 2 + 1)),
        "babbles" => (Status::OK, "— ".repeat(100_000)),
        "refuses" => (Status::UNPROCESSABLE_ENTITY, String::new()),
        "fails" => (Status::INTERNAL_SERVER_ERROR, String::new()),
        "moves" => (Status::PERMANENT_REDIRECT, liar.signer.line(text, 1)),
        _ => std::future::pending().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_of_a_witness_counts_and_none_keeps_an_honest_one_from_counting() {
    let database = database::fresh().await;
    let log = says(&database, &["audit", "key"], &[]).await;
    let honest = Neighbour::start("w-honest", &log).await;
    let (mut lines, mut liars) = (vec![honest.line.clone()], Vec::new());
    for (seed, how) in
        (1..).zip(["forges", "impersonates", "boasts", "wavers", "babbles", "refuses", "fails", "moves", "sleeps"])
    {
        let signer = Signer::new(&format!("example.com/{how}"), Use::Witness, Zeroizing::new([seed; 32])).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        lines.push(format!("{} http://{}", signer.verifier(), listener.local_addr().unwrap()));
        let liar = Arc::new(Liar { how, signer, asked: AtomicU64::new(0) });
        let routes = Router::new().route("/add-checkpoint", post(lie)).with_state(liar.clone());
        tokio::spawn(axum::serve(listener, routes).into_future());
        liars.push(liar);
    }
    let lines = lines.join(",");
    let with = |quorum| [("WAXSEAL_AUDIT__WITNESSES", lines.as_str()), ("WAXSEAL_AUDIT__QUORUM", quorum)];
    let app = TestApp::spawn_on(database.clone(), Arc::new(SystemClock), &with("1")).await;
    let size = grow(&app).await;
    shown(&app, size).await;
    let note = note(&app).await.to_string();
    assert!(note.contains("— example.com/w-honest "), "{note}");
    assert!(liars.iter().all(|liar| !note.contains(liar.how)), "{note}");
    app.gateway.shutdown().await;

    let before = database::count(&database, SHOWN).await;
    let asked: Vec<u64> = liars.iter().map(|liar| liar.asked.load(Ordering::Relaxed)).collect();
    let app = TestApp::spawn_on(database, Arc::new(SystemClock), &with("2")).await;
    until("everybody was asked twice more", PATIENCE * 2, async || {
        grow(&app).await;
        liars.iter().zip(&asked).all(|(liar, before)| liar.asked.load(Ordering::Relaxed) >= before + 2)
    })
    .await;
    assert_eq!(database::count(&app.database, SHOWN).await, before);
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_killed_while_witnesses_sign_fork_nothing() {
    let database = database::fresh().await;
    let log = says(&database, &["audit", "key"], &[]).await;
    let (one, two) = (Neighbour::start("w-kill-one", &log).await, Neighbour::start("w-kill-two", &log).await);
    let lines = [&one, &two].map(|witness| witness.line.as_str()).join(",");
    let settings = [("WAXSEAL_AUDIT__WITNESSES", lines.as_str()), ("WAXSEAL_AUDIT__QUORUM", "2")];
    let app = TestApp::spawn_on(database, Arc::new(SystemClock), &settings).await;
    let mut environment = app::variables(&app.database, app.simulator.base_url());
    environment.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
    environment.retain(|(name, _)| !name.ends_with("_LISTEN"));
    for _ in 0..3 {
        let mut process = Process::start(&environment, Ports::free()).await;
        // Whichever of the two has the lane: the other takes it from the silent one.
        database::sabotage(&app.database, "UPDATE lane SET worker_id = NULL, epoch = epoch + 1 WHERE kind = 4").await;
        for _ in 0..3 {
            grow(&app).await;
        }
        process.kill_hard().await;
    }
    let size = grow(&app).await;
    // Both witnesses sign what they have not refused: the tree that they saw before has only grown.
    until("both have signed the newest", PATIENCE * 3, async || database::count(&app.database, SHOWN).await >= size)
        .await;
    let heads = checkpoints(&app).await;
    let all = leaves(&app, heads.last().unwrap().size).await;
    assert!(heads.iter().all(|head| head.root == root(&all[..head.size as usize])), "a checkpoint is of another tree");
}
