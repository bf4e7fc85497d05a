//! Everything that can happen to the canaries: endpoints that work and fail, people who write, replies, mistakes.

use std::sync::Arc;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use waxseal::clock::SystemClock;
use waxseal::secret::{AccessToken, AppSecret, VerifyToken};
use waxseal::simulator::{Simulator, SimulatorConfig};

use super::store::Store;
use super::{
    ACCESS_TOKEN, APP_SECRET, BODY, BSUID, DETAILS, HUB_SECRET, KMS_SECRET, META_VERIFY_TOKEN, NAME, NOTICE, NUMBER,
    OTHER_NUMBER, REPLY, TYPED, URL_TOKEN, USERNAME, wamid,
};
use crate::support::app::{PHONE_NUMBER_ID, WABA_ID, variables};
use crate::support::child::ChildGateway;
use crate::support::folder::Folder;
use crate::support::{Receiver, database, receiver, webhook};

/// A gateway that holds canaries, and Meta beside it.
pub(super) struct Scene {
    pub(super) gateway: ChildGateway,
    simulator: Simulator,
    pub(super) database: String,
    pub(super) store: Store,
    /// The `TMPDIR` of the gateway and of the verbs beside it.
    pub(super) temporary: Folder,
    /// What verbs are run with beside the gateway.
    pub(super) environment: Vec<(String, String)>,
    /// Archives that were given out, encrypted.
    pub(super) archives: Vec<(String, Vec<u8>)>,
    /// Everything that was answered and should hold none of them, as it was written.
    pub(super) answers: String,
}

impl Scene {
    pub(super) async fn begin(database: String, store: Store) -> Self {
        let config = SimulatorConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            app_secret: AppSecret::new(APP_SECRET),
            access_token: AccessToken::new(ACCESS_TOKEN),
            verify_token: VerifyToken::new(META_VERIFY_TOKEN),
            phone_number_id: PHONE_NUMBER_ID.to_owned(),
            waba_id: WABA_ID.to_owned(),
            display_phone_number: "15550001234".to_owned(),
            callback_url: None,
        };
        let simulator = Simulator::start(config, Arc::new(SystemClock)).await.unwrap();
        let mut all = variables(&database, simulator.base_url());
        let temporary = Folder::new();
        std::fs::create_dir_all(temporary.path()).unwrap();
        let ours = [
            ("TMPDIR", temporary.path().to_str().unwrap()),
            ("WAXSEAL_PRIVACY__IN_CHAT", "true"),
            ("WAXSEAL_PRIVACY__NOTICE_TEXT", NOTICE),
            ("WAXSEAL_PRIVACY__NOTICE_VERSION", "1"),
            ("WAXSEAL_KEYS__SECRET", KMS_SECRET),
            ("WHATSAPP_ACCESS_TOKEN", ACCESS_TOKEN),
            ("WHATSAPP_APP_SECRET", APP_SECRET),
            ("WHATSAPP_VERIFY_TOKEN", META_VERIFY_TOKEN),
            ("WAXSEAL_LOG__LEVEL", "trace"),
        ];
        all.retain(|(name, _)| ours.iter().all(|(other, _)| name != other));
        all.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        all.extend(store.settings());
        let gateway = ChildGateway::start(&all).await;
        simulator.set_callback(Some(format!("{}/webhook", gateway.public)));
        all.push(("PATH".to_owned(), std::env::var("PATH").unwrap()));
        let (environment, archives) = (all, Vec::new());
        Self { gateway, simulator, database, store, temporary, environment, archives, answers: String::new() }
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let answer = self.gateway.api(Method::POST, path).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let answer = self.gateway.api(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.unwrap()
    }

