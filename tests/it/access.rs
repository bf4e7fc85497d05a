//! Promise: a role may what the matrix says, and a key sees what its field class and its mask allow, on every route there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waxseal::access::api_key::{self, Grant, Powers};
use waxseal::access::{FieldClass, Permission, Permissions, Role, Sight};
use waxseal::clock::SystemClock;
use waxseal::ids::TenantId;

use crate::authorisation::{Operation, UNKNOWN, operations, problem, right_body, send};
use crate::support::app::{PHONE_NUMBER_ID, api_key_for};
use crate::support::folder::Folder;
use crate::support::wait::{PATIENCE, until};
use crate::support::{Receiver, TestApp, database, webhook};

const NUMBER: &str = "4915199900011";
const NAME: &str = "Qanaria Geheim";
const BODY: &str = "qcanaryBody Moin";

fn all() -> Powers {
    Powers::Scopes(Permissions::admin())
}

/// Somebody who wrote and was answered, and everything that an application may set up.
struct Scene {
    app: TestApp,
    _media: Folder,
    /// An id for each kind of thing, by the first word of its path.
    ids: BTreeMap<&'static str, String>,
}

impl Scene {
    async fn set() -> Self {
        let media = Folder::new();
        let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_MEDIA__URL", &media.url())]).await;
        let receiver = Receiver::start().await;
        let endpoint = app.endpoint(&receiver, "standard").await["id"].clone();
        let item = webhook::text_item(NUMBER, "wamid.access", BODY);
        let person = json!({ "profile": { "name": NAME }, "wa_id": NUMBER });
        let body = webhook::messages(json!({ "contacts": [person], "messages": [item] }));
        assert_eq!(app.webhook(body).await, StatusCode::OK);
        let channel = app.channel().await;
        let message =
            json!({ "channel_id": channel, "message": { "to": NUMBER, "type": "text", "text": { "body": BODY } } });
        let sent: Value = made(&app, "/v1/messages", &message).await;
        let other = json!({ "name": "x", "permissions": ["events:read"] });
        let key = made(&app, "/v1/keys", &other).await;
        let registered = json!({ "name": "x", "app_secret": "0f1d0c5d4c0a4b6f9a7e3c2b1d0e9f8b" });
        let registered = made(&app, "/v1/apps", &registered).await;
        database::settled(&app.database).await;
        let event = app.get("/v1/events?type=message.received").await["data"][0]["id"].clone();
        let contacts = app.api(Method::GET, "/v1/contacts").send().await.unwrap();
        let entry = json!(contacts.headers()["x-audit-index"].to_str().unwrap());
        let contact = contacts.json::<Value>().await.unwrap()["data"][0]["id"].clone();
        let replays = format!("/v1/endpoints/{}/replays", endpoint.as_str().unwrap());
        let replay = made(&app, &replays, &json!({ "event_ids": [event] })).await["id"].clone();
        until("the entry is in the tree", PATIENCE, async || {
            let proof = format!("/v1/audit/proof/{}", entry.as_str().unwrap());
            app.api(Method::GET, &proof).send().await.unwrap().status() == StatusCode::OK
        })
        .await;
        let file = Self::file(&app).await;
        let erasure = Self::erasure(&app).await;
        let request = made(&app, "/v1/privacy/requests", &json!({ "kind": "access", "law": "gdpr" })).await;
        let export = Self::export(&app).await;
        let ids = [
            ("media", &file),
            ("endpoints", &endpoint),
            ("messages", &sent["id"]),
            ("keys", &key["id"]),
            ("apps", &registered["id"]),
            ("events", &event),
            ("contacts", &contact),
            ("replays", &replay),
            ("audit", &entry),
            ("erasures", &erasure),
            ("requests", &request["id"]),
            ("exports", &export),
        ];
        let mut ids: BTreeMap<_, _> = ids.map(|(kind, id)| (kind, id.as_str().unwrap().to_owned())).into();
        ids.insert("channels", channel);
        Self { app, _media: media, ids }
    }

