//! What is written about people when they ask about their data: reasons, references, wordings, notices, codes and corrections.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use waxseal::crypto::age::{Identity, Reader};

use super::paths::Scene;
use super::{
    ASKS_IN_CHAT, CASE, CORRECTED, CRIED, FORGOTTEN, HELD_FOR, LATE, NOTICE, PRIVATE, REFERENCE, REFUSED,
    RESTRICTED_FOR, TYPED, WORDING, wamid,
};
use crate::support::wait::{PATIENCE, until};
use crate::support::webhook;

impl Scene {
    async fn says(&self, number: &str, tail: &str, words: &str) {
        let person = json!({ "profile": { "name": "Moin" }, "wa_id": number });
        let item = webhook::text_item(number, &wamid(number, tail), words);
        self.webhook(json!({ "contacts": [person], "messages": [item] })).await;
    }

    async fn done(&self, method: Method, path: &str, body: Value) {
        let answer = self.gateway.api(method, path).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    async fn contact_of(&self, number: &str) -> String {
        let contacts = self.get("/v1/contacts?limit=200").await;
        let all = contacts["data"].as_array().unwrap();
        let found = all.iter().find(|one| one["phone"] == number).unwrap_or_else(|| panic!("{contacts}"));
        found["id"].as_str().unwrap().to_owned()
    }

    /// Everything that is written down when people ask. Returns what was said to somebody in the chat, the code in it.
    pub(super) async fn privacy(&mut self) -> String {
        for (number, words) in [(PRIVATE, CRIED), (FORGOTTEN, CRIED)] {
            self.says(number, "ONE", words).await;
        }
        let contact = self.contact_of(PRIVATE).await;
        let consent = json!({ "purpose": "news", "state": "granted", "wording": WORDING });
        self.done(Method::PUT, &format!("/v1/contacts/{contact}/consent"), consent).await;
        self.done(Method::PATCH, &format!("/v1/contacts/{contact}"), json!({ "name": CORRECTED })).await;
        self.requests().await;
        self.archive(&contact).await;
        let code = self.in_the_chat().await;
        let ahead = (OffsetDateTime::now_utc() + time::Duration::days(9)).format(&Rfc3339).unwrap();
        let hold = json!({ "phone": PRIVATE, "reason": HELD_FOR, "expires_at": ahead });
        self.post("/v1/privacy/holds", hold).await;
        let reason = json!({ "reason": RESTRICTED_FOR });
        self.done(Method::PUT, &format!("/v1/contacts/{contact}/restriction"), reason).await;
        let forget = json!({ "phone": FORGOTTEN, "reference": CASE, "when": "next_step" });
        let begun = self.post("/v1/privacy/erasures", forget).await;
        let path = format!("/v1/privacy/erasures/{}", begun["id"].as_str().unwrap());
        until("the rows are removed", PATIENCE, async || self.get(&path).await["state"] == "rows_removed").await;
        assert!(self.get(&path).await.to_string().contains(CASE), "the canary went this way");
        self.is_shown().await;
        self.careless(&contact).await;
        code
    }

    async fn requests(&self) {
        let asked = json!({ "kind": "access", "law": "gdpr", "phone": PRIVATE, "reference": REFERENCE });
        let asked = self.post("/v1/privacy/requests", asked).await;
        let path = format!("/v1/privacy/requests/{}", asked["id"].as_str().unwrap());
        self.done(Method::POST, &format!("{path}/extend"), json!({ "reason": LATE })).await;
        let second = json!({ "kind": "erasure", "law": "gdpr", "phone": PRIVATE });
        let second = self.post("/v1/privacy/requests", second).await;
        let close = format!("/v1/privacy/requests/{}/close", second["id"].as_str().unwrap());
        self.done(Method::POST, &close, json!({ "outcome": "refused", "reason": REFUSED })).await;
    }

    /// An archive of everything about a person, as it is given out.
    async fn archive(&mut self, contact: &str) {
        let identity = Identity::generate();
        let recipient = identity.recipient().unwrap().to_string();
        let export = self.post("/v1/privacy/exports", json!({ "contact_id": contact, "recipient": recipient })).await;
        let path = format!("/v1/privacy/exports/{}", export["id"].as_str().unwrap());
        until("the archive is there", PATIENCE, async || self.get(&path).await["state"] == "ready").await;
        let answer = self.gateway.api(Method::GET, &format!("{path}/archive")).send().await.unwrap();
        let archive = answer.bytes().await.unwrap().to_vec();
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut Reader::new(&archive[..], &[identity]).unwrap(), &mut plain).unwrap();
        assert!(plain.starts_with(b"PK"), "it opens for its recipient");
        self.archives.push(("the archive of an export".to_owned(), archive));
    }

