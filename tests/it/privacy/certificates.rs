//! The certificate proves itself, without us.

use std::process::{ExitCode, Stdio};

use clap::Parser;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::process::Command;
use waxseal::cli::{Cli, run};

use super::{ANA, erase, reaches, says};
use crate::support::estate::Folder;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, app, database, process};

const PENDING: &str = "SELECT count(*) FROM audit_entry WHERE entry_id NOT IN (SELECT entry_id FROM audit_leaf)";

async fn verify(words: &[&str]) -> (ExitCode, String) {
    let words = ["waxseal", "verify", "certificate"].iter().chain(words).copied();
    let mut out = Vec::new();
    let code = run(Cli::parse_from(words), &mut out).await.unwrap();
    (code, String::from_utf8(out).unwrap())
}

/// The second implementation, from the written specification.
async fn independent(words: &[&str]) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificate.py");
    let output = Command::new("python3").arg(script).args(words).stdin(Stdio::null()).output().await.unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_verifies_offline_and_whatever_is_changed_in_it_is_detected() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.certificate.1", "Moin").await;
    let (id, salt) = erase(&app, json!({ "phone": ANA })).await;
    let path = format!("/v1/privacy/erasures/{id}/certificate");
    reaches(&app, &id, "certified").await;
    let mut given = Value::Null;
    until("it is in the tree", PATIENCE, async || {
        let answer = app.api(Method::GET, &path).send().await.unwrap();
        let is_there = answer.status() == StatusCode::OK;
        given = answer.json().await.unwrap();
        is_there || given["code"] != "not_in_tree"
    })
    .await;
    let document = &given["certificate"];
    assert_eq!(document["waxseal_erasure_certificate"], 1, "{given}");
    assert!(!given.to_string().contains(ANA) && document["residual_until"].is_string());
    let shown = document.to_string();
    for what in ["event_payload", "consent_proof", "check_values", "does_not_prove"] {
        assert!(shown.contains(what), "{what} in {shown}");
    }
    let key = database::text(&app.database, "SELECT verifier_key FROM audit_log").await;
    let folder = Folder::new("certificate");
    let file = folder.0.join("certificate.json");
    let place = file.to_str().unwrap().to_owned();
    std::fs::write(&file, given.to_string()).unwrap();

    let (code, said) = verify(&[&place, "--key", &key]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    assert!(said.contains("it proves") && said.contains("it does not prove"), "{said}");
    let about = ["--subject", "+49 151 99900011", "--salt", &salt];
    let (code, said) = verify(&[&[place.as_str(), "--key", &key][..], &about].concat()).await;
    assert_eq!(code, ExitCode::SUCCESS, "{said}");
    let (well, said) = independent(&[&place, "phone", ANA, &salt]).await;
    assert!(well, "{said}");
    let (code, said) = verify(&[&place, "--key", &key, "--subject", "4915199900012", "--salt", &salt]).await;
    assert_eq!(code, ExitCode::from(4), "{said}");
    assert!(!independent(&[&place, "phone", "4915199900012", &salt]).await.0);

    for (pointer, other) in [
        ("/certificate/removed/contact", json!(7)),
        ("/certificate/residual_until", json!("2020-01-01T00:00:00Z")),
        ("/certificate/keys/root", json!("00".repeat(32))),
        ("/certificate/told", json!([{ "endpoint_id": "x" }])),
        ("/certificate/erasure_id", json!("0193b0a0-0000-7000-8000-000000000000")),
        ("/certificate/does_not_prove", json!("nothing")),
    ] {
        let mut changed = given.clone();
        *changed.pointer_mut(pointer).unwrap() = other;
        std::fs::write(&file, changed.to_string()).unwrap();
        let (code, said) = verify(&[&place, "--key", &key]).await;
        assert_eq!(code, ExitCode::from(4), "{pointer}: {said}");
        let (well, said) = independent(&[&place]).await;
        assert!(!well && said.starts_with("refused"), "{pointer}: {said}");
    }
    std::fs::write(&file, given.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_erases_at_the_command_line_and_gets_the_certificate_there() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.cli.1", "Moin").await;
    let environment = app::variables(&app.database, app.simulator.base_url());
    let said = async |words: &[&str]| {
        let output = process::waxseal(words, &environment).output().await.unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (well, counted) = said(&["erase", "--phone", ANA, "--dry-run"]).await;
    assert!(well && counted.contains("nothing was done") && counted.contains("event_payload"), "{counted}");
    let (well, refused) = said(&["erase", "--phone", ANA]).await;
    assert!(!well && refused.contains("--yes"), "{refused}");
    let (well, told) = said(&["erase", "--phone", ANA, "--yes", "--basis", "objection"]).await;
    assert!(well && told.contains("rows_removed") && told.contains("subject salt"), "{told}");
    assert!(!told.contains(ANA));
    let id = told.split_whitespace().skip_while(|word| *word != "erasure").nth(1).unwrap().to_owned();
    reaches(&app, &id, "certified").await;
    database::until(&app.database, PENDING, 0).await;
    let folder = Folder::new("certificate-cli");
    let place = folder.0.join("c.json").display().to_string();
    let (well, told) = said(&["erasures", &id, "--certificate", &place]).await;
    assert!(well, "{told}");
    let key = database::text(&app.database, "SELECT verifier_key FROM audit_log").await;
    let (code, told) = verify(&[&place, "--key", &key]).await;
    assert_eq!(code, ExitCode::SUCCESS, "{told}");
    let (well, listed) = said(&["erasures"]).await;
    assert!(well && listed.contains("certified") && listed.contains("objection"), "{listed}");
    let (well, oldest) = said(&["retention"]).await;
    assert!(well && oldest.contains("audit_entry"), "{oldest}");
}