    /// A file of somebody else's, which is kept.
    async fn file(app: &TestApp) -> Value {
        app.control(Method::POST, "inbound", json!({ "type": "document" })).await;
        database::settled(&app.database).await;
        let events = app.get("/v1/events?type=message.received").await;
        let id = events["data"].as_array().unwrap().last().unwrap()["id"].clone();
        let path = format!("/v1/media/{}/details", id.as_str().unwrap());
        until("the file is kept", PATIENCE, async || app.get(&path).await["state"] == "stored").await;
        id
    }

    /// The erasure of somebody else, which is over.
    async fn erasure(app: &TestApp) -> Value {
        const OTHER: &str = "4915199900077";
        assert_eq!(app.webhook(webhook::text(OTHER, "wamid.access.other", "Moin")).await, StatusCode::OK);
        let id = made(app, "/v1/privacy/erasures", &json!({ "phone": OTHER, "when": "now" })).await["id"].clone();
        let path = format!("/v1/privacy/erasures/{}/certificate", id.as_str().unwrap());
        until("they are erased", PATIENCE, async || {
            app.api(Method::GET, &path).send().await.unwrap().status() == StatusCode::OK
        })
        .await;
        id
    }

    /// An archive that is there.
    async fn export(app: &TestApp) -> Value {
        let id = made(app, "/v1/privacy/exports", &json!({ "phone": NUMBER })).await["id"].clone();
        let path = format!("/v1/privacy/exports/{}", id.as_str().unwrap());
        until("the archive is there", PATIENCE, async || app.get(&path).await["state"] == "ready").await;
        id
    }

    /// The id that belongs into a path.
    fn id(&self, path: &str) -> &str {
        let mut parts = path.split('/').skip(2).filter(|part| *part != "privacy");
        let kind = parts.next().unwrap_or_default();
        self.ids.get(kind).map_or(UNKNOWN, String::as_str)
    }

    /// The path of an operation, with real ids in it.
    fn path(&self, operation: &Operation) -> String {
        operation.at_both(self.id(&operation.path), &self.ids["replays"])
    }

    fn channel(&self) -> &str {
        &self.ids["channels"]
    }
}