    /// Somebody asks by a word and answers with the code. Returns what they were told.
    async fn in_the_chat(&self) -> String {
        self.says(ASKS_IN_CHAT, "ASKS", "LÖSCHEN").await;
        let told = async || {
            let sent = self.get("/v1/messages?limit=200").await["data"].as_array().unwrap().clone();
            let to = sent.iter().filter(|one| one["request"]["to"] == ASKS_IN_CHAT);
            to.filter_map(|one| one["request"]["text"]["body"].as_str().map(str::to_owned)).find(|text| text != NOTICE)
        };
        until("a code is told", PATIENCE, async || told().await.is_some()).await;
        let text = told().await.unwrap();
        let code: String = text.chars().filter(char::is_ascii_digit).collect();
        self.says(ASKS_IN_CHAT, "CODE", &code).await;
        let entered = async || self.get("/v1/privacy/requests").await["data"].as_array().unwrap().len() == 3;
        until("it is entered", PATIENCE, entered).await;
        // The code and a few letters around it: digits alone are found by chance.
        let at = text.chars().position(|one| one.is_ascii_digit()).unwrap();
        text.chars().skip(at.saturating_sub(8)).take(14).collect()
    }

    /// The canaries went this way.
    async fn is_shown(&self) {
        for (path, canaries) in [
            ("/v1/privacy/requests", vec![REFERENCE, LATE, REFUSED]),
            ("/v1/privacy/holds", vec![HELD_FOR]),
            ("/v1/privacy/restrictions", vec![RESTRICTED_FOR]),
            ("/v1/contacts?limit=200", vec![CORRECTED]),
            ("/v1/messages?limit=200", vec![NOTICE]),
        ] {
            let shown = self.get(path).await.to_string();
            assert!(canaries.iter().all(|canary| shown.contains(canary)), "{path}: {shown}");
        }
    }

    /// Requests of these kinds that make no sense.
    async fn careless(&mut self, contact: &str) {
        let wrong = json!({ "phone": TYPED, "reason": [TYPED], "reference": [TYPED], "kind": TYPED, "law": TYPED,
            "expires_at": TYPED, "recipient": TYPED, "when": TYPED, "basis": TYPED, "name": [TYPED], "state": TYPED,
            "wording": [TYPED], "purpose": TYPED });
        for (method, path) in [
            (Method::POST, "/v1/privacy/requests".to_owned()),
            (Method::POST, "/v1/privacy/holds".to_owned()),
            (Method::POST, "/v1/privacy/exports".to_owned()),
            (Method::POST, "/v1/privacy/erasures".to_owned()),
            (Method::PUT, format!("/v1/contacts/{contact}/restriction")),
            (Method::PUT, format!("/v1/contacts/{contact}/consent")),
            (Method::PATCH, format!("/v1/contacts/{contact}")),
        ] {
            self.refused(self.gateway.api(method, &path).json(&wrong)).await;
        }
        let message = json!({ "to": PRIVATE, "type": "text", "text": { "body": TYPED } });
        let channel = self.get("/v1/channels").await["data"][0]["id"].clone();
        let body = json!({ "channel_id": channel, "message": message });
        let answer = self.gateway.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "restricted");
        self.answers.push_str(&answer.text().await.unwrap());
    }
}
