//! Promise: a program that is written for Meta's Cloud API works with Waxseal when its base URL and its token are changed.
//! Shown with pywa, a WhatsApp SDK for Python of other people, as they publish it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use waxseal::access::{Permission, Permissions};

use crate::support::app::{ACCESS_TOKEN, PHONE_NUMBER_ID, TestApp, api_key_with};

const RECIPIENT: &str = "4915199900011";

/// The interpreter that has the SDK.
pub(crate) fn python() -> PathBuf {
    // Beside the folder of this build, wherever that is.
    let target = Path::new(env!("CARGO_BIN_EXE_waxseal")).ancestors().nth(2).unwrap();
    let python = target.join("sdk-venv/bin/python");
    assert!(python.exists(), "the SDK is not installed: run scripts/ensure-sdk.sh, which `make test` does by itself");
    python
}

/// Runs the program against a Graph API, and returns what it printed.
async fn send(base_url: &str, token: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/send.py");
    let output = Command::new(python())
        .arg(script)
        .args([base_url, token, PHONE_NUMBER_ID, RECIPIENT])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
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
