//! Promise: a setting stays as it was last set, whoever sets it at the same moment, and a damaged one harms no other.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use waxseal::app::Gateway;
use waxseal::clock::SystemClock;

use crate::support::wait::until;
use crate::support::{Receiver, TestApp, database, webhook};

/// A second process on the same database.
struct Second {
    gateway: Gateway,
    client: Client,
    key: String,
}

impl Second {
    async fn start(app: &TestApp) -> Self {
        let gateway = Gateway::start(&app.config, Arc::new(SystemClock)).await.unwrap();
        Self { gateway, client: Client::builder().no_proxy().build().unwrap(), key: app.key.clone() }
    }

    fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.gateway.addresses.internal);
        self.client.request(method, url).bearer_auth(&self.key)
    }
}

fn path_of(made: &Value) -> String {
    format!("/v1/endpoints/{}", made["id"].as_str().unwrap())
}

async fn sent(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap_or_default())
}

/// Changes the URL through `second`. While the application there is asked for its challenge, between what the change
/// reads and what it writes, `request` is made, and `effect` waited for.
async fn changed_while<F: Future<Output = ()> + Send>(
    second: &Second,
    path: &str,
    request: RequestBuilder,
    effect: impl FnOnce() -> F,
) -> (StatusCode, Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (asked, mut was_asked) = mpsc::channel(1);
    let (go_on, may_go_on) = watch::channel(false);
    let verify = async move |Query(query): Query<HashMap<String, String>>| {
        asked.send(()).await.unwrap();
        may_go_on.clone().wait_for(|go_on| *go_on).await.unwrap();
        query["hub.challenge"].clone()
    };
    let router = Router::new().route("/hook", get(verify));
    tokio::task::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let change = second.api(Method::PATCH, path).json(&json!({ "url": url, "verify_token": "any-token" }));
    let meanwhile = async {
        was_asked.recv().await.unwrap();
        assert!(request.send().await.unwrap().status().is_success());
        effect().await;
        go_on.send_replace(true);
    };
    tokio::join!(sent(change), meanwhile).0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_through_another_process_does_not_bring_the_old_secret_back() {
    let app = TestApp::spawn().await;
    let (receiver, second) = (Receiver::start().await, Second::start(&app).await);
    let path = path_of(&app.endpoint(&receiver, "meta").await);
    let rotate = || app.api(Method::POST, &format!("{path}/rotate-secret")).json(&json!({}));
    let (_, rotated) = sent(rotate()).await;
    let (status, shown) = sent(second.api(Method::PATCH, &path).json(&json!({ "name": "renamed" }))).await;
    assert_eq!((status, &shown["name"]), (StatusCode::OK, &json!("renamed")));
    let body = webhook::text("4915199900011", "wamid.a", "Moin");
    app.webhook(body.clone()).await;
    let signature = receiver.wait_for(1).await[0].header("x-hub-signature-256").to_owned();
    assert_eq!(signature, webhook::signature(rotated["secret"].as_str().unwrap(), &body));

    let (status, problem) = changed_while(&second, &path, rotate(), async || ()).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    assert_eq!(problem["detail"], "changed meanwhile; read it again");
    assert_eq!(app.get(&path).await["url"], receiver.url());
    second.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_endpoint_stays_removed_whoever_changes_it_meanwhile() {
    let app = TestApp::spawn().await;
    let (receiver, second) = (Receiver::start().await, Second::start(&app).await);
    let path = path_of(&app.endpoint(&receiver, "meta").await);
    let (status, _) = changed_while(&second, &path, app.api(Method::DELETE, &path), async || ()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let made = app.endpoint(&receiver, "meta").await;
    assert_eq!(sent(app.api(Method::DELETE, &path_of(&made))).await.0, StatusCode::NO_CONTENT);
    let rename = second.api(Method::PATCH, &path_of(&made)).json(&json!({ "name": "renamed" }));
    assert_eq!(sent(rename).await.0, StatusCode::NOT_FOUND);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM endpoint").await, 0);
    second.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_answered_410_is_not_woken_by_a_change_that_did_not_know() {
    let app = TestApp::spawn().await;
    let (receiver, second) = (Receiver::start().await, Second::start(&app).await);
    let path = path_of(&app.endpoint(&receiver, "meta").await);
    receiver.then_answer(410, &[]);
    let body = webhook::text("4915199900011", "wamid.a", "Moin");
    let signature = webhook::signature(crate::support::app::APP_SECRET, &body);
    let event = app.public(Method::POST, "/webhook").header("x-hub-signature-256", signature).body(body);
    let database = app.database.clone();
    let disabled = async move || {
        let disabled = "SELECT count(*) FROM endpoint WHERE state = 'disabled'";
        while database::count(&database, disabled).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(changed_while(&second, &path, event, disabled).await.0, StatusCode::CONFLICT);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM endpoint WHERE state = 'disabled'").await, 1);
    second.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_moment_are_each_kept_or_refused() {
    let app = TestApp::spawn().await;
    let second = Second::start(&app).await;
    let path = format!("/v1/channels/{}", app.channel().await);
    let waba = app.api(Method::PATCH, &path).json(&json!({ "waba_id": "4711" }));
    let name = second.api(Method::PATCH, &path).json(&json!({ "name": "renamed" }));
    let ((waba, _), (name, _)) = tokio::join!(sent(waba), sent(name));
    let status = |kept| if kept { StatusCode::OK } else { StatusCode::CONFLICT };
    // A process reads a moment later what another one changed.
    until("both are as they were answered", Duration::from_secs(10), async || {
        let shown = app.get(&path).await;
        waba == status(shown["waba_id"] == "4711") && name == status(shown["name"] == "renamed")
    })
    .await;
    second.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_endpoint_stops_neither_the_revocation_of_a_key_nor_a_start() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let (damaged, whole) = (app.endpoint(&receiver, "meta").await, app.endpoint(&receiver, "meta").await);
    let new = app.api(Method::POST, "/v1/keys").json(&json!({ "name": "short", "permissions": ["channels:read"] }));
    let (status, key) = sent(new).await;
    assert_eq!(status, StatusCode::CREATED, "{key}");
    let flip = "UPDATE endpoint SET url = set_byte(url::bytea, 80, get_byte(url::bytea, 80) # 1)";
    let id = damaged["id"].as_str().unwrap();
    let uuid = waxseal::ids::EndpointId::uuid(id.parse().unwrap());
    database::sabotage(&app.database, &format!("{flip} WHERE endpoint_id = '{uuid}'")).await;

    let revoke = app.api(Method::DELETE, &format!("/v1/keys/{}", key["id"].as_str().unwrap()));
    assert_eq!(sent(revoke).await.0, StatusCode::NO_CONTENT);
    let use_it = app.api(Method::GET, "/v1/channels").headers(bearer(key["key"].as_str().unwrap()));
    assert_eq!(sent(use_it).await.0, StatusCode::UNAUTHORIZED);

    let second = Second::start(&app).await;
    let (_, list) = sent(second.api(Method::GET, "/v1/endpoints")).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    assert_eq!(list["data"][0]["id"], whole["id"]);
    assert_eq!(sent(second.api(Method::DELETE, &path_of(&damaged))).await.0, StatusCode::NO_CONTENT);
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM endpoint").await, 1);
    second.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_channel_of_the_environment_does_not_stop_a_start() {
    let app = TestApp::spawn().await;
    let flip =
        "UPDATE channel SET access_token = set_byte(access_token::bytea, 80, get_byte(access_token::bytea, 80) # 1)";
    database::sabotage(&app.database, flip).await;
    let second = Second::start(&app).await;
    let (status, list) = sent(second.api(Method::GET, "/v1/channels")).await;
    assert_eq!((status, list["data"].as_array().map(Vec::len)), (StatusCode::OK, Some(0)));
    second.gateway.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_with_a_large_backlog_is_removed_at_once_and_the_backlog_follows() {
    let app = TestApp::spawn().await;
    let receiver = Receiver::start().await;
    let (made, other) = (app.endpoint(&receiver, "meta").await, app.endpoint(&receiver, "meta").await);
    for endpoint in [&made, &other] {
        let pause = app.api(Method::PATCH, &path_of(endpoint)).json(&json!({ "state": "paused" }));
        assert_eq!(sent(pause).await.0, StatusCode::OK);
    }
    let backlog = "INSERT INTO delivery (tenant_id, endpoint_id, shard, event_id, part_day)
                   SELECT tenant_id, endpoint_id, 0, gen_random_uuid(), current_date
                   FROM endpoint, generate_series(1, 30000)";
    database::sabotage(&app.database, backlog).await;
    let began = std::time::Instant::now();
    assert_eq!(sent(app.api(Method::DELETE, &path_of(&made))).await.0, StatusCode::NO_CONTENT);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(database::count(&app.database, "SELECT count(*) FROM delivery").await, 30_000);
    let orphans = "SELECT count(*) FROM delivery WHERE endpoint_id NOT IN (SELECT endpoint_id FROM endpoint)";
    assert_eq!(database::count(&app.database, orphans).await, 0);
    assert_eq!(sent(app.api(Method::GET, &path_of(&other))).await.0, StatusCode::OK);
}

fn bearer(key: &str) -> reqwest::header::HeaderMap {
    [(reqwest::header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap())].into_iter().collect()
}
