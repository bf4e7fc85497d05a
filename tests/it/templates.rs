//! Promise: the templates of the account are known here, and a message that does not fit its template is refused with the place of
//! every fault before Meta is asked. Marketing goes to nobody who forbade it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::app::{ACCESS_TOKEN, PHONE_NUMBER_ID, WABA_ID};
use crate::support::wait::{PATIENCE, until};
use crate::support::{TestApp, webhook};

const ANA: &str = "4915199900011";

fn template(name: &str, language: &str, components: &Value) -> Value {
    json!({ "to": ANA, "type": "template",
            "template": { "name": name, "language": { "code": language }, "components": components } })
}

fn body(values: &[&str]) -> Value {
    let values: Vec<Value> = values.iter().map(|text| json!({ "type": "text", "text": text })).collect();
    json!([{ "type": "body", "parameters": values }])
}

async fn send(app: &TestApp, message: Value) -> (StatusCode, Value) {
    let body = json!({ "channel_id": app.channel().await, "message": message });
    let answer = app.api(Method::POST, "/v1/messages").json(&body).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().into_iter().flatten().map(|one| one["pointer"].as_str().unwrap()).collect()
}

/// A call of Meta's own side of the simulator.
async fn graph(app: &TestApp, method: Method, path: &str, body: Value) {
    let url = format!("{}/v25.0/{path}", app.simulator.base_url());
    let answer =
        reqwest::Client::new().request(method, url).bearer_auth(ACCESS_TOKEN).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
}

