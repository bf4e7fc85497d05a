//! A gateway process with the simulator as Meta around it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use waxseal::cli::postgres::{Durability, PrivatePostgres};
use waxseal::clock::SystemClock;
use waxseal::simulator::Simulator;

use super::app;
use super::process::{Ports, Process, waxseal};
use super::receiver::Receiver;

/// A gateway in a process of its own, and what it needs.
pub struct Estate {
    pub gateway: Process,
    pub simulator: Simulator,
    pub database: String,
    pub environment: Vec<(String, String)>,
    pub key: String,
    client: reqwest::Client,
}

impl Estate {
    pub async fn start(database: String, more: &[(&str, &str)]) -> Self {
        let simulator = app::simulator(Arc::new(SystemClock)).await;
        let mut environment = app::variables(&database, simulator.base_url());
        environment.retain(|(name, _)| !name.ends_with("_LISTEN"));
        environment.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let made = waxseal(&["key", "create", "--name", "test", "--scope", "admin", "--unmasked"], &environment)
            .output()
            .await;
        let key = String::from_utf8(made.unwrap().stdout).unwrap().lines().last().unwrap().to_owned();
        let gateway = Process::start(&environment, Ports::free()).await;
        simulator.set_callback(Some(gateway.webhook()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { gateway, simulator, database, environment, key, client }
    }

    /// Kills the gateway and starts another in its place.
    pub async fn kill_and_restart(&mut self) {
        self.gateway.kill_hard().await;
        self.gateway = self.in_its_place().await;
    }

    /// Another gateway where the one before was.
    pub async fn in_its_place(&self) -> Process {
        Process::start(&self.environment, self.gateway.at).await
    }

    /// Another gateway on the same database.
    pub async fn second(&self) -> Process {
        Process::start(&self.environment, Ports::free()).await
    }

    /// Registers an endpoint.
    pub async fn endpoint(&self, url: &str) -> Value {
        self.post("/v1/endpoints", &json!({ "name": "test", "url": url, "format": "standard" }), StatusCode::CREATED)
            .await
    }

    /// A receiver that is an endpoint.
    pub async fn receiver(&self) -> Receiver {
        let receiver = Receiver::start().await;
        self.endpoint(&receiver.url()).await;
        receiver
    }

    pub async fn post(&self, path: &str, body: &Value, wanted: StatusCode) -> Value {
        let answer = self.request(Method::POST, path).json(body).send().await.unwrap();
        assert_eq!(answer.status(), wanted, "{path}");
        answer.json().await.unwrap()
    }

    /// A request to the internal listener with the admin key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.gateway.api(path)).bearer_auth(&self.key)
    }

    pub async fn get(&self, path: &str) -> Value {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }
}

/// A folder for a server, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    /// Two tests that give one name have a folder each.
    pub fn new(name: &str) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Below /tmp, because the server's account may not reach root's own temporary folder.
        let path = PathBuf::from(format!("/tmp/waxseal-it-{}-{number}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // litter in /tmp is no failure
    }
}

/// A server of the test's own, as durable as one in production.
pub async fn durable(folder: &Folder) -> PrivatePostgres {
    PrivatePostgres::start(&folder.0.join("p"), Durability::Full).await.unwrap()
}