async fn made(app: &TestApp, path: &str, body: &Value) -> Value {
    let answer = app.api(Method::POST, path).json(body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    answer.json().await.unwrap()
}

/// Routes that answer without end, or take away what other routes are tried on.
fn is_harmless(operation: &Operation) -> bool {
    operation.method != Method::DELETE && !operation.path.ends_with("/stream")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_may_on_every_route_what_the_matrix_says() {
    let app = TestApp::spawn().await;
    let operations = operations(&app).await;
    for role in Role::ALL {
        let key = api_key_for(&app.gateway, Powers::Role(role), role.sight()).await;
        for operation in &operations {
            let (method, path) = (operation.method.clone(), operation.at(UNKNOWN));
            let answer = send(operation, app.api_as(&key, method, &path)).await;
            let may = role.permissions().contains(operation.permission) && role.sight().class >= operation.least;
            let told = format!("{} {} {}", role.as_str(), operation.method, operation.path);
            assert_eq!(answer.status() != StatusCode::FORBIDDEN, may, "{told}: {}", answer.status());
            assert!(!matches!(answer.status().as_u16(), 401 | 405 | 500..), "{told}: {}", answer.status());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_shows_a_key_more_than_its_field_class_and_its_mask() {
    let scene = Scene::set().await;
    let operations = operations(&scene.app).await;
    for class in FieldClass::ALL {
        for unmasked in [false, true] {
            let key = api_key_for(&scene.app.gateway, all(), Sight { class, unmasked }).await;
            let mut shown = String::new();
            for operation in operations.iter().filter(|one| is_harmless(one)) {
                let path = scene.path(operation);
                let request = scene.app.api_as(&key, operation.method.clone(), &path);
                let is_reveal = operation.permission == Permission::ContactsReveal;
                let answer = request.json(&right_body(&operation.path, scene.channel())).send().await.unwrap();
                let told = format!("{class:?} {unmasked} {} {path}", operation.method);
                assert!(class >= operation.least || answer.status() == StatusCode::FORBIDDEN, "{told}");
                let text = answer.text().await.unwrap();
                let clear = unmasked && class >= FieldClass::Personal && operation.most >= FieldClass::Personal;
                let revealed = is_reveal && class >= operation.least;
                for secret in [NUMBER, NAME] {
                    assert!(clear || revealed || !text.contains(secret), "{told} shows {secret}: {text}");
                }
                let content = class == FieldClass::Sensitive && operation.most == FieldClass::Sensitive;
                assert!(content || !text.contains(BODY), "{told} shows content: {text}");
                if !is_reveal {
                    shown += &text;
                }
            }
            assert_eq!(shown.contains(BODY), class == FieldClass::Sensitive, "{class:?} {unmasked}");
            assert_eq!(shown.contains(NAME), unmasked && class >= FieldClass::Personal, "{class:?} {unmasked}");
            assert_eq!(shown.contains("\"name\":\"Q•••\""), !unmasked && class >= FieldClass::Personal, "{class:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_key_sees_the_words_and_not_the_people_and_reveals_them_for_a_reason() {
    let scene = Scene::set().await;
    let agent = api_key_for(&scene.app.gateway, Powers::Role(Role::Agent), Role::Agent.sight()).await;
    let get = async |path: String| -> Value {
        scene.app.api_as(&agent, Method::GET, &path).send().await.unwrap().json().await.unwrap()
    };
    let contact = get(format!("/v1/contacts/{}", scene.ids["contacts"])).await;
    assert_eq!((&contact["name"], &contact["phone"]), (&json!("Q•••"), &json!("+49 ••• ••• 11")));
    assert_eq!(contact["masked"], true);
    let message = get(format!("/v1/messages/{}", scene.ids["messages"])).await;
    assert_eq!(message["request"]["text"]["body"], BODY);
    assert_eq!((&message["request"]["to"], &message["masked"]), (&json!("+49 ••• ••• 11"), &json!(true)));
    let said = get(format!("/v1/contacts/{}/messages", scene.ids["contacts"])).await.to_string();
    assert!(said.contains(BODY) && !said.contains(NUMBER) && !said.contains(NAME));

    let path = format!("/v1/contacts/{}/reveal", scene.ids["contacts"]);
    let ask =
        async |key: &str, body: Value| scene.app.api_as(key, Method::POST, &path).json(&body).send().await.unwrap();
    let answer = ask(&agent, json!({ "reason": "answer" })).await;
    assert!(answer.headers().contains_key("x-audit-index"), "it leaves an entry");
    let revealed: Value = answer.json().await.unwrap();
    assert_eq!((&revealed["name"], &revealed["phone"]), (&json!(NAME), &json!(NUMBER)));
    for body in [json!({}), json!({ "reason": "" }), json!({ "reason": "Ana asked me" })] {
        problem(ask(&agent, body).await, StatusCode::UNPROCESSABLE_ENTITY, "invalid_body").await;
    }
    let owner = api_key_for(&scene.app.gateway, Powers::Role(Role::Owner), Role::Owner.sight()).await;
    problem(ask(&owner, json!({ "reason": "answer" })).await, StatusCode::FORBIDDEN, "forbidden").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_sees_masked_it_cannot_ask_for_bit_by_bit_nor_have_sent_elsewhere() {
    let scene = Scene::set().await;
    let app = &scene.app;
    let masked = api_key_for(&app.gateway, all(), Sight::MASKED).await;
    let found = async |key: &str, pointer: &str, begins: &str| {
        let predicate = json!({ "at": pointer, "starts_with": begins }).to_string();
        let query: String = url::form_urlencoded::byte_serialize(predicate.as_bytes()).collect();
        let request = app.api_as(key, Method::GET, &format!("/v1/events?where={query}"));
        let page: Value = request.send().await.unwrap().json().await.unwrap();
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(found(&app.key, "/data/item/from", "49151").await, 1);
    assert_eq!(found(&masked, "/data/item/from", "49151").await, 0);
    assert_eq!(found(&masked, "/data/item/text/body", "qcanary").await, 1);

    let receiver = Receiver::start().await;
    let add = async |more: Value| {
        let mut body = json!({ "name": "x", "url": receiver.url() });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app.api_as(&masked, Method::POST, "/v1/endpoints").json(&body).send().await.unwrap()
    };
    problem(add(json!({ "fields": "full" })).await, StatusCode::FORBIDDEN, "forbidden").await;
    let by_number = json!({ "predicate": { "at": "/data/item/from", "starts_with": "4" } });
    problem(add(by_number).await, StatusCode::FORBIDDEN, "forbidden").await;
    let added: Value = add(json!({})).await.json().await.unwrap();
    assert_eq!(added["fields"], "masked", "what is not said is as much as its maker sees");
    let path = format!("/v1/endpoints/{}", scene.ids["endpoints"]);
    let change = async |body: Value| app.api_as(&masked, Method::PATCH, &path).json(&body).send().await.unwrap();
    problem(change(json!({ "url": receiver.url() })).await, StatusCode::FORBIDDEN, "forbidden").await;
    assert_eq!(change(json!({ "state": "paused" })).await.status(), StatusCode::OK, "to stop it shows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_others_is_answered_like_what_never_existed_on_every_route_with_an_id() {
    let scene = Scene::set().await;
    let (app, base) = (&scene.app, scene.app.gateway.base());
    let stranger = TenantId::from_uuid("01890000-0000-7000-8000-00000000000f".parse().unwrap());
    base.store.ensure_tenant(stranger, "other", base.clock.now()).await.unwrap();
    for operation in operations(app).await.iter().filter(|one| one.method == Method::GET && one.path.contains("{id}")) {
        let there = app.api(Method::GET, &scene.path(operation)).send().await.unwrap();
        assert_eq!(there.status(), StatusCode::OK, "what is refused below is there: {}", operation.path);
    }
    let foreign = Grant { sight: Sight::FULL, ..Grant::new(stranger, "x".to_owned(), all()) };
    let other =
        json!({ "phone_number_id": "999", "waba_id": "998", "name": "other", "access_token": "EAAofAnotherNumber1" });
    let other = made(app, "/v1/channels", &other).await["id"].as_str().unwrap().parse().unwrap();
    let confined =
        Grant { sight: Sight::FULL, channels: vec![other], ..Grant::new(TenantId::DEFAULT, "x".to_owned(), all()) };
    for grant in [foreign, confined] {
        let is_foreign = grant.tenant == stranger;
        let made = api_key::generate(grant, base.clock.now());
        base.directory.save_api_key(made.record).await.unwrap();
        let key = made.shown.expose();
        for operation in operations(app).await.iter().filter(|one| one.path.contains("{id}")) {
            // They belong to no channel: keys that are confined see all apps of the tenant, and nothing of the audit log.
            let of_no_channel =
                ["/v1/apps", "/v1/audit", "/v1/privacy"].iter().any(|path| operation.path.starts_with(path));
            if !is_foreign && of_no_channel {
                continue;
            }
            let mut told = Vec::new();
            let mut paths = vec![scene.path(operation), operation.at(UNKNOWN)];
            if operation.path.contains("{replay_id}") {
                // Of two ids, either may be the one that was guessed.
                paths.push(operation.at(scene.id(&operation.path)));
                paths.push(operation.at_both(UNKNOWN, &scene.ids["replays"]));
            }
            for path in paths {
                let request = app.api_as(key, operation.method.clone(), &path);
                let answer = request.json(&right_body(&operation.path, scene.channel())).send().await.unwrap();
                let headers: Vec<String> = answer.headers().keys().map(ToString::to_string).collect();
                told.push((headers, problem(answer, StatusCode::NOT_FOUND, "not_found").await.to_string()));
            }
            assert!(told.iter().all(|one| *one == told[0]), "{} {}: {told:?}", operation.method, operation.path);
        }
    }
    assert_eq!(app.get(&format!("/v1/channels/{}", scene.channel())).await["phone_number_id"], PHONE_NUMBER_ID);
}