    pub(super) async fn refused(&mut self, request: RequestBuilder) {
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_client_error() || answer.status().is_server_error(), "{}", answer.status());
        let headers = format!("{:?}\n", answer.headers());
        self.answers.extend([headers, answer.text().await.unwrap()]);
    }

    pub(super) async fn webhook(&self, value: Value) {
        let body = webhook::messages(value);
        let signature = webhook::signature(APP_SECRET, &body);
        let request = self.gateway.request(Method::POST, &format!("{}/webhook", self.gateway.public));
        let answer = request.header("x-hub-signature-256", signature).body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    /// Endpoints that work, fail, and are not there. Their secrets.
    pub(super) async fn endpoints(&self, working: &Receiver) -> Vec<String> {
        let at = |url: String| json!({ "name": "sweep", "url": url });
        let url = format!("{}?token={URL_TOKEN}", working.url());
        let mut meta = at(url.clone());
        meta["format"] = json!("meta");
        meta["secret"] = json!(HUB_SECRET);
        meta["verify_token"] = json!(receiver::VERIFY_TOKEN);
        self.post("/v1/endpoints", meta).await;
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut secrets = Vec::new();
        for url in [url, format!("http://{nobody}/{URL_TOKEN}?{URL_TOKEN}"), working.url().replace("hook", URL_TOKEN)] {
            let made = self.post("/v1/endpoints", at(url)).await;
            secrets.push(made["secret"].as_str().unwrap().to_owned());
        }
        secrets
    }

    /// What people write, what becomes of what was sent, and what Postgres refuses.
    pub(super) async fn inbound(&self) {
        let person = json!({ "profile": { "name": NAME, "username": USERNAME }, "wa_id": NUMBER, "user_id": BSUID });
        let mut item = webhook::text_item(NUMBER, &wamid(NUMBER, "IN"), BODY);
        item["from_user_id"] = json!(BSUID);
        self.webhook(json!({ "contacts": [person], "messages": [item] })).await;
        self.webhook(json!({ "novelties": [{ "said": BODY, "by": NUMBER }] })).await;
        let changed = json!({ "type": "user_changed_number", "wa_id": OTHER_NUMBER, "body": NAME });
        let change = json!({ "from": NUMBER, "id": wamid(NUMBER, "SYS"), "timestamp": "1763800000", "type": "system", "system": changed });
        self.webhook(json!({ "messages": [change] })).await;
        // Stands for whatever Postgres may refuse: it tells of the row that it refused.
        database::sabotage(&self.database, "ALTER TABLE event ADD CHECK (error_code IS DISTINCT FROM 131999)").await;
        let mut failed = webhook::status_item(NUMBER, &wamid(NUMBER, "OUT"), "failed");
        failed["errors"] = json!([{ "code": 131_999, "title": "x", "error_data": { "details": DETAILS } }]);
        self.webhook(json!({ "statuses": [failed] })).await;
    }

    /// Replies through both doors, while Meta works and while it does not. The ids of those that were queued.
    pub(super) async fn outbound(&mut self) -> Vec<String> {
        let channel = self.get("/v1/channels").await["data"][0]["id"].clone();
        let message =
            |to: &str| json!({ "messaging_product": "whatsapp", "to": to, "type": "text", "text": { "body": REPLY } });
        let mirror = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
        let mut ids = Vec::new();
        for fault in [
            json!({}),
            json!({ "messages": { "code": 131_026 }, "times": 2 }),
            json!({ "messages": "reset", "times": 2 }),
        ] {
            let url = format!("{}/control/faults", self.simulator.base_url());
            self.gateway.request(Method::PUT, &url).json(&fault).send().await.unwrap();
            let queued = self.post("/v1/messages", json!({ "channel_id": channel, "message": message(NUMBER) })).await;
            ids.push(queued["id"].as_str().unwrap().to_owned());
            let answer = self.gateway.api(Method::POST, &mirror).json(&message(NUMBER)).send().await.unwrap();
            answer.text().await.unwrap();
        }
        let receipt = json!({ "messaging_product": "whatsapp", "status": "read", "message_id": wamid(NUMBER, "IN") });
        self.gateway.api(Method::POST, &mirror).json(&receipt).send().await.unwrap();
        self.mirrored().await;
        ids
    }

    /// Other calls of the mirror: with the key in the URL, a person in path, query and body; done, refused and lost. What is answered
    /// is Meta's and the caller's own, but for Meta's token.
    async fn mirrored(&mut self) {
        let number = format!("/graph/v25.0/{PHONE_NUMBER_ID}");
        let people =
            json!({ "messaging_product": "whatsapp", "block_users": [{ "user": NUMBER }, { "user_id": BSUID }] });
        let key = self.gateway.key.clone();
        for fault in [json!({}), json!({ "account": { "code": 131_000 } }), json!({ "account": "lost_answer" })] {
            let url = format!("{}/control/faults", self.simulator.base_url());
            self.gateway.request(Method::PUT, &url).json(&fault).send().await.unwrap();
            for (method, path, body) in [
                (Method::POST, format!("{number}/block_users"), people.clone()),
                (Method::GET, format!("{number}/block_users"), json!({})),
                (Method::GET, format!("{number}/call_permissions?user_wa_id={NUMBER}&access_token={key}"), json!({})),
                (
                    Method::POST,
                    format!("{number}/whatsapp_business_profile"),
                    json!({ "about": REPLY, "access_token": key }),
                ),
                (Method::GET, format!("/graph/v25.0/{NUMBER}?access_token={ACCESS_TOKEN}&fields={TYPED}"), json!({})),
                (Method::POST, format!("/graph/v25.0/{TYPED}/{NUMBER}"), json!({ "to": NUMBER })),
            ] {
                let answer = self.gateway.api(method, &path).json(&body).send().await.unwrap();
                assert!(!answer.text().await.unwrap().contains(ACCESS_TOKEN));
            }
            let bare = format!("{}{number}?access_token={ACCESS_TOKEN}", self.gateway.internal);
            let answer = self.gateway.request(Method::GET, &bare).send().await.unwrap();
            self.answers.push_str(&answer.text().await.unwrap());
        }
        let url = format!("{}/control/faults", self.simulator.base_url());
        self.gateway.request(Method::DELETE, &url).send().await.unwrap();
    }

    /// Keys that are made, rotated, reported, locked and refused, and somebody who is revealed. The keys.
    pub(super) async fn keys(&mut self, contact: &str) -> Vec<String> {
        let reveal = format!("/v1/contacts/{contact}/reveal");
        let revealed = self.post(&reveal, json!({ "reason": "answer" })).await.to_string();
        assert!(revealed.contains(NUMBER) || revealed.contains(OTHER_NUMBER), "the canaries went this way");
        let body = json!({ "name": "sweep", "role": "service", "cidrs": ["127.0.0.1"], "contacts_per_hour": 1 });
        let made = self.post("/v1/keys", body).await;
        let heir = self.post(&format!("/v1/keys/{}/rotate", made["id"].as_str().unwrap()), json!({})).await;
        let keys = [&made, &heir].map(|made| made["key"].as_str().unwrap().to_owned());
        let at = |path: &str| format!("{}{path}", self.gateway.internal);
        let (contacts, report) = (at("/v1/contacts"), at("/v1/keys/report"));
        for _ in 0..2 {
            self.refused(self.gateway.request(Method::GET, &contacts).bearer_auth(&keys[0])).await;
        }
        for key in [&keys[1], TYPED] {
            let request = self.gateway.request(Method::POST, &report).json(&json!({ "key": key }));
            assert_eq!(request.send().await.unwrap().status(), StatusCode::ACCEPTED);
        }
        self.refused(self.gateway.request(Method::GET, &contacts).bearer_auth(&keys[1])).await;
        for body in [json!({ "reason": TYPED }), json!({ "reason": [TYPED] })] {
            self.refused(self.gateway.api(Method::POST, &reveal).json(&body)).await;
        }
        for (field, value) in [("role", json!(TYPED)), ("cidrs", json!([TYPED])), ("field_class", json!(TYPED))] {
            let body = json!({ "name": "sweep", "permissions": ["events:read"], field: value });
            self.refused(self.gateway.api(Method::POST, "/v1/keys").json(&body)).await;
        }
        keys.into()
    }

    /// What strangers and careless applications send.
    pub(super) async fn mistakes(&mut self) {
        let (public, internal) = (format!("{}/webhook", self.gateway.public), self.gateway.internal.clone());
        let body = webhook::text(NUMBER, &wamid(NUMBER, "BAD"), BODY);
        for signature in [TYPED.to_owned(), format!("sha256={TYPED}"), webhook::signature("another", &body)] {
            let request = self.gateway.request(Method::POST, &format!("{public}?{TYPED}"));
            self.refused(request.header("x-hub-signature-256", signature).body(body.clone())).await;
        }
        let query = format!("{public}?hub.mode=subscribe&hub.challenge={TYPED}&hub.verify_token={TYPED}");
        self.refused(self.gateway.request(Method::GET, &query)).await;
        for path in [
            format!("/v1/contacts/{NUMBER}"),
            format!("/v1/contacts/{BSUID}/messages"),
            format!("/v1/messages/{}", wamid(NUMBER, "IN")),
            format!("/v1/events?cursor={TYPED}&type={TYPED}&channel_id={NUMBER}"),
            format!("/v1/events?where=%22{TYPED}%22&contact_id={NUMBER}&wait={TYPED}"),
            format!("/v1/events/stream?where={TYPED}&cursor={TYPED}&fields={TYPED}"),
            format!("/{TYPED}"),
        ] {
            self.refused(self.gateway.api(Method::GET, &path)).await;
            self.refused(self.gateway.request(Method::GET, &format!("{internal}{path}")).bearer_auth(TYPED)).await;
        }
        for text in
            [format!("{{\"name\": {TYPED}}}"), format!("\"{TYPED}\""), format!("{{\"name\": \"{}\"}}", TYPED.repeat(9))]
        {
            for path in ["/v1/endpoints", "/v1/messages", "/v1/keys", "/v1/apps"] {
                let request = self.gateway.api(Method::POST, path).header("content-type", "application/json");
                self.refused(request.body(text.clone())).await;
            }
            let mirror = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
            self.refused(self.gateway.api(Method::POST, &mirror).body(text.clone())).await;
            let wrong = self.gateway.request(Method::POST, &format!("{internal}{mirror}")).bearer_auth(TYPED);
            self.refused(wrong.body(text)).await;
        }
        for url in [
            format!("https://user:{URL_TOKEN}@crm.example.com/"),
            format!("https://169.254.169.254/{URL_TOKEN}"),
            format!("https://{URL_TOKEN}.invalid/"),
            format!("ftp://crm.example.com/{URL_TOKEN}"),
        ] {
            self.refused(self.gateway.api(Method::POST, "/v1/endpoints").json(&json!({ "name": "bad", "url": url })))
                .await;
        }
    }
}
