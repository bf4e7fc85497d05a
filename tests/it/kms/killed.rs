//! The KMS is killed under load, stays away for ten minutes, and comes back: the books balance.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use tokio::process::{Child, Command};
use waxseal::clock::{ManualClock, SystemClock};
use waxseal::simulator::{Ladder, Settings};

use super::{KEY, read, warnings};
use crate::support::estate::{Estate, Folder};
use crate::support::load::{self, Load};
use crate::support::process::free_port;
use crate::support::sweep::{self, Needle};
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database};

/// How the numbers of those begin who are written to.
const BOB: &str = "491519990";
/// Ticks of five seconds: ten minutes.
const TICKS: usize = 120;

/// An OpenBao that keeps what it has on disk, and so outlives its own end.
struct Standing {
    program: PathBuf,
    folder: Folder,
    url: String,
    unseal_key: String,
    root: String,
    client: Client,
    child: Option<Child>,
}

impl Standing {
    async fn start(name: &str) -> Option<Self> {
        let program = crate::sdk::python().with_file_name("bao");
        if !program.exists() {
            println!("OpenBao is not published for this machine: not tested");
            return None;
        }
        let (folder, [api, cluster]) = (Folder::new(name), [free_port(), free_port()]);
        std::fs::create_dir_all(folder.0.join("raft")).unwrap();
        let config = format!(
            "storage \"raft\" {{\n path = \"{}\"\n node_id = \"one\"\n}}\napi_addr = \"http://127.0.0.1:{api}\"\n\
             cluster_addr = \"http://127.0.0.1:{cluster}\"\nlistener \"tcp\" {{\n address = \"127.0.0.1:{api}\"\n\
             cluster_address = \"127.0.0.1:{cluster}\"\n tls_disable = true\n}}\n",
            folder.0.join("raft").display()
        );
        std::fs::write(folder.0.join("bao.hcl"), config).unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let (unseal_key, root) = (String::new(), String::new());
        let url = format!("http://127.0.0.1:{api}");
        let mut bao = Self { program, folder, url, unseal_key, root, client, child: None };
        bao.run().await;
        let made = bao.put("sys/init", &json!({ "secret_shares": 1, "secret_threshold": 1 })).await.unwrap();
        made["keys"][0].as_str().unwrap().clone_into(&mut bao.unseal_key);
        made["root_token"].as_str().unwrap().clone_into(&mut bao.root);
        bao.unseal().await;
        bao.put("sys/mounts/transit", &json!({ "type": "transit" })).await.unwrap();
        bao.put(&format!("transit/keys/{KEY}"), &json!({ "derived": true })).await.unwrap();
        Some(bao)
    }

    async fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["server", "-config", self.folder.0.join("bao.hcl").to_str().unwrap()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        self.child = Some(command.spawn().unwrap());
        let health = format!("{}/v1/sys/health", self.url);
        until("OpenBao answers", PATIENCE, async || self.client.get(&health).send().await.is_ok()).await;
    }

    async fn put(&self, path: &str, body: &Value) -> Option<Value> {
        let asked = self.client.put(format!("{}/v1/{path}", self.url)).header("x-vault-token", &self.root).json(body);
        let answer = asked.send().await.ok().filter(|answer| answer.status().is_success())?;
        Some(serde_json::from_slice(&answer.bytes().await.ok()?).unwrap_or_default())
    }

