//! The simulator from outside: over HTTP and real sockets, with a receiver as its callback.

mod control;
mod faults;
mod graph;
mod ladder;
mod media;
mod receiver;

use std::sync::Arc;

use serde_json::{Value, json};
use time::macros::datetime;

use super::{Simulator, SimulatorConfig};
use crate::clock::ManualClock;
use crate::secret::{AccessToken, AppSecret, VerifyToken};
use receiver::Receiver;

const APP_SECRET: &str = "app-secret";
const PHONE: &str = "106540352242922";
const WABA: &str = "102290129340398";

/// A simulator, its callback, a clock that stands still, and a client.
struct Stage {
    simulator: Simulator,
    receiver: Receiver,
    clock: Arc<ManualClock>,
    client: reqwest::Client,
}

impl Stage {
    async fn set() -> Self {
        let receiver = Receiver::start().await;
        let clock = Arc::new(ManualClock::new(datetime!(2026-11-22 12:00 UTC)));
        let config = SimulatorConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            app_secret: AppSecret::new(APP_SECRET),
            access_token: AccessToken::new("token"),
            verify_token: VerifyToken::new("verify-me"),
            phone_number_id: PHONE.to_owned(),
            waba_id: WABA.to_owned(),
            display_phone_number: "+1 555 010 0000".to_owned(),
            callback_url: Some(receiver.url.clone()),
        };
        let simulator = Simulator::start(config, Arc::clone(&clock) as _).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stage = Self { simulator, receiver, clock, client };
        stage.settings(json!({"ladder": {"gap_ms": 1}, "retry": {"first_gap_ms": 1}})).await;
        stage
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.simulator.base_url())
    }

    /// A Graph call as the token's owner: status and JSON body.
    async fn graph(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let method = method.parse().unwrap();
        let mut request = self.client.request(method, self.url(&format!("/v25.0{path}"))).bearer_auth("token");
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn send(&self, message: Value) -> (u16, Value) {
        self.graph("POST", &format!("/{PHONE}/messages"), Some(&whatsapp(message))).await
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let request = self.client.request(method.parse().unwrap(), self.url(&format!("/control{path}"))).json(&body);
        let response = request.send().await.unwrap();
        let bytes = response.bytes().await.unwrap();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    async fn settings(&self, changes: Value) {
        let settings = self.control("PUT", "/settings", changes).await;
        assert!(settings.get("error").is_none(), "{settings}");
    }

    /// The ledger, once so many webhooks are delivered.
    async fn ledger_after(&self, webhooks: u64) -> Value {
        self.control("GET", &format!("/ledger?webhooks={webhooks}"), json!({})).await
    }
}

fn whatsapp(mut message: Value) -> Value {
    message["messaging_product"] = json!("whatsapp");
    message
}

fn text_to(to: &str) -> Value {
    json!({"to": to, "type": "text", "text": {"body": "Hello"}})
}
