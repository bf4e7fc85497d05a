//! The gateway as a process of its own, as operators run it, with everything that it says kept.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

const WAXSEAL: &str = env!("CARGO_BIN_EXE_waxseal");

/// A running `waxseal serve`.
pub struct ChildGateway {
    child: Child,
    log: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
    pub public: String,
    pub internal: String,
    pub admin: String,
    pub key: String,
    client: Client,
}

fn waxseal(variables: &[(String, String)], words: &[&str]) -> Command {
    let mut command = Command::new(WAXSEAL);
    command.args(words).env_clear().envs(variables.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl ChildGateway {
    /// Makes an admin key as an operator would, and starts the gateway. The log must be JSON.
    pub async fn start(variables: &[(String, String)]) -> Self {
        let made = waxseal(variables, &["key", "create", "--name", "sweep", "--scope", "admin", "--unmasked"])
            .output()
            .await
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = String::from_utf8(made.stdout).unwrap().lines().last().unwrap().to_owned();
        let mut child = waxseal(variables, &["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::from_utf8(made.stderr).unwrap();
        let listening: Value = loop {
            let line = lines.next_line().await.unwrap().expect("it listens before it ends");
            said = said + &line + "\n";
            let read: Value = serde_json::from_str(&line).expect("the log is JSON");
            if read["message"] == "listening" {
                break read;
            }
        };
        let log = Arc::new(Mutex::new(said));
        let kept = log.clone();
        let reading = tokio::task::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let address = |name: &str| format!("http://{}", listening[name].as_str().unwrap());
        let (public, internal, admin) = (address("public"), address("internal"), address("admin"));
        let client = Client::builder().no_proxy().build().unwrap();
        Self { child, log, reading, public, internal, admin, key, client }
    }

    /// A request to the internal listener with the admin key.
    pub fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.internal)).bearer_auth(&self.key)
    }

    /// A request to any of the listeners.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// What the system allows the process, as Linux tells it.
    pub fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.child.id().unwrap())).unwrap()
    }

    /// Stops it as a platform would. Returns everything that it said.
    pub async fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().await.unwrap().success());
        self.reading.await.unwrap();
        self.log.lock().unwrap().clone()
    }
}
