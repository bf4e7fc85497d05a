//! Promise: what an endpoint asks for is checked when it is said, shown as it is, and its secrets are never shown again.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use waxseal::access::Permission;

use crate::support::app::api_key_with;
use crate::support::endpoint::{change, create, faults, path_of};
use crate::support::{Receiver, TestApp};

fn told(faults: &[(&str, &str)]) -> Vec<(String, String)> {
    faults.iter().map(|(place, code)| ((*place).to_owned(), (*code).to_owned())).collect()
}

fn own(shown: &Value, asked: &Value) -> Value {
    asked.as_object().unwrap().keys().map(|name| (name.clone(), shown[name].clone())).collect()
}

/// A certificate of ours with its key, both PEM.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["gateway.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_endpoint_asks_for_is_shown_as_it_was_asked() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let asked = json!({
        "direction": "in", "predicate": { "all": [{ "at": "/data/item/type", "in": ["text"] }] }, "fields": "masked",
        "pseudonymous": true, "order": "skip", "skip_after": 3, "max_per_second": 50, "max_in_flight": 4, "timeout_ms": 2500,
    });
    let mut body = asked.clone();
    body["name"] = "crm".into();
    body["url"] = receiver.url().into();
    let made: Value = create(&app, &body).await.json().await.unwrap();
    assert_eq!(own(&made, &asked), asked);
    let path = path_of(&made);
    assert_eq!(own(&app.get(&path).await, &asked), asked);

    assert_eq!(change(&app, &path, &json!({ "order": "block" })).await.status(), StatusCode::OK);
    let shown = app.get(&path).await;
    assert_eq!(
        (&shown["order"], &shown["skip_after"], &shown["fields"]),
        (&"block".into(), &Value::Null, &"masked".into())
    );

    let nothing: Value = asked.as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect();
    assert_eq!(change(&app, &path, &nothing).await.status(), StatusCode::OK);
    let initial = json!({ "direction": null, "predicate": null, "fields": "full", "pseudonymous": false, "order": "none",
        "skip_after": null, "max_per_second": null, "max_in_flight": null, "timeout_ms": null });
    assert_eq!(own(&app.get(&path).await, &initial), initial);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_taken_and_never_shown_again() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let (chain, key) = certificate();
    let body = json!({ "name": "crm", "url": receiver.url(),
        "headers": { "X-Tenant": "canary-header" }, "auth": { "basic": { "user": "canary-user", "password": "canary-password" } },
        "client_certificate": { "certificate": chain, "private_key": key } });
    let made = create(&app, &body).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    let path = path_of(&made);
    for shown in [made, app.get(&path).await] {
        assert_eq!((&shown["headers"], &shown["auth"]), (&json!(["x-tenant"]), &"basic".into()));
        assert_eq!(shown["client_certificate"], true);
        assert!(!shown.to_string().contains("canary") && !shown.to_string().contains("BEGIN"));
    }
    let other =
        json!({ "auth": { "bearer": { "token": "canary-token" } }, "headers": null, "client_certificate": null });
    assert_eq!(change(&app, &path, &other).await.status(), StatusCode::OK);
    let shown = app.get(&path).await;
    assert_eq!((&shown["headers"], &shown["auth"]), (&json!([]), &"bearer".into()));
    assert_eq!(shown["client_certificate"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_with_what_is_asked_for_is_told_at_once() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let body = json!({ "name": "crm", "url": receiver.url(),
        "direction": "up", "predicate": { "any": [{ "at": "x", "like": 1 }] }, "fields": "most", "pseudonymous": 1, "order": "fifo",
        "skip_after": 13, "max_per_second": 0, "max_in_flight": 1.5, "timeout_ms": "1",
        "headers": { "Host": "a", "webhook-id": "b", "a b": "c", "keep-alive": "d", "x-ok": "ö" },
        "auth": { "basic": { "user": "a:b", "colour": 1 } }, "client_certificate": { "certificate": "x", "private_key": "y" } });
    let expected = [
        ("/direction", "choice"),
        ("/predicate/any/0/at", "predicate"),
        ("/predicate/any/0/like", "predicate"),
        ("/fields", "choice"),
        ("/pseudonymous", "type"),
        ("/order", "choice"),
        ("/skip_after", "range"),
        ("/max_per_second", "range"),
        ("/max_in_flight", "type"),
        ("/timeout_ms", "type"),
        ("/headers/Host", "reserved"),
        ("/headers/a b", "header_name"),
        ("/headers/keep-alive", "reserved"),
        ("/headers/webhook-id", "reserved"),
        ("/headers/x-ok", "characters"),
        ("/auth/basic/user", "characters"),
        ("/auth/basic/password", "required"),
        ("/auth/basic/colour", "unknown"),
        ("/client_certificate/certificate", "pem"),
        ("/client_certificate/private_key", "pem"),
    ];
    assert_eq!(faults(create(&app, &body).await).await, told(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_together_is_refused() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let with = |more: Value| {
        let mut body = json!({ "name": "crm", "url": receiver.url() });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let tokens = json!({ "token_url": "https://169.254.169.254/token", "client_id": "a", "client_secret": "b" });
    for (more, expected) in [
        (json!({ "order": "skip" }), ("/skip_after", "required")),
        (json!({ "order": "block", "skip_after": 3 }), ("/skip_after", "order")),
        (json!({ "skip_after": 3 }), ("/skip_after", "order")),
        (json!({ "pseudonymous": true }), ("/pseudonymous", "fields")),
        (json!({ "auth": {} }), ("/auth", "choice")),
        (json!({ "auth": { "oauth2": tokens } }), ("/auth/oauth2/token_url", "address_metadata")),
    ] {
        assert_eq!(faults(create(&app, &with(more)).await).await, told(&[expected]));
    }
    let meta = json!({ "format": "meta", "verify_token": crate::support::receiver::VERIFY_TOKEN, "fields": "ids" });
    assert_eq!(faults(create(&app, &with(meta)).await).await, told(&[("/fields", "format")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_predicate_is_shown_only_to_those_who_manage_endpoints() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let body = json!({ "name": "crm", "url": receiver.url(), "predicate": { "at": "/data/item/from", "is": "4915199900011" } });
    let made: Value = create(&app, &body).await.json().await.unwrap();
    let path = path_of(&made);
    assert_eq!(app.get(&path).await["predicate"]["is"], "4915199900011");
    let reader = api_key_with(&app.gateway, std::iter::once(Permission::EndpointsRead).collect()).await;
    let shown: Value = app.api_as(&reader, Method::GET, &path).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["predicate"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_it_is_shown_until_when_the_old_secret_signs_too() {
    let (app, receiver) = (TestApp::spawn().await, Receiver::start().await);
    let made = app.endpoint(&receiver, "standard").await;
    let path = path_of(&made);
    assert_eq!(app.get(&path).await["rotation_ends_at"], Value::Null);
    for (body, rotating) in
        [(json!({}), true), (json!({ "grace_seconds": 0 }), false), (json!({ "grace_seconds": 60 }), true)]
    {
        let rotated = app.api(Method::POST, &format!("{path}/rotate-secret")).json(&body).send().await.unwrap();
        assert_eq!(rotated.status(), StatusCode::OK);
        assert_eq!(app.get(&path).await["rotation_ends_at"].is_string(), rotating);
    }
    let wrong = app.api(Method::POST, &format!("{path}/rotate-secret")).json(&json!({ "grace_seconds": 604_801 }));
    assert_eq!(faults(wrong.send().await.unwrap()).await, told(&[("/grace_seconds", "range")]));
}
