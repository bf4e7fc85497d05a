//! A gateway in this process, with the simulator as Meta, and a client that speaks to both.

use std::sync::Arc;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::{self, Grant, Powers};
use waxseal::access::{Permissions, Sight};
use waxseal::app::{Addresses, Gateway};
use waxseal::clock::{Clock, ManualClock, SharedClock, SystemClock};
use waxseal::config::Config;
use waxseal::ids::TenantId;
use waxseal::secret::{AccessToken, AppSecret, VerifyToken};
use waxseal::simulator::{Simulator, SimulatorConfig};

use super::receiver::Receiver;
use super::{database, webhook};

pub const APP_SECRET: &str = "5f1d0c5d4c0a4b6f9a7e3c2b1d0e9f8a";
pub const VERIFY_TOKEN: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
pub const ACCESS_TOKEN: &str = "EAAtest5f1d0c5d4c0a4b6f9a7e3c2b1d0e9f8a";
pub const PHONE_NUMBER_ID: &str = "106540352242922";
pub const WABA_ID: &str = "102290129340398";
pub const KMS_SECRET: &str = "1f8b0c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c7d8e9";

/// A running gateway and everything around it.
pub struct TestApp {
    pub gateway: Gateway,
    pub at: Addresses,
    pub simulator: Simulator,
    pub database: String,
    pub key: String,
    pub config: Config,
    client: Client,
}

/// The configuration of a test, as environment variables.
pub fn variables(database: &str, graph: &str) -> Vec<(String, String)> {
    [
        ("DATABASE_URL", database),
        ("WAXSEAL_SERVER__PUBLIC_LISTEN", "127.0.0.1:0"),
        ("WAXSEAL_SERVER__INTERNAL_LISTEN", "127.0.0.1:0"),
        ("WAXSEAL_SERVER__ADMIN_LISTEN", "127.0.0.1:0"),
        ("WAXSEAL_KEYS__KMS", "env"),
        ("WAXSEAL_KEYS__SECRET", KMS_SECRET),
        ("WAXSEAL_META__GRAPH_URL", graph),
        ("WAXSEAL_DELIVER__ALLOW_LOOPBACK", "true"),
        ("WHATSAPP_ACCESS_TOKEN", ACCESS_TOKEN),
        ("WHATSAPP_PHONE_NUMBER_ID", PHONE_NUMBER_ID),
        ("WHATSAPP_WABA_ID", WABA_ID),
        ("WHATSAPP_APP_SECRET", APP_SECRET),
        ("WHATSAPP_VERIFY_TOKEN", VERIFY_TOKEN),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

impl TestApp {
    /// A gateway that tells the machine's time.
    pub async fn spawn() -> Self {
        Box::pin(Self::spawn_with(Arc::new(SystemClock), &[])).await
    }

    /// A gateway whose clock the test drives. It starts at the machine's time.
    pub async fn spawn_with_clock() -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        (Self::spawn_with(clock.clone(), &[]).await, clock)
    }

    /// A gateway with more variables in its environment.
    pub async fn spawn_with(clock: SharedClock, more: &[(&str, &str)]) -> Self {
        Self::spawn_on(database::fresh().await, clock, more).await
    }

    /// A gateway on this database, which is migrated.
    pub async fn spawn_on(database: String, clock: SharedClock, more: &[(&str, &str)]) -> Self {
        let simulator = simulator(clock.clone()).await;
        let mut variables = variables(&database, simulator.base_url());
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config = Config::load(None, variables.into_iter()).unwrap();
        let gateway = Box::pin(Gateway::start(&config, clock.clone())).await.unwrap();
        let at = gateway.addresses;
        simulator.set_callback(Some(format!("http://{}/webhook", at.public)));
        let key = api_key_with(&gateway, Permissions::admin()).await;
        let client = Client::builder().no_proxy().build().unwrap();
        Self { gateway, at, simulator, database, key, config, client }
    }

    /// A request to the internal listener without a key.
    pub fn without_key(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.at.internal))
    }

    /// A request to the internal listener with this key.
    pub fn api_as(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.without_key(method, path).bearer_auth(key)
    }

    /// A request to the internal listener with the admin key.
    pub fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.api_as(&self.key, method, path)
    }

    /// `GET` of a JSON document that must be there.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.api(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    /// A request to the public listener.
    pub fn public(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.at.public))
    }

    /// Posts a body as Meta would, signed.
    pub async fn webhook(&self, body: impl Into<Vec<u8>>) -> StatusCode {
        let body = body.into();
        let signature = webhook::signature(APP_SECRET, &body);
        self.public(Method::POST, "/webhook")
            .header("x-hub-signature-256", signature)
            .body(body)
            .send()
            .await
            .unwrap()
            .status()
    }

    /// A call of the simulator's control side.
    pub async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/control/{path}", self.simulator.base_url());
        let answer = self.client.request(method, url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap_or_default()
    }

    /// Registers a receiver as an endpoint; the answer of the API, with the secret.
    pub async fn endpoint(&self, receiver: &Receiver, format: &str) -> Value {
        let mut body = json!({ "name": "test", "url": receiver.url(), "format": format });
        if format == "meta" {
            body["verify_token"] = json!(super::receiver::VERIFY_TOKEN);
        }
        let answer = self.api(Method::POST, "/v1/endpoints").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.unwrap());
        let made: Value = answer.json().await.unwrap();
        receiver.trust(made["secret"].as_str().unwrap());
        made
    }

    /// Has the settings read that another process changed.
    pub async fn directory_is_read(&self) {
        self.gateway.base().directory.reload().await.unwrap();
    }

    /// The bootstrapped channel's id.
    pub async fn channel(&self) -> String {
        self.get("/v1/channels").await["data"][0]["id"].as_str().unwrap().to_owned()
    }
}

/// A simulator that plays Meta for the numbers above.
pub async fn simulator(clock: SharedClock) -> Simulator {
    let config = SimulatorConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        app_secret: AppSecret::new(APP_SECRET),
        access_token: AccessToken::new(ACCESS_TOKEN),
        verify_token: VerifyToken::new(VERIFY_TOKEN),
        phone_number_id: PHONE_NUMBER_ID.to_owned(),
        waba_id: WABA_ID.to_owned(),
        display_phone_number: "15550001234".to_owned(),
        callback_url: None,
    };
    Simulator::start(config, clock).await.unwrap()
}

/// A new API key with these permissions, which sees everything.
pub async fn api_key_with(gateway: &Gateway, permissions: Permissions) -> String {
    api_key_for(gateway, Powers::Scopes(permissions), Sight::FULL).await
}

/// A new API key that may do this and sees so much.
pub async fn api_key_for(gateway: &Gateway, powers: Powers, sight: Sight) -> String {
    let base = gateway.base();
    let grant = Grant { sight, ..Grant::new(TenantId::DEFAULT, "test".to_owned(), powers) };
    let made = api_key::generate(grant, base.clock.now());
    base.directory.save_api_key(made.record).await.unwrap();
    made.shown.expose().to_owned()
}
