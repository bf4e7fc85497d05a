//! Promise: the secret at the top of the key tree may lie in a KMS elsewhere. While that is away nothing is lost, nothing lies readable,
//! and what is stored stays shut. Shown with OpenBao, as it is published.

mod killed;

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use waxseal::clock::{Clock, ManualClock, SystemClock};

use crate::support::process::free_port;
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, database, webhook};

const ROOT: &str = "root-of-the-test";
const KEY: &str = "waxseal";

/// An OpenBao of our own, in memory alone. It ends with the test.
struct Bao {
    url: String,
    unseal_key: String,
    client: Client,
    _child: Child,
}

impl Bao {
    /// `None`: it is published for other machines alone (tests/sdk/requirements.txt).
    async fn start() -> Option<Self> {
        let program = crate::sdk::python().with_file_name("bao");
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            println!("OpenBao is not published for this machine: not tested");
            return None;
        }
        assert!(
            program.exists(),
            "OpenBao is not installed: run scripts/ensure-sdk.sh, which `make test` does by itself"
        );
        let address = format!("127.0.0.1:{}", free_port());
        let mut child = Command::new(program)
            .args([
                "server",
                "-dev",
                "-dev-no-store-token",
                "-dev-root-token-id",
                ROOT,
                "-dev-listen-address",
                &address,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut lines, heard) = (BufReader::new(child.stdout.take().unwrap()).lines(), said.clone());
        // Read to its end, so that it never waits for us.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        let key = || said.lock().unwrap().lines().find_map(|line| line.strip_prefix("Unseal Key: ").map(str::to_owned));
        until("OpenBao runs", PATIENCE, async || key().is_some()).await;
        let client = Client::builder().no_proxy().build().unwrap();
        let bao = Self { url: format!("http://{address}"), unseal_key: key().unwrap(), client, _child: child };
        bao.ask(Method::POST, "sys/mounts/transit", &json!({ "type": "transit" })).await;
        bao.ask(Method::POST, &format!("transit/keys/{KEY}"), &json!({ "derived": true })).await;
        Some(bao)
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let asked = self.client.request(method, format!("{}/v1/{path}", self.url)).header("x-vault-token", ROOT);
        let answer = asked.json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default()
    }

    /// A token that may do what the gateway needs, and nothing else.
    async fn token(&self) -> String {
        let rules = format!(
            r#"path "transit/encrypt/{KEY}" {{ capabilities = ["update"] }} path "transit/decrypt/{KEY}" {{ capabilities = ["update"] }}"#
        );
        self.ask(Method::PUT, "sys/policies/acl/waxseal", &json!({ "policy": rules })).await;
        let made = self.ask(Method::POST, "auth/token/create", &json!({ "policies": ["waxseal"] })).await;
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    async fn seal(&self) {
        self.ask(Method::PUT, "sys/seal", &json!({})).await;
    }

    async fn unseal(&self) {
        self.ask(Method::PUT, "sys/unseal", &json!({ "key": self.unseal_key })).await;
    }

    fn settings<'a>(&'a self, token: &'a str) -> [(&'static str, &'a str); 5] {
        [
            ("WAXSEAL_KEYS__KMS", "openbao"),
            ("WAXSEAL_KEYS__SECRET", ""),
            ("WAXSEAL_KEYS__OPENBAO_URL", &self.url),
            ("WAXSEAL_KEYS__OPENBAO_KEY", KEY),
            ("WAXSEAL_KEYS__OPENBAO_TOKEN", token),
        ]
    }
}

async fn read(app: &TestApp) -> StatusCode {
    app.api(Method::GET, "/v1/contacts").send().await.unwrap().status()
}

async fn says(app: &TestApp, number: usize) -> StatusCode {
    app.webhook(webhook::text("4915199900011", &format!("wamid.kms.{number}"), "Moin")).await
}

async fn warnings(app: &TestApp) -> Value {
    let answer = reqwest::get(format!("http://{}/readyz", app.at.admin)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "webhooks are still to be sent here");
    answer.json::<Value>().await.unwrap()["warnings"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_kms_is_sealed_what_comes_in_is_stored_and_nothing_is_opened_once_its_word_is_old() {
    let Some(bao) = Bao::start().await else { return };
    let token = bao.token().await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &bao.settings(&token)).await;
    assert_eq!(says(&app, 1).await, StatusCode::OK);
    assert_eq!((read(&app).await, warnings(&app).await), (StatusCode::OK, json!([])));

    bao.seal().await;
    assert_eq!(read(&app).await, StatusCode::OK, "it was heard of a moment ago");
    clock.advance(time::Duration::minutes(10));
    assert_eq!(read(&app).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(warnings(&app).await, json!([{ "name": "kms", "count": 1 }]));
    for number in 2..=20 {
        assert_eq!(says(&app, number).await, StatusCode::OK);
    }
    let bodies = "SELECT count(*) FROM event_payload WHERE encode(payload::bytea, 'escape') LIKE '%Moin%'";
    assert_eq!(database::count(&app.database, bodies).await, 0);
    assert_eq!(read(&app).await, StatusCode::SERVICE_UNAVAILABLE);

    bao.unseal().await;
    until("what is stored can be read again", PATIENCE, async || read(&app).await == StatusCode::OK).await;
    assert_eq!(warnings(&app).await, json!([]));
    let events = app.get("/v1/events?limit=200&type=message.received").await;
    assert_eq!(events["data"].as_array().unwrap().len(), 20);
    assert!(events["data"].as_array().unwrap().iter().all(|one| one.to_string().contains("Moin")), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_taken_back_shuts_what_is_stored_and_starts_no_gateway() {
    let Some(bao) = Bao::start().await else { return };
    let token = bao.token().await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let app = TestApp::spawn_with(clock.clone(), &bao.settings(&token)).await;
    assert_eq!(says(&app, 1).await, StatusCode::OK);
    bao.ask(Method::POST, "auth/token/revoke", &json!({ "token": token })).await;
    clock.advance(time::Duration::minutes(10));
    assert_eq!(read(&app).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(says(&app, 2).await, StatusCode::OK);

    let settings = bao.settings(&token).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut environment = crate::support::app::variables(&app.database, app.simulator.base_url());
    environment.extend(settings);
    let output = crate::support::process::waxseal(&["serve"], &environment).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("the KMS refuses"), "{said}");
    assert!(!said.contains(&token), "the token is told");
}
