//! Promise: nobody does anything without a valid key that may do it, and learns nothing from trying.

mod confinement;

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use time::Duration;
use time::format_description::well_known::Rfc3339;
use waxseal::access::{FieldClass, Permission, Permissions};
use waxseal::clock::Clock;

use crate::support::Receiver;
use crate::support::app::{TestApp, api_key_with};

pub const UNKNOWN: &str = "01890000-0000-7000-8000-000000000000";

/// One operation of the documentation that needs a key.
pub struct Operation {
    pub method: Method,
    pub path: String,
    pub permission: Permission,
    /// The class of fields that a key must see to be answered.
    pub least: FieldClass,
    /// The highest class in an answer.
    pub most: FieldClass,
}

impl Operation {
    pub fn at(&self, id: &str) -> String {
        self.at_both(id, UNKNOWN)
    }

    /// The path with an id, and the one of a replay where one belongs.
    pub fn at_both(&self, id: &str, replay: &str) -> String {
        self.path.replace("{id}", id).replace("{replay_id}", replay)
    }
}

pub async fn operations(app: &TestApp) -> Vec<Operation> {
    let document = app.get("/openapi.json").await;
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(permission) = operation["x-permission"].as_str() else {
                let open =
                    [("post", "/v1/keys/report"), ("get", "/v1/media-links"), ("get", "/v1/privacy/export-links")];
                assert!(open.contains(&(method.as_str(), path.as_str())), "{method} {path} is open to everybody");
                continue;
            };
            let class = |name: &str| FieldClass::parse(operation[name].as_str().unwrap()).unwrap();
            all.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                permission: Permission::parse(permission).unwrap(),
                least: class("x-least-field-class"),
                most: class("x-field-class"),
            });
        }
    }
    assert!(all.len() >= 25, "{} operations", all.len());
    all
}

/// Sends it with a body, where one belongs.
pub async fn send(operation: &Operation, request: RequestBuilder) -> Response {
    let body = match operation.path.as_str() {
        path @ ("/v1/contacts/{id}/reveal"
        | "/v1/contacts/{id}/consent"
        | "/v1/contacts/{id}/restriction"
        | "/v1/privacy/requests/{id}/extend"
        | "/v1/privacy/requests/{id}/close") => right_body(path, ""),
        _ => json!({}),
    };
    let request = if has_body(operation) { request.json(&body) } else { request };
    request.send().await.unwrap()
}

fn has_body(operation: &Operation) -> bool {
    [Method::POST, Method::PATCH, Method::PUT].contains(&operation.method)
}

/// Checks the form of a refusal and returns it without what is different every time.
pub async fn problem(answer: Response, status: StatusCode, code: &str) -> Value {
    let url = answer.url().path().to_owned();
    assert_eq!(answer.status(), status, "{url}");
    let headers = answer.headers().clone();
    assert_eq!(headers["content-type"], "application/problem+json", "{url}");
    assert_eq!(headers.contains_key("www-authenticate"), status == StatusCode::UNAUTHORIZED, "{url}");
    guarded(&headers, &url);
    let mut problem: Value = answer.json().await.unwrap();
    let id = problem.as_object_mut().unwrap().remove("request_id").unwrap();
    assert_eq!(id, headers["x-request-id"].to_str().unwrap(), "{url}");
    assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status.as_u16())), "{url}");
    assert_eq!(problem["type"], format!("/docs#problem-{code}"));
    problem
}

fn guarded(headers: &reqwest::header::HeaderMap, url: &str) {
    for (name, value) in [("x-content-type-options", "nosniff"), ("cache-control", "no-store")] {
        assert_eq!(headers[name], value, "{url}");
    }
}

async fn new_key(app: &TestApp, maker: &str, body: Value) -> Response {
    app.api_as(maker, Method::POST, "/v1/keys").json(&body).send().await.unwrap()
}

