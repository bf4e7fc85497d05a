//! Promise: a program that is written for Meta's Cloud API works with Waxseal when its base URL and its token are changed.
//! Shown with pywa, a WhatsApp SDK for Python, and one for TypeScript, both of other people and as they publish them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use waxseal::access::{Permission, Permissions};

use crate::support::app::{ACCESS_TOKEN, PHONE_NUMBER_ID, TestApp, WABA_ID, api_key_with};

const RECIPIENT: &str = "4915199900011";

/// The interpreter that has the SDK.
pub(crate) fn python() -> PathBuf {
    installed("sdk-venv/bin/python")
}

/// What is installed below the folder of this build, wherever that is.
fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_waxseal")).ancestors().nth(2).unwrap();
    let path = target.join(path);
    assert!(path.exists(), "the SDK is not installed: run scripts/ensure-sdk.sh, which `make test` does by itself");
    path
}

/// Runs the program against a Graph API, and returns what it printed.
async fn send(base_url: &str, token: &str) -> Value {
    run(Command::new(python()).arg(script("send.py")).args([base_url, token, PHONE_NUMBER_ID, RECIPIENT])).await
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(name)
}

async fn run(program: &mut Command) -> Value {
    let output =
        program.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn ledger(app: &TestApp) -> Value {
    app.control(Method::GET, "ledger", json!(null)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_sends_through_the_mirror_when_its_base_url_and_token_are_changed() {
    let app = TestApp::spawn().await;
    // A conversation is open, so that Meta takes more than templates.
    app.control(Method::POST, "inbound", json!({ "from": RECIPIENT, "text": "Hallo?" })).await;
    let key = api_key_with(&app.gateway, std::iter::once(Permission::MessagesSend).collect::<Permissions>()).await;
    let sent = send(&format!("http://{}/graph", app.at.internal), &key).await;

    let ledger = ledger(&app).await;
    let messages = ledger["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 2, "{sent} {ledger}");
    // Meta takes nothing without its own token, and has seen none of ours.
    assert!(!ledger.to_string().contains(&key));
    assert_eq!((&messages[0]["type"], &messages[1]["type"]), (&json!("text"), &json!("template")));
    assert_eq!((&messages[0]["wamid"], &messages[1]["wamid"]), (&sent["text"], &sent["template"]));
    assert_eq!(messages[0]["body"]["text"]["body"], "Guten Tag aus dem SDK");
    assert_eq!(messages[1]["body"]["template"]["name"], "order_update");
    assert!(messages.iter().all(|one| one["to"] == RECIPIENT));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_reads_a_refusal_of_the_mirror_as_one_of_metas() {
    let app = TestApp::spawn().await;
    let mirror = format!("http://{}/graph", app.at.internal);
    let may_not = api_key_with(&app.gateway, std::iter::once(Permission::EventsRead).collect()).await;
    assert_eq!(send(&mirror, ACCESS_TOKEN).await["error"], 190, "Meta's own token opens nothing here");
    assert_eq!(send(&mirror, &may_not).await["error"], 10);
    assert_eq!(send(app.simulator.base_url(), &app.key).await["error"], 190, "nor does our key at Meta");
    assert_eq!(ledger(&app).await["messages"], json!([]));
}

/// A gateway with a conversation that is open, so that Meta takes more than templates; its mirror.
async fn with_conversation() -> (TestApp, String) {
    let app = TestApp::spawn().await;
    app.control(Method::POST, "inbound", json!({ "from": RECIPIENT, "text": "Hallo?" })).await;
    app.control(Method::PUT, "settings", json!({ "proof": "required" })).await;
    let mirror = format!("http://{}/graph", app.at.internal);
    (app, mirror)
}

/// Five templates in pages of two.
fn pages(of: &str) -> Value {
    let name = |number: &str| format!("{of}_{number}");
    json!([[name("one"), name("two")], [name("three"), name("four")], [name("five")]])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_for_python_does_everything_else_through_the_mirror_too() {
    let (app, mirror) = with_conversation().await;
    let arguments = [&mirror, &app.key, PHONE_NUMBER_ID, WABA_ID, RECIPIENT];
    let seen = run(Command::new(python()).arg(script("manage.py")).args(arguments)).await;
    assert_eq!(
        (&seen["file"]["same"], &seen["file"]["mime_type"]),
        (&json!(true), &json!("application/pdf")),
        "{seen}"
    );
    assert!(seen["file"]["url"].as_str().unwrap().starts_with(&format!("{mirror}/media-download/")), "{seen}");
    assert_eq!((&seen["deleted"], &seen["gone"]), (&json!(true), &json!(100)));
    assert_eq!((&seen["pages"], &seen["template"], &seen["left"]), (&pages("sdk"), &json!("sdk_five"), &json!(0)));
    assert_eq!((&seen["about"], &seen["number"]), (&json!("Wir antworten werktags."), &json!("15550001234")));
    assert_eq!(
        (&seen["blocked"], &seen["list"], &seen["unblocked"]),
        (&json!([RECIPIENT]), &json!(1), &json!([RECIPIENT]))
    );
    let codes = json!([["Guten Tag 0", "Guten Tag 1"], ["Guten Tag 2", "Guten Tag 3"], ["Guten Tag 4"]]);
    assert_eq!((&seen["codes"], &seen["codes_deleted"]), (&codes, &json!(true)));
    let ledger = ledger(&app).await;
    assert_eq!(ledger["messages"][0]["wamid"], seen["sent"], "{ledger}");
    assert!(!ledger.to_string().contains(&app.key));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sdk_for_typescript_works_through_the_mirror_when_its_base_url_and_token_are_changed() {
    let (app, mirror) = with_conversation().await;
    let home = installed("sdk-node");
    let arguments = [home.to_str().unwrap(), &mirror, &app.key, PHONE_NUMBER_ID, WABA_ID, RECIPIENT];
    let seen = run(Command::new("node").arg(script("drive.mjs")).args(arguments)).await;
    assert_eq!((&seen["file"]["same"], &seen["deleted"]), (&json!(true), &json!(true)), "{seen}");
    assert!(seen["file"]["url"].as_str().unwrap().starts_with(&format!("{mirror}/media-download/")), "{seen}");
    assert_eq!((&seen["byCursor"], &seen["byLink"], &seen["left"]), (&pages("js"), &pages("js"), &json!(0)));
    assert_eq!(
        (&seen["about"], &seen["settings"]),
        (&json!("Wir antworten werktags."), &json!(["userIdentityChange"]))
    );
    assert_eq!(seen["refusal"], 100);
    let ledger = ledger(&app).await;
    let wamids: Vec<&Value> = ledger["messages"].as_array().unwrap().iter().map(|one| &one["wamid"]).collect();
    assert_eq!(wamids, [&seen["text"], &seen["template"], &seen["document"]], "{ledger}");
}
