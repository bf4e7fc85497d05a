//! Two people with everything that is sealed of people, and two of everything that is set up.

use data_encoding::HEXLOWER;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use waxseal::crypto::age::Identity;

use crate::support::app::{ACCESS_TOKEN, APP_SECRET, WABA_ID};
use crate::support::estate::Estate;
use crate::support::folder::Folder;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, database, webhook};

pub(super) const ANA: &str = "4915199900011";
pub(super) const BOB: &str = "4915199900022";
/// Those who are forgotten: theirs are the references of erasures.
const GONE: [&str; 2] = ["4915199900033", "4915199900044"];

/// What stands in a column of a person, and nowhere else.
pub(super) fn canary(number: &str, column: &str) -> String {
    format!("qcanary{} {column}", HEXLOWER.encode(number.as_bytes()))
}

/// Ids of what is a person's.
pub(super) struct Person {
    pub(super) contact: String,
    pub(super) message: String,
    pub(super) file: String,
    pub(super) request: String,
    pub(super) hold: String,
    pub(super) erasure: String,
}

pub(super) struct Scene {
    pub(super) estate: Estate,
    /// Ana and Bob.
    pub(super) people: Vec<Person>,
    _files: Folder,
    receiver: Receiver,
}

fn id(told: &Value) -> String {
    told["id"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

impl Scene {
    pub(super) async fn set() -> Self {
        let files = Folder::new();
        let url = files.url();
        let more = [("WAXSEAL_MEDIA__URL", url.as_str()), ("WAXSEAL_SEND__CHECK_TEMPLATES", "false")];
        let estate = Estate::start(database::fresh().await, &more).await;
        let mut scene = Self { estate, people: Vec::new(), _files: files, receiver: Receiver::start().await };
        scene.settings().await;
        for (number, gone) in [ANA, BOB].into_iter().zip(GONE) {
            let person = scene.person(number, gone).await;
            scene.people.push(person);
        }
        database::settled(&scene.estate.database).await;
        scene
    }

    /// What a path shows.
    pub(super) async fn shows(&self, path: &str) -> String {
        self.estate.request(Method::GET, path).send().await.unwrap().text().await.unwrap()
    }

    /// How often a value of this column did not open.
    pub(super) async fn damaged(&self, table: &str, column: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.estate.gateway.at.admin);
        let text = reqwest::get(url).await.unwrap().text().await.unwrap();
        let line = format!("waxseal_damaged_total{{place=\"{table}.{column}\"}} ");
        text.lines().find_map(|one| one.strip_prefix(&line)?.parse().ok()).unwrap_or_default()
    }

    async fn done(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.estate.request(method, path).json(body).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Apps, channels and endpoints, two each, with everything that they may have.
    async fn settings(&self) {
        let (post, patch) = (Method::POST, Method::PATCH);
        let secret = |first: &str| format!("{first}{}", &APP_SECRET[2..]);
        let app = json!({ "name": "second", "app_secret": secret("11"), "verify_token": "another-verify-token-1234" });
        self.done(post.clone(), "/v1/apps", &app).await;
        for (number, app) in self.estate.get("/v1/apps").await["data"].as_array().unwrap().iter().enumerate() {
            if number > 0 || app["name"] == "second" {
                let rotated = json!({ "app_secret": secret("22") });
                self.done(patch.clone(), &format!("/v1/apps/{}", id(app)), &rotated).await;
            }
        }
        let channel = json!({ "name": "second", "phone_number_id": "106540352242999", "waba_id": WABA_ID, "access_token": ACCESS_TOKEN });
        self.done(post.clone(), "/v1/channels", &channel).await;
        for name in ["one", "two"] {
            let endpoint = json!({ "name": name, "url": self.receiver.url(), "headers": { "x-name": name } });
            let made = self.done(post.clone(), "/v1/endpoints", &endpoint).await;
            self.done(post.clone(), &format!("/v1/endpoints/{}/rotate-secret", id(&made)), &json!({})).await;
        }
        let states = "INSERT INTO channel_state SELECT c.tenant_id, c.channel_id, s.facts, s.asked_at, s.changed_at
                      FROM channel c, (SELECT * FROM channel_state LIMIT 1) s ON CONFLICT DO NOTHING";
        let is_known = "SELECT count(*) FROM channel_state WHERE facts IS NOT NULL";
        until("the number was asked about", PATIENCE, async || {
            database::count(&self.estate.database, is_known).await > 0
        })
        .await;
        database::sabotage(&self.estate.database, states).await;
    }

    async fn says(&self, number: &str, words: &str) {
        let person = json!({ "profile": { "name": canary(number, "profile") }, "wa_id": number });
        let item = webhook::text_item(number, &format!("wamid.mutation.{number}"), words);
        let body = webhook::messages(json!({ "contacts": [person], "messages": [item] }));
        let signature = webhook::signature(APP_SECRET, &body);
        let post = reqwest::Client::new().post(self.estate.gateway.webhook());
        let answer = post.header("x-hub-signature-256", signature).body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    async fn person(&self, number: &str, gone: &str) -> Person {
        let (post, put) = (Method::POST, Method::PUT);
        self.says(number, &canary(number, "payload")).await;
        self.says(gone, "Moin").await;
        let contacts = self.estate.get("/v1/contacts?limit=200").await;
        let contact = contacts["data"].as_array().unwrap().iter().find(|one| one["phone"] == number).unwrap();
        let contact = id(contact);
        let (message, file) = self.sent(number, &contact).await;
        let consent = json!({ "purpose": "news", "state": "granted", "wording": canary(number, "wording") });
        self.done(put.clone(), &format!("/v1/contacts/{contact}/consent"), &consent).await;
        let asked =
            json!({ "kind": "access", "law": "gdpr", "phone": number, "reference": canary(number, "reference") });
        let request = id(&self.done(post.clone(), "/v1/privacy/requests", &asked).await);
        let close = json!({ "outcome": "refused", "reason": canary(number, "reason") });
        self.done(post.clone(), &format!("/v1/privacy/requests/{request}/close"), &close).await;
        let recipient = Identity::generate().recipient().unwrap().to_string();
        let export = json!({ "contact_id": contact, "recipient": recipient });
        self.done(post.clone(), "/v1/privacy/exports", &export).await;
        let ahead = (OffsetDateTime::now_utc() + time::Duration::days(9)).format(&Rfc3339).unwrap();
        let hold = json!({ "phone": number, "reason": canary(number, "reason"), "expires_at": ahead });
        let hold = id(&self.done(post.clone(), "/v1/privacy/holds", &hold).await);
        let restriction = json!({ "reason": canary(number, "reason") });
        self.done(put, &format!("/v1/contacts/{contact}/restriction"), &restriction).await;
        let forget = json!({
            "phone": gone, "reference": canary(number, "reference"), "when": "next_step",
            "identity": "document", "identity_note": canary(number, "identity_note"),
        });
        let erasure = id(&self.done(post, "/v1/privacy/erasures", &forget).await);
        let path = format!("/v1/privacy/erasures/{erasure}");
        until("the rows are gone", PATIENCE, async || self.estate.get(&path).await["state"] == "rows_removed").await;
        Person { contact, message, file, request, hold, erasure }
    }

    /// A message with a template in its place, a batch, and a file that was sent. The ids of the message and of the file.
    async fn sent(&self, number: &str, contact: &str) -> (String, String) {
        let channels = self.estate.get("/v1/channels").await;
        let channel = channels["data"].as_array().unwrap().iter().find(|one| one["name"] != "second").unwrap();
        let channel = id(channel);
        let text = |body: &str| json!({ "to": number, "type": "text", "text": { "body": body } });
        let template =
            json!({ "type": "template", "template": { "name": "hello_world", "language": { "code": "en_US" } } });
        let order = json!({ "channel_id": channel, "fallback_template": template, "message": text(&canary(number, "request")) });
        let message = id(&self.done(Method::POST, "/v1/messages", &order).await);
        let batch = json!({ "messages": [{ "channel_id": channel, "message": text("Moin") }] });
        let batch =
            self.estate.request(Method::POST, "/v1/messages/batch").header("idempotency-key", number).json(&batch);
        assert!(batch.send().await.unwrap().status().is_success());
        let name = format!("{}.txt", canary(number, "details"));
        let form = format!(
            "--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             content-type: text/plain\r\n\r\nGrundriss\r\n--edge--\r\n"
        );
        let request = self.estate.request(Method::POST, &format!("/v1/media?contact_id={contact}"));
        let file =
            request.header("content-type", "multipart/form-data; boundary=edge").body(form).send().await.unwrap();
        let file = id(&file.json().await.unwrap());
        let document = json!({ "to": number, "type": "document", "document": { "id": file } });
        self.done(Method::POST, "/v1/messages", &json!({ "channel_id": channel, "message": document })).await;
        let waits = "SELECT count(*) FROM outbox";
        until("all is sent", PATIENCE, async || database::count(&self.estate.database, waits).await == 0).await;
        (message, file)
    }
}
