//! `waxseal verify`: what the log gave out verifies offline, and whatever was changed in it is detected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use reqwest::Method;
use serde_json::{Value, json};
use waxseal::cli::{Cli, run};
use waxseal::tlog::note::{Signer, Use};
use zeroize::Zeroizing;

use super::{listed, proof, receipt, scene};
use crate::support::estate::Folder;
use crate::support::process::waxseal;
use crate::support::{TestApp, app, database};

pub const PENDING: &str = "SELECT count(*) FROM audit_entry WHERE entry_id NOT IN (SELECT entry_id FROM audit_leaf)";
pub const INVALID: u8 = 3;
pub const DIVERGED: u8 = 4;
const UNWITNESSED: u8 = 5;

pub struct Exported {
    folder: Folder,
    pub key: String,
}

impl Exported {
    /// The whole log, in a folder.
    pub async fn of(app: &TestApp, name: &str) -> Self {
        database::until(&app.database, PENDING, 0).await;
        let (folder, environment) = (Folder::new(name), app::variables(&app.database, app.simulator.base_url()));
        let place = folder.0.join("log").display().to_string();
        let output = waxseal(&["audit", "export", &place], &environment).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let key = fs::read_to_string(folder.0.join("log/key")).unwrap().trim().to_owned();
        Self { folder, key }
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.0.join("log").join(path)
    }

    /// Verifies without a gateway, a database or a configuration.
    pub async fn verify(&self, words: &[&str]) -> (ExitCode, String) {
        let words = ["waxseal", "verify"].iter().chain(words).copied().chain(["--key", &self.key]);
        let mut out = Vec::new();
        let code = run(Cli::parse_from(words), &mut out).await.unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    pub async fn bundle(&self) -> (ExitCode, String) {
        self.verify(&["bundle", self.at("").to_str().unwrap()]).await
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |entry: fs::DirEntry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] };
    fs::read_dir(folder).unwrap().flat_map(|entry| below(entry.unwrap())).collect()
}

/// Numbers that look random and are the same in every run (splitmix64).
pub fn random(state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 33) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_changes_to_an_exported_log_are_all_detected() {
    let app = scene().await;
    futures_util::future::join_all((0..270).map(|_| async { app.get("/v1/contacts").await })).await;
    let exported = Exported::of(&app, "audit-export").await;
    let (code, said) = exported.bundle().await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    let mut files = files(&exported.at(""));
    files.retain(|file| !file.ends_with("key"));
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    let mut state = 7;
    for number in 0..1000 {
        let file = &files[random(&mut state) % files.len()];
        let whole = fs::read(file).unwrap();
        let (at, mut changed) = (random(&mut state) % whole.len(), whole.clone());
        match number % 10 {
            0 => drop(changed.remove(at)),
            1 => changed.truncate(at),
            _ => changed[at] ^= 1 << (random(&mut state) % 8),
        }
        fs::write(file, &changed).unwrap();
        let (code, said) = exported.bundle().await;
        let found = code == ExitCode::from(INVALID) || code == ExitCode::from(DIVERGED);
        assert!(found, "a change of {} at {at} was not detected: {said}", file.display());
        fs::write(file, whole).unwrap();
    }
    assert_eq!(exported.bundle().await.0, ExitCode::SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_line_that_means_the_same_in_other_letters_is_not_the_one_that_was_written() {
    let app = scene().await;
    app.get("/v1/contacts").await;
    let exported = Exported::of(&app, "audit-letters").await;
    let path = exported.at("entries.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let (line, rest) = whole.split_once('\n').unwrap();
    let id = serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
    let shouted = line.replace(&id, &id.to_uppercase());
    for changed in [shouted, line.replacen(':', ": ", 1), format!("{line} "), format!("{line}\r")] {
        assert_ne!(changed, line);
        fs::write(&path, format!("{changed}\n{rest}")).unwrap();
        let (code, said) = exported.bundle().await;
        assert_eq!(code, ExitCode::from(DIVERGED), "{changed}: {said}");
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(exported.bundle().await.0, ExitCode::SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_proofs_and_their_consistency_verify_with_files_alone() {
    let app = scene().await;
    let answer = app.api(Method::GET, "/v1/contacts").send().await.unwrap();
    let text = proof(&app, &receipt(&answer).unwrap()).await;
    let first = Exported::of(&app, "audit-first").await;
    app.get("/v1/contacts").await;
    let second = Exported::of(&app, "audit-second").await;
    let (path, old, new) = (second.at("proof"), first.at("checkpoint"), second.at("checkpoint"));
    let [path, old, new, bundle] = [path, old, new, second.at("")].map(|path| path.display().to_string());
    fs::write(&path, &text).unwrap();
    for words in
        [vec!["checkpoint", &new], vec!["inclusion", &path], vec!["consistency", &old, &new, "--bundle", &bundle]]
    {
        let (code, said) = second.verify(&words).await;
        assert_eq!(code, ExitCode::SUCCESS, "{words:?}: {said}");
    }
    let backwards = second.verify(&["consistency", &new, &old, "--bundle", &bundle]).await;
    assert_eq!(backwards.0, ExitCode::from(DIVERGED), "{}", backwards.1);
    // Another entry under the same proof.
    let other = text.replacen("extra ", "extra AAAA", 1);
    fs::write(&path, other).unwrap();
    assert_eq!(second.verify(&["inclusion", &path]).await.0, ExitCode::from(INVALID));

    let witness = Signer::new("example.com/w", Use::Witness, Zeroizing::new([7; 32])).unwrap();
    let policy = format!("log {}\nwitness w {}\nquorum w\n", second.key, witness.verifier());
    let policy_file = second.at("policy");
    fs::write(&policy_file, policy).unwrap();
    let words = ["waxseal", "verify", "checkpoint", &new, "--policy", policy_file.to_str().unwrap()];
    let mut out = Vec::new();
    let code = run(Cli::parse_from(words), &mut out).await.unwrap();
    assert_eq!(code, ExitCode::from(UNWITNESSED), "{}", String::from_utf8_lossy(&out));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_row_was_changed_in_the_database_is_called_damaged() {
    let app = scene().await;
    app.get("/v1/contacts").await;
    let change = "UPDATE audit_entry SET action = 'events.read' WHERE action = 'contacts.read'";
    database::sabotage(&app.database, change).await;
    let changed: Vec<Value> = listed(&app, "").await.into_iter().filter(|one| one["damaged"] == true).collect();
    assert_eq!((changed.len(), &changed[0]["said"]), (1, &json!(null)));
}