async fn made_key(app: &TestApp, body: Value) -> Value {
    let answer = new_key(app, &app.key, body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_whoever_has_no_valid_key() {
    let (app, clock) = TestApp::spawn_with_clock().await;
    let until = (clock.now() + Duration::HOUR).format(&Rfc3339).unwrap();
    let expired = made_key(&app, json!({ "name": "x", "permissions": ["admin"], "expires_at": until })).await;
    let revoked = made_key(&app, json!({ "name": "x", "permissions": ["admin"] })).await;
    let path = format!("/v1/keys/{}", revoked["id"].as_str().unwrap());
    assert_eq!(app.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let (expired, revoked) = (expired["key"].as_str().unwrap(), revoked["key"].as_str().unwrap());
    assert_eq!(app.api_as(expired, Method::GET, "/v1/keys").send().await.unwrap().status(), StatusCode::OK);
    clock.advance(Duration::HOUR);
    let truncated = &app.key[..app.key.len() - 1];

    let mut told = Vec::new();
    for operation in operations(&app).await {
        let path = operation.at(UNKNOWN);
        let mut requests = vec![app.without_key(operation.method.clone(), &path)];
        for key in ["", "x", truncated, revoked, expired] {
            requests.push(app.api_as(key, operation.method.clone(), &path));
        }
        requests.push(app.api(operation.method.clone(), &path).header("x-api-key", &app.key));
        for request in requests {
            let answer = send(&operation, request).await;
            told.push(problem(answer, StatusCode::UNAUTHORIZED, "unauthenticated").await);
        }
    }
    assert!(told.iter().all(|one| *one == told[0]), "which fault a key has is not told");
    for word in [revoked, expired, truncated, "revoked", "expired"] {
        assert!(!told[0].to_string().contains(word));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_its_permission_and_no_other() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let known = app.endpoint(&receiver, "standard").await["id"].as_str().unwrap().to_owned();
    let mut keys = BTreeMap::new();
    for &permission in Permission::ALL {
        let others = Permissions::admin().iter().filter(|one| *one != permission).collect();
        let only = api_key_with(&app.gateway, std::iter::once(permission).collect()).await;
        keys.insert(permission.as_str(), (only, api_key_with(&app.gateway, others).await));
    }
    for operation in operations(&app).await {
        let (only, others) = &keys[operation.permission.as_str()];
        let mut refusals = Vec::new();
        for id in [UNKNOWN, &known] {
            let answer = send(&operation, app.api_as(others, operation.method.clone(), &operation.at(id))).await;
            refusals.push(problem(answer, StatusCode::FORBIDDEN, "forbidden").await);
        }
        assert_eq!(refusals[0], refusals[1], "what there is is not told");
        assert!(refusals[0]["detail"].as_str().unwrap().contains(operation.permission.as_str()));
        let answer = send(&operation, app.api_as(only, operation.method.clone(), &operation.at(UNKNOWN))).await;
        let status = answer.status();
        assert!(
            !matches!(status.as_u16(), 401 | 403 | 405 | 500..),
            "{} {}: {status}",
            operation.method,
            operation.path
        );
        guarded(answer.headers(), &operation.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_is_answered_alike_everywhere() {
    let app = TestApp::spawn().await;
    let channel = app.channel().await;
    let mut told = Vec::new();
    for operation in operations(&app).await.iter().filter(|one| one.path.contains("{id}")) {
        let other_kind = if operation.path.contains("channels") { UNKNOWN } else { &channel };
        for id in [UNKNOWN, "not-an-id", other_kind, "4915199900011"] {
            let answer = send(operation, app.api(operation.method.clone(), &operation.at(id))).await;
            told.push(problem(answer, StatusCode::NOT_FOUND, "not_found").await);
        }
    }
    for path in ["/", "/v1", "/v1/nothing", "/v1/events/", "/v2/events"] {
        told.push(problem(app.api(Method::GET, path).send().await.unwrap(), StatusCode::NOT_FOUND, "not_found").await);
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_names_exactly_the_methods_that_are_served() {
    let app = TestApp::spawn().await;
    let mut documented: BTreeMap<String, Vec<Method>> = BTreeMap::new();
    for operation in operations(&app).await {
        documented.entry(operation.path).or_default().push(operation.method);
    }
    for (path, methods) in documented {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = app.without_key(method.clone(), &path.replace("{id}", UNKNOWN)).send().await.unwrap();
            if methods.contains(&method) {
                problem(answer, StatusCode::UNAUTHORIZED, "unauthenticated").await;
            } else {
                problem(answer, StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_a_key_that_may_do_more_than_their_own() {
    let app = TestApp::spawn().await;
    let own = [Permission::KeysManage, Permission::EventsRead].into_iter().collect();
    let maker = api_key_with(&app.gateway, own).await;
    let ask =
        async |permissions: Value| new_key(&app, &maker, json!({ "name": "x", "permissions": permissions })).await;
    for permissions in [json!(["admin"]), json!(["endpoints:manage"]), json!(["events:read", "apps:read"])] {
        problem(ask(permissions).await, StatusCode::FORBIDDEN, "forbidden").await;
    }
    assert_eq!(ask(json!(["events:read"])).await.status(), StatusCode::CREATED);
    assert_eq!(ask(json!([])).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let shown = app.get("/v1/keys").await;
    assert!(!shown.to_string().contains(&maker[maker.len() - 38..]), "a key is shown once");
}

/// A body that this operation would take.
pub fn right_body(path: &str, channel: &str) -> Value {
    match path {
        "/v1/messages" => json!({ "channel_id": channel, "message": {
            "messaging_product": "whatsapp", "to": "4915199900011", "type": "text", "text": { "body": "Moin" } } }),
        "/v1/messages/batch" => json!({ "messages": [right_body("/v1/messages", channel)] }),
        "/v1/endpoints" => json!({ "name": "test", "url": "http://127.0.0.1:9/hook" }),
        "/v1/channels" => json!({ "name": "test", "phone_number_id": "106540352242923", "waba_id": "102290129340398" }),
        "/v1/apps" => json!({ "name": "test", "app_secret": "0f1d0c5d4c0a4b6f9a7e3c2b1d0e9f8b" }),
        "/v1/keys" => json!({ "name": "test", "permissions": ["events:read"] }),
        "/v1/privacy/holds" => {
            json!({ "phone": "4915199900011", "reason": "x", "expires_at": "2027-01-01T00:00:00Z" })
        }
        "/v1/privacy/requests" => json!({ "kind": "access", "law": "gdpr" }),
        "/v1/privacy/requests/{id}/close" => json!({ "outcome": "done" }),
        "/v1/privacy/requests/{id}/extend" | "/v1/contacts/{id}/restriction" => json!({ "reason": "x" }),
        "/v1/contacts/{id}/reveal" => json!({ "reason": "answer" }),
        "/v1/contacts/{id}/consent" => {
            json!({ "purpose": "marketing", "state": "granted", "occurred_at": "2026-01-02T03:04:05Z" })
        }
        _ => json!({}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_refuses_parameters_that_it_does_not_know_and_does_nothing() {
    let app = TestApp::spawn().await;
    let channel = app.channel().await;
    for operation in operations(&app).await {
        let url = format!("{}?colour=canary&size=canary", operation.at(UNKNOWN));
        let request = app.api(operation.method.clone(), &url);
        let request = if has_body(&operation) { request.json(&right_body(&operation.path, &channel)) } else { request };
        let told = problem(request.send().await.unwrap(), StatusCode::BAD_REQUEST, "invalid_query").await;
        let pointers: Vec<&Value> = told["errors"].as_array().unwrap().iter().map(|one| &one["pointer"]).collect();
        assert_eq!(pointers, ["?colour", "?size"], "{} {}", operation.method, operation.path);
        assert!(!told.to_string().contains("canary"));
    }
    for (path, there) in [("endpoints", 0), ("channels", 1), ("apps", 1)] {
        assert_eq!(app.get(&format!("/v1/{path}")).await["data"].as_array().unwrap().len(), there, "{path}");
    }
}
