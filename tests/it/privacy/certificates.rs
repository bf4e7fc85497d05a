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
    let limits = document["does_not_prove"].as_str().unwrap();
    assert!(limits.contains("no epoch cell: a copy of the key tables from before still opens"), "{limits}");
    assert_eq!(
        (&document["epoch"]["places"], &document["left_at_meta"]["files"]),
        (&json!(0), &json!(0)),
        "{document}"
    );
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
async fn a_certificate_says_whether_an_epoch_cell_was_overwritten_and_which_files_meta_keeps() {
    let folder = Folder::new("certificate-cell");
    let place = |name: &str| folder.0.join(name).display().to_string();
    let cells = ["a", "b", "c"].map(place).join(",");
    let media = format!("file://{}", place("media"));
    let more = [("WAXSEAL_KEYS__CELL_FILES", cells.as_str()), ("WAXSEAL_MEDIA__URL", media.as_str())];
    let app = TestApp::spawn_with(std::sync::Arc::new(waxseal::clock::SystemClock), &more).await;
    says(&app, ANA, "wamid.certificate.2", "Moin").await;
    let (ana, channel) = (super::contact_of(&app, ANA).await.unwrap(), app.channel().await);
    let file = app.api(Method::POST, &format!("/v1/media?contact_id={ana}")).header("content-type", "text/plain");
    let file: Value = file.body("Grundriss").send().await.unwrap().json().await.unwrap();
    let message = json!({ "to": ANA, "type": "document", "document": { "id": file["id"] } });
    let sent = super::sends(&app, json!({ "channel_id": channel, "message": message })).await;
    let is_sent = async || app.get(&format!("/v1/messages/{sent}")).await["state"] != "queued";
    until("it is at Meta", PATIENCE, is_sent).await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM media_at_meta").await, 1);
    // Nobody can ask Meta for anything through a number without a token.
    let change = app.api(Method::PATCH, &format!("/v1/channels/{channel}")).json(&json!({ "access_token": null }));
    assert_eq!(change.send().await.unwrap().status(), StatusCode::OK);
    app.directory_is_read().await;

    // With the step of the day: how many places it wrote is known from it.
    let (id, _) = erase(&app, json!({ "phone": ANA, "when": "next_step" })).await;
    let waits = reaches(&app, &id, "rows_removed").await;
    assert_eq!(waits["removed"]["left_at_meta"], json!(null), "it is no table: {waits}");
    app.gateway.base().keyring.step_epoch().await.unwrap();
    reaches(&app, &id, "certified").await;
    let text = database::text(&app.database, "SELECT certificate FROM erasure").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["epoch"]["places_written"], &document["epoch"]["places"]), (&json!(3), &json!(3)));
    let (proves, limits) = (document["proves"].as_str().unwrap(), document["does_not_prove"].as_str().unwrap());
    assert!(proves.contains("No copy of the key tables from before that step opens any of it"), "{proves}");
    assert!(!limits.contains("no epoch cell"), "{limits}");
    assert_eq!(document["left_at_meta"]["files"], 1, "{document}");
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM media_at_meta").await, 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn how_somebody_was_known_stands_in_the_certificate_and_what_it_rests_on_does_not() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.known.1", "Moin").await;
    let refused = async |body: Value| {
        let answer = app.api(Method::POST, "/v1/privacy/erasures").json(&body).send().await.unwrap();
        let (status, problem) = (answer.status(), answer.json::<Value>().await.unwrap());
        assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/identity")));
    };
    refused(json!({ "phone": ANA, "identity": "guessed" })).await;
    refused(json!({ "phone": ANA, "identity_note": "Ausweis" })).await;
    // It waits for the step of the epoch, so that it can be looked at.
    let note = "Ausweis L01X00T47 lag vor";
    let body = json!({ "phone": ANA, "identity": "document", "identity_note": note, "when": "next_step" });
    let (id, _) = erase(&app, body).await;
    let shown = reaches(&app, &id, "rows_removed").await;
    assert_eq!(
        (&shown["identity"]["method"], &shown["identity"]["note"]),
        (&json!("document"), &json!(note)),
        "{shown}"
    );
    let listed = app.get("/v1/privacy/erasures").await;
    assert_eq!(listed["data"][0]["identity"], Value::Null, "{listed}");
    let log = app.get("/v1/audit?action=erasure.requested").await;
    assert_eq!(log["data"][0]["said"]["details"], json!(["identity=document"]), "{log}");
    assert!(!app.get("/v1/audit?action=erasure.read").await["data"].as_array().unwrap().is_empty());
    let open = format!("SELECT count(*) FROM erasure WHERE position('{note}'::bytea in identity_note::bytea) > 0");
    assert_eq!(database::count(&app.database, &open).await, 0, "it is sealed");

    app.gateway.base().keyring.step_epoch().await.unwrap();
    let shown = reaches(&app, &id, "certified").await;
    assert_eq!(
        (&shown["identity"]["method"], &shown["identity"]["note"]),
        (&json!("document"), &Value::Null),
        "{shown}"
    );
    assert_eq!(database::count(&app.database, "SELECT count(identity_note) FROM erasure").await, 0);
    database::until(&app.database, PENDING, 0).await;
    let given = app.get(&format!("/v1/privacy/erasures/{id}/certificate")).await;
    let today = time::OffsetDateTime::now_utc().date().to_string();
    let document = &given["certificate"];
    assert_eq!(document["identity"], json!({ "method": "document", "checked_on": today }), "{given}");
    assert!(!given.to_string().contains("Ausweis"), "{given}");
    let key = database::text(&app.database, "SELECT verifier_key FROM audit_log").await;
    let folder = Folder::new("certificate-known");
    let place = folder.0.join("certificate.json").display().to_string();
    std::fs::write(&place, given.to_string()).unwrap();
    let (code, said) = verify(&[&place, "--key", &key]).await;
    assert!(code == ExitCode::SUCCESS && said.contains(&format!("identity checked: document, {today}")), "{said}");
    let mut changed = given.clone();
    changed["certificate"]["identity"]["method"] = json!("in_person");
    std::fs::write(&place, changed.to_string()).unwrap();
    assert_eq!(verify(&[&place, "--key", &key]).await.0, ExitCode::from(4));

    // What stays says until when, where that is known.
    let until = |what: &str| {
        let kept = document["kept"].as_array().unwrap();
        kept.iter().find(|one| one["what"] == what).unwrap()["until"].clone()
    };
    let ahead =
        |days: i64| json!((time::OffsetDateTime::now_utc().date() + time::Duration::days(days + 1)).to_string());
    assert_eq!(until("event_ledger"), ahead(400));
    assert_eq!(until("erased_contact"), ahead(40));
    assert_eq!(until("consent_proof"), ahead(3 * 365 + 1));
    assert!(until("audit_entry").is_string());
    assert_eq!((until("erasure"), &document["left_at_meta"]["until"]), (Value::Null, &Value::Null));
}

