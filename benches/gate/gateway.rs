//! The gateway that is measured: the binary of this build, started as an operator would, with its defaults.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use waxseal::config::environment;

use super::database::Database;
use super::webhook::Business;

const BINARY: &str = env!("CARGO_BIN_EXE_waxseal");
/// Set to anything, it lets the gateway's log through to the terminal.
const SHOW_LOG: &str = "WAXSEAL_BENCH_LOG";
/// Settings beside the defaults, as in the environment and with spaces between: `WAXSEAL_INGEST__WRITERS=2 …`.
const SETTINGS: &str = "WAXSEAL_BENCH_SETTINGS";
const READY_WITHIN: Duration = Duration::from_secs(20);
const ASK_EVERY: Duration = Duration::from_millis(20);

/// How webhooks become transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batching {
    /// As shipped: whatever waits is written together.
    Grouped,
    /// The same binary told to write each POST in a transaction of its own, over ten connections.
    OnePerRequest,
}

impl Batching {
    const fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Grouped => &[],
            Self::OnePerRequest => &[
                ("WAXSEAL_INGEST__WRITERS", "10"),
                ("WAXSEAL_INGEST__BATCH_ROWS", "1"),
                // Ten writers, and two for everything else.
                ("WAXSEAL_DATABASE__MAX_CONNECTIONS", "12"),
            ],
        }
    }
}

/// The address of an endpoint in the API.
pub(crate) struct Endpoint(String);

/// A running gateway. Dropping it kills it.
pub(crate) struct Gateway {
    child: Child,
    /// Its environment.
    pub(crate) settings: Vec<(String, String)>,
    /// May do everything.
    key: String,
    /// Where Meta would post.
    pub(crate) public: SocketAddr,
    internal: SocketAddr,
    client: reqwest::Client,
}

impl Gateway {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(database: &Database, business: Business, batching: Batching) -> anyhow::Result<Self> {
        Self::start_with(database, business, batching, &[]).await
    }

    /// The same with more settings.
    pub(crate) async fn start_with(
        database: &Database,
        business: Business,
        batching: Batching,
        more: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let [public, internal, admin] = free_addresses()?;
        let mut settings = settings(database, business);
        for (name, address) in [("PUBLIC", public), ("INTERNAL", internal), ("ADMIN", admin)] {
            settings.push((format!("WAXSEAL_SERVER__{name}_LISTEN"), address.to_string()));
        }
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        settings.extend(more_settings().split(' ').filter_map(|one| one.split_once('=')).map(|one| owned(&one)));
        settings.extend(batching.settings().iter().chain(more).map(owned));
        // Before the gateway starts: what another process sets up later it learns a second later.
        let key = make_key(&settings).await?;
        let child = command(&settings).arg("serve").spawn().with_context(|| format!("cannot run {BINARY}"))?;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
        let mut gateway = Self { child, settings, key, public, internal, client };
        gateway.wait_until_ready(admin).await?;
        Ok(gateway)
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().unwrap_or(0)
    }

    /// Adds an endpoint that is owed every event, and returns what [`Gateway::remove_endpoint`] needs.
    pub(crate) async fn add_endpoint(&self, receiver: SocketAddr) -> anyhow::Result<Endpoint> {
        let body = json!({ "name": "bench", "url": format!("http://{receiver}/"), "format": "standard" });
        let endpoints = format!("http://{}/v1/endpoints", self.internal);
        let answer = self.client.post(&endpoints).bearer_auth(&self.key).json(&body).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "the endpoint was not added: {status} {}", answer.text().await?);
        let answer: Value = answer.json().await?;
        let id = answer.get("id").and_then(Value::as_str).context("the answer to a new endpoint has no id")?;
        Ok(Endpoint(format!("{endpoints}/{id}")))
    }

    /// Removes it with whatever it is still owed.
    pub(crate) async fn remove_endpoint(&self, endpoint: Endpoint) -> anyhow::Result<()> {
        let status = self.client.delete(endpoint.0).bearer_auth(&self.key).send().await?.status();
        ensure!(status.is_success(), "the endpoint was not removed: {status}");
        Ok(())
    }

    /// Where applications hand over messages.
    pub(crate) const fn internal(&self) -> SocketAddr {
        self.internal
    }

    /// What they show.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// What the API shows.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.client.get(format!("http://{}{path}", self.internal)).bearer_auth(&self.key).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.bytes().await?.to_vec())
    }

    /// Makes something by the API, and returns what it says of it.
    pub(crate) async fn create(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}{path}", self.internal);
        let answer = self.client.post(url).bearer_auth(&self.key).json(body).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.json().await?)
    }

    /// A command of the product, with the settings of this gateway.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.settings);
        command.args(arguments);
        command
    }

    /// Changes it.
    pub(crate) async fn change(&self, endpoint: &Endpoint, body: &Value) -> anyhow::Result<()> {
        let status = self.client.patch(&endpoint.0).bearer_auth(&self.key).json(body).send().await?.status();
        ensure!(status.is_success(), "the endpoint was not changed: {status}");
        Ok(())
    }

    async fn wait_until_ready(&mut self, admin: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                bail!("the gateway ended at once ({status}); {SHOW_LOG}=1 shows its log");
            }
            let answer = self.client.get(format!("http://{admin}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(ASK_EVERY).await;
        }
        bail!("the gateway did not get ready; {SHOW_LOG}=1 shows its log")
    }
}

/// The settings of everything that works on this database.
pub(crate) fn settings(database: &Database, business: Business) -> Vec<(String, String)> {
    [
        ("DATABASE_URL", database.dsn.expose()),
        ("WAXSEAL_KEYS__KMS", "env"),
        ("WAXSEAL_KEYS__SECRET", "6d1f0c8a94be27d3508f3ab1e6c2790d4e85f21b9037ac64d8e9135f70a2bc46"),
        ("WAXSEAL_DELIVER__ALLOW_LOOPBACK", "true"),
        ("WHATSAPP_ACCESS_TOKEN", "EAAGbenchUnusedToken7f3a"),
        ("WHATSAPP_PHONE_NUMBER_ID", business.phone_number_id),
        ("WHATSAPP_WABA_ID", business.waba_id),
        ("WHATSAPP_APP_SECRET", business.app_secret),
        ("WHATSAPP_VERIFY_TOKEN", "bench-verify-4b1d9c"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// What the caller wants to try out; empty for the gateway as shipped.
pub(crate) fn more_settings() -> String {
    environment().find(|(name, _)| name == SETTINGS).map(|(_, value)| value).unwrap_or_default()
}

async fn make_key(settings: &[(String, String)]) -> anyhow::Result<String> {
    let arguments = ["key", "create", "--name", "bench", "--scope", "admin", "--unmasked"];
    let output = command(settings).args(arguments).stdout(Stdio::piped()).output().await?;
    ensure!(output.status.success(), "no API key was made ({}); {SHOW_LOG}=1 shows why", output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().last().context("the command printed no key")?.trim().to_owned())
}

/// The binary with these settings and no others: what the caller's environment says is not measured.
fn command(settings: &[(String, String)]) -> Command {
    let show_log = environment().any(|(name, _)| name == SHOW_LOG);
    let mut command = Command::new(BINARY);
    command.env_clear().envs(settings.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
    if !show_log {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    command
}

/// Three free ports of this machine. Should somebody else be quicker, the gateway says so and does not start.
fn free_addresses() -> anyhow::Result<[SocketAddr; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [bind()?, bind()?, bind()?];
    let [first, second, third] = listeners.map(|listener| listener.local_addr());
    Ok([first?, second?, third?])
}
