//! What applications ask for with canaries in it: credentials and predicates of endpoints, idempotency keys, events once more.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::paths::Scene;
use super::{
    BEARER, CLIENT, CLIENT_SECRET, HEADER, IDEMPOTENCY, NUMBER, PASSWORD, PREDICATE, REPLY, SCOPE, TYPED, USER,
};
use crate::support::endpoint::path_of;
use crate::support::wait::PATIENCE;
use crate::support::{Receiver, database};

/// Endpoints that have every kind of credential, and one that is paused.
pub(super) struct Asking {
    working: Receiver,
    /// One that works, one that is away, one whose tokens are not to be had.
    paths: [String; 3],
    paused: String,
    /// What must be nowhere, beside what the canaries say.
    pub(super) secrets: Vec<String>,
}

impl Asking {
    pub(super) async fn begin(scene: &Scene) -> Self {
        let working = Receiver::start().await;
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let made = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        // What stands between the first line and the last is the key; the chain is no secret, and is sealed all the same.
        let mut secrets: Vec<String> = key.lines().filter(|line| line.len() > 60).map(str::to_owned).collect();
        assert!(!secrets.is_empty());
        secrets.extend(made.cert.pem().lines().filter(|line| line.len() > 60).map(str::to_owned));
        let predicate = json!({ "any": [{ "at": "/data/item/text/body", "contains": PREDICATE },
                                        { "at": "/type", "exists": true }] });
        let basic = json!({ "basic": { "user": USER, "password": PASSWORD } });
        let bearer = json!({ "bearer": { "token": BEARER } });
        let oauth2 = json!({ "oauth2": { "token_url": format!("http://{nobody}/token"), "client_id": CLIENT,
                                         "client_secret": CLIENT_SECRET, "scope": SCOPE } });
        let away = format!("http://{nobody}/hook");
        let mut paths = Vec::new();
        for (url, auth, state) in [
            (working.url(), basic.clone(), "active"),
            (away, bearer, "active"),
            (working.url(), oauth2, "active"),
            (working.url(), basic, "paused"),
        ] {
            let body = json!({ "name": "asking", "url": url, "state": state, "auth": auth, "predicate": predicate,
                "headers": { "x-sweep": HEADER },
                "client_certificate": { "certificate": made.cert.pem(), "private_key": key } });
            let told = scene.post("/v1/endpoints", body).await;
            secrets.push(told["secret"].as_str().unwrap().to_owned());
            paths.push(path_of(&told));
        }
        let paused = paths.pop().unwrap();
        Self { working, paths: paths.try_into().unwrap(), paused, secrets }
    }

    /// Everything that an application may have done again, and everything that it may ask about it.
    pub(super) async fn once_more(&self, scene: &mut Scene) {
        let received = self.working.wait_for(1).await[0].clone();
        assert_eq!(received.header("x-sweep"), HEADER, "the canaries went this way");
        assert!(received.header("authorization").starts_with("Basic "));
        Self::the_same_message(scene).await;
        for path in &self.paths {
            let told = scene.post(&format!("{path}/test"), json!({})).await;
            scene.answers.push_str(&told.to_string());
            let shown = scene.get(&format!("{path}/attempts")).await;
            scene.answers.push_str(&shown.to_string());
        }
        for class in ["connect", "credentials"] {
            let failed = format!("SELECT least(count(*), 1) FROM attempt WHERE class = '{class}'");
            database::until(&scene.database, &failed, 1).await;
        }
        let event = received.header("webhook-id");
        let became = scene.get(&format!("/v1/events/{event}/deliveries")).await;
        scene.answers.push_str(&became.to_string());
        Self::a_batch(scene).await;
        self.dead_letters(scene).await;
        self.replay(scene).await;
    }

    async fn the_same_message(scene: &mut Scene) {
        let channel = scene.get("/v1/channels").await["data"][0]["id"].clone();
        let body = |text: &str| {
            json!({ "channel_id": channel, "message": { "messaging_product": "whatsapp", "to": NUMBER, "type": "text",
                    "text": { "body": text } } })
        };
        for replayed in [false, true] {
            let request = scene.gateway.api(Method::POST, "/v1/messages").header("idempotency-key", IDEMPOTENCY);
            let answer = request.json(&body(REPLY)).send().await.unwrap();
            assert_eq!(
                (answer.status(), answer.headers().contains_key("idempotent-replayed")),
                (StatusCode::ACCEPTED, replayed)
            );
        }
        for (key, text) in [(IDEMPOTENCY.to_owned(), "another"), (IDEMPOTENCY.repeat(12), REPLY)] {
            let request = scene.gateway.api(Method::POST, "/v1/messages").header("idempotency-key", key);
            scene.refused(request.json(&body(text))).await;
        }
    }