    async fn unseal(&self) {
        let key = json!({ "key": self.unseal_key });
        until("it is unsealed", PATIENCE, async || self.put("sys/unseal", &key).await.is_some()).await;
        let active = format!("{}/v1/sys/health", self.url);
        until("it serves", PATIENCE, async || {
            self.client.get(&active).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    }

    fn settings(&self) -> [(&str, &str); 5] {
        [
            ("WAXSEAL_KEYS__KMS", "openbao"),
            ("WAXSEAL_KEYS__SECRET", ""),
            ("WAXSEAL_KEYS__OPENBAO_URL", &self.url),
            ("WAXSEAL_KEYS__OPENBAO_KEY", KEY),
            ("WAXSEAL_KEYS__OPENBAO_TOKEN", &self.root),
        ]
    }

    /// As the kernel's out-of-memory killer would.
    async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    async fn come_back(&mut self) {
        self.run().await;
        self.unseal().await;
    }
}

/// Hands over messages, one after the other, until it is told to stop. Those that were accepted, and how many were not.
async fn sends(app: &TestApp, channel: &str, stop: &AtomicBool) -> (Vec<String>, usize) {
    let (mut accepted, mut refused) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        // Somebody else each time: Meta lets few messages through to the same person.
        let (text, to) = (format!("qcanaryAnswer {}", accepted.len()), format!("{BOB}{:04}", accepted.len()));
        let body = json!({ "channel_id": channel, "message": { "to": to, "type": "text", "text": { "body": text } } });
        let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
        match answer.status() {
            StatusCode::ACCEPTED => {
                accepted.push(answer.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
            }
            StatusCode::SERVICE_UNAVAILABLE => refused += 1,
            other => panic!("{other}"),
        }
    }
    (accepted, refused)
}

/// Ten minutes without the KMS, told and without a word in clear.
async fn away(app: &TestApp, clock: &ManualClock, load: &Load, receiver: &Receiver) {
    for tick in 0..TICKS {
        clock.advance(Duration::seconds(5));
        load.accepted(2).await;
        match tick {
            40 => assert_eq!(read(app).await, StatusCode::OK, "it was heard of less than five minutes ago"),
            70 | 119 => {
                assert_eq!(read(app).await, StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(warnings(app).await, json!([{ "name": "kms", "count": 1 }]));
            }
            _ => {}
        }
    }
    let (arrived, stored) = (receiver.received().len(), load::answered(&load.tries()).len());
    assert!(arrived < stored, "what is stored waits: {arrived} < {stored}");
    let needles = [("answer", "qcanaryAnswer"), ("number", BOB), ("a name", "Ana Beispiel")];
    let needles = needles.map(|(name, text)| Needle::in_every_form(name, text));
    let found = sweep::in_bytes(&needles, "the dump", sweep::dump(&app.database).await.as_bytes());
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_minutes_without_the_kms_under_load_lose_nothing_and_double_nothing() {
    let Some(mut bao) = Standing::start("kms-killed").await else { return };
    let clock = Arc::new(ManualClock::new(waxseal::clock::Clock::now(&SystemClock)));
    let app = TestApp::spawn_with(clock.clone(), &bao.settings()).await;
    let ladder = Ladder { enabled: false, ..Ladder::default() };
    app.simulator.configure(Settings { ladder, ..Settings::default() });
    let receiver = Receiver::start().await;
    let endpoint = json!({ "name": "test", "url": receiver.url(), "event_types": ["message.received"] });
    let made = app.api(Method::POST, "/v1/endpoints").json(&endpoint).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let (channel, stop) = (app.channel().await, AtomicBool::new(false));
    let load = Load::start(&format!("http://{}/webhook", app.at.public), 2);
    let killing = async {
        load.accepted(20).await;
        bao.kill().await;
        away(&app, &clock, &load, &receiver).await;
        bao.come_back().await;
        until("what is stored can be read again", PATIENCE, async || {
            clock.advance(Duration::SECOND);
            read(&app).await == StatusCode::OK
        })
        .await;
        load.accepted(20).await;
        stop.store(true, Ordering::Relaxed);
    };
    let ((accepted, refused), ()) = tokio::join!(sends(&app, &channel, &stop), killing);
    let tries = load.finish().await;
    assert!(tries.iter().all(|one| one.status == Some(200)), "no webhook was turned away");
    assert!(!accepted.is_empty());
    for owed in ["outbox", "delivery", "delivery_retry"] {
        until(&format!("{owed} is empty"), PATIENCE, async || {
            clock.advance(Duration::seconds(5));
            database::count(&app.database, &format!("SELECT count(*) FROM {owed}")).await == 0
        })
        .await;
    }
    load::audit(&app.database, &receiver, &tries).await;
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM delivery_dead").await, 0);
    let ledger = app.control(Method::GET, "ledger", json!(null)).await;
    let sent: Vec<&str> = ledger["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["biz_opaque_callback_data"].as_str())
        .collect();
    let once: HashSet<&str> = sent.iter().copied().collect();
    assert_eq!((sent.len(), once.len()), (accepted.len(), accepted.len()), "each was sent once");
    for id in &accepted {
        assert!(once.contains(format!("waxseal:{}", id.replace('-', "")).as_str()), "{id} was sent");
    }
    assert_eq!(warnings(&app).await, json!([]));
    println!("{} messages were accepted, {refused} not", accepted.len());
    app.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kms_that_was_killed_is_told_of_in_the_metrics_until_it_is_back() {
    let Some(mut bao) = Standing::start("kms-metric").await else { return };
    let mut settings = bao.settings().map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    settings.push(("WAXSEAL_KEYS__CACHE_TTL_SECONDS".to_owned(), "20".to_owned()));
    let more: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let estate = Estate::start(database::fresh().await, &more).await;
    let in_time = async || estate.gateway.metric("waxseal_kms_in_time").await;
    until("the KMS is heard of", PATIENCE, async || in_time().await > 0.5).await;
    bao.kill().await;
    until("its silence is told", PATIENCE, async || in_time().await < 0.5).await;
    assert_eq!(estate.gateway.readiness().await, Some(200), "webhooks are still to be sent here");
    let shut = estate.request(Method::GET, "/v1/contacts").send().await.unwrap().status();
    assert_eq!(shut, StatusCode::SERVICE_UNAVAILABLE);
    let load = Load::start(&estate.gateway.webhook(), 1);
    load.accepted(5).await;
    assert!(load.finish().await.iter().all(|one| one.status == Some(200)));
    bao.come_back().await;
    until("it is heard of again", PATIENCE, async || in_time().await > 0.5).await;
    assert_eq!(estate.get("/v1/events?type=message.received").await["data"][0]["data"]["item"]["text"]["body"], "Moin");
}