/// Waits until messages are compared with their templates: there is no template of this name.
async fn compared(app: &TestApp) {
    until("templates are known", PATIENCE, async || {
        send(app, template("no_such_thing", "en_US", &json!([]))).await.0 == StatusCode::UNPROCESSABLE_ENTITY
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_templates_is_read_and_shown() {
    let app = TestApp::spawn().await;
    app.control(Method::PUT, "settings", json!({ "approve_templates": false })).await;
    for number in 0..120 {
        let new = json!({ "name": format!("t_{number}"), "language": "de", "category": "UTILITY", "components": [{ "type": "BODY", "text": "x" }] });
        graph(&app, Method::POST, &format!("{WABA_ID}/message_templates"), new).await;
    }
    assert_eq!(app.api(Method::POST, "/v1/templates/sync").send().await.unwrap().status(), StatusCode::ACCEPTED);
    until("all are read", PATIENCE, async || {
        let first = app.get("/v1/templates?limit=100").await;
        let Some(cursor) = first["next_cursor"].as_str() else { return false };
        let second = app.get(&format!("/v1/templates?limit=100&cursor={cursor}")).await;
        first["data"].as_array().unwrap().len() + second["data"].as_array().unwrap().len() == 124
    })
    .await;
    let pending = app.get("/v1/templates?status=PENDING&name=t_7").await;
    assert_eq!((&pending["data"][0]["language"], pending["data"].as_array().unwrap().len()), (&json!("de"), 1));
    let named = app.get("/v1/templates?category=MARKETING").await["data"][0].clone();
    assert_eq!((&named["name"], &named["parameter_format"]), (&json!("seasonal_offer"), &json!("NAMED")));
    assert_eq!(named["components"][0]["type"], "BODY");
    assert_eq!(app.get("/v1/templates?waba_id=1").await["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_its_template_is_told_with_its_place() {
    let app = TestApp::spawn().await;
    compared(&app).await;
    let (status, problem) = send(&app, template("order_update", "en_US", &body(&["Ana"]))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pointers(&problem), ["/message/template/components/0/parameters"], "{problem}");
    let (_, problem) = send(&app, template("seasonal_offer", "en_US", &body(&["Ana"]))).await;
    let places =
        ["/message/template/components/0/parameters/0/parameter_name", "/message/template/components/0/parameters"];
    assert_eq!(pointers(&problem), places, "{problem}");
    let (_, problem) = send(&app, template("hello_world", "xx", &json!([]))).await;
    assert_eq!(pointers(&problem), ["/message/template/language/code"], "{problem}");
    let (_, problem) = send(&app, template("hello_wurld", "en_US", &json!([]))).await;
    assert_eq!(pointers(&problem), ["/message/template/name"], "{problem}");
    assert_eq!(send(&app, template("order_update", "en_US", &body(&["Ana", "4711"]))).await.0, StatusCode::ACCEPTED);

    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
    let mut message = template("order_update", "en_US", &body(&["Ana"]));
    message["messaging_product"] = json!("whatsapp");
    let answer = app.api(Method::POST, &path).json(&message).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let refusal: Value = answer.json().await.unwrap();
    assert!(refusal.to_string().contains("template.components.0.parameters"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_meta_pauses_is_refused_as_soon_as_meta_says_so_and_one_that_is_new_is_known() {
    let app = TestApp::spawn().await;
    compared(&app).await;
    graph(&app, Method::POST, "660000000000001", json!({ "status": "PAUSED" })).await;
    let paused = json!({ "event": "PAUSED", "message_template_id": 660_000_000_000_001_i64, "message_template_name": "hello_world",
        "message_template_language": "en_US", "reason": null });
    app.control(Method::POST, "webhook", json!({ "field": "message_template_status_update", "value": paused })).await;
    until("the pause is known", PATIENCE, async || {
        pointers(&send(&app, template("hello_world", "en_US", &json!([]))).await.1) == ["/message/template/name"]
    })
    .await;
    let new = json!({ "name": "brand_new", "language": "de", "category": "UTILITY", "components": [{ "type": "BODY", "text": "x" }] });
    graph(&app, Method::POST, &format!("{WABA_ID}/message_templates"), new).await;
    until("the new one is known", PATIENCE, async || {
        send(&app, template("brand_new", "de", &json!([]))).await.0 == StatusCode::ACCEPTED
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_that_cannot_be_read_stop_nobody() {
    let app = TestApp::spawn().await;
    let path = format!("/v1/channels/{}", app.channel().await);
    let answer = app.api(Method::PATCH, &path).json(&json!({ "waba_id": "999" })).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(send(&app, template("hello_world", "en_US", &json!([]))).await.0, StatusCode::ACCEPTED);
    let off = TestApp::spawn_with(
        std::sync::Arc::new(waxseal::clock::SystemClock),
        &[("WAXSEAL_SEND__CHECK_TEMPLATES", "false")],
    )
    .await;
    until("templates are read", PATIENCE, async || off.get("/v1/templates").await["data"] != json!([])).await;
    assert_eq!(send(&off, template("no_such_thing", "en_US", &json!([]))).await.0, StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn marketing_goes_to_nobody_who_forbade_it() {
    let app = TestApp::spawn().await;
    compared(&app).await;
    let offer = || {
        let value = json!([{ "type": "body", "parameters": [{ "type": "text", "parameter_name": "first_name", "text": "Ana" }] }]);
        template("seasonal_offer", "en_US", &value)
    };
    assert_eq!(send(&app, offer()).await.0, StatusCode::ACCEPTED, "silence is no objection");
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.stop", "Stop")).await, StatusCode::OK);
    let (status, problem) = send(&app, offer()).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("opted_out")));
    let mut message = offer();
    message["messaging_product"] = json!("whatsapp");
    let path = format!("/graph/v25.0/{PHONE_NUMBER_ID}/messages");
    let refusal: Value = app.api(Method::POST, &path).json(&message).send().await.unwrap().json().await.unwrap();
    assert_eq!(refusal["error"]["code"], 131_050, "{refusal}");
    let code = template("one_time_code", "en_US", &body(&["1234"]));
    assert_eq!(send(&app, code).await.0, StatusCode::ACCEPTED, "what is no advertisement still goes");
    assert_eq!(app.webhook(webhook::text(ANA, "wamid.start", "start")).await, StatusCode::OK);
    assert_eq!(send(&app, offer()).await.0, StatusCode::ACCEPTED);

    let strict = [("WAXSEAL_SEND__CHECK_CONSENT", "opt_in")];
    let strict = TestApp::spawn_with(std::sync::Arc::new(waxseal::clock::SystemClock), &strict).await;
    compared(&strict).await;
    assert_eq!(send(&strict, offer()).await.1["code"], "opted_out", "silence is no consent here");
}