    /// A batch for tomorrow, half of it faulty, asked for twice and taken back.
    async fn a_batch(scene: &mut Scene) {
        let channel = scene.get("/v1/channels").await["data"][0]["id"].clone();
        let send_at = (OffsetDateTime::now_utc() + time::Duration::DAY).format(&Rfc3339).unwrap();
        let parameters = json!([{ "type": "text", "parameter_name": "first_name", "text": REPLY }]);
        let template = json!({ "name": "seasonal_offer", "language": { "code": "en_US" },
                               "components": [{ "type": "body", "parameters": parameters }] });
        let sound = json!({ "channel_id": channel, "send_at": send_at, "on_doubt": "resend",
            "message": { "to": NUMBER, "type": "text", "text": { "body": REPLY } },
            "fallback_template": { "type": "template", "template": template } });
        let faulty = json!({ "channel_id": TYPED, "priority": TYPED, "send_at": TYPED, "message": { "to": TYPED, "type": "text" } });
        let batch = json!({ "messages": [sound, faulty] });
        let key = format!("{IDEMPOTENCY}-batch");
        for _ in 0..2 {
            let request = scene.gateway.api(Method::POST, "/v1/messages/batch").header("idempotency-key", &key);
            let answer: Value = request.json(&batch).send().await.unwrap().json().await.unwrap();
            scene.answers.push_str(&answer.to_string());
            let path = format!("/v1/messages/{}", answer["data"][0]["id"].as_str().unwrap());
            scene.gateway.api(Method::DELETE, &path).send().await.unwrap();
        }
    }

    async fn dead_letters(&self, scene: &mut Scene) {
        let endpoint = self.paused.rsplit('/').next().unwrap();
        database::bury(&scene.database, &format!("endpoint_id = '{endpoint}'")).await;
        let letters = format!("{}/dead-letters", self.paused);
        let listed = scene.get(&letters).await;
        assert!(listed["data"].as_array().unwrap().len() >= 2, "{listed}");
        let one = json!({ "event_ids": [listed["data"][0]["event_id"]] });
        let redriven = scene.post(&format!("{letters}/redrive"), one).await;
        assert_eq!(redriven["redriven"], 1);
        let purged = scene.gateway.api(Method::DELETE, &format!("{letters}?all=true")).send().await.unwrap();
        scene.answers.extend([listed.to_string(), redriven.to_string(), purged.text().await.unwrap()]);
    }

    async fn replay(&self, scene: &mut Scene) {
        let since = (OffsetDateTime::now_utc() - time::Duration::hours(1)).format(&Rfc3339).unwrap();
        let contact = scene.get("/v1/contacts").await["data"][0]["id"].clone();
        let path = format!("{}/replays", self.paths[0]);
        let made = scene.post(&path, json!({ "since": since, "contact_id": contact })).await;
        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        let done = async || scene.get(&one).await["state"] == "done";
        crate::support::wait::until("the replay is done", PATIENCE, done).await;
        let told = [scene.get(&path).await, scene.get(&one).await, made];
        scene.answers.extend(told.iter().map(Value::to_string));
    }

    /// Requests of these kinds that make no sense.
    pub(super) async fn mistakes(&self, scene: &mut Scene) {
        let path = &self.paths[0];
        for query in [
            format!("{path}/attempts?class={TYPED}"),
            format!("{path}/attempts?cursor={TYPED}&event_id={TYPED}"),
            format!("{path}/dead-letters?reason={TYPED}"),
            format!("{path}/dead-letters?until={TYPED}"),
            format!("{path}/replays/{TYPED}"),
            format!("/v1/events/{TYPED}/deliveries"),
        ] {
            scene.refused(scene.gateway.api(Method::GET, &query)).await;
        }
        scene.refused(scene.gateway.api(Method::DELETE, &format!("{path}/dead-letters?event_ids={TYPED}"))).await;
        for (what, body) in [
            ("replays", json!({ "since": TYPED })),
            ("replays", json!({ "event_ids": [TYPED], "contact_id": TYPED })),
            ("dead-letters/redrive", json!({ "reason": TYPED, "event_ids": TYPED })),
        ] {
            scene.refused(scene.gateway.api(Method::POST, &format!("{path}/{what}")).json(&body)).await;
        }
        for body in [
            json!({ "headers": { "host": TYPED, "x-ok": format!("{TYPED}\r\n") } }),
            json!({ "auth": { "bearer": { "token": format!("{TYPED} {TYPED}") } } }),
            json!({ "auth": { "basic": { "user": format!("{TYPED}:"), "password": "" } } }),
            json!({ "auth": { "oauth2": { "token_url": format!("https://{TYPED}.invalid/"), "client_id": TYPED } } }),
            json!({ "predicate": { "at": TYPED, "is": TYPED } }),
            json!({ "client_certificate": { "certificate": TYPED, "private_key": TYPED } }),
        ] {
            scene.refused(scene.gateway.api(Method::PATCH, path).json(&body)).await;
        }
    }
}
