//! Promise: an endpoint is where its owner says and nowhere dangerous, and its secret is shown once.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use waxseal::clock::SystemClock;

use crate::support::endpoint::{change, create, faults, path_of};
use crate::support::receiver::VERIFY_TOKEN;
use crate::support::{Receiver, TestApp, database, webhook};

#[tokio::test(flavor = "multi_thread")]
async fn no_endpoint_is_put_where_only_this_machine_should_reach() {
    let app = TestApp::spawn_with(Arc::new(SystemClock), &[("WAXSEAL_DELIVER__ALLOW_LOOPBACK", "false")]).await;
    for (url, code) in [
        ("https://127.0.0.1/hook", "address_loopback"),
        ("https://127.1/hook", "address_loopback"),
        ("https://2130706433/hook", "address_loopback"),
        ("https://0x7f.0.0.1/hook", "address_loopback"),
        ("https://0177.0.0.1/hook", "address_loopback"),
        ("https://[::1]/hook", "address_loopback"),
        ("https://[::ffff:127.0.0.1]/hook", "address_loopback"),
        ("https://localhost/hook", "address_loopback"),
        ("https://169.254.169.254/latest/meta-data/", "address_metadata"),
        ("https://2852039166/", "address_metadata"),
        ("https://0xa9fea9fe/", "address_metadata"),
        ("https://[::ffff:169.254.169.254]/", "address_metadata"),
        ("https://[64:ff9b::a9fe:a9fe]/", "address_metadata"),
        ("https://[fd00:ec2::254]/", "address_metadata"),
        ("https://100.100.100.200/", "address_metadata"),
        ("https://169.254.7.7/", "address_link_local"),
        ("https://[fe80::1]/", "address_link_local"),
        ("https://10.1.2.3/", "address_private"),
        ("https://192.168.0.1/", "address_private"),
        ("https://[fd12::1]/", "address_private"),
        ("https://0.0.0.0/", "address_unspecified"),
        ("https://224.0.0.1/", "address_multicast"),
        ("https://user:word@crm.example.com/", "url_user_info"),
        ("https://user@crm.example.com/", "url_user_info"),
        ("https://crm.example.com/#part", "url_fragment"),
        ("https://crm.example.com:25/", "url_port"),
        ("http://crm.example.com/hook", "url_https_required"),
        ("http://8.8.8.8/hook", "url_https_required"),
        ("ftp://crm.example.com/hook", "url_scheme"),
        ("https://nobody.invalid/hook", "url_unresolved"),
        ("crm.example.com/hook", "url"),
    ] {
        let answer = create(&app, &json!({ "name": "bad", "url": url })).await;
        assert_eq!(faults(answer).await, [("/url".to_owned(), code.to_owned())], "{url}");
    }
    assert_eq!(app.get("/v1/endpoints").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_with_an_endpoint_is_told_at_once() {
    let app = TestApp::spawn().await;
    let body = json!({ "name": "", "url": "x", "format": "xml", "event_types": ["message.*", "mesage.*"],
        "channel_ids": ["x"], "state": "disabled", "colour": "red" });
    let told = faults(create(&app, &body).await).await;
    let places: Vec<&str> = told.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["/name", "/url", "/format", "/event_types/1", "/channel_ids/0", "/state", "/colour"]);
    let receiver = Receiver::start().await;
    let meta = json!({ "name": "bot", "url": receiver.url(), "format": "meta" });
    assert_eq!(faults(create(&app, &meta).await).await, [("/verify_token".to_owned(), "required".to_owned())]);
    let standard =
        json!({ "name": "crm", "url": receiver.url(), "secret": "a secret of mine", "verify_token": VERIFY_TOKEN });
    let told = faults(create(&app, &standard).await).await;
    assert_eq!(told.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["/secret", "/verify_token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_metas_format_that_does_not_repeat_the_challenge_is_not_made() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}/hook");
    let elsewhere = receiver.url().replace("hook", "other");
    for (url, token) in [(receiver.url(), "another token"), (elsewhere, VERIFY_TOKEN), (nobody, VERIFY_TOKEN)] {
        let body = json!({ "name": "bot", "url": url, "format": "meta", "verify_token": token });
        let answer = create(&app, &body).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "verification_failed", "{url}");
        assert!(!problem.to_string().contains(token) && !problem.to_string().contains("hub.challenge"));
    }
    assert_eq!(app.get("/v1/endpoints").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_when_it_is_made_and_never_again() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let made = app.endpoint(&receiver, "standard").await;
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    let path = path_of(&made);
    let rotated = app.api(Method::POST, &format!("{path}/rotate-secret")).json(&json!({})).send().await.unwrap();
    let rotated = rotated.json::<Value>().await.unwrap()["secret"].as_str().unwrap().to_owned();
    assert_ne!(rotated, secret);
    let renamed = change(&app, &path, &json!({ "name": "renamed" })).await.text().await.unwrap();
    for shown in [app.get(&path).await.to_string(), app.get("/v1/endpoints").await.to_string(), renamed] {
        assert!(shown.contains("renamed") && !shown.contains("secret"), "{shown}");
        assert!(!shown.contains(&secret) && !shown.contains(&rotated));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_signs_the_next_delivery() {
    let app = TestApp::spawn().await;
    let (standard, meta) = (Receiver::start().await, Receiver::start().await);
    let made = app.endpoint(&standard, "standard").await;
    let bot = app.endpoint(&meta, "meta").await;
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    let first = standard.wait_for(1).await[0].clone();
    meta.wait_for(1).await;
    let old = Webhook::new(&standard.secret()).unwrap();
    old.verify(&first.body, &first.headers).unwrap();

    let rotate = async |made: &Value, body: Value| {
        let path = format!("{}/rotate-secret", path_of(made));
        let answer = app.api(Method::POST, &path).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()["secret"].as_str().unwrap().to_owned()
    };
    let new = rotate(&made, json!({ "grace_seconds": 0 })).await;
    let own = rotate(&bot, json!({ "secret": "of my own making" })).await;
    assert_eq!(own, "of my own making");
    app.webhook(webhook::text("4915199900011", "wamid.b", "Moin")).await;
    let second = standard.wait_for(2).await[1].clone();
    Webhook::new(&new).unwrap().verify(&second.body, &second.headers).unwrap();
    assert!(old.verify(&second.body, &second.headers).is_err());
    let second = meta.wait_for(2).await[1].clone();
    assert_eq!(second.header("x-hub-signature-256"), webhook::signature(&own, &second.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_url_is_checked_and_verified_before_it_counts() {
    let app = TestApp::spawn().await;
    let (before, after) = (Receiver::start().await, Receiver::start().await);
    let path = path_of(&app.endpoint(&before, "meta").await);
    let told = faults(change(&app, &path, &json!({ "url": after.url() })).await).await;
    assert_eq!(told, [("/verify_token".to_owned(), "required".to_owned())]);
    let refused = change(&app, &path, &json!({ "url": after.url(), "verify_token": "another token" })).await;
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "verification_failed");
    let told =
        faults(change(&app, &path, &json!({ "url": "https://10.0.0.1/", "verify_token": VERIFY_TOKEN })).await).await;
    assert_eq!(told, [("/url".to_owned(), "address_private".to_owned())]);
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    before.wait_for(1).await;

    let moved = change(&app, &path, &json!({ "url": after.url(), "verify_token": VERIFY_TOKEN })).await;
    assert_eq!(moved.status(), StatusCode::OK);
    app.webhook(webhook::text("4915199900011", "wamid.b", "Moin")).await;
    after.wait_for(1).await;
    assert_eq!(before.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_removed_gets_nothing_more_and_is_owed_nothing() {
    let app = TestApp::spawn().await;
    let (gone, stays) = (Receiver::start().await, Receiver::start().await);
    let path = path_of(&app.endpoint(&gone, "standard").await);
    app.endpoint(&stays, "standard").await;
    assert_eq!(change(&app, &path, &json!({ "state": "paused" })).await.status(), StatusCode::OK);
    app.webhook(webhook::text("4915199900011", "wamid.a", "Moin")).await;
    stays.wait_for(1).await;
    database::until(&app.database, "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)", 1)
        .await;
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        assert_eq!(app.api(Method::DELETE, &path).send().await.unwrap().status(), status);
    }
    app.webhook(webhook::text("4915199900011", "wamid.b", "Moin")).await;
    stays.wait_for(2).await;
    database::until(&app.database, "SELECT (SELECT count(*) FROM delivery) + (SELECT count(*) FROM delivery_retry)", 0)
        .await;
    assert_eq!(gone.received().len(), 0);
    assert_eq!(app.api(Method::GET, &path).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[cfg(not(feature = "nats"))]
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_the_gateway_was_not_built_for_is_refused() {
    let app = TestApp::spawn().await;
    let answer = create(&app, &json!({ "name": "broker", "url": "nats://127.0.0.1:4222/events" })).await;
    assert_eq!(faults(answer).await, [("/url".to_owned(), "transport_unavailable".to_owned())]);
}