/// As the release before this one wrote it: nothing in it of identity, nor until when.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_an_earlier_release_verifies_as_it_did() {
    let app = TestApp::spawn().await;
    says(&app, ANA, "wamid.earlier.1", "Moin").await;
    let (id, _) = erase(&app, json!({ "phone": ANA })).await;
    reaches(&app, &id, "certified").await;
    let mut old: Value =
        serde_json::from_str(&database::text(&app.database, "SELECT certificate FROM erasure").await).unwrap();
    assert_eq!(old["identity"], json!({ "method": null, "checked_on": null }), "nobody said");
    old.as_object_mut().unwrap().remove("identity");
    old["left_at_meta"].as_object_mut().unwrap().remove("until");
    old["kept"].as_array_mut().unwrap().iter_mut().for_each(|one| drop(one.as_object_mut().unwrap().remove("until")));
    // The log commits to that one as well.
    let text = waxseal::privacy::certificate::canonical(&old);
    let (tenant, object) =
        (waxseal::ids::TenantId::DEFAULT, waxseal::audit::Object::one("erasure", id.parse().unwrap()));
    let act = waxseal::audit::Act::new(
        tenant,
        waxseal::audit::Actor::GATEWAY,
        waxseal::audit::Action::ErasureCertified,
        object,
    );
    let audit = &app.gateway.base().audit;
    let entry = audit.record(act.with(&[&waxseal::privacy::certificate::digest(&text)])).await.unwrap();
    database::until(&app.database, PENDING, 0).await;
    let proof = audit.proof(tenant, waxseal::audit::Which::Id(entry)).await.unwrap();
    let key = database::text(&app.database, "SELECT verifier_key FROM audit_log").await;
    let folder = Folder::new("certificate-earlier");
    let place = folder.0.join("certificate.json").display().to_string();
    std::fs::write(&place, json!({ "certificate": old, "proof": proof.to_string() }).to_string()).unwrap();
    let (code, said) = verify(&[&place, "--key", &key]).await;
    assert!(code == ExitCode::SUCCESS && !said.contains("identity"), "{said}");
}
