//! A gateway in a process of its own, so that it can be killed.

use std::net::TcpListener;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::wait::{PATIENCE, until};

const WAXSEAL: &str = env!("CARGO_BIN_EXE_waxseal");

/// Ports that were free a moment ago.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub public: u16,
    pub internal: u16,
    pub admin: u16,
}

impl Ports {
    pub fn free() -> Self {
        let [public, internal, admin] = std::array::from_fn(|_| free_port());
        Self { public, internal, admin }
    }
}

/// A port that nobody has, from below those that systems hand out by themselves (RFC 6335 §6): such a one may go to any
/// connection between this look and the start of the gateway.
pub fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const PORTS: u32 = 18_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(997);
    loop {
        let port = FIRST + (start % PORTS + NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        let port = u16::try_from(port).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// `waxseal serve`. Killed when dropped.
pub struct Process {
    pub at: Ports,
    child: Child,
    said: Arc<Mutex<String>>,
    client: reqwest::Client,
}

/// Runs a command to its end: whether it succeeded, and all that it said.
pub async fn said(words: &[&str], environment: &[(String, String)]) -> (bool, String) {
    let done = waxseal(words, environment).output().await.unwrap();
    (done.status.success(), String::from_utf8([done.stdout, done.stderr].concat()).unwrap())
}

/// A command with this environment and no other.
pub fn waxseal(words: &[&str], environment: &[(String, String)]) -> Command {
    let mut command = Command::new(WAXSEAL);
    command.args(words).env_clear().envs(environment.iter().cloned()).stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Process {
    /// Starts a gateway and returns when it is ready.
    pub async fn start(environment: &[(String, String)], at: Ports) -> Self {
        let mut process = Self::launch(waxseal(&["serve"], environment), at);
        until("the gateway is ready", PATIENCE, async || {
            assert!(!process.has_ended(), "the gateway ended:\n{}", process.said());
            process.readiness().await == Some(200)
        })
        .await;
        process
    }

    /// Starts whatever serves as a gateway, and does not wait for it.
    pub fn launch(mut command: Command, at: Ports) -> Self {
        for (name, port) in [("PUBLIC", at.public), ("INTERNAL", at.internal), ("ADMIN", at.admin)] {
            command.env(format!("WAXSEAL_SERVER__{name}_LISTEN"), format!("127.0.0.1:{port}"));
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (mut lines, heard) = (BufReader::new(child.stderr.take().unwrap()).lines(), said.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut heard = heard.lock().unwrap();
                heard.push_str(&line);
                heard.push('\n');
            }
        });
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
        Self { at, child, said, client }
    }

    /// Whether it has ended, without waiting for it.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What `/readyz` answers; `None` without an answer.
    pub async fn readiness(&self) -> Option<u16> {
        let answer = self.client.get(format!("http://127.0.0.1:{}/readyz", self.at.admin)).send().await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// The sum of a metric over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.at.admin);
        let Ok(answer) = self.client.get(url).send().await else { return f64::NAN };
        let text = answer.text().await.unwrap_or_default();
        let values = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn webhook(&self) -> String {
        format!("http://127.0.0.1:{}/webhook", self.at.public)
    }

    pub fn api(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.at.internal)
    }

    pub fn pid(&self) -> i32 {
        self.child.id().unwrap().cast_signed()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("the gateway does not end:\n{}", self.said())).unwrap()
    }

    /// As the kernel's out-of-memory killer would.
    pub async fn kill_hard(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Its log so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.said();
            let from = said.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
            println!("the end of what the gateway said:\n{}", &said[from..]);
        }
    }
}
