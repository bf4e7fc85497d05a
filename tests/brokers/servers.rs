//! The real servers, on free ports and in folders of their own, which go with them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;

use crate::support::wait;

/// `RabbitMQ` starts an Erlang machine, on a busy computer.
const PATIENCE: Duration = Duration::from_mins(2);
pub const USER: &str = "gateway";
pub const PASSWORD: &str = "p4ss-of-the-broker";

/// A folder that goes when this does.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("waxseal-broker-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A process that was just killed may still hold a file.
        let _left_behind = fs::remove_dir_all(&self.0);
    }
}

/// A process and its children, all of which go when this does.
struct Group(Child);

impl Group {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Self(command.spawn().expect("the server is installed: scripts/ensure-brokers.sh"))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        let _already_gone = kill_process_group(pid, Signal::KILL);
        let _status = self.0.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn listens(port: u16) {
    wait::until("the server listens", PATIENCE, async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
}

fn program(places: &[&str], name: &str) -> String {
    places.iter().find(|place| Path::new(place).exists()).map_or_else(|| name.to_owned(), ToString::to_string)
}

/// A NATS server with `JetStream`.
pub struct Nats {
    running: Option<Group>,
    folder: Folder,
    pub port: u16,
    monitor: u16,
}

impl Nats {
    pub async fn start() -> Self {
        let mut new = Self { running: None, folder: Folder::new(), port: free_port(), monitor: free_port() };
        new.start_again().await;
        new
    }

    /// As a power cut would.
    pub fn stop_hard(&mut self) {
        self.running = None;
    }

    pub async fn start_again(&mut self) {
        let mut command = Command::new(program(&["/usr/sbin/nats-server"], "nats-server"));
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"]).arg(&self.folder.0);
        command.args(["--user", USER, "--pass", PASSWORD, "-m", &self.monitor.to_string()]);
        self.running = Some(Group::start(&mut command));
        listens(self.port).await;
    }

    /// How many clients have connected since it started.
    pub async fn connections(&self) -> u64 {
        let url = format!("http://127.0.0.1:{}/varz", self.monitor);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer: serde_json::Value = client.get(url).send().await.unwrap().json().await.unwrap();
        answer["total_connections"].as_u64().unwrap()
    }

    pub fn url(&self, subject: &str) -> String {
        format!("nats://{USER}:{PASSWORD}@127.0.0.1:{}/{subject}", self.port)
    }
}

/// A `RabbitMQ` server, with the register of names that Erlang needs.
pub struct Rabbit {
    running: Option<Group>,
    _names: Group,
    names_port: u16,
    dist_port: u16,
    folder: Folder,
    pub port: u16,
}

impl Rabbit {
    pub async fn start() -> Self {
        let names_port = free_port();
        let names =
            Group::start(Command::new("epmd").args(["-address", "127.0.0.1", "-port", &names_port.to_string()]));
        listens(names_port).await;
        let (dist_port, port) = (free_port(), free_port());
        let mut new = Self { running: None, _names: names, names_port, dist_port, folder: Folder::new(), port };
        new.start_again().await;
        new
    }

    /// As a power cut would.
    pub fn stop_hard(&mut self) {
        self.running = None;
    }

    pub async fn start_again(&mut self) {
        let places = ["/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server"];
        let mut command = Command::new(program(&places, "rabbitmq-server"));
        let folder = self.folder.0.to_str().unwrap();
        let settings = format!("default_user = {USER}\ndefault_pass = {PASSWORD}\nloopback_users = none\n");
        command
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", self.names_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("waxseal{}@localhost", self.port))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.dist_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", self.folder.file("env", ""))
            .env("RABBITMQ_CONFIG_FILE", self.folder.file("rabbitmq.conf", &settings))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", self.folder.file("advanced.config", "[]."))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.folder.file("plugins", "[]."))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", folder)
            .env("RABBITMQ_MNESIA_BASE", folder)
            .env("RABBITMQ_LOG_BASE", folder)
            .env("RABBITMQ_PID_FILE", format!("{folder}/pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1");
        self.running = Some(Group::start(&mut command));
        listens(self.port).await;
    }

    /// With the query that names exchange and routing key.
    pub fn url(&self, query: &str) -> String {
        format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}/%2f?{query}", self.port)
    }
}
