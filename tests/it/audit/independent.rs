//! What others wrote from the same specifications agrees: a verifier and a witness of transparency logs, as their author publishes
//! them (`aics-tlog`, `aics-witness`), accept our checkpoints, tiles and proofs, and refuse a split view.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;

use data_encoding::BASE64;
use reqwest::{Method, StatusCode};
use tokio::process::{Child, Command};
use waxseal::audit::commitment;
use waxseal::clock::SystemClock;
use waxseal::tlog::checkpoint::Checkpoint;
use waxseal::tlog::note::Note;
use waxseal::tlog::proof::Proof;

use super::cosigned::{SHOWN, SIZE, grow, says, shown};
use super::verify::Exported;
use super::{PATIENCE, proof, receipt, scene};
use crate::sdk::python;
use crate::support::estate::Folder;
use crate::support::process::Ports;
use crate::support::wait::until;
use crate::support::{TestApp, database};

/// Runs one of their programs. Whether it succeeded, and what it said.
async fn run(program: &str, words: &[&str]) -> (bool, String) {
    let mut command = Command::new(python().with_file_name(program));
    let command = command.args(words).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn accepts(words: &[&str]) {
    let (well, said) = run("aics-tlog", words).await;
    assert!(well, "{words:?}: {said}");
}

async fn refuses(words: &[&str]) {
    let (well, said) = run("aics-tlog", words).await;
    assert!(!well && !said.contains("Traceback"), "{words:?}: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verifier_of_other_people_accepts_what_the_log_gives_out_and_refuses_what_was_changed() {
    let app = scene().await;
    let answer = app.api(Method::GET, "/v1/contacts").send().await.unwrap();
    futures_util::future::join_all((0..600).map(|_| async { app.get("/v1/contacts").await })).await;
    let alone = proof(&app, &receipt(&answer).unwrap()).await;
    let first = Exported::of(&app, "independent-first").await;
    app.get("/v1/contacts").await;
    let log = Exported::of(&app, "independent").await;
    let (tiles, note, old) = (log.at(""), log.at("checkpoint"), first.at("checkpoint"));
    let [tiles, note, old] = [&tiles, &note, &old].map(|path| path.to_str().unwrap().trim_end_matches('/'));
    let key = log.key.as_str();
    let head = Checkpoint::parse(Note::parse(&fs::read_to_string(note).unwrap()).unwrap().text()).unwrap().head;

    accepts(&["verify-checkpoint", "--note", note, "--log-key", key]).await;
    for index in [0, 255, 256, 511, head.size - 1].map(|index| index.to_string()) {
        accepts(&["verify-inclusion", "--tiles", tiles, "--log-key", key, "--index", &index]).await;
    }
    let consistency = ["verify-consistency", "--tiles", tiles, "--log-key", key, "--old-checkpoint", old];
    accepts(&consistency).await;

    // A proof as the API gives it, and the commitment that its reader computes from the entry.
    let alone = Proof::parse(&alone).unwrap();
    let (salt, entry) = alone.extra.as_ref().unwrap().split_first_chunk::<32>().unwrap();
    let signed = Checkpoint::parse(alone.checkpoint.text()).unwrap().head;
    let (leaf, path) = (first.at("leaf"), first.at("path"));
    fs::write(&leaf, commitment(entry, salt)).unwrap();
    fs::write(&path, alone.path.iter().map(|hash| BASE64.encode(hash) + "\n").collect::<String>()).unwrap();
    let [size, index, root] = [signed.size.to_string(), alone.index.to_string(), BASE64.encode(&signed.root)];
    let [leaf, path] = [&leaf, &path].map(|path| path.to_str().unwrap());
    let words = ["verify-inclusion", "--leaf", leaf, "--proof", path, "--size", &size, "--root", &root, "--index"];
    accepts(&[&words[..], &[index.as_str()]].concat()).await;
    refuses(&[&words[..], &[(alone.index + 1).to_string().as_str()]].concat()).await;

    for changed in ["tile/0/000", "tile/entries/000", "tile/0/001", "checkpoint"] {
        let (place, whole) = (log.at(changed), fs::read(log.at(changed)).unwrap());
        let mut other = whole.clone();
        other[40] ^= 1;
        fs::write(&place, other).unwrap();
        let index = if changed == "tile/0/001" { "256" } else { "0" };
        refuses(&["verify-inclusion", "--tiles", tiles, "--log-key", key, "--index", index]).await;
        fs::write(&place, whole).unwrap();
    }
    accepts(&consistency).await;
}

/// Their witness. Killed when dropped.
struct Stranger {
    folder: Folder,
    line: String,
    _running: Child,
}

impl Stranger {
    async fn start(log: &str) -> Self {
        let (folder, at) = (Folder::new("stranger"), format!("127.0.0.1:{}", Ports::free().public));
        let config = folder.0.join("witness.json").display().to_string();
        let program = async |words: &[&str]| {
            let (well, said) = run("aics-witness", &[words, &["--config", &config]].concat()).await;
            assert!(well, "{words:?}: {said}");
            said
        };
        let said = program(&["init", "--name", "example.org/stranger", "--listen", &at]).await;
        let key = said.split_whitespace().find(|word| word.starts_with("example.org/stranger+")).unwrap().to_owned();
        program(&["add-log", "--origin", log.split('+').next().unwrap(), "--vkey", log]).await;
        let mut command = Command::new(python().with_file_name("aics-witness"));
        command.args(["serve", "--config", &config]).env("PYTHONDONTWRITEBYTECODE", "1");
        let running = command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let (client, health) = (reqwest::Client::builder().no_proxy().build().unwrap(), format!("http://{at}/healthz"));
        until("the witness answers", PATIENCE, async || {
            client.get(&health).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
        Self { folder, line: format!("{key} http://{at}"), _running: running }
    }

    /// What it keeps against the log.
    async fn evidence(&self) -> String {
        let config = self.folder.0.join("witness.json").display().to_string();
        let (well, said) = run("aics-witness", &["evidence", "--config", &config]).await;
        assert!(well, "{said}");
        said
    }
}

/// The same log in two databases.
async fn copied(database: &str) -> String {
    let name = |url: &str| url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    let (from, to) = (name(database), format!("{}_fork", name(database)));
    let beside = database::fresh().await;
    database::sabotage(&beside, &format!("CREATE DATABASE {to} TEMPLATE {from}")).await;
    database::with_database(database, &to)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_and_a_verifier_of_other_people_refuse_a_split_view() {
    let database = database::fresh().await;
    let log = says(&database, &["audit", "key"], &[]).await;
    let stranger = Stranger::start(&log).await;
    let settings = [("WAXSEAL_AUDIT__WITNESSES", stranger.line.as_str()), ("WAXSEAL_AUDIT__QUORUM", "1")];
    let start = async |database: String, settings: &[(&str, &str)]| {
        Box::pin(TestApp::spawn_on(database, Arc::new(SystemClock), settings)).await
    };
    let app = start(database, &settings).await;
    let size = grow(&app).await;
    shown(&app, size).await;
    let nothing = stranger.evidence().await;
    app.gateway.shutdown().await;
    let other = copied(&app.database).await;

    // The log goes on here, and its witness signs.
    let app = start(app.database, &settings).await;
    let size = grow(&app).await;
    shown(&app, size).await;
    let one = Exported::of(&app, "split-one").await;
    let key = stranger.line.split(' ').next().unwrap();
    let note = one.at("checkpoint");
    let words = ["verify-checkpoint", "--note", note.to_str().unwrap(), "--log-key", &log, "--witness-key", key];
    accepts(&[&words[..], &["--quorum", "1"]].concat()).await;

    // And it goes on there otherwise, signed with the same key.
    let app = start(other, &settings).await;
    let before = database::count(&app.database, SHOWN).await;
    until("the witness has evidence against the log", PATIENCE, async || {
        grow(&app).await;
        stranger.evidence().await != nothing
    })
    .await;
    assert!(database::count(&app.database, SIZE).await > size);
    assert_eq!(database::count(&app.database, SHOWN).await, before, "nobody is shown the other view");
    app.gateway.shutdown().await;

    // Without its witness it may be shown; whoever kept a checkpoint of the first view refuses the second.
    let app = start(app.database, &[]).await;
    let fork = grow(&app).await;
    shown(&app, fork).await;
    let two = Exported::of(&app, "split-two").await;
    let (tiles, old) = (two.at(""), one.at("checkpoint"));
    let tiles = tiles.to_str().unwrap().trim_end_matches('/');
    accepts(&["verify-inclusion", "--tiles", tiles, "--log-key", &log, "--index", "0"]).await;
    let words = ["verify-consistency", "--tiles", tiles, "--log-key", &log, "--old-checkpoint"];
    refuses(&[&words[..], &[old.to_str().unwrap()]].concat()).await;
}
